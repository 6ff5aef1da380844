/**
 * What a call of `server.listen(...)` asks for, in any of the forms node:net documents.
 *
 * Thread: a worker; pure functions.
 */

/** Where a server wants to listen; an empty host means every address. */
export interface WantedAddress {
  readonly host: string;
  /** 0 .. 65535; 0: one the kernel chooses. */
  readonly port: number;
}

export interface ListenCall {
  /** Null: not a TCP address (a path of a socket, a descriptor, a handle). */
  readonly address: WantedAddress | null;
  readonly callback: (() => void) | null;
  readonly signal: AbortSignal | null;
}

interface ListenOptions {
  readonly port?: unknown;
  readonly host?: unknown;
  readonly path?: unknown;
  readonly signal?: unknown;
}

/**
 * @throws RangeError with code ERR_SOCKET_BAD_PORT, as node:net; TypeError with ERR_INVALID_ARG_VALUE
 *   where the arguments name nothing to listen on
 */
export function readListenCall(parameters: readonly unknown[]): ListenCall {
  const last = parameters.at(-1);
  const callback = typeof last === 'function' ? (last as () => void) : null;
  const given = callback === null ? parameters : parameters.slice(0, -1);
  const [first, second] = given;
  if (typeof first === 'object' && first !== null) {
    const { port, host, path, signal } = first as ListenOptions;
    const abort = signal instanceof AbortSignal ? signal : null;
    if (port === undefined && path === undefined && isDescriptor(first)) {
      return { address: null, callback, signal: abort };
    }
    if (port === undefined && path === undefined) throw nothingToListenOn(first);
    if (port === undefined || port === null) return { address: null, callback, signal: abort };
    return { address: { host: hostOf(host), port: portOf(port) }, callback, signal: abort };
  }
  if (typeof first === 'string' && !isPort(first)) return { address: null, callback, signal: null };
  // `listen(port, backlog)` has a number where the host would be.
  const host = typeof second === 'string' ? second : '';
  return { address: { host, port: portOf(first ?? 0) }, callback, signal: null };
}

const isPort = (text: string): boolean => text.trim() !== '' && Number.isInteger(Number(text));
const hostOf = (host: unknown): string => (typeof host === 'string' ? host : '');
const isDescriptor = (value: object): boolean =>
  'fd' in value || '_handle' in value || 'handle' in value;

function portOf(value: unknown): number {
  const port = typeof value === 'string' && isPort(value) ? Number(value) : value;
  if (typeof port === 'number' && Number.isInteger(port) && port >= 0 && port <= 65_535) {
    return port;
  }
  const error = new RangeError(
    `options.port should be >= 0 and < 65536. Received ${String(value)}.`,
  );
  throw Object.assign(error, { code: 'ERR_SOCKET_BAD_PORT' });
}

function nothingToListenOn(options: object): TypeError {
  const error = new TypeError(
    `The argument 'options' must have the property "port" or "path". Received ${JSON.stringify(options)}`,
  );
  return Object.assign(error, { code: 'ERR_INVALID_ARG_VALUE' });
}
