/**
 * The second argument of a web-style handler.
 *
 * Role: who asked, and work that goes on after the response.
 * Thread: a worker.
 * May not: read the exchange after its request has ended.
 */
import type { Exchange } from '../exchange.ts';

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

  waitUntil(promise: PromiseLike<unknown>): void {
    this.#background.add(promise);
  }
}
