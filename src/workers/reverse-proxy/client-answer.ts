/**
 * What the client of a proxied request gets.
 *
 * Role: the upstream's response, as a whole or piece by piece, or an answer that says what was wrong; knows
 * whether the client still waits for this one.
 * Thread: a worker. May not: touch the upstream's connection.
 */
import type { Exchange } from '../exchange.ts';
import { FAILURE_HEADERS, failureText, type ProxyFailure } from './failure.ts';
import type { PassedHead } from './head-caches.ts';
import { Reply } from './reply.ts';
import type { Spill } from './spill.ts';

export class ClientAnswer {
  readonly #exchange: Exchange;
  readonly #serial: number;
  readonly #makeSpill: () => Spill;
  #reply: Reply | null = null;

  constructor(exchange: Exchange, makeSpill: () => Spill) {
    this.#exchange = exchange;
    this.#serial = exchange.serial;
    this.#makeSpill = makeSpill;
  }

  /** Its client has gone, or was answered. */
  get isOver(): boolean {
    return this.#exchange.serial !== this.#serial || this.#exchange.ended;
  }

  /** More of the body can be taken. */
  get takes(): boolean {
    return this.#reply === null || this.#reply.takes;
  }

  /** The head of a response whose body follows was sent. */
  get hasBegun(): boolean {
    return this.#reply !== null;
  }

  /** An informational response (RFC 9110, section 15.2). */
  interim({ head, fields }: PassedHead): void {
    let text = `HTTP/1.1 ${head.status} ${head.reason}\r\n`;
    for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
    this.#exchange.writeInterim(Buffer.from(`${text}\r\n`, 'latin1'));
  }

  /** @param body null: the response has none */
  whole({ head, fields }: PassedHead, body: Uint8Array | null): void {
    const exchange = this.#exchange;
    const { status, reason, contentLength } = head;
    // HEAD is told the length that GET would have.
    if (body === null && exchange.method === 'HEAD' && contentLength >= 0) {
      exchange.start(status, reason, fields, contentLength);
      exchange.end();
    } else exchange.respond(status, reason, fields, body);
  }

  /**
   * @param length of the body, -1: unknown
   * @param resume called when more can be taken again
   */
  begin({ head, fields }: PassedHead, length: number, resume: () => void): void {
    const { status, reason } = head;
    const makeSpill = this.#makeSpill;
    this.#reply = new Reply(this.#exchange, status, reason, fields, length, makeSpill, resume);
  }

  /** Part of the body. True: its memory is in use from now on, and must not be written to. */
  put(piece: Uint8Array): boolean {
    return this.#reply?.put(piece) ?? false;
  }

  /** All of the body was put; its client may still be taking it. */
  end(): void {
    this.#reply?.end();
  }

  fail(failure: ProxyFailure): void {
    if (this.isOver) return;
    const exchange = this.#exchange;
    // Half a response must not look like a whole one.
    if (exchange.headersSent) exchange.abort();
    else exchange.respond(failure.status, '', FAILURE_HEADERS, failureText(failure));
  }

  /** The request cannot be read; where the client is at fault it was answered already. */
  unreadable(error: unknown): void {
    if (!this.isOver) this.#exchange.fail(error);
  }

  /** What waits for the client goes. */
  close(): void {
    this.#reply?.close();
    this.#reply = null;
  }
}
