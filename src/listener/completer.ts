/**
 * Write completion: sends what is left of responses, so that no worker waits for a slow client.
 *
 * Role: on writable events moves bytes from a file to the socket without their passing through this
 * process; a bounded number a turn, so that one fast reader starves nobody. At the end the request is
 * counted, and the connection goes where its worker would have sent it.
 * Thread: the listener's. May not: wait for a device. Where the file's next bytes are not in memory the
 * connection goes back to the queue, and a worker reads them.
 */
import { Aborted } from '../scoreboard/aborted.ts';
import { monotonicOf, nowTicks, ticksOf } from '../scoreboard/clock.ts';
import { CloseReason, RestFlag } from '../scoreboard/codes.ts';
import { CHILD, HEADER, HTTP_PROTOCOL, SLOT } from '../scoreboard/layout.ts';
import { setQueued } from '../scoreboard/queue-time.ts';
import { countRequest } from '../scoreboard/request-counters.ts';
import { FILE_SHRANK, FilePart, NOT_SAMPLED } from '../scoreboard/rest.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../scoreboard/states.ts';
import { FLAG_END, FLAG_HANGUP, flagsOf, Outcome, stateOf } from '../scoreboard/transition.ts';
import type { Closer } from './closer.ts';
import { EAGAIN, type Native } from './native.ts';
import { Relay, Relayed } from './relay.ts';

/** Bytes of one response in one turn; nginx's sendfile_max_chunk is 2 MiB. */
const TURN_BYTES = 512 * 1024;
/** One call moves at most so much before the next look whether the file is in memory. */
const CALL_BYTES = 128 * 1024;

/** How many of these are looked for at once. */
const PROBE_AHEAD = 2;

/** Why a response is given up, and what that is to the connection and to its log line. */
const ABORTS = {
  [CloseReason.peer]: { event: ConnectionEvent.peerGone, cause: Aborted.byClient },
  [CloseReason.writeTimeout]: { event: ConnectionEvent.timeout, cause: Aborted.byServer },
  [CloseReason.forced]: { event: ConnectionEvent.force, cause: Aborted.byServer },
} as const;

export interface CompleterTargets {
  /** A connection was moved to queued. */
  queued(slot: number): void;
  /** The request of a slot is over. */
  ended(slot: number, bodyBytes: number, durationMs: number, aborted: Aborted): void;
  /** A turn that no batch began is over; it began at this `performance.now()`. */
  passed(began: number): void;
}

export class Completer {
  readonly #board: Scoreboard;
  readonly #native: Native;
  readonly #closer: Closer;
  readonly #targets: CompleterTargets;
  readonly #relay: Relay;
  /** Slots whose turn was over before their socket was full. */
  #ready: number[] = [];
  #next: NodeJS.Immediate | null = null;

  constructor(board: Scoreboard, native: Native, closer: Closer, targets: CompleterTargets) {
    this.#board = board;
    this.#native = native;
    this.#closer = closer;
    this.#targets = targets;
    this.#relay = new Relay(native);
  }

  /** The socket of a connection in write completion may take bytes, or is broken. */
  advance(slot: number): void {
    const board = this.#board;
    const word = board.word(slot);
    if (stateOf(word) !== ConnectionState.writeCompletion) return;
    const slotIndex = board.slotIndex(slot);
    const part = FilePart.from(board, slotIndex);
    if (part === null) throw new Error(`slot ${slot} has nothing to complete`);
    const { toEnd, socket } = RestFlag;
    const flags = board.slot(slot, SLOT.restFlags);
    if ((flagsOf(word) & FLAG_HANGUP) !== 0) this.#abort(slot, CloseReason.peer);
    else if ((flags & socket) !== 0) this.#relayOn(slot, slotIndex, part, (flags & toEnd) !== 0);
    else if (!this.#send(slot, slotIndex, part)) return;
    else if (part.length > 0) this.#readInWorker(slot);
    else this.#finish(slot);
  }

  /** True: all has left, or (with bytes left) a worker has to go on. */
  #send(slot: number, slotIndex: number, part: FilePart): boolean {
    const board = this.#board;
    const fd = board.slot(slot, SLOT.fd);
    for (let budget = TURN_BYTES; part.length > 0; ) {
      if (budget <= 0) {
        part.store(board, slotIndex);
        this.#again(slot);
        return false;
      }
      const wanted = Math.min(part.length, CALL_BYTES, budget);
      // A memory file is always there.
      if (part.spilledKb <= 0 && !this.#cached(slot, part, wanted)) {
        part.store(board, slotIndex);
        return true;
      }
      const sent = this.#native.sendfile(fd, part.fd, part.offset, wanted);
      if (sent === EAGAIN) {
        part.store(board, slotIndex);
        return false;
      }
      if (sent <= 0) {
        // The client is gone, or what was promised cannot be kept.
        if (sent === 0) process.stderr.write(FILE_SHRANK);
        part.store(board, slotIndex);
        this.#abort(slot, CloseReason.peer);
        return false;
      }
      part.offset += sent;
      part.length -= sent;
      budget -= sent;
      this.#count(slot, sent);
    }
    part.store(board, slotIndex);
    return true;
  }

  /** The same where the bytes come from another socket. */
  #relayOn(slot: number, slotIndex: number, part: FilePart, toEnd: boolean): void {
    const board = this.#board;
    const relay = this.#relay;
    const length = toEnd ? Number.POSITIVE_INFINITY : part.length;
    const fd = board.slot(slot, SLOT.fd);
    const outcome = relay.advance(slot, part.fd, fd, length, TURN_BYTES);
    if (relay.sent > 0) this.#count(slot, relay.sent);
    part.offset += relay.sent;
    if (!toEnd) part.length -= relay.sent;
    part.store(board, slotIndex);
    switch (outcome) {
      case Relayed.waits:
        return;
      case Relayed.turn:
        this.#again(slot);
        return;
      case Relayed.done:
        this.#finish(slot);
        return;
      case Relayed.ended:
        // An end that comes before the promised length must not look like one.
        if (toEnd) this.#finish(slot);
        else this.#abort(slot, CloseReason.peer);
        return;
      case Relayed.broken:
        if (toEnd) this.#native.resetOnClose(fd);
        this.#abort(slot, CloseReason.peer);
        return;
    }
  }

  /** Asked of the last byte, since what is read ahead comes in order; and once for the bytes before it. */
  #cached(slot: number, part: FilePart, bytes: number): boolean {
    const board = this.#board;
    const end = part.offset + bytes;
    if (end <= board.slotDouble(slot, SLOT.restProbed)) return true;
    const until = part.offset + Math.min(part.length, CALL_BYTES * PROBE_AHEAD);
    if (this.#native.cached(part.fd, until - 1) !== EAGAIN) {
      board.setSlotDouble(slot, SLOT.restProbed, until);
      return true;
    }
    return this.#native.cached(part.fd, end - 1) !== EAGAIN;
  }

  #count(slot: number, bytes: number): void {
    const board = this.#board;
    board.setSlot(slot, SLOT.sinceTicks, ticksOf(performance.now()));
    board.setSlotDouble(slot, SLOT.sentBytes, board.slotDouble(slot, SLOT.sentBytes) + bytes);
    board.addToChild(board.listenerCounters, CHILD.sentBytes, bytes);
  }

  /** Others first. */
  #again(slot: number): void {
    this.#ready.push(slot);
    this.#next ??= setImmediate(() => {
      const began = performance.now();
      this.#board.tick(began);
      const ready = this.#ready;
      this.#next = null;
      this.#ready = [];
      // A slot may have another connection by now; then it is another one's turn too early.
      for (const next of ready) this.advance(next);
      this.#targets.passed(began);
    });
  }

  #readInWorker(slot: number): void {
    while (!this.#move(slot, this.#board.word(slot), ConnectionEvent.goOn)) {}
    this.#targets.queued(slot);
  }

  /** The last byte has left: end-of-request. */
  #finish(slot: number): void {
    const board = this.#board;
    const bodyBytes = this.#bodyBytes(slot);
    const flags = board.slot(slot, SLOT.restFlags);
    this.#closer.releaseRest(slot);
    this.#relay.close(slot);
    if (board.slot(slot, SLOT.protocol) === HTTP_PROTOCOL) this.#countRequest(slot, bodyBytes);
    board.count(HEADER.completions);
    if ((flags & RestFlag.close) !== 0) {
      this.#closer.lingerAfterResponse(slot);
      return;
    }
    for (;;) {
      // The word that was looked at is the one that is moved: a leading worker may set a flag in between.
      const word = board.word(slot);
      const more = (flags & RestFlag.more) !== 0 || flagsOf(word) !== 0;
      const event = more ? ConnectionEvent.goOn : ConnectionEvent.flushed;
      if (!this.#move(slot, word, event)) continue;
      if (more) this.#targets.queued(slot);
      return;
    }
  }

  #countRequest(slot: number, bodyBytes: number): void {
    const board = this.#board;
    const took = this.#tookMs(slot);
    const status = board.slot(slot, SLOT.restStatus);
    countRequest(board, board.listenerCounters, status, took, board.slot(slot, SLOT.restSeries));
    board.requests?.end(slot, status, took);
    this.#targets.ended(slot, bodyBytes, took, Aborted.no);
  }

  #tookMs(slot: number): number {
    return monotonicOf(performance.now()) - this.#board.slotDouble(slot, SLOT.restStartedMs);
  }

  /** Of the body that have left. */
  #bodyBytes(slot: number): number {
    const board = this.#board;
    const toEnd = (board.slot(slot, SLOT.restFlags) & RestFlag.toEnd) !== 0;
    const payload = board.slotDouble(slot, SLOT.restPayload);
    // What came before the other socket, and what that one has sent.
    if (toEnd) return payload + board.slotDouble(slot, SLOT.restOffset);
    return Math.max(0, payload - board.slotDouble(slot, SLOT.restBytes));
  }

  /** False: an event came, and what it says goes into the next try. */
  #move(slot: number, word: number, event: ConnectionEvent): boolean {
    const board = this.#board;
    // What the flags said has to be known to whoever reads next.
    if ((flagsOf(word) & (FLAG_END | FLAG_HANGUP)) !== 0) board.setSlot(slot, SLOT.endOfStream, 1);
    const now = performance.now();
    board.tick(now);
    setQueued(board, slot, now);
    return board.move(slot, word, event) === Outcome.moved;
  }

  /** The connection is closed. */
  closed(slot: number): void {
    this.#relay.close(slot);
  }

  /** Half of `timeout` is over without an event: takes the sample that `progressed` goes by. */
  sample(slot: number): void {
    const board = this.#board;
    if (board.slot(slot, SLOT.unsentBytes) !== NOT_SAMPLED) return;
    board.setSlot(slot, SLOT.unsentBytes, this.#native.unsent(board.slot(slot, SLOT.fd)));
  }

  /**
   * Whether a client has read since the sample. The kernel says that there is room only when a third
   * of a large buffer is free, which may take a slow one longer than `timeout`.
   */
  progressed(slot: number): boolean {
    const board = this.#board;
    const unsent = this.#native.unsent(board.slot(slot, SLOT.fd));
    if (unsent < 0 || unsent >= board.slot(slot, SLOT.unsentBytes)) return false;
    board.setSlot(slot, SLOT.unsentBytes, NOT_SAMPLED);
    board.setSlot(slot, SLOT.sinceTicks, nowTicks());
    return true;
  }

  /** The client took nothing for too long. */
  expire(slot: number): void {
    if (!this.progressed(slot)) this.#abort(slot, CloseReason.writeTimeout);
  }

  /** The server ends at once: the response is cut off. */
  force(slot: number): void {
    this.#abort(slot, CloseReason.forced);
  }

  #abort(slot: number, reason: keyof typeof ABORTS): boolean {
    const board = this.#board;
    const { event, cause } = ABORTS[reason];
    for (;;) {
      const word = board.word(slot);
      if (stateOf(word) !== ConnectionState.writeCompletion) return false;
      const isHttp = board.slot(slot, SLOT.protocol) === HTTP_PROTOCOL;
      if (!this.#closer.close(slot, word, event, reason)) continue;
      if (!isHttp) return true;
      board.addToChild(board.listenerCounters, CHILD.aborted, 1);
      this.#targets.ended(slot, this.#bodyBytes(slot), this.#tookMs(slot), cause);
      return true;
    }
  }

  stop(): void {
    if (this.#next !== null) clearImmediate(this.#next);
    this.#relay.stop();
  }
}
