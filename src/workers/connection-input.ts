/**
 * The bytes that a client has sent, while a worker owns their connection.
 *
 * Role: owns the connection buffer of one claim: takes it over from the slot and leaves it there,
 * receives into it, and keeps account of how long that took. What the bytes are is for whoever reads
 * them: `RequestReader`, whose positions are here since they go with the slot.
 * Thread: one worker. May not: write to the socket or move the state word.
 */
import { performance } from 'node:perf_hooks';
import { EAGAIN, Region } from '../listener/native.ts';
import { ticksOf } from '../scoreboard/clock.ts';
import { ReadPhase } from '../scoreboard/codes.ts';
import { CHILD, SLOT } from '../scoreboard/layout.ts';
import type { WorkerContext } from './context.ts';
import type { RawBuffer } from './raw-buffer.ts';

/** What `receive` found besides bytes. */
export const Received = { nothing: 0, endOfStream: -1, error: -2 } as const;

const NOTHING = Buffer.alloc(0);

/**
 * A request counts for no more bytes than this where time is measured by them (`requestReadTimeout`). A sum that
 * wrapped would take the time of an upload of 2 GiB away again; 500 bytes a second extend it by 49 days till here.
 */
const MAX_COUNTED_BYTES = 2 ** 31 - 1;

export class ConnectionInput {
  protected readonly context: WorkerContext;
  protected readonly bytes: RawBuffer;
  protected readonly bufferBytes: number;
  protected slotIndex = 0;
  #fd = -1;
  /** Number of the connection buffer, -1: none. */
  protected buffer = -1;
  /** Where the buffer begins in the buffer memory; all other positions are relative to it. */
  protected base = 0;
  protected start = 0;
  protected end = 0;
  protected phase: ReadPhase = ReadPhase.head;
  protected headEnd = 0;
  protected bodyEnd = 0;
  protected parsedEnd = 0;
  /** Where the request ends in the buffer, its body included. */
  protected requestEnd = 0;
  /** The last receive emptied the socket; only a new event brings more. */
  #dry = false;
  #endOfStream = false;
  /** How long the handler has waited for a streamed body, and since when it does, milliseconds. */
  #waitedMs = 0;
  #waitSinceMs = -1;

  constructor(context: WorkerContext) {
    this.context = context;
    this.bytes = context.board.buffers as RawBuffer;
    this.bufferBytes = context.board.bufferBytes;
  }

  /** Takes over what the slot holds; call as the owner. */
  load(slotIndex: number, fd: number): void {
    const { words } = this.context.board;
    this.slotIndex = slotIndex;
    this.#fd = fd;
    this.buffer = (words[slotIndex + (SLOT.buffer.offset >> 2)] as number) - 1;
    this.#endOfStream = words[slotIndex + (SLOT.endOfStream.offset >> 2)] === 1;
    this.#dry = false;
    this.#waitSinceMs = -1;
    this.phase = ReadPhase.head;
    this.start = 0;
    this.end = 0;
    this.parsedEnd = 0;
    if (this.buffer < 0) return;
    this.base = this.buffer * this.bufferBytes;
    this.start = words[slotIndex + (SLOT.dataStart.offset >> 2)] as number;
    this.end = words[slotIndex + (SLOT.dataEnd.offset >> 2)] as number;
    this.phase = words[slotIndex + (SLOT.readPhase.offset >> 2)] as ReadPhase;
    this.parsedEnd = words[slotIndex + (SLOT.parsedEnd.offset >> 2)] as number;
    if (this.phase === ReadPhase.head) return;
    this.headEnd = words[slotIndex + (SLOT.headEnd.offset >> 2)] as number;
    this.bodyEnd = words[slotIndex + (SLOT.bodyEnd.offset >> 2)] as number;
  }

  /**
   * Leaves what the next worker needs in the slot. Without a byte left over the buffer is given up.
   */
  store(): void {
    const { words } = this.context.board;
    const at = this.slotIndex;
    if (this.buffer >= 0 && this.start === this.end && this.phase === ReadPhase.head) {
      this.release();
    }
    words[at + (SLOT.buffer.offset >> 2)] = this.buffer + 1;
    if (this.buffer < 0) {
      words[at + (SLOT.readPhase.offset >> 2)] = ReadPhase.head;
      return;
    }
    words[at + (SLOT.dataStart.offset >> 2)] = this.start;
    words[at + (SLOT.dataEnd.offset >> 2)] = this.end;
    words[at + (SLOT.readPhase.offset >> 2)] = this.phase;
    // A request that is left whole to another worker writes nothing into the slot's second half.
    const parsedAt = at + (SLOT.parsedEnd.offset >> 2);
    if (words[parsedAt] !== this.parsedEnd) words[parsedAt] = this.parsedEnd;
    if (this.phase === ReadPhase.head) return;
    words[at + (SLOT.headEnd.offset >> 2)] = this.headEnd;
    words[at + (SLOT.bodyEnd.offset >> 2)] = this.bodyEnd;
  }

  /** Gives the buffer back. */
  release(): void {
    if (this.buffer < 0) return;
    this.context.board.words[this.slotIndex + (SLOT.buffer.offset >> 2)] = 0;
    this.context.buffers.give(this.buffer);
    this.buffer = -1;
  }

  /** Bytes of the next request are there already. */
  get hasLeftover(): boolean {
    return this.start < this.end;
  }

  /** An incomplete request, or part of one, is there. */
  get hasPart(): boolean {
    return this.start < this.end || this.phase !== ReadPhase.head;
  }

  /** Nothing can be gained from another receive before a new event. */
  get dry(): boolean {
    return this.#dry;
  }

  /**
   * After an event that came while the connection was owned.
   * @param atEnd the peer has shut its side, so read until its end was seen
   */
  wet(atEnd: boolean): void {
    this.#dry = false;
    if (atEnd) this.#endOfStream = true;
  }

  /**
   * The handler waits for a streamed body: writes down since when, without the time it took itself.
   * What is written goes by the client's speed alone (RequestReadTimeout).
   */
  beginWait(): void {
    const now = performance.now();
    if (this.#waitSinceMs < 0) this.#waitSinceMs = now;
    const { words } = this.context.board;
    const since = this.#waitSinceMs - this.#waitedMs;
    words[this.slotIndex + (SLOT.requestSinceTicks.offset >> 2)] = ticksOf(since);
  }

  /** Another body is streamed; nobody has waited for it. */
  protected resetWait(): void {
    this.#waitedMs = 0;
    this.#waitSinceMs = -1;
  }

  #endWait(): void {
    if (this.#waitSinceMs < 0) return;
    this.#waitedMs += performance.now() - this.#waitSinceMs;
    this.#waitSinceMs = -1;
  }

  /** Bytes received (> 0), or one of `Received`. */
  receive(): number {
    if (this.buffer < 0) {
      this.buffer = this.context.buffers.take();
      this.base = this.buffer * this.bufferBytes;
      this.start = 0;
      this.end = 0;
      // A dead worker's buffer is found through the slot it serves.
      this.context.board.words[this.slotIndex + (SLOT.buffer.offset >> 2)] = this.buffer + 1;
    }
    const room = this.bufferBytes - this.end;
    const count = this.context.native.recv(this.#fd, Region.buffers, this.base + this.end, room);
    if (count > 0) {
      this.#endWait();
      const { words } = this.context.board;
      const bytesAt = this.slotIndex + (SLOT.requestBytes.offset >> 2);
      if (this.start === this.end && this.phase === ReadPhase.head) {
        words[this.slotIndex + (SLOT.requestSinceTicks.offset >> 2)] = ticksOf(this.context.now);
        words[bytesAt] = count;
      } else {
        words[bytesAt] = Math.min((words[bytesAt] as number) + count, MAX_COUNTED_BYTES);
      }
      this.end += count;
      // Fewer than asked for: the socket is empty, unless its end has been seen coming.
      this.#dry = count < room && !this.#endOfStream;
      this.context.add(CHILD.receivedBytes, count);
      this.context.addToSlot(this.slotIndex, SLOT.receivedBytes, count);
      return count;
    }
    if (count === 0) return Received.endOfStream;
    if (count === EAGAIN) {
      this.#dry = true;
      return Received.nothing;
    }
    return Received.error;
  }

  /** All that has come and was not taken, where no request has begun; valid until the next receive. */
  get received(): Buffer {
    const base = this.base;
    return this.buffer < 0 ? NOTHING : this.bytes.subarray(base + this.start, base + this.end);
  }

  /** Takes these bytes of it for no request's. */
  skip(count: number): void {
    this.start += count;
    if (this.start >= this.end) this.empty();
  }

  /** Moves the request to the front of the buffer, so that the rest has room. */
  protected compact(): void {
    const shift = this.start;
    if (shift === 0) return;
    this.bytes.copyWithin(this.base, this.base + shift, this.base + this.end);
    this.start = 0;
    this.end -= shift;
    this.headEnd -= shift;
    this.bodyEnd -= shift;
    this.parsedEnd = Math.max(0, this.parsedEnd - shift);
  }

  protected empty(): void {
    this.start = 0;
    this.end = 0;
    this.requestEnd = 0;
    this.headEnd = 0;
    this.bodyEnd = 0;
  }

  protected copy(from: number, to: number): Uint8Array {
    return Uint8Array.prototype.slice.call(this.bytes, this.base + from, this.base + to);
  }
}
