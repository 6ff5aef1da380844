/**
 * What a reload may change.
 *
 * Role: says of each directive whether it takes effect at once, with a new generation of workers, or
 * only when the server is started anew; and what of a new configuration a running server accepts.
 * Thread: main; pure functions.
 */
import { isDeepStrictEqual } from 'node:util';
import { connectionBufferBytesFor } from './capacity.ts';
import type { Directives } from './directives.ts';
import { DIRECTIVES, type DirectiveName, NAMES } from './table.ts';

/**
 * `live`: at once, also for children and connections that are there. `workers`: workers read it at their
 * start. `start`: sockets, shared memory, threads and logs are made with it.
 */
type Effect = 'live' | 'workers' | 'start';

export const EFFECTS: Readonly<Record<DirectiveName, Effect>> = {
  listen: 'start',
  listenBacklog: 'start',
  reusePort: 'start',
  proxyProtocol: 'workers',
  trustProxy: 'workers',
  trustProxyHeader: 'workers',
  proxy: 'workers',
  directPolling: 'workers',
  maxConnections: 'start',
  queueLimit: 'live',
  queueTimeout: 'live',
  startServers: 'live',
  minSpareThreads: 'live',
  maxSpareThreads: 'live',
  maxRequestWorkers: 'live',
  longHandlerNice: 'workers',
  lengthyWorkers: 'start',
  lengthyQueueLimit: 'workers',
  lengthyQueueTimeout: 'live',
  // The listener and the workers have to agree on it at every moment.
  lengthyCancel: 'start',
  lengthyNice: 'workers',
  asyncRequestWorkerFactor: 'live',
  maxConnectionsPerChild: 'live',
  maxRequestsPerChild: 'live',
  maxMemoryPerChild: 'live',
  maxHeapPerChild: 'start',
  keepAlive: 'workers',
  keepAliveTimeout: 'live',
  maxKeepAliveRequests: 'workers',
  timeout: 'live',
  requestReadTimeout: 'live',
  requestDeadline: 'workers',
  drainDelay: 'live',
  gracefulShutdownTimeout: 'live',
  limitRequestLine: 'workers',
  limitRequestFieldSize: 'workers',
  limitRequestFields: 'workers',
  limitRequestBody: 'workers',
  limitSpilledBody: 'workers',
  spillFolder: 'workers',
  limitSpillFolder: 'workers',
  indexes: 'workers',
  sendFileRoot: 'workers',
  extendedStatus: 'start',
  admin: 'start',
  adminToken: 'start',
  statusPath: 'workers',
  statusAllow: 'workers',
  serverTokens: 'workers',
  accessLog: 'start',
  logFormat: 'start',
};

/** Names of directives whose values differed, by what became of them. */
export interface Reloaded {
  /** In effect. */
  readonly applied: readonly DirectiveName[];
  /** In effect with the new generation of workers. */
  readonly restarted: readonly DirectiveName[];
  /** Unchanged until the server is started anew, each with the reason where it is not the same always. */
  readonly kept: readonly string[];
}

/** Directives that buffers of connections are made for. */
const BUFFER: readonly DirectiveName[] = ['limitRequestLine', 'limitRequestFieldSize'];

/**
 * @param most workers that there are slots for
 */
export function changesBetween(
  before: Directives,
  after: Directives,
  most: number,
): Reloaded & { readonly accepted: Directives } {
  const accepted: Record<string, unknown> = { ...before };
  const applied: DirectiveName[] = [];
  const restarted: DirectiveName[] = [];
  const kept: string[] = [];
  for (const name of NAMES) {
    const { key } = DIRECTIVES[name];
    if (isDeepStrictEqual(before[key], after[key])) continue;
    const why = refusal(name, before, after, most);
    if (why !== null) kept.push(name + why);
    else {
      accepted[key] = after[key];
      (EFFECTS[name] === 'live' ? applied : restarted).push(name);
    }
  }
  // The table ties every key to the member of Directives that it fills.
  return { applied, restarted, kept, accepted: accepted as unknown as Directives };
}

/** Why it cannot change now, in brackets, '' for the usual reason; null: it can. */
function refusal(
  name: DirectiveName,
  before: Directives,
  after: Directives,
  most: number,
): string | null {
  if (EFFECTS[name] === 'start') return '';
  if (name === 'maxRequestWorkers' && after.maxRequestWorkers > most) {
    return ` (there are slots for ${most})`;
  }
  if (name === 'queueLimit' && after.queueLimit > before.maxConnections) {
    return ' (at most maxConnections, which stays)';
  }
  if (BUFFER.includes(name)) {
    const { limitRequestLineBytes: line, limitRequestFieldSizeBytes: field } = after;
    if (connectionBufferBytesFor(line, field) !== before.connectionBufferBytes) {
      return ' (connection buffers would have another size)';
    }
  }
  return null;
}

/** `accepted` without what only a new generation brings, which was not to be had. */
export function withOlder(accepted: Directives, before: Directives): Directives {
  const kept: Record<string, unknown> = { ...accepted };
  for (const name of NAMES) {
    const { key } = DIRECTIVES[name];
    if (EFFECTS[name] === 'workers') kept[key] = before[key];
  }
  return kept as unknown as Directives;
}
