/**
 * The net below the sleep protocols: a worker that sleeps though something waits for it is signalled.
 *
 * Role: looks with every sweep for children that have made no turn since the last one, run no handler and
 * are not among the idle, so that nobody would wake them. One that computes outside a handler (in a timer
 * of the application's, or behind an `await`) looks the same; the signal costs it one turn in vain.
 * Thread: the listener's.
 */
import { ChildStatus } from '../scoreboard/codes.ts';
import { CHILD, HEADER } from '../scoreboard/layout.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { hasWaiting, type Signal } from '../scoreboard/wake.ts';

export class SleepWatch {
  readonly #board: Scoreboard;
  readonly #signal: Signal;
  /** `CHILD.progress` at the last look, of those that something has waited for since; -1: not so. */
  readonly #progress: Float64Array;

  constructor(board: Scoreboard, signal: Signal) {
    this.#board = board;
    this.#signal = signal;
    this.#progress = new Float64Array(board.childSlots).fill(-1);
  }

  look(): void {
    for (let child = 0; child < this.#board.childSlots; child++) {
      const progress = this.#isDue(child) ? this.#board.child(child, CHILD.progress) >>> 0 : -1;
      if (progress >= 0 && progress === this.#progress[child]) {
        this.#board.count(HEADER.rewakes);
        this.#signal(this.#board.child(child, CHILD.wakeFd));
      }
      this.#progress[child] = progress;
    }
  }

  /** Something waits for it, and it is not seen to be at work or about to be woken. */
  #isDue(child: number): boolean {
    const board = this.#board;
    const status = board.child(child, CHILD.status);
    if (status < ChildStatus.ready || status > ChildStatus.draining) return false;
    if (board.child(child, CHILD.currentSlot) !== 0) return false;
    if (hasWaiting(board, child)) return true;
    const { idle, queue } = board.poolOf(child);
    return status !== ChildStatus.draining && queue.length > 0 && !idle.has(child);
  }
}
