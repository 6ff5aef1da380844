/**
 * The listener: holds every connection that waits, and gives it to a worker when there is something to
 * compute.
 *
 * Role: the event loop over both poll sets. Owns all slots and descriptors; accepts, dispatches,
 * notices, resumes, lingers, closes.
 * Thread: main. May not: run a handler, read a request, block.
 */
import { nowTicks, ticksOf } from '../scoreboard/clock.ts';
import { pushInbox, takeInbox } from '../scoreboard/inbox.ts';
import {
  CHILD,
  CloseReason,
  HEADER,
  Phase,
  type ResumeReason,
  SLOT,
} from '../scoreboard/layout.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../scoreboard/states.ts';
import {
  FLAG_HANGUP,
  FLAG_READABLE,
  FLAG_WRITABLE,
  flagsOf,
  incarnationOf,
  Outcome,
  ownerOf,
  stateOf,
} from '../scoreboard/transition.ts';
import { beginHandback, wakeChild } from '../scoreboard/wake.ts';
import { Acceptor, type ListenAddress } from './acceptor.ts';
import { Closer } from './closer.ts';
import { Dispatcher } from './dispatcher.ts';
import { EAGAIN, type Native } from './native.ts';
import type { ListenerOptions } from './options.ts';
import type { Poller } from './poller.ts';
import { SlotPool } from './slots.ts';
import { Sweeper } from './sweeper.ts';

/** Further asks of a poll set while batches keep coming, before timers and signals get their turn. */
const MAX_FURTHER_ASKS = 8;
const TOKEN_HANDBACK = -1;

export class Listener {
  readonly #board: Scoreboard;
  readonly #native: Native;
  readonly #poller: Poller;
  readonly #slots: SlotPool;
  readonly #closer: Closer;
  readonly #acceptor: Acceptor;
  readonly #dispatcher: Dispatcher;
  readonly #sweeper: Sweeper;
  readonly #signal: (fd: number) => void;
  readonly #handbackFd: number;
  #stopped = false;
  #onEmpty: (() => void) | null = null;

  constructor(board: Scoreboard, native: Native, poller: Poller, options: ListenerOptions) {
    this.#board = board;
    this.#native = native;
    this.#poller = poller;
    this.#signal = (fd) => {
      native.eventfdSignal(fd);
    };
    this.#slots = new SlotPool(board.connectionSlots);
    this.#closer = new Closer(board, native, this.#slots);
    this.#acceptor = new Acceptor(board, native, poller, this.#slots, options);
    this.#dispatcher = new Dispatcher(board, this.#signal);
    this.#sweeper = new Sweeper(board, this.#closer, this.#slots, options, {
      expire: (slot, word, reason) => this.#resume(slot, word, ConnectionEvent.timeout, reason),
      requeueOrphan: (slot) => this.#dispatcher.requeueOrphan(slot),
      passed: () => this.#endTurn(),
    });
    this.#closer.onFreed = () => {
      this.#acceptor.resume();
      if (this.#slots.inUse === 0) this.#onEmpty?.();
    };
    this.#acceptor.onRefused = (slot) =>
      this.#closer.close(slot, board.word(slot), ConnectionEvent.force, CloseReason.shed);
    this.#handbackFd = native.eventfdCreate();
    if (this.#handbackFd < 0) throw new Error(`eventfd: errno ${-this.#handbackFd}`);
    board.setHeader(HEADER.handbackFd.offset, this.#handbackFd);
    board.setHeader(HEADER.listenerSet.offset, poller.listenerSet);
    board.setHeader(HEADER.startedTicks.offset, nowTicks());
  }

  /** See `Acceptor.listen`. */
  listen(host: string, port: number, v6Only: boolean): ListenAddress {
    return this.#acceptor.listen(host, port, v6Only);
  }

  get addresses(): readonly ListenAddress[] {
    return this.#acceptor.addresses;
  }

  /** Polls from now on; clients are let in when the first worker is ready (`open`). */
  start(): void {
    this.#poller.addSource(this.#handbackFd, TOKEN_HANDBACK);
    this.#poller.start((count, more) => this.#onBatch(count, more));
  }

  open(): void {
    this.#acceptor.open();
  }

  #onBatch(first: number, more: () => number): void {
    let count = first;
    for (let asks = 0; ; asks++) {
      this.#dispatcher.now = performance.now();
      for (let index = 0; index < count; index++) this.#onTicket(index * 3);
      this.#dispatcher.wake();
      this.#closer.flush();
      if (asks === MAX_FURTHER_ASKS) break;
      count = more();
      if (count <= 0) break;
    }
    this.#heartbeat();
  }

  /** For turns that no batch began. */
  #endTurn(): void {
    this.#dispatcher.now = performance.now();
    this.#dispatcher.wake();
    this.#closer.flush();
    this.#heartbeat();
  }

  #heartbeat(): void {
    this.#board.words[HEADER.heartbeatTicks.offset >> 2] = ticksOf(this.#dispatcher.now);
    this.#acceptor.resume();
    if (this.#slots.inUse > 0) this.#sweeper.ensureRunning();
  }

  #onTicket(at: number): void {
    const { batch } = this.#poller;
    const slot = batch[at] as number;
    const incarnation = batch[at + 1] as number;
    const events = batch[at + 2] as number;
    if (slot >= 0) this.#onConnection(slot, incarnation, events);
    else if (slot === TOKEN_HANDBACK) this.#onHandback();
    else this.#acceptor.accept(slot);
  }

  #onConnection(slot: number, incarnation: number, events: number): void {
    const board = this.#board;
    // Ends: every pass either moves the word or sees one that somebody else has moved.
    for (;;) {
      const word = board.word(slot);
      const state = stateOf(word);
      if (incarnationOf(word) !== incarnation || state === ConnectionState.free) {
        board.count(HEADER.staleEvents);
        return;
      }
      switch (state) {
        case ConnectionState.waitRequest:
        case ConnectionState.readRequest:
        case ConnectionState.keepalive:
          this.#onReadable(slot, word, events);
          return;
        case ConnectionState.processing:
          if (this.#notice(slot, word, events)) return;
          continue;
        case ConnectionState.suspended:
          if (this.#resume(slot, word, ConnectionEvent.ready, 0)) return;
          continue;
        case ConnectionState.lingerNormal:
        case ConnectionState.lingerShort:
          this.#closer.drain(slot, word, CloseReason.lingered);
          return;
        default:
          // Queued and resuming: the worker will see for itself. Closing: nothing to do.
          return;
      }
    }
  }

  #onReadable(slot: number, word: number, events: number): void {
    const board = this.#board;
    const { endOfStream, hangup } = this.#poller;
    if ((events & (endOfStream | hangup)) !== 0) {
      // Mostly a client that closed its idle connection; no worker is needed for that.
      const pending = this.#native.pending(board.slot(slot, SLOT.fd));
      if (pending === 0 || (pending < 0 && pending !== EAGAIN)) {
        this.#closer.close(slot, word, ConnectionEvent.peerGone, CloseReason.peer);
        return;
      }
      board.setSlot(slot, SLOT.endOfStream, 1);
    }
    this.#dispatcher.dispatch(slot, word);
  }

  /** Leaves flags for the worker that owns the connection; false: look again. */
  #notice(slot: number, word: number, events: number): boolean {
    const { readable, writable, endOfStream, hangup } = this.#poller;
    const flags =
      ((events & (readable | endOfStream | hangup)) !== 0 ? FLAG_READABLE : 0) |
      ((events & (writable | hangup)) !== 0 ? FLAG_WRITABLE : 0) |
      ((events & hangup) !== 0 ? FLAG_HANGUP : 0);
    const board = this.#board;
    if (board.move(slot, word, ConnectionEvent.notice, 0, flags) !== Outcome.moved) return false;
    board.count(HEADER.noticed);
    if ((flags & FLAG_HANGUP) !== 0 && (flagsOf(word) & FLAG_HANGUP) === 0) {
      const child = ownerOf(word);
      board.setChild(child, CHILD.attention, 1);
      wakeChild(board, child, this.#signal);
    }
    return true;
  }

  #resume(slot: number, word: number, event: ConnectionEvent, reason: ResumeReason): boolean {
    const board = this.#board;
    // Read by the child after it claimed; a lost move means the child has taken it back by itself.
    board.setSlot(slot, SLOT.resumeReason, reason);
    if (board.move(slot, word, event) !== Outcome.moved) return false;
    const child = ownerOf(word);
    pushInbox(board, child, slot);
    wakeChild(board, child, this.#signal);
    return true;
  }

  #onHandback(): void {
    this.#native.eventfdDrain(this.#handbackFd);
    beginHandback(this.#board);
    for (;;) {
      const slot = this.#board.handback.pop();
      if (slot < 0) return;
      this.#closer.closed(slot, CloseReason.worker);
    }
  }

  /**
   * Takes back everything a dead child held: its connections are closed, its spare buffers freed.
   * Call when its thread is gone. Returns how many connections were lost.
   */
  reclaimChild(child: number): number {
    const board = this.#board;
    takeInbox(board, child);
    let lost = 0;
    for (let slot = 0; slot < this.#slots.watermark; slot++) {
      const word = board.word(slot);
      if (ownerOf(word) !== child) continue;
      this.#closer.close(slot, word, ConnectionEvent.childDied, CloseReason.childDied);
      lost++;
    }
    for (const field of [CHILD.spareBuffer0, CHILD.spareBuffer1]) {
      const buffer = board.child(child, field);
      if (buffer !== 0) board.freeBuffers.add(buffer - 1);
      board.setChild(child, field, 0);
    }
    this.#endTurn();
    return lost;
  }

  /** Wakes one child to look at its slot, for a command. */
  wakeChild(child: number): void {
    wakeChild(this.#board, child, this.#signal);
  }

  /** Lets a ready child see what waits in the queue. */
  kick(): void {
    this.#dispatcher.wake();
  }

  /** Refuses new clients, lets idle ones go, and resolves when the last connection is closed. */
  drain(): Promise<void> {
    this.#board.setHeader(HEADER.phase.offset, Phase.draining);
    this.#acceptor.close();
    this.#sweeper.draining = true;
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
      const event = ownerOf(word) < 0 ? ConnectionEvent.force : ConnectionEvent.childDied;
      this.#closer.close(slot, word, event, CloseReason.forced);
    }
    this.#closer.flush();
    this.#sweeper.stop();
    this.#dispatcher.stop();
    this.#poller.stop();
    this.#native.close(this.#handbackFd);
  }
}
