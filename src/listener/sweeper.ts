/**
 * Timeouts without timers: one pass over the slots in use, twice a second, while there are any.
 *
 * Role: compares how long each connection has waited with what its state allows. Workers write only
 * when a wait began; they send no message and arm no timer, and a deadline that moved costs nothing.
 * A pass reads one cache line a slot (about 30 ns), so 10,000 connections cost well under a
 * millisecond a second. Deadlines are kept to within the period.
 * Thread: the listener's.
 */
import { elapsedTicks, ticksOf } from '../scoreboard/clock.ts';
import { CloseReason, HELD_BACK_MS, ReadPhase } from '../scoreboard/codes.ts';
import { HTTP_PROTOCOL, SLOT } from '../scoreboard/layout.ts';
import { Call } from '../scoreboard/notices.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../scoreboard/states.ts';
import { stateOf } from '../scoreboard/transition.ts';
import type { Closer } from './closer.ts';
import {
  LINGER_NORMAL_MS,
  LINGER_SHORT_MS,
  type ListenerOptions,
  type ReadTimeout,
} from './options.ts';
import type { SlotPool } from './slots.ts';

const PERIOD_MS = 500;
/**
 * Slots that one turn of the listener looks at, about half a millisecond; the others come in turns of their own,
 * behind whatever is ready by then. A million at once keeps new clients waiting for 20 ms.
 */
export const SLOTS_PER_TURN = 32_768;
/** A connection that is closing for so long was lost with a worker. */
const ORPHAN_MS = 2_000;
/**
 * One that is queued beside an empty ring was, too, or it was given to an idle worker whose application
 * has begun to compute just then. Should it be put in twice, it is served once.
 */
const UNTAKEN_MS = 500;

/** How long a request may take in milliseconds from its first byte (RequestReadTimeout). */
export function readDeadlineMs(timeout: ReadTimeout, receivedBytes: number): number {
  const { timeoutMs, maxTimeoutMs, minRateBytesPerSecond } = timeout;
  if (timeoutMs === 0) return Number.POSITIVE_INFINITY;
  if (minRateBytesPerSecond === 0) return timeoutMs;
  const allowed = timeoutMs + Math.floor(receivedBytes / minRateBytesPerSecond) * 1000;
  return maxTimeoutMs > 0 ? Math.min(allowed, maxTimeoutMs) : allowed;
}

export interface SweepTargets {
  /** A suspended connection made no progress. */
  expire(slot: number, word: number): void;
  /** Half of the time that a client may take nothing is over. */
  sample(slot: number): void;
  /** A client took nothing of what is left of its response. */
  expireWrite(slot: number): void;
  requeueOrphan(slot: number): void;
  /** Tickets of connections that were taken out of the queue are in the ring. */
  forgetTickets(): void;
  /** A child owns it, and its response should have begun by now. */
  overdue(slot: number, word: number): void;
  /** A child owns it. */
  owned(slot: number, word: number): void;
  /** A session waits for its client, and is to be called. */
  call(slot: number, word: number, call: Call): void;
  /** Nothing of a small body has come for HELD_BACK_MS. */
  heldBack(slot: number, word: number): void;
  /** It waits for a lengthy worker, for so long. */
  lengthyQueued(slot: number, word: number, waitedMs: number): void;
  /** Of a tunnel: for so long nothing was said. */
  tunnel(slot: number, waitedMs: number): void;
  /** Once a pass, also when nothing was found; its last turn began at this `performance.now()`. */
  passed(began: number): void;
  /** There has to be another pass although no connection is open. */
  unfinished(): boolean;
}

export class Sweeper {
  readonly #board: Scoreboard;
  readonly #closer: Closer;
  readonly #slots: SlotPool;
  readonly #options: ListenerOptions;
  readonly #targets: SweepTargets;
  #timer: NodeJS.Timeout | null = null;
  /** The next turn of a pass. */
  #turn: NodeJS.Immediate | null = null;
  /** The slot that it begins with. */
  #next = 0;
  #stopped = false;
  #refused = 0;
  /** Set while the server drains: idle connections are let go at once. */
  draining = false;

  constructor(
    board: Scoreboard,
    closer: Closer,
    slots: SlotPool,
    options: ListenerOptions,
    targets: SweepTargets,
  ) {
    this.#board = board;
    this.#closer = closer;
    this.#slots = slots;
    this.#options = options;
    this.#targets = targets;
  }

  /** Called when a connection was accepted; the timer rests while there are none. */
  ensureRunning(): void {
    if (this.#timer !== null || this.#turn !== null || this.#stopped) return;
    this.#timer = setTimeout(() => this.#onTimer(), PERIOD_MS);
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#turn !== null) clearImmediate(this.#turn);
    this.#timer = null;
    this.#turn = null;
  }

  #onTimer(): void {
    this.#timer = null;
    this.#turn = null;
    if (!this.#lookOn()) this.#turn = setImmediate(() => this.#onTimer());
    else if (this.#slots.inUse > 0 || this.#targets.unfinished()) this.ensureRunning();
  }

  /** A whole pass, in this turn. */
  sweep(): void {
    this.#next = 0;
    while (!this.#lookOn());
  }

  /** The next slots; true: they were the last of the pass. */
  #lookOn(): boolean {
    const began = performance.now();
    this.#board.tick(began);
    const now = ticksOf(began);
    const { watermark } = this.#slots;
    const end = Math.min(this.#next + SLOTS_PER_TURN, watermark);
    const ringEmpty = this.#board.queue.length === 0;
    for (let slot = this.#next; slot < end; slot++) this.#check(slot, now, ringEmpty);
    this.#next = end < watermark ? end : 0;
    if (end < watermark) return false;
    if (this.#refused > 0) this.#targets.forgetTickets();
    this.#refused = 0;
    this.#targets.passed(began);
    return true;
  }

  #check(slot: number, now: number, ringEmpty: boolean): void {
    const board = this.#board;
    const word = board.word(slot);
    const state = stateOf(word);
    if (state === ConnectionState.free) return;
    if (state >= ConnectionState.processing && state <= ConnectionState.resuming) {
      const deadline = board.slot(slot, SLOT.deadlineTicks);
      if (deadline !== 0 && elapsedTicks(deadline, now) >= 0) this.#targets.overdue(slot, word);
      this.#targets.owned(slot, word);
      if (state !== ConnectionState.suspended) return;
    }
    const waited = elapsedTicks(board.slot(slot, SLOT.sinceTicks), now);
    const { keepAliveTimeoutMs, requestHeader, timeoutMs, sessions } = this.#options;
    if (
      sessions === true &&
      state <= ConnectionState.keepalive &&
      board.slot(slot, SLOT.protocol) !== HTTP_PROTOCOL
    ) {
      this.#checkSession(slot, word, now);
      return;
    }
    const { timeout } = ConnectionEvent;
    switch (state) {
      case ConnectionState.keepalive:
        if (this.draining) this.#closer.linger(slot, word, ConnectionEvent.shed, CloseReason.shed);
        else if (waited > keepAliveTimeoutMs) {
          this.#closer.linger(slot, word, timeout, CloseReason.keepaliveTimeout);
        }
        return;
      case ConnectionState.waitRequest:
        // No request was begun, so there is nothing to answer.
        if (waited > (this.draining ? LINGER_SHORT_MS : readDeadlineMs(requestHeader, 0))) {
          this.#closer.linger(slot, word, timeout, CloseReason.requestTimeout);
        }
        return;
      case ConnectionState.readRequest:
        if (this.#requestExpired(slot, now)) {
          this.#closer.linger(slot, word, timeout, CloseReason.requestTimeout, 408);
        } else if (waited >= HELD_BACK_MS && this.#isHeldBack(slot))
          this.#targets.heldBack(slot, word);
        return;
      case ConnectionState.suspended:
        if (waited > timeoutMs || this.#bodyExpired(slot, now)) this.#targets.expire(slot, word);
        else if (waited * 2 > timeoutMs) this.#targets.sample(slot);
        return;
      case ConnectionState.writeCompletion:
        if (waited > timeoutMs) this.#targets.expireWrite(slot);
        else if (waited * 2 > timeoutMs) this.#targets.sample(slot);
        return;
      case ConnectionState.queued:
        if (this.#isUnread(slot, waited)) {
          if (this.#closer.refuse(slot, word)) this.#refused++;
        } else if (ringEmpty && waited > UNTAKEN_MS) this.#targets.requeueOrphan(slot);
        return;
      case ConnectionState.lengthyQueued:
        this.#targets.lengthyQueued(slot, word, waited);
        return;
      case ConnectionState.tunnel:
        this.#targets.tunnel(slot, waited);
        return;
      case ConnectionState.lingerNormal:
        if (waited > LINGER_NORMAL_MS) this.#cut(slot, word);
        return;
      case ConnectionState.lingerShort:
        if (waited > LINGER_SHORT_MS) this.#cut(slot, word);
        return;
      case ConnectionState.closing:
        // Its worker died before it could say so.
        if (waited > ORPHAN_MS) this.#closer.closed(slot, CloseReason.worker);
        return;
      default:
        return;
    }
  }

  /** A session that waits for its client; a worker says the last words. */
  #checkSession(slot: number, word: number, now: number): void {
    const board = this.#board;
    if (this.draining) {
      this.#targets.call(slot, word, Call.stopping);
      return;
    }
    const idleMs = board.slot(slot, SLOT.idleMs);
    // What it has begun to say has to be complete within the same time.
    const unfinished = board.slot(slot, SLOT.buffer) !== 0;
    const since = board.slot(slot, unfinished ? SLOT.requestSinceTicks : SLOT.heardTicks);
    if (idleMs > 0 && elapsedTicks(since, now) > idleMs) {
      this.#targets.call(slot, word, Call.timeout);
    }
  }

  /**
   * It has waited for longer than queueTimeout, and no worker has read any of its request: none may be
   * thrown away that one has. Nor may a response be cut that waits for a worker to go on with. Should a
   * worker take it and give it back between this look and the move, then its handler was not called, and
   * 503 is still true.
   */
  #isUnread(slot: number, waitedMs: number): boolean {
    const { queueTimeoutMs } = this.#options;
    if (queueTimeoutMs === 0 || waitedMs <= queueTimeoutMs) return false;
    return this.#board.slot(slot, SLOT.buffer) === 0 && this.#board.slot(slot, SLOT.restFd) === 0;
  }

  #requestExpired(slot: number, now: number): boolean {
    const board = this.#board;
    const inHead = board.slot(slot, SLOT.readPhase) === ReadPhase.head;
    const timeout = inHead ? this.#options.requestHeader : this.#options.requestBody;
    const since = board.slot(slot, SLOT.requestSinceTicks);
    return elapsedTicks(since, now) > readDeadlineMs(timeout, board.slot(slot, SLOT.requestBytes));
  }

  /** A guess by words that a worker has left; the one that takes it looks again. */
  #isHeldBack(slot: number): boolean {
    const board = this.#board;
    if (board.slot(slot, SLOT.readPhase) === ReadPhase.head) return false;
    return board.slot(slot, SLOT.dataEnd) <= board.slot(slot, SLOT.headEnd);
  }

  /** A handler waits for its body, and the client is slower than it may be. */
  #bodyExpired(slot: number, now: number): boolean {
    if (this.#board.slot(slot, SLOT.readPhase) !== ReadPhase.stream) return false;
    return this.#requestExpired(slot, now);
  }

  #cut(slot: number, word: number): void {
    this.#closer.close(slot, word, ConnectionEvent.timeout, CloseReason.lingered);
  }
}
