/** The same applications over node:http in one thread, as on a machine without epoll. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import WebSocket from 'ws';
import { RawClient } from '../support/raw-client.ts';
import { eventually, fixture, type ServerProcess, startServer } from '../support/server-process.ts';

const CLI = fileURLToPath(new URL('../../dist/main/cli.js', import.meta.url));
const example = (name: string) => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));

let server: ServerProcess | null = null;
beforeAll(() => {
  process.env.HYBRID_MPM_NATIVE = 'off';
});
afterAll(() => {
  delete process.env.HYBRID_MPM_NATIVE;
});
afterEach(async () => {
  const code = await server?.stop('SIGINT');
  server = null;
  expect([0, undefined]).toContain(code);
});
const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`http://127.0.0.1:${server?.port}${path}`, {
    signal: AbortSignal.timeout(10_000),
    ...init,
  });

it('says plainly what it is, and serves a web-style application', async () => {
  server = await startServer(fixture('app.mjs'), ['--limit-request-body=1m']);
  await server.prints('HYBRID_MPM_NATIVE is off: one thread over node:http');
  expect(await (await ask('/')).text()).toBe('hello\n');
  expect(await (await ask('/wait?ms=5')).text()).toBe('waited\n');
  const body = 'x'.repeat(300_000);
  expect(await (await ask('/echo', { method: 'POST', body })).text()).toBe(body);
  const large = await ask('/echo', { method: 'POST', body: 'x'.repeat(2_000_000) });
  expect(large.status).toBe(413);
  expect(await (await ask('/stream')).text()).toBe('part 0\npart 1\npart 2\npart 3\npart 4\n');
  expect((await ask('/empty')).status).toBe(204);
  expect((await ask('/throw')).status).toBe(500);
  expect((await ask('/not-a-response')).status).toBe(500);
  expect(await (await ask('/headers', { headers: { 'x-a': 'b' } })).json()).toMatchObject({
    'x-a': 'b',
  });
  const head = await ask('/', { method: 'HEAD' });
  expect([head.status, head.headers.get('content-length')]).toEqual([200, '6']);
  await expect(ask('/stream-fails').then((response) => response.text())).rejects.toThrow();
  await server.prints('secret detail');
});

it('answers 504 past the deadline, and aborts the signal of a client that has left', async () => {
  server = await startServer(fixture('exchange.mjs'), ['--request-deadline=300ms']);
  expect((await ask('/wait?ms=5000')).status).toBe(504);
  const client = await RawClient.open(server.port);
  client.socket.end('GET /signal?ask=at-once HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.ended();
  await eventually(
    async () => (await ask('/outcome')).text(),
    (outcome) => outcome === 'waiting, AbortError\n',
  );
});

it.each(['koa', 'hono', 'fastify'])('serves the example of %s', async (name) => {
  server = await startServer(example(`${name}/app.js`));
  const response = await ask('/');
  expect(response.status).toBe(200);
  expect((await ask('/nowhere')).status).toBe(404);
});

it('has WebSockets, and a server that was left to whoever imports it', async () => {
  server = await startServer(fixture('websocket.mjs'));
  expect(await (await ask('/')).text()).toMatch(/^worker \d+\n$/);
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/`);
  const echoed = await new Promise<string>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('open', () => socket.send('hello'));
    socket.on('message', (data) => resolve(String(data)));
    setTimeout(() => reject(new Error('no echo')), 5_000).unref();
  });
  expect(echoed).toBe('hello');
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.close();
  await closed;
});

it('has an admin page with what there is', async () => {
  server = await startServer(fixture('app.mjs'));
  const admin = (path: string) =>
    fetch(`http://127.0.0.1:${server?.adminPort}${path}`, { signal: AbortSignal.timeout(5_000) });
  await ask('/');
  expect((await admin('/healthz')).status).toBe(200);
  expect((await admin('/readyz')).status).toBe(200);
  const status = await (await admin('/server-status?auto')).text();
  expect(status).toMatch(/^Total Accesses: 1$/m);
  expect(status).toMatch(/^ServerVersion: .*without epoll/m);
  expect((await admin('/metrics')).status).toBe(404);
});

it.each([
  [['serve', '.'], 'folders are not served'],
  [['serve', fixture('app.mjs'), '--watch'], 'use `node --watch`'],
  [['run', fixture('app.mjs')], 'scripts are run by `node` itself'],
])('refuses what takes workers: %s', (parameters, reason) => {
  const { status, stderr } = spawnSync(process.execPath, [CLI, ...parameters], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  expect(stderr).toContain('ERR_MPM_NO_EPOLL');
  expect(stderr).toContain(reason);
  expect(status).toBe(1);
});
