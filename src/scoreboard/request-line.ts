/**
 * The first line of the request that a connection slot is at, out of the connection buffer.
 *
 * Thread: the slot's owner, or the listener when that is dead.
 */
import { SLOT } from './layout.ts';
import type { Scoreboard } from './scoreboard.ts';

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
/** A longer line is cut off. */
const MAX_REQUEST_LINE = 8190;

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

/** '' where no byte of it is there any more. */
export function requestLine(board: Scoreboard, slot: number): string {
  const buffer = board.slot(slot, SLOT.buffer) - 1;
  if (buffer < 0) return '';
  const base = buffer * board.bufferBytes;
  const from = base + board.slot(slot, SLOT.dataStart);
  const to = Math.min(base + board.slot(slot, SLOT.dataEnd), from + MAX_REQUEST_LINE);
  return firstLine(board.buffers, from, to);
}
