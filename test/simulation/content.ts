/**
 * What every request asks for and every response says, so that each byte can be checked on its arrival.
 *
 * Role: a body is a part of one periodic pattern; where it begins follows from the connection and the
 * number of the request on it. A byte too many, too few or of another connection does not fit.
 */
const PERIOD = 251;
const MAX_BODY = 256 * 1024;

export const PATTERN = Buffer.alloc(MAX_BODY + PERIOD);
for (let at = 0; at < PATTERN.length; at++) PATTERN[at] = 32 + ((at % PERIOD) % 91);

/** Where the body of this message begins in the pattern. */
export const startOf = (connection: number, request: number): number =>
  (connection * 131 + request * 17) % PERIOD;

/** A body. */
export function bodyOf(connection: number, request: number, length: number): Buffer {
  const start = startOf(connection, request);
  return PATTERN.subarray(start, start + length);
}

/** True: these bytes stand in that body from `offset` on. */
export function fits(bytes: Uint8Array, start: number, offset: number): boolean {
  const at = start + (offset % PERIOD);
  return PATTERN.compare(bytes, 0, bytes.length, at, at + bytes.length) === 0;
}
