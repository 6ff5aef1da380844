/**
 * What of an application takes requests for another protocol.
 *
 * Role: finds it in what the entry exports, and calls it as node:http would: with an IncomingMessage,
 * the net.Socket of the connection, and the bytes behind the head.
 * Thread: a worker.
 */
import { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Exchange } from '../exchange.ts';
import { rawFields } from '../fetch/fields.ts';

const NOT_IMPLEMENTED =
  'HTTP/1.1 501 Not Implemented\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';

export interface UpgradeTarget {
  /** Somebody would take one now; otherwise such a request is served as any other. */
  wants(method: string): boolean;
  /** What it returns is ignored, except that a rejection fails the request. */
  take(request: IncomingMessage, socket: Socket, head: Buffer): unknown;
  /** The worker retires. False: nobody in the application listens to that. */
  shutDown(): boolean | Promise<unknown>;
}

type UpgradeFunction = (request: IncomingMessage, socket: Socket, head: Buffer) => unknown;

/** A `WebSocketServer` of ws that was made with `noServer`, as far as it is used. */
interface WebSocketServerLike {
  handleUpgrade(
    request: IncomingMessage,
    socket: Socket,
    head: Buffer,
    callback: (client: unknown, request: IncomingMessage) => void,
  ): void;
  emit(event: string, ...values: unknown[]): boolean;
}

/** What the application had listen, as far as it is used. */
export interface ServerSet {
  readonly any: boolean;
  /** Servers that are not being closed. */
  readonly servers: readonly Server[];
  /** The one that a client of this end of its connection means. */
  serverOn(end: Pick<Socket, 'localAddress' | 'localPort'>): Server | null;
}

/**
 * Who takes them: `upgrade`, `websocket` and `shutdown` among the exports of the entry and the
 * properties of its default export; an http.Server, exported or of an application that is (Fastify,
 * Nest); what the entry had listen. Null: nobody.
 * @param candidate the default export, settled
 */
export function upgradeTargetOf(
  module: object,
  candidate: unknown,
  adopted: ServerSet | null = null,
): UpgradeTarget | null {
  const server = serverOf(candidate);
  if (server !== null && !server.listening) return serverTarget(server);
  const named = namedTarget(module, candidate);
  if (named !== null) return named;
  return adopted?.any === true ? adoptedTarget(adopted) : null;
}

function serverOf(candidate: unknown): Server | null {
  if (candidate instanceof Server) return candidate;
  if (typeof candidate !== 'object' || candidate === null) return null;
  const { server, getHttpServer } = candidate as { server?: unknown; getHttpServer?: unknown };
  if (server instanceof Server) return server;
  // A router of fetch may take any name for a method of HTTP.
  if (Object.hasOwn(candidate, 'fetch')) return null;
  const made: unknown = typeof getHttpServer === 'function' ? getHttpServer.call(candidate) : null;
  return made instanceof Server ? made : null;
}

function namedTarget(module: object, candidate: unknown): UpgradeTarget | null {
  const find = (name: string): unknown => {
    for (const owner of [module, candidate]) {
      if (typeof owner !== 'object' || owner === null || !Object.hasOwn(owner, name)) continue;
      return (owner as Record<string, unknown>)[name];
    }
    return undefined;
  };
  const upgrade = find('upgrade');
  const websocket = find('websocket');
  const shutdown = find('shutdown');
  const take =
    typeof upgrade === 'function'
      ? (upgrade as UpgradeFunction)
      : isWebSocketServer(websocket)
        ? connectTo(websocket)
        : null;
  if (take === null && typeof shutdown !== 'function') return null;
  return {
    wants: (method) => take !== null && method !== 'CONNECT',
    take: (request, socket, head) => take?.(request, socket, head),
    shutDown: () => {
      if (typeof shutdown !== 'function') return false;
      const result: unknown = shutdown();
      return result instanceof Promise ? result : true;
    },
  };
}

/** A server whose events take them, if somebody listens (ws with `server`, Socket.IO). */
function serverTarget(server: Server): UpgradeTarget {
  return {
    wants: (method) => server.listenerCount(eventFor(method)) > 0,
    take: (request, socket, head) =>
      server.emit(eventFor(request.method as string), request, socket, head),
    // Socket.IO closes its clients then, as when the server itself was closed.
    shutDown: () => server.emit('close'),
  };
}

const eventFor = (method: string) => (method === 'CONNECT' ? 'connect' : 'upgrade');

/** The servers that an application had listen, each for the clients of its port. */
export function adoptedTarget(adopted: ServerSet): UpgradeTarget {
  const listens = (server: Server, method: string) => server.listenerCount(eventFor(method)) > 0;
  return {
    wants: (method) => adopted.servers.some((server) => listens(server, method)),
    take: (request, socket, head) => {
      const { method = '' } = request;
      const server = adopted.serverOn(socket);
      if (server !== null && listens(server, method)) {
        return server.emit(eventFor(method), request, socket, head);
      }
      return socket.end(NOT_IMPLEMENTED);
    },
    shutDown: () => adopted.servers.map((server) => server.emit('close')).includes(true),
  };
}

function isWebSocketServer(value: unknown): value is WebSocketServerLike {
  if (typeof value !== 'object' || value === null) return false;
  const { handleUpgrade, emit } = value as Partial<WebSocketServerLike>;
  return typeof handleUpgrade === 'function' && typeof emit === 'function';
}

const connectTo =
  (server: WebSocketServerLike): UpgradeFunction =>
  (request, socket, head) =>
    server.handleUpgrade(request, socket, head, (client) => {
      server.emit('connection', client, request);
    });

/** Part of IncomingMessage that its types leave out; the same on Node 20, 22, 24 and 26. */
interface MessageInternals {
  upgrade: boolean;
  _addHeaderLines(list: string[], length: number): void;
}

/** The request of an exchange that is about to end, on its socket. */
export function upgradeRequest(exchange: Exchange, socket: Socket): IncomingMessage {
  const request = new IncomingMessage(socket);
  request.method = exchange.method;
  request.url = exchange.target;
  request.httpVersionMajor = 1;
  request.httpVersionMinor = exchange.minorVersion;
  request.httpVersion = '1.1';
  const internals = request as unknown as MessageInternals;
  internals.upgrade = true;
  const { table } = exchange;
  const list = rawFields(exchange.head, table, table.serial);
  internals._addHeaderLines(list, list.length);
  // Behind the fields, which would be taken for trailers.
  request.complete = true;
  return request;
}
