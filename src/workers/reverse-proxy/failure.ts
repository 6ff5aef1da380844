/**
 * What a client is told when an upstream does not answer as it should.
 *
 * Role: status, text and log line of each failure (RFC 9110, sections 15.6.3 and 15.6.5).
 * Thread: a worker. Pure.
 */

/** Why a request came back without a response of the upstream's. */
export interface ProxyFailure {
  readonly status: 400 | 501 | 502 | 503 | 504;
  /** A code, in the body and in the log. */
  readonly reason: string;
}

const NAMES = {
  400: 'Bad Request',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
} as const;

export const FAILURE_HEADERS = Object.freeze(['Content-Type', 'text/plain;charset=UTF-8']);
export const failureText = ({ status, reason }: ProxyFailure): string =>
  `${NAMES[status]}: ${reason}\n`;

export const bad = (reason: string): ProxyFailure => ({ status: 502, reason });
/** No place of `maxRequests` was free. */
export const crowded = (reason: string): ProxyFailure => ({ status: 503, reason });
export const late = (reason: string): ProxyFailure => ({ status: 504, reason });

const CONNECT_ERRORS: Readonly<Record<number, string>> = {
  [-111]: 'connection refused',
  [-113]: 'no route to host',
  [-101]: 'network unreachable',
  [-110]: 'connect timeout',
  [-104]: 'connection reset',
  [-24]: 'no descriptors left',
  [-23]: 'no descriptors left',
  [-99]: 'no local ports left',
};

/** What node:net says of a connection that could not be made or broke. */
export const connectError = ({ errno, code, message }: NodeJS.ErrnoException): ProxyFailure =>
  errno !== undefined && CONNECT_ERRORS[errno] !== undefined
    ? connectFailure(errno)
    : bad(code ?? message);

/** @param errno negative */
export const connectFailure = (errno: number): ProxyFailure => {
  const reason = CONNECT_ERRORS[errno] ?? `connect failed (errno ${-errno})`;
  return errno === -110 ? late(reason) : bad(reason);
};
