/**
 * What `req.socket` and `res.socket` are: the face of a connection without the connection.
 *
 * Role: addresses, state and the `close` and `timeout` events that middleware listens to.
 * Thread: a worker.
 * May not: carry bytes. The exchange owns the connection, and a stand-in lives for one request only,
 * so `close` on it means that this request was cut off.
 */
import { EventEmitter } from 'node:events';
import type { Exchange } from '../exchange.ts';

const HIGH_WATER_MARK = 16 * 1024;

/** What OutgoingMessage.end touches; nothing reads it. */
interface WritableStateLike {
  corked: number;
}

export class ExchangeSocket extends EventEmitter {
  /** The client came to a trusted proxy by TLS. */
  readonly encrypted: boolean;
  readonly readableHighWaterMark = HIGH_WATER_MARK;
  readonly writableHighWaterMark = HIGH_WATER_MARK;
  /** Never zero, so that OutgoingMessage leaves gathering small writes to OutgoingResponse. */
  readonly writableCorked = 1;
  readonly _writableState: WritableStateLike = { corked: 1 };
  readonly connecting = false;
  destroyed = false;
  readable = true;
  writable = true;
  /** Bytes a response still holds back. */
  writableLength = 0;
  timeout = 0;
  /** The response, by which OutgoingMessage knows that it ends: `prefinish`, and what perf_hooks shows. */
  _httpMessage: unknown = null;
  /** Set by the response: cuts the exchange off. */
  onDestroy: ((error: Error | undefined) => void) | null = null;
  /** Called instead of emitting `timeout` where it is set. */
  onTimeout: (() => void) | null = null;
  #exchange: Exchange | null;
  readonly #serial: number;
  #timer: NodeJS.Timeout | null = null;
  #remoteAddress: string | undefined;
  #remotePort: number | undefined;

  constructor(exchange: Exchange) {
    super();
    this.#exchange = exchange;
    this.#serial = exchange.serial;
    this.encrypted = exchange.forwarded?.secure === true;
  }

  #current(): Exchange | null {
    const exchange = this.#exchange;
    if (exchange === null || exchange.serial !== this.#serial || exchange.ended) return null;
    return exchange;
  }

  /** Undefined once the peer has gone, as with a real socket, unless it was asked for before. */
  get remoteAddress(): string | undefined {
    this.#remoteAddress ??= this.#current()?.remoteAddress;
    return this.#remoteAddress;
  }

  get remotePort(): number | undefined {
    this.#remotePort ??= this.#current()?.remotePort;
    return this.#remotePort;
  }

  get remoteFamily(): string | undefined {
    return familyOf(this.remoteAddress);
  }

  get localAddress(): string | undefined {
    return this.#current()?.localAddress;
  }

  get localPort(): number | undefined {
    return this.#current()?.localPort;
  }

  get localFamily(): string | undefined {
    return familyOf(this.localAddress);
  }

  get readyState(): 'open' | 'closed' {
    return this.destroyed ? 'closed' : 'open';
  }

  address(): { address?: string; family?: string; port?: number } {
    const { localAddress: address, localFamily: family, localPort: port } = this;
    return address === undefined ? {} : { address, family: family as string, port: port as number };
  }

  /** Lets go of the exchange. @param keepPeer the peer will be asked for, by a log line for instance */
  release(keepPeer: boolean): void {
    if (keepPeer) {
      this.#remoteAddress = this.remoteAddress;
      this.#remotePort = this.remotePort;
    }
    this.#exchange = null;
    this.#clearTimer();
  }

  /** The connection has gone: tells those who listen, on the next tick as a real socket does. */
  close(error?: Error): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.readable = false;
    this.writable = false;
    this.#clearTimer();
    process.nextTick(() => {
      if (error !== undefined && this.listenerCount('error') > 0) this.emit('error', error);
      this.emit('close', error !== undefined);
    });
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this;
    this.close(error);
    this.onDestroy?.(error);
    return this;
  }

  destroySoon(): void {
    this.destroy();
  }

  /**
   * Ends the connection, and with it a response that is unfinished. Bytes that are given along are not
   * sent: what goes over the wire is the response's alone.
   */
  end(...parameters: unknown[]): this {
    const callback = parameters.at(-1);
    if (typeof callback === 'function') this.once('close', () => callback());
    return this.destroy();
  }

  /**
   * Emits `timeout` after so many milliseconds without a read or write; 0 switches it off. The
   * connection's own time limits hold besides.
   */
  setTimeout(milliseconds: number, callback?: () => void): this {
    this.timeout = milliseconds;
    if (callback !== undefined) this.once('timeout', callback);
    this.#clearTimer();
    if (milliseconds > 0 && !this.destroyed && this.#exchange !== null) {
      this.#timer = setTimeout(() => this.#timedOut(), milliseconds);
      this.#timer.unref();
    }
    return this;
  }

  /** Bytes moved. */
  touch(): void {
    this.#timer?.refresh();
  }

  #timedOut(): void {
    if (this.onTimeout !== null) this.onTimeout();
    else this.emit('timeout');
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  // The connection has its own settings for these; middleware calls them all the same.
  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  pause(): this {
    return this;
  }

  resume(): this {
    return this;
  }

  cork(): void {}

  uncork(): void {}
}

function familyOf(address: string | undefined): string | undefined {
  if (address === undefined) return undefined;
  return address.includes(':') ? 'IPv6' : 'IPv4';
}
