/**
 * Metrics of workers: how many, their limits, their lives, what each one holds.
 *
 * Thread: the admin thread. May not: keep state, or label by anything but the slot: lives and thread ids
 * are without end, slots are not.
 */
import {
  type ChildRow,
  CULL_REASONS,
  EXIT_REASONS,
  type ExitReasonName,
  SPAWN_REASONS,
  type WorkerState,
} from '../snapshot.ts';
import {
  counter,
  type Family,
  gauge,
  kept,
  labelled,
  plain,
  type Sample,
  snakeCase,
} from './family.ts';

/** Limits that are not in the scoreboard. */
export interface WorkerLimits {
  readonly startServers: number;
  readonly maxRequestWorkers: number;
  /** 0: unlimited. */
  readonly maxConnectionsPerChild: number;
}

/** `none` says that there was none. */
const given = <T extends string>(names: readonly T[]): Exclude<T, 'none'>[] =>
  names.filter((name): name is Exclude<T, 'none'> => name !== 'none');

const exitLabel = (reason: ExitReasonName): string =>
  reason === 'outOfMemory' ? 'oom' : snakeCase(reason);

/** One sample for each living child that `value` knows something about. */
const perWorker = (
  children: readonly ChildRow[],
  value: (child: ChildRow) => number | null,
): Sample[] =>
  children.flatMap((child) => {
    const known = child.state === 'empty' ? null : value(child);
    return known === null ? [] : [{ value: known, labels: { worker: String(child.slot) } }];
  });

const byState = (workers: Readonly<Record<WorkerState, number>>): Sample[] =>
  labelled('state', ['starting', 'idle', 'busy', 'draining'], (state) => workers[state]);

export const workerFamilies = (limits: WorkerLimits): readonly Family[] => [
  gauge('mpm_workers', 'Workers by state, without lengthy ones.', ({ workers }) =>
    byState(workers),
  ),
  // A family of its own, so that no sum over all workers counts them as room for light requests.
  gauge('mpm_lengthy_workers', 'Lengthy workers by state.', ({ lengthyWorkers }) =>
    byState(lengthyWorkers),
  ),
  gauge('mpm_workers_min', 'Workers that are never culled (startServers).', () =>
    plain(limits.startServers),
  ),
  gauge('mpm_workers_max', 'Workers that serve at the same time (maxRequestWorkers).', () =>
    plain(limits.maxRequestWorkers),
  ),
  counter('mpm_worker_starts_total', 'Children started.', (now) => plain(now.childStarts)),
  counter(
    'mpm_worker_start_failures_total',
    'Children that ended by a fault before they served.',
    (now) => plain(now.startFailures),
  ),
  counter('mpm_worker_spawns_total', 'Children started by reason.', ({ spawns }) =>
    labelled('reason', given(SPAWN_REASONS), (reason) => spawns[reason]),
  ),
  counter(
    'mpm_worker_culls_total',
    'Workers that retired as one too many, by reason.',
    ({ culls }) => labelled('reason', given(CULL_REASONS), (reason) => culls[reason]),
  ),
  gauge(
    'mpm_worker_recycling_rest_seconds',
    'Until a child that has reached a limit may be replaced, 0: now.',
    (now) => plain(now.recyclingRestMs / 1000),
  ),
  gauge('mpm_generation', 'Generation of workers; rises with a reload or a restart.', (now) =>
    plain(now.generation),
  ),
  gauge('mpm_worker_generation', 'Generation that a worker was started with.', ({ children }) =>
    perWorker(children, ({ generation }) => generation),
  ),
  counter('mpm_worker_exits_total', 'Children ended by reason.', ({ childExits }) =>
    labelled('reason', EXIT_REASONS, (reason) => childExits[reason], exitLabel),
  ),
  gauge(
    'mpm_worker_connections_limit',
    'Connections after which a child retires (maxConnectionsPerChild), 0: never.',
    () => plain(limits.maxConnectionsPerChild),
  ),
  gauge(
    'mpm_worker_life_connections',
    'Connections that the present child of a worker has served.',
    ({ children }) => perWorker(children, ({ lifeConnections }) => lifeConnections),
  ),
  gauge('mpm_worker_heap_used_bytes', 'V8 heap in use as last sampled.', ({ children }) =>
    perWorker(children, ({ heapUsedBytes }) => (heapUsedBytes > 0 ? heapUsedBytes : null)),
  ),
  gauge(
    'mpm_worker_external_memory_bytes',
    'What V8 objects hold outside of the heap (Buffers), as last sampled.',
    ({ children }) => perWorker(children, ({ externalBytes }) => externalBytes),
  ),
  gauge(
    'mpm_worker_memory_limit_bytes',
    'Heap and external memory after which a child retires; none where there is no limit.',
    ({ children }) =>
      perWorker(children, ({ memoryLimitBytes }) =>
        memoryLimitBytes > 0 ? memoryLimitBytes : null,
      ),
  ),
  gauge(
    'mpm_worker_pinned_connections',
    'Connections with an unfinished handler or body in a worker.',
    ({ children }) => perWorker(children, ({ pinned }) => pinned),
  ),
  gauge(
    'mpm_worker_handling_seconds',
    'For how long the handler that a worker runs now has kept its thread, 0: none.',
    ({ children }) => perWorker(children, ({ handlingMs }) => handlingMs / 1000),
  ),
  gauge(
    'mpm_worker_event_loop_utilization_ratio',
    'Share of the last second in which the event loop of a worker was not idle.',
    ({ children }) => perWorker(children, ({ eventLoopUtilization }) => eventLoopUtilization),
  ),
  kept(
    'mpm_worker_connections_at_exit',
    'Connections that a child had served when it ended.',
    'workerConnectionsAtExit',
  ),
  kept(
    'mpm_worker_heap_at_exit_bytes',
    'V8 heap in use of a child when it ended, by its last sample.',
    'workerHeapAtExit',
  ),
  counter('mpm_worker_connections_total', 'Connections served, each once per child.', (now) =>
    plain(now.totals.connections),
  ),
  counter('mpm_worker_busy_seconds_total', 'Time that workers spent in turns.', ({ totals }) =>
    plain(totals.busyMs / 1000),
  ),
  counter('mpm_worker_turns_total', 'Turns of the serving loops.', (now) =>
    plain(now.totals.turns),
  ),
  counter('mpm_worker_wakes_total', 'Workers woken for what waited in the queue.', (now) =>
    plain(now.wakes + now.totals.wakes),
  ),
  counter(
    'mpm_worker_rewakes_total',
    'Workers signalled by the sweep: no turn for half a second, no handler, and something waiting.',
    (now) => plain(now.rewakes),
  ),
  counter(
    'mpm_proxy_header_errors_total',
    'Connections closed for want of a well-formed PROXY header.',
    (now) => plain(now.totals.proxyErrors),
  ),
  counter('mpm_delegations_total', 'Requests that the leader gave to an idle worker.', (now) =>
    plain(now.totals.delegations),
  ),
  counter('mpm_lead_changes_total', 'Changes of who polls the request set.', (now) => [
    { value: now.totals.leads, labels: { event: 'taken' } },
    { value: now.totals.passes, labels: { event: 'passed' } },
    { value: now.takeBacks, labels: { event: 'taken_back' } },
  ]),
];
