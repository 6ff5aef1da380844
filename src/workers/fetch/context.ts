/**
 * The second argument of a web-style handler.
 *
 * Role: who asked, and work that goes on after the response.
 * Thread: a worker.
 * May not: read the exchange after its request has ended.
 */
import type { Exchange } from '../exchange.ts';
import { runLengthy, tooLate } from '../lengthy/hand-over.ts';
import { MAX_DEADLINE_MS } from '../route-deadlines.ts';
import { wake } from '../session/wake.ts';

/** What a `fetch(request, context)` handler gets besides the request. */
export interface FetchContext {
  /** The peer's address; '' once the request has ended. */
  readonly remoteAddress: string;
  /** The peer's port; 0 once the request has ended. */
  readonly remotePort: number;
  /**
   * Path pattern of the route that answers, such as `/users/:id`, under which metrics count the
   * request; '' at first. To be set before the response is returned; later it is ignored. Patterns
   * should be few: beyond 256 sets of method, route and status class requests count together.
   * @throws TypeError when set to anything but a string
   */
  route: string;
  /**
   * Bounds the time until the response begins, from now on, in place of what `requestDeadline` or the
   * route's deadline says. Past it the client is answered 504, and a worker that computes meanwhile is
   * ended. Nothing happens where the request has ended.
   * @param milliseconds 0 .. 86,400,000; 0: no bound
   * @throws RangeError for any other number
   */
  deadline(milliseconds: number): void;
  /** True in a worker of the lengthy pool. */
  readonly isLengthy: boolean;
  /**
   * Runs `fn` in a worker of the lengthy pool. In such a worker it is called at once. In any other, the
   * request goes there before a byte of its response is sent, and the handler is called again, from its
   * beginning, with the same request and `isLengthy` true; here the promise rejects with a HandedOver
   * error, so that `finally` blocks run, `request.signal` aborts, and whatever the handler answers is
   * ignored. So what comes before this call is done twice, and should have no effects. With
   * `lengthyWorkers` 0 `fn` is called at once, here.
   * @throws (rejects with) an Error with code ERR_MPM_TOO_LATE where the response has begun or ended, or
   *   a part of a body too large for the connection buffer was read, and what `fn` throws
   */
  lengthy<T>(fn: () => T | PromiseLike<T>): Promise<T>;
  /**
   * Calls an idle session of a protocol of the application's, see `wake`.
   * @param id `session.id`
   * @returns false: that session has ended
   */
  wake(id: number): boolean;
  /**
   * Keeps the worker from retiring until the promise has settled, however long after the response.
   * A rejection is reported as a warning and harms nothing else.
   */
  waitUntil(promise: PromiseLike<unknown>): void;
}

/** Counts the promises given to `waitUntil`. */
export class Background {
  #pending = 0;
  #waiting: (() => void)[] = [];

  /** How many have not settled yet. */
  get pending(): number {
    return this.#pending;
  }

  add(promise: PromiseLike<unknown>): void {
    this.#pending++;
    Promise.resolve(promise)
      .catch((error: unknown) => {
        process.emitWarning(error instanceof Error ? error : new Error(String(error)));
      })
      .finally(() => this.#settle());
  }

  #settle(): void {
    this.#pending--;
    if (this.#pending > 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Resolves as soon as nothing is pending. */
  idle(): Promise<void> {
    if (this.#pending === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** Stands for an exchange that may be another request's by now. */
const GONE = {
  toLengthy(): never {
    throw tooLate('the request has ended');
  },
};

/** One per request, so it only points. */
export class RequestContext implements FetchContext {
  readonly #exchange: Exchange;
  readonly #serial: number;
  readonly #background: Background;

  constructor(exchange: Exchange, background: Background) {
    this.#exchange = exchange;
    this.#serial = exchange.serial;
    this.#background = background;
  }

  #isGone(): boolean {
    return this.#exchange.serial !== this.#serial || this.#exchange.ended;
  }

  get remoteAddress(): string {
    return this.#isGone() ? '' : this.#exchange.remoteAddress;
  }

  get remotePort(): number {
    return this.#isGone() ? 0 : this.#exchange.remotePort;
  }

  get route(): string {
    return this.#isGone() ? '' : this.#exchange.route;
  }

  set route(route: string) {
    if (typeof route !== 'string') {
      throw new TypeError(`context.route has to be a string, not ${typeof route}`);
    }
    if (!this.#isGone()) this.#exchange.route = route;
  }

  deadline(milliseconds: number): void {
    if (!(milliseconds >= 0 && milliseconds <= MAX_DEADLINE_MS)) {
      throw new RangeError(
        `deadline takes milliseconds from 0 to ${MAX_DEADLINE_MS}, not ${milliseconds}`,
      );
    }
    if (!this.#isGone()) this.#exchange.deadline(milliseconds);
  }

  get isLengthy(): boolean {
    return this.#exchange.isLengthy;
  }

  lengthy<T>(fn: () => T | PromiseLike<T>): Promise<T> {
    return runLengthy(this.#isGone() ? GONE : this.#exchange, fn);
  }

  wake(id: number): boolean {
    return wake(id);
  }

  waitUntil(promise: PromiseLike<unknown>): void {
    this.#background.add(promise);
  }
}
