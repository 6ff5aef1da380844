/**
 * The listener: holds every connection that waits, and gives it to a worker when there is something to
 * compute.
 *
 * Role: the event loop over both poll sets. Owns all slots and descriptors; accepts, dispatches,
 * notices, resumes, lingers, closes.
 * Thread: main. May not: run a handler, read a request, block (but for a nap, see accept-pace.ts).
 */

import type { Aborted } from '../scoreboard/aborted.ts';
import { revokeAssignments } from '../scoreboard/assignment.ts';
import { nowTicks, ticksOf } from '../scoreboard/clock.ts';
import { CloseReason, type ExitReason, Phase } from '../scoreboard/codes.ts';
import { observeHeader } from '../scoreboard/histograms.ts';
import { takeInbox } from '../scoreboard/inbox.ts';
import { HEADER, SLOT } from '../scoreboard/layout.ts';
import { inheritLead } from '../scoreboard/leader.ts';
import { type Call, Notified, notify } from '../scoreboard/notices.ts';
import type { Pool } from '../scoreboard/pool.ts';
import { reclaimSpilling, SOURCE_TOKEN } from '../scoreboard/rest.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../scoreboard/states.ts';
import { incarnationOf, ownerOf, stateOf } from '../scoreboard/transition.ts';
import { beginHandback, wakeChild } from '../scoreboard/wake.ts';
import { Acceptor, type ListenAddress, type ListenProtocol } from './acceptor.ts';
import { Closer } from './closer.ts';
import { Completer } from './completer.ts';
import { DeadlineWatch } from './deadline-watch.ts';
import { Dispatcher } from './dispatcher.ts';
import { EventRouter, Routed } from './event-router.ts';
import { LengthyWatch } from './lengthy-watch.ts';
import { LogScheduler } from './log-scheduler.ts';
import { type Native, SHORT_SLICE_US } from './native.ts';
import type { ListenerOptions } from './options.ts';
import { type Orphaned, Orphans } from './orphans.ts';
import type { Poller } from './poller.ts';
import { Reclaimer } from './reclaimer.ts';
import { Shedder } from './shedder.ts';
import { SleepWatch } from './sleep-watch.ts';
import { SlotPool } from './slots.ts';
import { Standby } from './standby.ts';
import { Sweeper } from './sweeper.ts';
import { Tunnels } from './tunnels.ts';

/** Further asks of a poll set while batches keep coming, before timers and signals get their turn. */
const MAX_FURTHER_ASKS = 8;
const TOKEN_HANDBACK = -1;

/** What the access log wants to hear of. */
export interface ListenerLogging {
  /** The listener answered the request of this slot by itself; 0: it was cut off with its child. */
  answered(slot: number, status: number): void;
  /** The listener has sent the last byte of a response that a worker began, or never will. */
  ended(slot: number, bodyBytes: number, durationMs: number, aborted: Aborted): void;
  /** Twice a second: lines that had no room get it. */
  flush(): void;
  /** Lines are waiting for that. */
  readonly waiting: boolean;
}

/** Who keeps the children of a pool. */
export interface Crew {
  /** This child does not turn, and is to be ended. */
  stuck(child: number, reason: ExitReason): void;
  /** Connections wait in the queue and no worker is idle; often, so it has to be cheap. */
  backlog(): void;
}

export class Listener {
  readonly #board: Scoreboard;
  readonly #native: Native;
  readonly #poller: Poller;
  readonly #slots: SlotPool;
  readonly #closer: Closer;
  readonly #completer: Completer;
  readonly #tunnels: Tunnels;
  readonly #acceptor: Acceptor;
  readonly #dispatcher: Dispatcher;
  readonly #sweeper: Sweeper;
  readonly #reclaimer: Reclaimer;
  readonly #deadlines: DeadlineWatch;
  readonly #lengthy: LengthyWatch;
  readonly #options: { -readonly [Key in keyof ListenerOptions]: ListenerOptions[Key] };
  readonly #router: EventRouter;
  readonly #standby: Standby;
  readonly #signal: (fd: number) => void;
  readonly #handbackFd: number;
  #stopped = false;
  #onEmpty: (() => void) | null = null;
  readonly #crews = new Map<Pool, Crew>();

  constructor(
    board: Scoreboard,
    native: Native,
    poller: Poller,
    options: ListenerOptions,
    logging: ListenerLogging | null = null,
  ) {
    this.#board = board;
    board.record = board.listenerCounters;
    this.#native = native;
    this.#poller = poller;
    this.#signal = (fd) => {
      native.eventfdSignal(fd);
    };
    this.#slots = new SlotPool(board.connectionSlots);
    this.#options = { ...options };
    this.#closer = new Closer(board, native, this.#slots);
    const orphans = new Orphans(board, this.#closer);
    this.#deadlines = new DeadlineWatch(board, this.#signal, (child, reason) =>
      this.#crews.get(board.poolOf(child))?.stuck(child, reason),
    );
    this.#lengthy = new LengthyWatch(board, this.#closer, this.#options, this.#signal, () =>
      this.#crews.get(board.lengthy)?.backlog(),
    );
    this.#reclaimer = new Reclaimer({
      board,
      native,
      poller,
      slots: this.#slots,
      orphans,
      lengthy: this.#lengthy,
      signal: this.#signal,
    });
    const shedder = new Shedder(board, native, this.#closer, this.#slots);
    const isFollower = () => !this.#standby.leads;
    this.#acceptor = new Acceptor(board, native, poller, this.#slots, this.#options, {
      get mayNap() {
        return isFollower();
      },
      takeBack: () => this.#takeBack() || this.#closer.isDue,
      makeRoom: (clients) => shedder.makeRoom(clients, performance.now()),
    });
    this.#dispatcher = new Dispatcher(board, this.#signal, () =>
      this.#crews.get(board.normal)?.backlog(),
    );
    this.#router = new EventRouter(board, poller, this.#signal);
    this.#standby = new Standby(board, poller, this.#signal, {
      wakeOverdue: (tail) => this.#dispatcher.wakeOverdue(tail),
      admit: () => this.#acceptor.resume(),
      takeBack: () => {
        if (this.#takeBack()) this.#endTurn();
      },
    });
    const sending = {
      queued: (slot: number) => this.#dispatcher.push(slot),
      ended: (...response: Parameters<ListenerLogging['ended']>) => logging?.ended(...response),
      passed: (began: number) => {
        this.#endTurn();
        this.#timeTurn(began);
      },
    };
    this.#completer = new Completer(board, native, this.#closer, sending);
    this.#tunnels = new Tunnels(board, native, poller, this.#closer, this.#options, sending);
    const sleepers = new SleepWatch(board, this.#signal);
    const logs = new LogScheduler(board, (ticket) => this.#dispatcher.push(ticket));
    this.#sweeper = new Sweeper(board, this.#closer, this.#slots, this.#options, {
      expire: (slot, word) => {
        if (this.#completer.progressed(slot)) return;
        this.#router.resume(slot, word, ConnectionEvent.timeout);
      },
      sample: (slot) => this.#completer.sample(slot),
      expireWrite: (slot) => this.#completer.expire(slot),
      requeueOrphan: (slot) => this.#dispatcher.requeueOrphan(slot),
      forgetTickets: () => this.#dispatcher.forgetStale(),
      overdue: (slot, word) => this.#deadlines.overdue(slot, word),
      owned: (slot, word) => {
        if (this.#lengthy.isAbandoned(word)) this.#deadlines.abandoned(slot, word);
      },
      call: (slot, word, call) => this.#call(slot, word, call),
      heldBack: (slot, word) => {
        if (this.#router.queueHeldBack(slot, word)) this.#dispatcher.push(slot);
      },
      lengthyQueued: (...queued) => this.#lengthy.sweep(...queued),
      tunnel: (...tunnel) => this.#tunnels.look(...tunnel),
      passed: (began) => {
        logging?.flush();
        logs.pass();
        this.#lengthy.look();
        sleepers.look();
        sending.passed(began);
      },
      unfinished: () => logs.waiting || logging?.waiting === true,
    });
    this.#closer.onClosed = (slot) => {
      this.#completer.closed(slot);
      this.#tunnels.closed(slot);
    };
    if (logging !== null) {
      this.#closer.onAnswered = (slot, status) => logging.answered(slot, status);
      orphans.onCut = (slot) => logging.answered(slot, 0);
      this.#lengthy.onCut = (slot) => logging.answered(slot, 0);
    }
    this.#closer.onFreed = () => {
      this.#acceptor.resume();
      if (this.#slots.inUse === 0) this.#onEmpty?.();
    };
    this.#acceptor.onRefused = (slot) =>
      this.#closer.close(slot, board.word(slot), ConnectionEvent.force, CloseReason.shed);
    this.#acceptor.onQueued = (slot) => this.#dispatcher.push(slot);
    this.#handbackFd = native.eventfdCreate();
    if (this.#handbackFd < 0) throw new Error(`eventfd: errno ${-this.#handbackFd}`);
    board.setHeader(HEADER.handbackFd.offset, this.#handbackFd);
    board.setHeader(HEADER.listenerSet.offset, poller.listenerSet);
    board.setHeader(HEADER.requestSet.offset, poller.requestSet);
    board.setHeader(HEADER.startedTicks.offset, nowTicks());
  }

  /** Tells whoever keeps the children of this pool. */
  attend(pool: Pool, crew: Crew): void {
    this.#crews.set(pool, crew);
  }

  /** See `Acceptor.listen`. */
  listen(
    host: string,
    port: number,
    v6Only: boolean,
    protocol: ListenProtocol | null = null,
  ): ListenAddress {
    return this.#acceptor.listen(host, port, v6Only, protocol);
  }

  /** See `Acceptor.adopt`. */
  adopt(fd: number, name: string): ListenAddress {
    return this.#acceptor.adopt(fd, name);
  }

  get addresses(): readonly ListenAddress[] {
    return this.#acceptor.addresses;
  }

  /** Polls from now on; clients are let in when the first worker is ready (`open`). */
  start(): void {
    this.#native.setSlice(SHORT_SLICE_US);
    this.#poller.addSource(this.#handbackFd, TOKEN_HANDBACK);
    this.#poller.start(
      () => this.#onRequests(),
      (count) => {
        const began = performance.now();
        this.#onTickets(count);
        this.#heartbeat();
        this.#timeTurn(began);
      },
    );
  }

  open(): void {
    this.#acceptor.open();
  }

  /** It has let clients in. */
  get isOpen(): boolean {
    return this.#acceptor.isOpen;
  }

  /** The request set has something: poll it, or, where a worker does, look after that one. */
  #onRequests(): void {
    const began = performance.now();
    if (!this.#standby.leads) {
      this.#standby.watchLeader();
      return;
    }
    for (let asks = 0; asks <= MAX_FURTHER_ASKS; asks++) {
      const count = this.#poller.pollRequests();
      if (count === 0) break;
      this.#onTickets(count);
    }
    this.#heartbeat();
    this.#timeTurn(began);
  }

  #timeTurn(began: number): void {
    observeHeader(this.#board, 'listenerTurn', (performance.now() - began) / 1000);
  }

  #onTickets(count: number): void {
    this.#router.now = performance.now();
    this.#board.tick(this.#router.now);
    for (let index = 0; index < count; index++) this.#onTicket(index * 3);
    this.#takeBack();
    this.#dispatcher.wake();
    this.#closer.flush();
  }

  /** For turns that no batch began. */
  #endTurn(): void {
    this.#router.now = performance.now();
    this.#board.tick(this.#router.now);
    this.#dispatcher.wake();
    this.#closer.flush();
    this.#heartbeat();
  }

  #heartbeat(): void {
    this.#board.words[HEADER.heartbeatTicks.offset >> 2] = ticksOf(this.#router.now);
    this.#acceptor.resume();
    if (this.#slots.inUse > 0) this.#sweeper.ensureRunning();
  }

  #onTicket(at: number): void {
    const { batch } = this.#poller;
    const slot = batch[at] as number;
    const incarnation = batch[at + 1] as number;
    const events = batch[at + 2] as number;
    if (slot >= SOURCE_TOKEN) this.#onSource(slot - SOURCE_TOKEN, incarnation, events);
    else if (slot >= 0) this.#onConnection(slot, incarnation, events);
    else if (slot === TOKEN_HANDBACK) this.#onHandback();
    else this.#acceptor.accept(slot);
  }

  /** The socket that a response comes from has more, or the other side of a tunnel has an event. */
  #onSource(slot: number, incarnation: number, events: number): void {
    const word = this.#board.word(slot);
    if (incarnationOf(word) !== incarnation) this.#board.count(HEADER.staleEvents);
    else if (stateOf(word) === ConnectionState.tunnel) this.#tunnels.onUpstream(slot, events);
    else this.#completer.advance(slot);
  }

  #onConnection(slot: number, incarnation: number, events: number): void {
    const board = this.#board;
    const { endOfStream, hangup } = this.#poller;
    // Mostly a client that closed its idle connection; no worker is needed for that.
    const ends = (events & (endOfStream | hangup)) !== 0;
    if (ends && this.#closer.closeIfGone(slot, incarnation)) return;
    switch (this.#router.route(slot, incarnation, events)) {
      case Routed.queued:
        board.count(HEADER.dispatched);
        this.#dispatcher.push(slot);
        return;
      case Routed.noticed:
        board.count(HEADER.noticed);
        return;
      case Routed.stale:
        board.count(HEADER.staleEvents);
        return;
      case Routed.lingers:
        this.#closer.drainNoticed(slot);
        return;
      case Routed.completes:
        this.#completer.advance(slot);
        return;
      case Routed.tunnels:
        this.#tunnels.onClient(slot, events);
        return;
      case Routed.departed:
        this.#lengthy.departed(slot);
        return;
      default:
        return;
    }
  }

  /** Has a worker call a session that waits for its client. */
  #call(slot: number, word: number, call: Call): void {
    const outcome = notify(this.#board, slot, incarnationOf(word), call, performance.now());
    if (outcome === Notified.queued) this.#dispatcher.push(slot);
  }

  /** What workers left: closing connections, events that only the listener acts on, the lead. */
  #onHandback(): void {
    const board = this.#board;
    this.#native.eventfdDrain(this.#handbackFd);
    beginHandback(board);
    this.#takeBack();
    this.#lengthy.look();
    this.#standby.check();
  }

  /** Takes what lies in the hand-back ring; the caller ends its turn. False: there was nothing. */
  #takeBack(): boolean {
    const board = this.#board;
    if (board.handback.length === 0) return false;
    for (let slot = board.handback.pop(); slot >= 0; slot = board.handback.pop()) {
      switch (stateOf(board.word(slot))) {
        case ConnectionState.closing:
          this.#closer.closed(slot, CloseReason.worker);
          break;
        case ConnectionState.writeCompletion:
          this.#completer.advance(slot);
          break;
        case ConnectionState.lengthyQueued:
          this.#lengthy.departed(slot);
          break;
        case ConnectionState.tunnel:
          this.#tunnels.adopt(slot);
          break;
        default:
          this.#closer.drainNoticed(slot);
      }
    }
    return true;
  }

  /**
   * Takes back everything a dead child held: its requests are answered or cut off, its spare buffers
   * freed. Call when its thread is gone.
   */
  reclaimChild(child: number): Orphaned {
    const board = this.#board;
    // It may have died between its push and the signal for it.
    this.#onHandback();
    takeInbox(board, child, []);
    const ticket = revokeAssignments(board, child);
    if (ticket >= 0) this.#dispatcher.requeueOrphan(ticket);
    board.log?.releaseFor(child);
    // Before what it had of its upstreams is given back: a part of that may be a tunnel's by now.
    for (let slot = 0; slot < this.#slots.watermark; slot++) this.#tunnels.adopt(slot);
    board.upstreams.reclaim(child);
    reclaimSpilling(board, child);
    if (inheritLead(board, child)) this.#standby.check();
    const orphaned = this.#reclaimer.reclaim(child);
    this.#endTurn();
    return orphaned;
  }

  /** Wakes one child to look at its slot, for a command. */
  wakeChild(child: number): void {
    wakeChild(this.#board, child, this.#signal);
  }

  /** Other limits from now on; what belongs to sockets that listen already stays as it is. */
  configure(limits: Partial<ListenerOptions>): void {
    Object.assign(this.#options, limits);
    this.#acceptor.resume();
  }

  /**
   * Ends one connection for an operator. One that a worker owns has its write side shut: its client sees
   * the end, and the worker closes it when it next writes or the client does.
   * @param incarnation of the connection that is meant
   */
  closeConnection(slot: number, incarnation: number): 'closed' | 'ending' | 'gone' {
    const board = this.#board;
    if (slot >= this.#slots.watermark) return 'gone';
    for (;;) {
      const word = board.word(slot);
      const state = stateOf(word);
      if (incarnationOf(word) !== incarnation) return 'gone';
      if (state === ConnectionState.free || state === ConnectionState.closing) return 'gone';
      if (ownerOf(word) >= 0) {
        // Only this thread closes, so the descriptor is the connection's, whatever the worker does.
        this.#native.shutdownWrite(board.slot(slot, SLOT.fd));
        return 'ending';
      }
      // Its worker may just have handed it over.
      if (state === ConnectionState.tunnel) this.#tunnels.adopt(slot);
      if (!this.#closer.close(slot, word, ConnectionEvent.force, CloseReason.forced)) continue;
      this.#endTurn();
      return 'closed';
    }
  }

  /** Lets a ready child see what waits in the queue. */
  kick(): void {
    this.#dispatcher.wake();
  }

  /**
   * Says that the server is about to stop, and still serves: it is no longer ready, and responses end
   * their connections.
   */
  announceStop(): void {
    this.#board.setHeader(HEADER.phase.offset, Phase.draining);
  }

  /** Refuses new clients, lets idle ones go, and resolves when the last connection is closed. */
  drain(): Promise<void> {
    this.announceStop();
    this.#acceptor.close();
    this.#sweeper.draining = true;
    this.#tunnels.drain();
    const empty = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
    this.#sweeper.sweep();
    if (this.#slots.inUse === 0) this.#onEmpty?.();
    return empty;
  }

  /** Closes everything at once; only when no child runs any more. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#board.setHeader(HEADER.phase.offset, Phase.stopped);
    this.#acceptor.close();
    this.#onHandback();
    for (let slot = 0; slot < this.#slots.watermark; slot++) {
      const word = this.#board.word(slot);
      const state = stateOf(word);
      if (state === ConnectionState.free || state === ConnectionState.closing) continue;
      if (state === ConnectionState.writeCompletion) {
        this.#completer.force(slot);
        continue;
      }
      const event = ownerOf(word) < 0 ? ConnectionEvent.force : ConnectionEvent.childDied;
      this.#closer.close(slot, word, event, CloseReason.forced);
    }
    this.#closer.flush();
    this.#sweeper.stop();
    this.#standby.stop();
    this.#deadlines.stop();
    this.#completer.stop();
    this.#tunnels.stop();
    this.#dispatcher.stop();
    this.#poller.stop();
    this.#native.close(this.#handbackFd);
  }
}
