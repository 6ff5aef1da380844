/** What an Express application finds its `req` and `res` to be, without a connection. */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { NodeHandler } from '../../../src/workers/node-http/node-handler.ts';
import { FakeExchange } from '../../support/fake-exchange.ts';

type Listener = (request: IncomingMessage, response: ServerResponse) => void;

interface Application extends Listener {
  request: object;
  response: object;
  get(path: string, listener: Listener): void;
  use(path: string, application: Application): void;
}

// It has no types of its own.
const express = createRequire(import.meta.url)('express') as () => Application;

interface Seen {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly text: string;
}

/** An application and a way to ask it. */
function application() {
  const app = express();
  const seen: { request: IncomingMessage; response: ServerResponse }[] = [];
  app.get('/', (request, response) => {
    seen.push({ request, response });
    (response as ServerResponse & { send(text: string): void }).send(request.url ?? '');
  });
  return {
    app,
    async ask(handler: NodeHandler): Promise<Seen> {
      const exchange = new FakeExchange({ headers: [['Host', 'a']] });
      handler.handle(exchange);
      await exchange.finished();
      const last = seen.at(-1);
      if (last === undefined) throw new Error('the route was not called');
      return { ...last, text: Buffer.concat(exchange.chunks).toString('latin1') };
    },
  };
}

afterEach(() => vi.restoreAllMocks());

describe('the prototypes of an Express application', () => {
  it('are there before it sets them, so that no object changes its prototype', async () => {
    const { app, ask } = application();
    const handler = new NodeHandler(app);
    const changes: boolean[] = [];
    const setPrototypeOf = Object.setPrototypeOf;
    await ask(handler);
    vi.spyOn(Object, 'setPrototypeOf').mockImplementation((target, prototype) => {
      changes.push(Object.getPrototypeOf(target) !== prototype);
      return setPrototypeOf(target, prototype);
    });
    const { request, response, text } = await ask(handler);
    expect(changes).toEqual([false, false]);
    expect(Object.getPrototypeOf(request)).toBe(app.request);
    expect(Object.getPrototypeOf(response)).toBe(app.response);
    expect(request).toBeInstanceOf(http.IncomingMessage);
    expect(response).toBeInstanceOf(http.ServerResponse);
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n\/$/);
  });

  it('are those of the moment', async () => {
    const { app, ask } = application();
    const handler = new NodeHandler(app);
    await ask(handler);
    app.request = Object.create(app.request, { tenant: { value: 'blue' } });
    app.response = Object.create(app.response, { locals: { value: {}, writable: true } });
    const { request, response } = await ask(handler);
    expect(Object.getPrototypeOf(request)).toBe(app.request);
    expect((request as IncomingMessage & { tenant: string }).tenant).toBe('blue');
    expect(Object.getPrototypeOf(response)).toBe(app.response);
  });

  it('are not seen by a function in front of it', async () => {
    const { app, ask } = application();
    const before: unknown[] = [];
    const listener: Listener = (request, response) => {
      before.push((request as { get?: unknown }).get, (response as { send?: unknown }).send);
      app(request, response);
    };
    const { text } = await ask(new NodeHandler(listener));
    expect(before).toEqual([undefined, undefined]);
    expect(text).toContain('HTTP/1.1 200 OK');
  });

  it.each(['url', '_readableState', '_read'])('may catch %s', async (name) => {
    const { app, ask } = application();
    Object.defineProperty(app.request, name, {
      get: () => 'not the own one',
      set() {
        throw new Error('set on the prototype');
      },
    });
    const { request, text } = await ask(new NodeHandler(app));
    expect(Object.getPrototypeOf(request)).toBe(app.request);
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n\/$/);
  });

  it('are there for the one listener of a server, and not where there are two', async () => {
    const { app, ask } = application();
    const server = http.createServer(app);
    const emit: Listener = (request, response) => void server.emit('request', request, response);
    const handler = new NodeHandler(emit, null, server);
    const first: unknown[] = [];
    const look = (request: IncomingMessage) => void first.push((request as { get?: unknown }).get);
    const { text } = await ask(handler);
    expect(text).toContain('HTTP/1.1 200 OK');
    server.prependListener('request', look);
    await ask(handler);
    expect(first).toEqual([undefined]);
  });

  it('of an application within another are set as ever', async () => {
    const { app, ask } = application();
    const outer = express();
    outer.use('/', app);
    const { request, text } = await ask(new NodeHandler(outer));
    expect(Object.getPrototypeOf(request)).toBe(app.request);
    expect(text).toContain('HTTP/1.1 200 OK');
  });
});
