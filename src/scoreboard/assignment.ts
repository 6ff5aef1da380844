/**
 * A ticket for one worker: how a leading worker gives a request to an idle one.
 *
 * Role: one word a child. It holds the ticket of a queued connection that is not in the ring, or says
 * that the child takes none any more. Which child gets the connection is a matter of speed alone:
 * where the word is not free the ticket goes into the ring, and where the child dies with it the sweep
 * finds a queued connection without a ticket.
 * Thread: assign by a leading worker, take and close by the child, revoke and open by main.
 */
import { CHILD } from './layout.ts';
import type { Scoreboard } from './scoreboard.ts';

const NONE = 0;
const CLOSED = -1;

const wordOf = (board: Scoreboard, child: number): number =>
  board.childIndex(child) + (CHILD.assigned.offset >> 2);

/** Leaves a ticket for a child; false: it has one already, or has ended. */
export function assign(board: Scoreboard, child: number, slot: number): boolean {
  return Atomics.compareExchange(board.words, wordOf(board, child), NONE, slot + 1) === NONE;
}

/** The child: its ticket, -1 where it has none. */
export function takeAssigned(board: Scoreboard, child: number): number {
  const index = wordOf(board, child);
  const seen = Atomics.load(board.words, index);
  if (seen <= NONE) return -1;
  // Nobody else changes a ticket, so this needs no second try.
  Atomics.store(board.words, index, NONE);
  return seen - 1;
}

/** The child, at its end: takes none from now on; false: one has come, so serve it first. */
export function closeAssignments(board: Scoreboard, child: number): boolean {
  const seen = Atomics.compareExchange(board.words, wordOf(board, child), NONE, CLOSED);
  return seen === NONE || seen === CLOSED;
}

/** Main, when its thread is gone: takes none from now on; the ticket that it left, -1: none. */
export function revokeAssignments(board: Scoreboard, child: number): number {
  const seen = Atomics.exchange(board.words, wordOf(board, child), CLOSED);
  return seen > NONE ? seen - 1 : -1;
}

/** Main, before a life begins. */
export function openAssignments(board: Scoreboard, child: number): void {
  Atomics.compareExchange(board.words, wordOf(board, child), CLOSED, NONE);
}
