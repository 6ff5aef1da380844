/**
 * The sending half of a connection: responses, put together.
 *
 * Role: writes heads, bodies and chunks into the worker's scratch memory, sends head and body in one call,
 * holds back while more follows at once (pipelined requests), and knows where the body of the present
 * response begins.
 * Thread: one worker. May not: move the state word or read.
 */
import { FilePart } from '../scoreboard/rest.ts';
import { type Corked, OUT_BYTES } from './context.ts';
import { Follows, SendQueue } from './send-queue.ts';

/** Room that must be left for a head with its length, or a chunk's size line. */
const HEAD_ROOM = 64;
/** Bodies up to this are copied behind their head; larger ones are sent from where they are. */
const COPY_BYTES = 16 * 1024;
/** Strings up to this are copied byte by byte if they are ASCII, cheaper than a call. */
const SHORT_STRING = 48;

const NEW_LINE = Buffer.from('\r\n', 'latin1');
const LAST_CHUNK = Buffer.from('0\r\n\r\n', 'latin1');

export class ResponseWriter extends SendQueue implements Corked {
  // For the access log; positions are bytes of this connection in this tenure.
  /** Where the body of the present response begins. */
  bodyStart = 0;
  /** Bytes of that body which only frame it. */
  framing = 0;
  /** Where what comes from another socket begins. */
  ofSocket = 0;

  override open(slotIndex: number, fd: number): void {
    super.open(slotIndex, fd);
    this.bodyStart = 0;
    this.framing = 0;
  }

  /** Behind all that was put together so far. */
  get position(): number {
    const { context } = this;
    return this.taken + (context.outOwner === this ? context.outLength : 0);
  }

  #beginBody(): void {
    this.bodyStart = this.position;
    this.framing = 0;
  }

  /** Bytes are put together but not sent yet. */
  get corked(): boolean {
    return this.context.outOwner === this && this.context.outLength > 0;
  }

  /** A head up to `Content-Length: `, and the body. */
  respond(head: Buffer, body: Uint8Array | string | null, bodyless: boolean): void {
    const { context } = this;
    context.takeOut(this);
    if (typeof body === 'string') {
      if (body.length <= SHORT_STRING && this.#shortString(head, body, bodyless)) return;
      body = Buffer.from(body, 'utf8');
    }
    const length = body === null ? 0 : body.length;
    this.#room(head.length + HEAD_ROOM);
    this.#putHead(head, length);
    if (bodyless || body === null || length === 0) return;
    if (length <= COPY_BYTES && length <= OUT_BYTES - context.outLength) {
      context.out.set(body, context.outLength);
      context.outLength += length;
    } else {
      this.#sendWith(body);
    }
  }

  /** Copies an ASCII string byte by byte; false where it is not one. */
  #shortString(head: Buffer, body: string, bodyless: boolean): boolean {
    const { context } = this;
    this.#room(head.length + HEAD_ROOM + SHORT_STRING);
    const begin = context.outLength;
    this.#putHead(head, body.length);
    const { out } = context;
    let at = context.outLength;
    for (let index = 0; index < body.length; index++) {
      const code = body.charCodeAt(index);
      if (code > 0x7f) {
        context.outLength = begin;
        return false;
      }
      out[at++] = code;
    }
    if (!bodyless) context.outLength = at;
    return true;
  }

  #putHead(head: Buffer, length: number): void {
    const { context } = this;
    const { out } = context;
    out.set(head, context.outLength);
    let at = context.outLength + head.length;
    at = putDecimal(out, at, length);
    out[at] = 13;
    out[at + 1] = 10;
    out[at + 2] = 13;
    out[at + 3] = 10;
    context.outLength = at + 4;
    this.#beginBody();
  }

  /** A head that is complete in itself. */
  head(bytes: Uint8Array): void {
    this.context.takeOut(this);
    this.#put(bytes);
    this.#beginBody();
  }

  /** One chunk of a chunked body (RFC 9112, section 7.1). */
  chunk(data: Uint8Array): void {
    const { context } = this;
    context.takeOut(this);
    this.#chunkSize(data.length);
    this.#put(data);
    this.#put(NEW_LINE);
  }

  /** Behind the last chunk: no trailers (RFC 9112, section 7.1.2). */
  lastChunk(): void {
    this.raw(LAST_CHUNK);
    this.framing += LAST_CHUNK.length;
  }

  /** Bytes as they are of a response whose first `headBytes` are its head. */
  rawHead(data: Uint8Array, headBytes: number): void {
    this.context.takeOut(this);
    const start = this.position;
    this.#put(data);
    this.bodyStart = start + headBytes;
    this.framing = 0;
  }

  /** The same with bytes of a file, see `file`. */
  fileChunk(fd: number, offset: number, length: number, spilledKb = 0): void {
    this.context.takeOut(this);
    this.#chunkSize(length);
    this.file(fd, offset, length, spilledKb);
    this.#put(NEW_LINE);
  }

  #chunkSize(length: number): void {
    const { context } = this;
    this.#room(HEAD_ROOM);
    const line = `${length.toString(16)}\r\n`;
    context.outLength += context.out.latin1Write(line, context.outLength);
    this.framing += line.length + NEW_LINE.length;
  }

  /** Bytes as they are. */
  raw(data: Uint8Array): void {
    this.context.takeOut(this);
    this.#put(data);
  }

  /**
   * Bytes of a file. The descriptor becomes the writer's; it must be one that `native.duplicate` made.
   * @param spilledKb see `FilePart`; with it what comes before `offset` may be written over
   */
  file(fd: number, offset: number, length: number, spilledKb = 0): void {
    this.context.takeOut(this);
    const part = new FilePart(fd, offset, length, spilledKb, false, spilledKb !== 0);
    if (!this.enterFile(part)) return;
    this.flush(Follows.file);
    this.sendFile(part);
  }

  /**
   * What another socket receives; the listener moves it. The descriptor becomes the writer's, as with
   * `file`.
   * @param length bytes; Infinity: until that socket ends
   */
  socket(fd: number, length: number): void {
    this.context.takeOut(this);
    this.flush();
    this.ofSocket = this.taken;
    this.sendSocket(new FilePart(fd, 0, length, 0, true));
  }

  #put(data: Uint8Array): void {
    const { context } = this;
    if (data.length <= COPY_BYTES) {
      this.#room(data.length);
      context.out.set(data, context.outLength);
      context.outLength += data.length;
    } else {
      this.#sendWith(data);
    }
  }

  /** Makes room in the scratch memory. */
  #room(bytes: number): void {
    if (this.context.outLength + bytes > OUT_BYTES) this.flush();
    if (bytes > OUT_BYTES) throw new RangeError(`a head of ${bytes} bytes is too large`);
  }

  /** Sends what was put together; the rest waits. */
  flush(follows: Follows = Follows.unknown): void {
    const { context } = this;
    const length = context.outLength;
    if (context.outOwner !== this || length === 0) return;
    context.outLength = 0;
    this.sendOut(length, follows);
  }

  /** Sends what was put together and then `data`, from where it is. */
  #sendWith(data: Uint8Array): void {
    const { context } = this;
    const length = context.outLength;
    context.outLength = 0;
    this.sendOutWith(length, data);
  }
}

function putDecimal(out: Buffer, at: number, number: number): number {
  if (number < 10) {
    out[at] = 48 + number;
    return at + 1;
  }
  let digits = 1;
  for (let rest = number; rest >= 10; rest = Math.floor(rest / 10)) digits++;
  let position = at + digits;
  for (let rest = number; position > at; rest = Math.floor(rest / 10)) {
    position--;
    out[position] = 48 + (rest % 10);
  }
  return at + digits;
}
