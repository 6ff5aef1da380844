/**
 * The first line of bytes that may be no request at all.
 *
 * Thread: any; a pure function.
 */

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/** bytes[start, end) up to its first line end, as latin1; an empty line before it is left out. */
export function firstLine(bytes: Buffer, start: number, end: number): string {
  let from = start;
  if (bytes[from] === CARRIAGE_RETURN && bytes[from + 1] === LINE_FEED) from += 2;
  let to = from;
  while (to < end && bytes[to] !== LINE_FEED) to++;
  // Further carriage returns are the client's own, and are shown.
  if (to < end && to > from && bytes[to - 1] === CARRIAGE_RETURN) to--;
  return bytes.toString('latin1', from, Math.max(from, to));
}
