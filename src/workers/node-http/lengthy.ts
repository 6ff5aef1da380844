/**
 * `lengthy`: what a `(req, res)` handler does at length, in a worker of the lengthy pool.
 *
 * Role: what handlers call; `context.lengthy` for those that have no context.
 * Thread: a worker.
 */
import type { ServerResponse } from 'node:http';
import { runLengthy, tooLate } from '../lengthy/hand-over.ts';
import { exchangeOf } from './outgoing.ts';

/**
 * Runs `fn` in a worker of the lengthy pool. In such a worker, with `lengthyWorkers` 0, and on another
 * server's response it is called at once. In any other worker the request goes to the lengthy pool before
 * a byte of its response is sent, and the handler is called there again, from its beginning, with the same
 * request; here the promise rejects with a HandedOver error, `close` comes as when a client left, and
 * whatever is written is ignored. So what comes before this call is done twice, and should have no effects.
 * @throws (rejects with) an Error with code ERR_MPM_TOO_LATE where the response has begun or ended, or a
 *   part of a body too large for the connection buffer was read, and what `fn` throws
 */
export function lengthy<T>(response: ServerResponse, fn: () => T | PromiseLike<T>): Promise<T> {
  const exchange = exchangeOf(response);
  if (exchange === 'over') return Promise.reject(tooLate('the response has ended'));
  return runLengthy(exchange, fn);
}

/** Whether the handler of this response runs in a worker of the lengthy pool. */
export function isLengthy(response: ServerResponse): boolean {
  const exchange = exchangeOf(response);
  return exchange !== null && exchange !== 'over' && exchange.isLengthy;
}
