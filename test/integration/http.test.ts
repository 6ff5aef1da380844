/** What a client gets from the server over a real socket. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import {
  eventually,
  fixture,
  type ServerProcess,
  startServer,
  statusOf,
} from '../support/server-process.ts';

let server: ServerProcess;
const clients: RawClient[] = [];

const open = async (): Promise<RawClient> => {
  const client = await RawClient.open(server.port);
  clients.push(client);
  return client;
};
const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
const post = (path: string, body: string, more = ''): string =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;

beforeAll(async () => {
  server = await startServer(fixture('app.mjs'), [
    '--start-servers=2',
    '--max-request-workers=2',
    '--limit-request-body=20m',
  ]);
});
afterAll(async () => {
  for (const client of clients) client.close();
  expect(await server.stop()).toBe(0);
});

describe('one request after another', () => {
  it('keeps the connection open and answers each request in order', async () => {
    const client = await open();
    for (let round = 0; round < 3; round++) {
      client.send(get('/'));
      const { status, headers, body } = await client.response();
      expect(status).toBe(200);
      expect(body.toString()).toBe('hello\n');
      expect(headers.get('content-length')).toBe('6');
      expect(Date.parse(headers.get('date') ?? '')).toBeGreaterThan(Date.now() - 5_000);
      expect(headers.has('connection')).toBe(false);
    }
  });

  it('answers pipelined requests in their order, slow ones among them', async () => {
    const client = await open();
    client.send(get('/wait?ms=30') + get('/') + get('/burn?ms=5') + get('/nowhere') + get('/'));
    const bodies: string[] = [];
    for (let count = 0; count < 5; count++) bodies.push((await client.response()).body.toString());
    expect(bodies).toEqual(['waited\n', 'hello\n', 'burnt\n', 'not found\n', 'hello\n']);
  });

  it('answers a hundred pipelined requests that come in one piece', async () => {
    const client = await open();
    client.send(get('/').repeat(100));
    for (let count = 0; count < 100; count++) expect((await client.response()).status).toBe(200);
  });

  it('reads a request that comes byte by byte', async () => {
    const client = await open();
    await client.dribble(post('/echo', 'hello'));
    expect((await client.response()).body.toString()).toBe('hello');
  });

  it('serves a request that follows half of another', async () => {
    const client = await open();
    const second = get('/headers', 'X-Name: value\r\n');
    client.send(get('/') + second.slice(0, 20));
    expect((await client.response()).status).toBe(200);
    client.send(second.slice(20));
    expect(JSON.parse((await client.response()).body.toString())).toEqual({
      host: 'a',
      'x-name': 'value',
    });
  });
});

describe('closing', () => {
  it('closes after Connection: close', async () => {
    const client = await open();
    client.send(get('/', 'Connection: close\r\n'));
    const { headers } = await client.response();
    expect(headers.get('connection')).toBe('close');
    await client.ended();
  });

  it('closes after an HTTP/1.0 request, unless it asks for keep-alive', async () => {
    const one = await open();
    one.send('GET / HTTP/1.0\r\n\r\n');
    expect((await one.response()).headers.get('connection')).toBe('close');
    await one.ended();
    const other = await open();
    other.send('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    expect((await other.response()).headers.get('connection')).toBe('keep-alive');
    other.send('GET / HTTP/1.0\r\n\r\n');
    expect((await other.response()).status).toBe(200);
  });

  it('answers a client that has shut its write side, then closes', async () => {
    const client = await open();
    client.send(get('/wait?ms=50'));
    client.socket.end();
    expect((await client.response()).body.toString()).toBe('waited\n');
    await client.ended();
  });

  it('answers what was sent together with the end of the stream', async () => {
    const client = await open();
    client.socket.end(get('/') + get('/'));
    expect((await client.response()).status).toBe(200);
    expect((await client.response()).status).toBe(200);
    await client.ended();
  });
});

describe('bodies', () => {
  it('gives a handler a small body, a chunked one and one larger than its buffer', async () => {
    const client = await open();
    client.send(post('/echo', 'small'));
    expect((await client.response()).body.toString()).toBe('small');
    client.send(
      'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n',
    );
    expect((await client.response()).body.toString()).toBe('abcdefg');
    const large = 'x'.repeat(3_000_000);
    client.send(post('/echo', large));
    const echoed = await client.response();
    expect(echoed.body.length).toBe(large.length);
    expect(echoed.body.equals(Buffer.from(large))).toBe(true);
  });

  it('reads a chunked body that dribbles in, and the request behind it', async () => {
    const client = await open();
    await client.dribble(
      'POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n',
    );
    client.send(get('/'));
    expect((await client.response()).body.toString()).toBe('hello world');
    expect((await client.response()).body.toString()).toBe('hello\n');
  });

  it('streams a large chunked body with uneven chunks', async () => {
    const client = await open();
    client.send('POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
    let total = 0;
    for (let size = 1; size < 60_000; size = size * 3 + 7) {
      client.send(`${size.toString(16)}\r\n${'y'.repeat(size)}\r\n`);
      total += size;
    }
    client.send(`0\r\n\r\n${get('/')}`);
    expect((await client.response()).body.toString()).toBe(`${total}\n`);
    expect((await client.response()).body.toString()).toBe('hello\n');
  });

  it('says 100 Continue to a client that waits for it, for small and large bodies', async () => {
    for (const size of [10, 100_000]) {
      const client = await open();
      client.send(
        `POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\nExpect: 100-continue\r\n\r\n`,
      );
      expect((await client.response()).status).toBe(100);
      client.send('z'.repeat(size));
      expect((await client.response()).body.toString()).toBe(`${size}\n`);
    }
  });

  it('closes after answering when the handler left a large body unread', async () => {
    const client = await open();
    client.send(
      `POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(30_000)}`,
    );
    const { status, headers } = await client.response();
    expect(status).toBe(200);
    expect(headers.get('connection')).toBe('close');
  });

  it('lets a client that still uploads read the error', async () => {
    const client = await open();
    client.send('POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000\r\n\r\n');
    for (let part = 0; part < 20; part++) client.send(Buffer.alloc(64 * 1024));
    const { status, body } = await client.response();
    expect(status).toBe(413);
    expect(body.toString()).toBe('body-too-large\n');
  });
});

describe('responses', () => {
  it('sends no body for HEAD, 204 and 304, but HEAD the length of GET', async () => {
    const client = await open();
    client.send('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n');
    const head = await client.response('HEAD');
    expect(head.headers.get('content-length')).toBe('6');
    client.send(get('/empty'));
    const empty = await client.response();
    expect(empty.status).toBe(204);
    expect(empty.headers.has('content-length')).toBe(false);
    client.send(get('/'));
    expect((await client.response()).body.toString()).toBe('hello\n');
  });

  it('streams: chunked for HTTP/1.1, to the end of the connection for 1.0', async () => {
    const expected = [0, 1, 2, 3, 4].map((part) => `part ${part}\n`).join('');
    const client = await open();
    client.send(get('/stream') + get('/'));
    const streamed = await client.response();
    expect(streamed.headers.get('transfer-encoding')).toBe('chunked');
    expect(streamed.body.toString()).toBe(expected);
    expect((await client.response()).body.toString()).toBe('hello\n');
    const old = await open();
    old.send('GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    const all = await old.ended();
    expect(all.toString()).toContain(expected);
    expect(all.toString()).not.toContain('chunked');
  });

  it('delivers a large response whole to a client that reads late', async () => {
    const client = await open();
    client.socket.pause();
    client.send(get('/large?bytes=8000000') + get('/'));
    const other = await open();
    other.send(get('/'));
    expect((await other.response()).status).toBe(200);
    client.socket.resume();
    const { body } = await client.response();
    expect(body.length).toBe(8_000_000);
    expect(body.every((byte) => byte === 97)).toBe(true);
    expect((await client.response()).body.toString()).toBe('hello\n');
  });
});

describe('errors of the handler', () => {
  it.each([
    '/throw',
    '/reject',
    '/not-a-response',
  ])('%s is a 500 that tells nothing, and the connection goes on', async (path) => {
    const client = await open();
    client.send(get(path));
    const { status, body } = await client.response();
    expect(status).toBe(500);
    expect(body.toString()).not.toContain('secret');
    client.send(get('/'));
    expect((await client.response()).status).toBe(200);
  });

  it('closes without an end where the head had been sent', async () => {
    const client = await open();
    client.send(get('/stream-fails'));
    const all = await client.ended();
    expect(all.toString()).toContain('begun');
    expect(all.toString()).not.toContain('0\r\n\r\n');
    expect(all.toString()).not.toContain('secret');
  });
});

describe('bad input', () => {
  it.each([
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['two spaces', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['bare line feeds', 'GET / HTTP/1.1\nHost: a\n\n', 400],
    ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      400,
    ],
    [
      'length and chunked',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      400,
    ],
    ['gzip coding', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n', 501],
    ['a bad chunk', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 400],
    ['an unknown expectation', 'POST / HTTP/1.1\r\nHost: a\r\nExpect: something\r\n\r\n', 417],
    ['a long target', `GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
    ['a long field', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'b'.repeat(9000)}\r\n\r\n`, 431],
    ['many fields', `GET / HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(101)}\r\n`, 431],
    ['a TLS greeting', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  ] as const)('%s is refused and the connection ends', async (_name, request, status) => {
    const client = await open();
    client.send(Buffer.from(request, 'latin1'));
    const response = await client.response();
    expect(response.status).toBe(status);
    expect(response.headers.get('connection')).toBe('close');
    await client.ended();
  });

  it('answers the good request before a bad one', async () => {
    const client = await open();
    client.send(`${get('/')}BAD\r\n\r\n`);
    expect((await client.response()).status).toBe(200);
    expect((await client.response()).status).toBe(400);
    await client.ended();
  });
});

describe('the application', () => {
  it('has its timers while its worker is idle', async () => {
    const client = await open();
    const ticks = async () => {
      client.send(get('/ticks'));
      return Number((await client.response()).body.toString());
    };
    const before = await ticks();
    await eventually(ticks, (now) => now > before + 3, 3_000);
  });

  it('is not kept from others by a blocking handler', async () => {
    const busy = await open();
    busy.send(get('/burn?ms=1500'));
    const began = performance.now();
    for (let round = 0; round < 20; round++) {
      const client = await open();
      client.send(get('/', 'Connection: close\r\n'));
      expect((await client.response()).status).toBe(200);
    }
    const status = await statusOf(server);
    expect(performance.now() - began).toBeLessThan(1_500);
    expect(status.get('BusyWorkers')).toBe('1');
    expect((await busy.response()).body.toString()).toBe('burnt\n');
  });
});

describe('afterwards', () => {
  it('holds no connection once all clients have left', async () => {
    for (const client of clients.splice(0)) client.close();
    await eventually(
      () => statusOf(server),
      (now) => now.get('ConnsTotal') === '0' && now.get('IdleWorkers') === '2',
      15_000,
    );
  });
});
