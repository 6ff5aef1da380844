/**
 * The dashboard 'MaxConnectionsPerChild tuning': what a life costs, what it keeps, and whether its end
 * is felt. docs/tuning-max-connections-per-child.md says how to read it.
 */
import { chart, dashboard, figure, startsOverlay, withRows } from './panels.ts';
import { increase, mean, of, quantile, rate, sum } from './queries.ts';

const DURATION = 'http_request_duration_seconds';
const RECYCLED = 'reason=~"max_.*"';
const SERVING = 'state=~"idle|busy"';

const figures = [
  figure({
    title: 'Limit',
    description: 'maxConnectionsPerChild; 0: children live for ever.',
    unit: 'short',
    query: `max(${of('mpm_worker_connections_limit')})`,
  }),
  figure({
    title: 'Serving workers',
    description: 'Idle and busy ones.',
    unit: 'short',
    query: sum('mpm_workers', '', SERVING),
  }),
  figure({
    title: 'Recycled an hour',
    description: 'Children that ended at a limit, all workers together.',
    unit: 'short',
    query: `3600 * ${rate('mpm_worker_exits_total', '', RECYCLED)}`,
  }),
  figure({
    title: 'Died an hour',
    description: 'Children that ended by an error, out of memory or on their own. Should be 0.',
    unit: 'short',
    query: `3600 * ${rate('mpm_worker_exits_total', '', 'reason=~"error|oom|exited"')}`,
    faultAt: 1,
  }),
  figure({
    title: 'Life of a child',
    description: 'Serving workers divided by ends at a limit: how long one lives at this rate.',
    unit: 's',
    query: `${sum('mpm_workers', '', SERVING)} / ${rate('mpm_worker_exits_total', '', RECYCLED)}`,
  }),
  figure({
    title: 'Largest heap now',
    description: 'Of the living children.',
    unit: 'bytes',
    query: `max(${of('mpm_worker_heap_used_bytes')})`,
  }),
  figure({
    title: 'Heap at exit, p90',
    description: 'Of children that ended in the interval.',
    unit: 'bytes',
    query: quantile(0.9, 'mpm_worker_heap_at_exit_bytes'),
  }),
  figure({
    title: 'p99',
    description: 'Latency of requests.',
    unit: 's',
    query: quantile(0.99, DURATION),
  }),
];

const memory = [
  chart({
    title: 'Heap by worker',
    description:
      'A saw tooth: it rises through a life and falls with the next. Flat lines: the application does not leak, and the limit may be higher.',
    unit: 'bytes',
    columns: 12,
    queries: [[of('mpm_worker_heap_used_bytes'), '{{instance}} {{worker}}']],
  }),
  chart({
    title: 'Connections of the present child',
    description: 'By worker, against the limit.',
    unit: 'short',
    columns: 12,
    queries: [
      [of('mpm_worker_life_connections'), '{{instance}} {{worker}}'],
      [`max(${of('mpm_worker_connections_limit')})`, 'limit'],
    ],
    limits: ['limit'],
  }),
  chart({
    title: 'Heap at exit',
    description: 'What a life has come to when it ends.',
    unit: 'bytes',
    columns: 12,
    queries: [
      [quantile(0.5, 'mpm_worker_heap_at_exit_bytes'), 'p50'],
      [quantile(0.9, 'mpm_worker_heap_at_exit_bytes'), 'p90'],
      [mean('mpm_worker_heap_at_exit_bytes'), 'mean'],
    ],
  }),
  chart({
    title: 'Connections at exit',
    description: 'Far below the limit: children end for another reason.',
    unit: 'short',
    columns: 12,
    queries: [
      [quantile(0.5, 'mpm_worker_connections_at_exit'), 'p50'],
      [mean('mpm_worker_connections_at_exit'), 'mean'],
      [`max(${of('mpm_worker_connections_limit')})`, 'limit'],
    ],
    limits: ['limit'],
  }),
  chart({
    title: 'Heap gained by a connection',
    description:
      'Mean heap at exit divided by mean connections at exit: an upper bound of the leak, since it has the heap of a fresh child in it.',
    unit: 'bytes',
    columns: 12,
    queries: [
      [
        `(${mean('mpm_worker_heap_at_exit_bytes')}) / (${mean('mpm_worker_connections_at_exit')})`,
        'bytes for a connection',
      ],
    ],
  }),
  chart({
    title: 'Resident memory',
    description: 'Of the process. This is what the machine has to hold.',
    unit: 'bytes',
    columns: 12,
    queries: [[of('process_resident_memory_bytes'), '{{instance}}']],
  }),
];

const cost = [
  chart({
    title: 'Latency and worker starts',
    description:
      'Starts are the vertical lines. Peaks at them: recycle less often, or keep spare workers.',
    unit: 's',
    columns: 12,
    queries: [
      [quantile(0.5, DURATION), 'p50'],
      [quantile(0.9, DURATION), 'p90'],
      [quantile(0.99, DURATION), 'p99'],
    ],
  }),
  chart({
    title: 'Starts and exits',
    description: 'Within the interval of a point.',
    unit: 'short',
    columns: 12,
    queries: [
      [increase('mpm_worker_starts_total'), 'started'],
      [increase('mpm_worker_exits_total', 'reason'), 'ended: {{reason}}'],
    ],
  }),
  chart({
    title: 'Workers by state',
    description:
      'A successor starts before its predecessor drains, so both are there for a moment.',
    unit: 'short',
    columns: 12,
    stacked: true,
    queries: [[sum('mpm_workers', 'state'), '{{state}}']],
  }),
  chart({
    title: 'Processor and queue',
    description:
      'Loading the application takes processor time from the others; the queue shows it.',
    unit: 'short',
    columns: 12,
    queries: [
      [rate('process_cpu_seconds_total'), 'processors in use'],
      [sum('mpm_queue_length'), 'waiting connections'],
    ],
  }),
];

export function tuning() {
  const built = dashboard(
    'hybrid-mpm-recycling',
    'MaxConnectionsPerChild tuning',
    'How large children grow, how often they are replaced, and whether requests feel it.',
  ).annotation(startsOverlay(true));
  const rows = [
    ['Now', figures],
    ['What a life keeps', memory],
    ['What its end costs', cost],
  ] as const;
  return withRows(built, rows).build();
}
