/**
 * What `req` and `res` are made from for an application that gives them prototypes of its own.
 *
 * Role: tells an Express application, and keeps the shapes that fit it, see shape.ts.
 * Thread: a worker.
 * May not: give a prototype to anybody who would not set it first thing.
 */
import { IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { IncomingRequest, plainRequest } from './incoming.ts';
import { OutgoingResponse, plainResponse } from './outgoing.ts';
import { type Shape, shapeOf } from './shape.ts';

/** The parts of an Express application, 4 or 5, that say what becomes of `req` and `res`. */
interface Express {
  readonly handle: unknown;
  readonly request: object;
  readonly response: object;
}

/** The shapes that are right for a handler, kept as long as the application's prototypes stay. */
export class Shapes {
  request: Shape<Socket> = plainRequest;
  response: Shape<IncomingMessage> = plainResponse;
  #listener: unknown = null;
  #express: Express | null = null;
  #request: object | null = null;
  #response: object | null = null;

  /** Looks again, since an application may put other prototypes in their place at any time. */
  follow(listener: unknown): void {
    if (listener !== this.#listener) {
      this.#listener = listener;
      this.#express = isExpress(listener) ? listener : null;
    }
    const express = this.#express;
    const request = express === null ? null : express.request;
    if (request !== this.#request) {
      this.#request = request;
      this.request = fits(request, IncomingMessage, sampleRequest(), IncomingRequest)
        ? shapeOf(IncomingMessage, request)
        : plainRequest;
    }
    const response = express === null ? null : express.response;
    if (response !== this.#response) {
      this.#response = response;
      const sample = new ServerResponse(sampleRequest());
      this.response = fits(response, ServerResponse, sample, OutgoingResponse)
        ? shapeOf(ServerResponse, response)
        : plainResponse;
    }
  }
}

/** Who sees the requests of a server first; null where nobody or more than one does. */
export function firstListener(server: Server): unknown {
  if (server.listenerCount('checkContinue') > 0) return null;
  const listeners = server.listeners('request');
  return listeners.length === 1 ? listeners[0] : null;
}

function sampleRequest(): IncomingMessage {
  return new IncomingMessage(null as unknown as Socket);
}

function isExpress(listener: unknown): listener is Express {
  if (typeof listener !== 'function') return false;
  const { handle, request, response } = listener as Partial<Express>;
  return (
    typeof handle === 'function' &&
    request instanceof IncomingMessage &&
    response instanceof ServerResponse
  );
}

/**
 * Whether a prototype is one for such messages, and has nothing that would catch what the constructors
 * set: those run before the application would have put it there.
 */
function fits(
  prototype: object | null,
  base: { readonly prototype: object },
  sample: object,
  own: { readonly prototype: object },
): prototype is object {
  if (prototype === null || !Object.prototype.isPrototypeOf.call(base.prototype, prototype)) {
    return false;
  }
  const names = [...Reflect.ownKeys(sample), ...Reflect.ownKeys(own.prototype)];
  for (let link = prototype; link !== base.prototype; link = Object.getPrototypeOf(link)) {
    for (const name of names) {
      const property = Reflect.getOwnPropertyDescriptor(link, name);
      if (property !== undefined && property.writable !== true) return false;
    }
  }
  return true;
}
