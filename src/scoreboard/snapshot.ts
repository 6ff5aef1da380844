/**
 * What the server does at this moment, read from shared memory alone.
 *
 * Role: copies header, children and connections for the status page and the metrics. Counts by state
 * come from one look at each state word, so they sum to the total of that pass. A row is copied between
 * two equal readings of state word and `sequence`; an owner raises `sequence` right after its claim and
 * before it writes, so no row mixes two connections or two owners.
 * Thread: any; in the server the admin thread. May not: write, or ask another thread for anything.
 *
 * Atomic loads are not moved past each other, plain ones may be; so whatever the check at the end of a
 * copy vouches for is loaded atomically, doubles through their 64-bit patterns.
 */
import { elapsedTicks, nowTicks } from './clock.ts';
import {
  CHILD,
  ChildStatus,
  CloseReason,
  DURATION_BUCKETS_MS,
  ExitReason,
  type Field,
  HEADER,
  Phase,
  SLOT,
} from './layout.ts';
import { leaderOf } from './leader.ts';
import type { Scoreboard } from './scoreboard.ts';
import { ConnectionState, type ConnectionStateName, STATE_NAMES } from './states.ts';
import { incarnationOf, ownerOf, STATE_MASK, stateOf } from './transition.ts';

/** How often a copy is tried before it is given up; one takes well under a microsecond. */
const TRIES = 16;
const STATUS_CLASSES = 5;
const DURATION_BUCKETS = DURATION_BUCKETS_MS.length + 1;

export type OpenStateName = Exclude<ConnectionStateName, 'free'>;
/** All states of a slot that holds a connection. */
export const OPEN_STATES = STATE_NAMES.filter((name): name is OpenStateName => name !== 'free');

const names = <T extends string>(table: Readonly<Record<T, number>>): readonly T[] =>
  Object.keys(table) as T[];

export type PhaseName = keyof typeof Phase;
export type CloseReasonName = keyof typeof CloseReason;
export type ExitReasonName = keyof typeof ExitReason;
export const CLOSE_REASONS = names(CloseReason);
export const EXIT_REASONS = names(ExitReason);

/** `idle` and `busy` serve; `draining` is about to end; `empty` is a slot without a child. */
export type WorkerState = 'empty' | 'starting' | 'idle' | 'busy' | 'draining';

/** Counters of the header and of child slots that are one number; see layout.ts for each. */
const SERVER_COUNTERS = [
  'accepted',
  'staleEvents',
  'noticed',
  'dispatched',
  'acceptPauses',
  'acceptErrors',
  'childStarts',
  'wakes',
  'requeuedOrphans',
  'takeBacks',
  'completions',
] as const;
const CHILD_COUNTERS = [
  'requests',
  'connections',
  'receivedBytes',
  'sentBytes',
  'durationMs',
  'pipelined',
  'aborted',
  'queueWaitMs',
  'claims',
  'busyMs',
  'turns',
  'dispatched',
  'noticed',
  'staleEvents',
  'wakes',
  'leads',
  'passes',
  'delegations',
  'proxyErrors',
] as const;

export type ServerCounters = Readonly<Record<(typeof SERVER_COUNTERS)[number], number>>;

/** Counters of a child slot, over all children that held it; they only rise. */
export interface ChildCounters extends Readonly<Record<(typeof CHILD_COUNTERS)[number], number>> {
  /** Responses 1xx .. 5xx. */
  readonly statuses: readonly number[];
  /** Requests by duration, not cumulative; the last entry is above all of DURATION_BUCKETS_MS. */
  readonly durations: readonly number[];
}

export interface ChildRow {
  readonly slot: number;
  /** Number of the child, 0 where the slot is empty. */
  readonly life: number;
  readonly state: WorkerState;
  /** It serves until its replacement is ready. */
  readonly wantsRetire: boolean;
  /** Connection whose handler is being called now, -1: none. */
  readonly handling: number;
  /** Since it was started, milliseconds; 0 where empty. */
  readonly ageMs: number;
  readonly lifeConnections: number;
  readonly lifeRequests: number;
  /** Connections with an unfinished handler or body in this child. */
  readonly pinned: number;
  /** V8 heap in use as last sampled, bytes. */
  readonly heapUsedBytes: number;
  /** Mean time it holds a connection, milliseconds. */
  readonly meanServiceMs: number;
  /** Connection buffers it keeps at hand. */
  readonly spareBuffers: number;
  readonly counters: ChildCounters;
}

export interface Snapshot extends ServerCounters {
  readonly phase: PhaseName;
  readonly generation: number;
  readonly accepting: boolean;
  readonly closed: Readonly<Record<CloseReasonName, number>>;
  readonly childExits: Readonly<Record<ExitReasonName, number>>;
  /** Tickets in the queue now. */
  readonly queueLength: number;
  /** Response bodies in memory files, to the next KiB. */
  readonly spilledBytes: number;
  /** Lines that the access log has lost. */
  readonly logLost: number;
  /** Child that polls the request set, -1: the listener. */
  readonly leader: number;
  readonly connectionsMax: number;
  /** Open connections of this pass; the exact sum of `connections`. */
  readonly connectionsTotal: number;
  readonly connections: Readonly<Record<OpenStateName, number>>;
  /** Connection buffers: together all there are. */
  readonly buffers: { readonly free: number; readonly spare: number; readonly used: number };
  /** One for each child slot, empty ones too. */
  readonly children: readonly ChildRow[];
  readonly workers: Readonly<Record<WorkerState, number>>;
  /** Sum over all child slots. */
  readonly totals: ChildCounters;
}

const byName = <T extends string>(keys: readonly T[], value: (key: T) => number) =>
  Object.fromEntries(keys.map((key) => [key, value(key)])) as Record<T, number>;

/** The whole server, without the single connections. */
export function takeSnapshot(board: Scoreboard, now: number = nowTicks()): Snapshot {
  const children: ChildRow[] = [];
  for (let slot = 0; slot < board.childSlots; slot++) children.push(childRow(board, slot, now));
  const workers = { empty: 0, starting: 0, idle: 0, busy: 0, draining: 0 };
  let spare = 0;
  for (const child of children) {
    workers[child.state]++;
    spare += child.spareBuffers;
  }
  const free = board.freeBuffers.count;
  const { connections, total } = countStates(board);
  const word = (field: Field) => board.header(field.offset);
  const phase = word(HEADER.phase);
  return {
    phase: names(Phase).find((name) => Phase[name] === phase) ?? 'stopped',
    generation: word(HEADER.generation),
    accepting: word(HEADER.accepting) === 1,
    ...byName(SERVER_COUNTERS, (name) => board.headerDouble(HEADER[name])),
    closed: byName(CLOSE_REASONS, (name) => board.headerDouble(HEADER.closed, CloseReason[name])),
    childExits: byName(EXIT_REASONS, (name) =>
      board.headerDouble(HEADER.childExits, ExitReason[name]),
    ),
    queueLength: board.waiting,
    spilledBytes: word(HEADER.spilledKb) * 1024,
    logLost: board.log?.lost ?? 0,
    leader: leaderOf(board),
    connectionsMax: board.connectionSlots,
    connectionsTotal: total,
    connections,
    // Free ones and spare ones are read one after the other, so their sum may be off by a few.
    buffers: { free, spare, used: Math.max(0, board.sections.bufferCount - free - spare) },
    children,
    workers,
    totals: sumCounters([
      ...children.map(({ counters }) => counters),
      readCounters(board, board.listenerCounters),
    ]),
  };
}

/** Looks once at each slot that was ever used. */
function countStates(board: Scoreboard) {
  const counts = new Uint32Array(STATE_MASK + 1);
  const watermark = board.header(HEADER.slotWatermark.offset);
  for (let slot = 0; slot < watermark; slot++) {
    const state = stateOf(board.word(slot));
    counts[state] = (counts[state] as number) + 1;
  }
  const connections = byName(OPEN_STATES, (name) => counts[ConnectionState[name]] as number);
  return { connections, total: watermark - (counts[ConnectionState.free] as number) };
}

function childRow(board: Scoreboard, slot: number, now: number): ChildRow {
  for (let tries = 1; ; tries++) {
    const life = board.child(slot, CHILD.life);
    const row = readChild(board, slot, life, now);
    // The slot may have got another child meanwhile; lives are seconds apart, so this ends.
    if (board.child(slot, CHILD.life) === life || tries === TRIES) return row;
  }
}

function readChild(board: Scoreboard, slot: number, life: number, now: number): ChildRow {
  const word = (field: Field) => board.child(slot, field);
  const status = word(CHILD.status);
  const held = (field: Field) => (word(field) === 0 ? 0 : 1);
  return {
    slot,
    life,
    state: workerState(life, status, board.idle.has(slot)),
    wantsRetire: life !== 0 && status === ChildStatus.wantsRetire,
    handling: word(CHILD.currentSlot) - 1,
    ageMs: life === 0 ? 0 : Math.max(0, elapsedTicks(word(CHILD.startedTicks), now)),
    lifeConnections: word(CHILD.lifeConnections),
    lifeRequests: word(CHILD.lifeRequests),
    pinned: word(CHILD.pinned),
    heapUsedBytes: word(CHILD.heapUsedKb) * 1024,
    meanServiceMs: word(CHILD.meanServiceUs) / 1000,
    spareBuffers: held(CHILD.spareBuffer0) + held(CHILD.spareBuffer1),
    counters: readCounters(board, slot),
  };
}

function workerState(life: number, status: number, idle: boolean): WorkerState {
  if (life === 0) return 'empty';
  switch (status) {
    case ChildStatus.empty:
    case ChildStatus.starting:
      return 'starting';
    case ChildStatus.ready:
    case ChildStatus.wantsRetire:
      return idle ? 'idle' : 'busy';
    default:
      return 'draining';
  }
}

function readCounters(board: Scoreboard, slot: number): ChildCounters {
  const all = (field: Field, length: number) =>
    Array.from({ length }, (_, entry) => board.childDouble(slot, field, entry));
  return {
    ...byName(CHILD_COUNTERS, (name) => board.childDouble(slot, CHILD[name])),
    statuses: all(CHILD.statuses, STATUS_CLASSES),
    durations: all(CHILD.durations, DURATION_BUCKETS),
  };
}

function sumCounters(records: readonly ChildCounters[]): ChildCounters {
  const sum = (value: (counters: ChildCounters) => number) =>
    records.reduce((total, counters) => total + value(counters), 0);
  const all = (key: 'statuses' | 'durations', length: number) =>
    Array.from({ length }, (_, entry) => sum((counters) => counters[key][entry] as number));
  return {
    ...byName(CHILD_COUNTERS, (name) => sum((counters) => counters[name])),
    statuses: all('statuses', STATUS_CLASSES),
    durations: all('durations', DURATION_BUCKETS),
  };
}

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
}

/** Rows of the open connections in slot order, at most `limit`. */
export function connectionRows(
  board: Scoreboard,
  limit: number,
  now: number = nowTicks(),
): ConnectionRow[] {
  const doubles = new BigInt64Array(board.shared.board);
  const rows: ConnectionRow[] = [];
  const watermark = board.header(HEADER.slotWatermark.offset);
  for (let slot = 0; slot < watermark && rows.length < limit; slot++) {
    const row = connectionRow(board, doubles, slot, now);
    if (row !== null) rows.push(row);
  }
  return rows;
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
    const word = board.word(slot);
    const sequence = Atomics.load(words, sequenceAt);
    if (stateOf(word) === ConnectionState.free) return null;
    const row = readConnection(board, doubles, slot, word, now);
    if (Atomics.load(words, sequenceAt) === sequence && board.word(slot) === word) return row;
  }
  return null;
}

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
  const client = load(SLOT.clientFamily) === 0 ? SLOT.peerFamily : SLOT.clientFamily;
  for (let index = 0; index < PEER_WORDS; index++) {
    peer[index] = Atomics.load(board.words, first + (client.offset >> 2) + index);
  }
  const since = (field: Field) => Math.max(0, elapsedTicks(load(field), now));
  // Free was ruled out by the caller.
  const state = STATE_NAMES[stateOf(word)] as OpenStateName;
  return {
    slot,
    incarnation: incarnationOf(word),
    state,
    owner: ownerOf(word),
    lastChild: load(SLOT.lastChild) - 1,
    peer: new Uint8Array(peer.buffer),
    peerPort: peer[1] as number,
    ageMs: since(SLOT.sinceTicks),
    connectedMs: since(SLOT.acceptedTicks),
    requests: load(SLOT.requests),
    receivedBytes: double(SLOT.receivedBytes),
    sentBytes: double(SLOT.sentBytes),
  };
}
