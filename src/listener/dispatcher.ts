/**
 * Gives readable connections to workers while the listener polls, and watches over the queue while
 * tickets wait in it.
 *
 * Role: puts tickets into the ring, has workers woken, and a millisecond later wakes more for what
 * still waits; that timer runs only while there is a reason.
 * Thread: the listener's. May not: read a socket or look into a request.
 */
import { HEADER } from '../scoreboard/layout.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionState } from '../scoreboard/states.ts';
import { stateOf } from '../scoreboard/transition.ts';
import type { Signal } from '../scoreboard/wake.ts';
import { wakeForBacklog, wakeMany } from './waker.ts';

const RECHECK_MS = 1;
const MAX_OVERDUE_RATE = 64;

export class Dispatcher {
  readonly #board: Scoreboard;
  readonly #signal: Signal;
  readonly #onBacklog: () => void;
  /** Tickets that the ring had no room for; put in by the next turn. */
  #overflow: number[] = [];
  #recheck: NodeJS.Timeout | null = null;
  #recheckArmed = false;
  /** The ring's tail when the recheck was armed. */
  #armedTail = 0;
  #stopped = false;
  #overdueRate = 1;
  /** The ring's head at the last look for overdue tickets. */
  #lastHead = 0;

  /** @param onBacklog called when something waits and nobody is idle */
  constructor(board: Scoreboard, signal: Signal, onBacklog: () => void = () => {}) {
    this.#board = board;
    this.#signal = signal;
    this.#onBacklog = onBacklog;
  }

  /** A connection that was moved to queued; the caller ends its batch with `wake`. */
  push(slot: number): void {
    if (this.#overflow.length > 0 || !this.#board.queue.push(slot)) this.#overflow.push(slot);
  }

  /** Puts a queued connection whose ticket was lost with a dead worker back into the ring. */
  requeueOrphan(slot: number): void {
    this.#board.count(HEADER.requeuedOrphans);
    this.push(slot);
  }

  /**
   * Takes out tickets at the head of the ring whose connections are no longer queued, so that they count
   * for nothing. Others may be further back; workers pass over them.
   */
  forgetStale(): void {
    const board = this.#board;
    for (let left = board.queue.capacity; left > 0; left--) {
      const ticket = board.queue.peek();
      if (ticket < 0 || ticket === board.logTicket) return;
      if (stateOf(board.word(ticket)) === ConnectionState.queued) return;
      if (!board.queue.popIf(ticket)) return;
    }
  }

  get #backlog(): number {
    return this.#board.queue.length + this.#overflow.length;
  }

  /** Wakes workers for what waits in the ring. */
  wake(): void {
    const board = this.#board;
    while (this.#overflow.length > 0 && board.queue.push(this.#overflow[0] as number)) {
      this.#overflow.shift();
    }
    const backlog = this.#backlog;
    if (backlog === 0) return;
    board.count(HEADER.wakes, wakeForBacklog(board, backlog, this.#signal));
    const idle = board.idle.count > 0;
    if (idle || this.#overflow.length > 0) this.#arm();
    if (!idle) this.#onBacklog();
  }

  #arm(): void {
    if (this.#recheckArmed || this.#stopped) return;
    this.#recheckArmed = true;
    this.#armedTail = this.#board.queue.tail;
    if (this.#recheck === null) {
      this.#recheck = setTimeout(() => this.#onRecheck(), RECHECK_MS);
    } else {
      this.#recheck.refresh();
    }
  }

  #onRecheck(): void {
    this.#recheckArmed = false;
    this.wakeOverdue(this.#armedTail);
    this.wake();
  }

  /**
   * Wakes workers for tickets that were in the ring when its tail was `tail`, and still are: one, and
   * twice as many each time until none is overdue. A single one is mostly a worker that had to wait for
   * a processor, which more threads would not get it. None where as many were taken since the last look
   * as are overdue now: they are through before somebody else is awake.
   */
  wakeOverdue(tail: number): void {
    const { head } = this.#board.queue;
    const taken = (head - this.#lastHead) | 0;
    this.#lastHead = head;
    const overdue = Math.max(0, (tail - head) | 0);
    if (overdue === 0) {
      this.#overdueRate = 1;
      return;
    }
    if (overdue <= taken) return;
    if (this.#board.idle.count === 0) this.#onBacklog();
    const woken = wakeMany(this.#board, Math.min(overdue, this.#overdueRate), this.#signal);
    this.#board.count(HEADER.wakes, woken);
    this.#overdueRate = Math.min(this.#overdueRate * 2, MAX_OVERDUE_RATE);
  }

  /** After the last turn. */
  stop(): void {
    if (this.#recheck !== null) clearTimeout(this.#recheck);
    this.#stopped = true;
  }
}
