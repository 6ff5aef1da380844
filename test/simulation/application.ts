/**
 * The application that the simulated workers serve.
 *
 * Role: answers `/kind/connection/request/bytes` in the way its kind says: at once, late, as a stream with
 * backpressure, from a file, after its body, never, with an error, or after computing for long.
 */
import type { Native } from '../../src/listener/native.ts';
import type { Exchange, Handler } from '../../src/workers/exchange.ts';
import { bodyOf, fits, startOf } from './content.ts';
import { ensure } from './violation.ts';
import type { World } from './world.ts';

export const KINDS = [
  'small',
  'string',
  'large',
  'late',
  'stream',
  'counted',
  'file',
  'read',
  'burn',
  'error',
  'never',
  'cut',
] as const;
export type Kind = (typeof KINDS)[number];

const PIECE = 3_000;
/** Without frames, which would take longer to tell than the rest of a request. */
const SIMULATED = Object.assign(new Error('simulated'), { stack: 'Error: simulated' });

export function application(world: World, native: Native): Handler {
  const handle = (exchange: Exchange): void => {
    const [, kind, connection, number, size] = exchange.target.split('/');
    const request = new Request(exchange, Number(connection), Number(number), Number(size));
    world.served(request.connection, request.number);
    answer(kind as Kind, request);
  };

  const answer = (kind: Kind, request: Request): void => {
    const { exchange, headers, body } = request;
    switch (kind) {
      case 'small':
      case 'large':
        exchange.respond(200, '', headers, body);
        return;
      case 'string':
        exchange.respond(200, '', headers, body.toString('latin1'));
        return;
      case 'late':
        // A client that has shut its side is gone for some.
        if (world.random.chance(0.5)) exchange.heedPeerEnd();
        setTimeout(
          () => {
            if (request.isOver) return;
            exchange.respond(200, '', headers, body);
          },
          world.random.between(1, 40),
        );
        return;
      case 'stream':
        exchange.start(200, '', headers, -1);
        stream(request, 0);
        return;
      case 'counted':
        exchange.start(200, '', headers, body.length);
        stream(request, 0);
        return;
      case 'file': {
        const fd = native.spill(body, 0, -1);
        if (fd < 0) exchange.respond(200, '', headers, body);
        else exchange.respondFile(200, '', headers, fd, 0, body.length);
        return;
      }
      case 'read':
        if (exchange.bodyLength >= 0) {
          request.received(exchange.takeBody());
          exchange.respond(200, '', headers, body);
        } else read(request);
        return;
      case 'burn':
        world.burn(world.random.between(1, 60));
        exchange.respond(200, '', headers, body);
        return;
      case 'error':
        throw SIMULATED;
      case 'never':
        return;
      case 'cut':
        exchange.start(200, '', headers, -1);
        exchange.write(body);
        setImmediate(() => {
          if (!request.isOver) exchange.abort();
        });
        return;
    }
  };

  const read = (request: Request): void => {
    if (request.isOver) return;
    const { exchange, headers, body } = request;
    exchange.readBody().then(
      (piece) => {
        if (request.isOver) return;
        if (piece !== null) {
          request.received(piece);
          read(request);
        } else exchange.respond(200, '', headers, body);
      },
      () => {},
    );
  };

  const stream = (request: Request, from: number): void => {
    const { exchange, body } = request;
    let at = from;
    while (at < body.length) {
      if (request.isOver) return;
      const piece = body.subarray(at, at + world.random.between(1, PIECE));
      at += piece.length;
      if (!exchange.write(piece)) {
        if (request.isOver) return;
        exchange.onDrain = () => stream(request, at);
        return;
      }
      if (world.random.chance(0.2)) {
        const next = () => stream(request, at);
        if (world.random.chance(0.5)) setImmediate(next);
        else setTimeout(next, world.random.between(1, 20));
        return;
      }
    }
    if (!request.isOver) exchange.end();
  };

  return { kind: 'node', handle };
}

class Request {
  readonly exchange: Exchange;
  readonly connection: number;
  readonly number: number;
  readonly body: Buffer;
  readonly headers: readonly string[];
  readonly #serial: number;
  #received = 0;

  constructor(exchange: Exchange, connection: number, number: number, size: number) {
    this.exchange = exchange;
    this.connection = connection;
    this.number = number;
    this.body = bodyOf(connection, number, size);
    this.headers = ['X-Id', `${connection}/${number}`];
    this.#serial = exchange.serial;
  }

  /** Objects are used again for another request. */
  get isOver(): boolean {
    return this.exchange.serial !== this.#serial || this.exchange.ended;
  }

  received(piece: Uint8Array): void {
    const { connection, number } = this;
    ensure(
      fits(piece, startOf(connection, number), this.#received),
      () => `request ${connection}/${number}: a body with other bytes than were sent`,
    );
    this.#received += piece.length;
  }
}
