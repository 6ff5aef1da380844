/** Directives of time, and of limits on requests. Constants only; see ../table.ts. */
import * as kinds from '../kinds.ts';
import { DEFAULT_READ_TIMEOUT, readTimeout } from '../read-timeout.ts';
import { DAY_MS, directive, MAX_COUNT } from './directive.ts';

export const LINE_BYTES = 8190;
export const FIELD_BYTES = 8190;
export const REQUESTS = {
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
};
