/**
 * One request on its way through the proxy, from its head to the last byte of the response.
 *
 * Role: takes a connection to an upstream, sends, parses what comes back, and decides what becomes of
 * failures: another upstream, another connection, or an answer that says what was wrong.
 * Thread: a worker, which nobody holds meanwhile: the client's connection is suspended, and everything
 * here happens in answer to an event.
 * May not: go on once its exchange has ended; whatever happens, its connection is given back or closed
 * once.
 */
import { EAGAIN } from '../../listener/native.ts';
import type { Exchange } from '../exchange.ts';
import { ChunkedDecoder } from '../http1/chunked-decoder.ts';
import {
  BodyEnd,
  MAX_RESPONSE_HEAD_BYTES,
  type ResponseHead,
  ResponseHeadError,
} from '../http1/response-parser.ts';
import {
  bad,
  connectFailure,
  FAILURE_HEADERS,
  failureText,
  late,
  type ProxyFailure,
} from './failure.ts';
import type { PassedHead } from './head-caches.ts';
import { Reply } from './reply.ts';
import { type RequestDraft, requestHead } from './request-head.ts';
import type { Spill } from './spill.ts';
import { Upload } from './upload.ts';
import type { SocketOwner, Timed, UpstreamSocket } from './upstream-loop.ts';
import type { Upstream, UpstreamGroup } from './upstreams.ts';

/** RFC 9110, section 9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'PUT',
  'DELETE',
]);
/** Small bodies are answered with their head, in one call. */
const WHOLE_BYTES = 16 * 1024;
/** What is received in one go; then others get their turn. */
const TURN_BYTES = 1 << 20;
/** Informational responses before the final one. */
const MAX_INTERIM = 16;

const Step = { waiting: 0, connecting: 1, exchanging: 2, over: 3 } as const;
type Step = (typeof Step)[keyof typeof Step];

export class ProxiedRequest implements SocketOwner, Timed {
  readonly #group: UpstreamGroup;
  readonly #exchange: Exchange;
  readonly #serial: number;
  readonly #method: string;
  readonly #target: string;
  readonly #draft: RequestDraft;
  readonly #makeSpill: () => Spill;
  readonly #upload: Upload;
  /** Those that no connection could be made to. */
  readonly #tried: Upstream[] = [];
  readonly #ended: (() => void) | null;
  #step: Step = Step.waiting;
  #upstream: Upstream | null = null;
  #socket: UpstreamSocket | null = null;
  /** The connection has served before, so its end may only mean that it was idle for too long. */
  #isReused = false;
  #wasRetried = false;
  /** A byte of a response has come on this connection. */
  #hasAnswered = false;
  /** Part of a head. */
  #part: Buffer | null = null;
  #interims = 0;
  #head: ResponseHead | null = null;
  #reply: Reply | null = null;
  #decoder: ChunkedDecoder | null = null;
  /** Bytes of a body of known length that are still to come. */
  #left = 0;
  /** A further piece of the upload is being waited for. */
  #reading = false;
  #again: NodeJS.Immediate | null = null;
  deadlineMs = Number.POSITIVE_INFINITY;

  /** @param ended called once, when the exchange has ended or was aborted */
  constructor(
    group: UpstreamGroup,
    exchange: Exchange,
    draft: RequestDraft,
    makeSpill: () => Spill,
    ended: (() => void) | null = null,
  ) {
    this.#group = group;
    this.#exchange = exchange;
    this.#serial = exchange.serial;
    this.#method = exchange.method;
    this.#target = exchange.target;
    this.#draft = draft;
    this.#makeSpill = makeSpill;
    this.#ended = ended;
    this.#upload = new Upload(exchange);
  }

  start(): void {
    const exchange = this.#exchange;
    const { onAbort } = exchange;
    exchange.onAbort = (reason) => {
      this.#abandon();
      onAbort?.(reason);
    };
    exchange.heedPeerEnd();
    this.#group.runtime.loop.watchDeadline(this);
    if (!this.#upload.isStreamed) {
      this.#take();
      return;
    }
    // A slow upload must not hold a connection before there is anything to send.
    this.#upload.readFirst().then(
      () => {
        if (this.#step !== Step.over) this.#take();
      },
      (error: unknown) => this.#uploadFailed(error),
    );
  }

  get #isGone(): boolean {
    return this.#exchange.serial !== this.#serial || this.#exchange.ended;
  }

  /** It may be sent again as if it had not been. */
  get #isRepeatable(): boolean {
    return !this.#upload.consumed && IDEMPOTENT.has(this.#method);
  }

  #within(milliseconds: number): void {
    this.deadlineMs =
      milliseconds === 0 ? Number.POSITIVE_INFINITY : performance.now() + milliseconds;
  }

  // ---- a connection -------------------------------------------------------------------------------

  #take(): void {
    const upstream = this.#group.choose(this.#tried);
    if (upstream === null) {
      this.#answer(bad('no upstream'));
      return;
    }
    this.#use(upstream, upstream.take(!this.#isRepeatable));
  }

  #use(upstream: Upstream, idle: UpstreamSocket | null): void {
    this.#upstream = upstream;
    upstream.begin();
    this.#hasAnswered = false;
    this.#part = null;
    this.#isReused = idle !== null;
    if (idle !== null) {
      this.#socket = idle;
      idle.owner = this;
      this.#sendRequest();
      return;
    }
    this.#step = Step.connecting;
    this.#within(this.#group.settings.connectTimeoutMs);
    upstream.resolve((address) => {
      if (this.#step === Step.connecting && this.#upstream === upstream) this.#connect(address);
    });
  }

  #connect(address: string): void {
    const upstream = this.#upstream as Upstream;
    if (address === '') {
      this.#notConnected(bad('name not found'));
      return;
    }
    const { loop } = this.#group.runtime;
    const socket = loop.connect(address, upstream.address.port, this);
    if (typeof socket === 'number') this.#notConnected(connectFailure(socket));
    else this.#socket = socket;
  }

  /** Nothing was sent, so whatever the method is, another upstream may be asked. */
  #notConnected(failure: ProxyFailure): void {
    const upstream = this.#upstream as Upstream;
    this.#drop();
    upstream.failed(failure.reason);
    this.#tried.push(upstream);
    const next = this.#group.choose(this.#tried);
    if (next === null) {
      this.#answer(failure, upstream);
      return;
    }
    next.retried();
    this.#use(next, next.take(!this.#isRepeatable));
  }

  /** The connection is of no more use. */
  #drop(): void {
    this.#socket?.close();
    this.#letGo();
  }

  #letGo(): void {
    this.#socket = null;
    this.#upstream?.end();
    this.#upstream = null;
  }

  // ---- events -------------------------------------------------------------------------------------

  onReady(readable: boolean, writable: boolean, hungUp: boolean): void {
    const socket = this.#socket;
    if (socket === null) return;
    if (this.#step === Step.connecting) {
      if (!writable && !hungUp) return;
      const error = this.#group.runtime.loop.native.socketError(socket.fd);
      if (error < 0) {
        this.#notConnected(connectFailure(error));
        return;
      }
      socket.connected = true;
      this.#sendRequest();
    } else if (writable && this.#upload.hasBytes) {
      this.#send();
    }
    if (readable && this.#socket === socket) this.#receive();
  }

  onDeadline(): void {
    const { connectTimeoutMs, responseTimeoutMs, idleTimeoutMs } = this.#group.settings;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    if (this.#isGone) this.#abandon();
    else if (this.#step === Step.connecting) {
      this.#notConnected(late(`connect timeout (${connectTimeoutMs} ms)`));
    } else if (this.#head !== null) this.#fail(late(`body timeout (${idleTimeoutMs} ms)`));
    else if (this.#upload.isComplete)
      this.#fail(late(`response timeout (${responseTimeoutMs} ms)`));
    else this.#fail(late(`upstream takes no more (${idleTimeoutMs} ms)`));
  }

  // ---- the request --------------------------------------------------------------------------------

  #sendRequest(): void {
    this.#step = Step.exchanging;
    const { settings } = this.#group;
    const { address } = this.#upstream as Upstream;
    this.#upload.begin(requestHead(this.#draft, settings, address, this.#upload.framing));
    this.#send();
  }

  #send(): void {
    const socket = this.#socket as UpstreamSocket;
    const result = this.#upload.send((bytes, offset) => socket.send(bytes, offset));
    const { responseTimeoutMs, idleTimeoutMs } = this.#group.settings;
    if (result === EAGAIN) {
      this.#within(idleTimeoutMs);
    } else if (result < 0) {
      // It may have answered before it closed (RFC 9112, section 9.6).
      this.#receive();
      if (this.#socket === socket && this.#head === null) this.#broken('connection reset');
    } else if (this.#upload.isComplete) {
      if (this.#head === null) this.#within(responseTimeoutMs);
    } else {
      this.#readMore();
    }
  }

  #readMore(): void {
    if (this.#reading) return;
    this.#reading = true;
    // The client's pace, which the connection watches itself.
    if (this.#head === null) this.deadlineMs = Number.POSITIVE_INFINITY;
    this.#upload.readNext().then(
      () => {
        this.#reading = false;
        if (this.#step === Step.exchanging && this.#socket !== null) this.#send();
      },
      (error: unknown) => {
        this.#reading = false;
        // Half a request: the upstream must not take it for a whole one.
        if (this.#reply === null) this.#uploadFailed(error);
      },
    );
  }

  #uploadFailed(error: unknown): void {
    if (this.#step === Step.over) return;
    // Where the client is at fault it was answered already.
    if (!this.#isGone) this.#exchange.fail(error);
    this.#abandon();
  }

  // ---- the response -------------------------------------------------------------------------------

  #receive(): void {
    const { loop } = this.#group.runtime;
    const socket = this.#socket as UpstreamSocket;
    for (let turn = 0; this.#socket === socket && !socket.dry; ) {
      if (this.#reply !== null && !this.#reply.takes) {
        // Until its client has taken something: that is not the upstream's fault.
        this.deadlineMs = Number.POSITIVE_INFINITY;
        return;
      }
      const count = socket.receive();
      if (count === EAGAIN) break;
      if (count <= 0) {
        this.#atEnd(count === 0);
        return;
      }
      this.#hasAnswered = true;
      this.#received(loop.memory, count);
      turn += count;
      if (turn >= TURN_BYTES && this.#socket === socket) {
        this.#again ??= setImmediate(() => {
          this.#again = null;
          if (this.#socket !== null) this.#receive();
        });
        break;
      }
    }
    if (this.#socket === socket && this.#head !== null) {
      this.#within(this.#group.settings.idleTimeoutMs);
    }
  }

  /** Bytes in the loop's memory. */
  #received(memory: Buffer, count: number): void {
    if (this.#head !== null) {
      this.#body(memory, 0, count);
      return;
    }
    let bytes = memory;
    let end = count;
    if (this.#part !== null) {
      bytes = Buffer.concat([this.#part, memory.subarray(0, count)]);
      end = bytes.length;
      this.#part = null;
    }
    try {
      this.#heads(bytes, end);
    } catch (error) {
      if (!(error instanceof ResponseHeadError)) throw error;
      this.#fail(bad(`invalid response (${error.refusal})`));
    }
  }

  /** @throws ResponseHeadError */
  #heads(bytes: Buffer, end: number): void {
    for (let start = 0; ; ) {
      const passed = this.#group.runtime.heads.parse(bytes, start, end, this.#method);
      if (passed === null) {
        if (end - start >= MAX_RESPONSE_HEAD_BYTES) throw new ResponseHeadError('head-too-large');
        this.#part = start === end ? null : Buffer.from(bytes.subarray(start, end));
        return;
      }
      start += passed.head.bytes;
      if (passed.head.status >= 200) {
        this.#begin(passed, bytes, start, end);
        return;
      }
      if (!this.#interim(passed)) return;
    }
  }

  /** RFC 9110, section 15.2. */
  #interim({ head, fields }: PassedHead): boolean {
    // It was not asked to change the protocol.
    if (head.status === 101) this.#fail(bad('invalid response (unexpected 101)'));
    else if (++this.#interims > MAX_INTERIM) this.#fail(bad('too many interim responses'));
    // 100 was said by this server, if at all.
    else if (head.status !== 100) {
      let text = `HTTP/1.1 ${head.status} ${head.reason}\r\n`;
      for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
      this.#exchange.writeInterim(Buffer.from(`${text}\r\n`, 'latin1'));
    }
    return this.#socket !== null;
  }

  #begin({ head, fields }: PassedHead, bytes: Buffer, from: number, to: number): void {
    if (this.#isGone) {
      this.#abandon();
      return;
    }
    this.#head = head;
    const exchange = this.#exchange;
    const { status, reason, contentLength } = head;
    if (head.bodyEnd === BodyEnd.none) {
      this.#release(to === from);
      if (this.#method === 'HEAD' && contentLength >= 0) {
        exchange.start(status, reason, fields, contentLength);
        exchange.end();
      } else exchange.respond(status, reason, fields, null);
      this.#over();
      return;
    }
    const length = head.bodyEnd === BodyEnd.length ? contentLength : -1;
    if (length >= 0 && length <= WHOLE_BYTES && to - from >= length) {
      const body = bytes.subarray(from, from + length);
      this.#release(to - from === length);
      exchange.respond(status, reason, fields, body);
      this.#over();
      return;
    }
    this.#left = length;
    if (head.bodyEnd === BodyEnd.chunked) this.#decoder = new ChunkedDecoder();
    this.#reply = new Reply(exchange, status, reason, fields, length, this.#makeSpill, () =>
      this.#resume(),
    );
    if (to > from) this.#body(bytes, from, to);
  }

  #resume(): void {
    if (this.#socket !== null) this.#receive();
  }

  #body(bytes: Buffer, from: number, to: number): void {
    const reply = this.#reply as Reply;
    const decoder = this.#decoder;
    let until = to;
    let isLast = false;
    let isClean = true;
    if (decoder !== null) {
      const result = decoder.decode(bytes, from, to, from);
      if (result < 0) {
        this.#fail(bad(`invalid response (${decoder.error})`));
        return;
      }
      until = decoder.written;
      isLast = result === 1;
      isClean = decoder.consumed === to;
    } else if (this.#left >= 0) {
      until = Math.min(to, from + this.#left);
      this.#left -= until - from;
      isLast = this.#left === 0;
      isClean = until === to;
    }
    const keeps = reply.put(bytes.subarray(from, until));
    const { loop } = this.#group.runtime;
    if (keeps && bytes.buffer === loop.memory.buffer) loop.giveMemoryAway();
    if (this.#socket === null) return;
    if (reply.isOver) this.#abandon();
    else if (isLast) this.#complete(isClean);
  }

  /** The upstream has ended its side, or the connection broke. */
  #atEnd(isProper: boolean): void {
    const head = this.#head;
    if (head === null) {
      if (this.#hasAnswered) this.#broken('connection closed within the head of the response');
      else this.#broken(isProper ? 'connection closed without a response' : 'connection reset');
    } else if (head.bodyEnd === BodyEnd.close && isProper) this.#complete(false);
    else this.#fail(bad('connection closed within the body of the response'));
  }

  /** The whole response has come. */
  #complete(isClean: boolean): void {
    const reply = this.#reply as Reply;
    this.#release(isClean);
    reply.end();
    this.#over(reply);
  }

  /** The connection has done its part; it may serve again if nothing is left of either message. */
  #release(isClean: boolean): void {
    const socket = this.#socket as UpstreamSocket;
    const upstream = this.#upstream as Upstream;
    const { keepAlive, keepAliveSeconds } = this.#head as ResponseHead;
    upstream.succeeded();
    this.#letGo();
    if (!isClean || !keepAlive || !this.#upload.isComplete) socket.close();
    else upstream.give(socket, keepAliveSeconds);
  }

  // ---- failures -----------------------------------------------------------------------------------

  /** The connection ended before the head of a response. */
  #broken(reason: string): void {
    const upstream = this.#upstream as Upstream;
    const isStale = this.#isReused && !this.#hasAnswered && !this.#wasRetried;
    if (isStale && this.#isRepeatable && this.#interims === 0) {
      // RFC 9112, section 9.3.1: once, and on a connection of its own.
      this.#wasRetried = true;
      this.#drop();
      upstream.retried();
      this.#use(upstream, null);
      return;
    }
    this.#fail(bad(reason));
  }

  /** This upstream's fault; what was begun cannot be taken back. */
  #fail(failure: ProxyFailure): void {
    const upstream = this.#upstream;
    this.#drop();
    upstream?.failed(failure.reason);
    this.#answer(failure, upstream);
  }

  #answer(failure: ProxyFailure, upstream: Upstream | null = null): void {
    const exchange = this.#exchange;
    const to = upstream === null ? '' : ` to ${upstream.address.name}`;
    const [path] = this.#target.split('?', 1);
    this.#group.runtime.log(
      `proxy: ${this.#method} ${path}${to}: ${failure.status} ${failure.reason}`,
    );
    if (!this.#isGone) {
      // Half a response must not look like a whole one.
      if (exchange.headersSent) exchange.abort();
      else exchange.respond(failure.status, '', FAILURE_HEADERS, failureText(failure));
    }
    this.#over();
  }

  /** The client has gone, or its request cannot be read to its end. */
  #abandon(): void {
    this.#drop();
    // What waits for the client after the upstream is done goes as well.
    this.#reply?.close();
    this.#over();
  }

  /** @param going the rest of a response that no longer needs this */
  #over(going: Reply | null = null): void {
    if (this.#step === Step.over) return;
    this.#step = Step.over;
    this.#group.runtime.loop.forgetDeadline(this);
    if (this.#again !== null) clearImmediate(this.#again);
    // Its client may still be taking what was spilled.
    if (going === null || going.isOver) {
      this.#reply?.close();
      this.#reply = null;
    }
    this.#ended?.();
  }
}
