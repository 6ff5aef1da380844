/**
 * A worker's part in polling the request set: taking the lead, polling, giving it up.
 *
 * Role: what the leading worker finds goes the way it would go from the listener, through the same
 * router and the same queue, so that whoever is free takes it and nothing waits unseen behind it.
 * Thread: one worker.
 */
import { performance } from 'node:perf_hooks';
import { EventRouter, Routed } from '../listener/event-router.ts';
import { type Native, Region, type WatchAnswer } from '../listener/native.ts';
import { wakeForBacklog } from '../listener/waker.ts';
import { CHILD, HEADER } from '../scoreboard/layout.ts';
import { leaderOf, moveLead, takeLead } from '../scoreboard/leader.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionEvent } from '../scoreboard/states.ts';
import {
  FLAG_READY,
  flagsOf,
  incarnationOf,
  Outcome,
  partyFor,
  stateOf,
} from '../scoreboard/transition.ts';
import { callListener, handBack, type Signal } from '../scoreboard/wake.ts';
import type { WorkerContext } from './context.ts';

/** Sleeps that are let pass after looks before them found nothing, at most; doubled each time. */
const MAX_SKIPS = 127;
/** Tickets taken in one batch. */
const BATCH = 64;

export class Leading {
  readonly #context: WorkerContext;
  readonly #board: Scoreboard;
  readonly #native: Native;
  readonly #child: number;
  readonly #set: number;
  readonly #router: EventRouter;
  readonly #signal: Signal;
  readonly #batch = new Int32Array(BATCH * 3);
  readonly #watch: number;
  /** This worker's loop watches the set. */
  #watching = false;
  readonly #looks: number;
  /** Sleeps before which it does not look again, and the same after the next time in vain. */
  #skips = 0;
  #nextSkips = 1;
  /** Tickets of the last batch. */
  #lastBatch = 0;

  /** @param onReady a turn of the serving loop, with the tickets that are in the batch already */
  constructor(context: WorkerContext, onReady: (count: number) => WatchAnswer) {
    const { board, native, child } = context;
    this.#context = context;
    this.#board = board;
    this.#native = native;
    this.#child = child;
    this.#set = board.header(HEADER.requestSet.offset);
    this.#looks = context.options.looksBeforeSleep;
    this.#signal = (fd) => {
      native.eventfdSignal(fd);
    };
    const bits = {
      hangup: native.epollHup | native.epollErr,
      endOfStream: native.epollRdHup,
      writable: native.epollOut,
    };
    this.#router = new EventRouter(board, bits, this.#signal);
    native.attach(Region.batch, new Uint8Array(this.#batch.buffer));
    this.#watch = native.watch(this.#set, 1, onReady);
    if (this.#watch < 0) throw new Error(`uv_poll: errno ${-this.#watch}`);
    native.pause(this.#watch);
  }

  /** As far as this worker has noticed. */
  get leads(): boolean {
    return this.#watching;
  }

  /** Brings the watch in line with the word: others may have given or taken the lead. */
  sync(): boolean {
    const leads = leaderOf(this.#board) === this.#child;
    if (leads !== this.#watching) this.#setWatching(leads);
    return leads;
  }

  #setWatching(watching: boolean): void {
    this.#watching = watching;
    if (watching) {
      this.#native.resume(this.#watch);
      this.#context.add(CHILD.leads, 1);
    } else {
      this.#native.pause(this.#watch);
    }
  }

  /** Takes the lead if the listener has it; true: this worker leads. */
  take(): boolean {
    takeLead(this.#board, this.#child);
    return this.sync();
  }

  /** Before a long handler, or at the end: somebody else is to poll. False: it did not lead. */
  pass(): boolean {
    if (!this.#watching) return false;
    const passed = moveLead(this.#board, this.#child, this.#signal);
    if (passed) this.#context.add(CHILD.passes, 1);
    this.sync();
    return passed;
  }

  /** Polls without waiting; true: something was found and routed. */
  poll(): boolean {
    const count = this.#native.epollWait(this.#set);
    if (count < 0) throw new Error(`epoll_wait: errno ${-count}`);
    if (count > 0) this.routeBatch(count);
    return count > 0;
  }

  /**
   * Before it sleeps: polls some microseconds more, which costs less than a sleep and a wake-up where
   * the next request is as near as it was lately. In vain it costs what it takes, so it is left out
   * before more and more of the next sleeps. True: something was found and routed.
   */
  pollOn(): boolean {
    // Requests that come in batches keep it awake anyhow, and leave no processor to spare.
    if (!this.#watching || this.#lastBatch !== 1) return false;
    if (this.#skips > 0) {
      this.#skips--;
      return false;
    }
    for (let look = 0; look < this.#looks; look++) {
      if (!this.poll()) continue;
      this.#nextSkips = 1;
      return true;
    }
    this.#skips = this.#nextSkips;
    this.#nextSkips = Math.min(this.#nextSkips * 2 + 1, MAX_SKIPS);
    return false;
  }

  /** Routes the tickets in the batch. */
  routeBatch(count: number): void {
    const board = this.#board;
    const context = this.#context;
    this.#lastBatch = count;
    context.now = performance.now();
    this.#router.now = context.now;
    board.tick(context.now);
    for (let at = 0; at < count * 3; at += 3) {
      const slot = this.#batch[at] as number;
      const incarnation = this.#batch[at + 1] as number;
      switch (this.#router.route(slot, incarnation, this.#batch[at + 2] as number)) {
        case Routed.queued:
          // Twice as many cells as slots; should it ever look full, the sweep finds the connection.
          board.queue.push(slot);
          context.add(CHILD.dispatched, 1);
          break;
        case Routed.noticed:
          context.add(CHILD.noticed, 1);
          break;
        case Routed.stale:
          context.add(CHILD.staleEvents, 1);
          break;
        case Routed.lingers:
          this.#tellListener(slot, incarnation);
          break;
        case Routed.completes:
        case Routed.departed:
          handBack(board, slot, this.#signal);
          break;
      }
    }
    // This worker takes the first itself.
    const left = board.queue.length - 1;
    if (left <= 0) return;
    const woken = wakeForBacklog(board, left, this.#signal);
    if (woken > 0) context.add(CHILD.wakes, woken);
    // Should that take long, the listener has somebody take the others; it may have missed their events.
    if (board.header(HEADER.standbyLooks.offset) === 0) callListener(board, this.#signal);
  }

  /** Only the listener drains and closes: the event is left as a flag, and it is told once. */
  #tellListener(slot: number, incarnation: number): void {
    const board = this.#board;
    for (;;) {
      const word = board.word(slot);
      if (incarnationOf(word) !== incarnation || flagsOf(word) !== 0) return;
      // The listener may have closed it since.
      if (partyFor(stateOf(word), ConnectionEvent.notice) === undefined) return;
      const moved = board.move(slot, word, ConnectionEvent.notice, 0, FLAG_READY);
      if (moved !== Outcome.moved) continue;
      handBack(board, slot, this.#signal);
      return;
    }
  }

  /** At retirement. */
  end(): void {
    this.pass();
    this.#native.unwatch(this.#watch);
  }
}
