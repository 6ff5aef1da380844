/**
 * What `proxy(upstream, options)` and the directive `proxy` take.
 *
 * Role: from what users write to checked values with every default filled in.
 * Thread: any; pure functions.
 */
import { isIPv4, isIPv6 } from 'node:net';

/** One server behind the proxy. */
export interface UpstreamAddress {
  /** A numeric address without brackets, or a name, in lower case. */
  readonly host: string;
  readonly port: number;
  /** As it stands in Host and on the status page: `host:port`, IPv6 in brackets. */
  readonly name: string;
}

export interface ProxyOptions {
  /**
   * Host that the upstream is asked for: `client` (as the client asked, the default), `upstream` (its
   * own address), or a text.
   */
  readonly host?: string | undefined;
  /** Until a connection is there, milliseconds, 1 .. 600,000. Past it: 504, or the next upstream. 5,000. */
  readonly connectTimeoutMs?: number | undefined;
  /** From the whole request to the head of the response, 0: unlimited. Past it: 504. 60,000. */
  readonly responseTimeoutMs?: number | undefined;
  /** Between two pieces of a body, either way, and of a tunnel, 0: unlimited. 60,000. */
  readonly idleTimeoutMs?: number | undefined;
  /** Requests under way to one upstream at the same time, of all workers, tunnels included, 0: unlimited. 0. */
  readonly maxRequests?: number | undefined;
  /** Requests that may wait where all places are taken, of all workers; more: 503. 1,024. */
  readonly maxQueued?: number | undefined;
  /** How long one waits for a place, 1 .. 600,000. Past it: 503. 10,000. */
  readonly queueTimeoutMs?: number | undefined;
  /** Idle connections that each worker keeps for each upstream, 0 .. 1,024. 128. */
  readonly keepAliveConnections?: number | undefined;
  /** How long they are kept; an upstream's `Keep-Alive: timeout` shortens it. 15,000. */
  readonly keepAliveTimeoutMs?: number | undefined;
  /** Failures in a row after which an upstream is left out, 0: never. 3. */
  readonly maxFails?: number | undefined;
  /** For how long it is left out. 10,000. */
  readonly failTimeoutMs?: number | undefined;
  /** Path that is asked for to learn whether an upstream is well (2xx, 3xx); none: it is not asked. */
  readonly healthPath?: string | undefined;
  /** How often, all workers together. 5,000. */
  readonly healthIntervalMs?: number | undefined;
}

export interface ProxySettings {
  readonly upstreams: readonly UpstreamAddress[];
  /** What replaces the prefix of a route, null: the path is passed on as it is. */
  readonly path: string | null;
  readonly host: string;
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly maxRequests: number;
  readonly maxQueued: number;
  readonly queueTimeoutMs: number;
  readonly keepAliveConnections: number;
  readonly keepAliveTimeoutMs: number;
  readonly maxFails: number;
  readonly failTimeoutMs: number;
  readonly healthPath: string | null;
  readonly healthIntervalMs: number;
  /** The same settings have the same key. */
  readonly key: string;
}

/** A route of the directive `proxy`. */
export interface ProxyRoute {
  /** Begins with a slash and ends without one; '' is every path. */
  readonly prefix: string;
  readonly settings: ProxySettings;
  /** As it was written. */
  readonly text: string;
}

export const MAX_UPSTREAMS = 64;
const DAY_MS = 86_400_000;

export class ProxyOptionError extends TypeError {
  readonly code = 'ERR_MPM_PROXY_OPTION';
}

const HOST_NAME =
  /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/;
const ORIGIN = /^http:\/\/(\[[0-9a-fA-F:.]+\]|[^/:?#@[\]\s]+)(?::([0-9]{1,5}))?(\/[!-~]*)?$/;
const HOST_FIELD = /^(?:[\w.\-~]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?$/;
const PATH = /^\/[\w\-.~!$&'()*+,;=:@%/?]*$/;

/** An address as it stands in a URL. */
function upstreamOf(text: string): { address: UpstreamAddress; path: string | null } {
  const match = ORIGIN.exec(text);
  const bare = match?.[1]?.replace(/^\[|\]$/g, '').toLowerCase() ?? '';
  const bracketed = match?.[1]?.startsWith('[') === true;
  const port = Number(match?.[2] ?? 80);
  const known = bracketed
    ? isIPv6(bare)
    : isIPv4(bare) || (HOST_NAME.test(bare) && !/^[\d.]+$/.test(bare));
  if (match === null || !known || port < 1 || port > 65_535) {
    throw new ProxyOptionError(
      `an upstream must be http://host:port or http://host:port/path, IPv6 in brackets; "${text}" is not`,
    );
  }
  const path = match[3] ?? null;
  if (path !== null && (!PATH.test(path) || path.includes('?'))) {
    throw new ProxyOptionError(`the path of the upstream "${text}" has characters that none has`);
  }
  return { address: { host: bare, port, name: `${bracketed ? `[${bare}]` : bare}:${port}` }, path };
}

/**
 * Checks them and fills in the defaults.
 * @param upstream one URL, or several in a list or in one text with commas between
 * @throws ProxyOptionError that names the option
 */
export function proxySettings(
  upstream: string | readonly string[],
  options: ProxyOptions = {},
): ProxySettings {
  const texts = (typeof upstream === 'string' ? upstream.split(',') : [...upstream])
    .map((text) => String(text).trim())
    .filter((text) => text !== '');
  if (texts.length === 0) throw new ProxyOptionError('there is no upstream');
  if (texts.length > MAX_UPSTREAMS) {
    throw new ProxyOptionError(`a proxy has at most ${MAX_UPSTREAMS} upstreams`);
  }
  const found = texts.map(upstreamOf);
  const path = found[0]?.path ?? null;
  if (found.some((one) => one.path !== path)) {
    throw new ProxyOptionError('upstreams of one proxy must have the same path');
  }
  const names = found.map(({ address }) => address.name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new ProxyOptionError(`the upstream ${twice} is named twice`);
  for (const name of Object.keys(options)) {
    if (!OPTION_NAMES.has(name)) throw new ProxyOptionError(`there is no proxy option "${name}"`);
  }
  const settings = {
    upstreams: found.map(({ address }) => address),
    path,
    host: hostOption(options.host ?? 'client'),
    connectTimeoutMs: number(options, 'connectTimeoutMs', 5_000, 1, 600_000),
    responseTimeoutMs: number(options, 'responseTimeoutMs', 60_000, 0, DAY_MS),
    idleTimeoutMs: number(options, 'idleTimeoutMs', 60_000, 0, DAY_MS),
    maxRequests: number(options, 'maxRequests', 0, 0, 1_000_000),
    maxQueued: number(options, 'maxQueued', 1_024, 0, 1_000_000),
    queueTimeoutMs: number(options, 'queueTimeoutMs', 10_000, 1, 600_000),
    keepAliveConnections: number(options, 'keepAliveConnections', 128, 0, 1024),
    keepAliveTimeoutMs: number(options, 'keepAliveTimeoutMs', 15_000, 0, DAY_MS),
    maxFails: number(options, 'maxFails', 3, 0, 1_000_000),
    failTimeoutMs: number(options, 'failTimeoutMs', 10_000, 1, DAY_MS),
    healthPath: healthPath(options.healthPath),
    healthIntervalMs: number(options, 'healthIntervalMs', 5_000, 100, DAY_MS),
  };
  return { ...settings, key: JSON.stringify(settings) };
}

const OPTION_NAMES: ReadonlySet<string> = new Set([
  'host',
  'connectTimeoutMs',
  'responseTimeoutMs',
  'idleTimeoutMs',
  'maxRequests',
  'maxQueued',
  'queueTimeoutMs',
  'keepAliveConnections',
  'keepAliveTimeoutMs',
  'maxFails',
  'failTimeoutMs',
  'healthPath',
  'healthIntervalMs',
] satisfies (keyof ProxyOptions)[]);

function hostOption(host: unknown): string {
  if (typeof host === 'string' && HOST_FIELD.test(host)) return host;
  throw new ProxyOptionError(`host must be client, upstream or host:port, not ${String(host)}`);
}

function healthPath(path: unknown): string | null {
  if (path === undefined || path === null) return null;
  if (typeof path === 'string' && PATH.test(path)) return path;
  throw new ProxyOptionError(`healthPath must be a path such as /healthz, not ${String(path)}`);
}

type NumberOption = {
  [Name in keyof ProxyOptions]-?: ProxyOptions[Name] extends number | undefined ? Name : never;
}[keyof ProxyOptions];

function number(
  options: ProxyOptions,
  name: NumberOption,
  initial: number,
  least: number,
  most: number,
): number {
  const value: unknown = options[name] ?? initial;
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) {
    return value as number;
  }
  throw new ProxyOptionError(
    `${name} must be a whole number from ${least} to ${most}, not ${String(value)}`,
  );
}

const TEXT_OPTIONS = /^([a-zA-Z]+)=(\S+)$/;
const PREFIX = /^\/[\w\-.~!$&'()*+,;:@%/]*$/;

/**
 * A route as text: `/api=http://127.0.0.1:3000,http://127.0.0.1:3001 maxFails=2 healthPath=/healthz`.
 * @throws ProxyOptionError
 */
export function proxyRoute(text: string): ProxyRoute {
  const [first = '', ...rest] = text.trim().split(/\s+/);
  const equals = first.indexOf('=');
  const prefix = first.slice(0, Math.max(0, equals));
  if (!PREFIX.test(prefix) || prefix.includes('//') || hasDots(prefix)) {
    throw new ProxyOptionError(
      `a route must be /path=http://host:port, several upstreams with commas between; "${first}" is not`,
    );
  }
  const options: Record<string, string | number> = {};
  for (const part of rest) {
    const [, name, value] = TEXT_OPTIONS.exec(part) ?? [];
    if (name === undefined || value === undefined) {
      throw new ProxyOptionError(`an option of a route must be name=value; "${part}" is not`);
    }
    options[name] = /^[0-9]{1,15}$/.test(value) ? Number(value) : value;
  }
  return {
    prefix: prefix.replace(/\/$/, ''),
    settings: proxySettings(first.slice(equals + 1), options),
    text: text.trim().replace(/\s+/g, ' '),
  };
}

const DOT_SEGMENT = /(?:^|\/|\\|%2f|%5c)(?:\.|%2e){1,2}(?:\/|\\|%2f|%5c|$)/i;

/**
 * The path, up to a query, has a segment `.` or `..`, plain or encoded: where it leads two hops may see
 * differently (RFC 3986, section 5.2.4).
 */
export function hasDots(path: string): boolean {
  const query = path.indexOf('?');
  return DOT_SEGMENT.test(query < 0 ? path : path.slice(0, query));
}
