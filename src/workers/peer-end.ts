/**
 * A client that leaves while its request is handled.
 *
 * Role: finds out from the flags in the state word, and from what came with the request; asks the exchange whether
 * an end of the stream counts as gone.
 * Thread: one worker, which owns the connection.
 * May not: end the request; it says so.
 */
import { FLAG_END } from '../scoreboard/transition.ts';
import type { WorkerContext } from './context.ts';
import type { HttpExchange } from './http-exchange.ts';
import type { Ownership } from './ownership.ts';
import type { RequestReader } from './request-reader.ts';
import { Response } from './response-course.ts';
import type { Tenure } from './tenure.ts';

export class PeerEnd {
  readonly #context: WorkerContext;
  readonly #hold: Ownership;
  readonly #reader: RequestReader;
  readonly #tenure: Tenure;
  readonly #exchange: HttpExchange;
  readonly #onGone: () => void;

  /** @param onGone ends the request, since nobody is there to be answered */
  constructor(
    context: WorkerContext,
    hold: Ownership,
    reader: RequestReader,
    tenure: Tenure,
    exchange: HttpExchange,
    onGone: () => void,
  ) {
    this.#context = context;
    this.#hold = hold;
    this.#reader = reader;
    this.#tenure = tenure;
    this.#exchange = exchange;
    this.#onGone = onGone;
  }

  /** A hang-up or an end of the peer's stream was noticed while a handler is unfinished. */
  check(): void {
    if (this.#hold.slot < 0) return;
    if (this.#hold.hungUp || (this.#context.isLengthy && this.#hasDeparted())) {
      this.#tenure.attend();
      this.#onGone();
    } else if (this.#hold.peerEnded) {
      this.#ask();
    }
  }

  /** Nobody computes long for a client that has shut its side since it asked. */
  #hasDeparted(): boolean {
    return this.#hold.peerEnded && this.#context.isDeparted(FLAG_END);
  }

  /** The peer has shut its side; the exchange is asked once the present turn is over. */
  askLater(): void {
    const exchange = this.#exchange;
    const { serial } = exchange;
    setImmediate(() => {
      if (this.#hold.slot >= 0 && exchange.serial === serial) this.#ask();
    });
  }

  /** The peer sends nothing more; whether it still reads only the handler can judge. */
  #ask(): void {
    const exchange = this.#exchange;
    // What it has sent of its request before comes first.
    if (exchange.response === Response.ended || !this.#reader.requestConsumed) return;
    const { onPeerEnd } = exchange;
    exchange.onPeerEnd = null;
    if (onPeerEnd?.() === true) this.#onGone();
  }
}
