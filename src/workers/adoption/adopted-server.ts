/**
 * An application's http.Server that listens through this server instead of by itself.
 *
 * Role: gives one http.Server the face of a listening one (`listening`, `address()`, `close()` ...)
 * and hands it its requests. What is set on the object stands: `request` listeners, `timeout`.
 * Thread: a worker.
 * May not: open a socket; the listener has them all.
 */
import { type IncomingMessage, Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { WantedAddress } from './listen-call.ts';

/** Connections are the listener's: these have nothing to do. */
const INERT = ['ref', 'unref'] as const;

export class AdoptedServer {
  readonly server: Server;
  readonly wanted: WantedAddress;
  readonly address: AddressInfo;
  readonly #onClose: () => void;
  #unfinished = 0;
  #closing = false;
  #held = false;

  /** @param onClose `close` was called: whoever dispatches may `hold` the end back */
  constructor(server: Server, wanted: WantedAddress, address: AddressInfo, onClose: () => void) {
    this.server = server;
    this.wanted = wanted;
    this.address = address;
    this.#onClose = onClose;
    const own: Record<string, unknown> = {
      address: () => (this.#closing ? null : this.address),
      close: (callback?: (error?: Error) => void) => this.#close(callback),
      closeIdleConnections: () => {},
      closeAllConnections: () => {},
      getConnections: (callback: (error: Error | null, count: number) => void) => {
        process.nextTick(callback, null, this.#unfinished);
        return server;
      },
      [Symbol.asyncDispose]: () => new Promise<void>((resolve) => this.#close(() => resolve())),
    };
    for (const name of INERT) own[name] = () => server;
    for (const [name, value] of entriesOf(own)) {
      Object.defineProperty(server, name, { value, configurable: true, writable: true });
    }
    Object.defineProperty(server, 'listening', { get: () => !this.#closing, configurable: true });
  }

  get closing(): boolean {
    return this.#closing;
  }

  /** What a `(req, res)` handler is; real node:http decides between the events in the same way. */
  readonly listener = (request: IncomingMessage, response: ServerResponse): void => {
    const { server } = this;
    this.#unfinished++;
    response.once('close', () => {
      this.#unfinished--;
      this.#endIfDone();
    });
    const { socket } = request;
    Object.assign(socket, { server });
    // An option of createServer; the request makes its header objects by it when it is asked for them.
    const { joinDuplicateHeaders } = server as { joinDuplicateHeaders?: boolean };
    if (joinDuplicateHeaders === true) Object.assign(request, { joinDuplicateHeaders });
    if (server.timeout > 0) socket.setTimeout(server.timeout);
    if (
      server.listenerCount('checkContinue') > 0 &&
      /(?:^|\W)100-continue(?:$|\W)/i.test(request.headers.expect ?? '')
    ) {
      server.emit('checkContinue', request, response);
    } else {
      server.emit('request', request, response);
    }
  };

  /** `close` is not announced before `release`. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#endIfDone();
  }

  #close(callback?: (error?: Error) => void): Server {
    const { server } = this;
    if (this.#closing) {
      const error = Object.assign(new Error('Server is not running.'), {
        code: 'ERR_SERVER_NOT_RUNNING',
      });
      if (callback !== undefined) process.nextTick(callback, error);
      return server;
    }
    if (typeof callback === 'function') server.once('close', callback);
    this.#closing = true;
    this.#onClose();
    this.#endIfDone();
    return server;
  }

  #endIfDone(): void {
    if (!this.#closing || this.#held || this.#unfinished > 0) return;
    // Once: a server that listens anew is adopted anew.
    this.#held = true;
    for (const name of [...INERT, ...OWN]) Reflect.deleteProperty(this.server, name);
    // Node's own: ends the timer that `listening` has begun, and emits `close`, as nothing is open.
    Server.prototype.close.call(this.server);
  }
}

const OWN = [
  'address',
  'close',
  'closeIdleConnections',
  'closeAllConnections',
  'getConnections',
  'listening',
  Symbol.asyncDispose,
] as const;

/** Entries of an object, those with a symbol as their key included. */
function entriesOf(object: Record<string | symbol, unknown>): [string | symbol, unknown][] {
  return Reflect.ownKeys(object).map((key) => [key, object[key]]);
}
