/**
 * The route of a `(req, res)` handler's request, for the metrics.
 *
 * Thread: a worker; a pure function.
 */

/** What routers leave on the request. */
export interface Routed {
  /** Express: an object with the path it matched. */
  readonly route?: unknown;
  /** Express: where the router that matched is mounted. */
  readonly baseUrl?: unknown;
}

/**
 * The path pattern that matched: `req.route` where it is a string, else Express's `req.baseUrl` and
 * `req.route.path` where they are. '' for anything else.
 */
export function routeOf(request: Routed): string {
  const { route, baseUrl } = request;
  if (typeof route === 'string') return route;
  if (typeof route !== 'object' || route === null) return '';
  const { path } = route as { readonly path?: unknown };
  if (typeof path !== 'string') return '';
  return typeof baseUrl === 'string' ? baseUrl + path : path;
}
