/**
 * Sees to it that lines of the access log do not wait: twice a second their ticket goes into the queue.
 *
 * Role: one ticket for all rings; replaces one that died with a worker.
 * Thread: the listener's. May not: write the file.
 */
import type { Scoreboard } from '../scoreboard/scoreboard.ts';

/** Passes with lines and a ticket that nobody has taken, after which it is taken for lost: 2 s. */
const PATIENT_PASSES = 4;

export class LogScheduler {
  readonly #board: Scoreboard;
  readonly #push: (ticket: number) => void;
  #passes = 0;

  /** @param push puts a ticket into the queue; the caller of `pass` has workers woken for it */
  constructor(board: Scoreboard, push: (ticket: number) => void) {
    this.#board = board;
    this.#push = push;
  }

  /** Lines wait, so there have to be further passes. */
  get waiting(): boolean {
    return this.#board.log?.hasLines ?? false;
  }

  /** Once a period. */
  pass(): void {
    const { log, logTicket } = this.#board;
    if (log === null || !log.hasLines || !log.ready) {
      this.#passes = 0;
      return;
    }
    // A ticket that is in the queue twice does no harm: the second finds nothing to write.
    if (!log.takePending() && ++this.#passes < PATIENT_PASSES) return;
    this.#passes = 0;
    this.#push(logTicket);
  }
}
