/**
 * HTTP/1.1 as one of the protocols behind the serving loop.
 *
 * Role: keeps the connection objects of one worker that serve nothing at present.
 * Thread: one worker.
 */
import { Connection, type Home } from './connection.ts';
import type { WorkerContext } from './context.ts';
import type { Protocol, ServingLoop } from './protocol.ts';

export class HttpProtocol implements Protocol, Home {
  readonly #context: WorkerContext;
  readonly #loop: ServingLoop;
  readonly #spare: Connection[] = [];

  constructor(context: WorkerContext, loop: ServingLoop) {
    this.#context = context;
    this.#loop = loop;
  }

  take(): Connection {
    return this.#spare.pop() ?? new Connection(this.#context, this.#loop, this);
  }

  recycle(connection: Connection): void {
    this.#spare.push(connection);
  }
}
