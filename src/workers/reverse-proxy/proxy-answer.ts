/**
 * What a handler's answer holds where an upstream is to give it.
 *
 * Role: the mark on such a response, and where the worker's proxy is found. The application may have a
 * copy of this package of its own, so both go by symbols that are the same in all of them.
 * Thread: a worker.
 */
import type { Exchange } from '../exchange.ts';
import type { ProxySettings } from './options.ts';
import type { ReverseProxy } from './reverse-proxy.ts';

type Passer = Pick<ReverseProxy, 'handle'>;

const KEY = Symbol.for('hybrid-mpm.reverse-proxy.1');
const ANSWER = Symbol.for('hybrid-mpm.proxy-answer.1');

interface Holder {
  [KEY]?: Passer;
}
interface Marked {
  readonly [ANSWER]?: ProxySettings;
}

/** Called by a worker's entry, before the application is loaded. */
export function installProxy(proxy: Passer): void {
  (globalThis as Holder)[KEY] = proxy;
}

/** @throws Error with code ERR_MPM_NO_PROXY outside of a worker */
export function currentProxy(): Passer {
  const proxy = (globalThis as Holder)[KEY];
  if (proxy !== undefined) return proxy;
  const error = new Error('proxy works in a worker of this server, which needs epoll');
  throw Object.assign(error, { code: 'ERR_MPM_NO_PROXY' });
}

/** Marks a response that is sent in the place of what an upstream answers. */
export function markProxied(response: object, settings: ProxySettings): void {
  Object.defineProperty(response, ANSWER, { value: settings });
}

/** Answers with an upstream where the response is so marked; false: it is not. */
export function sendProxied(exchange: Exchange, response: object): boolean {
  const settings = (response as Marked)[ANSWER];
  if (settings === undefined) return false;
  currentProxy().handle(exchange, settings, '');
  return true;
}
