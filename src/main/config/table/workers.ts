/** Directives of workers. Constants only; see ../table.ts. */
import * as kinds from '../kinds.ts';
import { DAY_MS, directive, MAX_COUNT } from './directive.ts';
import {
  leastSpare,
  MAX_LENGTHY_WORKERS,
  MAX_WORKERS,
  mostLengthy,
  mostWorkers,
  spareFor,
  startFor,
} from './worker-defaults.ts';
export const WORKERS = {
  startServers: directive({
    group: 'workers',
    key: 'startServers',
    kind: kinds.whole(1, MAX_WORKERS),
    initial: (machine, given) =>
      Math.min(startFor(machine), given.maxRequestWorkers ?? MAX_WORKERS),
    initially: 'one for each core (of the cgroup, where that has fewer), 2 .. 16',
    summary: 'Workers at start, and never fewer',
    meaning:
      'Workers that are started with the server; their number never falls below it. A worker is a thread and costs about 9 MB and what the application loads, under load some 15 MB more.',
    change: 'upwards where load arrives at once; downwards, to 1, to save memory.',
    source: 'StartServers',
  }),
  minSpareThreads: directive({
    group: 'workers',
    key: 'minSpareThreads',
    kind: kinds.whole(1, MAX_WORKERS),
    initial: leastSpare,
    initially: 'one for every two cores, 2 .. 8',
    summary: 'Idle workers to keep ready',
    meaning:
      'Idle workers to keep ready. With fewer, more are started, 1, 2, 4 ... 32 a tick, up to maxRequestWorkers.',
    change: 'upwards where slow or blocking requests come in bursts.',
    source: 'MinSpareThreads',
  }),
  maxSpareThreads: directive({
    group: 'workers',
    key: 'maxSpareThreads',
    kind: kinds.whole(1, MAX_WORKERS),
    initial: (machine, given) => Math.max(3 * spareFor(machine), leastSpare(machine, given)),
    initially: 'three times the default of minSpareThreads',
    summary: 'Above this many idle workers, one retires per tick',
    meaning:
      'Above this many idle workers one retires per tick, down to startServers. A value of maxRequestWorkers or more keeps every worker that was ever needed.',
    change:
      'upwards where load comes in waves and workers are slow to start; downwards to give memory back sooner.',
    source: 'MaxSpareThreads',
  }),
  maxRequestWorkers: directive({
    group: 'workers',
    key: 'maxRequestWorkers',
    kind: kinds.whole(1, MAX_WORKERS),
    initial: mostWorkers,
    initially:
      'four for each core, 16 .. 128; at most one for every 64m of memory (of the cgroup, where that has less)',
    summary: 'Most workers, so most requests computed at a time',
    meaning:
      'Most workers that serve at the same time, so the most handlers that run or block at the same time. Open connections are not bounded by it; see maxConnections.',
    change:
      'upwards for handlers that block; towards the number of cores for handlers that only compute and should not take turns.',
    source: 'MaxRequestWorkers',
  }),
  longHandlerNice: directive({
    group: 'workers',
    key: 'longHandlerNice',
    kind: kinds.whole(0, 19),
    initial: () => 5,
    summary: 'By how much a worker is nicer while its handler is known to be long',
    meaning:
      'What is added to the nice value of a worker while it runs a handler whose route took more than 0.3 ms on average, up to 19 in all: where processors are scarce the kernel gives them to short requests and to the listener first, and they are answered several times sooner. Afterwards it is as urgent as before, which takes root, CAP_SYS_NICE or RLIMIT_NICE (`LimitNICE=+0` in a systemd unit, `--ulimit nice=20` of Docker); without any of these a worker stays nicer from its first such handler on, except for the first ones, one for each processor. 0: all handlers are equally urgent.',
    change:
      'upwards where short requests still feel long ones; to 0 where long handlers starve, or where other programs compete for the same processors outside of a cgroup of their own.',
    source: 'nice(1)',
  }),
  lengthyWorkers: directive({
    group: 'workers',
    key: 'lengthyWorkers',
    kind: kinds.whole(0, MAX_LENGTHY_WORKERS, 'none'),
    initial: mostLengthy,
    initially: 'one for every two cores (of the cgroup, where that has fewer), at least 1',
    summary: 'Most workers for requests that are declared lengthy; 0: none',
    meaning:
      'Most lengthy workers, which serve requests whose routes or handlers are declared lengthy, one at a time each, beside maxRequestWorkers. They are started when such requests come and go when they had nothing to do for a minute, so an application without any has none. 0: lengthy requests run in the ordinary workers. See docs/workers.md.',
    change:
      'upwards where lengthy handlers mostly wait; up to the number of cores where they compute.',
    source: 'none; the idea is a bulkhead',
  }),
  lengthyQueueLimit: directive({
    group: 'workers',
    key: 'lengthyQueueLimit',
    kind: kinds.whole(0, 200_000),
    initial: () => 100,
    summary: 'Most requests waiting for a lengthy worker; beyond: 503',
    meaning:
      'Most requests that wait for a lengthy worker, give or take a few that come at the same moment. A further one is answered 503 with Retry-After at once; its connection stays.',
    change:
      'to lengthyWorkers times the wait that clients accept, divided by what such a request takes.',
    source: 'none; the idea is bounded admission',
  }),
  lengthyQueueTimeout: directive({
    group: 'workers',
    key: 'lengthyQueueTimeoutMs',
    kind: kinds.duration(0, DAY_MS, 'none'),
    initial: () => 60_000,
    summary: 'How long a request waits for a lengthy worker at most; 0: no limit',
    meaning:
      'How long a request waits for a lengthy worker at most, to within half a second. After that it is answered 503 with Retry-After, and its connection ends.',
    change: 'to what clients and the proxies in front wait for an answer.',
    source: 'none; nginx Plus: queue timeout',
  }),
  lengthyCancel: directive({
    group: 'workers',
    key: 'lengthyCancel',
    kind: kinds.onOff(),
    initial: () => true,
    summary: 'A lengthy request whose client leaves is cancelled',
    meaning:
      'Whether a lengthy request ends when its client shuts its side of the connection: one that waits is taken out of the queue, one that runs is aborted (`request.signal`, `close`), and a worker that computes on for a second and more is ended. A client that shuts its side and still waits for the answer counts as one that left, unless it did so together with its request. Off: only a reset connection counts, and no worker is ended for it before it turns.',
    change:
      'to off where lengthy requests have effects that must come about whoever waits for them.',
    source: 'nginx: proxy_ignore_client_abort',
  }),
  lengthyNice: directive({
    group: 'workers',
    key: 'lengthyNice',
    kind: kinds.whole(0, 19),
    initial: () => 10,
    summary: 'By how much lengthy workers are nicer than the others',
    meaning:
      'What is added to the nice value of lengthy workers, up to 19 in all: the kernel gives the processor to the other threads of the server first. 0: lengthy requests are as urgent as light ones.',
    change: 'upwards where light requests still feel them; towards 0 where they starve.',
    source: 'nice(1)',
  }),
  asyncRequestWorkerFactor: directive({
    group: 'workers',
    key: 'asyncRequestWorkerFactor',
    kind: kinds.fraction(0.1, 100),
    initial: () => 2,
    summary: 'Connections in demand per worker; fractions count',
    meaning:
      'Connections that need a child now (queued, processing, or suspended on a child) for each worker that is wanted: `ceil(demand / asyncRequestWorkerFactor) + minSpareThreads`. Fractions count; Apache cuts them off.',
    change: 'towards 1 for handlers that block or compute; upwards for handlers that mostly await.',
    source: 'AsyncRequestWorkerFactor',
  }),
  maxConnectionsPerChild: directive({
    group: 'workers',
    key: 'maxConnectionsPerChild',
    kind: kinds.whole(0, MAX_COUNT, 'never'),
    initial: () => 0,
    summary: 'Connections after which a child retires; 0: never',
    meaning:
      'Connections after which a child retires and a fresh one takes its place, ready before the old one goes; 0: never. A keep-alive connection counts once per child. Connections outlive the child.',
    change: 'where the application leaks memory and the leak follows connections.',
    source: 'MaxConnectionsPerChild',
  }),
  maxRequestsPerChild: directive({
    group: 'workers',
    key: 'maxRequestsPerChild',
    kind: kinds.whole(0, MAX_COUNT, 'never'),
    initial: () => 0,
    summary: 'Requests after which a child retires; 0: never',
    meaning: 'Requests after which a child retires and a fresh one takes its place; 0: never.',
    change: 'where the application leaks memory: some ten thousand makes a leak harmless.',
    source: "none; Apache 2.2's MaxRequestsPerChild counted connections",
  }),
  maxMemoryPerChild: directive({
    group: 'workers',
    key: 'maxMemoryPerChildBytes',
    kind: kinds.size(0, 2 ** 40, 'never'),
    initial: () => 0,
    summary: 'Memory of a child after which it retires; 0: never',
    meaning:
      'V8 heap in use and what the child holds outside of it (Buffers, ArrayBuffers), looked at once a second while it works; above it the child retires as with maxRequestsPerChild; 0: never. For each child it is lower by up to a tenth, and so are the other limits of a life, so that children of one age do not retire together; at most a quarter of them, or one, are being replaced at a time.',
    change:
      'where the application leaks memory at a rate that nobody knows: some times what a child needs after an hour.',
    source: 'none',
  }),
  maxHeapPerChild: directive({
    group: 'workers',
    key: 'maxHeapPerChildBytes',
    kind: kinds.size(0, 2 ** 40, "V8's own bound"),
    initial: () => 0,
    summary: "Most of V8's heap a child may use before it is ended; 0: V8's bound",
    meaning:
      "Bound on a child's V8 heap (its old generation). A child that passes it dies; its requests are answered by 502 where nothing was sent, and another child takes its place. 0: V8's own bound, which goes by the memory of the machine. Whole mebibytes count, and less than 16m is hardly enough for anything.",
    change:
      'so that one request cannot take the memory of all: below the memory of the machine or container, divided by maxRequestWorkers.',
    source: 'none; resourceLimits.maxOldGenerationSizeMb of worker_threads',
  }),
};
