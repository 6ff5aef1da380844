/** Applications of Express, Fastify, Koa and Hono as their users write them, over real sockets. */
import { createHash, randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import {
  eventually,
  runScript,
  type ServerProcess,
  startServer,
  statusOf,
} from '../support/server-process.ts';

const DEADLINE_MS = 10_000;
const example = (name: string): string =>
  fileURLToPath(new URL(`../../examples/${name}/app.js`, import.meta.url));

let server: ServerProcess;
const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`http://127.0.0.1:${server.port}${path}`, {
    signal: AbortSignal.timeout(DEADLINE_MS),
    ...init,
  });
/** By default fetch would add that no cache may answer, which makes nothing fresh. */
const conditional = (etag: string): RequestInit =>
  ({ headers: { 'if-none-match': etag }, cache: 'force-cache' }) as RequestInit;
const json = (body: unknown): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

/** Two workers, so that nothing depends on there being one. */
const FLAGS = ['--start-servers=2', '--max-request-workers=2', '--limit-request-body=0'];
function serves(start: () => Promise<ServerProcess>): void {
  beforeAll(async () => {
    server = await start();
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
  });
}

describe('Express, run as a script', () => {
  serves(() => runScript(example('express'), FLAGS, [], { PORT: '0' }));

  it('has its address, its trust in a proxy and its own headers', async () => {
    const response = await ask('/', {
      headers: { 'x-forwarded-for': '203.0.113.9', 'x-forwarded-proto': 'https' },
    });
    expect(await response.json()).toEqual({ hello: '203.0.113.9', protocol: 'https' });
    expect(response.headers.get('x-powered-by')).toBe('Express');
    const direct = (await (await ask('/')).json()) as { hello: string };
    // On a socket for both families node:http would say ::ffff:127.0.0.1.
    expect(direct.hello).toBe('127.0.0.1');
  });

  it('reads JSON within its limit and refuses what is larger or malformed', async () => {
    const body = { a: [1, 2, { b: null }] };
    expect(await (await ask('/echo', json(body))).json()).toEqual(body);
    const large = await ask('/echo', json('x'.repeat(200_000)));
    expect([large.status, await large.json()]).toEqual([
      413,
      { error: 'request entity too large' },
    ]);
    const malformed = await ask('/echo', { ...json(0), body: '{"a":' });
    expect(malformed.status).toBe(400);
  });

  it('has errors go through its error middleware', async () => {
    const response = await ask('/fails');
    expect([response.status, await response.json()]).toEqual([418, { error: 'out of tea' }]);
    expect((await ask('/nowhere')).status).toBe(404);
  });

  it('serves files with conditions, ranges and HEAD by express.static', async () => {
    const whole = await ask('/files/package.json');
    const text = await whole.text();
    expect(JSON.parse(text).name).toBe('hybrid-mpm-example-express');
    const etag = whole.headers.get('etag') as string;
    const cached = await ask('/files/package.json', conditional(etag));
    expect([cached.status, await cached.text()]).toEqual([304, '']);
    const part = await ask('/files/package.json', { headers: { range: 'bytes=2-5' } });
    expect([part.status, await part.text()]).toEqual([206, text.slice(2, 6)]);
    const head = await ask('/files/package.json', { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe(String(text.length));
    expect((await ask('/files/..%2f..%2fpackage.json')).status).toBe(404);
  });

  it('reads a body of 32 MB in pieces', async () => {
    const bytes = randomBytes(1 << 20);
    const body = new ReadableStream({
      start: (controller) => {
        for (let count = 0; count < 32; count++) controller.enqueue(bytes);
        controller.close();
      },
    });
    const hash = createHash('sha256');
    for (let count = 0; count < 32; count++) hash.update(bytes);
    const init = { method: 'PUT', body, duplex: 'half' } as RequestInit;
    expect(await (await ask('/digest', init)).text()).toBe(`${hash.digest('hex')}\n`);
  });

  it('hears of a client that leaves a stream of events by a plain close', async () => {
    const client = await RawClient.open(server.port);
    const seen = new Promise<void>((resolve) => {
      client.socket.on('data', (bytes) => {
        if (bytes.includes('data: tick')) resolve();
      });
    });
    client.send('GET /events HTTP/1.1\r\nHost: a\r\n\r\n');
    await seen;
    client.socket.end();
    await server.prints(/left after \d/, DEADLINE_MS);
    await eventually(
      () => statusOf(server),
      (status) => status.get('ConnsTotal') === '0' || status.get('BusyWorkers') === '0',
    );
  });
});

describe('Fastify, by its instance', () => {
  serves(() => startServer(example('fastify'), FLAGS));

  it('has schemas, hooks and injected requests', async () => {
    const response = await ask('/');
    expect(await response.json()).toEqual({ hello: '127.0.0.1' });
    expect(response.headers.get('x-hook')).toBe('onRequest');
    expect(await (await ask('/sum', json({ numbers: [1, 2, 3.5] }))).json()).toEqual({ sum: 6.5 });
    const invalid = await ask('/sum', json({ numbers: 'all' }));
    expect(invalid.status).toBe(400);
    expect(await invalid.json()).toMatchObject({ code: 'FST_ERR_VALIDATION' });
    expect(await (await ask('/inner')).json()).toEqual({ hello: '127.0.0.1' });
    expect((await ask('/nowhere')).status).toBe(404);
  });

  it('is closed with its worker', async () => {
    const other = await startServer(example('fastify'), FLAGS);
    expect(await other.stop()).toBe(0);
    expect(other.output().match(/^closed$/gm)).toHaveLength(2);
  });
});

describe('Koa, by its application', () => {
  serves(() => startServer(example('koa'), FLAGS));

  it('has bodies of any kind, errors and conditions', async () => {
    const response = await ask('/', { headers: { 'x-forwarded-for': '203.0.113.9' } });
    expect(await response.json()).toEqual({ hello: '203.0.113.9' });
    expect(response.headers.get('x-response-time')).toMatch(/^[\d.]+ms$/);
    expect(await (await ask('/stream')).text()).toBe('one\ntwo\nthree\n');
    expect((await ask('/stream', { method: 'HEAD' })).headers.get('content-type')).toMatch(/plain/);
    const taken = await ask('/fails');
    expect([taken.status, await taken.text()]).toEqual([409, 'taken']);
    expect((await ask('/nowhere')).status).toBe(404);
    expect(await (await ask('/fresh')).text()).toBe('new\n');
    const cached = await ask('/fresh', conditional('"same"'));
    expect([cached.status, await cached.text()]).toEqual([304, '']);
  });

  it('answers with the request as its body', async () => {
    const bytes = randomBytes(300_000);
    const response = await ask('/echo', { method: 'POST', body: bytes });
    expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).toBe(true);
  });
});

describe('Hono, by its fetch', () => {
  serves(() => startServer(example('hono'), FLAGS));

  it('routes, parses forms, streams and handles errors', async () => {
    const hello = await ask('/', { headers: { 'user-agent': 'test' } });
    expect(await hello.json()).toEqual({ hello: 'test' });
    expect(await (await ask('/users/7')).text()).toBe('user 7\n');
    const form = new FormData();
    form.set('name', 'M\u00fcller');
    form.set('file', new File([randomBytes(70_000)], 'a.bin'));
    const uploaded = await ask('/form', { method: 'POST', body: form });
    expect(await uploaded.json()).toEqual({ name: 'M\u00fcller', file: 'a.bin', size: 70_000 });
    const events = await (await ask('/events')).text();
    expect(events.match(/^id: \d$/gm)).toEqual(['id: 1', 'id: 2', 'id: 3']);
    const failed = await ask('/fails');
    expect([failed.status, await failed.json()]).toEqual([500, { error: 'out of tea' }]);
    expect((await ask('/nowhere')).status).toBe(404);
  });
});
