/**
 * A child's inbox: suspended connections whose socket is ready, one bit each.
 *
 * Role: whoever polls pushes, the one child takes everything at once. A row of bits by slot for each child,
 * and in CHILD.inbox one bit for each group of its words, so that a look costs one load and a take as many
 * as the groups have words. There are no links between entries, so none can be lost with another: a leader
 * that stands still between the move to `resuming` and its push, until the child is dead and buried and the
 * slot another connection's, sets a bit that says nothing, and the child of that time passes over it. For the
 * same reason a push may be made again where it is not known whether it was made. Nothing can overflow.
 * A connection that is pushed during a take waits for the next, so each waits for one round at most.
 * Thread: push by the listener or the leader, take by the child (or by the listener once that child is dead).
 */
import { CHILD } from './layout.ts';
import type { Scoreboard } from './scoreboard.ts';

export const NOBODY = -1;

const groupsAt = (board: Scoreboard, child: number): number =>
  board.childIndex(child) + (CHILD.inbox.offset >> 2);

/** log2 of how many words share a bit of CHILD.inbox, which has 32. */
const groupShift = (words: number): number => 32 - Math.clz32((words - 1) >>> 5);

/** By whoever has made the move to resuming, right after it; a second time does no harm. */
export function pushInbox(board: Scoreboard, child: number, slot: number): void {
  const { inboxes, inboxWords } = board;
  const word = slot >>> 5;
  Atomics.or(inboxes, child * inboxWords + word, 1 << (slot & 31));
  // Second: whoever takes the group's bit out finds the slot's.
  const group = word >>> groupShift(inboxWords);
  Atomics.or(board.words, groupsAt(board, child), 1 << group);
}

/**
 * Takes all of it.
 * @param slots gets the connections, the lowest slot last
 * @returns false: it is empty
 */
export function takeInbox(board: Scoreboard, child: number, slots: number[]): boolean {
  const at = groupsAt(board, child);
  if (Atomics.load(board.words, at) === 0) return false;
  const { inboxes, inboxWords } = board;
  const shift = groupShift(inboxWords);
  let groups = Atomics.exchange(board.words, at, 0);
  while (groups !== 0) {
    const group = 31 - Math.clz32(groups);
    groups ^= 1 << group;
    const first = group << shift;
    for (let word = Math.min(first + (1 << shift), inboxWords) - 1; word >= first; word--) {
      takeWord(inboxes, child * inboxWords + word, word << 5, slots);
    }
  }
  return slots.length > 0;
}

function takeWord(inboxes: Int32Array, index: number, firstSlot: number, slots: number[]): void {
  if (Atomics.load(inboxes, index) === 0) return;
  let bits = Atomics.exchange(inboxes, index, 0);
  while (bits !== 0) {
    const bit = 31 - Math.clz32(bits);
    bits ^= 1 << bit;
    slots.push(firstSlot + bit);
  }
}
