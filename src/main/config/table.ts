/**
 * The table of directives.
 *
 * Role: one literal table; defaults, --help, docs/directives.md, variables and flags derive from it.
 * Its order is the order of every listing.
 * Thread: main; constants only.
 */
import { STDOUT } from '../../workers/access-log/log-file.ts';
import { connectionBufferBytesFor, defaultConnections } from './capacity.ts';
import type { Directives } from './directives.ts';
import type { Kind } from './kinds.ts';
import * as kinds from './kinds.ts';
import type { Machine } from './machine.ts';
import { DEFAULT_READ_TIMEOUT, readTimeout } from './read-timeout.ts';

export const GROUPS = {
  sockets: 'Addresses and sockets',
  workers: 'Workers',
  time: 'Keep-alive and timeouts',
  limits: 'Limits on requests',
  files: 'Static files',
  observation: 'Observation',
} as const;
export type Group = keyof typeof GROUPS;

interface Specification<Key extends keyof Directives, Input> {
  readonly group: Group;
  /** The member of `Directives` that it fills. */
  readonly key: Key;
  readonly kind: Kind<Directives[Key], Input>;
  /** The default; may depend on what was given for other directives, so that both agree. */
  readonly initial: (machine: Machine, given: Partial<Directives>) => Directives[Key];
  /** The default in words where it depends on the machine; otherwise it is rendered. */
  readonly initially?: string;
  /** For --help; no full stop. */
  readonly summary: string;
  /** What it means. */
  readonly meaning: string;
  /** When to change it. */
  readonly change: string;
  /** Apache's directive, or where the idea is from. */
  readonly source: string;
}

/** Ties a directive's kind and default to the member of `Directives` that it fills. */
const directive = <const Key extends keyof Directives, Input>(
  specification: Specification<Key, Input>,
): Specification<Key, Input> => specification;

const MAX_COUNT = 2 ** 31 - 1;
const DAY_MS = 86_400_000;
/**
 * A retiring child holds a slot beside its successor, and a state word has room for 1,022 owners.
 */
const MAX_WORKERS = 511;
const MAX_LENGTHY_WORKERS = 256;

/**
 * Memory for each worker that a default allows. A worker that has served under load takes 23 MB with an
 * application of a few lines, one with a framework some more; the other half is the rest's.
 */
const MEMORY_PER_WORKER = 64 * 2 ** 20;
const roomFor = ({ memoryBytes }: Machine) =>
  Math.max(2, Math.floor(memoryBytes / MEMORY_PER_WORKER));

/** Workers at start, idle ones to keep, idle ones to suffer, and the most at all. */
const startFor = (machine: Machine) => Math.min(16, Math.max(2, machine.cores), roomFor(machine));
const spareFor = (machine: Machine) =>
  Math.min(8, Math.max(2, Math.ceil(machine.cores / 2)), roomFor(machine));
const mostFor = (machine: Machine) =>
  Math.min(128, Math.max(16, machine.cores * 4), roomFor(machine));

const mostWorkers = (machine: Machine, given: Partial<Directives>): number =>
  given.maxRequestWorkers ??
  Math.max(mostFor(machine), given.startServers ?? 0, given.minSpareThreads ?? 0);

const leastSpare = (machine: Machine, given: Partial<Directives>): number =>
  given.minSpareThreads ??
  Math.min(
    spareFor(machine),
    given.maxRequestWorkers ?? MAX_WORKERS,
    given.maxSpareThreads ?? MAX_WORKERS,
  );

const mostLengthy = (machine: Machine, given: Partial<Directives>): number =>
  Math.min(
    Math.max(1, Math.floor(machine.cores / 2)),
    MAX_LENGTHY_WORKERS,
    MAX_WORKERS - mostWorkers(machine, given),
  );

const LINE_BYTES = 8190;
const FIELD_BYTES = 8190;
const connections = (machine: Machine, given: Partial<Directives>): number =>
  given.maxConnections ??
  defaultConnections(
    machine,
    connectionBufferBytesFor(
      given.limitRequestLineBytes ?? LINE_BYTES,
      given.limitRequestFieldSizeBytes ?? FIELD_BYTES,
    ),
  );

export const DIRECTIVES = {
  listen: directive({
    group: 'sockets',
    key: 'listen',
    kind: kinds.addresses(),
    initial: () => [{ host: kinds.EVERY_ADDRESS, port: 8080 }],
    summary: 'Address to serve on; repeatable. PORT and HOST are honoured as well',
    meaning:
      'Addresses to serve on. `host:port`, or a bare port for every address (`[::]`, which takes IPv4 too). Several: a list in a file, `--listen` repeated, commas in the variable. `host:port protocol` serves a protocol that the entry exports (`protocols`) in place of HTTP, as the Listen of Apache has it: see [protocols.md](protocols.md). Port 0 lets the kernel choose. The variables `PORT` and `HOST` replace the port and the host of the default, or of the one address in the file.',
    change:
      'to serve on another port, or only on some addresses: `127.0.0.1:8080` behind a proxy on the same machine.',
    source: 'Listen',
  }),
  listenBacklog: directive({
    group: 'sockets',
    key: 'listenBacklog',
    kind: kinds.whole(1, 65_535),
    initial: () => 511,
    summary: 'Connections the kernel holds until they are accepted',
    meaning:
      'Established connections that the kernel holds until the listener accepts them. The kernel caps it at `net.core.somaxconn`.',
    change: 'where bursts of new connections are refused or time out while the server has room.',
    source: 'ListenBacklog',
  }),
  reusePort: directive({
    group: 'sockets',
    key: 'reusePort',
    kind: kinds.onOff(),
    initial: () => false,
    summary: 'SO_REUSEPORT: several processes may share an address',
    meaning:
      'Sets `SO_REUSEPORT` on the listening sockets, so that several processes of the same user may listen on the same address; the kernel spreads new connections over them. A port that is taken is then no longer noticed.',
    change: 'to run two servers side by side, e.g. while one replaces the other.',
    source: 'ListenCoresBucketsRatio (the same socket option)',
  }),
  proxyProtocol: directive({
    group: 'sockets',
    key: 'proxyProtocol',
    kind: kinds.networks(),
    initial: () => [],
    summary: 'Networks of proxies whose connections begin with a PROXY header',
    meaning:
      'Networks of proxies that speak the PROXY protocol, version 1 or 2, written as for trustProxy. A connection from there must begin with its header, or it is closed without an answer; the address that it names is the peer of the connection in all that follows. Health checks (LOCAL, UNKNOWN) are from the proxy itself. Connections from elsewhere are plain HTTP. See docs/behind-a-proxy.md.',
    change: 'behind a TCP load balancer (HAProxy with send-proxy, an AWS NLB): to its networks.',
    source: 'RemoteIPProxyProtocol (mod_remoteip)',
  }),
  trustProxy: directive({
    group: 'sockets',
    key: 'trustProxy',
    kind: kinds.networks(),
    initial: () => [],
    summary: 'Networks of proxies whose word on the client is taken',
    meaning:
      "Networks of proxies that are believed what they say of the client: `loopback` (127.0.0.0/8, ::1), `private` (RFC 1918, fc00::/7), addresses, prefixes. From the connection's peer outwards, as long as each is one of these; the first that is not is the client, for handlers, the access log and the status page. So nobody else can choose an address. The scheme and the host that the client asked for come from the same proxy: `https` in the URL of a `fetch` handler's request, `encrypted` of a `(req, res)` handler's socket. See docs/behind-a-proxy.md.",
    change: 'behind a proxy: to the networks it connects from, and no wider.',
    source: 'RemoteIPInternalProxy (mod_remoteip)',
  }),
  trustProxyHeader: directive({
    group: 'sockets',
    key: 'trustProxyHeader',
    kind: kinds.oneOf('x-forwarded', 'forwarded'),
    initial: () => 'x-forwarded',
    summary: 'Fields that these proxies write',
    meaning:
      'The fields that trusted proxies write: `x-forwarded` (X-Forwarded-For, -Proto and -Host) or `forwarded` (RFC 7239). The others are not looked at, since a proxy that does not write them passes on what its client has made up.',
    change: 'where the proxies write Forwarded.',
    source: 'RemoteIPHeader (mod_remoteip)',
  }),
  proxy: directive({
    group: 'sockets',
    key: 'proxy',
    kind: kinds.proxyRoutes(),
    initial: () => [],
    summary: 'Path whose requests go to another server: /api=http://127.0.0.1:3000; repeatable',
    meaning:
      'Paths whose requests other servers answer: `/api=http://127.0.0.1:3000` passes on all below `/api`, `/=http://…` everything; the longest path counts. A path behind the address takes the place of the prefix: with `/api=http://127.0.0.1:3000/v1`, `/api/x` becomes `/v1/x`. Several upstreams of a path stand with commas between; the one with the fewest requests is asked. Options follow behind blanks: `host=upstream`, `maxFails=3`, `healthPath=/healthz`, `connectTimeoutMs=2000` and others, see docs/proxy.md. Several routes: a list in a file, `--proxy` repeated, semicolons in the variable. `off`: none.',
    change: 'where a part of the site is served by other processes or machines.',
    source: 'ProxyPass (mod_proxy); nginx: proxy_pass',
  }),
  directPolling: directive({
    group: 'sockets',
    key: 'directPolling',
    kind: kinds.onOff(),
    initial: () => true,
    summary: 'A free worker polls for itself, without a hop through the listener',
    meaning:
      'One worker that is free at the time polls the connections that wait for a request and serves what it finds; the listener stands by and takes over when that worker is kept by a handler. Off: the listener polls and every request crosses from its thread to a worker.',
    change: 'to `off`, to compare, or where a fault is suspected there.',
    source: 'none',
  }),
  maxConnections: directive({
    group: 'sockets',
    key: 'maxConnections',
    kind: kinds.whole(1, 200_000),
    initial: connections,
    initially:
      '20000, or what the limit of open descriptors less 256, 4g of connection buffers and half of the memory (of the cgroup, where that has less) allow',
    summary: 'Most open connections, idle ones included',
    meaning:
      'Most connections that are open at the same time, idle ones included; also the number of connection slots (256 bytes each) and connection buffers, which cost memory once they are used. At the bound the listener stops accepting, and new connections wait in the backlog of the kernel (listenBacklog) until one closes.',
    change:
      'upwards for more idle clients, together with the limit of open descriptors; downwards to bound memory.',
    source: 'none; Apache has MaxRequestWorkers and AsyncRequestWorkerFactor bound connections',
  }),
  queueLimit: directive({
    group: 'sockets',
    key: 'queueLimit',
    kind: kinds.whole(1, 200_000),
    initial: connections,
    initially: 'maxConnections',
    summary: 'Most connections waiting for a worker',
    meaning:
      'Most connections that wait, with a request, for a free worker. At the bound the listener stops accepting, and new connections wait in the backlog of the kernel (listenBacklog). At most maxConnections.',
    change:
      'downwards to hold new clients back early rather than answer all of them late: about the requests a second that the workers can do, times the wait that clients accept.',
    source: 'none; the idea is bounded admission',
  }),
  queueTimeout: directive({
    group: 'sockets',
    key: 'queueTimeoutMs',
    kind: kinds.duration(0, DAY_MS, 'never'),
    initial: () => 60_000,
    summary: 'Wait for a worker after which a request is answered 503; 0: never',
    meaning:
      'How long a request may wait in the queue before the listener answers it by itself: 503 with `Retry-After`, and the connection ends. Kept to within half a second. Only where no worker has read any of it: one that was read is served, however late. 60 s is when common load balancers and browsers have given up, so that the answer would be computed for nobody and only delay the next. 0: never.',
    change:
      'downwards, to a few seconds, where a quick refusal serves clients better than a late answer, as behind a load balancer that tries another server.',
    source: 'none; HAProxy: timeout queue',
  }),
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
  keepAlive: directive({
    group: 'time',
    key: 'keepAlive',
    kind: kinds.onOff(),
    initial: () => true,
    summary: 'Several requests on one connection',
    meaning:
      'Whether a connection stays open for further requests. Off: every response says `Connection: close`.',
    change: 'hardly ever: an idle connection holds no worker and about 1 KB.',
    source: 'KeepAlive',
  }),
  keepAliveTimeout: directive({
    group: 'time',
    key: 'keepAliveTimeoutMs',
    kind: kinds.duration(1, DAY_MS),
    initial: () => 65_000,
    summary: 'How long an idle connection waits for its next request',
    meaning:
      "How long a connection may be idle before its next request's first byte. Apache's default is 5 s because a waiting connection costs it more; here it is idle in the listener. 65 s is above the 60 s of common load balancers, which must be the ones to close first, lest they send a request into a closing connection.",
    change: 'to a little more than the idle timeout of the load balancer in front.',
    source: 'KeepAliveTimeout',
  }),
  maxKeepAliveRequests: directive({
    group: 'time',
    key: 'maxKeepAliveRequests',
    kind: kinds.whole(0, MAX_COUNT, 'unlimited'),
    initial: () => 0,
    summary: 'Requests on one connection; 0: unlimited',
    meaning:
      "Requests that one connection may carry; 0: unlimited. Apache's 100 dates from connections that held a worker and children that had to be rid of them. Here connections outlive children and hold nothing, and every close costs the client a new handshake.",
    change:
      'to some thousands where a load balancer in front should spread its connections anew now and then.',
    source: 'MaxKeepAliveRequests',
  }),
  timeout: directive({
    group: 'time',
    key: 'timeoutMs',
    kind: kinds.duration(1, DAY_MS),
    initial: () => 60_000,
    summary: 'How long a connection may make no progress',
    meaning:
      'How long a response may wait for a client that takes no bytes, or a handler for a body that sends none. Any progress starts it anew. It does not bound the time that a handler computes.',
    change: 'downwards where many clients vanish without closing; upwards for very slow links.',
    source: 'TimeOut',
  }),
  requestReadTimeout: directive({
    group: 'time',
    key: 'requestReadTimeout',
    kind: readTimeout(),
    initial: () => DEFAULT_READ_TIMEOUT,
    summary: 'How long head and body of a request may take to arrive',
    meaning:
      "How long a request may take to arrive, else 408. `header=20-40,MinRate=500`: 20 s for the head, a second more for every 500 bytes received, 40 s at most. Without a maximum the rate extends it without bound; without a rate nothing extends it; 0: no limit. A stage that is left out keeps its default. The object form: `{ header: { timeout: 20, maxTimeout: 40, minRate: 500 }, body: ... }`. Before the first byte of a keep-alive connection's next request it is keepAliveTimeout that counts.",
    change: 'for clients that upload slowly, or downwards under an attack by slow requests.',
    source: 'RequestReadTimeout (mod_reqtimeout)',
  }),
  requestDeadline: directive({
    group: 'time',
    key: 'requestDeadlineMs',
    kind: kinds.duration(0, DAY_MS, 'none'),
    initial: () => 0,
    summary: 'How long a handler may take to begin its response; 0: without bound',
    meaning:
      "How long after its handler was called a request may be without a response; kept to within half a second. A handler that awaits is then aborted (its signal, reason timeout) and the client answered 504, and the worker goes on. A worker that computes and does not turn (an endless loop) is ended and replaced: the request gets 504, other requests in that worker 502, each where no byte of a response was sent; else their connections close. Routes may have their own: `export const deadlines = { '/report/*': '10s' }` in the application (`*` at the end only, the longest match counts, 0: none), and a handler may set it from within: `context.deadline(milliseconds)`. 0: none.",
    change: 'to somewhat more than the slowest request that is still of use to anybody.',
    source: "none; gunicorn's timeout is the nearest",
  }),
  drainDelay: directive({
    group: 'time',
    key: 'drainDelayMs',
    kind: kinds.duration(0, DAY_MS, 'none'),
    initial: () => 0,
    summary: 'Serving new clients after /readyz began to fail, when it stops',
    meaning:
      'When the server is to stop, /readyz answers 503 at once and responses say `Connection: close`, while new clients are still let in for this long; only then the listening sockets are closed. gracefulShutdownTimeout begins after it. A second signal ends the wait.',
    change:
      'behind a load balancer that asks /readyz: to its interval times the failures that it takes to believe them, and some seconds more.',
    source: 'none',
  }),
  gracefulShutdownTimeout: directive({
    group: 'time',
    key: 'gracefulShutdownTimeoutMs',
    kind: kinds.duration(0, DAY_MS, 'without bound'),
    initial: () => 30_000,
    summary: 'How long a drain may take; 0: without bound',
    meaning:
      "How long requests that are under way may take when the server stops or a child retires; then they are ended. 0: without bound, which is Apache's default and can leave a stop hanging.",
    change:
      'to a little less than what the process manager grants (Kubernetes: 30 s), less drainDelay.',
    source: 'GracefulShutdownTimeout',
  }),
  limitRequestLine: directive({
    group: 'limits',
    key: 'limitRequestLineBytes',
    kind: kinds.size(64, 2 ** 20 - 64),
    initial: () => LINE_BYTES,
    summary: 'Longest request line; beyond it: 414',
    meaning:
      'Longest request line (method, target and version), else 414. A connection buffer is the next power of two that holds limitRequestLine + limitRequestFieldSize, 4k .. 1m, and a whole head has to fit it.',
    change: 'for very long query strings.',
    source: 'LimitRequestLine',
  }),
  limitRequestFieldSize: directive({
    group: 'limits',
    key: 'limitRequestFieldSizeBytes',
    kind: kinds.size(64, 2 ** 20 - 64),
    initial: () => FIELD_BYTES,
    summary: 'Longest header field; beyond it: 431',
    meaning:
      'Longest header field, name and value, else 431. It sizes the connection buffers together with limitRequestLine.',
    change: 'for large cookies or tokens.',
    source: 'LimitRequestFieldSize (there 400)',
  }),
  limitRequestFields: directive({
    group: 'limits',
    key: 'limitRequestFields',
    kind: kinds.whole(1, 32_767),
    initial: () => 100,
    summary: 'Most header fields; beyond it: 431',
    meaning: 'Most header fields in a request, else 431.',
    change: 'where a chain of proxies adds many fields.',
    source: 'LimitRequestFields (there 400)',
  }),
  limitRequestBody: directive({
    group: 'limits',
    key: 'limitRequestBodyBytes',
    kind: kinds.size(0, 2 ** 40, 'unlimited'),
    initial: () => 2 ** 30,
    summary: 'Longest request body; beyond it: 413. 0: unlimited',
    meaning:
      'Longest request body, else 413; 0: unlimited. Bodies are streamed, so it bounds what a handler gets, not memory.',
    change: 'downwards for an API that never takes more than some kilobytes.',
    source: 'LimitRequestBody',
  }),
  limitSpilledBody: directive({
    group: 'limits',
    key: 'limitSpilledBodyBytes',
    kind: kinds.size(0, 2 ** 40),
    initial: () => 256 * 2 ** 20,
    summary: 'Memory for responses that wait for slow clients outside the workers',
    meaning:
      'Memory for what is left of responses whose clients are slow: it is copied out of the worker, which is free of the connection from then on. What has no room there goes to `spillFolder`. 0: everything does.',
    change:
      'upwards for large generated responses to many slow clients, where `mpm_spilled_bytes` stands at the limit; files need none of it.',
    source: 'none; Apache keeps such responses in its own memory without a bound',
  }),
  spillFolder: directive({
    group: 'limits',
    key: 'spillFolder',
    kind: kinds.folderOrOff(),
    initial: ({ temporaryFolder }) => temporaryFolder,
    initially: '/var/tmp, or off where it cannot be written to',
    summary: 'Folder for responses to slow clients that have no room in memory',
    meaning:
      'Where the rest of a response to a slow client goes when `limitSpilledBody` is used up: into a file without a name, which goes with its connection. The kernel holds it in memory while there is plenty and writes it out when there is not. Off, or once the folder is full: the rest stays in the worker that made it, which serves others meanwhile, and its heap grows instead. The folder has to exist, and to take files, when the server starts.',
    change: 'to a folder on a fast disk with room; off where nothing may reach a disk.',
    source: 'nginx: proxy_temp_path',
  }),
  limitSpillFolder: directive({
    group: 'limits',
    key: 'limitSpillFolderBytes',
    kind: kinds.size(0, 2 ** 40),
    initial: () => 4 * 2 ** 30,
    summary: 'Bytes in spillFolder',
    meaning: 'Most bytes of responses in `spillFolder` at the same time.',
    change: 'with the room on that disk; `mpm_spilled_bytes{place="folder"}` shows what is used.',
    source: 'nginx: proxy_max_temp_file_size',
  }),
  indexes: directive({
    group: 'files',
    key: 'indexes',
    kind: kinds.onOff(),
    initial: () => false,
    summary: 'List folders without an index.html',
    meaning:
      'Where a folder is served: whether a folder in it that has no `index.html` is answered by a list of what it holds, else 404. Names that begin with a dot are left out, and so is what would be refused.',
    change: 'where everybody may see what files there are.',
    source: 'Options Indexes',
  }),
  sendFileRoot: directive({
    group: 'files',
    key: 'sendFileRoot',
    kind: kinds.folderOrOff(),
    initial: () => null,
    summary: 'Folder of the files that X-Sendfile and X-Accel-Redirect may name',
    meaning:
      "Where a handler's response has the field `X-Sendfile` (a path, absolute or from this folder) or `X-Accel-Redirect` (a path as in a request, from this folder), that file is sent in place of the handler's body, with its other fields, and the field itself is taken out. Both are percent-decoded. What lies outside the folder once all links are followed, is hidden by a dot, is a folder or does not exist is answered by 404, with a line on stderr. Conditional and range requests are answered as with static files. Off: the two are fields as any other and are passed on. The folder has to exist when the server starts.",
    change:
      'where an application that ran behind Apache or nginx lets them send its files. Not where handlers pass on responses of servers that are not trusted: those could name any file in the folder.',
    source: 'XSendFile, XSendFilePath (mod_xsendfile); nginx: X-Accel-Redirect',
  }),
  extendedStatus: directive({
    group: 'observation',
    key: 'extendedStatus',
    kind: kinds.onOff(),
    initial: () => true,
    summary: 'Requests, connection trails and routes for status page and metrics',
    meaning:
      'Whether the server records, in shared memory, the present or last request of each connection, its last eight changes of state, and durations by method, route and status class. Costs 0.2 microseconds a request (micro benchmark) to 1 (medians under load), 384 bytes for each connection slot that is used, and up to 33 KB for each worker slot.',
    change: 'where request lines must not be seen by whoever may read the status page.',
    source: 'ExtendedStatus',
  }),
  admin: directive({
    group: 'observation',
    key: 'admin',
    kind: kinds.addressOrOff('127.0.0.1'),
    initial: () => ({ host: '127.0.0.1', port: 8081 }),
    summary: 'Address of /server-status, /metrics, /healthz, /readyz',
    meaning:
      'Address of the admin server: /server-status, /metrics, /healthz and /readyz. It has a thread and a port of its own, so it answers when every worker is busy. A bare port is that port on 127.0.0.1. `off`: none. It shows clients and request lines: bind it where only operators reach it.',
    change: 'where health checks or a scraper come from another machine: `[::]:8081`.',
    source: 'none; Apache serves /server-status from its own workers',
  }),
  adminToken: directive({
    group: 'observation',
    key: 'adminToken',
    kind: kinds.secretOrOff(),
    initial: () => null,
    summary: 'Secret for actions by POST at the admin server; off: there are none',
    meaning:
      'Lets whoever knows this secret act on the server by POST to /server-status/actions at the admin address: replace a worker, close a connection, change maxConnectionsPerChild, minSpareThreads, maxSpareThreads or keepAliveTimeout until the next start. `@/path` is a file whose first line is the secret, read at start; a secret on a command line can be seen by every user of the machine. At least 16 characters. `off`: whatever is posted is refused. See docs/status.md.',
    change:
      'where operators should act without a restart; give it a random one, e.g. of `openssl rand -hex 24`.',
    source: 'none; mod_proxy_balancer has balancer-manager',
  }),
  statusPath: directive({
    group: 'observation',
    key: 'statusPath',
    kind: kinds.pathOrOff('/server-status'),
    initial: () => null,
    summary: "Path at which the status page is among the application's own, too; off: none",
    meaning:
      "Path, such as `/server-status`, at which the addresses of `listen` answer the status page as well, with `?json`, `?auto` and `?csv`; the application never sees requests for it. For clients that `statusAllow` names; others get 403, as with Apache's Require. Whichever worker gets the request answers it, so where all are stuck only the admin server does. No event stream (`?refresh=5` asks again) and no actions. While it is set each worker looks at the shared memory once a second, for the rates.",
    change: 'where the admin address cannot be reached, or a reader of `?auto` expects it there.',
    source: '<Location "/server-status"> SetHandler server-status',
  }),
  statusAllow: directive({
    group: 'observation',
    key: 'statusAllow',
    kind: kinds.networks('clients'),
    initial: () => ['loopback'],
    summary: 'Networks of clients that may see the page at statusPath',
    meaning:
      'Networks of clients that may see the page at `statusPath`, written as for trustProxy; `off`: nobody may. The client is who trustProxy says. Without trustProxy a request that says that it was forwarded (Forwarded, X-Forwarded-For) is refused, since all that a proxy on this machine passes on would be from loopback; a proxy that writes neither has to keep the path to itself.',
    change: 'where operators or a scraper come from another machine.',
    source: 'Require ip, Require local (mod_authz_host)',
  }),
  serverTokens: directive({
    group: 'observation',
    key: 'serverTokens',
    kind: kinds.oneOf('off', 'prod', 'full'),
    initial: () => 'off',
    summary: 'What the Server header shows',
    meaning: 'The Server header: `off` sends none, `prod` the name, `full` name and version.',
    change: 'hardly ever; a version helps attackers more than clients.',
    source: 'ServerTokens',
  }),
  accessLog: directive({
    group: 'observation',
    key: 'accessLog',
    kind: kinds.fileOrOff(STDOUT),
    initial: () => null,
    summary: 'Where a line for each request goes',
    meaning:
      'Where a line for each request is written when its last byte has left: a file, which is appended to and made if need be (mode 640), or `stdout`. `off`: nowhere. Lines come within about half a second. SIGHUP opens the file anew, for rotation: rename it, then send the signal. A file by the name of a word is written `./off`. Lines that a full disk or a stuck reader of the output did not take are counted (`MpmLogLost`, `mpm_log_lost_total`).',
    change: 'wherever it should be known afterwards who asked for what.',
    source: 'CustomLog (TransferLog), mod_log_config',
  }),
  logFormat: directive({
    group: 'observation',
    key: 'logFormat',
    kind: kinds.oneOf('common', 'combined', 'json'),
    initial: () => 'combined',
    summary: 'What a line of the access log looks like',
    meaning:
      '`common` is Apache\'s `%h %l %u %t "%r" %>s %b`; `combined` adds Referer and User-agent. `%l` and `%u` are always `-`. `%b` is what has left of the body, without the head and, for a response that is complete and not framed by a `(req, res)` handler itself, without chunk framing. A client that left before its response was complete is shown as 499, one that got no status at all as `-`. Characters that are not printable ASCII are escaped as Apache does. `json` is one object a line: time (UTC), remoteAddr, remotePort, method, target, protocol, status, bodyBytes, durationMs, aborted, referer, userAgent, host, requestId (`X-Request-Id`), child, connectionRequests; a request that was cut off has its real status, 0 for none, and `aborted` true.',
    change: 'to what the reader of the log expects; `json` says most.',
    source: 'LogFormat, mod_log_config',
  }),
};

export type DirectiveName = keyof typeof DIRECTIVES;
/** In the order of the table. */
export const NAMES = Object.keys(DIRECTIVES) as readonly DirectiveName[];

/** What a configuration file or an options object may hold. */
export type DirectivesInput = {
  readonly [Name in DirectiveName]?: (typeof DIRECTIVES)[Name]['kind']['schema']['_zod']['input'];
};

/** An error here: a member of Directives that no directive fills. */
type Unfilled = Exclude<
  keyof Directives,
  (typeof DIRECTIVES)[DirectiveName]['key'] | 'connectionBufferBytes'
>;
const COMPLETE: [Unfilled] extends [never] ? true : Unfilled = true;
void COMPLETE;

const LATER = 'comes with a later release and would have no effect in this one; remove it';
const ONE_THREAD = 'does not exist here, where a child is one thread; set maxRequestWorkers';

/** Names that are known and refused, so that nobody relies on what is not done. */
export const REFUSED: Readonly<Record<string, string>> = {
  lengthy: LATER,
  maxLengthyWorkers: LATER,
  threadsPerChild: ONE_THREAD,
  serverLimit: ONE_THREAD,
};
