/**
 * What the server does at this moment, read from shared memory alone.
 *
 * Role: copies header and children for the status page and the metrics; single connections are
 * connection-rows.ts's. Counts by state come from one look at each state word, so they sum to the total
 * of that pass.
 * Thread: any; in the server the admin thread. May not: write, or ask another thread for anything.
 */
import { agedTicks, elapsedTicks, nowTicks, untilTicks } from './clock.ts';
import {
  ACCEPT_ERRNOS,
  ChildStatus,
  CloseReason,
  CullReason,
  ExitReason,
  Phase,
  SpawnReason,
} from './codes.ts';
import type { OpenStateName } from './connection-rows.ts';
import { type HistogramCounts, readHistograms } from './histograms.ts';
import {
  CHILD,
  DURATION_BUCKETS_MS,
  type Field,
  HEADER,
  type HistogramName,
  HTTP_PROTOCOL,
  MAX_SESSION_PROTOCOLS,
  MAX_SESSION_STATES,
  SLOT,
} from './layout.ts';
import { leaderOf } from './leader.ts';
import type { RequestRow } from './request-records.ts';
import type { SeriesRow } from './route-series.ts';
import type { Scoreboard } from './scoreboard.ts';
import { ConnectionState, STATE_NAMES } from './states.ts';
import { incarnationOf, STATE_MASK, stateOf } from './transition.ts';

export {
  type ConnectionList,
  type ConnectionQuery,
  type ConnectionRow,
  connectionAt,
  connectionRows,
  findConnections,
  type OpenStateName,
} from './connection-rows.ts';

import type { UpstreamStatus } from './upstreams.ts';

export type { HistogramCounts } from './histograms.ts';
export type { RequestRow } from './request-records.ts';
export type { Exemplar, SeriesRow } from './route-series.ts';
export type { TrailEntry } from './trail.ts';

/** How often a copy is tried before it is given up; one takes well under a microsecond. */
const TRIES = 16;
const STATUS_CLASSES = 5;
const DURATION_BUCKETS = DURATION_BUCKETS_MS.length + 1;

/** All states of a slot that holds a connection. */
export const OPEN_STATES = STATE_NAMES.filter((name): name is OpenStateName => name !== 'free');

const names = <T extends string>(table: Readonly<Record<T, number>>): readonly T[] =>
  Object.keys(table) as T[];

export type PhaseName = keyof typeof Phase;
export type CloseReasonName = keyof typeof CloseReason;
export type ExitReasonName = keyof typeof ExitReason;
export const CLOSE_REASONS = names(CloseReason);
export type SpawnReasonName = keyof typeof SpawnReason;
export type CullReasonName = keyof typeof CullReason;
export const EXIT_REASONS = names(ExitReason);
export const SPAWN_REASONS = names(SpawnReason);
export type AcceptErrno = (typeof ACCEPT_ERRNOS)[number][0];
export const CULL_REASONS = names(CullReason);

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
  'rewakes',
  'completions',
  'startFailures',
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
  'reuses',
  'lostMoves',
  'bufferMisses',
  'commands',
] as const;

/** Open sessions of one protocol in one state of the application's, '' for none. */
export interface SessionCount {
  readonly protocol: string;
  readonly state: string;
  readonly count: number;
}

export type ServerCounters = Readonly<Record<(typeof SERVER_COUNTERS)[number], number>>;

/** Counters of a child slot, over all children that held it; they only rise. */
export interface ChildCounters extends Readonly<Record<(typeof CHILD_COUNTERS)[number], number>> {
  /** Responses 1xx .. 5xx. */
  readonly statuses: readonly number[];
  /** Requests by duration, not cumulative; the last entry is above all of DURATION_BUCKETS_MS. */
  readonly durations: readonly number[];
}

/** `lengthy` workers serve requests that are declared so, the others any. */
export type PoolName = 'normal' | 'lengthy';

export interface ChildRow {
  readonly slot: number;
  /** Number of the child, 0 where the slot is empty. */
  readonly life: number;
  /** Which requests it serves. */
  readonly pool: PoolName;
  readonly state: WorkerState;
  /** It serves until its replacement is ready. */
  readonly wantsRetire: boolean;
  /** Connection whose handler is being called now, -1: none. */
  readonly handling: number;
  /** Since that handler was called, milliseconds; 0 where none is. */
  readonly handlingMs: number;
  /** Its request; null where none is being handled, or extendedStatus is off. */
  readonly request: RequestRow | null;
  /** Since it was started, milliseconds; 0 where empty. */
  readonly ageMs: number;
  readonly lifeConnections: number;
  readonly lifeRequests: number;
  /** Connections with an unfinished handler or body in this child. */
  readonly pinned: number;
  /** V8 heap in use as last sampled, bytes. */
  readonly heapUsedBytes: number;
  /** What V8 objects hold outside of the heap (Buffers), as last sampled, bytes. */
  readonly externalBytes: number;
  /** Share of the last second in which its event loop was not idle, 0 .. 1. */
  readonly eventLoopUtilization: number;
  /** Generation it was started with. */
  readonly generation: number;
  /** Connections after which this life ends, 0: none. */
  readonly connectionLimit: number;
  /** Requests after which it does, 0: none. */
  readonly requestLimit: number;
  /** Heap and external memory after which it does, bytes, 0: none. */
  readonly memoryLimitBytes: number;
  /** Mean time it holds a connection, milliseconds. */
  readonly meanServiceMs: number;
  /** Connection buffers it keeps at hand. */
  readonly spareBuffers: number;
  readonly counters: ChildCounters;
}

export interface Snapshot extends ServerCounters {
  /** Of the reverse proxy; none where no request was passed on yet. */
  readonly upstreams: readonly UpstreamStatus[];
  readonly phase: PhaseName;
  readonly generation: number;
  readonly accepting: boolean;
  readonly closed: Readonly<Record<CloseReasonName, number>>;
  readonly childExits: Readonly<Record<ExitReasonName, number>>;
  /** Children started, by reason. */
  readonly spawns: Readonly<Record<SpawnReasonName, number>>;
  /** Workers that retired as one too many, by reason. */
  readonly culls: Readonly<Record<CullReasonName, number>>;
  /** The last of each and how long ago, milliseconds; `none`: there was none yet. */
  readonly lastSpawn: { readonly reason: SpawnReasonName; readonly agoMs: number };
  readonly lastCull: { readonly reason: CullReasonName; readonly agoMs: number };
  /** Errors of accept by errno. */
  readonly acceptErrnos: Readonly<Record<AcceptErrno, number>>;
  /** Until a child that has reached a limit may be replaced, milliseconds; 0: now. */
  readonly recyclingRestMs: number;
  /** Of `totals.lostMoves`, the listener's. */
  readonly lostByListener: number;
  /** Tickets in the queue now. */
  readonly queueLength: number;
  /** Connections that wait for a lengthy worker. */
  readonly lengthyQueueLength: number;
  /** Response bodies in memory files, to the next KiB. */
  readonly spilledBytes: number;
  /** The same in files of `spillFolder`. */
  readonly spilledFolderBytes: number;
  /** Lines that the access log has lost. */
  readonly logLost: number;
  /** Child that polls the request set, -1: the listener. */
  readonly leader: number;
  readonly connectionsMax: number;
  /** Open connections of this pass; the exact sum of `connections`. */
  readonly connectionsTotal: number;
  readonly connections: Readonly<Record<OpenStateName, number>>;
  readonly sessions: readonly SessionCount[];
  /** Connection buffers: together all there are. */
  readonly buffers: { readonly free: number; readonly spare: number; readonly used: number };
  /** One for each child slot, empty ones too. */
  readonly children: readonly ChildRow[];
  /** Those that serve any request. */
  readonly workers: Readonly<Record<WorkerState, number>>;
  readonly lengthyWorkers: Readonly<Record<WorkerState, number>>;
  /** Sum over all child slots. */
  readonly totals: ChildCounters;
  readonly histograms: Readonly<Record<HistogramName, HistogramCounts>>;
  /** Requests, connection trails and routes are recorded (extendedStatus). */
  readonly extended: boolean;
}

const byName = <T extends string>(keys: readonly T[], value: (key: T) => number) =>
  Object.fromEntries(keys.map((key) => [key, value(key)])) as Record<T, number>;

/** The whole server, without the single connections. */
export function takeSnapshot(board: Scoreboard, now: number = nowTicks()): Snapshot {
  const children: ChildRow[] = [];
  for (let slot = 0; slot < board.childSlots; slot++) children.push(childRow(board, slot, now));
  const none = { empty: 0, starting: 0, idle: 0, busy: 0, draining: 0 };
  const pools = { normal: { ...none }, lengthy: { ...none } };
  let spare = 0;
  for (const child of children) {
    pools[child.pool][child.state]++;
    spare += child.spareBuffers;
  }
  const free = board.freeBuffers.count;
  const { connections, total } = countStates(board);
  const word = (field: Field) => board.header(field.offset);
  const phase = word(HEADER.phase);
  const ago = (reason: Field, ticks: Field) =>
    word(reason) === 0 ? 0 : agedTicks(word(ticks), now);
  return {
    phase: names(Phase).find((name) => Phase[name] === phase) ?? 'stopped',
    generation: word(HEADER.generation),
    accepting: word(HEADER.accepting) === 1,
    ...byName(SERVER_COUNTERS, (name) => board.headerDouble(HEADER[name])),
    closed: byName(CLOSE_REASONS, (name) => board.headerDouble(HEADER.closed, CloseReason[name])),
    childExits: byName(EXIT_REASONS, (name) =>
      board.headerDouble(HEADER.childExits, ExitReason[name]),
    ),
    spawns: byName(SPAWN_REASONS, (name) => board.headerDouble(HEADER.spawns, SpawnReason[name])),
    culls: byName(CULL_REASONS, (name) => board.headerDouble(HEADER.culls, CullReason[name])),
    lastSpawn: {
      reason: SPAWN_REASONS[word(HEADER.lastSpawnReason)] ?? 'none',
      agoMs: ago(HEADER.lastSpawnReason, HEADER.lastSpawnTicks),
    },
    lastCull: {
      reason: CULL_REASONS[word(HEADER.lastCullReason)] ?? 'none',
      agoMs: ago(HEADER.lastCullReason, HEADER.lastCullTicks),
    },
    acceptErrnos: Object.fromEntries(
      ACCEPT_ERRNOS.map(([name], index) => [name, board.headerDouble(HEADER.acceptErrnos, index)]),
    ) as Record<AcceptErrno, number>,
    recyclingRestMs:
      word(HEADER.restUntilTicks) === 0 ? 0 : untilTicks(word(HEADER.restUntilTicks), now),
    lostByListener: board.childDouble(board.listenerCounters, CHILD.lostMoves),
    queueLength: board.waiting,
    lengthyQueueLength: connections.lengthyQueued,
    spilledBytes: word(HEADER.spilledKb) * 1024,
    spilledFolderBytes: word(HEADER.spilledFileKb) * 1024,
    logLost: board.log?.lost ?? 0,
    leader: leaderOf(board),
    connectionsMax: board.connectionSlots,
    connectionsTotal: total,
    connections,
    sessions: countSessions(board),
    // Free ones and spare ones are read one after the other, so their sum may be off by a few.
    buffers: { free, spare, used: Math.max(0, board.sections.bufferCount - free - spare) },
    children,
    workers: pools.normal,
    lengthyWorkers: pools.lengthy,
    totals: sumCounters([
      ...children.map(({ counters }) => counters),
      readCounters(board, board.listenerCounters),
    ]),
    histograms: readHistograms(board),
    extended: board.series !== null,
    upstreams: board.upstreams.statuses(),
  };
}

/** Durations by method, route and status class; null where extendedStatus is off. */
export function readSeries(board: Scoreboard): SeriesRow[] | null {
  const ran = (record: number) =>
    record === board.listenerCounters || board.childDouble(record, CHILD.turns) > 0;
  return board.series?.rows(ran) ?? null;
}

/** Sessions by protocol and state; nothing is looked at where no worker has loaded a protocol. */
export function countSessions(board: Scoreboard): SessionCount[] {
  const names = board.protocolNames;
  if (names.nameOf(1) === '') return [];
  const counts = new Map<number, number>();
  for (let number = 1; number <= MAX_SESSION_PROTOCOLS; number++) {
    if (names.nameOf(number) === '') break;
    // Of each there are series before there are sessions.
    for (let state = 0; state <= MAX_SESSION_STATES; state++) {
      if (state === 0 || names.stateOf(number, state) !== '') counts.set(number * 16 + state, 0);
    }
  }
  const watermark = board.header(HEADER.slotWatermark.offset);
  for (let slot = 0; slot < watermark; slot++) {
    if (stateOf(board.word(slot)) === ConnectionState.free) continue;
    const protocol = board.slot(slot, SLOT.protocol);
    if (protocol === HTTP_PROTOCOL) continue;
    const key = protocol * 16 + board.slot(slot, SLOT.sessionState);
    const count = counts.get(key);
    if (count !== undefined) counts.set(key, count + 1);
  }
  return [...counts].map(([key, count]) => ({
    protocol: names.nameOf(key >> 4),
    state: names.stateOf(key >> 4, key & 15),
    count,
  }));
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
  const pool = board.poolOf(slot);
  const held = (field: Field) => (word(field) === 0 ? 0 : 1);
  const handling = word(CHILD.currentSlot) - 1;
  const handlingMs = Math.max(0, elapsedTicks(word(CHILD.handlingTicks), now));
  return {
    slot,
    life,
    pool: pool === board.lengthy ? 'lengthy' : 'normal',
    state: workerState(life, status, pool.idle.has(slot)),
    wantsRetire: life !== 0 && status === ChildStatus.wantsRetire,
    handling,
    handlingMs: handling < 0 ? 0 : handlingMs,
    request: handling < 0 ? null : handledRequest(board, handling, now),
    ageMs: life === 0 ? 0 : agedTicks(word(CHILD.startedTicks), now),
    lifeConnections: word(CHILD.lifeConnections) >>> 0,
    lifeRequests: word(CHILD.lifeRequests) >>> 0,
    pinned: word(CHILD.pinned),
    heapUsedBytes: word(CHILD.heapUsedKb) * 1024,
    externalBytes: word(CHILD.externalKb) * 1024,
    eventLoopUtilization: word(CHILD.loopUtilization) / 10_000,
    generation: word(CHILD.generation),
    connectionLimit: word(CHILD.connectionLimit),
    requestLimit: word(CHILD.requestLimit),
    memoryLimitBytes: word(CHILD.memoryLimitKb) * 1024,
    meanServiceMs: word(CHILD.meanServiceUs) / 1000,
    spareBuffers: held(CHILD.spareBuffer0) + held(CHILD.spareBuffer1),
    counters: readCounters(board, slot),
  };
}

function handledRequest(board: Scoreboard, slot: number, now: number): RequestRow | null {
  return board.requests?.read(slot, incarnationOf(board.word(slot)), now) ?? null;
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
