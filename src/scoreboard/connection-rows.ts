/**
 * Single connections, read from shared memory alone: found, sorted, and copied whole.
 *
 * Role: looks at the cheap fields of every slot, and copies only the rows that are to be shown. A row is
 * copied between two equal readings of state word and `sequence`; an owner raises `sequence` right after
 * its claim and before it writes, so no row mixes two connections or two owners.
 * Thread: any; in the server the admin thread. May not: write, or ask another thread for anything.
 *
 * Atomic loads are not moved past each other, plain ones may be; so whatever the check at the end of a
 * copy vouches for is loaded atomically, doubles through their 64-bit patterns.
 */
import { agedTicks, nowTicks } from './clock.ts';
import { type Field, HEADER, HTTP_PROTOCOL, SLOT } from './layout.ts';
import type { RequestRow } from './request-records.ts';
import type { Scoreboard } from './scoreboard.ts';
import { ConnectionState, type ConnectionStateName, STATE_NAMES } from './states.ts';
import type { TrailEntry } from './trail.ts';
import { incarnationOf, ownerOf, stateOf } from './transition.ts';

/** How often a copy is tried before it is given up; one takes well under a microsecond. */
const TRIES = 16;

export type OpenStateName = Exclude<ConnectionStateName, 'free'>;

/** One connection. While a worker owns it its figures may be in the middle of a request. */
export interface ConnectionRow {
  readonly slot: number;
  readonly incarnation: number;
  readonly state: OpenStateName;
  /** Child slot that owns it, -1: the listener holds it. */
  readonly owner: number;
  /** Child slot that served it last, -1: none yet. */
  readonly lastChild: number;
  /**
   * Of the peer, or of the client of its latest request that a trusted proxy has told of: family and port
   * (int32 each, native order), then 16 bytes of address; see `formatAddress`.
   */
  readonly peer: Uint8Array;
  readonly peerPort: number;
  /** Since the present wait began, milliseconds; of one that is processing: since it was queued. */
  readonly ageMs: number;
  /** Since it was accepted, milliseconds. */
  readonly connectedMs: number;
  /** Requests answered. */
  readonly requests: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  /** The present or the last request; null before the first, and where extendedStatus is off. */
  readonly request: RequestRow | null;
  /** Of a session protocol: its name and the application's state; null: HTTP/1.1. */
  readonly session: SessionRow | null;
  /** Its last transitions, oldest first; empty where extendedStatus is off. */
  readonly trail: readonly TrailEntry[];
}

export interface SessionRow {
  /** '' until a worker has loaded it. */
  readonly protocol: string;
  /** '': none was set. */
  readonly state: string;
}

export const CONNECTION_SORTS = [
  'slot',
  'state',
  'worker',
  'age',
  'connected',
  'requests',
  'bytes',
] as const;
export type ConnectionSort = (typeof CONNECTION_SORTS)[number];

/** Which connections to show; what is left out does not restrict. */
export interface ConnectionQuery {
  readonly states?: readonly OpenStateName[];
  /** Child slot that owns it or served it last. */
  readonly worker?: number;
  /** Least `ageMs`. */
  readonly minAgeMs?: number;
  readonly minRequests?: number;
  /** Least sum of bytes received and sent. */
  readonly minBytes?: number;
  /** Whether to show this peer, in the form of `ConnectionRow.peer`; asked last. The array is reused. */
  readonly matchesPeer?: (peer: Uint8Array) => boolean;
  /** By slot unless it says otherwise; `worker` is the owner or the last one, `bytes` both ways. */
  readonly sort?: ConnectionSort;
  readonly descending?: boolean;
  /** Rows at most. */
  readonly limit: number;
  /** Matches left out before the first row, 0 unless it says otherwise. */
  readonly offset?: number;
}

export interface ConnectionList {
  readonly rows: readonly ConnectionRow[];
  /** Open connections that match, shown or not. */
  readonly matched: number;
  /** Open connections. */
  readonly total: number;
}

/** The board's doubles as their bits. */
const patternsOf = (board: Scoreboard): BigInt64Array =>
  new BigInt64Array(board.shared.board, 0, board.doubles.length);

/** Rows of the open connections in slot order, at most `limit`. */
export function connectionRows(
  board: Scoreboard,
  limit: number,
  now: number = nowTicks(),
): ConnectionRow[] {
  const doubles = patternsOf(board);
  const rows: ConnectionRow[] = [];
  const watermark = board.header(HEADER.slotWatermark.offset);
  for (let slot = 0; slot < watermark && rows.length < limit; slot++) {
    const row = connectionRow(board, doubles, slot, now);
    if (row !== null) rows.push(row);
  }
  return rows;
}

/** The connection in this slot; null where it is free or there is no such slot. */
export function connectionAt(
  board: Scoreboard,
  slot: number,
  now: number = nowTicks(),
): ConnectionRow | null {
  if (slot >= board.header(HEADER.slotWatermark.offset)) return null;
  return connectionRow(board, patternsOf(board), slot, now);
}

/**
 * The connections that match, sorted, as rows. Filters and order go by one look at each slot; rows are
 * copied later, so one may have gone on since. One that no longer has a state that is asked for is
 * left out.
 */
export function findConnections(
  board: Scoreboard,
  query: ConnectionQuery,
  now: number = nowTicks(),
): ConnectionList {
  const { slots, keys, matched, total } = matching(board, query, now);
  const sign = query.descending === true ? -1 : 1;
  const order = slots.sort((one, other) => {
    const difference = (keys[one] as number) - (keys[other] as number);
    return difference === 0 ? one - other : difference * sign;
  });
  const doubles = patternsOf(board);
  const rows: ConnectionRow[] = [];
  for (let index = query.offset ?? 0; index < order.length && rows.length < query.limit; index++) {
    const row = connectionRow(board, doubles, order[index] as number, now);
    if (row !== null && (query.states?.includes(row.state) ?? true)) rows.push(row);
  }
  return { rows, matched, total };
}

function matching(board: Scoreboard, query: ConnectionQuery, now: number) {
  const watermark = board.header(HEADER.slotWatermark.offset);
  const found = new Int32Array(watermark);
  const keys = new Float64Array(watermark);
  const { states, worker, minAgeMs = 0, minRequests = 0, minBytes = 0, matchesPeer } = query;
  const { sort = 'slot' } = query;
  let wanted = states === undefined ? -1 : 0;
  for (const state of states ?? []) wanted |= 1 << ConnectionState[state];
  const peer = new Uint8Array(PEER_WORDS * 4);
  let matched = 0;
  let total = 0;
  for (let slot = 0; slot < watermark; slot++) {
    const word = board.word(slot);
    const state = stateOf(word);
    if (state === ConnectionState.free) continue;
    total++;
    if ((wanted & (1 << state)) === 0) continue;
    const lastChild = ownerOf(word) >= 0 ? ownerOf(word) : board.slot(slot, SLOT.lastChild) - 1;
    if (worker !== undefined && lastChild !== worker) continue;
    const age = agedTicks(board.slot(slot, SLOT.sinceTicks), now);
    if (age < minAgeMs) continue;
    const requests = board.slot(slot, SLOT.requests) >>> 0;
    if (requests < minRequests) continue;
    const bytes =
      board.slotDouble(slot, SLOT.receivedBytes) + board.slotDouble(slot, SLOT.sentBytes);
    if (bytes < minBytes) continue;
    if (matchesPeer !== undefined) {
      const told = board.slot(slot, SLOT.clientTold) === 1;
      const client = told ? SLOT.clientFamily : SLOT.peerFamily;
      const at = board.slotIndex(slot) * 4 + client.offset;
      peer.set(board.bytes.subarray(at, at + peer.length));
      if (!matchesPeer(peer)) continue;
    }
    found[matched++] = slot;
    switch (sort) {
      case 'state':
        keys[slot] = state;
        break;
      case 'worker':
        keys[slot] = lastChild;
        break;
      case 'age':
        keys[slot] = age;
        break;
      case 'connected':
        keys[slot] = agedTicks(board.slot(slot, SLOT.acceptedTicks), now);
        break;
      case 'requests':
        keys[slot] = requests;
        break;
      case 'bytes':
        keys[slot] = bytes;
        break;
      default:
        keys[slot] = slot;
    }
  }
  return { slots: found.subarray(0, matched), keys, matched, total };
}

/** Null where the slot is free, or changed hands `TRIES` times under the copy. */
function connectionRow(
  board: Scoreboard,
  doubles: BigInt64Array,
  slot: number,
  now: number,
): ConnectionRow | null {
  const { words } = board;
  const sequenceAt = board.slotIndex(slot) + (SLOT.sequence.offset >> 2);
  for (let tries = 0; tries < TRIES; tries++) {
    // In this order: an owner that has claimed since the second look raises the sequence before it
    // writes, and the same word may stand there again when it is through.
    // At the end the word comes first: the sequence is stored plainly and may become visible late, but not
    // later than the release that put the same word there again.
    const sequence = Atomics.load(words, sequenceAt);
    const word = board.word(slot);
    if (stateOf(word) === ConnectionState.free) return null;
    const row = readConnection(board, doubles, slot, word, now);
    if (board.word(slot) === word && Atomics.load(words, sequenceAt) === sequence) return row;
  }
  return null;
}

const sessionRow = (board: Scoreboard, protocol: number, state: () => number): SessionRow | null =>
  protocol === HTTP_PROTOCOL
    ? null
    : {
        protocol: board.protocolNames.nameOf(protocol),
        state: board.protocolNames.stateOf(protocol, state()),
      };

const PEER_WORDS = 6;
const pattern = new BigInt64Array(1);
const patternAsDouble = new Float64Array(pattern.buffer);

function readConnection(
  board: Scoreboard,
  doubles: BigInt64Array,
  slot: number,
  word: number,
  now: number,
): ConnectionRow {
  const first = board.slotIndex(slot);
  const load = (field: Field) => Atomics.load(board.words, first + (field.offset >> 2));
  const double = (field: Field) => {
    pattern[0] = Atomics.load(doubles, (first * 4 + field.offset) >> 3);
    return patternAsDouble[0] as number;
  };
  const peer = new Int32Array(PEER_WORDS);
  const client = load(SLOT.clientTold) === 0 ? SLOT.peerFamily : SLOT.clientFamily;
  for (let index = 0; index < PEER_WORDS; index++) {
    peer[index] = Atomics.load(board.words, first + (client.offset >> 2) + index);
  }
  const since = (field: Field) => agedTicks(load(field), now);
  // Free was ruled out by the caller.
  const state = STATE_NAMES[stateOf(word)] as OpenStateName;
  const incarnation = incarnationOf(word);
  return {
    slot,
    incarnation,
    state,
    owner: ownerOf(word),
    lastChild: load(SLOT.lastChild) - 1,
    peer: new Uint8Array(peer.buffer),
    peerPort: peer[1] as number,
    ageMs: since(SLOT.sinceTicks),
    connectedMs: since(SLOT.acceptedTicks),
    requests: load(SLOT.requests) >>> 0,
    receivedBytes: double(SLOT.receivedBytes),
    sentBytes: double(SLOT.sentBytes),
    request: board.requests?.read(slot, incarnation, now) ?? null,
    session: sessionRow(board, load(SLOT.protocol), () => load(SLOT.sessionState)),
    trail: board.trail?.read(slot, stateOf(word), now) ?? [],
  };
}
