/**
 * A worker's loop: takes connections from the queue and serves them, turn by turn.
 *
 * Role: inbox first (connections this child has begun), then the shared queue; says when it is idle;
 * keeps the list of unfinished ones; counts; notices when it should retire.
 * Thread: one worker, called by libuv when its eventfd is signalled. The eventfd stays signalled while
 * there is work, so that the application's timers and sockets get their turn between two of ours, and
 * is emptied only before sleeping.
 */
import { performance } from 'node:perf_hooks';
import { WatchAnswer } from '../listener/native.ts';
import { assign, closeAssignments, takeAssigned } from '../scoreboard/assignment.ts';
import { ChildCommand, ChildStatus, ExitReason } from '../scoreboard/codes.ts';
import { observeChild, QUEUE_WAIT } from '../scoreboard/histograms.ts';
import { NOBODY, takeInbox } from '../scoreboard/inbox.ts';
import { CHILD, type Field, SLOT } from '../scoreboard/layout.ts';
import type { Pool } from '../scoreboard/pool.ts';
import { waitedUs } from '../scoreboard/queue-time.ts';
import { ConnectionEvent, ConnectionState } from '../scoreboard/states.ts';
import {
  FLAG_HANGUP,
  flagsOf,
  incarnationOf,
  Outcome,
  stateOf,
  successor,
} from '../scoreboard/transition.ts';
import { callListener, goIdle, hasWaiting, wakeLowestIdle } from '../scoreboard/wake.ts';
import type { WorkerContext } from './context.ts';
import { HttpProtocol } from './http-protocol.ts';
import { Leading } from './leading.ts';
import type { ServingLoop as ConnectionHost, Protocol, Served } from './protocol.ts';
import { LONG_HANDLER_US, RouteTimes } from './route-times.ts';
import { SessionHost } from './session/session-host.ts';
import { type Upgraded, Upgrades } from './upgrade/upgrades.ts';
import { type Urgency, urgencyOf } from './urgency.ts';

/** Connections taken in one call before promise jobs and ticks run. */
const CLAIMS_PER_CALL = 16;
/**
 * Handlers of one call that may be left with a promise. Their jobs run when the call returns, all
 * together: to return for each of them costs more than what is done in between.
 */
const UNFINISHED_PER_CALL = 8;
/** No other is begun once the promise jobs of those before have been kept waiting for this long. */
const UNFINISHED_MS = 0.25;
/**
 * Unfinished connections taken up in one call: what they go on with runs in promise jobs behind it, so
 * that many slow clients of streams do not keep a request waiting for all of them.
 */
const RESUMES_PER_CALL = 4;
/** Calls before libuv's loop turns. */
const CALLS_PER_TURN = 4;
/** Weight of the newest time in the moving mean. */
const MEAN_WEIGHT = 1 / 64;
/**
 * A sample counts as no more than twice the mean and this: where the system has given the processor to
 * somebody else meanwhile, a few samples of milliseconds would have workers woken for nothing.
 */
const CLIP_US = 10;
const HEAP_SAMPLE_MS = 1_000;

export interface LoopEvents {
  /** A limit of this life is reached; asked for once. */
  wantsRetire(reason: ExitReason): void;
  /** Retired: nothing is unfinished and nothing more is taken. */
  ended(reason: ExitReason): void;
  /** It is active; at most once a second. */
  active?(): void;
}

export class ServingLoop implements ConnectionHost {
  readonly #context: WorkerContext;
  readonly #events: LoopEvents;
  readonly #pinned = new Set<Served>();
  readonly #bySlot = new Map<number, Served>();
  /** By SLOT.protocol. */
  readonly #protocols: readonly Protocol[];
  #soon: Served[] = [];
  /** Those taken out of the inbox that have not had their turn, the next last. */
  readonly #resuming: number[] = [];
  #inTurn = false;
  #calls = 0;
  /** Handlers of this call whose promise jobs are still to run. */
  #unfinished = 0;
  /** When the first of them was left. */
  #unfinishedMs = 0;
  #ended = false;
  #retireReason: ExitReason | null = null;
  /** Incarnation + 1 of the last connection counted for each slot: each counts once a life. */
  readonly #counted: Int32Array;
  #meanUs = 0;
  #heapSampledMs = 0;
  /**
   * The eventfd may be signalled. Not surely: libuv also calls for what was ready when it last asked, and
   * the call before in the same round may have emptied it.
   */
  #signalled = false;
  /** Where this worker takes connections from. */
  readonly #pool: Pool;
  readonly #isLengthy: boolean;
  /** Null in a lengthy worker. */
  readonly #urgency: Urgency | null;
  readonly #leading: Leading | null;
  readonly #routes: RouteTimes;
  #upgrades: Upgrades | null = null;

  constructor(context: WorkerContext, events: LoopEvents) {
    this.#context = context;
    this.#events = events;
    this.#pool = context.board.poolOf(context.child);
    this.#isLengthy = context.isLengthy;
    const leads = context.options.directPolling && !context.isLengthy;
    this.#leading = leads ? new Leading(context, (count) => this.#onRequests(count)) : null;
    this.#routes = new RouteTimes(context.board.routes);
    this.#protocols = [
      new HttpProtocol(context, this),
      ...context.sessions.map((session) => new SessionHost(context, this, session)),
    ];
    this.#counted = new Int32Array(context.board.connectionSlots);
    this.#urgency = urgencyOf(context);
  }

  // ---- ConnectionHost -----------------------------------------------------------------------------

  pin(connection: Served): void {
    this.#pinned.add(connection);
    this.#bySlot.set(connection.slot, connection);
    this.#context.setWord(CHILD.pinned, this.#pinned.size);
  }

  unpin(connection: Served): void {
    this.#pinned.delete(connection);
    this.#bySlot.delete(connection.slot);
    this.#context.setWord(CHILD.pinned, this.#pinned.size);
    if (this.#pinned.size > 0 || this.#inTurn) return;
    // A lengthy one takes the next.
    if (this.#draining || this.#isLengthy) this.#context.wakeSelf();
  }

  soon(connection: Served): void {
    this.#soon.push(connection);
    if (!this.#inTurn) this.#context.wakeSelf();
  }

  requeue(slot: number): void {
    const { board, native } = this.#context;
    // Twice as many cells as slots; the listener finds it again should it ever be full.
    board.queue.push(slot);
    wakeLowestIdle(board, (fd) => native.eventfdSignal(fd));
  }

  toLengthy(slot: number): void {
    const { board, native } = this.#context;
    const signal = (fd: number) => {
      native.eventfdSignal(fd);
    };
    // Should the ring ever be full, the sweep finds the connection.
    board.lengthy.queue.push(slot);
    // Where none is idle, another may have to be started.
    if (!wakeLowestIdle(board, signal, board.lengthy)) callListener(board, signal);
  }

  routeOf(method: string, target: string): number {
    return this.#routes.routeOf(method, target);
  }

  heirFor(route: number): number {
    if (!this.#routes.isLong(route)) return -1;
    // The lowest are woken for short ones, see `Urgency`.
    const heir = this.#leading?.leads === true ? this.#context.board.idle.takeHighest() : -1;
    if (heir >= 0 || this.#unfinished === 0) return heir;
    // This call ends with it.
    this.#unfinished = UNFINISHED_PER_CALL;
    return this.#context.child;
  }

  heirForUpgrade(): number {
    const { board, child } = this.#context;
    let heir = -1;
    // A connection stays with its worker, so they are spread while there is a choice.
    let fewest = board.child(child, CHILD.upgraded);
    for (let other = 0; other < board.childSlots && fewest > 0; other++) {
      const upgraded = board.child(other, CHILD.upgraded);
      if (upgraded >= fewest || !board.idle.has(other)) continue;
      heir = other;
      fewest = upgraded;
    }
    return heir >= 0 && board.idle.remove(heir) ? heir : -1;
  }

  upgraded(upgraded: Upgraded): void {
    this.#upgrades ??= new Upgrades(this.#context, () => {
      if (this.#draining) this.#context.wakeSelf();
    });
    this.#upgrades.add(upgraded);
  }

  delegate(heir: number, slot: number): void {
    const { board, native } = this.#context;
    if (heir !== this.#context.child) this.#context.add(CHILD.delegations, 1);
    if (!assign(board, heir, slot)) board.queue.push(slot);
    native.eventfdSignal(board.child(heir, CHILD.wakeFd));
  }

  beforeHandler(route: number): void {
    if (!this.#isLengthy && this.#routes.isLong(route)) this.#stepAside();
  }

  afterHandler(route: number, milliseconds: number): void {
    // What others leave to lengthy workers does not make the route long for them.
    if (this.#isLengthy) return;
    this.#routes.record(route, milliseconds);
    if (this.#context.getWord(CHILD.inLongHandler) === 0) return;
    this.#context.setWord(CHILD.inLongHandler, 0);
    this.#urgency?.takeBack();
  }

  /** Somebody else is to poll and to take what waits, before a handler that will keep this worker. */
  #stepAside(): void {
    const { board, native } = this.#context;
    this.#context.setWord(CHILD.inLongHandler, 1);
    const waits = this.#leading?.pass() !== true && board.queue.length > 0;
    const woken = waits && wakeLowestIdle(board, (fd) => native.eventfdSignal(fd));
    if (woken) this.#context.add(CHILD.wakes, 1);
    // Not before they know: from here on they come first.
    this.#urgency?.giveWay();
  }

  // ---- turns --------------------------------------------------------------------------------------

  /** The callback of the watch on this worker's eventfd. */
  onSignal(): WatchAnswer {
    // A call that was asked for says nothing about the eventfd, which may be empty by now.
    if (this.#calls === 0) this.#signalled = true;
    return this.#turn(0);
  }

  /** The callback of the watch on the request set; `count` tickets are in the batch. */
  #onRequests(count: number): WatchAnswer {
    if (count < 0) throw new Error(`epoll_wait: errno ${-count}`);
    // A call that was asked for has the batch of the first one once more.
    return this.#turn(this.#calls === 0 ? count : 0);
  }

  #turn(tickets: number): WatchAnswer {
    if (this.#ended) return WatchAnswer.done;
    this.#inTurn = true;
    const context = this.#context;
    // Nobody needs to wake one that is awake; whoever just took the bit has signalled as well.
    this.#pool.idle.remove(context.child);
    context.setWord(CHILD.progress, (context.getWord(CHILD.progress) + 1) | 0);
    context.now = performance.now();
    context.board.tick(context.now);
    context.heads.tick(Date.now());
    const began = context.now;
    context.add(CHILD.turns, 1);
    if (tickets > 0) this.#leading?.routeBatch(tickets);
    const idle = this.#serve();
    this.#inTurn = false;
    this.#unfinished = 0;
    const now = performance.now();
    context.add(CHILD.busyMs, now - began);
    this.#sampleHeap(now);
    this.#checkLimits();
    if (idle) {
      this.#calls = 0;
      return WatchAnswer.done;
    }
    this.#calls++;
    if (this.#calls < CALLS_PER_TURN) return WatchAnswer.again;
    this.#calls = 0;
    this.#context.wakeSelf();
    return WatchAnswer.done;
  }

  /** True: nothing is left to do, and whatever comes wakes this worker. */
  #serve(): boolean {
    const { board, child } = this.#context;
    this.#leading?.sync();
    for (let claims = 0, resumes = 0; claims < CLAIMS_PER_CALL; ) {
      this.#serveOwn();
      if (this.#ended) return true;
      if (this.#resumeNext() && ++resumes === RESUMES_PER_CALL) return false;
      const assigned = takeAssigned(board, child);
      const ticket = assigned >= 0 || !this.#takes ? assigned : this.#pool.queue.pop();
      if (ticket === board.logTicket) {
        this.#context.log?.writer.perform();
        claims++;
        continue;
      }
      if (ticket !== NOBODY) {
        claims++;
        this.#claim(ticket);
        if (this.#mayGoOn()) continue;
        return false;
      }
      if (this.#unfinished > 0) return false;
      if (this.#findMore()) claims++;
      else return true;
    }
    return false;
  }

  /** False: promise jobs should run before anything else is begun. */
  #mayGoOn(): boolean {
    if (this.#unfinished === 0) return true;
    if (this.#unfinished >= UNFINISHED_PER_CALL) return false;
    return this.#context.now - this.#unfinishedMs < UNFINISHED_MS;
  }

  /** The queue is empty: polls if this worker leads, or gets ready to sleep; false: it may sleep. */
  #findMore(): boolean {
    const { board, native, child } = this.#context;
    const leading = this.#leading;
    if (this.#soon.length > 0) return true;
    const resumes = this.#resuming.length > 0;
    if (leading !== null && !this.#draining && leading.take()) {
      if (leading.poll() || (!resumes && leading.pollOn())) return true;
    }
    if (resumes) return true;
    if (this.#signalled) {
      this.#signalled = false;
      native.eventfdDrain(this.#context.getWord(CHILD.wakeFd));
    }
    // A lengthy one that has a connection is not idle; whoever has something for it signals it always.
    if (!this.#draining) return this.#takes ? !goIdle(board, child) : hasWaiting(board, child);
    // The signal for a command that came since `#serveOwn` has just been taken; and nobody wakes a worker
    // for its end whose last connection was through since then.
    if (this.#context.getWord(CHILD.status) !== ChildStatus.draining) return true;
    return hasWaiting(board, child) || !this.#isUnfinished;
  }

  /** Something keeps this worker from its end. */
  get #isUnfinished(): boolean {
    if (this.#pinned.size > 0 || this.#soon.length > 0) return true;
    return this.#upgrades !== null && this.#upgrades.size > 0;
  }

  /** It takes another connection from its queue. */
  get #takes(): boolean {
    return !this.#draining && (!this.#isLengthy || this.#pinned.size === 0);
  }

  get #draining(): boolean {
    return this.#context.getWord(CHILD.command) !== ChildCommand.run;
  }

  /** What concerns only this child: inbox, hang-ups, put-off events, commands. */
  #serveOwn(): void {
    const { board, child, native } = this.#context;
    const soon = this.#soon;
    if (soon.length > 0) {
      this.#soon = [];
      for (const connection of soon) connection.onEvent();
    }
    const attentionAt = this.#context.childIndex + (CHILD.attention.offset >> 2);
    if (board.words[attentionAt] !== 0 && Atomics.exchange(board.words, attentionAt, 0) !== 0) {
      for (const connection of [...this.#pinned]) {
        connection.checkHangup();
        connection.checkDeadline();
      }
    }
    if (!this.#draining) return;
    this.#context.setWord(CHILD.status, ChildStatus.draining);
    this.#leading?.pass();
    // A wake-up meant for whoever is idle must not end here.
    const pool = this.#pool;
    if (pool.queue.length > 0) wakeLowestIdle(board, (fd) => native.eventfdSignal(fd), pool);
    this.#upgrades?.retire(this.#pinned.size > 0);
    if (!this.#isUnfinished && closeAssignments(board, child)) this.#end();
  }

  /** The next connection of the inbox; false: it is empty. */
  #resumeNext(): boolean {
    const { board, child } = this.#context;
    if (this.#resuming.length === 0 && !takeInbox(board, child, this.#resuming)) return false;
    this.#resume(this.#resuming.pop() as number);
    return true;
  }

  get #claimedFrom(): ConnectionState {
    return this.#isLengthy ? ConnectionState.lengthyQueued : ConnectionState.queued;
  }

  #claim(slot: number): void {
    const { board, child } = this.#context;
    let word: number;
    do {
      word = board.word(slot);
      // A ticket that was put in twice, for fear that it was lost, is served once.
      if (stateOf(word) !== this.#claimedFrom) return;
      // The listener has been told, and closes it.
      if (this.#isLengthy && this.#context.isDeparted(flagsOf(word))) return;
      // Lost to a flag that a poller has just set, it is tried again.
    } while (board.move(slot, word, ConnectionEvent.claim, child) !== Outcome.moved);
    const context = this.#context;
    if (flagsOf(word) !== 0) board.setSlot(slot, SLOT.endOfStream, 1);
    const began = context.now;
    this.#countClaim(slot, incarnationOf(word));
    const before = this.#pinned.size;
    const reset = (flagsOf(word) & FLAG_HANGUP) !== 0;
    const protocol = this.#protocols[board.slot(slot, SLOT.protocol)] as Protocol;
    protocol.take().open(slot, successor(word, ConnectionEvent.claim, child, 0), reset);
    if (context.now === began) context.now = performance.now();
    // A long handler does not make the next one long: before it, somebody else was woken.
    const heldUs = (context.now - began) * 1000;
    if (heldUs < LONG_HANDLER_US) {
      const sampleUs = Math.min(heldUs, this.#meanUs * 2 + CLIP_US);
      this.#meanUs += (sampleUs - this.#meanUs) * MEAN_WEIGHT;
      context.setWord(CHILD.meanServiceUs, this.#meanUs | 0);
    }
    if (this.#pinned.size <= before) return;
    if (this.#unfinished === 0) this.#unfinishedMs = context.now;
    this.#unfinished++;
  }

  #countClaim(slot: number, incarnation: number): void {
    const context = this.#context;
    const waited = waitedUs(context.board, slot, context.now);
    context.add(CHILD.queueWaitMs, waited / 1000);
    observeChild(context.board, context.child, QUEUE_WAIT, waited / 1e6);
    context.add(CHILD.claims, 1);
    if (this.#counted[slot] === incarnation + 1) return;
    this.#counted[slot] = incarnation + 1;
    context.add(CHILD.connections, 1);
    context.setWord(CHILD.lifeConnections, context.getWord(CHILD.lifeConnections) + 1);
  }

  #resume(slot: number): void {
    const { board, child } = this.#context;
    const connection = this.#bySlot.get(slot);
    let word: number;
    do {
      word = board.word(slot);
      // Put in by a leader that stood still meanwhile, for a child that had this place before and died.
      if (connection === undefined || stateOf(word) !== ConnectionState.resuming) {
        this.#context.add(CHILD.staleEvents, 1);
        return;
      }
      // Lost to a flag that a poller has just set, it is tried again.
    } while (board.move(slot, word, ConnectionEvent.claim, child) !== Outcome.moved);
    connection.resume(successor(word, ConnectionEvent.claim, child, 0), flagsOf(word));
  }

  #checkLimits(): void {
    if (this.#retireReason !== null) return;
    if (this.#exceeds(CHILD.connectionLimit, CHILD.lifeConnections)) {
      this.#wantRetire(ExitReason.maxConnections);
    } else if (this.#exceeds(CHILD.requestLimit, CHILD.lifeRequests)) {
      this.#wantRetire(ExitReason.maxRequests);
    } else if (this.#exceeds(CHILD.memoryLimitKb, CHILD.heapUsedKb, CHILD.externalKb)) {
      this.#wantRetire(ExitReason.maxMemory);
    }
  }

  #exceeds(limitField: Field, field: Field, second: Field | null = null): boolean {
    const limit = this.#context.getWord(limitField);
    if (limit === 0) return false;
    const more = second === null ? 0 : this.#context.getWord(second);
    return this.#context.getWord(field) + more >= limit;
  }

  /** This life is to end early, by the application's wish; asked for once. */
  retire(): void {
    if (this.#retireReason === null) this.#wantRetire(ExitReason.drain);
  }

  #wantRetire(reason: ExitReason): void {
    this.#retireReason = reason;
    this.#context.setWord(CHILD.retireReason, reason);
    this.#context.setWord(CHILD.status, ChildStatus.wantsRetire);
    this.#events.wantsRetire(reason);
  }

  #sampleHeap(now: number): void {
    if (now - this.#heapSampledMs < HEAP_SAMPLE_MS) return;
    this.#heapSampledMs = now;
    this.#context.storeHeap();
    this.#events.active?.();
  }

  #end(): void {
    this.#ended = true;
    const { board, child } = this.#context;
    this.#pool.idle.remove(child);
    this.#leading?.end();
    this.#context.buffers.release();
    this.#context.log?.writer.close();
    const idle = this.#context.getWord(CHILD.command) === ChildCommand.retireIdle;
    const reason = this.#retireReason ?? (idle ? ExitReason.idle : ExitReason.drain);
    this.#context.setWord(CHILD.retireReason, reason);
    board.setChild(child, CHILD.status, ChildStatus.ended);
    this.#events.ended(reason);
  }
}
