/**
 * The receiving half of a session: bytes as they come, and what was not consumed of them.
 *
 * Role: owns the connection buffer while the worker owns the connection; what is left over stays in it
 * and goes with the slot to whichever worker calls the session next. Without a byte left over the buffer
 * is given up.
 * Thread: one worker. May not: write to the socket or move the state word.
 */
import { EAGAIN, Region } from '../../listener/native.ts';
import { ticksOf } from '../../scoreboard/clock.ts';
import { ReadPhase } from '../../scoreboard/codes.ts';
import { CHILD, SLOT } from '../../scoreboard/layout.ts';
import type { WorkerContext } from '../context.ts';
import type { Input } from '../tenure.ts';

/** What `receive` found besides bytes. */
export const Received = { nothing: 0, endOfStream: -1, error: -2 } as const;

const NOTHING = Buffer.alloc(0);

export class SessionInput implements Input {
  readonly #context: WorkerContext;
  readonly #bytes: Buffer;
  readonly #bufferBytes: number;
  #slotIndex = 0;
  #fd = -1;
  /** Number of the connection buffer, -1: none. */
  #buffer = -1;
  /** Where the buffer begins in the buffer memory; all other positions are relative to it. */
  #base = 0;
  #start = 0;
  #end = 0;
  /** Where the bytes ended that were offered in vain, 0: none were. */
  #offered = 0;
  /** A copy of what is there, and where it begins; the application may keep parts of it. */
  #copy: Buffer | null = null;
  #copyStart = 0;
  #dry = false;
  #endOfStream = false;

  constructor(context: WorkerContext) {
    this.#context = context;
    this.#bytes = context.board.buffers;
    this.#bufferBytes = context.board.bufferBytes;
  }

  load(slotIndex: number, fd: number): void {
    const { words } = this.#context.board;
    this.#slotIndex = slotIndex;
    this.#fd = fd;
    this.#buffer = (words[slotIndex + (SLOT.buffer.offset >> 2)] as number) - 1;
    this.#endOfStream = words[slotIndex + (SLOT.endOfStream.offset >> 2)] === 1;
    this.#dry = false;
    this.#copy = null;
    this.#start = 0;
    this.#end = 0;
    this.#offered = 0;
    if (this.#buffer < 0) return;
    this.#base = this.#buffer * this.#bufferBytes;
    this.#start = words[slotIndex + (SLOT.dataStart.offset >> 2)] as number;
    this.#end = words[slotIndex + (SLOT.dataEnd.offset >> 2)] as number;
    this.#offered = words[slotIndex + (SLOT.parsedEnd.offset >> 2)] as number;
  }

  store(): void {
    const { words } = this.#context.board;
    const at = this.#slotIndex;
    if (this.#start === this.#end) this.release();
    words[at + (SLOT.buffer.offset >> 2)] = this.#buffer + 1;
    words[at + (SLOT.readPhase.offset >> 2)] = ReadPhase.head;
    if (this.#buffer < 0) return;
    words[at + (SLOT.dataStart.offset >> 2)] = this.#start;
    words[at + (SLOT.dataEnd.offset >> 2)] = this.#end;
    words[at + (SLOT.parsedEnd.offset >> 2)] = this.#offered;
  }

  release(): void {
    this.#copy = null;
    if (this.#buffer < 0) return;
    this.#context.board.words[this.#slotIndex + (SLOT.buffer.offset >> 2)] = 0;
    this.#context.buffers.give(this.#buffer);
    this.#buffer = -1;
    this.#start = 0;
    this.#end = 0;
    this.#offered = 0;
  }

  get dry(): boolean {
    return this.#dry;
  }

  wet(atEnd: boolean): void {
    this.#dry = false;
    if (atEnd) this.#endOfStream = true;
  }

  get hasLeftover(): boolean {
    return this.#start < this.#end;
  }

  /** Bytes that wait to be consumed. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** There are bytes which, together, were not offered yet. */
  get isFresh(): boolean {
    return this.#start < this.#end && this.#offered !== this.#end;
  }

  /** Bytes received (> 0), or one of `Received`. */
  receive(): number {
    this.#makeRoom();
    const room = this.#bufferBytes - this.#end;
    const context = this.#context;
    const count = context.native.recv(this.#fd, Region.buffers, this.#base + this.#end, room);
    if (count > 0) {
      if (this.#start === this.#end) this.#begin();
      this.#end += count;
      this.#copy = null;
      // Fewer than asked for: the socket is empty, unless its end has been seen coming.
      this.#dry = count < room && !this.#endOfStream;
      context.add(CHILD.receivedBytes, count);
      context.addToSlot(this.#slotIndex, SLOT.receivedBytes, count);
      return count;
    }
    if (count === 0) return Received.endOfStream;
    if (count !== EAGAIN) return Received.error;
    this.#dry = true;
    return Received.nothing;
  }

  #makeRoom(): void {
    const { words } = this.#context.board;
    if (this.#buffer < 0) {
      this.#buffer = this.#context.buffers.take();
      this.#base = this.#buffer * this.#bufferBytes;
      // A dead worker's buffer is found through the slot it serves.
      words[this.#slotIndex + (SLOT.buffer.offset >> 2)] = this.#buffer + 1;
    } else if (this.#end === this.#bufferBytes) {
      this.#bytes.copyWithin(this.#base, this.#base + this.#start, this.#base + this.#end);
      this.#end -= this.#start;
      this.#offered = Math.max(0, this.#offered - this.#start);
      this.#start = 0;
      this.#copy = null;
    }
  }

  /** From now on what is there has to be completed. */
  #begin(): void {
    const { board, now } = this.#context;
    board.words[this.#slotIndex + (SLOT.requestSinceTicks.offset >> 2)] = ticksOf(now);
  }

  /** All that waits, as a copy. */
  get bytes(): Buffer {
    if (this.#copy === null) {
      this.#copy = Buffer.from(this.received);
      this.#copyStart = this.#start;
    }
    return this.#copy.subarray(this.#start - this.#copyStart);
  }

  /** The same where it stands; valid until the next receive. */
  get received(): Buffer {
    const base = this.#base;
    return this.#buffer < 0 ? NOTHING : this.#bytes.subarray(base + this.#start, base + this.#end);
  }

  /** What is there was offered, and nothing of it consumed. */
  keep(): void {
    this.#offered = this.#end;
  }

  /** Takes so many bytes off. */
  skip(count: number): void {
    this.#start += count;
    this.#offered = 0;
    if (this.#start < this.#end) {
      this.#begin();
      return;
    }
    this.#start = 0;
    this.#end = 0;
    this.#copy = null;
  }

  /** What was not consumed, as a copy; the buffer is given back. */
  takeRest(): Buffer {
    const rest = this.bytes;
    this.release();
    return rest;
  }
}
