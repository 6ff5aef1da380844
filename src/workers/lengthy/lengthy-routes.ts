/**
 * Routes that an application declares lengthy.
 *
 * Role: `export const lengthy = ['/report/*', '/export']`, read once at load.
 * Thread: a worker.
 */
import { RouteTable } from '../route-table.ts';

const FORM = 'must be an array of paths, which begin with / and may end in *';

export class LengthyRoutes {
  readonly #routes: RouteTable<true>;

  private constructor(routes: RouteTable<true>) {
    this.#routes = routes;
  }

  /**
   * @param declared what the application exports; undefined: nothing
   * @throws TypeError that names the route
   */
  static from(declared: unknown): LengthyRoutes | null {
    if (declared === undefined) return null;
    if (!Array.isArray(declared)) throw new TypeError(`lengthy ${FORM}`);
    const routes = new RouteTable<true>();
    for (const path of declared as readonly unknown[]) {
      if (typeof path === 'string' && routes.add(path, true)) continue;
      throw new TypeError(`lengthy: ${String(path)}: lengthy ${FORM}`);
    }
    return declared.length === 0 ? null : new LengthyRoutes(routes);
  }

  /** Whether the path of this request-target is declared. */
  has(target: string): boolean {
    return this.#routes.of(target) !== null;
  }
}
