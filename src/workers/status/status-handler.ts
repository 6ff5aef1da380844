/**
 * The status page among the application's own paths, where the directive statusPath is set.
 *
 * Role: takes requests for one path before the application sees them, decides who may look, and answers
 * with what main's renderer makes of the shared memory.
 * Thread: a worker. May not: know what the page looks like; the renderer is loaded by its address, since
 * nothing here imports main.
 */
import type { BlockList } from 'node:net';
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';
import { type Exchange, type Handler, takesUpgrades, type UpgradeTaker } from '../exchange.ts';
import { networksOf } from '../proxy/networks.ts';
import type { RouteDeadlines } from '../route-deadlines.ts';
import type { UpgradeSocket } from '../upgrade/upgrade-socket.ts';

/** From the directives; cloned into the worker. */
export interface StatusSettings {
  /** As in a request-target, without a query. */
  readonly path: string;
  /** Networks that may look, see `isNetwork`. */
  readonly allow: readonly string[];
  /** False: trustProxy is off, so the client that a proxy tells of is not known. */
  readonly proxyTrusted: boolean;
  /** file: URL of a module whose default export is a `RendererMaker`. */
  readonly renderer: string;
  /** What that module makes its renderer from. */
  readonly source: unknown;
}

export interface StatusAnswer {
  readonly status: number;
  /** Flat list, see `Exchange.respond`. */
  readonly headers: readonly string[];
  readonly body: string | Uint8Array;
}

/** Answers a query string, without its `?`. */
export type Renderer = (query: string) => StatusAnswer;
export type RendererMaker = (board: Scoreboard, source: unknown) => Renderer;

const TEXT = ['Content-Type', 'text/plain; charset=utf-8', 'Cache-Control', 'no-store'];
const NOT_ALLOWED: StatusAnswer = {
  status: 403,
  headers: TEXT,
  body: 'statusAllow does not name this client\n',
};
const WRONG_METHOD: StatusAnswer = {
  status: 405,
  headers: [...TEXT, 'Allow', 'GET, HEAD'],
  body: 'method not allowed\n',
};
/** Fields by which a proxy says that the request is not its own. */
const FORWARDING = ['forwarded', 'x-forwarded-for'];

/** The handler with the page in front of it. */
export async function withStatus(
  handler: Handler,
  board: Scoreboard,
  settings: StatusSettings,
): Promise<Handler> {
  const { default: make } = (await import(settings.renderer)) as { default: RendererMaker };
  const page = new StatusPath(settings, make(board, settings.source));
  return takesUpgrades(handler)
    ? new UpgradingStatusHandler(handler, page)
    : new StatusHandler(handler, page);
}

export class StatusPath {
  readonly #path: string;
  readonly #allowed: BlockList;
  readonly #proxyTrusted: boolean;
  readonly #render: Renderer;

  constructor(settings: Omit<StatusSettings, 'renderer' | 'source'>, render: Renderer) {
    this.#path = settings.path;
    this.#allowed = networksOf(settings.allow);
    this.#proxyTrusted = settings.proxyTrusted;
    this.#render = render;
  }

  /** False: it asks for something else. */
  answer(exchange: Exchange): boolean {
    const { target } = exchange;
    const path = this.#path;
    // An absolute form (RFC 9112, section 3.2.2) is for proxies; this server is asked by it hardly ever.
    const at = target.startsWith('/') ? 0 : pathStart(target);
    if (at < 0 || !target.startsWith(path, at)) return false;
    const end = at + path.length;
    if (end !== target.length && target[end] !== '?') return false;
    exchange.route = path;
    const { status, headers, body } = this.#answer(exchange, target.slice(end + 1));
    exchange.respond(status, '', headers, body);
    return true;
  }

  #answer(exchange: Exchange, query: string): StatusAnswer {
    if (!this.#mayLook(exchange)) return NOT_ALLOWED;
    if (exchange.method !== 'GET' && exchange.method !== 'HEAD') return WRONG_METHOD;
    return this.#render(query);
  }

  /** What came through a proxy that nobody trusts has the proxy's address, which says nothing. */
  #mayLook(exchange: Exchange): boolean {
    if (!this.#proxyTrusted && wasForwarded(exchange)) return false;
    const address = exchange.remoteAddress;
    return address !== '' && this.#allowed.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
  }
}

function pathStart(target: string): number {
  const scheme = target.indexOf('://');
  return scheme < 0 ? -1 : target.indexOf('/', scheme + 3);
}

function wasForwarded({ head, table: { fields, fieldCount } }: Exchange): boolean {
  for (let at = 0; at < fieldCount * 4; at += 4) {
    const name = head.slice(fields[at], fields[at + 1]).toLowerCase();
    if (FORWARDING.includes(name)) return true;
  }
  return false;
}

class StatusHandler implements Handler {
  readonly #handler: Handler;
  readonly #page: StatusPath;
  readonly deadlines: RouteDeadlines | null;

  constructor(handler: Handler, page: StatusPath) {
    this.#handler = handler;
    this.#page = page;
    this.deadlines = handler.deadlines ?? null;
  }

  get kind(): Handler['kind'] {
    return this.#handler.kind;
  }

  handle(exchange: Exchange): void {
    if (!this.#page.answer(exchange)) this.#handler.handle(exchange);
  }

  async settled(): Promise<void> {
    await this.#handler.settled?.();
  }
}

/** Whoever asks for another protocol does not ask for the page. */
class UpgradingStatusHandler extends StatusHandler implements UpgradeTaker {
  readonly #taker: UpgradeTaker;

  constructor(taker: UpgradeTaker, page: StatusPath) {
    super(taker, page);
    this.#taker = taker;
  }

  wantsUpgrade(method: string, target?: string): boolean {
    return this.#taker.wantsUpgrade(method, target);
  }

  upgrade(exchange: Exchange, socket: UpgradeSocket, head: Buffer): void {
    this.#taker.upgrade(exchange, socket, head);
  }

  shutDown(): boolean {
    return this.#taker.shutDown();
  }
}
