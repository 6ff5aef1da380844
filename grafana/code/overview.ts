/**
 * The dashboard 'hybrid-mpm': everything about the server, from the whole down to the runtime.
 */
import { chart, dashboard, figure, startsOverlay, withRows } from './panels.ts';
import { increase, mean, of, quantile, rate, sum } from './queries.ts';

const DURATION = 'http_request_duration_seconds';
const SERVING = 'state=~"idle|busy"';

const figures = [
  figure({
    title: 'Servers up',
    description: 'Servers that answered the last scrape.',
    unit: 'short',
    query: `sum(up{job=~"$job",instance=~"$instance"})`,
    faultBelow: 1,
  }),
  figure({
    title: 'Requests',
    description: 'Requests a second whose last byte has left.',
    unit: 'reqps',
    query: rate('mpm_requests_total'),
  }),
  figure({
    title: 'Errors',
    description: 'Share of 5xx among all responses.',
    unit: 'percentunit',
    query: `${rate('mpm_responses_total', '', 'class="5xx"')} / ${rate('mpm_responses_total')}`,
    warnAt: 0.01,
    faultAt: 0.05,
  }),
  figure({
    title: 'p99',
    description: 'From the call of the handler to the last byte sent: 99 of 100 are faster.',
    unit: 's',
    query: quantile(0.99, DURATION),
    warnAt: 0.5,
    faultAt: 1,
  }),
  figure({
    title: 'Connections',
    description: 'Open connections as a share of maxConnections.',
    unit: 'percentunit',
    query: `${sum('mpm_connections')} / ${sum('mpm_connections_max')}`,
    warnAt: 0.7,
    faultAt: 0.85,
  }),
  figure({
    title: 'Busy workers',
    description: 'Busy workers as a share of maxRequestWorkers.',
    unit: 'percentunit',
    query: `${sum('mpm_workers', '', 'state="busy"')} / ${sum('mpm_workers_max')}`,
    warnAt: 0.7,
    faultAt: 0.9,
  }),
  figure({
    title: 'Queue',
    description: 'Connections with a request that no worker has taken yet.',
    unit: 'short',
    query: sum('mpm_queue_length'),
    warnAt: 10,
    faultAt: 100,
  }),
  figure({
    title: 'Youngest uptime',
    description: 'Since the last start of a chosen server.',
    unit: 'dtdurations',
    query: `min(time() - ${of('process_start_time_seconds')})`,
  }),
];

const traffic = [
  chart({
    title: 'Requests by status class',
    description: 'Responses a second. 1xx are interim responses.',
    unit: 'reqps',
    stacked: true,
    queries: [[rate('mpm_responses_total', 'class'), '{{class}}']],
  }),
  chart({
    title: 'Latency',
    description: 'From the call of the handler to the last byte sent.',
    unit: 's',
    queries: [
      [quantile(0.5, DURATION), 'p50'],
      [quantile(0.9, DURATION), 'p90'],
      [quantile(0.99, DURATION), 'p99'],
      [mean(DURATION), 'mean'],
    ],
  }),
  chart({
    title: 'Bytes',
    description: 'Received from clients and handed to the kernel for them.',
    unit: 'Bps',
    queries: [
      [rate('mpm_received_bytes_total'), 'received'],
      [rate('mpm_sent_bytes_total'), 'sent'],
    ],
  }),
  chart({
    title: 'Busiest routes',
    description:
      'Requests a second by method and route, the ten highest. `__unknown__`: the handler named none.',
    unit: 'reqps',
    queries: [[`topk(10, ${rate(`${DURATION}_count`, 'method, route')})`, '{{method}} {{route}}']],
  }),
  chart({
    title: 'Slowest routes',
    description: 'p95 by route, the ten highest.',
    unit: 's',
    queries: [[`topk(10, ${quantile(0.95, DURATION, 'route')})`, '{{route}}']],
  }),
  chart({
    title: 'Size of responses',
    description: 'Bytes, heads included. Without those that go on to the end of another socket.',
    unit: 'bytes',
    queries: [
      [quantile(0.5, 'http_response_size_bytes'), 'p50'],
      [quantile(0.99, 'http_response_size_bytes'), 'p99'],
      [mean('http_response_size_bytes'), 'mean'],
    ],
  }),
  chart({
    title: 'In flight and given up',
    description:
      'Requests in workers or on their way to the client; clients that left before their response.',
    unit: 'short',
    queries: [
      [sum('http_requests_in_flight'), 'in flight'],
      [rate('mpm_aborted_requests_total'), 'client left, per second'],
      [rate('mpm_pipelined_requests_total'), 'pipelined, per second'],
    ],
  }),
];

const connections = [
  chart({
    title: 'Connections by state',
    description:
      'Those that wait (wait_request, read_request, keepalive) cost no worker. Above the limit accepting pauses.',
    unit: 'short',
    stacked: true,
    queries: [
      [sum('mpm_connections', 'state'), '{{state}}'],
      [sum('mpm_connections_max'), 'limit'],
    ],
    limits: ['limit'],
  }),
  chart({
    title: 'Accepted and closed',
    description: 'A second; closed by reason.',
    unit: 'cps',
    queries: [
      [rate('mpm_connections_accepted_total'), 'accepted'],
      [rate('mpm_connections_closed_total', 'reason'), 'closed: {{reason}}'],
    ],
  }),
  chart({
    title: 'Reuse',
    description:
      'Share of requests on a connection that had one before. Low: clients do not keep connections, or keepAliveTimeout is shorter than their pauses.',
    unit: 'percentunit',
    max: 1,
    queries: [[`${rate('mpm_keepalive_reuses_total')} / ${rate('mpm_requests_total')}`, 'reused']],
  }),
  chart({
    title: 'Accept pauses and errors',
    description:
      'Paused: the queue or the slots are full, or descriptors are short; clients wait in the backlog of the kernel.',
    unit: 'short',
    queries: [
      [sum('mpm_accept_paused'), 'servers that pause now'],
      [rate('mpm_accept_pauses_total'), 'pauses, per second'],
      [rate('mpm_accept_errors_total', 'errno'), '{{errno}}, per second'],
    ],
  }),
  chart({
    title: 'Dropped',
    description:
      'Connections that the server ended for lack of room, at its stop or because a worker died.',
    unit: 'cps',
    queries: [[rate('mpm_connections_dropped_total', 'reason'), '{{reason}}']],
  }),
  chart({
    title: 'Life of a connection',
    description: 'From accept to close, of connections closed in the interval.',
    unit: 's',
    columns: 4,
    queries: [
      [quantile(0.5, 'mpm_connection_duration_seconds'), 'p50'],
      [quantile(0.9, 'mpm_connection_duration_seconds'), 'p90'],
    ],
  }),
  chart({
    title: 'Requests of a connection',
    description: 'Requests answered on connections closed in the interval.',
    unit: 'short',
    columns: 4,
    queries: [
      [quantile(0.5, 'mpm_connection_requests'), 'p50'],
      [quantile(0.9, 'mpm_connection_requests'), 'p90'],
      [mean('mpm_connection_requests'), 'mean'],
    ],
  }),
];

const workers = [
  chart({
    title: 'Workers by state',
    description: 'Against startServers and maxRequestWorkers.',
    unit: 'short',
    stacked: true,
    queries: [
      [sum('mpm_workers', 'state'), '{{state}}'],
      [sum('mpm_workers_min'), 'min'],
      [sum('mpm_workers_max'), 'max'],
    ],
    limits: ['min', 'max'],
  }),
  chart({
    title: 'Exits by reason',
    description:
      'Within the interval of a point. error, oom and exited are faults of the application; max_connections and max_requests are recycling.',
    unit: 'short',
    stacked: true,
    queries: [[increase('mpm_worker_exits_total', 'reason'), '{{reason}}']],
  }),
  chart({
    title: 'Why workers start and go',
    description:
      'Within the interval of a point. Many by demand and as many culled: minSpareThreads and maxSpareThreads are too close.',
    unit: 'short',
    queries: [
      [increase('mpm_worker_spawns_total', 'reason'), 'started: {{reason}}'],
      [increase('mpm_worker_culls_total', 'reason'), 'culled: {{reason}}'],
      [increase('mpm_worker_start_failures_total'), 'failed to start'],
    ],
  }),
  chart({
    title: 'Generation',
    description:
      'It rises with a reload or restart; workers of an older one are still to be replaced.',
    unit: 'short',
    queries: [
      [`max(${of('mpm_generation')})`, 'server'],
      [`min(${of('mpm_worker_generation')})`, 'oldest worker'],
    ],
  }),
  chart({
    title: 'Longest handler',
    description:
      'For how long the handler that a worker runs now has kept its thread. Seconds: it computes, or waits without await.',
    unit: 's',
    queries: [
      [`max(${of('mpm_worker_handling_seconds')})`, 'longest'],
      [sum('mpm_worker_pinned_connections'), 'unfinished requests in workers'],
    ],
  }),
  chart({
    title: 'Time in turns',
    description: 'Share of their time that serving workers spend in turns of the serving loop.',
    unit: 'percentunit',
    max: 1,
    queries: [
      [`${rate('mpm_worker_busy_seconds_total')} / ${sum('mpm_workers', '', SERVING)}`, 'busy'],
    ],
  }),
];

const recycling = [
  chart({
    title: 'Heap at exit',
    description:
      'V8 heap of children that ended in the interval. It rises with maxConnectionsPerChild where the application leaks.',
    unit: 'bytes',
    columns: 6,
    queries: [
      [quantile(0.5, 'mpm_worker_heap_at_exit_bytes'), 'p50'],
      [quantile(0.9, 'mpm_worker_heap_at_exit_bytes'), 'p90'],
    ],
  }),
  chart({
    title: 'Connections at exit',
    description:
      'Connections of children that ended in the interval, against their limit. Far below it: they end for another reason.',
    unit: 'short',
    columns: 6,
    queries: [
      [quantile(0.5, 'mpm_worker_connections_at_exit'), 'p50'],
      [mean('mpm_worker_connections_at_exit'), 'mean'],
      [`max(${of('mpm_worker_connections_limit')})`, 'limit'],
    ],
    limits: ['limit'],
  }),
  chart({
    title: 'Recycling',
    description: 'Children an hour that ended at their limit, for each serving worker.',
    unit: 'short',
    columns: 6,
    queries: [
      [
        `3600 * ${rate('mpm_worker_exits_total', '', 'reason=~"max_.*"')} / ${sum('mpm_workers', '', SERVING)}`,
        'per worker and hour',
      ],
    ],
  }),
  chart({
    title: 'Rest between replacements',
    description:
      'Until the next child at its limit may be replaced: four times what the last start took. Never 0: limits are reached faster than successors start.',
    unit: 's',
    columns: 6,
    queries: [[`max(${of('mpm_worker_recycling_rest_seconds')})`, 'rest']],
  }),
  chart({
    title: 'p99 and worker starts',
    description:
      'Starts are the vertical lines. A peak at each of them: a start costs processor time that requests lack.',
    unit: 's',
    columns: 6,
    queries: [[quantile(0.99, DURATION), 'p99']],
  }),
];

const inside = [
  chart({
    title: 'Listener',
    description:
      'One turn of its loop: everything it does before it asks the kernel again. Above 10 ms clients notice.',
    unit: 's',
    queries: [
      [quantile(0.5, 'mpm_listener_loop_duration_seconds'), 'p50'],
      [quantile(0.99, 'mpm_listener_loop_duration_seconds'), 'p99'],
    ],
  }),
  chart({
    title: 'Queue',
    description: 'Connections that wait for a worker. At the limit accepting pauses.',
    unit: 'short',
    queries: [
      [sum('mpm_queue_length'), 'waiting'],
      [sum('mpm_queue_max'), 'limit'],
    ],
    limits: ['limit'],
  }),
  chart({
    title: 'Wait in the queue',
    description: 'From the event that made a connection readable to the worker that took it.',
    unit: 's',
    queries: [
      [quantile(0.5, 'mpm_queue_wait_seconds'), 'p50'],
      [quantile(0.99, 'mpm_queue_wait_seconds'), 'p99'],
      [mean('mpm_queue_wait_seconds'), 'mean'],
    ],
  }),
  chart({
    title: 'Hand-offs',
    description:
      'Into and out of the queue, requests that the leader gave away, workers woken, changes of the lead; a second.',
    unit: 'ops',
    queries: [
      [rate('mpm_handoffs_total', 'direction'), '{{direction}}'],
      [rate('mpm_delegations_total'), 'delegated'],
      [rate('mpm_worker_wakes_total'), 'woken'],
      [rate('mpm_lead_changes_total', 'event'), 'lead {{event}}'],
    ],
  }),
  chart({
    title: 'Buffers',
    description: 'Connection buffers by use.',
    unit: 'short',
    stacked: true,
    queries: [[sum('mpm_buffers', 'state'), '{{state}}']],
  }),
  chart({
    title: 'Contention',
    description:
      'A second: moves of a connection that another thread forestalled, and buffers from the shared set. A few in a thousand requests are usual.',
    unit: 'ops',
    queries: [
      [rate('mpm_scoreboard_cas_retries_total', 'by'), 'forestalled: {{by}}'],
      [rate('mpm_buffer_misses_total'), 'buffers from the shared set'],
    ],
  }),
  chart({
    title: 'Slow readers',
    description:
      'Bodies kept for clients that read slowly, in memory files and in files of spillFolder.',
    unit: 'bytes',
    stacked: true,
    queries: [[sum('mpm_spilled_bytes', 'place'), '{{place}}']],
  }),
  chart({
    title: 'Late events',
    description:
      'Poll events for a connection that was gone or owned. Harmless; many of them are wasted turns.',
    unit: 'ops',
    queries: [
      [rate('mpm_stale_events_total'), 'stale'],
      [rate('mpm_noticed_events_total'), 'noticed'],
      [rate('mpm_requeued_orphans_total'), 'requeued'],
      [rate('mpm_write_completions_total'), 'write completions'],
    ],
  }),
];

const runtime = [
  chart({
    title: 'Processor',
    description: 'Processors in use by all threads.',
    unit: 'short',
    stacked: true,
    queries: [
      [rate('process_cpu_user_seconds_total'), 'user'],
      [rate('process_cpu_system_seconds_total'), 'system'],
    ],
  }),
  chart({
    title: 'Memory',
    description: 'Resident memory of the process, and the V8 heaps of its workers together.',
    unit: 'bytes',
    queries: [
      [sum('process_resident_memory_bytes'), 'resident'],
      [sum('mpm_worker_heap_used_bytes'), 'heaps of workers'],
    ],
  }),
  chart({
    title: 'Descriptors',
    description: 'Each connection takes one.',
    unit: 'short',
    queries: [
      [sum('process_open_fds'), 'open'],
      [sum('process_max_fds'), 'limit'],
    ],
    limits: ['limit'],
  }),
  chart({
    title: 'Heap by worker',
    description: 'V8 heap in use as last sampled, by slot.',
    unit: 'bytes',
    queries: [[of('mpm_worker_heap_used_bytes'), '{{instance}} {{worker}}']],
  }),
  chart({
    title: 'Event loop by worker',
    description:
      'Share of the last second in which its event loop was not idle. 1 for long: a handler computes without a pause.',
    unit: 'percentunit',
    max: 1,
    queries: [[of('mpm_worker_event_loop_utilization_ratio'), '{{instance}} {{worker}}']],
  }),
  chart({
    title: "Age of the application's own metrics",
    description:
      "Since a worker last gave them; a busy or idle worker's last values stand. Empty where the application has none.",
    unit: 's',
    queries: [[of('mpm_application_metrics_age_seconds'), '{{instance}} {{worker}}']],
  }),
];

const ROWS = [
  ['Overview', figures],
  ['Traffic', traffic],
  ['Connections', connections],
  ['Workers', workers],
  ['MaxConnectionsPerChild', recycling],
  ['Listener, queue and buffers', inside],
  ['Node runtime', runtime],
] as const;

export function overview() {
  const built = dashboard(
    'hybrid-mpm',
    'hybrid-mpm',
    'Listener, connections, workers and requests of hybrid-mpm servers.',
  ).annotation(startsOverlay(true));
  return withRows(built, ROWS).build();
}
