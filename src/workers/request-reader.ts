/**
 * The receiving half of a connection: from bytes to one complete request, or a body in pieces.
 *
 * Role: says what the bytes in the connection buffer are. Half a head, the part of a body that has come,
 * read-ahead and pipelined requests stay in the buffer and go with the slot to whichever worker serves
 * the connection next.
 * Thread: one worker. May not: write to the socket or move the state word.
 */
import { elapsedTicks, ticksOf } from '../scoreboard/clock.ts';
import { HELD_BACK_MS, ReadPhase } from '../scoreboard/codes.ts';
import { SLOT } from '../scoreboard/layout.ts';
import { firstLine } from '../scoreboard/request-line.ts';
import { ConnectionInput } from './connection-input.ts';
import type { WorkerContext } from './context.ts';
import { ChunkedDecoder } from './http1/chunked-decoder.ts';

export const Read = { ready: 0, incomplete: 1, refused: 2 } as const;
export type Read = (typeof Read)[keyof typeof Read];

const LINE_FEED = 10;
/** Of one chunk; of all trailers of a body. */
const MAX_EXTENSION_BYTES = 1024;
const MAX_TRAILER_BYTES = 4096;
/** The trailer section of a body that has none: the empty line. */
const NO_TRAILERS_BYTES = 2;
/** An incomplete head is parsed again for a new line end, or this many further bytes. */
const REPARSE_BYTES = 512;

/** A streamed body that cannot go on; `status` is the answer where none was begun. */
export class BodyError extends Error {
  readonly code: string;
  readonly status: number;
  constructor(code: string, status: number, message: string) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

export class RequestReader extends ConnectionInput {
  readonly #decoder: ChunkedDecoder;
  /** The head was read in this tenure. */
  #isNew = false;

  /** Of a complete request: length of its body; -1 where it has to be streamed. */
  bodyLength = 0;
  /** Of a chunked body that was read to its end: the lines of its trailer section, '' for none. */
  trailers = '';
  /** Of a refused one. */
  refusalStatus = 0;
  refusalCode = '';

  /** Of a streamed body: payload bytes still to come (Content-Length), or Infinity (chunked). */
  #streamLeft = 0;
  #streamChunked = false;
  #streamDone = true;
  /** A handler has asked for a piece of it. */
  #streamBegun = false;
  #streamed = 0;
  #continueDue = false;
  /** The streamed body is a small one that its client held back. */
  wasHeldBack = false;

  constructor(context: WorkerContext) {
    super(context);
    const { limitRequestFields, limitRequestFieldSize } = context.options;
    this.#decoder = new ChunkedDecoder(
      MAX_EXTENSION_BYTES,
      MAX_TRAILER_BYTES,
      limitRequestFields,
      limitRequestFieldSize,
    );
  }

  override load(slotIndex: number, fd: number): void {
    super.load(slotIndex, fd);
    this.trailers = '';
    this.#isNew = false;
    this.#streamDone = true;
    this.#continueDue = false;
    if (this.buffer < 0 || this.phase !== ReadPhase.chunkedBody) return;
    const { words } = this.context.board;
    this.#decoder.phase = words[slotIndex + (SLOT.chunkPhase.offset >> 2)] as number;
    this.#decoder.remaining = words[slotIndex + (SLOT.chunkRemaining.offset >> 2)] as number;
    this.#decoder.trailerBytes = words[slotIndex + (SLOT.chunkTrailerBytes.offset >> 2)] as number;
  }

  override store(): void {
    super.store();
    if (this.buffer < 0 || this.phase !== ReadPhase.chunkedBody) return;
    const { words } = this.context.board;
    const at = this.slotIndex;
    words[at + (SLOT.chunkPhase.offset >> 2)] = this.#decoder.phase;
    words[at + (SLOT.chunkRemaining.offset >> 2)] = this.#decoder.remaining;
    words[at + (SLOT.chunkTrailerBytes.offset >> 2)] = this.#decoder.trailerBytes;
  }

  /** Leaves where the head of the present request is, for whoever has to tell of it. */
  mark(): void {
    const { words } = this.context.board;
    // Of a body that is streamed the buffer gets the pieces.
    const end = this.bodyLength < 0 ? this.start : this.headEnd;
    words[this.slotIndex + (SLOT.dataStart.offset >> 2)] = this.start;
    words[this.slotIndex + (SLOT.dataEnd.offset >> 2)] = end;
  }

  /** The request was read to its end, and nothing behind it has come. */
  get exhausted(): boolean {
    return this.dry && this.#streamDone && this.end <= this.requestEnd;
  }

  /** All of the request, body included, has been taken from the socket. */
  get requestConsumed(): boolean {
    return this.#streamDone;
  }

  /** Another worker would read the same request from what `store` leaves. */
  get repeatable(): boolean {
    return this.phase !== ReadPhase.chunkedBody && this.bodyLength >= 0;
  }

  /**
   * Another worker would read the same request after `makeRepeatable` and `store`: its body is in the
   * buffer, or is one with a Content-Length that no handler has begun to read.
   */
  get movable(): boolean {
    return this.bodyLength >= 0 || (!this.#streamChunked && !this.#streamBegun);
  }

  /** Leaves a decoded body so that a decoder finds it complete. */
  makeRepeatable(): void {
    if (this.phase !== ReadPhase.chunkedBody) return;
    // What came behind it goes right behind its payload and its trailers.
    const { copyWithin } = Uint8Array.prototype;
    const to = this.bodyEnd + this.#decoder.trailerLength;
    const from = this.base + this.requestEnd;
    copyWithin.call(this.bytes, this.base + to, from, this.base + this.end);
    this.end -= this.requestEnd - to;
    this.requestEnd = to;
  }

  /** True once for a request whose client waits for 100 Continue before it sends the body. */
  takeContinue(): boolean {
    const due = this.#continueDue && this.phase !== ReadPhase.head;
    this.#continueDue = false;
    return due;
  }

  /** Whether a whole request is in the buffer. */
  next(): Read {
    switch (this.phase) {
      case ReadPhase.head:
        return this.start < this.end ? this.#parseHead() : Read.incomplete;
      case ReadPhase.body:
        return this.end < this.bodyEnd ? Read.incomplete : this.#completeBody();
      default:
        return this.#decodeBody();
    }
  }

  /**
   * Nothing of a small body has come for so long that its client may wait for the response's head.
   * @param now `performance.now()`
   */
  isHeldBack(now: number): boolean {
    if (this.phase === ReadPhase.head || this.#isNew || this.end > this.headEnd) return false;
    const { words } = this.context.board;
    const since = words[this.slotIndex + (SLOT.requestSinceTicks.offset >> 2)] as number;
    return elapsedTicks(since, ticksOf(now)) >= HELD_BACK_MS;
  }

  /** Has the handler called now, and the body streamed to it. */
  streamHeldBack(): void {
    const chunked = this.phase === ReadPhase.chunkedBody;
    this.#parseAgain();
    this.#beginStream(chunked ? Number.POSITIVE_INFINITY : this.bodyEnd - this.headEnd, chunked);
    this.wasHeldBack = true;
  }

  #parseHead(): Read {
    const parser = this.context.parser;
    if (this.parsedEnd > this.start && this.end - this.parsedEnd < REPARSE_BYTES) {
      const from = this.base + this.parsedEnd;
      const lineEnd = this.bytes.indexOf(LINE_FEED, from);
      if (lineEnd < 0 || lineEnd >= this.base + this.end) return this.#incompleteHead();
    }
    const head = parser.parse(this.bytes, this.base + this.start, this.base + this.end);
    if (head < 0) return this.refuse(-head, parser.error);
    if (head === 0) {
      this.parsedEnd = this.end;
      return this.#incompleteHead();
    }
    this.parsedEnd = 0;
    this.#isNew = true;
    this.headEnd = head - this.base;
    this.trailers = '';
    this.#streamDone = true;
    this.#continueDue = parser.expectContinue && this.headEnd === this.end;
    if (parser.chunked) {
      this.#decoder.reset();
      this.phase = ReadPhase.chunkedBody;
      this.bodyEnd = this.headEnd;
      return this.#decodeBody();
    }
    const length = parser.contentLength;
    if (length <= 0) {
      this.bodyLength = 0;
      this.requestEnd = this.headEnd;
      return Read.ready;
    }
    const limit = this.context.options.limitRequestBody;
    if (limit > 0 && length > limit) return this.refuse(413, 'body-too-large');
    const bodyEnd = this.headEnd + length;
    if (bodyEnd <= this.end) {
      this.bodyEnd = bodyEnd;
      return this.#bodyIsComplete(bodyEnd);
    }
    if (bodyEnd - this.start > this.bufferBytes) return this.#beginStream(length, false);
    this.bodyEnd = bodyEnd;
    this.phase = ReadPhase.body;
    this.compact();
    return Read.incomplete;
  }

  #incompleteHead(): Read {
    if (this.end < this.bufferBytes) return Read.incomplete;
    if (this.start === 0) return this.refuse(431, 'head-too-large');
    this.compact();
    return Read.incomplete;
  }

  /** Another worker may have parsed it, and the table of offsets is this worker's own. */
  #parseAgain(): void {
    const end = this.context.parser.parse(
      this.bytes,
      this.base + this.start,
      this.base + this.headEnd,
    );
    if (end !== this.base + this.headEnd) throw new Error('a parsed head has changed');
  }

  #completeBody(): Read {
    this.#parseAgain();
    return this.#bodyIsComplete(this.bodyEnd);
  }

  #bodyIsComplete(requestEnd: number): Read {
    this.bodyLength = this.bodyEnd - this.headEnd;
    this.requestEnd = requestEnd;
    this.#streamDone = true;
    return Read.ready;
  }

  #decodeBody(): Read {
    const decoder = this.#decoder;
    const base = this.base;
    const writeTo = base + this.bodyEnd;
    const from = writeTo + decoder.trailerLength;
    const result = decoder.decode(this.bytes, from, base + this.end, writeTo);
    if (result < 0) return this.refuse(-result, decoder.error);
    this.bodyEnd = decoder.written - base;
    const limit = this.context.options.limitRequestBody;
    if (limit > 0 && this.bodyEnd - this.headEnd > limit) return this.refuse(413, 'body-too-large');
    if (result === 1) {
      this.#parseAgain();
      this.#keepTrailers();
      return this.#bodyIsComplete(decoder.consumed - base);
    }
    // All that came is decoded; what follows goes right behind the payload, and the trailers.
    this.end = this.bodyEnd + decoder.trailerLength;
    if (this.start > 0) this.compact();
    // Counted here, so that what is stored of the decoder always fits its int32 fields.
    const fits = decoder.remaining < this.bufferBytes - this.end;
    if (fits) return Read.incomplete;
    this.#parseAgain();
    return this.#beginStream(Number.POSITIVE_INFINITY, true);
  }

  /** The decoder has found the end. */
  #keepTrailers(): void {
    const { written, trailerLength } = this.#decoder;
    if (trailerLength <= NO_TRAILERS_BYTES) return;
    this.trailers = this.bytes.latin1Slice(written, written + trailerLength);
  }

  refuse(status: number, code: string): Read {
    this.refusalStatus = status;
    this.refusalCode = code;
    return Read.refused;
  }

  /** Too large for the buffer: the handler gets it in pieces. */
  #beginStream(length: number, chunked: boolean): Read {
    this.phase = ReadPhase.head;
    this.bodyLength = -1;
    this.#streamLeft = length;
    this.#streamChunked = chunked;
    this.#streamDone = false;
    this.#streamBegun = false;
    this.wasHeldBack = false;
    this.#streamed = 0;
    this.resetWait();
    this.context.board.words[this.slotIndex + (SLOT.requestBytes.offset >> 2)] = 0;
    this.requestEnd = this.headEnd;
    return Read.ready;
  }

  /** Of a refused request: its first line as latin1, without its end and as far as it has come. */
  requestLine(): string {
    if (this.buffer < 0) return '';
    const end = Math.min(this.end, this.start + this.context.options.limitRequestLine + 1);
    return firstLine(this.bytes, this.base + this.start, this.base + end);
  }

  /** The head as latin1. */
  headText(): string {
    const { parser } = this.context;
    return this.bytes.latin1Slice(parser.headStart, this.base + this.headEnd);
  }

  /** A copy of a complete body. */
  bodyCopy(): Uint8Array {
    const from = this.base + this.headEnd;
    return Uint8Array.prototype.slice.call(this.bytes, from, from + this.bodyLength);
  }

  /** What has come behind a request without a body, as a copy; the buffer is given back. */
  takeRest(): Buffer {
    const rest = Buffer.from(this.copy(Math.min(this.requestEnd, this.end), this.end));
    this.release();
    return rest;
  }

  /** Behind the request that was answered; keeps read-ahead. */
  advance(): void {
    if (!this.#streamDone) throw new Error('the body was not read to its end');
    this.start = Math.max(this.start, this.requestEnd);
    this.phase = ReadPhase.head;
    this.parsedEnd = 0;
    this.requestEnd = 0;
    if (this.start >= this.end) {
      this.start = 0;
      this.end = 0;
      return;
    }
    const { words } = this.context.board;
    words[this.slotIndex + (SLOT.requestSinceTicks.offset >> 2)] = ticksOf(this.context.now);
    words[this.slotIndex + (SLOT.requestBytes.offset >> 2)] = this.end - this.start;
  }

  /**
   * The next piece of a streamed body from what is in the buffer: bytes, null at the end, undefined
   * where more has to be received first.
   * @throws BodyError
   */
  nextPiece(): Uint8Array | null | undefined {
    if (this.#streamDone) return null;
    this.#streamBegun = true;
    if (this.#streamChunked && this.bodyEnd > this.headEnd) {
      // What was decoded while the body still seemed to fit.
      const piece = this.copy(this.headEnd, this.bodyEnd);
      this.#emptyBut(this.bodyEnd);
      return this.#counted(piece);
    }
    if (this.#streamed === 0 && this.start < this.headEnd) this.start = this.headEnd;
    if (this.start + (this.#streamChunked ? this.#decoder.trailerLength : 0) >= this.end) {
      this.#emptyBut(this.start);
      return undefined;
    }
    return this.#streamChunked ? this.#chunkedPiece() : this.#lengthPiece();
  }

  #lengthPiece(): Uint8Array {
    const to = Math.min(this.end, this.start + this.#streamLeft);
    const piece = this.copy(this.start, to);
    this.#streamLeft -= piece.length;
    this.start = to;
    if (this.#streamLeft === 0) this.#endStream(to);
    else this.empty();
    return this.#counted(piece);
  }

  #chunkedPiece(): Uint8Array | null | undefined {
    const decoder = this.#decoder;
    const writeTo = this.base + this.start;
    const from = writeTo + decoder.trailerLength;
    const result = decoder.decode(this.bytes, from, this.base + this.end, writeTo);
    if (result < 0) throw new BodyError(decoder.error, -result, 'malformed chunked body');
    const written = decoder.written - this.base;
    const piece = this.copy(this.start, written);
    if (result === 1) {
      this.#keepTrailers();
      this.#endStream(decoder.consumed - this.base);
    } else this.#emptyBut(written);
    if (piece.length > 0) return this.#counted(piece);
    return result === 1 ? null : undefined;
  }

  #endStream(at: number): void {
    this.#streamDone = true;
    this.requestEnd = at;
    this.start = at;
  }

  /** What was decoded has been taken, but for the trailers that have come so far, which begin there. */
  #emptyBut(trailersAt: number): void {
    const length = this.#streamChunked ? this.#decoder.trailerLength : 0;
    this.empty();
    if (length === 0) return;
    const from = this.base + trailersAt;
    Uint8Array.prototype.copyWithin.call(this.bytes, this.base, from, from + length);
    this.end = length;
  }

  #counted(piece: Uint8Array): Uint8Array {
    this.#streamed += piece.length;
    const limit = this.context.options.limitRequestBody;
    if (limit > 0 && this.#streamed > limit) {
      throw new BodyError('body-too-large', 413, `body larger than ${limit} bytes`);
    }
    return piece;
  }
}
