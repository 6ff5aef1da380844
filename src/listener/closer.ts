/**
 * The ends of connections: half-close, drain, close, free the slot.
 *
 * Role: the only place that closes a connection's descriptor. Closing is put off to the end of the
 * event batch, so that no descriptor number is reused while tickets of the batch still name it.
 * Thread: the listener's.
 */
import { agedTicks, elapsedTicks, nowTicks } from '../scoreboard/clock.ts';
import { CloseReason, RestFlag } from '../scoreboard/codes.ts';
import { observeHeader } from '../scoreboard/histograms.ts';
import { HEADER, HTTP_PROTOCOL, SLOT } from '../scoreboard/layout.ts';
import { countRequest, NO_SERIES } from '../scoreboard/request-counters.ts';
import { FilePart } from '../scoreboard/rest.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../scoreboard/states.ts';
import {
  FLAG_HANGUP,
  flagsOf,
  incarnationOf,
  Outcome,
  partyFor,
  stateOf,
} from '../scoreboard/transition.ts';
import { EAGAIN, type Native, Region } from './native.ts';
import type { SlotPool } from './slots.ts';

const DISCARD_BYTES = 1 << 20;
const DISCARD_TURNS = 16;

/** What the listener answers by itself. */
const REASON_PHRASES = {
  408: 'Request Timeout',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
} as const;
export type ListenerStatus = keyof typeof REASON_PHRASES;

/**
 * Seconds for Retry-After (RFC 9110, 10.2.3): within five ticks the ramp has started 31 workers, where so
 * many are allowed.
 */
const RETRY_AFTER = 5;
const MORE_FIELDS: Readonly<Record<string, string>> = { 503: `Retry-After: ${RETRY_AFTER}\r\n` };

/** A WebSocket's last frame from a server: 1001, going away (RFC 6455, section 7.4.1). */
const GOING_AWAY = Buffer.from([0x88, 0x02, 0x03, 0xe9]);
const ANSWERS = new Map<number, { readonly offset: number; readonly length: number }>();
const ANSWER_BYTES = Buffer.concat([
  ...Object.entries(REASON_PHRASES).map(([status, phrase]) => {
    const more = MORE_FIELDS[status] ?? '';
    const head = `HTTP/1.1 ${status} ${phrase}\r\n${more}Connection: close\r\nContent-Length: 0\r\n\r\n`;
    const offset = [...ANSWERS.values()].reduce((sum, { length }) => sum + length, 0);
    ANSWERS.set(Number(status), { offset, length: head.length });
    return Buffer.from(head, 'latin1');
  }),
  GOING_AWAY,
]);

export class Closer {
  readonly #board: Scoreboard;
  readonly #native: Native;
  readonly #slots: SlotPool;
  readonly #closing: number[] = [];
  /** 1 for slots in `#closing`: a slot is closed once, however often it is reported. */
  readonly #marked: Uint8Array;
  /** Why the listener began to linger, CloseReason + 1; 0: it did not. */
  readonly #reasons: Uint8Array;
  /** Called for each connection that is closed. */
  onClosed: (slot: number) => void = () => {};
  /** Called when a slot became free. */
  onFreed: () => void = () => {};
  /** Called for a request that was answered here, while its bytes are there. */
  onAnswered: (slot: number, status: ListenerStatus) => void = () => {};

  constructor(board: Scoreboard, native: Native, slots: SlotPool) {
    this.#board = board;
    this.#native = native;
    this.#slots = slots;
    this.#marked = new Uint8Array(board.connectionSlots);
    this.#reasons = new Uint8Array(board.connectionSlots);
    native.attach(Region.constants, ANSWER_BYTES);
  }

  /**
   * Moves to closing by `event`; the descriptor goes with the end of the batch. False: somebody else
   * moved it first.
   */
  close(slot: number, word: number, event: ConnectionEvent, reason: CloseReason): boolean {
    if (this.#board.move(slot, word, event) !== Outcome.moved) return false;
    this.closed(slot, reason);
    return true;
  }

  /** Closes one that waits and whose client has left; false: it has not, or somebody has it. */
  closeIfGone(slot: number, incarnation: number): boolean {
    const board = this.#board;
    const word = board.word(slot);
    if (incarnationOf(word) !== incarnation) return false;
    if (partyFor(stateOf(word), ConnectionEvent.peerGone) === undefined) return false;
    // A client that has shut its side may still read what it has asked for.
    if (stateOf(word) >= ConnectionState.queued) return false;
    const pending = this.#native.pending(board.slot(slot, SLOT.fd));
    if (pending > 0 || pending === EAGAIN) return false;
    return this.close(slot, word, ConnectionEvent.peerGone, CloseReason.peer);
  }

  /** Some are closed with the end of the batch. */
  get isDue(): boolean {
    return this.#closing.length > 0;
  }

  /** For a connection that is in closing already. */
  closed(slot: number, reason: CloseReason): void {
    if (this.#marked[slot] === 1) return;
    this.#marked[slot] = 1;
    const first = this.#reasons[slot] as number;
    this.#reasons[slot] = 0;
    this.#board.count(HEADER.closed, 1, first > 0 ? first - 1 : reason);
    this.#closing.push(slot);
  }

  /**
   * Shuts the write side and waits shortly for the client to finish, so that what was sent is read and
   * not lost to a reset. Apache's short linger. False: somebody else moved it first.
   * @param status an answer that is sent before
   */
  linger(
    slot: number,
    word: number,
    event: ConnectionEvent,
    reason: CloseReason,
    status: ListenerStatus | null = null,
  ): boolean {
    const board = this.#board;
    // First the move: until it succeeded a poller may still give the connection to a worker.
    if (board.move(slot, word, event) !== Outcome.moved) return false;
    this.#linger(slot, reason, status);
    return true;
  }

  /**
   * Ends a connection that waited in the queue for too long: 503 where it has a request. False: a worker
   * took it first.
   */
  refuse(slot: number, word: number): boolean {
    const board = this.#board;
    if (board.move(slot, word, ConnectionEvent.timeout) !== Outcome.moved) return false;
    const began = board.slot(slot, SLOT.sinceTicks);
    // The time of the one before is still there.
    board.setSlot(slot, SLOT.requestSinceTicks, began);
    // It may be the client's end that has waited; one that was reset hears nothing, and a session would
    // not understand.
    const hears =
      (flagsOf(word) & FLAG_HANGUP) === 0 && board.slot(slot, SLOT.protocol) === HTTP_PROTOCOL;
    const hasRequest = hears && this.#native.pending(board.slot(slot, SLOT.fd)) > 0;
    if (hasRequest) {
      const took = Math.max(0, elapsedTicks(began, nowTicks()));
      countRequest(board, board.listenerCounters, 503, took, NO_SERIES);
    }
    this.#linger(slot, CloseReason.queueTimeout, hasRequest ? 503 : null);
    return true;
  }

  /** After the last response, which the listener has sent itself. Apache's normal linger. */
  lingerAfterResponse(slot: number): void {
    const board = this.#board;
    const event = ConnectionEvent.lastResponseSent;
    // An event that comes between makes the move fail; what it says is found when draining.
    while (board.move(slot, board.word(slot), event) !== Outcome.moved) {}
    this.#linger(slot, CloseReason.lingered, null);
  }

  #linger(slot: number, reason: CloseReason, status: ListenerStatus | null): void {
    const board = this.#board;
    const fd = board.slot(slot, SLOT.fd);
    board.setSlot(slot, SLOT.sinceTicks, nowTicks());
    if (status !== null) {
      const { offset, length } = ANSWERS.get(status) as { offset: number; length: number };
      this.#native.send(fd, Region.constants, offset, length);
      this.onAnswered(slot, status);
    }
    this.#native.shutdownWrite(fd);
    this.#releaseBuffer(slot);
    this.#reasons[slot] = reason + 1;
    // The peer may have finished before; its event has been and gone.
    this.drain(slot, board.word(slot), CloseReason.lingered);
  }

  /** Tells the client of a WebSocket that the server stops; where its socket is full it will find out. */
  sayGoingAway(slot: number): void {
    const { length } = GOING_AWAY;
    const offset = ANSWER_BYTES.length - length;
    this.#native.send(this.#board.slot(slot, SLOT.fd), Region.constants, offset, length);
  }

  /** An event of a lingering connection, or a flag that a leading worker has left of one. */
  drainNoticed(slot: number): void {
    const board = this.#board;
    for (;;) {
      const word = board.word(slot);
      const state = stateOf(word);
      if (state !== ConnectionState.lingerNormal && state !== ConnectionState.lingerShort) return;
      if (flagsOf(word) === 0) {
        this.drain(slot, word, CloseReason.lingered);
        return;
      }
      // Taken before the socket is looked at, so that none is missed.
      board.move(slot, word, ConnectionEvent.attend);
    }
  }

  /** Throws away what a lingering client still sends; closes at its end of stream or an error. */
  drain(slot: number, word: number, reason: CloseReason): void {
    const board = this.#board;
    const fd = board.slot(slot, SLOT.fd);
    for (let turn = 0; turn < DISCARD_TURNS; turn++) {
      const count = this.#native.discard(fd, DISCARD_BYTES);
      if (count === EAGAIN) return;
      if (count <= 0) {
        this.close(slot, word, ConnectionEvent.drained, reason);
        return;
      }
    }
    // A client that sends without end is cut off: its event would not come again (edge-triggered).
    this.close(slot, word, ConnectionEvent.drained, reason);
  }

  /** Closes what the batch collected. */
  flush(): void {
    if (this.#closing.length === 0) return;
    const board = this.#board;
    const now = nowTicks();
    for (const slot of this.#closing) {
      const word = board.word(slot);
      if (stateOf(word) !== ConnectionState.closing) {
        throw new Error(`slot ${slot} (incarnation ${incarnationOf(word)}) left closing by itself`);
      }
      this.#releaseBuffer(slot);
      this.releaseRest(slot);
      this.#native.close(board.slot(slot, SLOT.fd));
      this.onClosed(slot);
      observeHeader(board, 'connectionRequests', board.slot(slot, SLOT.requests) >>> 0);
      const openMs = agedTicks(board.slot(slot, SLOT.acceptedTicks), now);
      observeHeader(board, 'connectionDuration', openMs / 1000);
      board.setSlot(slot, SLOT.fd, -1);
      this.#marked[slot] = 0;
      board.move(slot, word, ConnectionEvent.reclaimed);
      this.#slots.give(slot);
    }
    this.#closing.length = 0;
    board.setHeader(HEADER.openConnections.offset, this.#slots.inUse);
    this.onFreed();
  }

  /** Closes what the rest of a response comes from, where there is any. */
  releaseRest(slot: number): void {
    const board = this.#board;
    const slotIndex = board.slotIndex(slot);
    const part = FilePart.from(board, slotIndex);
    if (part === null) return;
    // The application may keep the socket that this is a duplicate of, and closing would not end it.
    if ((board.slot(slot, SLOT.restFlags) & RestFlag.socket) !== 0) {
      this.#native.epollDelete(board.header(HEADER.listenerSet.offset), part.fd);
    }
    part.close(board, slotIndex, this.#native);
  }

  #releaseBuffer(slot: number): void {
    const buffer = this.#board.slot(slot, SLOT.buffer);
    if (buffer === 0) return;
    this.#board.setSlot(slot, SLOT.buffer, 0);
    this.#board.freeBuffers.add(buffer - 1);
  }
}
