/**
 * Runs a web-style handler: `fetch(request, context)` to a Response or a promise of one.
 *
 * Role: the adapter between an exchange and the application's function.
 * Thread: a worker.
 * May not: let anything the application does escape as an exception into the connection code.
 */
import type { Exchange, Handler } from '../exchange.ts';
import { failExchange } from '../files/file-error.ts';
import type { FileOffload } from '../files/offload.ts';
import type { LengthyRoutes } from '../lengthy/lengthy-routes.ts';
import type { RouteDeadlines } from '../route-deadlines.ts';
import { Background, type FetchContext, RequestContext } from './context.ts';
import { isGone } from './pump.ts';
import { abortRequest, type ExchangeRequest, requestOf } from './request.ts';
import { discardResponse, isResponse, sendResponse } from './send.ts';
import { BadHostError } from './url.ts';

/** An application's handler; may return a Response or a promise of one. */
export type FetchFunction = (request: globalThis.Request, context: FetchContext) => unknown;

const PLAIN_TEXT = Object.freeze(['content-type', 'text/plain;charset=UTF-8']);

export class FetchHandler implements Handler {
  readonly kind = 'fetch';
  deadlines: RouteDeadlines | null = null;
  lengthy: LengthyRoutes | null = null;
  /** What the application goes on with after its responses. */
  readonly background = new Background();
  readonly #fetch: FetchFunction;
  readonly #offload: FileOffload | null;

  /** @param offload heeds X-Sendfile and its like */
  constructor(fetch: FetchFunction, offload: FileOffload | null = null) {
    this.#fetch = fetch;
    this.#offload = offload;
  }

  settled(): Promise<void> {
    return this.background.idle();
  }

  handle(exchange: Exchange): void {
    const { serial } = exchange;
    const request = requestOf(exchange);
    try {
      const value = this.#fetch(
        request as unknown as globalThis.Request,
        new RequestContext(exchange, this.background),
      );
      if (isThenable(value)) answerLater(exchange, request, value, this.#offload);
      else answer(exchange, request, value, this.#offload);
    } catch (error) {
      fail(exchange, serial, error);
    }
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  return typeof (value as Partial<PromiseLike<unknown>>).then === 'function';
}

function answer(
  exchange: Exchange,
  request: ExchangeRequest,
  value: unknown,
  offload: FileOffload | null,
): void {
  if (isResponse(value)) {
    sendResponse(exchange, request, value, offload);
  } else {
    const got = value === null ? 'null' : typeof value;
    exchange.fail(new TypeError(`The handler has to return a Response, not ${got}`));
  }
}

function answerLater(
  exchange: Exchange,
  request: ExchangeRequest,
  promise: PromiseLike<unknown>,
  offload: FileOffload | null,
): void {
  const { serial } = exchange;
  exchange.onAbort = (reason) => abortRequest(request, reason);
  promise.then(
    (value) => {
      // The peer left while the handler worked; its exchange may serve another request by now.
      if (isGone(exchange, serial)) {
        discardResponse(value);
        return;
      }
      exchange.onAbort = null;
      try {
        answer(exchange, request, value, offload);
      } catch (error) {
        fail(exchange, serial, error);
      }
    },
    (error) => fail(exchange, serial, error),
  );
}

/** Ending an exchange may begin its next request at once, which must not get this one's error. */
function fail(exchange: Exchange, serial: number, error: unknown): void {
  if (isGone(exchange, serial)) return;
  if (error instanceof BadHostError && !exchange.headersSent) {
    exchange.respond(400, '', PLAIN_TEXT, 'Bad Request');
  } else {
    failExchange(exchange, error);
  }
}
