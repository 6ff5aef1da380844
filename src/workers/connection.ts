/**
 * One connection while a worker owns it: requests in, responses out, and how it is let go.
 *
 * Role: the course of requests and responses on it, and the `Exchange` that handlers see; reading,
 * writing and the hold on the slot are parts of their own.
 * Thread: one worker. Objects are reused for one connection after another.
 * May not: close the descriptor; a connection that is over goes to the listener.
 */
import { EAGAIN, Region } from '../listener/native.ts';
import { CHILD, Phase, ResumeReason, SLOT } from '../scoreboard/layout.ts';
import { ConnectionEvent } from '../scoreboard/states.ts';
import { FLAG_HANGUP } from '../scoreboard/transition.ts';
import type { WorkerContext } from './context.ts';
import { countRequest } from './counters.ts';
import type { AbortReason, Exchange, FieldTable } from './exchange.ts';
import { ConnectionField, Framing } from './http1/response-head.ts';
import { Ownership } from './ownership.ts';
import { formatAddress } from './peer-address.ts';
import { BodyError, Read, Received, RequestReader } from './request-reader.ts';
import { ResponseWriter } from './response-writer.ts';

/** Pipelined requests served before others get their turn. */
const PIPELINE_BUDGET = 16;
/** A handler that takes this long sees what was corked sent before the next one runs. */
const CORK_MS = 0.2;
const DISCARD_BYTES = 1 << 20;
const DISCARD_TURNS = 16;

const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n', 'latin1');
const REFUSAL_HEADERS = Object.freeze(['Content-Type', 'text/plain;charset=UTF-8']);

/** What the connection needs from the loop that serves it. */
export interface ServingLoop {
  /** It has an unfinished handler, body or write in this child. */
  pin(connection: Connection): void;
  unpin(connection: Connection): void;
  /** The object may serve another connection. */
  recycle(connection: Connection): void;
  /** Calls `connection.onEvent` in the next turn. */
  soon(connection: Connection): void;
  requeue(slot: number): void;
}

/** How far the response is. */
const Response = { none: 0, streaming: 1, raw: 2, ended: 3 } as const;
type Response = (typeof Response)[keyof typeof Response];

interface PendingRead {
  resolve(piece: Uint8Array | null): void;
  reject(error: unknown): void;
}

export class Connection implements Exchange {
  readonly #context: WorkerContext;
  readonly #loop: ServingLoop;
  readonly #reader: RequestReader;
  readonly #writer: ResponseWriter;
  readonly #hold: Ownership;
  #pinned = false;
  /** The handler is being called, so the end of its response needs no call back. */
  #invoking = false;
  #response: Response = Response.none;
  #aborted = false;
  #close = false;
  #chunked = false;
  #bodyless = false;
  #status = 0;
  #budget = 0;
  #pendingRead: PendingRead | null = null;
  #continueDue = false;
  #headDue = false;
  /** Start times and statuses of requests answered but not yet sent. */
  #unsentSince: number[] = [];
  #unsentStatus: number[] = [];
  #startedMs = 0;
  /** `#afterResponse` has done its part for the present response. */
  #accounted = false;

  serial = 0;
  method = '';
  target = '';
  head = '';
  minorVersion: 0 | 1 = 1;
  keepAlive = true;
  bodyLength = 0;
  contentLength = -1;
  onDrain: (() => void) | null = null;
  onAbort: ((reason: AbortReason) => void) | null = null;

  constructor(context: WorkerContext, loop: ServingLoop) {
    this.#context = context;
    this.#loop = loop;
    this.#hold = new Ownership(context.board, context.native, context.child);
    this.#reader = new RequestReader(context);
    this.#writer = new ResponseWriter(context);
  }

  get slot(): number {
    return this.#hold.slot;
  }

  get table(): FieldTable {
    return this.#context.parser;
  }

  // ---- taking and serving -------------------------------------------------------------------------

  /** Serves a connection this worker has just claimed; `word` is what the claim made of its state. */
  open(slot: number, word: number): void {
    this.#hold.take(slot, word);
    this.#pinned = false;
    this.#aborted = false;
    this.#close = false;
    this.#response = Response.none;
    this.#budget = PIPELINE_BUDGET;
    this.#reader.load(this.#hold.index, this.#hold.fd);
    this.#writer.open(this.#hold.fd);
    this.#run();
  }

  /** One request after another, until there is nothing to do at once. */
  #run(): void {
    while (this.#readRequest()) {
      this.#invoke();
      if (this.#response !== Response.ended) {
        this.#pin();
        if (this.#writer.corked && !this.#headDue) this.#flush();
        if (this.#writer.blocked) this.#park(true);
        return;
      }
      if (!this.#afterResponse()) return;
    }
  }

  /** True: a request is ready to be handled. False: the connection was let go or waits. */
  #readRequest(): boolean {
    const reader = this.#reader;
    for (;;) {
      const read = reader.next();
      if (read === Read.ready) return true;
      if (read === Read.refused) {
        this.#refuse();
        return false;
      }
      if (!reader.dry) {
        const received = reader.receive();
        if (received > 0) continue;
        if (received !== Received.nothing) {
          if (this.#writer.corked) this.#flush();
          this.#closeNow();
          return false;
        }
      }
      if (this.#writer.corked && !this.#settle()) return false;
      if (this.#release()) return false;
    }
  }

  /** Calls the handler for the request the reader holds. */
  #invoke(): void {
    const context = this.#context;
    const { parser, options } = context;
    const reader = this.#reader;
    this.serial++;
    this.method = parser.method;
    this.head = reader.headText();
    this.target = this.head.slice(parser.targetStart, parser.targetEnd);
    this.minorVersion = parser.minorVersion;
    this.contentLength = parser.contentLength;
    this.bodyLength = reader.bodyLength;
    this.#continueDue = parser.expectContinue && reader.bodyLength < 0;
    const served = this.#hold.field(SLOT.requests);
    this.keepAlive =
      parser.keepAlive &&
      options.keepAlive &&
      (options.maxKeepAliveRequests === 0 || served + 1 < options.maxKeepAliveRequests) &&
      context.phase === Phase.running;
    this.#response = Response.none;
    this.#close = false;
    this.#chunked = false;
    this.#bodyless = this.method === 'HEAD';
    this.#status = 0;
    this.#accounted = false;
    this.onDrain = null;
    this.onAbort = null;
    this.#startedMs = context.now;
    context.setWord(CHILD.currentSlot, this.#hold.slot + 1);
    this.#invoking = true;
    try {
      context.handler.handle(this);
    } catch (error) {
      this.fail(error);
    }
    this.#invoking = false;
    context.setWord(CHILD.currentSlot, 0);
  }

  /** What follows an ended response. True: go on with the next request. */
  #afterResponse(): boolean {
    const reader = this.#reader;
    this.#accounted = true;
    if (this.#aborted) {
      this.#closeNow();
      return false;
    }
    this.#unsentSince.push(this.#startedMs);
    this.#unsentStatus.push(this.#status);
    this.#hold.setField(SLOT.requests, this.#hold.field(SLOT.requests) + 1);
    if (this.#close || !reader.requestConsumed) {
      this.#close = true;
      if (this.#settle()) this.#closeGently();
      return false;
    }
    reader.advance();
    if (reader.hasLeftover) {
      this.#context.add(CHILD.pipelined, 1);
      // Pipelined responses leave together, but not at the price of waiting for a slow handler.
      this.#context.now = performance.now();
      const corkedMs = this.#context.now - (this.#unsentSince[0] as number);
      if (corkedMs > CORK_MS && !this.#settle()) return false;
      if (--this.#budget > 0) return true;
      if (!this.#settle()) return false;
      return !this.#release(ConnectionEvent.requeue);
    }
    if (!this.#settle()) return false;
    // The socket was emptied by the last receive, so there is nothing to ask it again.
    if (reader.dry) return !this.#release();
    return true;
  }

  /** Sends and counts what was answered. False: the socket is full, the rest waits for it. */
  #settle(): boolean {
    this.#flush();
    if (this.#writer.blocked) {
      this.#pin();
      this.#park(true);
      return false;
    }
    this.#count();
    if (!this.#writer.broken) return true;
    this.#closeNow();
    return false;
  }

  #flush(): void {
    this.#headDue = false;
    this.#writer.flush();
  }

  /** The last byte has left: only now the requests are over (end-of-request). */
  #count(): void {
    const count = this.#unsentSince.length;
    if (count === 0) return;
    const now = performance.now();
    this.#context.now = now;
    for (let index = 0; index < count; index++) {
      const since = this.#unsentSince[index] as number;
      countRequest(this.#context, this.#unsentStatus[index] as number, now - since);
    }
    this.#unsentSince.length = 0;
    this.#unsentStatus.length = 0;
  }

  // ---- letting go ---------------------------------------------------------------------------------

  /**
   * Hands the connection back to wait for its next bytes. False: an event came, so read again.
   * @param event `requeue` to let others go first
   */
  #release(event?: typeof ConnectionEvent.requeue): boolean {
    const hold = this.#hold;
    const reader = this.#reader;
    const partial = reader.hasPart;
    if (reader.takeContinue()) {
      this.#writer.raw(CONTINUE);
      this.#flush();
    }
    reader.store();
    this.#unpin();
    const { slot } = hold;
    if (hold.release(event ?? this.#waitingEvent(partial), this.#context.now)) {
      this.#leave();
      if (event !== undefined) this.#loop.requeue(slot);
      return true;
    }
    this.#attend();
    reader.load(hold.index, hold.fd);
    this.#budget = PIPELINE_BUDGET;
    return false;
  }

  #waitingEvent(partial: boolean) {
    if (partial) return ConnectionEvent.needRead;
    return this.#hold.field(SLOT.requests) > 0
      ? ConnectionEvent.responseSent
      : ConnectionEvent.nothingRead;
  }

  #attend(): number {
    this.#reader.wet();
    return this.#hold.attend();
  }

  /** Shuts the write side; the listener waits for the client to finish reading and sending. */
  #closeGently(): void {
    const hold = this.#hold;
    if (!hold.takeBack()) return;
    this.#reader.release();
    this.#context.native.shutdownWrite(hold.fd);
    hold.setField(SLOT.drainedBytes, 0);
    for (;;) {
      if (!this.#peerIsSending()) {
        this.#closeNow();
        return;
      }
      this.#unpin();
      if (hold.release(ConnectionEvent.lastResponseSent, this.#context.now)) {
        this.#leave();
        return;
      }
      this.#attend();
    }
  }

  /** Takes what has come meanwhile out of the socket, whose event will not come again. */
  #peerIsSending(): boolean {
    if (this.#reader.dry) return true;
    for (let turn = 0; turn < DISCARD_TURNS; turn++) {
      const count = this.#context.native.discard(this.#hold.fd, DISCARD_BYTES);
      if (count < 0) return count === EAGAIN;
      if (count === 0) return false;
    }
    return false;
  }

  /** Nothing more to say to this peer. */
  #closeNow(): void {
    const hold = this.#hold;
    if (!hold.takeBack()) return;
    const { slot } = hold;
    this.#reader.release();
    this.#unpin();
    while (!hold.release(ConnectionEvent.close, this.#context.now)) this.#attend();
    this.#leave();
    this.#context.handBack(slot);
  }

  #leave(): void {
    this.#unsentSince.length = 0;
    this.#unsentStatus.length = 0;
    this.#pendingRead = null;
    this.onDrain = null;
    this.onAbort = null;
    this.#loop.recycle(this);
  }

  #pin(): void {
    if (this.#pinned) return;
    this.#pinned = true;
    this.#loop.pin(this);
  }

  #unpin(): void {
    if (!this.#pinned) return;
    this.#pinned = false;
    this.#loop.unpin(this);
  }

  // ---- waiting for the socket ---------------------------------------------------------------------

  /** Suspends: the listener wakes this child when the socket is ready. */
  #park(forWriting: boolean): void {
    const hold = this.#hold;
    if (forWriting) hold.armWritable();
    if (hold.suspended || hold.suspend()) return;
    const flags = this.#attend();
    if ((flags & FLAG_HANGUP) !== 0 && this.#context.native.pending(hold.fd) <= 0) {
      this.#abortFor('peer-gone');
      return;
    }
    this.#loop.soon(this);
  }

  /** Out of the inbox: the socket is ready, or was not for too long. */
  resume(word: number): void {
    this.#hold.resumed(word);
    this.#reader.wet();
    const timedOut = this.#hold.field(SLOT.resumeReason) === ResumeReason.timeout;
    if (!timedOut) this.onEvent();
    else if (this.#response === Response.ended) this.#closeNow();
    else this.#abortFor('timeout');
  }

  /** The socket may be readable or writable. */
  onEvent(): void {
    if (this.#hold.slot < 0) return;
    if (this.#aborted) {
      this.#closeNow();
      return;
    }
    if (this.#writer.broken && this.#response !== Response.ended) {
      this.#abortFor('peer-gone');
      return;
    }
    if (this.#writer.blocked) {
      if (!this.#writer.resume()) {
        this.#park(true);
        return;
      }
      if (this.#writer.broken) {
        this.#abortFor('peer-gone');
        return;
      }
      if (this.#response === Response.ended) {
        this.#goOn();
        return;
      }
      this.onDrain?.();
    } else if (this.#response === Response.ended) {
      this.#goOn();
      return;
    }
    if (this.#hold.slot >= 0 && this.#pendingRead !== null) this.#feed();
  }

  /** A hang-up was noticed while a handler is unfinished. */
  checkHangup(): void {
    if (this.#hold.slot < 0 || !this.#hold.hungUp) return;
    this.#attend();
    this.#abortFor('peer-gone');
  }

  /** The response ended while no handler was being called. */
  #goOn(): void {
    if (this.#writer.blocked) {
      this.#park(true);
      return;
    }
    if (!this.#hold.takeBack()) return;
    this.#context.now = performance.now();
    if (this.#accounted) {
      // It had ended before, and what was left of it has gone now.
      this.#count();
      if (this.#writer.broken) this.#closeNow();
      else if (this.#close) this.#closeGently();
      else this.#run();
      return;
    }
    this.#budget = PIPELINE_BUDGET;
    if (this.#afterResponse()) this.#run();
  }

  // ---- Exchange: the request ----------------------------------------------------------------------

  get remoteAddress(): string {
    const { board, native } = this.#context;
    const at = this.#hold.index * 4 + SLOT.peerFamily.offset;
    return formatAddress(board.bytes, at, native.familyIpv6);
  }

  get remotePort(): number {
    return this.#hold.field(SLOT.peerPort);
  }

  get localAddress(): string {
    const { native } = this.#context;
    return formatAddress(this.#localName(), 0, native.familyIpv6);
  }

  get localPort(): number {
    return this.#localName().readInt32LE(4);
  }

  #localName(): Buffer {
    const context = this.#context;
    context.takeOut(this.#writer);
    this.#flush();
    context.native.localName(this.#hold.fd, Region.out, 0);
    return Buffer.from(context.out.subarray(0, 24));
  }

  takeBody(): Uint8Array {
    if (this.#response === Response.ended) throw new TypeError('the request has ended');
    return this.#reader.bodyCopy();
  }

  readBody(): Promise<Uint8Array | null> {
    if (this.#pendingRead !== null) return Promise.reject(new TypeError('one read at a time'));
    if (this.#aborted || this.#response === Response.ended) {
      return Promise.reject(new BodyError('request-ended', 400, 'the request has ended'));
    }
    if (this.#continueDue) {
      this.#continueDue = false;
      if (this.#response === Response.none) {
        this.#writer.raw(CONTINUE);
        this.#flush();
      }
    }
    return new Promise((resolve, reject) => {
      this.#pendingRead = { resolve, reject };
      this.#feed();
    });
  }

  /** Satisfies a waiting read, or suspends until bytes come. */
  #feed(): void {
    const reader = this.#reader;
    try {
      for (;;) {
        const piece = reader.nextPiece();
        if (piece !== undefined) {
          const read = this.#pendingRead as PendingRead;
          this.#pendingRead = null;
          read.resolve(piece);
          return;
        }
        const received = reader.dry ? Received.nothing : reader.receive();
        if (received > 0) continue;
        if (received !== Received.nothing) {
          this.#abortFor('peer-gone');
          return;
        }
        this.#pin();
        this.#park(this.#writer.blocked);
        return;
      }
    } catch (error) {
      if (!(error instanceof BodyError)) throw error;
      const read = this.#pendingRead as PendingRead;
      this.#pendingRead = null;
      if (this.#response === Response.none) this.#refuseWith(error.status, error.code);
      read.reject(error);
    }
  }

  // ---- Exchange: the response ---------------------------------------------------------------------

  respond(
    status: number,
    statusText: string,
    headers: readonly string[],
    body: Uint8Array | string | null,
  ): void {
    this.#expect(Response.none);
    const head = this.#begin(status, statusText, headers, Framing.length);
    if (this.#bodyless && status !== 304 && status >= 200 && status !== 204) {
      this.#writer.respond(head, body, true);
    } else if (this.#bodyless) {
      this.#writer.head(head);
    } else {
      this.#writer.respond(head, body, false);
    }
    this.#ended();
  }

  start(
    status: number,
    statusText: string,
    headers: readonly string[],
    contentLength: number,
  ): void {
    this.#expect(Response.none);
    const counted = contentLength >= 0;
    if (!counted && this.minorVersion === 0) this.keepAlive = false;
    const framing = counted
      ? Framing.length
      : this.minorVersion === 1
        ? Framing.chunked
        : Framing.none;
    const head = this.#begin(status, statusText, headers, framing);
    this.#chunked = framing === Framing.chunked && !this.#bodyless;
    this.#response = Response.streaming;
    if (counted && !NO_LENGTH(status)) {
      this.#writer.head(Buffer.concat([head, Buffer.from(`${contentLength}\r\n\r\n`, 'latin1')]));
    } else {
      this.#writer.head(head);
    }
    // The first piece mostly follows at once; it leaves together with the head.
    this.#headDue = true;
    const { serial } = this;
    setImmediate(() => {
      if (this.#headDue && this.serial === serial && this.#hold.slot >= 0) this.#push();
    });
  }

  write(chunk: Uint8Array): boolean {
    this.#expect(Response.streaming);
    if (this.#bodyless || chunk.length === 0) return !this.#writer.blocked;
    if (this.#chunked) this.#writer.chunk(chunk);
    else this.#writer.raw(chunk);
    return this.#push();
  }

  end(): void {
    this.#expect(Response.streaming);
    if (this.#chunked) this.#writer.raw(LAST_CHUNK);
    this.#ended();
  }

  writeRaw(chunk: Uint8Array): boolean {
    if (this.#response === Response.none) {
      this.#response = Response.raw;
      this.#status = statusIn(chunk);
    }
    this.#expect(Response.raw);
    this.#writer.raw(chunk);
    return this.#push();
  }

  endRaw(keepAlive: boolean): void {
    if (this.#response === Response.none) this.#response = Response.raw;
    this.#expect(Response.raw);
    if (!keepAlive) this.#close = true;
    this.#ended();
  }

  get headersSent(): boolean {
    return this.#response !== Response.none;
  }

  get ended(): boolean {
    return this.#response === Response.ended || this.#hold.slot < 0;
  }

  fail(error: unknown): void {
    if (this.ended) return;
    if (!(error instanceof BodyError)) {
      this.#context.logError(error, this.method, this.target);
    }
    if (this.#response === Response.none) {
      this.respond(500, '', REFUSAL_HEADERS, 'Internal Server Error\n');
    } else {
      this.abort();
    }
  }

  abort(): void {
    if (this.ended) return;
    this.#abortFor(null);
  }

  #expect(response: Response): void {
    if (this.#response === response && this.#hold.slot >= 0) return;
    throw new TypeError(
      this.ended ? 'the response has ended' : 'the response has been begun another way',
    );
  }

  /** Decides what the head says, and returns it. */
  #begin(status: number, statusText: string, headers: readonly string[], framing: Framing): Buffer {
    if (NO_BODY(status)) this.#bodyless = true;
    // A body that nobody read would be taken for the next request.
    if (!this.keepAlive || !this.#reader.requestConsumed || this.#close) this.#close = true;
    this.#status = status;
    const connection = this.#close
      ? ConnectionField.close
      : this.minorVersion === 0
        ? ConnectionField.keepAlive
        : ConnectionField.none;
    return this.#context.heads.bytes(
      status,
      statusText,
      headers,
      connection,
      NO_LENGTH(status) ? Framing.none : framing,
    );
  }

  /** Sends what was put together for an unfinished response; false: wait for `onDrain`. */
  #push(): boolean {
    this.#flush();
    if (this.#writer.broken) {
      // Told later, so that no handler is called back from within its own write.
      this.#loop.soon(this);
      return false;
    }
    if (!this.#writer.blocked) return true;
    if (!this.#invoking) {
      this.#pin();
      this.#park(true);
    }
    return false;
  }

  #ended(): void {
    this.#response = Response.ended;
    this.onDrain = null;
    this.onAbort = null;
    if (this.#invoking) return;
    this.#flush();
    this.#goOn();
  }

  // ---- errors -------------------------------------------------------------------------------------

  /** The request could not be read: one clear answer, then the connection ends. */
  #refuse(): void {
    this.#refuseWith(this.#reader.refusalStatus, this.#reader.refusalCode);
  }

  #refuseWith(status: number, code: string): void {
    this.keepAlive = false;
    this.minorVersion = 1;
    this.#bodyless = false;
    this.#close = true;
    this.#response = Response.none;
    this.#startedMs = this.#context.now;
    this.#invoking = true;
    this.respond(status, '', REFUSAL_HEADERS, `${code}\n`);
    this.#invoking = false;
    if (this.#hold.suspended) {
      this.#goOn();
      return;
    }
    this.#afterResponse();
  }

  /** Ends the exchange from outside (a reason) or by the handler's own wish (null). */
  #abortFor(reason: AbortReason | null): void {
    const { onAbort } = this;
    const read = this.#pendingRead;
    const unfinished = this.#response !== Response.ended;
    this.#aborted = true;
    this.#response = Response.ended;
    this.onAbort = null;
    this.onDrain = null;
    this.#pendingRead = null;
    if (unfinished) this.#context.add(CHILD.aborted, 1);
    if (!this.#invoking) this.#closeNow();
    read?.reject(new BodyError(reason ?? 'aborted', 400, `the request ended: ${reason}`));
    if (reason !== null && unfinished) onAbort?.(reason);
  }
}

const LAST_CHUNK = Buffer.from('0\r\n\r\n', 'latin1');
/** RFC 9110, section 6.4.1: these never have content. */
const NO_BODY = (status: number): boolean => status === 204 || status === 304 || status < 200;
/** RFC 9110, section 8.6: these must not, or need not, say a Content-Length. */
const NO_LENGTH = NO_BODY;

/** Status code of a status line that somebody else wrote. */
function statusIn(bytes: Uint8Array): number {
  const digit = (at: number) => (bytes[at] ?? 48) - 48;
  return digit(9) * 100 + digit(10) * 10 + digit(11);
}
