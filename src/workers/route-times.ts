/**
 * How long the handlers of the routes run without a break, as moving means.
 *
 * Role: tells a leading worker which handler will keep it from polling, also one that ran elsewhere so
 * far. Routes are told apart by a hash of method and path, so two may share a mean; that costs a
 * hand-over too many, nothing else.
 * Thread: any worker. All write the same words without order: a lost update is one sample less.
 */
import { ROUTES } from '../scoreboard/layout.ts';

const HASHED_CHARACTERS = 32;
/** Weight of the newest time, as a power of two: 1 / 8. */
const WEIGHT_SHIFT = 3;
const QUESTION_MARK = 63;
/** A route with a longer mean is not run by a leader, microseconds. */
export const LONG_HANDLER_US = 300;
/**
 * More than this counts as this. A short handler whose thread had to give up its processor half way
 * looks as long as one that computes; it takes several in a row to be believed.
 */
const MAX_SAMPLE_US = 2 * LONG_HANDLER_US;

export class RouteTimes {
  readonly #meansUs: Int32Array;

  /** @param meansUs the words of the scoreboard, one for each of `ROUTES` */
  constructor(meansUs: Int32Array) {
    this.#meansUs = meansUs;
  }

  /** Number of the route of a request. */
  routeOf(method: string, target: string): number {
    let hash = method.length;
    const end = Math.min(target.length, HASHED_CHARACTERS);
    for (let index = 0; index < end; index++) {
      const code = target.charCodeAt(index);
      if (code === QUESTION_MARK) break;
      hash = (Math.imul(hash, 31) + code) | 0;
    }
    return (hash ^ (hash >>> 15)) & (ROUTES - 1);
  }

  /** By what was seen of it so far. */
  isLong(route: number): boolean {
    return (this.#meansUs[route] as number) > LONG_HANDLER_US;
  }

  record(route: number, milliseconds: number): void {
    const mean = this.#meansUs[route] as number;
    const sample = Math.min(milliseconds * 1000, MAX_SAMPLE_US) | 0;
    if (mean === 0) {
      this.#meansUs[route] = Math.max(1, sample);
      return;
    }
    // Mostly nothing changes, and then the line stays shared between the processors' caches.
    const change = (sample - mean) >> WEIGHT_SHIFT;
    if (change !== 0) this.#meansUs[route] = mean + change;
  }
}
