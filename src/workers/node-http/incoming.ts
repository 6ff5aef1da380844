/**
 * `req` of a `(req, res)` handler: a real http.IncomingMessage fed by an exchange.
 *
 * Role: head on demand, body by `readBody` as fast as the application takes it.
 * Thread: a worker.
 * May not: use the exchange once its serial has moved on, nor rely on its own prototype: Express puts
 * another one in its place. So what Node calls is an own property, what we call is a function.
 */
import { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Exchange } from '../exchange.ts';
import { rawFields } from '../fetch/fields.ts';
import { type Shape, shaped, shapeOf } from './shape.ts';
import type { ExchangeSocket } from './socket.ts';

/** Parts of IncomingMessage that its types leave out; the same on Node 20, 22, 24 and 26. */
interface MessageInternals {
  _consuming: boolean;
  _readableState: { readingMore: boolean };
  _dumped: boolean;
  _addHeaderLines(list: readonly string[], length: number): void;
  _read(): void;
  _destroy(error: Error | null, callback: (error?: Error | null) => void): void;
}

/** See `IncomingRequest.#keepBody`. */
export let keepBody: (request: IncomingRequest) => void;
/** See `IncomingRequest.#detach`. */
export let detach: (request: IncomingRequest) => void;

export class IncomingRequest extends shaped(IncomingMessage) {
  readonly #exchange: Exchange;
  readonly #serial: number;
  #reading = false;
  #late: Buffer | null = null;
  /** Called when the body cannot be read to its end. */
  onBroken: ((error: unknown) => void) | null = null;

  static {
    keepBody = (request) => request.#keepBody();
    detach = (request) => request.#detach();
  }

  /** @param shape gives it its prototype */
  constructor(exchange: Exchange, socket: ExchangeSocket, shape: Shape<Socket> = plainRequest) {
    super(shape, socket as unknown as Socket);
    this.#exchange = exchange;
    this.#serial = exchange.serial;
    this.method = exchange.method;
    this.url = exchange.target;
    this.httpVersionMajor = 1;
    this.httpVersionMinor = exchange.minorVersion;
    this.httpVersion = exchange.minorVersion === 1 ? '1.1' : '1.0';
    const internals = this as unknown as MessageInternals;
    internals._read = methods._read;
    internals._destroy = methods._destroy;
    const { table } = exchange;
    // Header objects are Node's own and made from this list on demand.
    const list = rawFields(exchange.head, table, table.serial);
    internals._addHeaderLines(list, list.length);
    if (exchange.bodyLength >= 0) this.#complete();
  }

  /** All of it has come, trailers included; from here on Node adds lines to those. */
  #complete(): void {
    this.complete = true;
    const list = this.#exchange.takeTrailers();
    if (list.length > 0) (this as unknown as MessageInternals)._addHeaderLines(list, list.length);
  }

  #isGone(): boolean {
    return this.#exchange.serial !== this.#serial || this.#exchange.ended;
  }

  override _read(): void {
    const internals = this as unknown as MessageInternals;
    if (!internals._consuming) {
      // IncomingMessage sets it, so that nothing is read ahead for those who never read.
      internals._readableState.readingMore = false;
      internals._consuming = true;
    }
    if (this.#reading) return;
    if (this.#late !== null) {
      this.push(this.#late);
      this.#late = null;
      this.push(null);
      return;
    }
    if (this.#isGone()) {
      // Only a dumped message comes here: nobody is told of an end that was not there.
      this.push(null);
      return;
    }
    const exchange = this.#exchange;
    if (exchange.bodyLength >= 0) {
      // A copy, since the application may keep it longer than the exchange lasts.
      if (exchange.bodyLength > 0) this.push(Buffer.from(exchange.takeBody()));
      this.push(null);
      return;
    }
    this.#reading = true;
    exchange.readBody().then(
      (piece) => this.#arrived(piece),
      (error) => {
        this.onBroken?.(error);
        this.destroy(error instanceof Error ? error : new Error(String(error)));
      },
    );
  }

  #arrived(piece: Uint8Array | null): void {
    this.#reading = false;
    if (this.destroyed) return;
    (this.socket as unknown as ExchangeSocket).touch();
    if (piece === null) {
      this.#complete();
      this.push(null);
    } else {
      this.push(Buffer.from(piece));
    }
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.readableEnded || !this.complete) {
      this.aborted = true;
      this.emit('aborted');
      this.socket.destroy(error ?? undefined);
    }
    // As http.IncomingMessage: `error` only where somebody listens.
    process.nextTick(() => callback(this.listenerCount('error') > 0 ? error : null));
  }

  /**
   * The exchange is about to end: a body that has arrived but was not read yet stays readable for a
   * handler that answers first, until `detach`.
   */
  #keepBody(): void {
    const { bodyLength } = this.#exchange;
    if (bodyLength > 0 && !(this as unknown as MessageInternals)._consuming) {
      this.#late = Buffer.from(this.#exchange.takeBody());
    }
  }

  /** The response has been sent, so nothing of the body can be read any more. */
  #detach(): void {
    if (this.destroyed) return;
    const internals = this as unknown as MessageInternals;
    if (this.complete || !internals._consuming) {
      // As node:http does with a message nobody has read: `end` and `close` come all the same.
      this.complete = true;
      if (!internals._consuming) this.#dump();
    } else {
      this.destroy(connectionReset());
    }
  }

  #dump(): void {
    // Without listeners nobody sees the end, and most requests have no body to throw away.
    if (this.listenerCount('end') === 0 && this.listenerCount('close') === 0) return;
    // As `_dump`, which on Node 26 takes a message for empty that still holds a body.
    (this as unknown as MessageInternals)._dumped = true;
    this.#late = null;
    this.removeAllListeners('data');
    this.resume();
  }
}

/** The error node:http gives a request whose peer has left. */
export function connectionReset(): Error {
  return Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
}

/** For a handler that sets no prototypes. */
export const plainRequest = shapeOf(IncomingMessage, IncomingRequest.prototype);

const methods = IncomingRequest.prototype as unknown as MessageInternals;
