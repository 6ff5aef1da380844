/**
 * A handler whose application also takes requests for another protocol.
 *
 * Role: puts an `UpgradeTarget` beside a handler; what is asked for without an upgrade, or when nobody
 * wants one, goes to that handler untouched.
 * Thread: a worker. May not: let what the application throws escape.
 */
import type { Exchange, Handler, UpgradeTaker } from '../exchange.ts';
import { logHandlerError } from '../handler-error.ts';
import type { LengthyRoutes } from '../lengthy/lengthy-routes.ts';
import type { RouteDeadlines } from '../route-deadlines.ts';
import type { UpgradeSocket } from './upgrade-socket.ts';
import { type UpgradeTarget, upgradeRequest } from './upgrade-target.ts';

const FAILURE =
  'HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';

export class UpgradingHandler implements UpgradeTaker {
  deadlines: RouteDeadlines | null = null;
  lengthy: LengthyRoutes | null = null;
  readonly #handler: Handler;
  readonly #target: UpgradeTarget;
  #told: boolean | null = null;
  #shutDown: Promise<unknown> = Promise.resolve();

  constructor(handler: Handler, target: UpgradeTarget) {
    this.#handler = handler;
    this.#target = target;
  }

  get kind(): Handler['kind'] {
    return this.#handler.kind;
  }

  get direct(): NonNullable<Handler['direct']> | null {
    return this.#handler.direct ?? null;
  }

  handle(exchange: Exchange): void {
    this.#handler.handle(exchange);
  }

  wantsUpgrade(method: string): boolean {
    return this.#target.wants(method);
  }

  upgrade(exchange: Exchange, socket: UpgradeSocket, head: Buffer): void {
    const { method, target } = exchange;
    const failed = (error: unknown): void => {
      logHandlerError(error, method, target);
      if (socket.status === 0) socket.end(FAILURE);
      else socket.destroy();
    };
    try {
      const value = this.#target.take(upgradeRequest(exchange, socket), socket, head);
      if (value instanceof Promise) value.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  shutDown(): boolean {
    if (this.#told !== null) return this.#told;
    this.#told = false;
    try {
      const told = this.#target.shutDown();
      this.#told = told !== false;
      if (told instanceof Promise) {
        this.#shutDown = told.catch((error) => logHandlerError(error, 'shutdown', '()'));
      }
    } catch (error) {
      logHandlerError(error, 'shutdown', '()');
    }
    return this.#told;
  }

  async settled(): Promise<void> {
    await this.#handler.settled?.();
    await this.#shutDown;
  }
}
