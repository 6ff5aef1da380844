/**
 * `proxy` and `proxyTo`: another server's answer as a handler's own.
 *
 * Role: what handlers call.
 * Thread: a worker.
 */
import type { ServerResponse } from 'node:http';
import { LightResponse } from '../fetch/response.ts';
import { exchangeOf } from '../node-http/outgoing.ts';
import { type ProxyOptions, type ProxySettings, proxySettings } from './options.ts';
import { currentProxy, markProxied } from './proxy-answer.ts';

export { ProxyOptionError, type ProxyOptions } from './options.ts';

/** Options that were checked before; applications name few. */
const checked = new WeakMap<ProxyOptions, Map<string, ProxySettings>>();
const NO_OPTIONS: ProxyOptions = Object.freeze({});

function settingsOf(upstream: string | readonly string[], options: ProxyOptions): ProxySettings {
  const text = typeof upstream === 'string' ? upstream : upstream.join(',');
  let known = checked.get(options);
  if (known === undefined) {
    known = new Map();
    checked.set(options, known);
  }
  const found = known.get(text);
  if (found !== undefined) return found;
  const settings = proxySettings(upstream, options);
  if (known.size < 256) known.set(text, settings);
  return settings;
}

/** A framework that puts it into another response fails, rather than answers with nothing. */
const NOT_HERE: AsyncIterable<Uint8Array> = {
  [Symbol.asyncIterator]: () => ({
    next: () =>
      Promise.reject(new TypeError('the response of proxy() has to be returned as it is')),
  }),
};

/**
 * A response that an upstream gives: the request, with its body, is passed on, and what comes back is
 * this handler's answer. The handler must not have read the body. Its status, headers and body are not
 * known here, and what is set on it has no effect; it is to be returned as it is, since reading its body,
 * as a framework does that copies it, rejects.
 * @param upstream `http://host:port` or `http://host:port/path`, which then comes in front of the path
 *   that was asked for; several with commas between, or in a list
 * @throws ProxyOptionError for an upstream or option that is none
 */
export function proxy(
  upstream: string | readonly string[],
  options: ProxyOptions = NO_OPTIONS,
): globalThis.Response {
  const settings = settingsOf(upstream, options);
  currentProxy();
  const response = new LightResponse(NOT_HERE as never);
  markProxied(response, settings);
  return response as unknown as globalThis.Response;
}

/**
 * The same for a `(req, res)` handler: answers and ends the response, whose `close` tells when all is
 * over. Headers that were set before have no effect.
 * @throws ProxyOptionError as `proxy`
 * @throws Error with code ERR_HTTP_HEADERS_SENT where the response was begun, with ERR_MPM_NO_PROXY where
 *   it is none of this server's
 */
export function proxyTo(
  response: ServerResponse,
  upstream: string | readonly string[],
  options: ProxyOptions = NO_OPTIONS,
): void {
  const settings = settingsOf(upstream, options);
  const target = exchangeOf(response);
  if (target === 'over') return;
  if (target === null) {
    const error = new Error('proxyTo takes a response of this server');
    throw Object.assign(error, { code: 'ERR_MPM_NO_PROXY' });
  }
  if (response.headersSent || target.headersSent) {
    const error = new Error('Cannot pass a request on after the response was begun');
    throw Object.assign(error, { code: 'ERR_HTTP_HEADERS_SENT' });
  }
  const { serial } = target;
  currentProxy().handle(target, settings, '', () => {
    if (target.serial === serial && !response.closed) response.emit('close');
  });
}
