/**
 * `lengthy(fn)` from within a handler: the rest of it is for a lengthy worker.
 *
 * Role: in a lengthy worker runs the function; anywhere else has the request served anew by one, which
 * calls the same handler again.
 * Thread: a worker.
 */
import type { Exchange } from '../exchange.ts';

/**
 * Thrown (as a rejection) where a request went to a lengthy worker, so that `finally` blocks of the
 * handler run. Whatever the handler answers after it is ignored.
 */
export class HandedOver extends Error {
  readonly code = 'ERR_MPM_HANDED_OVER';
  override readonly name = 'HandedOver';
  constructor() {
    super('the request goes on in a lengthy worker');
  }
}

/** Of a request that cannot be served anew. */
export const tooLate = (why: string): Error =>
  Object.assign(new Error(`too late for a lengthy worker: ${why}`), { code: 'ERR_MPM_TOO_LATE' });

/**
 * @param exchange the handler's; null: there is nobody to hand over to
 * @returns what `fn` gives; rejects with HandedOver where the request went to a lengthy worker, and with
 *   an Error with code ERR_MPM_TOO_LATE as `Exchange.toLengthy` throws it
 */
export function runLengthy<T>(
  exchange: Pick<Exchange, 'toLengthy'> | null,
  fn: () => T | PromiseLike<T>,
): Promise<T> {
  try {
    if (exchange?.toLengthy() !== true) return Promise.resolve(fn());
  } catch (error) {
    return Promise.reject(error);
  }
  const handedOver = Promise.reject(new HandedOver());
  // Nobody needs to wait for it: the handler may just return.
  handedOver.catch(() => {});
  return handedOver;
}
