/**
 * Deadlines that an application declares for routes of its own.
 *
 * Role: `export const deadlines = { '/report/*': '10s', '/events': 0 }`, read once at load.
 * Thread: a worker; asked once a request, so paths without a `*` are looked up and not compared.
 */
import { durationMs } from './duration.ts';

export const MAX_DEADLINE_MS = 86_400_000;

const FORM =
  'must be an object of paths, which may end in *, and times like 10s, 500ms or 2min (a bare number is seconds, 0: none, at most 24h)';

export class RouteDeadlines {
  readonly #exact: ReadonlyMap<string, number>;
  /** Without their `*`, the longest first. */
  readonly #prefixes: readonly (readonly [string, number])[];

  private constructor(
    exact: ReadonlyMap<string, number>,
    prefixes: readonly (readonly [string, number])[],
  ) {
    this.#exact = exact;
    this.#prefixes = prefixes;
  }

  /**
   * @param declared what the application exports; undefined: nothing
   * @throws TypeError that names the route
   */
  static from(declared: unknown): RouteDeadlines | null {
    if (declared === undefined) return null;
    if (typeof declared !== 'object' || declared === null || Array.isArray(declared)) {
      throw new TypeError(`deadlines ${FORM}`);
    }
    const exact = new Map<string, number>();
    const prefixes: [string, number][] = [];
    for (const [path, value] of Object.entries(declared)) {
      const milliseconds = durationMs(String(value).trim());
      const star = path.indexOf('*');
      const wellFormed = path.startsWith('/') && (star < 0 || star === path.length - 1);
      if (!wellFormed || !(milliseconds >= 0 && milliseconds <= MAX_DEADLINE_MS)) {
        throw new TypeError(`deadlines['${path}'] = ${String(value)}: deadlines ${FORM}`);
      }
      if (star < 0) exact.set(path, milliseconds);
      else prefixes.push([path.slice(0, -1), milliseconds]);
    }
    prefixes.sort(([one], [other]) => other.length - one.length);
    return new RouteDeadlines(exact, prefixes);
  }

  /** Milliseconds for a request-target, null where no route matches its path. */
  of(target: string): number | null {
    const query = target.indexOf('?');
    const path = query < 0 ? target : target.slice(0, query);
    const exact = this.#exact.get(path);
    if (exact !== undefined) return exact;
    for (const [prefix, milliseconds] of this.#prefixes) {
      if (path.startsWith(prefix)) return milliseconds;
    }
    return null;
  }
}
