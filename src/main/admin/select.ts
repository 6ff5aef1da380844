/**
 * The connections that a query asks for, as they are to be shown.
 *
 * Role: rows of the scoreboard to rows of the document: filtered, masked, sorted, counted.
 * Thread: any; pure functions.
 */
import type { ConnectionRow, OpenStateName } from '../../scoreboard/snapshot.ts';
import { STATE_LETTER } from '../../scoreboard/states.ts';
import type { SortKey, StatusQuery } from './query.ts';
import type { ConnectionView, RequestView } from './schema.ts';
import { maskTarget, visible } from './visible.ts';

/** Writes a peer's address, without its port. */
export type FormatPeer = (peer: Uint8Array) => string;

export function clientOf({ peer, peerPort }: ConnectionRow, formatPeer: FormatPeer): string {
  const address = formatPeer(peer);
  return `${address.includes(':') ? `[${address}]` : address}:${peerPort}`;
}

export function requestView(_row: ConnectionRow, _showQueries: boolean): RequestView | null {
  void maskTarget;
  return null;
}

export function connectionView(
  row: ConnectionRow,
  formatPeer: FormatPeer,
  showQueries: boolean,
): ConnectionView {
  const worker = row.owner >= 0 ? row.owner : row.lastChild;
  return {
    slot: row.slot,
    incarnation: row.incarnation,
    state: row.state,
    letter: STATE_LETTER[row.state],
    client: clientOf(row, formatPeer),
    worker: worker >= 0 ? worker : null,
    owned: row.owner >= 0,
    ageMs: row.ageMs,
    openMs: row.connectedMs,
    requests: row.requests,
    receivedBytes: row.receivedBytes,
    sentBytes: row.sentBytes,
    request: requestView(row, showQueries),
    trail: [],
  };
}

/** What `?request=` looks in. */
export const requestText = ({ method, target, host }: RequestView): string =>
  visible(host === '' ? `${method} ${target}` : `${method} ${target} ${host}`);

/** States in which somebody works for the client or is about to, before those that wait. */
const WORKING: ReadonlySet<OpenStateName> = new Set([
  'processing',
  'resuming',
  'suspended',
  'queued',
  'writeCompletion',
]);

type Compare = (one: ConnectionView, other: ConnectionView) => number;
const by =
  (value: (view: ConnectionView) => number): Compare =>
  (one, other) =>
    value(one) - value(other);
const byText =
  (value: (view: ConnectionView) => string): Compare =>
  (one, other) => {
    const [left, right] = [value(one), value(other)];
    return left < right ? -1 : left > right ? 1 : 0;
  };

const COMPARE: Readonly<Record<SortKey, Compare>> = {
  active: (one, other) => {
    const [left, right] = [WORKING.has(one.state), WORKING.has(other.state)];
    if (left !== right) return left ? -1 : 1;
    return left ? other.ageMs - one.ageMs : one.ageMs - other.ageMs;
  },
  slot: by(({ slot }) => slot),
  state: byText(({ state }) => state),
  client: byText(({ client }) => client),
  age: by(({ ageMs }) => ageMs),
  open: by(({ openMs }) => openMs),
  requests: by(({ requests }) => requests),
  received: by(({ receivedBytes }) => receivedBytes),
  sent: by(({ sentBytes }) => sentBytes),
  worker: by(({ worker }) => worker ?? -1),
};

export interface Selection {
  /** How many the filter lets through. */
  readonly matching: number;
  readonly rows: readonly ConnectionView[];
}

/** The rows that a query asks for; equal ones stand in slot order. */
export function select(
  rows: readonly ConnectionRow[],
  query: StatusQuery,
  formatPeer: FormatPeer,
): Selection {
  const wanted = query.request.toLowerCase();
  const views = rows
    .filter(({ state }) => query.states.length === 0 || query.states.includes(state))
    .map((row) => connectionView(row, formatPeer, query.showQueries))
    .filter(
      ({ client, worker, request }) =>
        client.includes(query.client) &&
        (query.worker === null || worker === query.worker) &&
        (wanted === '' ||
          (request !== null && requestText(request).toLowerCase().includes(wanted))),
    );
  const compare = COMPARE[query.sort];
  const sign = query.descending ? -1 : 1;
  views.sort((one, other) => sign * compare(one, other) || one.slot - other.slot);
  return { matching: views.length, rows: views.slice(0, query.limit) };
}
