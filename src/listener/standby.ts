/**
 * The listener's part while a worker leads: to see to it that nothing waits behind a busy leader.
 *
 * Role: decides when the listener polls the request set itself, when it only watches, and when it
 * takes the lead back. While nothing happens there is no timer: the set itself wakes the listener with
 * the first event after a quiet time, and then it ticks for as long as there is traffic: every
 * millisecond while the leader serves, and every fourth while it sleeps between two requests.
 * Thread: the listener's.
 */

import { CHILD, HEADER } from '../scoreboard/layout.ts';
import { leaderOf, moveLead } from '../scoreboard/leader.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import type { Signal } from '../scoreboard/wake.ts';
import type { Poller } from './poller.ts';

const TICK_MS = 1;
/** After a tick that found the leader asleep between two requests. */
const SLEEPING_TICK_MS = 4;
/**
 * Ticks without a turn after which a leader loses the lead while the set has something: one inside a
 * handler at once, one that only waits for a processor, or runs code of the application's, later.
 */
const STUCK_TICKS = 5;
/** Ticks without any sign of traffic before it rests. */
const QUIET_TICKS = 16;

/** What a tick looks after besides the lead. */
export interface StandbyDuties {
  /** Tickets that are older than a tick get a worker each. */
  wakeOverdue(tail: number): void;
  /** Room may have come for new clients. */
  admit(): void;
  /** Workers may have given connections back without a signal. */
  takeBack(): void;
}

export class Standby {
  readonly #board: Scoreboard;
  readonly #poller: Poller;
  readonly #signal: Signal;
  readonly #duties: StandbyDuties;
  #timer: NodeJS.Timeout | null = null;
  #sleepingTimer: NodeJS.Timeout | null = null;
  #ticking = false;
  #stopped = false;
  #quietTicks = 0;
  #leader = -1;
  #progress = 0;
  #stuckTicks = 0;
  #tail = 0;

  constructor(board: Scoreboard, poller: Poller, signal: Signal, duties: StandbyDuties) {
    this.#board = board;
    this.#poller = poller;
    this.#signal = signal;
    this.#duties = duties;
  }

  /** True: the listener polls the request set. */
  get leads(): boolean {
    return leaderOf(this.#board) < 0;
  }

  /** The set has something and a child leads: from now on look every millisecond. */
  watchLeader(): void {
    if (this.#ticking || this.#stopped) return;
    this.#ticking = true;
    this.#board.setHeader(HEADER.standbyLooks.offset, 1);
    this.#quietTicks = 0;
    this.#stuckTicks = 0;
    this.#poller.pauseRequests();
    this.#remember();
    this.#armNext(TICK_MS);
  }

  /** The lead may have come to the listener, or a leader has left something in the queue. */
  check(): void {
    if (this.#ticking && this.leads) this.#rest();
    else if (!this.leads && this.#board.queue.length > 0) this.watchLeader();
  }

  #armNext(ms: typeof TICK_MS | typeof SLEEPING_TICK_MS): void {
    const call = () => this.#tick();
    // A timer that is refreshed costs less than a new one.
    if (ms === TICK_MS) this.#timer = this.#timer?.refresh() ?? setTimeout(call, ms);
    else this.#sleepingTimer = this.#sleepingTimer?.refresh() ?? setTimeout(call, ms);
  }

  #remember(): void {
    this.#leader = leaderOf(this.#board);
    this.#progress = this.#leader < 0 ? 0 : this.#board.child(this.#leader, CHILD.progress);
    this.#tail = this.#board.queue.tail;
  }

  #tick(): void {
    if (!this.#ticking || this.#stopped) return;
    const board = this.#board;
    const leader = leaderOf(board);
    if (leader < 0) {
      this.#rest();
      return;
    }
    const same = leader === this.#leader && board.child(leader, CHILD.progress) === this.#progress;
    const ready = this.#poller.requestsReady();
    this.#stuckTicks = same && ready ? this.#stuckTicks + 1 : 0;
    const inHandler = board.child(leader, CHILD.currentSlot) !== 0;
    if (this.#stuckTicks >= (inHandler ? 1 : STUCK_TICKS)) {
      if (moveLead(board, leader, this.#signal)) board.count(HEADER.takeBacks);
    }
    this.#duties.wakeOverdue(this.#tail);
    this.#duties.takeBack();
    this.#duties.admit();
    const quiet = same && !ready && board.queue.length === 0;
    this.#quietTicks = quiet ? this.#quietTicks + 1 : 0;
    this.#remember();
    if (this.#leader < 0 || this.#quietTicks >= QUIET_TICKS) this.#rest();
    else this.#armNext(board.idle.has(this.#leader) ? SLEEPING_TICK_MS : TICK_MS);
  }

  /** Back to being called by the set: to poll it, or with the next sign of traffic to tick again. */
  #rest(): void {
    this.#ticking = false;
    this.#board.setHeader(HEADER.standbyLooks.offset, 0);
    // A worker that has still seen it gave no signal.
    this.#duties.takeBack();
    this.#poller.resumeRequests();
    // A leader that has put something into the queue, and has still seen that it is looked at, says nothing.
    if (!this.leads && this.#board.queue.length > 0) this.watchLeader();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#sleepingTimer !== null) clearTimeout(this.#sleepingTimer);
  }
}
