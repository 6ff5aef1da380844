/**
 * Waking: who sleeps, who is woken, once.
 *
 * Role: the two sleep protocols. A worker that finds nothing to do says so (its bit in `idle`), looks
 * once more, and only then sleeps; whoever has work first publishes it, then takes a bit out. Both are
 * sequentially consistent, so at least one of the two sees the other: no wake-up is lost. The one that
 * took the bit writes the eventfd, so a sleeping worker is signalled exactly once.
 * Thread: any.
 */
import { ChildCommand } from './codes.ts';
import { CHILD, HEADER } from './layout.ts';
import { leaderOf } from './leader.ts';
import type { Pool } from './pool.ts';
import type { Scoreboard } from './scoreboard.ts';

export type Signal = (eventfd: number) => void;

/** True where something waits for this child: an inbox, a hang-up, an assigned ticket. */
export const hasWaiting = (board: Scoreboard, child: number): boolean =>
  board.child(child, CHILD.inbox) !== 0 ||
  board.child(child, CHILD.attention) !== 0 ||
  board.child(child, CHILD.assigned) > 0;

const isRetiring = (board: Scoreboard, child: number): boolean =>
  board.child(child, CHILD.command) !== ChildCommand.run;

/**
 * A backlog that drains within this time needs no further worker. A thread woken for less finds
 * little to do, with its code cold, and takes a processor from the one that would be through.
 */
export const TOLERATED_WAIT_US = 500;

/**
 * What waits in the queue is little, and the child that leads is awake: it looks at the queue before it
 * sleeps, wakes somebody else before a handler that it knows to be long, and loses the lead to an idle
 * child where the listener finds it stuck. That one has to be looking. The caller's bit is in the idle set, so
 * whoever takes the lead away after this finds it there, and a leader leaves nothing to itself.
 */
function isLeftToLeader(board: Scoreboard, child: number, backlog: number): boolean {
  const leader = leaderOf(board);
  if (leader < 0 || child >= board.normal.end) return false;
  if (board.header(HEADER.standbyLooks.offset) === 0) return false;
  if (board.idle.has(leader) || board.child(leader, CHILD.inLongHandler) === 1) return false;
  return backlog * board.child(leader, CHILD.meanServiceUs) <= TOLERATED_WAIT_US;
}

/**
 * Called by a worker that found nothing, after it drained its eventfd. True: it may sleep; false: work
 * came meanwhile.
 */
export function goIdle(board: Scoreboard, child: number): boolean {
  const { idle, queue } = board.poolOf(child);
  idle.add(child);
  const takesNone = queue.length === 0 || isLeftToLeader(board, child, queue.length);
  if (takesNone && !hasWaiting(board, child) && !isRetiring(board, child)) return true;
  // Where somebody else took the bit, a signal is on its way and wakes for nothing later; harmless.
  idle.remove(child);
  return false;
}

/**
 * Wakes this child if it sleeps; if it does not, it looks at its slot before it does. One that retires
 * is not among the idle, since it takes nothing new, and is always signalled; so is a lengthy one, which
 * may sleep while it has a connection.
 */
export function wakeChild(board: Scoreboard, child: number, signal: Signal): void {
  const { idle } = board.poolOf(child);
  if (idle.remove(child) || isRetiring(board, child) || child >= board.lengthy.first) {
    signal(board.child(child, CHILD.wakeFd));
  }
}

/** Wakes the idle child of a pool with the lowest slot; false where none is idle. */
export function wakeLowestIdle(
  board: Scoreboard,
  signal: Signal,
  { idle }: Pool = board.normal,
): boolean {
  const child = idle.takeLowest();
  if (child < 0) return false;
  signal(board.child(child, CHILD.wakeFd));
  return true;
}

/** A worker gives a closing connection to the listener; one signal however many follow. */
export function handBack(board: Scoreboard, slot: number, signal: Signal): void {
  // As long as every slot enters once before it is reclaimed, a ring of twice the slots is never full.
  if (!board.handback.push(slot)) throw new Error('handback ring is full');
  callListener(board, signal);
}

/** So many may lie in the hand-back ring without a signal. */
export const MAX_UNSIGNALLED = 16;

/**
 * A worker gives a connection whose client has the end of the stream already, so that nobody waits for its
 * descriptor to be closed: the listener takes it with whatever it does next, or with its next look. It is
 * signalled where it does not look, where it lets no clients in, as it may lack room, and where many lie there.
 */
export function handBackLater(board: Scoreboard, slot: number, signal: Signal): void {
  if (!board.handback.push(slot)) throw new Error('handback ring is full');
  const isLookedAt =
    board.header(HEADER.standbyLooks.offset) === 1 && board.header(HEADER.accepting.offset) === 1;
  if (!isLookedAt || board.handback.length >= MAX_UNSIGNALLED) callListener(board, signal);
}

/** Has the listener look after what workers leave to it; one signal however many follow. */
export function callListener(board: Scoreboard, signal: Signal): void {
  const index = HEADER.handbackSignalled.offset >> 2;
  if (Atomics.exchange(board.words, index, 1) === 0) {
    signal(board.header(HEADER.handbackFd.offset));
  }
}

/** The listener, before it empties the handback ring: what is pushed from now on signals again. */
export function beginHandback(board: Scoreboard): void {
  board.setHeader(HEADER.handbackSignalled.offset, 0);
}
