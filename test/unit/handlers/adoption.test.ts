import { createServer, type IncomingMessage, Server, type ServerResponse } from 'node:http';
import { createServer as createNetServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AdoptedServers } from '../../../src/workers/adoption/adopted-servers.ts';
import { readListenCall, type WantedAddress } from '../../../src/workers/adoption/listen-call.ts';
import { FakeExchange, type FakeRequest } from '../../support/fake-exchange.ts';

const callback = () => {};

describe('readListenCall', () => {
  it.each([
    [[], { host: '', port: 0 }],
    [[3000], { host: '', port: 3000 }],
    [['3000'], { host: '', port: 3000 }],
    [[3000, 511], { host: '', port: 3000 }],
    [[3000, '127.0.0.1'], { host: '127.0.0.1', port: 3000 }],
    [[3000, '127.0.0.1', 511, callback], { host: '127.0.0.1', port: 3000 }],
    [[undefined, callback], { host: '', port: 0 }],
    [[null], { host: '', port: 0 }],
    [[{ port: 3000 }], { host: '', port: 3000 }],
    [[{ port: '3000', host: '::1', backlog: 5 }, callback], { host: '::1', port: 3000 }],
    [[{ port: 0, path: '/ignored' }], { host: '', port: 0 }],
    [['/tmp/a.sock'], null],
    [[{ path: '/tmp/a.sock' }], null],
    [[{ fd: 3 }], null],
  ] as [unknown[], WantedAddress | null][])('%j', (parameters, address) => {
    const call = readListenCall(parameters);
    expect(call.address).toEqual(address);
    expect(call.callback).toBe(parameters.at(-1) === callback ? callback : null);
  });

  it.each([
    [-1, 'ERR_SOCKET_BAD_PORT'],
    [65_536, 'ERR_SOCKET_BAD_PORT'],
    [1.5, 'ERR_SOCKET_BAD_PORT'],
    [{ port: 'http' }, 'ERR_SOCKET_BAD_PORT'],
    [{}, 'ERR_INVALID_ARG_VALUE'],
  ])('refuses %j as node:net does', (parameter, code) => {
    expect(() => readListenCall([parameter])).toThrow(expect.objectContaining({ code }));
    const server = createNetServer();
    expect(() => server.listen(parameter as never)).toThrow(expect.objectContaining({ code }));
  });
});

describe('adopted servers', () => {
  let adopted: AdoptedServers;
  let bound: [WantedAddress, number][];
  let failure: Error | null;
  let replaceable: boolean;
  let lastClosed: number;
  beforeEach(() => {
    bound = [];
    failure = null;
    replaceable = true;
    lastClosed = 0;
    adopted = new AdoptedServers(
      (wanted, order) => {
        if (failure !== null) throw failure;
        bound.push([wanted, order]);
        const address = wanted.host || '::';
        return { address, family: 'IPv4', port: wanted.port || 40_000 + order };
      },
      {
        adopts: (wanted) => wanted?.host !== 'not-this.test',
        lastClosed: () => {
          lastClosed++;
          return replaceable;
        },
      },
    );
    adopted.install();
  });
  afterEach(() => adopted.uninstall());

  async function ask(
    request: FakeRequest = {},
    port = 8080,
    address = '127.0.0.1',
  ): Promise<string> {
    const exchange = new FakeExchange(request);
    exchange.localPort = port;
    exchange.localAddress = address;
    adopted.handle(exchange);
    await exchange.finished();
    await new Promise((resolve) => setImmediate(resolve));
    expect(exchange.errors).toEqual([]);
    return exchange.body;
  }
  const says = (text: string) =>
    createServer((_request: IncomingMessage, response: ServerResponse) => response.end(text));
  const once = (server: Server, event: string) =>
    new Promise<unknown>((resolve) => server.once(event, resolve));

  it('answer and tell as servers that listen', async () => {
    const server = says('hello');
    let called = false;
    expect(
      server.listen(3000, () => {
        called = true;
      }),
    ).toBe(server);
    expect(called).toBe(false);
    expect(server.address()).toEqual({ address: '::', family: 'IPv4', port: 3000 });
    expect(server.listening).toBe(true);
    await once(server, 'listening');
    await adopted.first();
    expect(called).toBe(true);
    expect(bound).toEqual([[{ host: '', port: 3000 }, 0]]);
    expect(await ask()).toMatch(/hello$/);
    const connections = await new Promise((resolve) =>
      server.getConnections((_error, count) => resolve(count)),
    );
    expect(connections).toBe(0);
    expect(() => server.listen(3001)).toThrow(
      expect.objectContaining({ code: 'ERR_SERVER_ALREADY_LISTEN' }),
    );
  });

  it('leave calls that are not theirs to node:net', async () => {
    const server = says('x');
    server.listen(0, 'not-this.test');
    const error = (await once(server, 'error')) as { code: string };
    expect(error.code).toMatch(/ENOTFOUND|EAI_AGAIN/);
    expect(bound).toEqual([]);
  });

  it('go by the port where there are several', async () => {
    says('one').listen(1001);
    says('two').listen(1002);
    expect(await ask({}, 1001)).toMatch(/one$/);
    expect(await ask({}, 1002)).toMatch(/two$/);
    // A configured address, which no call has named.
    expect(await ask({}, 1003)).toMatch(/one$/);
  });

  it('go by the address where several have a port', async () => {
    says('four').listen(1001, '127.0.0.1');
    says('any').listen(1001);
    says('six').listen(1001, '::1');
    expect(await ask({}, 1001, '127.0.0.1')).toMatch(/four$/);
    expect(await ask({}, 1001, '::1')).toMatch(/six$/);
    expect(await ask({}, 1001, '192.0.2.1')).toMatch(/any$/);
  });

  it('leave no timer behind when they have closed', async () => {
    const server = says('x').listen(1);
    await once(server, 'listening');
    const timers = server as unknown as Record<symbol, { _destroyed: boolean } | undefined>;
    const key = Object.getOwnPropertySymbols(server).find(({ description }) =>
      /connectionsCheckingInterval/.test(description ?? ''),
    ) as symbol;
    expect(timers[key]?._destroyed).toBe(false);
    let closed = 0;
    server.on('close', () => closed++);
    server.close();
    await adopted.settled();
    await new Promise((resolve) => setImmediate(resolve));
    expect(timers[key]?._destroyed).toBe(true);
    expect(closed).toBe(1);
  });

  it('leave the first place to a handler that is exported besides', async () => {
    says('the application itself').listen(1001);
    says('metrics').listen(1002);
    const handler = adopted.besides({
      kind: 'node',
      handle: (exchange) => exchange.respond(200, '', [], 'export'),
    });
    const answers: string[] = [];
    for (const port of [1001, 1002, 1003]) {
      const exchange = new FakeExchange();
      exchange.localPort = port;
      handler.handle(exchange);
      await exchange.finished();
      answers.push(exchange.body.split('\r\n\r\n').at(-1) as string);
    }
    expect(answers).toEqual(['export', 'metrics', 'export']);
  });

  it('emit an error, and no callback, where main cannot listen', async () => {
    failure = Object.assign(new Error('taken'), { code: 'EADDRINUSE' });
    const server = says('x');
    let called = false;
    server.listen(3000, () => {
      called = true;
    });
    expect(await once(server, 'error')).toBe(failure);
    expect([called, server.listening, server.address()]).toEqual([false, false, null]);
    failure = null;
    server.listen(3000);
    expect(server.listening).toBe(true);
    expect(called).toBe(false);
  });

  it.each([
    [{}, 'first'],
    [{ joinDuplicateHeaders: true }, 'first, second'],
  ])('make headers by the options of createServer: %j', async (options, expected) => {
    createServer(options, (request, response) =>
      response.end(request.headers.authorization),
    ).listen(1);
    const headers: [string, string][] = [
      ['Host', 'a'],
      ['Authorization', 'first'],
      ['Authorization', 'second'],
    ];
    expect((await ask({ headers })).split('\r\n\r\n')[1]).toBe(expected);
  });

  it('emit checkContinue where that is listened to', async () => {
    const server = says('plain').listen(1);
    const expecting: FakeRequest = {
      method: 'POST',
      headers: [
        ['Host', 'a'],
        ['Expect', '100-continue'],
      ],
    };
    expect(await ask(expecting)).toMatch(/plain$/);
    server.on('checkContinue', (_request, response) => response.end('checked'));
    expect(await ask(expecting)).toMatch(/checked$/);
    expect(await ask()).toMatch(/plain$/);
  });

  it('answer on after close until their worker is replaced, and say closed then', async () => {
    const server = says('still here').listen(1);
    const order: string[] = [];
    server.close(() => order.push('closed'));
    expect([server.listening, server.address(), lastClosed]).toEqual([false, null, 1]);
    expect(await ask()).toMatch(/still here$/);
    order.push('answered');
    await adopted.settled();
    expect(order).toEqual(['answered', 'closed']);
    const again = await new Promise((resolve) => server.close(resolve));
    expect(again).toMatchObject({ code: 'ERR_SERVER_NOT_RUNNING' });
  });

  it('close when their requests are over where others go on', async () => {
    const server = createServer();
    const responses: ServerResponse[] = [];
    server.on('request', (_request, response) => responses.push(response));
    server.listen(1001);
    says('other').listen(1002);
    const exchange = new FakeExchange();
    exchange.localPort = 1001;
    adopted.handle(exchange);
    let closed = false;
    server.close(() => {
      closed = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect([closed, lastClosed]).toEqual([false, 0]);
    const end = once(server, 'close');
    responses[0].end('done');
    await end;
    expect(closed).toBe(true);
    expect(await ask({}, 1001)).toMatch(/other$/);
    server.listen(1003);
    expect(bound.at(-1)).toEqual([{ host: '', port: 1003 }, 2]);
  });

  it('refuse a path, and an address that another one has', async () => {
    const paths = says('x');
    paths.listen('/tmp/a.sock');
    expect(await once(paths, 'error')).toMatchObject({ code: 'ERR_MPM_LISTEN' });
    says('x').listen(5);
    const second = says('x');
    second.listen(5);
    expect(await once(second, 'error')).toMatchObject({ code: 'EADDRINUSE', port: 5 });
  });

  it('give listen back', () => {
    adopted.uninstall();
    expect(Object.hasOwn(Server.prototype, 'listen')).toBe(false);
  });
});
