/**
 * The `Exchange` that handlers see: one request of a connection and the response to it.
 *
 * Role: what the request says, what the response's head says and how its body is framed, and how far
 * the response is.
 * Thread: one worker. Made once for each connection object and reused for every request on it.
 * May not: move the state word or close; it asks its `ResponseCourse`, which knows what comes next.
 */
import { Phase } from '../scoreboard/codes.ts';
import { SLOT } from '../scoreboard/layout.ts';
import { unspill } from '../scoreboard/rest.ts';
import type { WorkerContext } from './context.ts';
import type { AbortReason, Exchange, FieldTable, Forwarded } from './exchange.ts';
import { ExchangeAddresses } from './exchange-addresses.ts';
import { hasNoContent, headBytes, statusIn } from './http1/raw-head.ts';
import { ConnectionField, Framing } from './http1/response-head.ts';
import { trailerFields } from './http1/trailers.ts';
import { tooLate } from './lengthy/hand-over.ts';
import { answerBusy } from './lengthy/refusals.ts';
import type { Ownership } from './ownership.ts';
import type { RequestBody } from './request-body.ts';
import { BodyError, type RequestReader } from './request-reader.ts';
import { Response, type ResponseCourse } from './response-course.ts';
import type { ResponseWriter } from './response-writer.ts';

const REFUSAL_HEADERS = Object.freeze(['Content-Type', 'text/plain;charset=UTF-8']);
const countsAsGone = (): boolean => true;

const NO_FIELDS: readonly string[] = [];

export class HttpExchange implements Exchange {
  readonly #context: WorkerContext;
  readonly #hold: Ownership;
  readonly #reader: RequestReader;
  readonly #writer: ResponseWriter;
  readonly #body: RequestBody;
  readonly #course: ResponseCourse;
  readonly #addresses: ExchangeAddresses;
  #chunked = false;
  #bodyless = false;
  #endsByClosing = false;

  // What the connection goes by.
  response: Response = Response.none;
  status = 0;
  /** The connection ends with this response. */
  close = false;
  /** Only a head was put together; the first piece mostly follows at once and leaves with it. */
  headDue = false;

  serial = 0;
  method = '';
  target = '';
  head = '';
  minorVersion: 0 | 1 = 1;
  forwarded: Forwarded | null = null;
  keepAlive = true;
  /** The client announced that this is its last request. */
  clientCloses = false;
  passedOn = false;
  bodyLength = 0;
  contentLength = -1;
  route = '';
  onDrain: (() => void) | null = null;
  onAbort: ((reason: AbortReason) => void) | null = null;
  onPeerEnd: (() => boolean) | null = null;

  constructor(
    context: WorkerContext,
    hold: Ownership,
    reader: RequestReader,
    writer: ResponseWriter,
    body: RequestBody,
    course: ResponseCourse,
  ) {
    this.#context = context;
    this.#hold = hold;
    this.#reader = reader;
    this.#writer = writer;
    this.#body = body;
    this.#course = course;
    this.#addresses = new ExchangeAddresses(context, hold, writer, () => course.flush());
  }

  /** Takes up the request the reader holds and the parser has just parsed. */
  begin(): void {
    const { parser, options, phase } = this.#context;
    const reader = this.#reader;
    this.serial++;
    this.method = parser.method;
    this.head = reader.headText();
    this.target = this.head.slice(parser.targetStart, parser.targetEnd);
    this.minorVersion = parser.minorVersion;
    this.contentLength = parser.contentLength;
    this.bodyLength = reader.bodyLength;
    // Who has held a small body back was told to go on before.
    this.#body.begin(parser.expectContinue && reader.bodyLength < 0 && !reader.wasHeldBack);
    const served = this.#hold.field(SLOT.requests);
    this.keepAlive =
      parser.keepAlive &&
      options.keepAlive &&
      (options.maxKeepAliveRequests === 0 || served + 1 < options.maxKeepAliveRequests) &&
      phase === Phase.running;
    this.clientCloses = !parser.keepAlive;
    this.response = Response.none;
    this.status = 0;
    this.route = '';
    this.passedOn = false;
    this.close = false;
    this.#chunked = false;
    this.#bodyless = this.method === 'HEAD';
    this.onDrain = null;
    this.onAbort = null;
    this.onPeerEnd = null;
    const { proxies } = this.#context;
    if (proxies !== null) this.forwarded = proxies.look(this.#hold.index, this.head, parser);
  }

  // ---- the request --------------------------------------------------------------------------------

  get table(): FieldTable {
    return this.#context.parser;
  }

  get remoteAddress(): string {
    return this.#addresses.client;
  }

  get remotePort(): number {
    return this.#addresses.clientPort;
  }

  get peerAddress(): string {
    return this.#addresses.peer;
  }

  get trustedHeader(): 'x-forwarded' | 'forwarded' | null {
    const { proxies } = this.#context;
    return proxies?.trusts(this.peerAddress) === true ? proxies.header : null;
  }

  get localAddress(): string {
    return this.#addresses.local;
  }

  get localPort(): number {
    return this.#addresses.localPort;
  }

  takeBody(): Uint8Array {
    if (this.response === Response.ended) throw new TypeError('the request has ended');
    return this.#reader.bodyCopy();
  }

  readBody(): Promise<Uint8Array | null> {
    if (this.response === Response.ended) {
      return Promise.reject(new BodyError('request-ended', 400, 'the request has ended'));
    }
    return this.#body.read();
  }

  takeTrailers(): readonly string[] {
    const { trailers } = this.#reader;
    return trailers === '' || this.response === Response.ended
      ? NO_FIELDS
      : trailerFields(trailers);
  }

  // ---- the response -------------------------------------------------------------------------------

  respond(
    status: number,
    statusText: string,
    headers: readonly string[],
    body: Uint8Array | string | null,
  ): void {
    this.#expect(Response.none);
    const head = this.#begin(status, statusText, headers, Framing.length);
    // HEAD is told the length GET would have; the others have none to tell.
    if (this.#bodyless && hasNoContent(status)) this.#writer.head(head);
    else this.#writer.respond(head, body, this.#bodyless);
    this.#end();
  }

  start(
    status: number,
    statusText: string,
    headers: readonly string[],
    contentLength: number,
  ): void {
    this.#startHead(status, statusText, headers, contentLength);
    this.headDue = true;
    const { serial } = this;
    setImmediate(() => {
      if (this.headDue && this.serial === serial && this.#hold.slot >= 0) this.#course.push();
    });
  }

  /** @param contentLength -1: as the version of HTTP has it; Infinity: the connection's end is the body's */
  #startHead(
    status: number,
    statusText: string,
    headers: readonly string[],
    contentLength: number,
  ): void {
    this.#expect(Response.none);
    const counted = contentLength >= 0 && contentLength !== Number.POSITIVE_INFINITY;
    const toEnd = contentLength === Number.POSITIVE_INFINITY || this.minorVersion === 0;
    if (!counted && toEnd) this.keepAlive = false;
    const framing = counted ? Framing.length : toEnd ? Framing.none : Framing.chunked;
    const head = this.#begin(status, statusText, headers, framing);
    this.#chunked = framing === Framing.chunked && !this.#bodyless;
    this.#endsByClosing = framing === Framing.none;
    this.response = Response.streaming;
    if (counted && !hasNoContent(status)) {
      this.#writer.head(Buffer.concat([head, Buffer.from(`${contentLength}\r\n\r\n`, 'latin1')]));
    } else {
      this.#writer.head(head);
    }
  }

  write(chunk: Uint8Array): boolean {
    this.#expect(Response.streaming);
    if (this.#bodyless || chunk.length === 0) return !this.#writer.blocked;
    if (this.#chunked) this.#writer.chunk(chunk);
    else this.#writer.raw(chunk);
    return this.#course.push();
  }

  end(): void {
    this.#expect(Response.streaming);
    if (this.#chunked) this.#writer.lastChunk();
    this.#end();
  }

  writeInterim(head: Uint8Array): void {
    this.#expect(Response.none);
    if (this.minorVersion === 0) return;
    this.#writer.raw(head);
    this.#course.push();
  }

  writeRaw(chunk: Uint8Array): boolean {
    if (this.response === Response.none) {
      this.response = Response.raw;
      this.status = statusIn(chunk);
      if (this.#hold.slot >= 0 && this.#context.log !== null) {
        this.#writer.rawHead(chunk, headBytes(chunk));
        return this.#course.push();
      }
    }
    this.#expect(Response.raw);
    this.#writer.raw(chunk);
    return this.#course.push();
  }

  endRaw(keepAlive: boolean, framingBytes = 0): void {
    if (this.response === Response.none) this.response = Response.raw;
    this.#expect(Response.raw);
    this.#writer.framing = framingBytes;
    if (!keepAlive) this.close = true;
    this.#end();
  }

  endRawFile(
    head: Uint8Array,
    fd: number,
    offset: number,
    length: number,
    keepAlive: boolean,
  ): void {
    if (this.response === Response.none) {
      this.response = Response.raw;
      this.status = statusIn(head);
    }
    try {
      this.#expect(Response.raw);
    } catch (error) {
      this.#context.native.close(fd);
      throw error;
    }
    this.#writer.raw(head);
    this.#putFile(fd, offset, length);
    this.endRaw(keepAlive);
  }

  get headersSent(): boolean {
    return this.response !== Response.none;
  }

  get ended(): boolean {
    return this.response === Response.ended || this.#hold.slot < 0;
  }

  fail(error: unknown): void {
    if (this.ended) return;
    if (!(error instanceof BodyError)) {
      this.#context.logError(error, this.method, this.target);
    }
    if (this.response === Response.none) {
      this.respond(500, '', REFUSAL_HEADERS, 'Internal Server Error\n');
    } else {
      this.abort();
    }
  }

  deadline(milliseconds: number): void {
    if (!this.ended) this.#hold.setDeadline(performance.now(), milliseconds);
  }

  abort(): void {
    if (this.ended) return;
    this.#course.abort(null);
  }

  heedPeerEnd(): void {
    if (this.ended) return;
    this.onPeerEnd = countsAsGone;
    const hold = this.#hold;
    // Its event was told while nobody wanted to know.
    if (hold.peerEnded || hold.field(SLOT.endOfStream) === 1) this.#course.checkPeerEndLater();
  }

  get isLengthy(): boolean {
    return this.#context.isLengthy;
  }

  toLengthy(): boolean {
    const context = this.#context;
    if (context.isLengthy || !context.hasLengthy) return false;
    if (this.ended) throw tooLate('the request has ended');
    if (this.response !== Response.none) throw tooLate('the response has begun');
    if (!this.#reader.movable) throw tooLate('a part of the body was read, or it is chunked');
    if (context.lengthyIsFull) {
      answerBusy(this);
      return true;
    }
    // For the handler it is over, but for `onAbort`.
    this.response = Response.ended;
    this.#course.handOver();
    return true;
  }

  /** Answers in the handler's stead that the request cannot be read; the connection ends with it. */
  refuse(status: number, code: string, bodyless: boolean): void {
    this.keepAlive = false;
    this.clientCloses = false;
    this.minorVersion = 1;
    this.#bodyless = bodyless;
    this.close = true;
    this.response = Response.none;
    this.respond(status, '', REFUSAL_HEADERS, `${code}\n`);
  }

  /** No request has begun. */
  idle(): void {
    this.close = false;
    this.cut();
  }

  /** The body has begun, and nothing but the end of the connection tells where it ends. */
  get endsByClosing(): boolean {
    return this.response === Response.streaming && this.#endsByClosing;
  }

  /** Stands for a response that another worker began, and whose rest this one sends. */
  takeUp(close: boolean): void {
    this.serial++;
    this.close = close;
    this.clientCloses = false;
    this.cut();
  }

  /** Calls `onDrain`; what it throws is an error of the handler. */
  drained(): void {
    const { onDrain, serial, method, target } = this;
    try {
      onDrain?.();
    } catch (error) {
      // It may have ended its response first, and begun the next request by that.
      if (this.serial === serial && !this.ended) this.fail(error);
      else this.#context.logError(error, method, target);
    }
  }

  /** Nothing is said any more, and nobody is called back. */
  cut(): void {
    this.response = Response.ended;
    this.onDrain = null;
    this.onAbort = null;
    this.onPeerEnd = null;
  }

  #expect(response: Response): void {
    if (this.response === response && this.#hold.slot >= 0) return;
    throw new TypeError(
      this.ended ? 'the response has ended' : 'the response has been begun another way',
    );
  }

  respondFile(
    status: number,
    statusText: string,
    headers: readonly string[],
    fd: number,
    offset: number,
    length: number,
  ): void {
    try {
      this.#startHead(status, statusText, headers, length);
    } catch (error) {
      this.#context.native.close(fd);
      throw error;
    }
    this.#putFile(fd, offset, length);
    this.#end();
  }

  respondSocket(
    status: number,
    statusText: string,
    headers: readonly string[],
    fd: number,
    length: number,
    first: Uint8Array | null,
  ): void {
    const counted = length >= 0;
    // Chunks would have to be counted out in between, by which no byte could pass untouched.
    if (!counted) this.keepAlive = false;
    try {
      this.#startHead(status, statusText, headers, counted ? length : Number.POSITIVE_INFINITY);
    } catch (error) {
      this.#context.native.close(fd);
      throw error;
    }
    const bytes = first === null ? 0 : first.length;
    const left = counted ? Math.max(0, length - bytes) : Number.POSITIVE_INFINITY;
    if (first !== null && !this.#bodyless) {
      this.#writer.raw(counted ? first.subarray(0, length) : first);
    }
    if (this.#bodyless || left === 0) this.#context.native.close(fd);
    else this.#writer.socket(fd, left);
    this.#end();
  }

  writeFile(fd: number, offset: number, length: number, spilledKb = 0): boolean {
    try {
      this.#expect(Response.streaming);
    } catch (error) {
      this.#context.native.close(fd);
      unspill(this.#context.board, spilledKb);
      throw error;
    }
    this.#putFile(fd, offset, length, spilledKb);
    return this.#course.push();
  }

  #putFile(fd: number, offset: number, length: number, spilledKb = 0): void {
    if (this.#bodyless || length === 0) {
      this.#context.native.close(fd);
      unspill(this.#context.board, spilledKb);
    } else if (this.#chunked) {
      this.#writer.fileChunk(fd, offset, length, spilledKb);
    } else {
      this.#writer.file(fd, offset, length, spilledKb);
    }
  }

  /** Decides what the head says, and returns it. */
  #begin(status: number, statusText: string, headers: readonly string[], framing: Framing): Buffer {
    const { heads } = this.#context;
    // The turn that called the handler may be long past (RFC 9110, section 6.6.1).
    if (!this.#course.invoking) heads.tick(Date.now());
    const noContent = hasNoContent(status);
    if (noContent) this.#bodyless = true;
    // A body that nobody read would be taken for the next request.
    if (!this.keepAlive || !this.#reader.requestConsumed) this.close = true;
    this.status = status;
    const connection = this.close
      ? ConnectionField.close
      : this.minorVersion === 0
        ? ConnectionField.keepAlive
        : ConnectionField.none;
    return heads.bytes(status, statusText, headers, connection, noContent ? Framing.none : framing);
  }

  #end(): void {
    this.cut();
    // Whoever sends the end sends the head with it.
    this.headDue = false;
    this.#course.responseEnded();
  }
}
