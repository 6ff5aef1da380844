import diagnostics from 'node:diagnostics_channel';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks';
import { afterEach, describe, expect, it } from 'vitest';
import { NodeHandler } from '../../../src/workers/node-http/node-handler.ts';
import { FakeExchange, type FakeRequest } from '../../support/fake-exchange.ts';

type Listener = (request: IncomingMessage, response: ServerResponse) => unknown;

async function run(listener: Listener, request: FakeRequest = {}): Promise<FakeExchange> {
  const exchange = new FakeExchange(request);
  new NodeHandler(listener).handle(exchange);
  await exchange.finished();
  await new Promise((resolve) => setImmediate(resolve));
  return exchange;
}

describe('those who trace and measure', () => {
  const undo: (() => void)[] = [];
  afterEach(() => {
    for (const step of undo.splice(0)) step();
  });

  it('are told of start and finish by the channels of node:http', async () => {
    const told: unknown[] = [];
    const seen: unknown[] = [];
    for (const name of ['http.server.request.start', 'http.server.response.finish']) {
      const hear = (message: unknown) => {
        const { request, response, socket } = message as Record<string, never>;
        told.push(name, (response as ServerResponse).statusCode);
        seen.push(request, response, socket);
      };
      diagnostics.subscribe(name, hear);
      undo.push(() => diagnostics.unsubscribe(name, hear));
    }
    let own: unknown[] = [];
    await run((request, response) => {
      own = [request, response, request.socket];
      told.push('handler');
      response.statusCode = 404;
      response.end('x');
    });
    expect(told).toEqual([
      'http.server.request.start',
      200,
      'handler',
      'http.server.response.finish',
      404,
    ]);
    expect(seen).toEqual([...own, ...own]);
  });

  it('see a request among the entries of perf_hooks', async () => {
    const entry = new Promise<PerformanceEntry>((resolve) => {
      const observer = new PerformanceObserver((list) => resolve(list.getEntries()[0]));
      observer.observe({ type: 'http' });
      undo.push(() => observer.disconnect());
    });
    await run((_request, response) => response.writeHead(201).end('x'), { target: '/measured' });
    expect(await entry).toMatchObject({
      name: 'HttpRequest',
      detail: { req: { url: '/measured' }, res: { statusCode: 201 } },
    });
  });

  it('may set a field on prefinish, which comes before finish and only once', async () => {
    const order: string[] = [];
    await run((_request, response) => {
      for (const name of ['prefinish', 'finish', 'close']) {
        response.on(name, () => order.push(name));
      }
      response.write('a');
      response.end('b');
    });
    expect(order).toEqual(['prefinish', 'finish', 'close']);
  });
});

describe('a timeout', () => {
  it('is nothing to a request that has arrived whole', async () => {
    const told: string[] = [];
    const exchange = await run((request, response) => {
      request.setTimeout(5, () => told.push('request'));
      response.on('timeout', () => {
        told.push('response');
        response.end('late');
      });
    });
    expect(told).toEqual(['response']);
    expect(exchange.body).toMatch(/late$/);
  });

  it('is one to a request whose body is still to come', async () => {
    const told: string[] = [];
    const exchange = await run(
      (request, response) =>
        request.setTimeout(5, () => {
          told.push('request');
          response.end('late');
        }),
      { method: 'POST', body: ['a', 'b'] },
    );
    expect(told).toEqual(['request']);
    expect(exchange.body).toMatch(/late$/);
  });

  it('ends the connection where only the socket is listened to, which hears of it all the same', async () => {
    const told: string[] = [];
    const exchange = await run((request) => {
      request.socket.setTimeout(5, () => told.push(`socket, ${request.socket.destroyed}`));
    });
    expect(exchange.aborted).toBe(true);
    expect(told).toEqual(['socket, true']);
  });
});
