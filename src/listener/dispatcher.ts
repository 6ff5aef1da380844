/**
 * Gives readable connections to workers: the queue, and how many to wake for it.
 *
 * Role: puts tickets into the ring and wakes as many idle workers as the work needs, lowest first.
 * Thread: the listener's. May not: read a socket or look into a request.
 *
 * Waking: a second thread costs more than it brings while the first would be through in a moment. So
 * the number to wake follows from the backlog and the mean time a connection is held; with handlers
 * that take long it is one for each ticket. An estimate that proves wrong is put right by a timer that
 * runs only while tickets wait beside idle workers: what then has waited a millisecond gets a worker.
 */
import { microsecondsOf, ticksOf } from '../scoreboard/clock.ts';
import { CHILD, ChildStatus, HEADER, SLOT } from '../scoreboard/layout.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionEvent } from '../scoreboard/states.ts';
import { Outcome } from '../scoreboard/transition.ts';
import { type Signal, wakeLowestIdle } from '../scoreboard/wake.ts';

/** A backlog that drains within this time needs no further worker. */
const TOLERATED_WAIT_US = 150;
const RECHECK_MS = 1;

export class Dispatcher {
  readonly #board: Scoreboard;
  readonly #signal: Signal;
  /** `performance.now()` of the present batch. */
  now = performance.now();
  /** Tickets that the ring had no room for; put in by the next turn. */
  #overflow: number[] = [];
  #recheck: NodeJS.Timeout | null = null;
  #recheckArmed = false;
  /** The ring's tail when the recheck was armed. */
  #armedTail = 0;

  constructor(board: Scoreboard, signal: Signal) {
    this.#board = board;
    this.#signal = signal;
  }

  /** Moves a waiting connection to the queue; the caller ends its batch with `wake`. */
  dispatch(slot: number, word: number): void {
    const board = this.#board;
    board.setSlot(slot, SLOT.queuedUs, microsecondsOf(this.now));
    board.setSlot(slot, SLOT.sinceTicks, ticksOf(this.now));
    if (board.move(slot, word, ConnectionEvent.readable) !== Outcome.moved) {
      throw new Error('a waiting connection was moved by somebody else');
    }
    board.count(HEADER.dispatched);
    this.#push(slot);
  }

  /** Puts a queued connection whose ticket was lost with a dead worker back into the ring. */
  requeueOrphan(slot: number): void {
    this.#board.count(HEADER.requeuedOrphans);
    this.#push(slot);
  }

  #push(slot: number): void {
    if (this.#overflow.length > 0 || !this.#board.queue.push(slot)) this.#overflow.push(slot);
  }

  /** Wakes workers for what waits in the ring. */
  wake(): void {
    const board = this.#board;
    while (this.#overflow.length > 0 && board.queue.push(this.#overflow[0] as number)) {
      this.#overflow.shift();
    }
    const backlog = board.queue.length + this.#overflow.length;
    if (backlog === 0) return;
    const { words } = board;
    let idle = 0;
    let ready = 0;
    let meanSum = 0;
    for (let child = 0; child < board.childSlots; child++) {
      const at = board.childIndex(child);
      const status = words[at + (CHILD.status.offset >> 2)];
      if (status !== ChildStatus.ready && status !== ChildStatus.wantsRetire) continue;
      ready++;
      meanSum += words[at + (CHILD.meanServiceUs.offset >> 2)] as number;
      if (board.idle.has(child)) idle++;
    }
    // A worker that is awake looks at the ring once more before it sleeps.
    if (idle === 0) return;
    const awake = ready - idle;
    const needed = Math.ceil((backlog * (meanSum / ready)) / TOLERATED_WAIT_US);
    const wanted = Math.min(idle, backlog, Math.max(needed - awake, awake === 0 ? 1 : 0));
    this.#wakeMany(wanted);
    if (wanted < idle) this.#arm();
  }

  #wakeMany(count: number): void {
    let woken = 0;
    while (woken < count && wakeLowestIdle(this.#board, this.#signal)) woken++;
    this.#board.count(HEADER.wakes, woken);
  }

  #arm(): void {
    if (this.#recheckArmed) return;
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
    const backlog = this.#board.queue.length + this.#overflow.length;
    if (backlog === 0) return;
    // What was in the ring when the timer was armed and still is has waited for a millisecond.
    const overdue = Math.max(0, (this.#armedTail - this.#board.queue.head) | 0);
    this.#wakeMany(overdue);
    this.wake();
  }

  /** After the last turn. */
  stop(): void {
    if (this.#recheck !== null) clearTimeout(this.#recheck);
    this.#recheck = null;
    this.#recheckArmed = true;
  }
}
