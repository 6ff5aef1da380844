/**
 * The request as bytes for an upstream: the head, then the body, framed anew.
 *
 * Role: what is to be sent, in order, and where more of it comes from. A chunked body is never passed on
 * as it came: its chunks are the proxy's own.
 * Thread: a worker.
 */
import type { Exchange } from '../exchange.ts';
import { CHUNKED, NO_BODY } from './request-head.ts';
import type { UpstreamSocket } from './upstream-loop.ts';

const NEW_LINE = Buffer.from('\r\n', 'latin1');
const LAST_CHUNK = Buffer.from('0\r\n\r\n', 'latin1');
/** Bodies up to this leave in one piece with their head. */
const JOINED_BYTES = 64 * 1024;
/** RFC 9110, section 8.6: for these it is said that there is nothing. */
const EXPECTS_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);

export class Upload {
  readonly #exchange: Exchange;
  /** As the head says it: bytes, `CHUNKED` or `NO_BODY`. */
  readonly framing: number;
  readonly isStreamed: boolean;
  /** A body that is here as a whole. */
  readonly #whole: Uint8Array | null;
  /** The first piece of a streamed one, taken before a connection was. */
  #first: Uint8Array | null = null;
  /** Bytes of a streamed body that were read. */
  #read = 0;
  /** A streamed body has come to its end. */
  #done = true;
  #queue: Uint8Array[] = [];
  /** Bytes of the first that have left. */
  #offset = 0;
  /** Something was sent that cannot be had again. */
  consumed = false;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
    const { bodyLength, contentLength, method } = exchange;
    this.isStreamed = bodyLength < 0;
    this.#whole = bodyLength > 0 ? exchange.takeBody() : null;
    if (this.isStreamed) {
      this.framing = contentLength >= 0 ? contentLength : CHUNKED;
      this.#done = false;
    } else if (bodyLength > 0 || EXPECTS_BODY.has(method)) {
      this.framing = bodyLength;
    } else {
      this.framing = NO_BODY;
    }
  }

  /** The first piece of a streamed body, before there is a connection that would wait for it. */
  async readFirst(): Promise<void> {
    this.#first = await this.#exchange.readBody();
    this.#count(this.#first);
  }

  /** Begins (again) with a head. */
  begin(head: Buffer): void {
    this.#offset = 0;
    const body = this.#whole;
    if (body === null) this.#queue = [head];
    else if (body.length <= JOINED_BYTES) this.#queue = [Buffer.concat([head, body])];
    else this.#queue = [head, body];
    if (!this.isStreamed) return;
    if (this.#first !== null) this.#put(this.#first);
    else if (this.framing === CHUNKED) this.#queue.push(LAST_CHUNK);
  }

  #count(piece: Uint8Array | null): void {
    if (piece !== null) {
      this.#read += piece.length;
      return;
    }
    this.#done = true;
    if (this.framing < 0 || this.#read === this.framing) return;
    // The upstream would take what comes next for the rest of it.
    throw new TypeError('the body of a request that is passed on was read before');
  }

  #put(piece: Uint8Array): void {
    if (this.framing !== CHUNKED) {
      this.#queue.push(piece);
      return;
    }
    // One piece each: a size line alone would be a segment of its own.
    const size = Buffer.from(`${piece.length.toString(16)}\r\n`, 'latin1');
    this.#queue.push(Buffer.concat([size, piece, NEW_LINE]));
  }

  /** The next of a streamed body into the queue; false: that was all. */
  async readNext(): Promise<boolean> {
    const piece = await this.#exchange.readBody();
    this.#count(piece);
    if (piece !== null) {
      this.#put(piece);
      return true;
    }
    if (this.framing !== CHUNKED) return false;
    this.#queue.push(LAST_CHUNK);
    return true;
  }

  /** Something waits to be sent. */
  get hasBytes(): boolean {
    return this.#queue.length > 0;
  }

  /** All was read and sent. */
  get isComplete(): boolean {
    return this.#done && this.#queue.length === 0;
  }

  /**
   * Sends what the socket takes.
   * @returns 0, or a negative errno, also where the socket is full
   */
  send(socket: UpstreamSocket): number {
    while (this.#queue.length > 0) {
      const bytes = this.#queue[0] as Uint8Array;
      const sent = socket.send(bytes, this.#offset);
      if (sent < 0) return sent;
      this.consumed ||= this.isStreamed;
      this.#offset += sent;
      if (this.#offset < bytes.length) continue;
      this.#queue.shift();
      this.#offset = 0;
    }
    return 0;
  }
}
