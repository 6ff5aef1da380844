/**
 * The server where there is no epoll: the same application over node:http, in one thread.
 *
 * Role: for development on macOS and Windows; everything that makes this server what it is runs on Linux.
 * Thread: main, with the application in it.
 * May not: pretend. What it cannot do is an error with the code ERR_MPM_NO_EPOLL.
 */
import { EventEmitter } from 'node:events';
import { stat } from 'node:fs/promises';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { type Handler, takesUpgrades } from '../../workers/exchange.ts';
import { installGlobals } from '../../workers/fetch/globals.ts';
import { logHandlerError } from '../../workers/handler-error.ts';
import { type LoadedHandler, loadApplication } from '../../workers/handler-loader.ts';
import type { CloseOptions, ListenAddress, MpmServer, Reloaded, ServerOptions } from '../server.ts';
import { adminListener, type Figures } from './admin.ts';
import { NodeExchange } from './node-exchange.ts';
import { whyNoEpoll } from './why.ts';

const refused = (what: string) =>
  Object.assign(new Error(`${what} without epoll: ${whyNoEpoll() ?? 'one thread'}`), {
    code: 'ERR_MPM_NO_EPOLL',
  });

export function createSingleThreadServer(options: ServerOptions): MpmServer {
  return new SingleThreadServer(options);
}

class SingleThreadServer extends EventEmitter implements MpmServer {
  readonly #options: ServerOptions;
  readonly #servers: Server[] = [];
  #admin: Server | null = null;
  #closing: Promise<void> | null = null;
  #application: LoadedHandler | null = null;
  readonly #figures: Figures = { startedMs: Date.now(), ready: false, requests: 0, active: 0 };

  constructor(options: ServerOptions) {
    super();
    this.#options = options;
  }

  get addresses(): readonly ListenAddress[] {
    return this.#servers.map(addressOf);
  }

  get adminAddress(): ListenAddress | null {
    return this.#admin === null ? null : addressOf(this.#admin);
  }

  async listen(): Promise<readonly ListenAddress[]> {
    const { directives, script } = this.#options;
    const entry = resolve(this.#options.entry);
    if (directives.proxy.length > 0) throw refused('nothing is passed on (proxy)');
    if (script !== undefined) throw refused('scripts are run by `node` itself');
    const found = await stat(entry).catch(() => null);
    if (found === null) {
      throw Object.assign(new Error(`${entry} does not exist`), {
        code: 'ERR_MPM_ENTRY_NOT_FOUND',
      });
    }
    if (found.isDirectory()) throw refused('folders are not served');
    if (directives.listen.some(({ protocol }) => protocol !== undefined)) {
      throw refused('HTTP is the only protocol');
    }
    installGlobals();
    this.#application = await loadApplication(entry);
    try {
      for (const { host, port } of directives.listen) {
        this.#servers.push(await listening(this.#serverFor(this.#application), host, port));
      }
      const { admin } = directives;
      if (admin !== null) {
        const listener = adminListener(this.#figures);
        this.#admin = await listening(createHttpServer(listener), admin.host, admin.port);
      }
    } catch (error) {
      await this.close({ force: true });
      throw error;
    }
    this.#figures.ready = true;
    return this.addresses;
  }

  #serverFor({ handler, upgrades }: LoadedHandler): Server {
    const { directives } = this.#options;
    const { direct } = handler;
    const figures = this.#figures;
    const server = createHttpServer((request, response) => {
      figures.requests++;
      figures.active++;
      response.once('close', () => figures.active--);
      if (direct) {
        void run(direct, request, response);
        return;
      }
      const exchange = new NodeExchange(request, response, directives.limitRequestBodyBytes);
      exchange.deadline(handler.deadlines?.of(exchange.target) ?? directives.requestDeadlineMs);
      handler.handle(exchange);
    });
    server.keepAliveTimeout = directives.keepAliveTimeoutMs;
    if (upgrades !== null) {
      server.on('upgrade', (request, socket, head) => {
        if (upgrades.wants(request.method ?? '')) upgrades.take(request, socket as never, head);
        else socket.destroy();
      });
    }
    return server;
  }

  close({ force = false }: CloseOptions = {}): Promise<void> {
    this.#figures.ready = false;
    this.#closing ??= this.#drain();
    if (force) for (const server of this.#servers) server.closeAllConnections();
    return this.#closing;
  }

  async #drain(): Promise<void> {
    const bound = this.#options.directives.gracefulShutdownTimeoutMs;
    const end = () => {
      for (const server of this.#servers) server.closeAllConnections();
    };
    const timer = bound > 0 ? setTimeout(end, bound) : null;
    const handler = this.#application?.handler;
    if (handler !== undefined && takesUpgrades(handler)) handler.shutDown();
    await Promise.all(this.#servers.map((server) => new Promise((done) => server.close(done))));
    if (timer !== null) clearTimeout(timer);
    await handler?.settled?.();
    this.#admin?.closeAllConnections();
    this.#admin?.close();
  }

  async reload(): Promise<Reloaded> {
    throw refused('a configuration cannot be reloaded');
  }

  async restartWorkers(): Promise<void> {
    throw refused('there are no workers to restart');
  }

  adjustWorkers(): number {
    throw refused('there are no workers');
  }

  reopenLogs(): void {}
}

/** As workers do it: an error of the application is told, and ends its request alone. */
async function run(
  direct: NonNullable<Handler['direct']>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    await direct(request, response);
  } catch (error) {
    logHandlerError(error, request.method ?? '', request.url ?? '');
    if (response.headersSent) response.destroy();
    else response.writeHead(500, { 'content-type': 'text/plain' }).end('Internal Server Error\n');
  }
}

function addressOf(server: Server): ListenAddress {
  const { address, port, family } = server.address() as AddressInfo;
  return { host: address, port, family: family === 'IPv6' ? 6 : 4 };
}

function listening(server: Server, host: string, port: number): Promise<Server> {
  return new Promise((done, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const code = error.code === 'EADDRINUSE' ? 'ERR_MPM_ADDRESS_IN_USE' : 'ERR_MPM_ADDRESS';
      reject(Object.assign(new Error(`listen ${host}:${port}: ${error.message}`), { code }));
    });
    server.listen(port, host, () => done(server));
  });
}
