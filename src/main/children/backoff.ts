/**
 * How long to wait before the next try while children die before they serve.
 *
 * Role: at once after a single fault of one that served; 100 ms, 200 ms ... 10 s while starts fail.
 * Thread: main.
 */
const FIRST_MS = 100;
const LAST_MS = 10_000;

export class Backoff {
  #failures = 0;
  #told = '';

  /** A child died before it was ready. True: nothing was said of this reason yet. */
  failed(reason: string): boolean {
    this.#failures++;
    const news = reason !== this.#told;
    this.#told = reason;
    return news;
  }

  /** A child is ready. True: starts had failed before, and it was said. */
  succeeded(): boolean {
    this.#failures = 0;
    const news = this.#told !== '';
    this.#told = '';
    return news;
  }

  /** There is other code, which has not failed yet. */
  forgive(): void {
    this.#failures = 0;
  }

  get delayMs(): number {
    if (this.#failures === 0) return 0;
    return Math.min(LAST_MS, FIRST_MS * 2 ** Math.min(20, this.#failures - 1));
  }
}
