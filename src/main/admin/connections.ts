/**
 * The connections that a query asks for, as they are to be shown.
 *
 * Role: rows of the scoreboard to rows of the document: filtered, masked, sorted, counted.
 * Thread: any; in the server the admin thread. May not: write, or ask another thread for anything.
 */
import { HEADER } from '../../scoreboard/layout.ts';
import type { RequestRow } from '../../scoreboard/request-records.ts';
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';
import {
  type ConnectionQuery,
  type ConnectionRow,
  connectionAt,
  findConnections,
  OPEN_STATES,
  type OpenStateName,
} from '../../scoreboard/snapshot.ts';
import { ConnectionState, STATE_LETTER, STATE_NAMES } from '../../scoreboard/states.ts';
import { stateOf } from '../../scoreboard/transition.ts';
import { formatAddress } from '../../workers/peer-address.ts';
import type { SortKey, StatusQuery } from './query.ts';
import type { ConnectionView, RequestView } from './schema.ts';
import { maskTarget, visible } from './visible.ts';

/** AF_INET6 of Linux, the only system this package runs on. */
const AF_INET6 = 10;

/** `address:port`, IPv6 in brackets. @param peer as in `ConnectionRow.peer` */
export function clientText(peer: Uint8Array): string {
  const address = formatAddress(peer, 0, AF_INET6);
  const port = new DataView(peer.buffer, peer.byteOffset).getInt32(4, true);
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}

export function requestView(row: RequestRow, showQueries: boolean): RequestView {
  return {
    method: row.method,
    target: showQueries ? row.target : maskTarget(row.target),
    targetCut: row.targetBytes > row.target.length,
    host: row.host,
    protocol: row.minorVersion === 0 ? 'HTTP/1.0' : 'HTTP/1.1',
    active: row.active,
    status: row.status,
    ageMs: row.ageMs,
    durationMs: row.durationMs,
  };
}

/** @param withTrail rows of lists go without */
export function connectionView(
  row: ConnectionRow,
  showQueries: boolean,
  withTrail = false,
): ConnectionView {
  const worker = row.owner >= 0 ? row.owner : row.lastChild;
  return {
    slot: row.slot,
    incarnation: row.incarnation,
    state: row.state,
    letter: STATE_LETTER[row.state],
    client: clientText(row.peer),
    worker: worker >= 0 ? worker : null,
    owned: row.owner >= 0,
    ageMs: row.ageMs,
    openMs: row.connectedMs,
    requests: row.requests,
    receivedBytes: row.receivedBytes,
    sentBytes: row.sentBytes,
    request: row.request === null ? null : requestView(row.request, showQueries),
    session: row.session,
    trail: withTrail
      ? row.trail.map(({ state, child, agoMs }) => ({
          state,
          worker: child >= 0 ? child : null,
          agoMs,
        }))
      : [],
  };
}

/** What `?request=` looks in: what is shown, so a masked query is not found by what it holds. */
const requestText = ({ method, target, host }: RequestView): string =>
  visible(`${method} ${target} ${host}`).toLowerCase();

/** States in which somebody works for the client or is about to; they come before those that wait. */
const WORKING: readonly OpenStateName[] = [
  'queued',
  'lengthyQueued',
  'processing',
  'suspended',
  'resuming',
  'writeCompletion',
];

/** Orders that the scoreboard finds by a look at each slot, without a copy of every row. */
const FOUND = {
  slot: 'slot',
  state: 'state',
  worker: 'worker',
  age: 'age',
  open: 'connected',
  requests: 'requests',
} as const;
type CopiedKey = Exclude<SortKey, keyof typeof FOUND | 'active'>;
const COPIED: Readonly<Record<CopiedKey, (view: ConnectionView) => number | string>> = {
  client: ({ client }) => client,
  received: ({ receivedBytes }) => receivedBytes,
  sent: ({ sentBytes }) => sentBytes,
};
const isCopied = (key: SortKey): key is CopiedKey => Object.hasOwn(COPIED, key);

export interface Selection {
  /** How many the filter lets through. */
  readonly matching: number;
  readonly rows: readonly ConnectionView[];
}

/** The rows that a query asks for; equal ones stand in slot order. */
export function selectConnections(board: Scoreboard, query: StatusQuery): Selection {
  const { states, worker, client, sort, descending, limit } = query;
  const filter: Omit<ConnectionQuery, 'limit'> = {
    ...(states.length > 0 && { states }),
    ...(worker !== null && { worker }),
    ...(client !== '' && { matchesPeer: (peer) => clientText(peer).includes(client) }),
  };
  const view = (row: ConnectionRow) => connectionView(row, query.showQueries);
  const find = (more: ConnectionQuery) => {
    const { matched, rows } = findConnections(board, { ...filter, ...more });
    return { matching: matched, rows: rows.map(view) };
  };
  // What a request says is only known from its copy, so all of them are made.
  if (query.request !== '') return copied(find({ ...orderOf(query), limit: Infinity }), query);
  if (isCopied(sort)) return copied(find({ limit: Infinity }), query);
  if (sort !== 'active') return find({ sort: FOUND[sort], descending, limit });
  return active(states.length > 0 ? states : OPEN_STATES, limit, find);
}

const orderOf = ({ sort, descending }: StatusQuery) =>
  sort === 'active' || isCopied(sort)
    ? { sort: 'age' as const, descending: sort === 'active' }
    : { sort: FOUND[sort], descending };

function active(
  states: readonly OpenStateName[],
  limit: number,
  find: (query: ConnectionQuery) => Selection,
): Selection {
  const working = states.filter((state) => WORKING.includes(state));
  const waiting = states.filter((state) => !WORKING.includes(state));
  const first = find({ states: working, sort: 'age', descending: true, limit });
  const second = find({ states: waiting, sort: 'age', limit: limit - first.rows.length });
  // One that came to rest between the two looks is in both.
  const seen = new Set(first.rows.map(({ slot }) => slot));
  const rows = second.rows.filter(({ slot }) => !seen.has(slot));
  const twice = second.rows.length - rows.length;
  return {
    matching: first.matching + second.matching - twice,
    rows: [...first.rows, ...rows],
  };
}

function copied({ rows }: Selection, query: StatusQuery): Selection {
  const wanted = query.request.toLowerCase();
  const found = rows.filter(
    ({ request }) => wanted === '' || (request !== null && requestText(request).includes(wanted)),
  );
  const { sort } = query;
  if (isCopied(sort)) {
    const key = COPIED[sort];
    const sign = query.descending ? -1 : 1;
    found.sort((one, other) => {
      const [left, right] = [key(one), key(other)];
      return left === right ? one.slot - other.slot : left < right ? -sign : sign;
    });
  }
  return { matching: found.length, rows: found.slice(0, query.limit) };
}

/** One connection with its trail; null where none is open in that slot. */
export function oneConnection(
  board: Scoreboard,
  slot: number,
  showQueries: boolean,
): ConnectionView | null {
  const row = connectionAt(board, slot);
  return row === null ? null : connectionView(row, showQueries, true);
}

export interface Grid {
  /** A letter for each slot in use, in slot order. */
  readonly letters: string;
  /** Slots in use beyond those. */
  readonly hidden: number;
}

export function connectionGrid(board: Scoreboard, most: number): Grid {
  let letters = '';
  let hidden = 0;
  const watermark = board.header(HEADER.slotWatermark.offset);
  for (let slot = 0; slot < watermark; slot++) {
    const state = stateOf(board.word(slot));
    if (state === ConnectionState.free) continue;
    if (letters.length < most) {
      letters += STATE_LETTER[STATE_NAMES[state] as OpenStateName];
    } else hidden++;
  }
  return { letters, hidden };
}
