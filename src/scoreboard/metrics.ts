/**
 * Prometheus metrics whose values are read from shared memory at the moment of a scrape.
 *
 * Role: a prom-client registry of metrics that hold nothing themselves. Counters are kept by child slot
 * and outlive children, so they never fall while the server runs.
 * Thread: the admin thread. May not: keep state, or ask another thread for anything.
 *
 * Of prom-client's default metrics only figures of the whole process are here; its event loop, garbage
 * collection and heap figures are those of the thread they are read in, so of nobody's interest. Its CPU
 * counters begin at 0 with their registration; these are the process's own and survive a restart of the
 * admin thread.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { Gauge, type MetricObjectWithValues, type MetricType, Registry } from 'prom-client';
import { DURATION_BUCKETS_MS } from './layout.ts';
import type { Scoreboard } from './scoreboard.ts';
import {
  CLOSE_REASONS,
  EXIT_REASONS,
  type ExitReasonName,
  OPEN_STATES,
  type Snapshot,
  takeSnapshot,
} from './snapshot.ts';

/** Limits that are not in the scoreboard. */
export interface MetricsOptions {
  readonly version: string;
  readonly startServers: number;
  readonly maxRequestWorkers: number;
  readonly queueLimit: number;
  /** 0: unlimited. */
  readonly maxConnectionsPerChild: number;
}

type Kind = 'counter' | 'gauge' | 'histogram' | 'summary';

interface Sample {
  readonly value: number;
  readonly labels: Record<string, string>;
  /** Where it is not the metric's: `_bucket`, `_sum`, `_count` are samples of one metric. */
  readonly metricName?: string;
}

/**
 * A metric of any kind whose samples come from `read`. A registry asks its metrics only for `name` and
 * `get`, and writes the type that `get` names; the library's own classes can count and observe, but
 * take no buckets or sums from elsewhere.
 */
class SharedMetric extends Gauge {
  readonly #kind: Kind;
  readonly #name: string;
  readonly #help: string;
  readonly #read: () => readonly Sample[];

  constructor(
    registry: Registry,
    kind: Kind,
    name: string,
    help: string,
    read: () => readonly Sample[],
  ) {
    super({ name, help, registers: [registry] });
    this.#kind = kind;
    this.#name = name;
    this.#help = help;
    this.#read = read;
  }

  override async get(): Promise<MetricObjectWithValues<Sample>> {
    return {
      name: this.#name,
      help: this.#help,
      // Declared as an enum, a string in fact.
      type: this.#kind as unknown as MetricType,
      aggregator: 'sum',
      collect: () => {},
      values: [...this.#read()],
    };
  }
}

const plain = (value: number): Sample[] => [{ value, labels: {} }];

function labelled<T extends string>(
  label: string,
  keys: readonly T[],
  value: (key: T) => number,
  text: (key: T) => string = snakeCase,
): Sample[] {
  return keys.map((key) => ({ value: value(key), labels: { [label]: text(key) } }));
}

/** `waitRequest` to `wait_request`. */
const snakeCase = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const exitLabel = (reason: ExitReasonName): string =>
  reason === 'outOfMemory' ? 'oom' : snakeCase(reason);

/** The registry of one server; `metrics()` of it gives the text. */
export function createMetrics(board: Scoreboard, options: MetricsOptions): Registry {
  const registry = new Registry();
  // A registry reads all metrics in one go before it first waits, so they share one snapshot.
  let held: Snapshot | null = null;
  const snapshot = (): Snapshot => {
    if (held === null) {
      held = takeSnapshot(board);
      queueMicrotask(() => {
        held = null;
      });
    }
    return held;
  };
  const add = (kind: Kind) => (name: string, help: string, read: (now: Snapshot) => Sample[]) => {
    new SharedMetric(registry, kind, name, help, () => read(snapshot()));
  };
  addConnections(add);
  addWorkers(add, options);
  addQueue(add, options);
  addRequests(add);
  addProcess(add, options.version);
  return registry;
}

type Add = (kind: Kind) => (name: string, help: string, read: (now: Snapshot) => Sample[]) => void;

function addConnections(add: Add): void {
  const counter = add('counter');
  const gauge = add('gauge');
  gauge('mpm_connections', 'Open connections by state.', ({ connections }) =>
    labelled('state', OPEN_STATES, (state) => connections[state]),
  );
  gauge('mpm_connections_max', 'Connections that can be open at the same time.', (now) =>
    plain(now.connectionsMax),
  );
  counter('mpm_connections_accepted_total', 'Connections accepted.', (now) => plain(now.accepted));
  counter('mpm_write_completions_total', 'Responses whose rest the listener sent.', (now) =>
    plain(now.completions),
  );
  add('gauge')('mpm_spilled_bytes', 'Response bodies kept in memory files.', (now) =>
    plain(now.spilledBytes),
  );
  counter('mpm_connections_closed_total', 'Connections closed by reason.', ({ closed }) =>
    labelled('reason', CLOSE_REASONS, (reason) => closed[reason]),
  );
  gauge('mpm_accept_paused', '1 while the running server lets no new clients in.', (now) =>
    plain(now.phase === 'running' && !now.accepting ? 1 : 0),
  );
  counter('mpm_accept_pauses_total', 'Times accepting was paused.', (now) =>
    plain(now.acceptPauses),
  );
  counter('mpm_accept_errors_total', 'Errors of accept.', (now) => plain(now.acceptErrors));
  counter('mpm_stale_events_total', 'Poll events for a connection that was gone.', (now) =>
    plain(now.staleEvents + now.totals.staleEvents),
  );
  counter('mpm_noticed_events_total', 'Poll events for a connection a worker owned.', (now) =>
    plain(now.noticed + now.totals.noticed),
  );
  gauge('mpm_buffers', 'Connection buffers by use.', ({ buffers }) =>
    labelled('state', ['free', 'spare', 'used'], (state) => buffers[state]),
  );
}

function addWorkers(add: Add, options: MetricsOptions): void {
  const counter = add('counter');
  const gauge = add('gauge');
  gauge('mpm_workers', 'Workers by state.', ({ workers }) =>
    labelled('state', ['starting', 'idle', 'busy', 'draining'], (state) => workers[state]),
  );
  gauge('mpm_workers_min', 'Workers that are never culled (startServers).', () =>
    plain(options.startServers),
  );
  gauge('mpm_workers_max', 'Workers that serve at the same time (maxRequestWorkers).', () =>
    plain(options.maxRequestWorkers),
  );
  counter('mpm_worker_starts_total', 'Children started.', (now) => plain(now.childStarts));
  counter('mpm_worker_exits_total', 'Children ended by reason.', ({ childExits }) =>
    labelled('reason', EXIT_REASONS, (reason) => childExits[reason], exitLabel),
  );
  gauge(
    'mpm_worker_connections_limit',
    'Connections after which a child retires (maxConnectionsPerChild), 0: never.',
    () => plain(options.maxConnectionsPerChild),
  );
  gauge('mpm_worker_heap_used_bytes', 'V8 heap in use as last sampled.', ({ children }) =>
    children
      .filter(({ state, heapUsedBytes }) => state !== 'empty' && heapUsedBytes > 0)
      .map(({ slot, heapUsedBytes }) => ({
        value: heapUsedBytes,
        labels: { worker: String(slot) },
      })),
  );
  counter('mpm_worker_busy_seconds_total', 'Time that workers spent in turns.', ({ totals }) =>
    plain(totals.busyMs / 1000),
  );
  counter('mpm_worker_turns_total', 'Turns of the serving loops.', (now) =>
    plain(now.totals.turns),
  );
  counter(
    'mpm_proxy_header_errors_total',
    'Connections closed for want of a well-formed PROXY header.',
    (now) => plain(now.totals.proxyErrors),
  );
  counter('mpm_delegations_total', 'Requests that the leader gave to an idle worker.', (now) =>
    plain(now.totals.delegations),
  );
  counter('mpm_worker_wakes_total', 'Workers woken for what waited in the queue.', (now) =>
    plain(now.wakes + now.totals.wakes),
  );
  counter('mpm_lead_changes_total', 'Changes of who polls the request set.', (now) => [
    { value: now.totals.leads, labels: { event: 'taken' } },
    { value: now.totals.passes, labels: { event: 'passed' } },
    { value: now.takeBacks, labels: { event: 'taken_back' } },
  ]);
}

function addQueue(add: Add, options: MetricsOptions): void {
  const counter = add('counter');
  const gauge = add('gauge');
  gauge('mpm_queue_length', 'Connections that wait for a worker.', (now) => plain(now.queueLength));
  gauge('mpm_queue_max', 'Length at which accepting pauses (queueLimit).', () =>
    plain(options.queueLimit),
  );
  add('summary')('mpm_queue_wait_seconds', 'Time connections waited for a worker.', (now) => [
    {
      value: now.totals.queueWaitMs / 1000,
      labels: {},
      metricName: 'mpm_queue_wait_seconds_sum',
    },
    { value: now.totals.claims, labels: {}, metricName: 'mpm_queue_wait_seconds_count' },
  ]);
  counter('mpm_handoffs_total', 'Connections handed over, into and out of the queue.', (now) => [
    { value: now.dispatched + now.totals.dispatched, labels: { direction: 'dispatch' } },
    { value: now.totals.claims, labels: { direction: 'claim' } },
  ]);
  counter('mpm_requeued_orphans_total', 'Queued connections that had lost their ticket.', (now) =>
    plain(now.requeuedOrphans),
  );
}

function addRequests(add: Add): void {
  const counter = add('counter');
  counter('mpm_requests_total', 'Requests whose last byte has left.', ({ totals }) =>
    plain(totals.requests),
  );
  counter('mpm_responses_total', 'Responses by status class.', ({ totals }) =>
    totals.statuses.map((value, index) => ({ value, labels: { class: `${index + 1}xx` } })),
  );
  counter('mpm_worker_connections_total', 'Connections served, each once per child.', (now) =>
    plain(now.totals.connections),
  );
  counter(
    'mpm_pipelined_requests_total',
    'Requests that had arrived with the one before.',
    ({ totals }) => plain(totals.pipelined),
  );
  counter('mpm_aborted_requests_total', 'Requests whose client left.', ({ totals }) =>
    plain(totals.aborted),
  );
  counter('mpm_received_bytes_total', 'Bytes received.', ({ totals }) =>
    plain(totals.receivedBytes),
  );
  counter('mpm_sent_bytes_total', 'Bytes handed to the kernel.', ({ totals }) =>
    plain(totals.sentBytes),
  );
  counter('mpm_log_lost_total', 'Access log lines that neither memory nor file took.', (now) =>
    plain(now.logLost),
  );
  const name = 'http_request_duration_seconds';
  add('histogram')(name, 'From the call of the handler to the last byte sent.', ({ totals }) =>
    histogram(name, totals.durations, totals.durationMs / 1000),
  );
}

/** Cumulative buckets; the count is the last of them, so that the two never contradict each other. */
function histogram(name: string, counts: readonly number[], sum: number): Sample[] {
  let cumulative = 0;
  const samples = counts.map((count, index): Sample => {
    cumulative += count;
    const bound = DURATION_BUCKETS_MS[index];
    const le = bound === undefined ? '+Inf' : String(bound / 1000);
    return { value: cumulative, labels: { le }, metricName: `${name}_bucket` };
  });
  return [
    ...samples,
    { value: sum, labels: {}, metricName: `${name}_sum` },
    { value: cumulative, labels: {}, metricName: `${name}_count` },
  ];
}

function addProcess(add: Add, version: string): void {
  const counter = add('counter');
  const gauge = add('gauge');
  gauge('mpm_build_info', 'Version of the server and of Node.', () => [
    { value: 1, labels: { version, node: process.versions.node } },
  ]);
  const cpu = (kind: 'user' | 'system') => process.cpuUsage()[kind] / 1e6;
  counter('process_cpu_user_seconds_total', 'User CPU time of all threads.', () =>
    plain(cpu('user')),
  );
  counter('process_cpu_system_seconds_total', 'System CPU time of all threads.', () =>
    plain(cpu('system')),
  );
  counter('process_cpu_seconds_total', 'User and system CPU time of all threads.', () =>
    plain(cpu('user') + cpu('system')),
  );
  // Down: rounded up, a young process would have started in the future.
  const startedSeconds = Math.floor(Date.now() / 1000 - process.uptime());
  gauge('process_start_time_seconds', 'Start of the process since the Unix epoch.', () =>
    plain(startedSeconds),
  );
  const memory = (field: string) =>
    procNumber('status', new RegExp(`^${field}:\\s+(\\d+) kB`, 'm'), 1024);
  gauge('process_resident_memory_bytes', 'Resident memory.', () => memory('VmRSS'));
  gauge('process_virtual_memory_bytes', 'Virtual memory.', () => memory('VmSize'));
  gauge('process_open_fds', 'Open file descriptors.', openDescriptors);
  gauge('process_max_fds', 'Most file descriptors that can be open.', () =>
    procNumber('limits', /^Max open files\s+(\d+)/m, 1),
  );
}

/** A number out of /proc/self; no sample where it cannot be read. */
function procNumber(file: string, line: RegExp, unit: number): Sample[] {
  try {
    // Not through the thread pool, which the application may have filled; these reads never block.
    const match = line.exec(readFileSync(`/proc/self/${file}`, 'utf8'));
    return match === null ? [] : plain(Number(match[1]) * unit);
  } catch {
    return [];
  }
}

function openDescriptors(): Sample[] {
  try {
    // Less the one that reads the folder.
    return plain(readdirSync('/proc/self/fd').length - 1);
  } catch {
    return [];
  }
}
