/**
 * What a lengthy request is answered where no lengthy worker can have it.
 *
 * Thread: a worker.
 */
import type { Exchange, Handler } from '../exchange.ts';

/** Seconds after which a client may try again; a place comes with the end of one lengthy request. */
const RETRY_AFTER = '10';
const BUSY = Object.freeze([
  'Content-Type',
  'text/plain;charset=UTF-8',
  'Retry-After',
  RETRY_AFTER,
]);
const PLAIN_TEXT = Object.freeze(['Content-Type', 'text/plain;charset=UTF-8']);

/** 503: as many wait as may (lengthyQueueLimit). */
export function answerBusy(exchange: Exchange): void {
  exchange.respond(503, '', BUSY, 'too many lengthy requests\n');
}

export const busy: Handler = { kind: 'static', handle: answerBusy };

/**
 * 411 (RFC 9110, section 15.5.12): a chunked body that is larger than the connection buffer is decoded in
 * place, piece by piece, so the next worker could not read it from its beginning.
 */
export const lengthRequired: Handler = {
  kind: 'static',
  handle: (exchange) => exchange.respond(411, '', PLAIN_TEXT, 'length-required\n'),
};
