/** Handlers of either kind, run on an exchange without a connection. */
import { readdirSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { FetchHandler } from '../../src/workers/fetch/fetch-handler.ts';
import type { FileOffload } from '../../src/workers/files/offload.ts';
import { NodeHandler } from '../../src/workers/node-http/node-handler.ts';
import { FakeExchange, type FakeRequest } from './fake-exchange.ts';

export const openDescriptors = () => readdirSync('/proc/self/fd').length;

export type FetchResult = globalThis.Response | Promise<globalThis.Response>;

export async function fetched(
  handler: (request: globalThis.Request) => FetchResult,
  request: FakeRequest = {},
  how: FileOffload | null = null,
): Promise<FakeExchange> {
  const exchange = new FakeExchange(request);
  new FetchHandler(handler, how).handle(exchange);
  await exchange.finished();
  return exchange;
}

export const withHeaders = (
  headers: Readonly<Record<string, string>>,
  method = 'GET',
): FakeRequest => ({
  method,
  headers: [['Host', 'h'], ...Object.entries(headers)],
});

export type Listener = (request: IncomingMessage, response: ServerResponse) => unknown;

export interface NodeResult {
  readonly exchange: FakeExchange;
  readonly head: string;
  readonly body: string;
}

export async function asked(
  listener: Listener,
  request: FakeRequest = {},
  how: FileOffload | null = null,
): Promise<NodeResult> {
  const exchange = new FakeExchange(request);
  new NodeHandler(listener, how).handle(exchange);
  await exchange.finished();
  await new Promise((resolve) => setImmediate(resolve));
  const text = exchange.body;
  const end = text.indexOf('\r\n\r\n') + 4;
  return { exchange, head: text.slice(0, end), body: text.slice(end) };
}
