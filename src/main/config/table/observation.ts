/** Directives of static files, and of what is seen of the server. Constants only; see ../table.ts. */
import { STDOUT } from '../../../workers/access-log/log-file.ts';
import * as kinds from '../kinds.ts';
import { directive } from './directive.ts';
export const OBSERVATION = {
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
      'Whether the server records, in shared memory, the present or last request of each connection, its last eight changes of state, and durations by method, route and status class. Costs 0.2 microseconds a request (micro benchmark) to 1 (medians under load), 256 bytes for each connection slot that is used (384 where request lines are longer than 72 bytes or Host fields than 24), and up to 33 KB for each worker slot.',
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
