/**
 * Renders docs/sizing.md: the directives that decide how much is let in and how many workers there are.
 *
 * Role: defaults, ranges and advice out of the table, beside the metrics to look at:
 * `node dist/main/config/sizing-reference.js > docs/sizing.md`.
 * Thread: main. A test holds the committed file against it, so nothing of the machine may show.
 */
import { pathToFileURL } from 'node:url';
import { ANY_MACHINE } from './reference.ts';
import { DIRECTIVES, type DirectiveName, NAMES } from './table.ts';

/** What tells whether a value is right. */
export const WATCH: { readonly [Name in DirectiveName]?: readonly string[] } = {
  listenBacklog: ['mpm_accept_paused', 'mpm_accept_pauses_total'],
  maxConnections: [
    'mpm_connections',
    'mpm_connections_max',
    'mpm_connections_dropped_total{reason="shed"}',
    'mpm_accept_errors_total',
  ],
  queueLimit: ['mpm_queue_length', 'mpm_queue_max', 'mpm_accept_paused'],
  queueTimeout: [
    'mpm_queue_wait_seconds',
    'mpm_connections_dropped_total{reason="queue_timeout"}',
    'mpm_responses_total',
  ],
  startServers: ['mpm_workers', 'mpm_worker_starts_total', 'mpm_queue_wait_seconds'],
  minSpareThreads: ['mpm_workers', 'mpm_queue_wait_seconds'],
  maxSpareThreads: ['mpm_workers', 'mpm_worker_starts_total', 'mpm_worker_exits_total'],
  maxRequestWorkers: [
    'mpm_workers',
    'mpm_workers_max',
    'mpm_queue_length',
    'mpm_worker_event_loop_utilization_ratio',
  ],
  asyncRequestWorkerFactor: ['mpm_workers', 'mpm_queue_wait_seconds'],
  maxConnectionsPerChild: ['mpm_worker_heap_at_exit_bytes', 'mpm_worker_exits_total'],
  maxRequestsPerChild: ['mpm_worker_heap_at_exit_bytes', 'mpm_worker_exits_total'],
  maxMemoryPerChild: [
    'mpm_worker_heap_used_bytes',
    'mpm_worker_external_memory_bytes',
    'mpm_worker_exits_total',
  ],
  maxHeapPerChild: ['mpm_worker_heap_used_bytes', 'mpm_worker_exits_total'],
  keepAliveTimeout: ['mpm_connections', 'mpm_connections_closed_total'],
  requestDeadline: ['mpm_worker_exits_total', 'mpm_connections_closed_total'],
  drainDelay: ['mpm_connections'],
  gracefulShutdownTimeout: ['mpm_connections', 'mpm_connections_dropped_total{reason="forced"}'],
};

const shown = (name: DirectiveName): boolean =>
  DIRECTIVES[name].group === 'workers' || WATCH[name] !== undefined;
const cell = (text: string): string => text.replaceAll('|', '\\|');

function line(name: DirectiveName): string {
  const { kind, initial, initially, change } = DIRECTIVES[name];
  const rendered = initially ?? `\`${kind.format(initial(ANY_MACHINE, {}) as never)}\``;
  const metrics = (WATCH[name] ?? []).map((metric) => `\`${metric}\``).join(', ');
  const link = `[${name}](directives.md#${name.toLowerCase()})`;
  const cells = [link, rendered, kind.range, change.replace(/\.$/, ''), metrics];
  return `| ${cells.map(cell).join(' | ')} |`;
}

export function sizingText(): string {
  return [
    '# Sizing: what to set, when, and what to watch',
    '',
    '<!-- Generated from src/main/config/table.ts: node dist/main/config/sizing-reference.js > docs/sizing.md -->',
    '',
    'The defaults go by the processors (of the cgroup, where that has fewer) and the limits of the process; most applications need none of these. Metrics are at /metrics of the admin server. What happens under more load than there is room for is in [operation.md](operation.md), what workers do in [workers.md](workers.md).',
    '',
    '| Directive | Default | Range | Change it | Watch |',
    '|---|---|---|---|---|',
    ...NAMES.filter(shown).map(line),
    '',
  ].join('\n');
}

const script = process.argv[1];
if (script !== undefined && pathToFileURL(script).href === import.meta.url) {
  process.stdout.write(sizingText());
}
