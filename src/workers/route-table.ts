/**
 * Values that an application declares for paths.
 *
 * Role: exact paths, and prefixes that end in `*`, of which the longest that fits counts.
 * Thread: a worker; asked once a request, so paths without a `*` are looked up and not compared.
 */

export class RouteTable<Value> {
  readonly #exact = new Map<string, Value>();
  /** Without their `*`, the longest first. */
  readonly #prefixes: (readonly [string, Value])[] = [];

  /** False: a path begins with `/`, and has a `*` at its end or nowhere. */
  add(path: string, value: Value): boolean {
    const star = path.indexOf('*');
    if (!path.startsWith('/') || (star >= 0 && star !== path.length - 1)) return false;
    if (star < 0) this.#exact.set(path, value);
    else {
      this.#prefixes.push([path.slice(0, -1), value]);
      this.#prefixes.sort(([one], [other]) => other.length - one.length);
    }
    return true;
  }

  /** What is declared for the path of a request-target, null: nothing. */
  of(target: string): Value | null {
    const query = target.indexOf('?');
    const path = query < 0 ? target : target.slice(0, query);
    const exact = this.#exact.get(path);
    if (exact !== undefined) return exact;
    for (const [prefix, value] of this.#prefixes) {
      if (path.startsWith(prefix)) return value;
    }
    return null;
  }
}
