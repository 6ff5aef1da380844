/**
 * A child's inbox: suspended connections whose socket is ready, linked through their slots.
 *
 * Role: whoever polls pushes, the one child takes everything at once. A connection is in at most one
 * inbox, once, because only the move suspended -> resuming puts it there; so nothing can overflow, and
 * taking all at once leaves no entry that could be reused under a reader (no ABA). The exception: a leader
 * that stands still between that move and its push, for as long as the child takes to die and be buried,
 * pushes a slot into the inbox of the child that comes after. It is passed over there.
 * Thread: push by the listener or the leader, take by the child (or by the listener once that child is dead).
 */
import { CHILD, SLOT } from './layout.ts';
import type { Scoreboard } from './scoreboard.ts';

export const NOBODY = -1;

/** By whoever has made the move to resuming, right after it. */
export function pushInbox(board: Scoreboard, child: number, slot: number): void {
  const index = board.childIndex(child) + (CHILD.inbox.offset >> 2);
  let first = Atomics.load(board.words, index);
  for (;;) {
    board.setSlot(slot, SLOT.nextInInbox, first);
    const seen = Atomics.compareExchange(board.words, index, first, slot + 1);
    if (seen === first) return;
    first = seen;
  }
}

/** Takes all; the first connection (latest pushed), or `NOBODY`. Follow with `nextInInbox`. */
export function takeInbox(board: Scoreboard, child: number): number {
  const index = board.childIndex(child) + (CHILD.inbox.offset >> 2);
  if (Atomics.load(board.words, index) === 0) return NOBODY;
  return Atomics.exchange(board.words, index, 0) - 1;
}

/** Read before the connection is claimed: afterwards its slot may be linked anew. */
export const nextInInbox = (board: Scoreboard, slot: number): number =>
  board.slot(slot, SLOT.nextInInbox) - 1;
