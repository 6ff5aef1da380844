/**
 * What each part of a server is given of the directives: listener, workers, the pool of lengthy ones.
 *
 * Thread: main; pure functions.
 */
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import type { ListenerOptions } from '../listener/options.ts';
import { STDOUT } from '../workers/access-log/log-file.ts';
import type { LogSettings } from '../workers/access-log/log-writer.ts';
import type { WorkerOptions } from '../workers/context.ts';
import type { WorkerStatus } from './admin/worker-status.ts';
import { childSlotsFor } from './children/children.ts';
import { openFilesFor } from './config/capacity.ts';
import type { Directives } from './config/directives.ts';
import { thisMachine } from './config/machine.ts';
import { VERSION } from './version.ts';

export function listenerOptions(directives: Directives): ListenerOptions {
  return {
    keepAliveTimeoutMs: directives.keepAliveTimeoutMs,
    timeoutMs: directives.timeoutMs,
    requestHeader: directives.requestReadTimeout.header,
    requestBody: directives.requestReadTimeout.body,
    listenBacklog: directives.listenBacklog,
    reusePort: directives.reusePort,
    queueLimit: directives.queueLimit,
    queueTimeoutMs: directives.queueTimeoutMs,
    lengthyQueueTimeoutMs: directives.lengthyQueueTimeoutMs,
    lengthyCancel: directives.lengthyCancel,
    gracefulShutdownTimeoutMs: directives.gracefulShutdownTimeoutMs,
    sessions: sessionsIn(directives).length > 0,
  };
}

/** Session protocols that addresses name, in the order of their numbers. */
export const sessionsIn = ({ listen }: Directives): readonly string[] => [
  ...new Set(listen.flatMap(({ protocol }) => protocol ?? [])),
];

/** Child slots of both pools. */
export const childSlotsIn = ({ maxRequestWorkers, lengthyWorkers }: Directives): number =>
  childSlotsFor(maxRequestWorkers) + childSlotsFor(lengthyWorkers);

/** What of the limits on workers is another number in the lengthy pool. */
export const lengthyLimits = ({ lengthyWorkers }: Directives) => ({
  startServers: 0,
  minSpareThreads: 0,
  maxSpareThreads: 0,
  maxRequestWorkers: lengthyWorkers,
});

export function logSettings({ accessLog, logFormat }: Directives): LogSettings | null {
  if (accessLog === null) return null;
  // A worker may see another working directory; `stdout` is no path.
  return { target: accessLog === STDOUT ? STDOUT : resolve(accessLog), format: logFormat };
}

export function workerOptions(
  directives: Directives,
  accessLog: LogSettings | null,
  workerStatus: WorkerStatus,
): WorkerOptions {
  const { statusPath } = directives;
  return {
    limitRequestLine: directives.limitRequestLineBytes,
    limitRequestFieldSize: directives.limitRequestFieldSizeBytes,
    limitRequestFields: directives.limitRequestFields,
    limitRequestBody: directives.limitRequestBodyBytes,
    limitSpilledKb: Math.floor(directives.limitSpilledBodyBytes / 1024),
    spill:
      directives.spillFolder === null
        ? null
        : {
            folder: directives.spillFolder,
            limitKb: Math.floor(directives.limitSpillFolderBytes / 1024),
          },
    keepAlive: directives.keepAlive,
    maxKeepAliveRequests: directives.maxKeepAliveRequests,
    requestDeadlineMs: directives.requestDeadlineMs,
    server: SERVER_FIELD[directives.serverTokens],
    directPolling: directives.directPolling,
    // With one processor it would only keep the client from it.
    looksBeforeSleep: availableParallelism() > 1 ? LOOKS_BEFORE_SLEEP : 0,
    indexes: directives.indexes,
    sendFileRoot: directives.sendFileRoot,
    proxyProtocol: directives.proxyProtocol,
    trustProxy:
      directives.trustProxy.length === 0
        ? null
        : { networks: directives.trustProxy, header: directives.trustProxyHeader },
    maxOpenFiles: openFilesFor(thisMachine(), directives.maxConnections, childSlotsIn(directives)),
    longHandlerNice: directives.longHandlerNice,
    lengthy:
      directives.lengthyWorkers === 0
        ? null
        : {
            queueLimit: directives.lengthyQueueLimit,
            cancel: directives.lengthyCancel,
            nice: directives.lengthyNice,
          },
    accessLog,
    sessions: sessionsIn(directives),
    http: directives.listen.some(({ protocol }) => protocol === undefined),
    timeoutMs: directives.timeoutMs,
    gracefulShutdownTimeoutMs: directives.gracefulShutdownTimeoutMs,
    proxy: directives.proxy,
    status:
      statusPath === null
        ? null
        : {
            path: statusPath,
            allow: directives.statusAllow,
            proxyTrusted: directives.trustProxy.length > 0,
            renderer: new URL('./admin/worker-status.js', import.meta.url).href,
            source: workerStatus,
          },
  };
}

/** About 40 microseconds: what a sleep and a wake-up cost. */
const LOOKS_BEFORE_SLEEP = 100;

const SERVER_FIELD = { off: '', prod: 'hybrid-mpm', full: `hybrid-mpm/${VERSION}` } as const;
