/**
 * When a connection was put into the queue, as whoever puts it there without owning it says so.
 *
 * Role: `sinceTicks` and `queuedUs` of a waiting connection are written right before the move that queues it,
 * by a poller or by whoever wakes a session; several may try at once. One that stands still before that move,
 * until the slot has been closed and used again, must not write into the next connection. So the milliseconds
 * are a compare-and-swap on what stood there before the state word was looked at: a new connection, or the
 * next wait of this one, has another time by then. The microseconds are stored plainly, and count only where
 * they belong to these milliseconds.
 * Thread: any; the reader is the connection's owner.
 */
import { elapsedTicks, microsecondsOf, ticksOf } from './clock.ts';
import { SLOT } from './layout.ts';
import type { Scoreboard } from './scoreboard.ts';

/** Nobody stands still for so long; a session may have waited for longer than the clock's differences reach. */
const DAY_MS = 24 * 3600 * 1000;

const WORD = SLOT.word.offset >> 2;
const SINCE = SLOT.sinceTicks.offset >> 2;
const QUEUED = SLOT.queuedUs.offset >> 2;

/**
 * Before the move to the queue of a connection that waits.
 * @param word its state word as it was looked at
 * @param now `performance.now()`, when the reason came
 * @returns false: somebody has moved it or noted a time since, so look again
 */
export function noteQueued(board: Scoreboard, slot: number, word: number, now: number): boolean {
  const { words } = board;
  const index = board.slotIndex(slot);
  const since = Atomics.load(words, index + SINCE);
  // Behind that load: where the word is still the same, the time is of this connection and this wait.
  if (Atomics.load(words, index + WORD) !== word) return false;
  const ticks = ticksOf(now);
  const later = elapsedTicks(since, ticks);
  // Found before this wait began, by one that stood still until then.
  if (later < 0 && later > -DAY_MS) return true;
  if (later !== 0 && Atomics.compareExchange(words, index + SINCE, since, ticks) !== since) {
    return false;
  }
  words[index + QUEUED] = microsecondsOf(now);
  return true;
}

/**
 * The listener, when a slot gets another connection. Atomic, so that a late compare-and-swap sees it on every
 * processor, or comes before it.
 * @param ticks clock ticks, when it was accepted
 */
export function setAccepted(board: Scoreboard, slot: number, ticks: number): void {
  Atomics.store(board.words, board.slotIndex(slot) + SINCE, ticks);
}

/** What `noteQueued` says, by the owner or before anybody else can know of the connection. */
export function setQueued(board: Scoreboard, slot: number, now: number): void {
  const { words } = board;
  const index = board.slotIndex(slot);
  words[index + SINCE] = ticksOf(now);
  words[index + QUEUED] = microsecondsOf(now);
}

/**
 * Microseconds that a connection has waited in the queue; its owner, after the claim.
 * @param now `performance.now()`
 */
export function waitedUs(board: Scoreboard, slot: number, now: number): number {
  const { words } = board;
  const index = board.slotIndex(slot);
  const sinceUs = Math.imul(words[index + SINCE] as number, 1000);
  const queuedUs = words[index + QUEUED] as number;
  // Another's, who was late: exact to the millisecond.
  const isFromThen = (queuedUs - sinceUs) >>> 0 < 1000;
  return Math.max(0, (microsecondsOf(now) - (isFromThen ? queuedUs : sinceUs)) | 0);
}
