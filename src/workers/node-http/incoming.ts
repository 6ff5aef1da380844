/**
 * `req` of a `(req, res)` handler: a real http.IncomingMessage fed by an exchange.
 *
 * Role: head on demand, body by `readBody` as fast as the application takes it.
 * Thread: a worker.
 * May not: use the exchange once its serial has moved on.
 */
import { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Exchange } from '../exchange.ts';
import { rawFields } from '../fetch/fields.ts';
import type { ExchangeSocket } from './socket.ts';

/** Parts of IncomingMessage that its types leave out; the same on Node 20, 22, 24 and 26. */
interface MessageInternals {
  _consuming: boolean;
  _dumped: boolean;
  _addHeaderLine(name: string, value: string, target: Record<string, unknown>): void;
  _addHeaderLineDistinct(name: string, value: string, target: Record<string, unknown>): void;
}

let rawHeadersOf: (request: IncomingRequest) => string[];
/** True the first time it is asked for this request and this kind of header object. */
let makesFirst: (request: IncomingRequest, bit: number) => boolean;
let setRawHeaders: (request: IncomingRequest, list: string[]) => void;

export class IncomingRequest extends IncomingMessage {
  readonly #exchange: Exchange;
  readonly #serial: number;
  readonly #tableSerial: number;
  readonly #head: string;
  #rawHeaders: string[] | null = null;
  #reading = false;
  /** Bits of the header objects that were made. */
  #made = 0;
  #late: Buffer | null = null;
  /** Called when the body cannot be read to its end. */
  onBroken: ((error: unknown) => void) | null = null;

  static {
    rawHeadersOf = (request) => {
      request.#rawHeaders ??= rawFields(
        request.#head,
        request.#exchange.table,
        request.#tableSerial,
      );
      return request.#rawHeaders;
    };
    makesFirst = (request, bit) => {
      if ((request.#made & bit) !== 0) return false;
      request.#made |= bit;
      return true;
    };
    setRawHeaders = (request, list) => {
      // IncomingMessage's constructor assigns an empty list before this class has its fields.
      if (#rawHeaders in request) request.#rawHeaders = list;
    };
  }

  constructor(exchange: Exchange, socket: ExchangeSocket) {
    super(socket as unknown as Socket);
    this.#exchange = exchange;
    this.#serial = exchange.serial;
    this.#tableSerial = exchange.table.serial;
    this.#head = exchange.head;
    this.method = exchange.method;
    this.url = exchange.target;
    this.httpVersionMajor = 1;
    this.httpVersionMinor = exchange.minorVersion;
    this.httpVersion = exchange.minorVersion === 1 ? '1.1' : '1.0';
    this.complete = exchange.bodyLength >= 0;
  }

  #isGone(): boolean {
    return this.#exchange.serial !== this.#serial || this.#exchange.ended;
  }

  override _read(): void {
    (this as unknown as MessageInternals)._consuming = true;
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
      this.complete = true;
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
  keepBody(): void {
    const { bodyLength } = this.#exchange;
    if (bodyLength > 0 && !(this as unknown as MessageInternals)._consuming) {
      this.#late = Buffer.from(this.#exchange.takeBody());
    }
  }

  /** The response has been sent, so nothing of the body can be read any more. */
  detach(): void {
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

type Getter = (this: IncomingMessage) => unknown;
type Setter = (this: IncomingMessage, value: unknown) => void;

/** A header object of node:http's own rules (joined, first wins, Set-Cookie as a list), made on demand. */
function defineLazyHeaders(
  name: 'headers' | 'headersDistinct',
  bit: number,
  fill: (message: MessageInternals, list: string[]) => Record<string, unknown>,
): void {
  const base = Object.getOwnPropertyDescriptor(IncomingMessage.prototype, name)!;
  const set = base.set as Setter;
  const get = base.get as Getter;
  Object.defineProperty(IncomingRequest.prototype, name, {
    configurable: true,
    get(this: IncomingRequest) {
      if (makesFirst(this, bit)) {
        set.call(this, fill(this as unknown as MessageInternals, rawHeadersOf(this)));
      }
      return get.call(this);
    },
    set(this: IncomingRequest, value: unknown) {
      makesFirst(this, bit);
      set.call(this, value);
    },
  });
}

defineLazyHeaders('headers', 1, (message, list) => {
  const target: Record<string, unknown> = {};
  for (let i = 0; i < list.length; i += 2) message._addHeaderLine(list[i], list[i + 1], target);
  return target;
});
defineLazyHeaders('headersDistinct', 2, (message, list) => {
  const target: Record<string, unknown> = Object.create(null);
  for (let i = 0; i < list.length; i += 2) {
    message._addHeaderLineDistinct(list[i], list[i + 1], target);
  }
  return target;
});
Object.defineProperty(IncomingRequest.prototype, 'rawHeaders', {
  configurable: true,
  enumerable: true,
  get(this: IncomingRequest) {
    return rawHeadersOf(this);
  },
  set(this: IncomingRequest, list: string[]) {
    setRawHeaders(this, list);
  },
});
