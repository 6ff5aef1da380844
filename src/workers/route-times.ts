/**
 * How long the handlers of a worker's routes run without a break, as moving means.
 *
 * Role: tells a leading worker which handler will keep it from polling. Routes are told apart by a
 * hash of method and path, so two may share a mean; that costs a hand-over too many, nothing else.
 * Thread: one worker.
 */
const ENTRIES = 1024;
const HASHED_CHARACTERS = 32;
const WEIGHT = 1 / 8;
const QUESTION_MARK = 63;

export class RouteTimes {
  readonly #meansMs = new Float64Array(ENTRIES);

  /** Number of the route of a request. */
  routeOf(method: string, target: string): number {
    let hash = method.length;
    const end = Math.min(target.length, HASHED_CHARACTERS);
    for (let index = 0; index < end; index++) {
      const code = target.charCodeAt(index);
      if (code === QUESTION_MARK) break;
      hash = (Math.imul(hash, 31) + code) | 0;
    }
    return (hash ^ (hash >>> 15)) & (ENTRIES - 1);
  }

  /** Mean time of its handler so far, milliseconds; 0 where it is not known. */
  meanMs(route: number): number {
    return this.#meansMs[route] as number;
  }

  record(route: number, milliseconds: number): void {
    const mean = this.#meansMs[route] as number;
    this.#meansMs[route] = mean + (milliseconds - mean) * WEIGHT;
  }
}
