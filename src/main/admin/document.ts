/**
 * The status document of a moment: everything that any form of /server-status shows.
 *
 * Role: a snapshot, the rows, the history and the figures of the process in, plain data out.
 * Thread: any; pure functions.
 */
import type { ChildRow, Snapshot } from '../../scoreboard/snapshot.ts';
import { type StatusFigures, serverVersion, workerLetter } from '../../scoreboard/status-auto.ts';
import { type Grid, requestView, type Selection } from './connections.ts';
import { type History, sampleOf } from './history.ts';
import { type StatusQuery, sortText } from './query.ts';
import type { ConnectionView, ServedWorkerState, StatusDocument, WorkerView } from './schema.ts';

/** Limits to show; a server's directives have them all. */
export interface AdminLimits {
  readonly startServers: number;
  readonly minSpareThreads: number;
  readonly maxSpareThreads: number;
  readonly maxRequestWorkers: number;
  readonly queueLimit: number;
  /** 0: never. */
  readonly maxConnectionsPerChild: number;
  readonly keepAliveTimeoutMs: number;
  /** False: single connections are not shown. */
  readonly extendedStatus: boolean;
}

export interface Moment {
  readonly snapshot: Snapshot;
  readonly grid: Grid;
  readonly figures: StatusFigures;
  readonly history: History;
  /** `monotonicMs()` of the snapshot. */
  readonly nowMs: number;
  readonly limits: AdminLimits;
  readonly pid: number;
}

/** Single connections that a query asks for. */
export interface Listed {
  /** Null: not to be shown. */
  readonly selection: Selection | null;
  /** The one that was named. */
  readonly asked: ConnectionView | null;
}

const RATE_SECONDS = [1, 10, 60];
const LATENCY_SECONDS = [10, 60];

export function statusDocument(
  moment: Moment,
  query: StatusQuery,
  { selection, asked }: Listed,
): StatusDocument {
  const { snapshot, figures, history, nowMs, limits } = moment;
  const { totals, workers } = snapshot;
  const now = sampleOf(snapshot, nowMs);
  const { lastExit } = history;
  return {
    schema: 1,
    server: {
      name: figures.serverName,
      software: serverVersion(figures),
      pid: moment.pid,
      phase: snapshot.phase,
      generation: snapshot.generation,
      time: figures.now.toISOString(),
      uptimeSeconds: figures.uptimeMs / 1000,
      loadAverages: [...figures.loadAverages],
      cpuUserSeconds: figures.cpuUserSeconds,
      cpuSystemSeconds: figures.cpuSystemSeconds,
      extendedStatus: limits.extendedStatus,
    },
    rates: RATE_SECONDS.map((seconds) => history.rates(now, seconds)),
    latency: LATENCY_SECONDS.map((seconds) => history.latency(now, seconds)),
    totals: {
      accepted: snapshot.accepted,
      requests: totals.requests,
      aborted: totals.aborted,
      pipelined: totals.pipelined,
      receivedBytes: totals.receivedBytes,
      sentBytes: totals.sentBytes,
      durationMs: totals.durationMs,
      statuses: [...totals.statuses],
    },
    connections: {
      open: snapshot.connectionsTotal,
      max: snapshot.connectionsMax,
      accepting: snapshot.accepting,
      byState: snapshot.connections,
      closed: snapshot.closed,
    },
    spilled: {
      memoryBytes: snapshot.spilledBytes,
      folderBytes: snapshot.spilledFolderBytes,
    },
    queue: {
      length: snapshot.queueLength,
      limit: limits.queueLimit,
      meanWaitMs: history.meanQueueWaitMs(now, 10),
    },
    lengthy: {
      queueLength: snapshot.lengthyQueueLength,
      starting: snapshot.lengthyWorkers.starting,
      idle: snapshot.lengthyWorkers.idle,
      busy: snapshot.lengthyWorkers.busy,
      draining: snapshot.lengthyWorkers.draining,
    },
    workers: {
      starting: workers.starting,
      idle: workers.idle,
      busy: workers.busy,
      draining: workers.draining,
      startServers: limits.startServers,
      minSpareThreads: limits.minSpareThreads,
      maxSpareThreads: limits.maxSpareThreads,
      maxRequestWorkers: limits.maxRequestWorkers,
    },
    limits: {
      maxConnectionsPerChild: limits.maxConnectionsPerChild,
      keepAliveTimeoutMs: limits.keepAliveTimeoutMs,
    },
    children: {
      started: snapshot.childStarts,
      exits: snapshot.childExits,
      startFailures: snapshot.startFailures,
      spawns: withoutNone(snapshot.spawns),
      culls: withoutNone(snapshot.culls),
      lastSpawn: unlessNone(snapshot.lastSpawn),
      lastCull: unlessNone(snapshot.lastCull),
      restMs: snapshot.recyclingRestMs,
      lastExit:
        lastExit === null ? null : { reason: lastExit.reason, agoMs: nowMs - lastExit.atMs },
    },
    upstreams: [...snapshot.upstreams],
    workerList: snapshot.children
      .filter(({ state }) => state !== 'empty')
      .map((child) => workerView(child, moment, query.showQueries)),
    connectionGrid: moment.grid,
    connectionList:
      selection === null
        ? null
        : {
            matching: selection.matching,
            limit: query.limit,
            sort: sortText(query),
            rows: [...selection.rows],
          },
    connection: asked,
    history: seriesOf(history),
  };
}

const withoutNone = <T extends { readonly none: number }>({ none: _, ...counts }: T) => counts;
const unlessNone = <T extends { readonly reason: string }>(last: T) =>
  last.reason === 'none' ? null : last;

/** Arrays of the type's own, rounded: nobody reads the hundredth digit of a line 120 pixels wide. */
function seriesOf(history: History): StatusDocument['history'] {
  const series = history.series();
  const rounded = (values: readonly number[]) => values.map((value) => Math.round(value * 10) / 10);
  return {
    requestsPerSecond: rounded(series.requestsPerSecond),
    sentBytesPerSecond: rounded(series.sentBytesPerSecond),
    p99Ms: rounded(series.p99Ms),
    connections: rounded(series.connections),
    busyWorkers: rounded(series.busyWorkers),
    queueLength: rounded(series.queueLength),
  };
}

function workerView(child: ChildRow, { snapshot }: Moment, showQueries: boolean): WorkerView {
  const limit = child.connectionLimit;
  const handles = child.handling >= 0;
  return {
    slot: child.slot,
    life: child.life,
    state: child.state as ServedWorkerState,
    letter: workerLetter(child),
    wantsRetire: child.wantsRetire,
    leads: snapshot.leader === child.slot,
    ageMs: child.ageMs,
    connections: child.lifeConnections,
    connectionLimit: limit === 0 ? null : limit,
    connectionsLeft: limit === 0 ? null : Math.max(0, limit - child.lifeConnections),
    generation: child.generation,
    requests: child.lifeRequests,
    requestLimit: child.requestLimit === 0 ? null : child.requestLimit,
    pinned: child.pinned,
    meanServiceMs: child.meanServiceMs,
    heapUsedBytes: child.heapUsedBytes,
    externalBytes: child.externalBytes,
    memoryLimitBytes: child.memoryLimitBytes === 0 ? null : child.memoryLimitBytes,
    eventLoopUtilization: child.eventLoopUtilization,
    handling: handles ? child.handling : null,
    handlingMs: handles ? child.handlingMs : null,
    request: child.request === null ? null : requestView(child.request, showQueries),
  };
}
