/**
 * The http.Servers of an application that called `listen`: their calls are answered by main, and their
 * requests come from the listener.
 *
 * Role: stands in for `http.Server.prototype.listen` in a worker, and is the handler of whatever was
 * adopted. An application with several servers has a request go to the one on its port.
 * Thread: a worker. Installed before the application is loaded.
 * May not: touch servers that are none of node:http's (net, tls, https).
 */
import { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Exchange, Handler } from '../exchange.ts';
import type { FileOffload } from '../files/offload.ts';
import { NodeHandler } from '../node-http/node-handler.ts';
import { AdoptedServer } from './adopted-server.ts';
import { readListenCall, type WantedAddress } from './listen-call.ts';

/**
 * Has an address listened on, and says which one it became.
 * @param order number of this call in its worker, from 0
 * @throws an Error with a code, as node:net has them (EADDRINUSE, EACCES, ENOTFOUND) or ERR_MPM_...
 */
export type Bind = (wanted: WantedAddress, order: number) => AddressInfo;

export interface AdoptionEvents {
  /** Whether this call is to be adopted; otherwise it is node:net's. */
  adopts(wanted: WantedAddress | null): boolean;
  /**
   * The application closed the last server. True: this worker is going to be replaced, and the server
   * answers until then.
   */
  lastClosed(): boolean;
}

/** This side of a client's connection. */
export interface LocalEnd {
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
}

interface Adopted {
  readonly face: AdoptedServer;
  readonly handler: NodeHandler;
}

/** A server on every address takes what none on the address itself does. */
const ANY: readonly string[] = ['::', '0.0.0.0'];
const UNAVAILABLE_HEADERS = Object.freeze(['Content-Type', 'text/plain;charset=UTF-8']);

export class AdoptedServers implements Handler {
  readonly kind = 'node';
  readonly #bind: Bind;
  readonly #events: AdoptionEvents;
  readonly #offload: FileOffload | null;
  /** In the order in which they began to listen. */
  readonly #servers = new Set<Adopted>();
  /** All on each port, in that order: each may have an address of its own. */
  readonly #byPort = new Map<number, Adopted[]>();
  #first: Adopted | null = null;
  #calls = 0;
  #onFirst: (() => void) | null = null;
  #restore: (() => void) | null = null;

  constructor(bind: Bind, events: AdoptionEvents, offload: FileOffload | null = null) {
    this.#bind = bind;
    this.#events = events;
    this.#offload = offload;
  }

  /** From here on `listen` of every http.Server of this thread comes here. */
  install(): void {
    const prototype = Server.prototype;
    const { listen } = prototype;
    const own = Object.hasOwn(prototype, 'listen');
    const adopt = (server: Server, parameters: unknown[]) => this.#listen(server, parameters);
    const events = this.#events;
    const replacement = function (this: Server, ...parameters: unknown[]): Server {
      const { address } = readListenCall(parameters);
      return events.adopts(address)
        ? adopt(this, parameters)
        : Reflect.apply(listen, this, parameters);
    };
    Object.defineProperty(prototype, 'listen', {
      value: replacement,
      configurable: true,
      writable: true,
    });
    this.#restore = () => {
      if (own) prototype.listen = listen;
      else Reflect.deleteProperty(prototype, 'listen');
    };
  }

  /** `listen` is node:net's again. */
  uninstall(): void {
    this.#restore?.();
    this.#restore = null;
  }

  /** A server listens. */
  get any(): boolean {
    return this.#first !== null;
  }

  /** Servers that listen and are not being closed. */
  get servers(): readonly Server[] {
    return [...this.#servers].filter(({ face }) => !face.closing).map(({ face }) => face.server);
  }

  /** The server that a client of this end of its connection means. */
  serverOn(end: LocalEnd): Server | null {
    return this.#meant(end)?.face.server ?? null;
  }

  /** Resolves when a server listens. */
  first(): Promise<void> {
    if (this.any) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onFirst = resolve;
    });
  }

  handle(exchange: Exchange): void {
    const adopted = this.#meant(exchange);
    if (adopted === null) exchange.respond(503, '', UNAVAILABLE_HEADERS, 'closed\n');
    else adopted.handler.handle(exchange);
  }

  /**
   * A handler that the application exports beside what it has listen: it answers in place of the first
   * server, and further ones keep their ports.
   */
  besides(handler: Handler): Handler {
    return {
      kind: handler.kind,
      handle: (exchange) => {
        const other = this.#meant(exchange);
        if (other === null || other === this.#first) handler.handle(exchange);
        else other.handler.handle(exchange);
      },
      settled: async () => void (await handler.settled?.()),
    };
  }

  #meant(end: LocalEnd): Adopted | null {
    // Asking for the end is a system call, and most applications have one server.
    if (this.#servers.size < 2) return this.#first;
    const { localPort } = end;
    const there = localPort === undefined ? undefined : this.#byPort.get(localPort);
    if (there === undefined) return this.#first;
    if (there.length > 1) {
      const { localAddress } = end;
      const exact = there.find(({ face }) => face.address.address === localAddress);
      if (exact !== undefined) return exact;
      const any = there.find(({ face }) => ANY.includes(face.address.address));
      if (any !== undefined) return any;
    }
    return there[0] as Adopted;
  }

  /** The connections of this worker are done: `close` of servers that the application closed. */
  async settled(): Promise<void> {
    const last = this.#first;
    if (last === null || !last.face.closing) return;
    const closed = new Promise<void>((resolve) => last.face.server.once('close', resolve));
    last.face.release();
    await closed;
  }

  #listen(server: Server, parameters: unknown[]): Server {
    if (server.listening) {
      const error = new Error('Listen method has been called more than once without closing.');
      throw Object.assign(error, { code: 'ERR_SERVER_ALREADY_LISTEN' });
    }
    const { address: wanted, callback, signal } = readListenCall(parameters);
    if (callback !== null) server.once('listening', callback);
    if (signal?.aborted === true) {
      process.nextTick(() => server.emit('close'));
      return server;
    }
    let adopted: Adopted;
    try {
      if (wanted === null) throw notAnAddress();
      adopted = this.#adopt(server, wanted);
    } catch (error) {
      if (callback !== null) server.removeListener('listening', callback);
      process.nextTick(() => server.emit('error', error));
      return server;
    }
    signal?.addEventListener('abort', () => server.close(), { once: true });
    process.nextTick(() => {
      // As node:net: not if it was closed meanwhile.
      if (!adopted.face.closing) server.emit('listening');
      this.#onFirst?.();
      this.#onFirst = null;
    });
    return server;
  }

  #adopt(server: Server, wanted: WantedAddress): Adopted {
    for (const { face } of this.#servers) if (isSame(face.wanted, wanted)) throw inUse(wanted);
    const address = this.#bind(wanted, this.#calls++);
    const face = new AdoptedServer(server, wanted, address, () => this.#closed(adopted));
    const handler = new NodeHandler(face.listener, this.#offload, server);
    const adopted: Adopted = { face, handler };
    this.#servers.add(adopted);
    this.#index();
    return adopted;
  }

  #closed(adopted: Adopted): void {
    if (this.#servers.size === 1 && this.#events.lastClosed()) {
      // Nobody else could answer what still comes, so it answers until its worker is replaced.
      adopted.face.hold();
      return;
    }
    this.#servers.delete(adopted);
    this.#index();
  }

  #index(): void {
    this.#byPort.clear();
    for (const adopted of this.#servers) {
      const { port } = adopted.face.address;
      const there = this.#byPort.get(port);
      if (there === undefined) this.#byPort.set(port, [adopted]);
      else there.push(adopted);
    }
    this.#first = this.#servers.values().next().value ?? null;
  }
}

/** Port 0 is another one each time. */
const isSame = (one: WantedAddress, other: WantedAddress): boolean =>
  one.port !== 0 && one.port === other.port && one.host === other.host;

function inUse({ host, port }: WantedAddress): Error {
  const error = new Error(`listen EADDRINUSE: address already in use ${host || '::'}:${port}`);
  return Object.assign(error, {
    code: 'EADDRINUSE',
    syscall: 'listen',
    address: host || '::',
    port,
  });
}

function notAnAddress(): Error {
  const error = new Error(
    'ERR_MPM_LISTEN: only TCP addresses can be listened on, no socket path, descriptor or handle',
  );
  return Object.assign(error, { code: 'ERR_MPM_LISTEN', syscall: 'listen' });
}
