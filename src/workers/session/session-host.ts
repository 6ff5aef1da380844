/**
 * A session protocol behind the serving loop of one worker.
 *
 * Role: keeps the objects that serve nothing at present, and the memory of the sessions' data.
 * Thread: one worker.
 */
import type { WorkerContext } from '../context.ts';
import type { Protocol, ServingLoop } from '../protocol.ts';
import type { LoadedProtocol } from './load.ts';
import { SessionConnection } from './session-connection.ts';

const NOTHING = Buffer.alloc(0);

export class SessionHost implements Protocol {
  readonly #context: WorkerContext;
  readonly #loop: ServingLoop;
  readonly #spare: SessionConnection[] = [];
  readonly protocol: LoadedProtocol;
  /** Its mean time tells whether a call will hold the worker for long. */
  readonly route: number;

  constructor(context: WorkerContext, loop: ServingLoop, protocol: LoadedProtocol) {
    this.#context = context;
    this.#loop = loop;
    this.protocol = protocol;
    this.route = loop.routeOf('', protocol.name);
  }

  take(): SessionConnection {
    return this.#spare.pop() ?? new SessionConnection(this.#context, this.#loop, this);
  }

  recycle(connection: SessionConnection): void {
    this.#spare.push(connection);
  }

  /** The session's data in shared memory. */
  dataOf(slot: number): Buffer {
    const { data, dataBytes } = this.protocol;
    return data === null ? NOTHING : Buffer.from(data, slot * dataBytes, dataBytes);
  }
}
