/**
 * The directives a server runs with: their type, and how given values become it.
 *
 * Role: `Directives` is what every other part reads; `resolve` turns settings from any number of
 * sources into it, with all problems reported at once. The table of directives is table.ts.
 * Thread: main; the result is plain data and may be copied to workers.
 * May not: read files, the environment or the machine; those are arguments.
 */
import type { LogFormat } from '../../workers/access-log/format.ts';
import type { ProxyRoute } from '../../workers/reverse-proxy/options.ts';
import { connectionBufferBytesFor } from './capacity.ts';
import { ConfigError, ErrorCode, nearest, type Origin, type Problem } from './errors.ts';
import { type Machine, thisMachine } from './machine.ts';
import { RULES } from './rules.ts';
import { DIRECTIVES, type DirectiveName, NAMES, REFUSED } from './table.ts';

export { connectionBufferBytesFor } from './capacity.ts';
export { ConfigError } from './errors.ts';
export type { Machine } from './machine.ts';

/** Where to listen. */
export interface HostPort {
  /**
   * A numeric address without brackets, or a host name. `::` is every address, IPv6 and IPv4 alike
   * (a dual-stack socket); on a machine without IPv6 it means `0.0.0.0`.
   */
  readonly host: string;
  /** 0: one that the kernel chooses. */
  readonly port: number;
  /** In `listen`: name of a session protocol of the entry; none: HTTP/1.1. */
  readonly protocol?: string;
}

/** How long one stage of a request may take to arrive; Apache's mod_reqtimeout. */
export interface ReadTimeout {
  /** Time for the stage at first, milliseconds; 0: no limit. */
  readonly timeoutMs: number;
  /** What `minRateBytesPerSecond` may extend it to; 0: without a bound. Equals `timeoutMs` without a rate. */
  readonly maxTimeoutMs: number;
  /** Every this many bytes received extend the time by a second; 0: nothing extends it. */
  readonly minRateBytesPerSecond: number;
}

export interface RequestReadTimeout {
  readonly header: ReadTimeout;
  readonly body: ReadTimeout;
}

/** What the Server header shows: nothing, the name, or name and version. */
export type TrustProxyHeader = 'x-forwarded' | 'forwarded';
export type ServerTokens = 'off' | 'prod' | 'full';

/** All values resolved, checked and normalised; units stand last in the names. */
export interface Directives {
  /** At least one, in the order given. */
  readonly listen: readonly HostPort[];
  /** Completed connections that the kernel holds until they are accepted. */
  readonly listenBacklog: number;
  /** SO_REUSEPORT on the listening sockets. */
  readonly reusePort: boolean;
  /** Networks whose connections begin with a PROXY header, see `isNetwork`; none: nobody's do. */
  readonly proxyProtocol: readonly string[];
  /** Networks of proxies that are believed, see `isNetwork`; none: nobody is. */
  readonly trustProxy: readonly string[];
  /** The fields that they write. */
  readonly trustProxyHeader: TrustProxyHeader;
  /** Paths whose requests go to upstreams. */
  readonly proxy: readonly ProxyRoute[];
  /** A free worker polls the waiting connections itself. */
  readonly directPolling: boolean;
  /** Open connections, so also connection slots and connection buffers. */
  readonly maxConnections: number;
  /** Connections that wait for a worker, 1 .. maxConnections. */
  readonly queueLimit: number;
  /** Wait in the queue after which a request is answered 503; 0: never. */
  readonly queueTimeoutMs: number;

  /** Workers at start, and never fewer; <= maxRequestWorkers. */
  readonly startServers: number;
  /** Idle workers to keep ready; <= maxSpareThreads, <= maxRequestWorkers. */
  readonly minSpareThreads: number;
  /** Above this many idle workers one retires per tick. */
  readonly maxSpareThreads: number;
  /** Most workers that serve at the same time. */
  readonly maxRequestWorkers: number;
  /** Added to the nice value of a worker while its handler is known to be long, 0 .. 19. */
  readonly longHandlerNice: number;
  /** Most workers of the lengthy pool; 0: there is none. */
  readonly lengthyWorkers: number;
  /** Requests that may wait for one. */
  readonly lengthyQueueLimit: number;
  /** How long; 0: no bound. */
  readonly lengthyQueueTimeoutMs: number;
  /** A lengthy request whose client shuts its side is cancelled. */
  readonly lengthyCancel: boolean;
  /** Added to the nice value of lengthy workers, 0 .. 19. */
  readonly lengthyNice: number;
  /** Connections in demand per worker; may be fractional. */
  readonly asyncRequestWorkerFactor: number;
  /** Connections after which a child retires, each counted once per child; 0: never. */
  readonly maxConnectionsPerChild: number;
  /** Requests after which a child retires; 0: never. */
  readonly maxRequestsPerChild: number;
  /** Heap and external memory, bytes, after which a child retires; 0: never. */
  readonly maxMemoryPerChildBytes: number;
  /** Bound on the V8 heap of a child, bytes; 0: V8's own. */
  readonly maxHeapPerChildBytes: number;

  /** False: every connection closes after one response. */
  readonly keepAlive: boolean;
  /** Idle time before the next request's first byte. */
  readonly keepAliveTimeoutMs: number;
  /** Requests on one connection; 0: unlimited. */
  readonly maxKeepAliveRequests: number;
  /** Time without progress while a response is written or a body is awaited. */
  readonly timeoutMs: number;
  readonly requestReadTimeout: RequestReadTimeout;
  /** Time until a response must have begun; 0: none. */
  readonly requestDeadlineMs: number;
  /** Between a stop's announcement (/readyz) and the closing of the listening sockets. */
  readonly drainDelayMs: number;
  /** Bound on a drain and on a retiring child; 0: unbounded. */
  readonly gracefulShutdownTimeoutMs: number;

  /** Longest request line, bytes; beyond: 414. */
  readonly limitRequestLineBytes: number;
  /** Longest header field, bytes; beyond: 431. */
  readonly limitRequestFieldSizeBytes: number;
  /** Most header fields; beyond: 431. */
  readonly limitRequestFields: number;
  /** Longest request body, bytes; beyond: 413. 0: unlimited. */
  readonly limitRequestBodyBytes: number;
  /** Memory for the rest of responses to slow clients, bytes; 0: none. */
  readonly limitSpilledBodyBytes: number;
  /** Absolute path; null: none. */
  readonly spillFolder: string | null;
  readonly limitSpillFolderBytes: number;
  /**
   * Derived: the size of a connection buffer, which a whole head has to fit. The next power of two that
   * holds a longest request line and a longest field, 4 KiB .. 1 MiB.
   */
  readonly connectionBufferBytes: number;

  /** A folder without an index file is listed. */
  readonly indexes: boolean;
  /** Folder below which X-Sendfile and X-Accel-Redirect name files; null: they are not heeded. */
  readonly sendFileRoot: string | null;

  /** Per-request detail (client, request, durations) on the status page. */
  readonly extendedStatus: boolean;
  /** Where status and metrics are served; null: nowhere. */
  readonly admin: HostPort | null;
  /** Secret for actions, or `@` and the file that holds it; null: no actions. */
  readonly adminToken: string | null;
  /** Path of the status page among the application's own; null: none. */
  readonly statusPath: string | null;
  /** Networks of clients that may see it, see `isNetwork`; none: nobody may. */
  readonly statusAllow: readonly string[];
  readonly serverTokens: ServerTokens;
  /** Where a line for each request goes: a path, or `stdout`; null: nowhere. */
  readonly accessLog: string | null;
  readonly logFormat: LogFormat;
}

/** One directive given by one source. */
export interface Setting {
  /** As the table names it where it is known. */
  readonly directive: string;
  readonly value: unknown;
  readonly origin: Origin;
}

export interface Resolution {
  readonly directives: Directives;
  /** Where each directive's value came from. */
  readonly origins: ReadonlyMap<DirectiveName, Origin>;
}

const isDirective = (name: string): name is DirectiveName => Object.hasOwn(DIRECTIVES, name);

/** Why this name cannot be set: it comes later or is unknown. */
function nameProblem({ directive, value, origin }: Setting): Problem {
  const problem = { code: ErrorCode.directive, directive, value, origin };
  if (Object.hasOwn(REFUSED, directive)) {
    return { ...problem, allowed: REFUSED[directive] as string, known: true };
  }
  const near = nearest(directive.replace(/^(HYBRID_MPM_|--)/, ''), NAMES);
  return {
    ...problem,
    allowed: near === null ? 'unknown directive' : 'unknown directive, did you mean',
    suggestion: near,
    known: false,
  };
}

/**
 * Merges settings, later ones over earlier ones, fills in the defaults and checks the whole.
 *
 * @param settings in rising order of precedence; a value that a later one replaces is checked as well
 * @param machine what defaults and bounds depend on
 * @param earlier problems found while the settings were collected, reported together with these
 * @throws ConfigError with every problem found
 */
export function resolve(
  settings: readonly Setting[],
  machine: Machine,
  earlier: readonly Problem[] = [],
): Resolution {
  const problems: Problem[] = [...earlier];
  const given: Record<string, unknown> = {};
  const origins = new Map<DirectiveName, Origin>();
  /** As given, for messages. */
  const raw = new Map<string, unknown>();
  const faulty = new Set<string>();
  for (const setting of settings) {
    const { directive, value, origin } = setting;
    if (!isDirective(directive)) {
      problems.push(nameProblem(setting));
      continue;
    }
    const { key, kind } = DIRECTIVES[directive];
    const result = kind.schema.safeParse(value);
    if (!result.success) {
      const allowed = result.error.issues[0]?.message ?? kind.form;
      problems.push({ code: ErrorCode.directive, directive, value, origin, allowed, known: true });
      faulty.add(directive);
      continue;
    }
    given[key] = result.data;
    origins.set(directive, origin);
    raw.set(directive, value);
  }
  const values: Record<string, unknown> = {};
  for (const name of NAMES) {
    const { key, initial } = DIRECTIVES[name];
    values[key] = Object.hasOwn(given, key) ? given[key] : initial(machine, given);
    if (!origins.has(name)) origins.set(name, { kind: 'default', name: 'default' });
  }
  // The table's own types tie every key to the member of Directives that it fills.
  const partial = values as unknown as Omit<Directives, 'connectionBufferBytes'>;
  const directives: Directives = {
    ...partial,
    connectionBufferBytes: connectionBufferBytesFor(
      partial.limitRequestLineBytes,
      partial.limitRequestFieldSizeBytes,
    ),
  };
  for (const { subject, others, broken } of RULES) {
    // What depends on a value that is wrong in itself would only be noise.
    if (faulty.has(subject) || others.some((name) => faulty.has(name))) continue;
    const allowed = broken(directives, machine);
    if (allowed === null) continue;
    // Blame a value that somebody gave: where the subject is a default, the one it clashes with.
    const blamed =
      [subject, ...others].find((name) => origins.get(name)?.kind !== 'default') ?? subject;
    problems.push({
      code: ErrorCode.directive,
      directive: blamed,
      value: raw.has(blamed) ? raw.get(blamed) : written(directives, blamed),
      origin: origins.get(blamed) as Origin,
      allowed,
      known: true,
    });
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { directives, origins };
}

/**
 * One source's directives, e.g. an object written in code; the rest are defaults.
 *
 * @param raw directives by name, values in any form that a configuration file may use
 * @param origin what messages call the source
 * @param machine default: the machine this runs on
 * @throws ConfigError with every problem found
 */
export function resolveDirectives(
  raw: Readonly<Record<string, unknown>>,
  origin = 'options',
  machine: Machine = thisMachine(),
): Directives {
  const settings = Object.entries(raw).map(([directive, value]) => ({
    directive,
    value,
    origin: { kind: 'code', name: origin } as const,
  }));
  return resolve(settings, machine).directives;
}

/** The value of a directive as a user would write it, for messages and check-config. */
export function written(directives: Directives, name: DirectiveName): string {
  const { key, kind } = DIRECTIVES[name];
  return kind.format(directives[key] as never);
}
