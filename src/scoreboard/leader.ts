/**
 * The lead: who polls the request set.
 *
 * Role: one word, moved by compare-and-swap, names the listener or one child. It saves the hop through
 * the listener and keeps workers from waking in herds; it does not guard anything. Whoever gets an
 * event from the set may handle it, since every consequence is a compare-and-swap of its own. So a
 * former leader that still sees a batch is late, never wrong.
 * Thread: any.
 *
 * | from | event | to | by |
 * | --- | --- | --- | --- |
 * | listener | take | child | a worker that has nothing else to do |
 * | child | pass | another child that was idle, else listener | the leader, before a long handler or its retirement |
 * | child | take-back | an idle child, else listener | the listener, when the set is readable and the leader makes no turn |
 * | child | died | listener | the listener |
 *
 * The word never names nobody. One it names either polls, or was signalled when it was named and polls
 * in its next turn, or is seen to make no turn and loses the lead.
 */
import { CHILD, HEADER } from './layout.ts';
import type { Scoreboard } from './scoreboard.ts';
import type { Signal } from './wake.ts';

const WORD = HEADER.leader.offset >> 2;
export const LISTENER_LEADS = 0;

/** The child that leads, -1: the listener. */
export const leaderOf = (board: Scoreboard): number => Atomics.load(board.words, WORD) - 1;

/** A worker about to sleep takes the lead from the listener; true: it leads. */
export function takeLead(board: Scoreboard, child: number): boolean {
  const { words } = board;
  if (words[WORD] !== LISTENER_LEADS) return words[WORD] === child + 1;
  const seen = Atomics.compareExchange(words, WORD, LISTENER_LEADS, child + 1);
  return seen === LISTENER_LEADS || seen === child + 1;
}

/**
 * Moves the lead from a child to the lowest idle one, which is woken for it, or to the listener.
 * Returns false where the child did not lead (any more).
 */
export function moveLead(board: Scoreboard, from: number, signal: Signal): boolean {
  const { words } = board;
  if (Atomics.load(words, WORD) !== from + 1) return false;
  const heir = board.idle.takeLowest();
  const next = heir < 0 ? LISTENER_LEADS : heir + 1;
  const moved = Atomics.compareExchange(words, WORD, from + 1, next) === from + 1;
  // An heir that was taken out of the idle set has to be signalled in any case.
  if (heir >= 0) signal(board.child(heir, CHILD.wakeFd));
  else if (moved) signal(board.header(HEADER.handbackFd.offset));
  return moved;
}

/** The listener, for a child that is gone; true: the listener leads now. */
export function inheritLead(board: Scoreboard, from: number): boolean {
  const { words } = board;
  return Atomics.compareExchange(words, WORD, from + 1, LISTENER_LEADS) === from + 1;
}
