/**
 * `res` of a `(req, res)` handler: a real http.ServerResponse that writes to an exchange.
 *
 * Role: takes over below `_send` and `_writeRaw`, where OutgoingMessage would reach for its socket;
 * headers, chunking and every check above that are Node's own.
 * Thread: a worker.
 * May not: use the exchange after `endRaw`, `abort` or an abort from outside; nor rely on its own
 * prototype, since Express puts another one in its place. So what Node and applications call is an own
 * property, and what we call is a function.
 *
 * Small writes of one tick, head included, leave in one `writeRaw`.
 */
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { AbortReason, Exchange } from '../exchange.ts';
import { FileBody } from '../files/file-body.ts';
import { failExchange } from '../files/file-error.ts';
import type { FileOffload } from '../files/offload.ts';
import { namedFile } from './head-text.ts';
import { connectionReset, detach, type IncomingRequest, keepBody } from './incoming.ts';
import { type Routed, routeOf } from './route.ts';
import { type Shape, shaped, shapeOf } from './shape.ts';
import type { ExchangeSocket } from './socket.ts';

type WriteCallback = (error?: Error | null) => void;

/** Parts of ServerResponse that its types leave out; the same on Node 20, 22, 24 and 26. */
interface ResponseInternals {
  _header: string | null;
  _headerSent: boolean;
  _hasBody: boolean;
  _last: boolean;
  _closed: boolean;
  _sent100: boolean;
  _contentLength: number | null;
  _removedContLen: boolean;
}

/** Held back bytes beyond this go out at once. */
const HIGH_WATER_MARK = 16 * 1024;
/** Behind the size of a chunk, and behind the chunk. */
const LINE_END_BYTES = 2;

/** The handler threw, or the body could not be read: the exchange knows what to answer. */
export let failResponse: (response: OutgoingResponse, error: unknown) => void;
/** True once the exchange was ended or lost. */
export let isOver: (response: OutgoingResponse) => boolean;
/**
 * Has a file sent as the whole body of a response whose head says its length, once it is ended. The
 * file is the response's from then on. False: it is none of ours, or not to be answered any more.
 */
export let bindFile: (response: object, file: FileBody) => boolean;

/** The exchange of a response that can still be answered; null: it is none of this server's. */
export let exchangeOf: (response: object) => Exchange | null | 'over';

export class OutgoingResponse extends shaped(ServerResponse<IncomingMessage>) {
  readonly #exchange: Exchange;
  readonly #serial: number;
  readonly #request: IncomingRequest;
  readonly #stand: ExchangeSocket;
  readonly #internals: ResponseInternals;
  /** Pieces held back: data and its encoding, alternating. */
  #pieces: (string | Uint8Array)[] = [];
  #size = 0;
  /** Body bytes given so far, to hold a declared Content-Length against. */
  #bodyBytes = 0;
  /** Of a body in chunks: bytes of the present one that are still to come, its line ends included. */
  #chunkLeft = 0;
  /** Bytes of it that only frame it, for the access log. */
  #framingBytes = 0;
  #callbacks: WriteCallback[] = [];
  /** The exchange said to wait. */
  #blocked = false;
  /** A write answered false, so `drain` is owed. */
  #owesDrain = false;
  #scheduled = false;
  /** `end` was called, so what is held back goes out with the end of the message. */
  #ending = false;
  /** The exchange is no longer ours. */
  #over = false;
  readonly #offload: FileOffload | null;
  /** What is sent as the body; whatever is written besides is dropped. */
  #substitute: FileBody | string | null = null;
  #substituted = false;

  static {
    failResponse = (response, error) => response.#fail(error);
    isOver = (response) => response.#over;
    exchangeOf = (response) => {
      if (!(#substituted in response)) return null;
      return response.#isOurs() ? response.#exchange : 'over';
    };
    bindFile = (response, file) => {
      if (!(#substituted in response) || response.#over || response.#size > 0) return false;
      response.#substitute = file;
      response.#substituted = true;
      return true;
    };
  }

  /**
   * @param offload heeds X-Sendfile and its like
   * @param shape gives it its prototype
   */
  constructor(
    exchange: Exchange,
    request: IncomingRequest,
    socket: ExchangeSocket,
    offload: FileOffload | null = null,
    shape: Shape<IncomingMessage> = plainResponse,
  ) {
    super(shape, request);
    this.#offload = offload;
    this.#exchange = exchange;
    this.#serial = exchange.serial;
    this.#request = request;
    this.#stand = socket;
    this.#internals = this as unknown as ResponseInternals;
    this.shouldKeepAlive = exchange.keepAlive;
    (this as { socket: Socket | null }).socket = socket as unknown as Socket;
    socket._httpMessage = this;
    this._send = methods._send;
    this._writeRaw = methods._writeRaw;
    this.end = methods.end as () => this;
    this.destroy = methods.destroy as () => this;
    this.writeContinue = methods.writeContinue;
    request.onBroken = (error) => this.#fail(error);
    socket.onDestroy = (error) => this.#cut(error);
    exchange.onAbort = (reason) => this.#aborted(reason);
    exchange.onPeerEnd = () => this.#countsAsGone();
  }

  /** OutgoingMessage's way to the wire, with the head in front of the first piece. */
  _send(
    data: string | Uint8Array,
    encoding?: BufferEncoding | null,
    callback?: WriteCallback | null,
    byteLength?: number,
  ): boolean {
    const internals = this.#internals;
    if (!internals._headerSent && internals._header !== null) {
      internals._headerSent = true;
      const head = this.#offload === null ? internals._header : this.#substituteIn(this.#offload);
      this.#hold(head, 'latin1', head.length);
    }
    if (this.#substituted) {
      // The callback of `end` is the one that emits `finish`; the others have nothing to wait for.
      if (callback && this.#ending) this.#callbacks.push(callback);
      else if (callback) process.nextTick(callback);
      return true;
    }
    const size = byteLength ?? sizeOf(data, encoding);
    if (!this.chunkedEncoding) this.#bodyBytes += size;
    else if (this.#chunkLeft > 0) this.#chunkLeft -= size;
    else if (size > 0) this.#beginChunk(data as string, size);
    return this._writeRaw(data, encoding, callback, size);
  }

  /** OutgoingMessage says the size of each chunk by itself; the last comes with its trailers. */
  #beginChunk(sizeLine: string, size: number): void {
    const length = Number.parseInt(sizeLine, 16);
    this.#framingBytes += size;
    if (!(length > 0)) return;
    this.#framingBytes += 2 * LINE_END_BYTES;
    this.#chunkLeft = length + 2 * LINE_END_BYTES;
  }

  /** The head, which is another one where the application's names a file. */
  #substituteIn(offload: FileOffload): string {
    const head = this.#internals._header as string;
    if (this.#substituted) return head;
    const named = namedFile(offload, head, this.#request);
    if (named === null) return head;
    this.#substitute = named.body;
    this.#substituted = true;
    return named.head;
  }

  /** As they go on the wire: heads, chunk frames, and informational responses, which come before a head. */
  _writeRaw(
    data: string | Uint8Array,
    encoding?: BufferEncoding | WriteCallback | null,
    callback?: WriteCallback | null,
    size?: number,
  ): boolean {
    if (typeof encoding === 'function') return this._writeRaw(data, null, encoding, size);
    if (this.#over) {
      if (callback) process.nextTick(callback, connectionReset());
      return false;
    }
    if (!this.#internals._headerSent) {
      this.#exchange.writeInterim(Buffer.from(data as string, encoding || 'latin1'));
      if (callback) process.nextTick(callback);
      return true;
    }
    const length = size ?? sizeOf(data, encoding);
    if (length > 0) this.#hold(data, encoding || 'utf8', length);
    if (callback) this.#callbacks.push(callback);
    if (this.#size >= HIGH_WATER_MARK) this.#flush();
    else if (!this.#scheduled && !this.#ending) this.#schedule();
    if (this.#blocked) this.#owesDrain = true;
    return !this.#blocked;
  }

  #hold(data: string | Uint8Array, encoding: BufferEncoding, length: number): void {
    this.#pieces.push(data, encoding);
    this.#size += length;
    this.#stand.writableLength = this.#size;
  }

  #schedule(): void {
    this.#scheduled = true;
    process.nextTick(() => {
      this.#scheduled = false;
      if (!this.#over && !this.#substituted) this.#flush();
    });
  }

  /** Hands what is held back to the exchange, as far as it does not have to be waited for. */
  #flush(): void {
    while (this.#size > 0 && !this.#blocked) {
      this.#stand.touch();
      if (!this.#exchange.writeRaw(this.#takeRun())) {
        this.#blocked = true;
        this.#exchange.onDrain = () => this.#drained();
      }
    }
    this.#stand.writableLength = this.#size;
    if (!this.#blocked && !this.#ending && this.#callbacks.length > 0) this.#settle(null);
  }

  /** Either one large piece of bytes as it is, or all up to the next of them in one array. */
  #takeRun(): Uint8Array {
    const pieces = this.#pieces;
    let end = 0;
    while (end < pieces.length && !isLarge(pieces[end])) end += 2;
    if (end === pieces.length && this.#size < HIGH_WATER_MARK) {
      const text = oneByteText(pieces, this.#size);
      if (text !== null) {
        this.#pieces = [];
        this.#size = 0;
        return Buffer.from(text, 'latin1');
      }
    }
    const run = pieces.splice(0, end === 0 ? 2 : end);
    const bytes = gather(run);
    this.#size -= bytes.byteLength;
    return bytes;
  }

  #settle(error: Error | null): void {
    const callbacks = this.#callbacks;
    this.#callbacks = [];
    process.nextTick(() => {
      for (const callback of callbacks) callback(error);
    });
  }

  #drained(): void {
    if (this.#over) return;
    this.#blocked = false;
    this.#exchange.onDrain = null;
    if (this.writableEnded) {
      this.#complete();
      return;
    }
    this.#flush();
    if (!this.#blocked && this.#owesDrain) {
      this.#owesDrain = false;
      clearNeedDrain(this);
      this.emit('drain');
    }
  }

  override end(chunk?: unknown, encoding?: unknown, callback?: unknown): this {
    this.#ending = true;
    try {
      super.end(chunk, encoding as BufferEncoding, callback as () => void);
    } catch (error) {
      // Invalid arguments: the response can still be ended properly.
      this.#ending = false;
      throw error;
    }
    if (this.writableEnded && !this.#over) this.#complete();
    return this;
  }

  /** All has been said: the last bytes and the end of the message. */
  #complete(): void {
    if (this.#substituted) {
      this.#completeSubstituted();
      return;
    }
    this.#flush();
    if (this.#size > 0) return;
    const keepAlive = !this.#internals._last && this.#lengthHolds();
    keepBody(this.#request);
    this.#leave();
    this.#exchange.endRaw(keepAlive, this.#framingBytes);
    this.#finish();
  }

  /** The head that is held back, and what takes the place of the body. */
  #completeSubstituted(): void {
    const exchange = this.#exchange;
    const head = this.#takeRun();
    const body = this.#substitute;
    this.#substitute = null;
    const keepAlive = !this.#internals._last;
    keepBody(this.#request);
    try {
      if (body instanceof FileBody) {
        body.sendRaw(exchange, head, keepAlive, () => this.#leave());
      } else {
        const text = exchange.method === 'HEAD' || body === null ? '' : body;
        this.#leave();
        exchange.writeRaw(Buffer.concat([head, Buffer.from(text, 'latin1')]));
        exchange.endRaw(keepAlive);
      }
    } catch (error) {
      if (this.#over) throw error;
      this.#fail(error);
      return;
    }
    this.#finish();
  }

  #finish(): void {
    // What a real response emits once the kernel has taken the last byte: `finish`, then `close`.
    process.nextTick(() => {
      const callbacks = this.#callbacks;
      this.#callbacks = [];
      for (const callback of callbacks) callback();
      detach(this.#request);
      process.nextTick(() => this.#emitClose());
    });
  }

  /**
   * Whether the body has the length its head declares. Where it has not, the peer would take the next
   * response for the rest of this one (RFC 9112, section 6.3), so the connection must not go on.
   */
  #lengthHolds(): boolean {
    const {
      _contentLength: declared,
      _hasBody: hasBody,
      _removedContLen: removed,
    } = this.#internals;
    if (!hasBody || this.chunkedEncoding || removed || declared === null) return true;
    return declared === this.#bodyBytes;
  }

  /** The exchange still serves this request; it may have been ended and reused behind our back. */
  #isOurs(): boolean {
    return this.#exchange.serial === this.#serial && !this.#exchange.ended;
  }

  /** From here on the exchange belongs to somebody else. */
  #leave(): void {
    this.#over = true;
    if (this.#substitute instanceof FileBody) this.#substitute.release();
    this.#substitute = null;
    if (this.#isOurs()) {
      this.#exchange.route = routeOf(this.#request as Routed);
      this.#exchange.onDrain = null;
      this.#exchange.onAbort = null;
      this.#exchange.onPeerEnd = null;
    }
    const listened = this.listenerCount('finish') > 0 || this.listenerCount('close') > 0;
    this.#stand.release(listened);
  }

  #emitClose(): void {
    const internals = this.#internals;
    if (internals._closed) return;
    internals._closed = true;
    this.destroyed = true;
    this.emit('close');
  }

  /** The peer left, or the server gave up on it. */
  #aborted(_reason: AbortReason): void {
    if (this.#over) return;
    this.#leave();
    this.#stand.close();
    this.#break(connectionReset());
  }

  /**
   * The peer has shut its side. To node:http it is gone then, and a stream of events ends by that; but
   * one that nobody looks out for may still read its response.
   */
  #countsAsGone(): boolean {
    const request = this.#request;
    return (
      this.listenerCount('close') > 0 ||
      request.listenerCount('close') > 0 ||
      request.listenerCount('aborted') > 0 ||
      this.#stand.listenerCount('close') > 0 ||
      this.#stand.listenerCount('end') > 0
    );
  }

  /** `res.destroy()`, `req.destroy()` or `socket.destroy()`. */
  #cut(_error: Error | undefined): void {
    if (this.#over) return;
    this.#leave();
    if (this.#isOurs()) this.#exchange.abort();
    this.#break(connectionReset());
  }

  /** Ends everything on this side after the connection has gone. */
  #break(error: Error): void {
    this.destroyed = true;
    this.#pieces = [];
    this.#size = 0;
    this.#stand.writableLength = 0;
    if (this.#callbacks.length > 0) this.#settleBroken();
    this.#request.destroy(error);
    process.nextTick(() => this.#emitClose());
  }

  #settleBroken(): void {
    // The callback of `end` is the one that emits `finish`, which must not come any more.
    if (this.writableEnded) this.#callbacks.pop();
    this.#settle(connectionReset());
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#leave();
    this.#stand.close();
    if (this.#isOurs()) failExchange(this.#exchange, error);
    this.#break(error instanceof Error ? error : new Error(String(error)));
  }

  override destroy(error?: Error): this {
    super.destroy(error);
    this.#stand.destroy(error);
    return this;
  }

  /** The exchange sends `100 Continue` itself as soon as the body is read. */
  override writeContinue(callback?: () => void): void {
    this.#internals._sent100 = true;
    if (callback) process.nextTick(callback);
  }
}

/** For a handler that sets no prototypes. */
export const plainResponse = shapeOf(ServerResponse<IncomingMessage>, OutgoingResponse.prototype);

const methods = OutgoingResponse.prototype;

/** Where OutgoingMessage keeps `writableNeedDrain`; undefined until a response was looked at. */
let needDrainKey: symbol | null | undefined;

/** What node:http's server does in its socket's `drain`. */
function clearNeedDrain(response: OutgoingResponse): void {
  if (needDrainKey === undefined) {
    const keys = Object.getOwnPropertySymbols(response);
    needDrainKey = keys.find((key) => key.description === 'kNeedDrain') ?? null;
  }
  if (needDrainKey !== null) (response as unknown as Record<symbol, boolean>)[needDrainKey] = false;
}

function sizeOf(data: string | Uint8Array, encoding: BufferEncoding | null | undefined): number {
  if (typeof data !== 'string') return data.byteLength;
  return data.length === 0 ? 0 : Buffer.byteLength(data, encoding ?? 'utf8');
}

/** Bytes not worth copying to save a write. */
function isLarge(piece: string | Uint8Array): boolean {
  return typeof piece !== 'string' && piece.byteLength >= HIGH_WATER_MARK;
}

/** All pieces in one array; a single array of bytes is passed on as it is. */
function gather(pieces: (string | Uint8Array)[]): Uint8Array {
  const first = pieces[0];
  if (pieces.length === 2 && typeof first !== 'string') return first;
  let size = 0;
  for (let i = 0; i < pieces.length; i += 2) {
    size += sizeOf(pieces[i], pieces[i + 1] as BufferEncoding);
  }
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (let i = 0; i < pieces.length; i += 2) {
    const data = pieces[i];
    if (typeof data === 'string') {
      at += bytes.write(data, at, pieces[i + 1] as BufferEncoding);
    } else {
      bytes.set(data, at);
      at += data.byteLength;
    }
  }
  return bytes;
}

/**
 * The pieces as one text, if they are texts in which each character is one byte, so that they can be
 * written by one call. Head and body mostly are.
 */
function oneByteText(pieces: (string | Uint8Array)[], size: number): string | null {
  let text = '';
  for (let i = 0; i < pieces.length; i += 2) {
    const data = pieces[i];
    const encoding = pieces[i + 1];
    // A text in UTF-8 has as many bytes as characters only where it is ASCII; latin1 always has.
    if (typeof data !== 'string' || (encoding !== 'latin1' && encoding !== 'utf8')) return null;
    text += data;
  }
  return text.length === size ? text : null;
}
