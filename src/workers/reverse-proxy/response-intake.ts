/**
 * The bytes of an upstream's response, read as strictly as a request's.
 *
 * Role: finds the interim responses, the head and the body's end, takes chunks out of their framing, and
 * tells whoever passes the response on.
 * Thread: a worker. May not: touch a socket or the client's exchange.
 */
import {
  BodyEnd,
  MAX_RESPONSE_HEAD_BYTES,
  type ResponseHead,
  ResponseHeadError,
} from '../http1/response-parser.ts';
import { ChunkedBody } from './chunked-body.ts';
import type { PassedHead, ResponseHeadCache } from './head-caches.ts';

/** Bodies up to this that have come with their head are told of as a whole. */
const WHOLE_BYTES = 16 * 1024;
/** Informational responses before the final one. */
const MAX_INTERIM = 16;

/** Who passes the response on. `isClean`: nothing came behind it. */
export interface ResponseCourse {
  /** Any but 100, which this server says itself. */
  interim(passed: PassedHead): void;
  /** The response is here with all of its body; null: it has none. */
  whole(passed: PassedHead, body: Uint8Array | null, isClean: boolean): void;
  /** The head; the body follows. @param length of the body, -1: unknown */
  begins(passed: PassedHead, length: number): void;
  /** @param isShared the piece stands in the memory that was received into, which is used again */
  piece(bytes: Uint8Array, isShared: boolean): void;
  /** The last piece was told of. */
  complete(isClean: boolean): void;
  /** It has no meaning, or more than one. */
  invalid(reason: string): void;
}

export class ResponseIntake {
  readonly #heads: ResponseHeadCache;
  readonly #method: string;
  readonly #course: ResponseCourse;
  /** Part of a head. */
  #part: Buffer | null = null;
  #chunks: ChunkedBody | null = null;
  /** Bytes of a body of known length that are still to come. */
  #left = 0;
  #isStopped = false;
  /** The final one, once it is here. */
  head: ResponseHead | null = null;
  /** A byte has come on this connection. */
  hasBegun = false;
  /** Informational responses so far. */
  interims = 0;

  constructor(heads: ResponseHeadCache, method: string, course: ResponseCourse) {
    this.#heads = heads;
    this.#method = method;
    this.#course = course;
  }

  /** The response comes on another connection. */
  restart(): void {
    this.#part = null;
    this.hasBegun = false;
  }

  /** Nothing more is told, whatever was received. */
  stop(): void {
    this.#isStopped = true;
  }

  /** The first bytes of what was received into. */
  take(memory: Buffer, count: number): void {
    this.hasBegun = true;
    if (this.head !== null) {
      this.#body(memory, 0, count, true);
      return;
    }
    const part = this.#part;
    this.#part = null;
    try {
      if (part === null) this.#read(memory, count, true);
      else {
        const joined = Buffer.concat([part, memory.subarray(0, count)]);
        this.#read(joined, joined.length, false);
      }
    } catch (error) {
      if (!(error instanceof ResponseHeadError)) throw error;
      this.#course.invalid(`invalid response (${error.refusal})`);
    }
  }

  /** The upstream has ended its side: true where that is the end of the body. */
  endsHere(isProper: boolean): boolean {
    return isProper && this.head?.bodyEnd === BodyEnd.close;
  }

  /** @throws ResponseHeadError */
  #read(bytes: Buffer, end: number, isShared: boolean): void {
    for (let start = 0; ; ) {
      const passed = this.#heads.parse(bytes, start, end, this.#method);
      if (passed === null) {
        if (end - start >= MAX_RESPONSE_HEAD_BYTES) throw new ResponseHeadError('head-too-large');
        this.#part = start === end ? null : Buffer.from(bytes.subarray(start, end));
        return;
      }
      start += passed.head.bytes;
      if (passed.head.status >= 200) {
        this.#begin(passed, bytes, start, end, isShared);
        return;
      }
      this.#interim(passed);
      if (this.#isStopped) return;
    }
  }

  /** RFC 9110, section 15.2. */
  #interim(passed: PassedHead): void {
    const { status } = passed.head;
    // It was not asked to change the protocol.
    if (status === 101) this.#course.invalid('invalid response (unexpected 101)');
    else if (++this.interims > MAX_INTERIM) this.#course.invalid('too many interim responses');
    else if (status !== 100) this.#course.interim(passed);
  }

  #begin(passed: PassedHead, bytes: Buffer, from: number, to: number, isShared: boolean): void {
    const { head } = passed;
    this.head = head;
    if (head.bodyEnd === BodyEnd.none) {
      this.#course.whole(passed, null, to === from);
      return;
    }
    const length = head.bodyEnd === BodyEnd.length ? head.contentLength : -1;
    if (length >= 0 && length <= WHOLE_BYTES && to - from >= length) {
      this.#course.whole(passed, bytes.subarray(from, from + length), to - from === length);
      return;
    }
    this.#left = length;
    if (head.bodyEnd === BodyEnd.chunked) this.#chunks = new ChunkedBody();
    this.#course.begins(passed, length);
    if (to > from && !this.#isStopped) this.#body(bytes, from, to, isShared);
  }

  #body(bytes: Buffer, from: number, to: number, isShared: boolean): void {
    if (this.#chunks !== null) {
      this.#chunked(this.#chunks, bytes, from, to, isShared);
      return;
    }
    let until = to;
    let isLast = false;
    if (this.#left >= 0) {
      until = Math.min(to, from + this.#left);
      this.#left -= until - from;
      isLast = this.#left === 0;
    }
    this.#course.piece(bytes.subarray(from, until), isShared);
    if (isLast && !this.#isStopped) this.#course.complete(until === to);
  }

  #chunked(chunks: ChunkedBody, bytes: Buffer, from: number, to: number, isShared: boolean): void {
    if (!chunks.take(bytes, from, to)) {
      this.#course.invalid(`invalid response (${chunks.error})`);
      return;
    }
    const { payload, isComplete, hasMore } = chunks;
    this.#course.piece(payload, isShared && payload.buffer === bytes.buffer);
    if (isComplete && !this.#isStopped) this.#course.complete(!hasMore);
  }
}
