/**
 * Runs a `(req, res)` handler: a plain function, Express, Connect, Koa's callback.
 *
 * Role: the adapter between an exchange and node:http's classes.
 * Thread: a worker.
 * May not: let anything the application does escape as an exception into the connection code.
 */
import { channel } from 'node:diagnostics_channel';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Exchange, Handler } from '../exchange.ts';
import type { FileOffload } from '../files/offload.ts';
import type { LengthyRoutes } from '../lengthy/lengthy-routes.ts';
import type { RouteDeadlines } from '../route-deadlines.ts';
import { IncomingRequest } from './incoming.ts';
import { failResponse, isOver, OutgoingResponse } from './outgoing.ts';
import { firstListener, Shapes } from './prototypes.ts';
import { ExchangeSocket } from './socket.ts';

/** An application's handler; what it returns is ignored, except that a rejection fails the request. */
export type NodeFunction = (request: IncomingMessage, response: ServerResponse) => unknown;

const requestStart = channel('http.server.request.start');
const responseFinish = channel('http.server.response.finish');

export class NodeHandler implements Handler {
  readonly kind = 'node';
  deadlines: RouteDeadlines | null = null;
  lengthy: LengthyRoutes | null = null;
  readonly #listener: NodeFunction;

  readonly #offload: FileOffload | null;
  readonly #server: Server | null;
  readonly #shapes = new Shapes();

  /**
   * @param offload heeds X-Sendfile and its like
   * @param server the application's own, which is told of timeouts; null: it has none
   */
  constructor(
    listener: NodeFunction,
    offload: FileOffload | null = null,
    server: Server | null = null,
  ) {
    this.#listener = listener;
    this.#offload = offload;
    this.#server = server;
  }

  get direct(): NodeFunction {
    return this.#listener;
  }

  handle(exchange: Exchange): void {
    const socket = new ExchangeSocket(exchange);
    const shapes = this.#shapes;
    shapes.follow(this.#server === null ? this.#listener : firstListener(this.#server));
    const request = new IncomingRequest(exchange, socket, shapes.request);
    const response = new OutgoingResponse(
      exchange,
      request,
      socket,
      this.#offload,
      shapes.response,
    );
    forwardTimeout(socket, request, response, this.#server);
    if (requestStart.hasSubscribers || responseFinish.hasSubscribers) {
      publish(socket, request, response, this.#server);
    }
    try {
      const value = this.#listener(request, response);
      if (isThenable(value)) value.then(undefined, (error) => fail(response, error));
    } catch (error) {
      fail(response, error);
    }
  }
}

/** As node:http's server: to those who trace and measure. */
function publish(
  socket: ExchangeSocket,
  request: IncomingRequest,
  response: OutgoingResponse,
  server: Server | null,
): void {
  const message = { request, response, socket, server };
  if (responseFinish.hasSubscribers) response.once('finish', () => responseFinish.publish(message));
  if (requestStart.hasSubscribers) requestStart.publish(message);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Partial<PromiseLike<unknown>>).then === 'function'
  );
}

function fail(response: OutgoingResponse, error: unknown): void {
  if (!isOver(response)) {
    failResponse(response, error);
    return;
  }
  // The response is out, so nobody can be told but the operator.
  process.emitWarning(error instanceof Error ? error : new Error(String(error)));
}

/** As node:http: a timeout that neither messages nor server listen to cuts the connection off. */
function forwardTimeout(
  socket: ExchangeSocket,
  request: IncomingRequest,
  response: OutgoingResponse,
  server: Server | null,
): void {
  socket.onTimeout = () => {
    const handled = [
      !request.complete && request.emit('timeout', socket),
      response.emit('timeout', socket),
      server?.emit('timeout', socket),
    ];
    if (!handled.includes(true)) socket.destroy();
    // Last, since node:http was the first to listen.
    socket.emit('timeout');
  };
}
