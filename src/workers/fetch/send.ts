/**
 * Puts a response on an exchange.
 *
 * Role: from a light or native Response to `respond`, or to `start`, `write` and `end`.
 * Thread: a worker.
 * May not: use an exchange whose serial has moved on; every step after a wait checks first.
 */
import type { AbortReason, Exchange } from '../exchange.ts';
import { type FileAnswer, merged, readerOf } from '../files/file-answer.ts';
import { FileBody } from '../files/file-body.ts';
import { memoryFileOf } from '../files/memory-files.ts';
import { type FileOffload, isOffloadField } from '../files/offload.ts';
import { descriptors } from '../files/open-file.ts';
import { relaySocket } from '../files/send-socket.ts';
import { sendProxied } from '../reverse-proxy/proxy-answer.ts';
import { type ChunkSource, chunkBytes, knownBytes, stopIteration } from './body.ts';
import type { FlatHeaders } from './headers.ts';
import { abortRequest, type ExchangeRequest } from './request.ts';
import {
  bodyOfResponse,
  fileOfStream,
  isLightResponse,
  type LightBody,
  type LightResponse,
  listOfResponse,
  markUsed,
  NativeResponse,
} from './response.ts';

/** A blob up to this size is read whole and goes out in one piece. */
const MAX_WHOLE_BLOB = 256 * 1024;
/**
 * How many microtask turns a stream gets to show its first chunk and its end before the head goes
 * out without a length. A native Response made from a string needs 6 on Node 20.
 */
const PATIENCE = 12;

interface ChunkResult {
  readonly done?: boolean | undefined;
  readonly value?: unknown;
}

interface Chunks {
  next(): Promise<ChunkResult>;
  /** Stops the producer; never rejects. */
  cancel(reason: unknown): void;
}

const ignore = (): void => {};

/** Whether a value may be sent as a response. */
export function isResponse(value: unknown): value is LightResponse | globalThis.Response {
  if (typeof value !== 'object' || value === null) return false;
  if (isLightResponse(value) || value instanceof NativeResponse) return true;
  // A Response of another realm or of a package of its own (undici, a polyfill).
  const foreign = value as Partial<globalThis.Response> & { [Symbol.toStringTag]?: string };
  return foreign[Symbol.toStringTag] === 'Response' && typeof foreign.status === 'number';
}

/**
 * Sends a value that `isResponse` accepts. The exchange has to be current.
 * @param offload heeds X-Sendfile and its like; null: those are fields as any other
 * @throws FileError where a file cannot be sent after all, before anything was; whatever else goes
 *   wrong ends in `exchange.fail`
 */
export function sendResponse(
  exchange: Exchange,
  request: ExchangeRequest,
  response: LightResponse | globalThis.Response,
  offload: FileOffload | null = null,
): void {
  if (offload !== null && sendNamedFile(exchange, request, response, offload)) return;
  if (isLightResponse(response)) {
    const body = bodyOfResponse(response);
    if (body === null || typeof body === 'string' || body instanceof Uint8Array) {
      const { status } = response;
      if (status === 0) {
        exchange.fail(new TypeError('The handler returned Response.error()'));
        return;
      }
      const list = framed(listOfResponse(response));
      if (body === null && exchange.method === 'HEAD') {
        sendHead(exchange, status, response.statusText, list);
      } else if (body === null || typeof body === 'string') {
        exchange.respond(status, response.statusText, list, body);
      } else {
        sendBytes(exchange, status, response.statusText, list, body);
      }
      return;
    }
    sendStreamed(exchange, request, response, body, framed(listOfResponse(response)));
    return;
  }
  sendForeign(exchange, request, response);
}

/** Bytes as they are, or from a memory file where the application has said that they never change. */
function sendBytes(
  exchange: Exchange,
  status: number,
  statusText: string,
  list: FlatHeaders,
  bytes: Uint8Array,
): void {
  const part = exchange.method === 'HEAD' ? null : memoryFileOf(bytes);
  const fd = part === null ? -1 : descriptors().duplicate(part.fd);
  if (part === null || fd < 0) exchange.respond(status, statusText, list, bytes);
  else exchange.respondFile(status, statusText, list, fd, part.offset, bytes.byteLength);
}

/** Sends the file that a response names in place of its body; false where it names none. */
function sendNamedFile(
  exchange: Exchange,
  request: ExchangeRequest,
  response: LightResponse | globalThis.Response,
  offload: FileOffload,
): boolean {
  const given = listOf(response);
  const { method, target } = exchange;
  const asked = { method, field: (name: string) => request.headers.get(name) };
  const { status, statusText } = response;
  const answer = offload.answer(readerOf(given), status, asked, target, true);
  if (answer === null) return false;
  discardResponse(response);
  const kept: string[] = [];
  for (let i = 0; i < given.length; i += 2) {
    if (!isOffloadField(given[i])) kept.push(given[i], given[i + 1]);
  }
  sendAnswer(exchange, request, answer, answer.status === status ? statusText : '', kept);
  return true;
}

function sendAnswer(
  exchange: Exchange,
  request: ExchangeRequest,
  answer: FileAnswer,
  statusText: string,
  given: FlatHeaders,
): void {
  const { status, body } = answer;
  const list = framed(merged(given, answer));
  if (body instanceof FileBody) sendFileBody(exchange, request, status, statusText, list, body);
  else exchange.respond(status, statusText, list, body);
}

function sendFileBody(
  exchange: Exchange,
  request: ExchangeRequest,
  status: number,
  statusText: string,
  list: FlatHeaders,
  body: FileBody,
): void {
  const { serial } = exchange;
  body.send(exchange, status, statusText, list);
  if (isGone(exchange, serial)) return;
  // Several ranges are still being sent; the request's signal is to hear of an abort as well.
  const { onAbort } = exchange;
  exchange.onAbort = (reason) => {
    abortRequest(request, reason);
    onAbort?.(reason);
  };
}

/** All fields of a response, names in lower case; not to be changed. */
function listOf(response: LightResponse | globalThis.Response): FlatHeaders {
  if (isLightResponse(response)) return listOfResponse(response);
  const list: string[] = [];
  for (const [name, value] of response.headers) list.push(name, value);
  return list;
}

/**
 * To HEAD, without a body: a declared length is the one GET would have (RFC 9110, section 9.3.2), and
 * must not become 0.
 */
function sendHead(exchange: Exchange, status: number, statusText: string, list: FlatHeaders): void {
  const length = declaredLength(list);
  if (length < 0) {
    exchange.respond(status, statusText, list, null);
    return;
  }
  exchange.start(status, statusText, list, length);
  exchange.end();
}

/** A Response that is not ours: its fields through its public face. */
function sendForeign(
  exchange: Exchange,
  request: ExchangeRequest,
  response: globalThis.Response,
): void {
  if (sendProxied(exchange, response)) return;
  const { status, statusText, body } = response;
  if (status < 200 || status > 599) {
    exchange.fail(new TypeError(`The handler returned a response of status ${status}`));
    return;
  }
  const list = listOf(response);
  if (body === null || body === undefined) {
    if (exchange.method === 'HEAD') sendHead(exchange, status, statusText, framed(list));
    else exchange.respond(status, statusText, framed(list), null);
    return;
  }
  sendStreamed(exchange, request, response, body as LightBody & object, framed(list));
}

function sendStreamed(
  exchange: Exchange,
  request: ExchangeRequest,
  response: LightResponse | globalThis.Response,
  body: LightBody & object,
  list: FlatHeaders,
): void {
  if (sendProxied(exchange, response)) return;
  if (response.bodyUsed || (body instanceof ReadableStream && body.locked)) {
    exchange.fail(new TypeError('The body of the returned Response was read or is being read'));
    return;
  }
  if (isLightResponse(response)) markUsed(response);
  const { status, statusText } = response;
  const file = fileOf(body);
  if (file !== null) {
    sendFileBody(exchange, request, status, statusText, list, file);
    return;
  }
  if (relaySocket(exchange, body, status, statusText, list)) return;
  if (body instanceof Blob) {
    if (body.size <= MAX_WHOLE_BLOB && exchange.method !== 'HEAD') {
      sendBlob(exchange, request, status, statusText, list, body);
      return;
    }
    const source = body.stream() as ReadableStream<Uint8Array>;
    new Pump(exchange, request, chunksOf(source), body.size).run(status, statusText, list);
    return;
  }
  const source = body as ChunkSource;
  if (source instanceof ReadableStream) {
    const known = knownBytes(source);
    if (known !== null) {
      void source.cancel().catch(ignore);
      exchange.respond(status, statusText, list, known);
      return;
    }
  }
  const length = declaredLength(list);
  new Pump(exchange, request, chunksOf(source), length).run(status, statusText, list);
}

function fileOf(body: LightBody & object): FileBody | null {
  if (body instanceof FileBody) return body;
  if (!(body instanceof ReadableStream)) return null;
  const file = fileOfStream(body);
  // Whoever still holds the stream finds it spent.
  if (file !== null) void body.getReader();
  return file;
}

function sendBlob(
  exchange: Exchange,
  request: ExchangeRequest,
  status: number,
  statusText: string,
  list: FlatHeaders,
  blob: Blob,
): void {
  const { serial } = exchange;
  exchange.onAbort = (reason) => abortRequest(request, reason);
  blob.arrayBuffer().then(
    (buffer) => {
      if (isGone(exchange, serial)) return;
      exchange.onAbort = null;
      exchange.respond(status, statusText, list, new Uint8Array(buffer));
    },
    (error) => {
      if (!isGone(exchange, serial)) exchange.fail(error);
    },
  );
}

/** Frees what a response holds that nobody will get any more. */
export function discardResponse(value: unknown): void {
  if (!isResponse(value)) return;
  const body = isLightResponse(value) ? bodyOfResponse(value) : value.body;
  if (typeof body !== 'object' || body === null) return;
  if (body instanceof ReadableStream) {
    if (body.locked) return;
    void body.cancel(new DOMException('The client has gone', 'AbortError')).catch(ignore);
  } else if (!value.bodyUsed) {
    if (body instanceof FileBody) body.release();
    else if (!(body instanceof Uint8Array || body instanceof Blob)) stopIteration(body, null);
  }
}

export function isGone(exchange: Exchange, serial: number): boolean {
  return exchange.serial !== serial || exchange.ended;
}

/**
 * The list without the fields that describe this hop, which belong to the connection (RFC 9110,
 * section 7.6.1); the same list where it has none.
 */
function framed(list: FlatHeaders): FlatHeaders {
  for (let i = 0; i < list.length; i += 2) {
    if (!isOfConnection(list[i])) continue;
    const kept: string[] = [];
    for (let j = 0; j < list.length; j += 2) {
      if (!isOfConnection(list[j])) kept.push(list[j], list[j + 1]);
    }
    return kept;
  }
  return list;
}

function isOfConnection(name: string): boolean {
  switch (name.length) {
    case 10:
      return name === 'connection' || name === 'keep-alive';
    case 16:
      return name === 'proxy-connection';
    case 17:
      return name === 'transfer-encoding';
    default:
      return false;
  }
}

/** The Content-Length among the headers in bytes, -1 where there is none that can be used. */
function declaredLength(list: FlatHeaders): number {
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] !== 'content-length') continue;
    const length = /^[0-9]{1,15}$/.test(list[i + 1]) ? Number(list[i + 1]) : -1;
    return length;
  }
  return -1;
}

function chunksOf(source: ChunkSource): Chunks {
  if (source instanceof ReadableStream) {
    const reader = source.getReader();
    return {
      next: () => reader.read(),
      cancel: (reason) => void reader.cancel(reason).catch(ignore),
    };
  }
  const iterator = source[Symbol.asyncIterator]();
  return {
    next: async () => iterator.next(),
    cancel: () => stopIteration(source, iterator),
  };
}

/** What became of a piece of a body. */
type Step = 'ended' | 'taken' | 'full';

/**
 * Moves one body from its producer to the exchange, no faster than the peer takes it. No piece is
 * named across a wait: it would stay in memory for as long as the client is slow.
 */
class Pump {
  readonly #exchange: Exchange;
  readonly #serial: number;
  readonly #chunks: Chunks;
  #stopped = false;
  #sentBytes = 0;
  /** Content-Length, -1 where unknown. */
  readonly #declared: number;
  /** A piece that was asked for already. */
  #peeked: Promise<ChunkResult> | null = null;
  #wake: (() => void) | null = null;

  constructor(exchange: Exchange, request: ExchangeRequest, chunks: Chunks, declared: number) {
    this.#declared = declared;
    this.#exchange = exchange;
    this.#serial = exchange.serial;
    this.#chunks = chunks;
    exchange.onAbort = (reason) => {
      abortRequest(request, reason);
      this.#stop(reason);
    };
  }

  #stop(reason: AbortReason): void {
    this.#stopped = true;
    this.#chunks.cancel(new DOMException(`The response was aborted: ${reason}`, 'AbortError'));
    this.#wake?.();
  }

  #isGone(): boolean {
    return this.#stopped || isGone(this.#exchange, this.#serial);
  }

  run(status: number, statusText: string, list: FlatHeaders): void {
    const exchange = this.#exchange;
    if (exchange.method === 'HEAD') {
      exchange.start(status, statusText, list, this.#declared);
      exchange.end();
      this.#chunks.cancel(new DOMException('HEAD needs no body', 'AbortError'));
      return;
    }
    this.#send(status, statusText, list).catch((error) => {
      if (this.#isGone()) return;
      this.#chunks.cancel(error);
      exchange.fail(error);
    });
  }

  async #send(status: number, statusText: string, list: FlatHeaders): Promise<void> {
    const exchange = this.#exchange;
    const declared = this.#declared;
    // A body that is there already leaves in one piece, with its length; one that is not does not
    // hold the head back (an event stream may be silent for minutes).
    const first = new Peek(this.#chunks.next());
    await first.wait();
    if (first.settled && !first.done) {
      const chunk = chunkBytes(await first.value());
      const next = new Peek(this.#chunks.next());
      await next.wait();
      if (this.#isGone()) return;
      if (next.done && (declared < 0 || declared === chunk.byteLength)) {
        exchange.respond(status, statusText, list, chunk);
        return;
      }
      exchange.start(status, statusText, list, declared);
      this.#peeked = next.result();
      return this.#rest(this.#put(chunk));
    }
    if (first.failed) await first.value();
    if (this.#isGone()) return;
    if (first.done && declared <= 0) {
      exchange.respond(status, statusText, list, '');
      return;
    }
    exchange.start(status, statusText, list, declared);
    this.#peeked = first.result();
    return this.#rest('taken');
  }

  async #rest(begun: Step): Promise<void> {
    for (let step = begun; step !== 'ended'; step = this.#take(await this.#next())) {
      if (step === 'full') await this.#drained();
      if (this.#isGone()) return;
    }
  }

  #next(): Promise<ChunkResult> {
    const peeked = this.#peeked;
    this.#peeked = null;
    return peeked ?? this.#chunks.next();
  }

  #take({ done, value }: ChunkResult): Step {
    if (this.#isGone()) return 'ended';
    if (done !== true) return this.#put(chunkBytes(value));
    const declared = this.#declared;
    if (declared >= 0 && this.#sentBytes !== declared) throw lengthMismatch(declared);
    this.#exchange.end();
    return 'ended';
  }

  #put(chunk: Uint8Array): Step {
    const length = chunk.byteLength;
    this.#sentBytes += length;
    // More or fewer bytes than declared would be read as the next response (RFC 9112, section 6.3).
    if (this.#declared >= 0 && this.#sentBytes > this.#declared) {
      throw lengthMismatch(this.#declared);
    }
    // An empty chunk would be the last one of a chunked body.
    return length === 0 || this.#exchange.write(chunk) ? 'taken' : 'full';
  }

  async #drained(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#exchange.onDrain = resolve;
    });
    this.#wake = null;
  }
}

function lengthMismatch(declared: number): RangeError {
  return new RangeError(`The body does not have the ${declared} bytes its Content-Length declares`);
}

/** One pending chunk that can be looked at without waiting for it. */
class Peek {
  settled = false;
  failed = false;
  done = false;
  readonly #promise: Promise<ChunkResult>;

  constructor(promise: Promise<ChunkResult>) {
    this.#promise = promise;
    promise.then(
      (result) => {
        this.settled = true;
        this.done = result.done === true;
      },
      () => {
        this.failed = true;
      },
    );
  }

  async wait(): Promise<void> {
    for (let turn = 0; turn < PATIENCE && !this.settled && !this.failed; turn++) await null;
  }

  result(): Promise<ChunkResult> {
    return this.#promise;
  }

  async value(): Promise<unknown> {
    return (await this.#promise).value;
  }
}
