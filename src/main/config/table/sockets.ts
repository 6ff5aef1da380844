/** Directives of addresses, sockets and connections. Constants only; see ../table.ts. */

import { connectionBufferBytesFor, defaultConnections } from '../capacity.ts';
import type { Directives } from '../directives.ts';
import * as kinds from '../kinds.ts';
import type { Machine } from '../machine.ts';
import { DAY_MS, directive } from './directive.ts';
import { FIELD_BYTES, LINE_BYTES } from './requests.ts';

const connections = (machine: Machine, given: Partial<Directives>): number =>
  given.maxConnections ??
  defaultConnections(
    machine,
    connectionBufferBytesFor(
      given.limitRequestLineBytes ?? LINE_BYTES,
      given.limitRequestFieldSizeBytes ?? FIELD_BYTES,
    ),
  );
export const SOCKETS = {
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
      'Most connections that are open at the same time, idle ones included; also the number of connection slots and connection buffers, which cost memory once they are used: an idle connection has no buffer, and 128 bytes of its slot are written, with extendedStatus 256 more. At the bound the listener stops accepting, and new connections wait in the backlog of the kernel (listenBacklog) until one closes.',
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
};
