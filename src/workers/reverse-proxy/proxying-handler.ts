/**
 * A handler some of whose paths belong to upstreams: the directive `proxy`.
 *
 * Role: routes by the longest prefix; everything else goes to the handler untouched.
 * Thread: a worker.
 */
import type { Exchange, Handler, UpgradeTaker } from '../exchange.ts';
import { takesUpgrades } from '../exchange.ts';
import type { LengthyRoutes } from '../lengthy/lengthy-routes.ts';
import type { RouteDeadlines } from '../route-deadlines.ts';
import type { UpgradeSocket } from '../upgrade/upgrade-socket.ts';
import type { ProxyRoute } from './options.ts';
import type { ReverseProxy } from './reverse-proxy.ts';

/** The route with the longest prefix of a path, null: none. A prefix ends where a segment does. */
export function routeOf(routes: readonly ProxyRoute[], target: string): ProxyRoute | null {
  let at = 0;
  if (!target.startsWith('/')) {
    // The absolute form (RFC 9112, section 3.2.2).
    const scheme = target.indexOf('://');
    if (scheme < 0) return null;
    at = target.indexOf('/', scheme + 3);
    if (at < 0) at = target.length;
  }
  for (const route of routes) {
    const { prefix } = route;
    if (!target.startsWith(prefix, at)) continue;
    const next = target[at + prefix.length];
    if (prefix === '' || next === undefined || next === '/' || next === '?') return route;
  }
  return null;
}

export class ProxyingHandler implements UpgradeTaker {
  readonly #handler: Handler;
  readonly #proxy: ReverseProxy;
  /** The longest prefix first. */
  readonly #routes: readonly ProxyRoute[];

  constructor(handler: Handler, proxy: ReverseProxy, routes: readonly ProxyRoute[]) {
    this.#handler = handler;
    this.#proxy = proxy;
    this.#routes = [...routes].sort((one, other) => other.prefix.length - one.prefix.length);
    for (const { settings } of routes) proxy.prepare(settings);
  }

  get kind(): Handler['kind'] {
    return this.#handler.kind;
  }

  get deadlines(): RouteDeadlines | null {
    return this.#handler.deadlines ?? null;
  }

  get lengthy(): LengthyRoutes | null {
    return this.#handler.lengthy ?? null;
  }

  handle(exchange: Exchange): void {
    const route = routeOf(this.#routes, exchange.target);
    if (route === null) {
      this.#handler.handle(exchange);
      return;
    }
    exchange.route = route.prefix === '' ? '/' : route.prefix;
    this.#proxy.handle(exchange, route.settings, route.prefix);
  }

  wantsUpgrade(method: string, target = ''): boolean {
    if (routeOf(this.#routes, target) !== null) return method !== 'CONNECT';
    return takesUpgrades(this.#handler) && this.#handler.wantsUpgrade(method, target);
  }

  upgrade(exchange: Exchange, socket: UpgradeSocket, head: Buffer): void {
    const route = routeOf(this.#routes, exchange.target);
    if (route !== null) {
      this.#proxy.upgrade(exchange, route.settings, route.prefix, socket, head);
    } else if (takesUpgrades(this.#handler)) this.#handler.upgrade(exchange, socket, head);
  }

  shutDown(): boolean {
    return takesUpgrades(this.#handler) && this.#handler.shutDown();
  }

  async settled(): Promise<void> {
    await this.#handler.settled?.();
  }
}
