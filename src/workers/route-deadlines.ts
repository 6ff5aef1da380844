/**
 * Deadlines that an application declares for routes of its own.
 *
 * Role: `export const deadlines = { '/report/*': '10s', '/events': 0 }`, read once at load.
 * Thread: a worker.
 */
import { durationMs } from './duration.ts';
import { RouteTable } from './route-table.ts';

export const MAX_DEADLINE_MS = 86_400_000;

const FORM =
  'must be an object of paths, which may end in *, and times like 10s, 500ms or 2min (a bare number is seconds, 0: none, at most 24h)';

export class RouteDeadlines {
  readonly #routes: RouteTable<number>;

  private constructor(routes: RouteTable<number>) {
    this.#routes = routes;
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
    const routes = new RouteTable<number>();
    for (const [path, value] of Object.entries(declared)) {
      const milliseconds = durationMs(String(value).trim());
      const inRange = milliseconds >= 0 && milliseconds <= MAX_DEADLINE_MS;
      if (!inRange || !routes.add(path, milliseconds)) {
        throw new TypeError(`deadlines['${path}'] = ${String(value)}: deadlines ${FORM}`);
      }
    }
    return new RouteDeadlines(routes);
  }

  /** Milliseconds for a request-target, null where no route matches its path. */
  of(target: string): number | null {
    return this.#routes.of(target);
  }
}
