/** Exchanges that end, fail or wait at an awkward moment, over real sockets. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { eventually, fixture, type ServerProcess, startServer } from '../support/server-process.ts';

let server: ServerProcess;
const clients: RawClient[] = [];

const open = async (): Promise<RawClient> => {
  const client = await RawClient.open(server.port);
  clients.push(client);
  return client;
};
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const ask = async (path: string): Promise<string> => {
  const client = await open();
  client.send(get(path));
  return (await client.response()).body.toString();
};

beforeAll(async () => {
  // One worker, so that whatever one connection leaves behind is found by the next.
  server = await startServer(fixture('exchange.mjs'), [
    '--start-servers=1',
    '--max-request-workers=1',
    '--limit-request-body=64m',
  ]);
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

it('gives the next client nothing of a response that failed behind its head', async () => {
  for (let round = 0; round < 10; round++) {
    const failing = await open();
    failing.send(get('/too-long'));
    await failing.ended();
    const other = await open();
    other.send(get('/'));
    const { headers, body } = await other.response();
    expect(headers.has('x-whose')).toBe(false);
    expect(body.toString()).toBe('hello\n');
    other.close();
  }
});

it('dates a response when it is made, not when its request came', async () => {
  const client = await open();
  const began = Date.now();
  client.send(get('/wait?ms=2100'));
  const { headers } = await client.response();
  expect(Date.parse(headers.get('date') ?? '')).toBeGreaterThan(began + 1_000);
});

it('rejects a read that waits when the response has ended', async () => {
  const client = await open();
  client.send('POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n');
  const { headers, body } = await client.response();
  expect(body.toString()).toBe('early\n');
  expect(headers.get('connection')).toBe('close');
  expect(await ask('/outcome')).toBe('rejected\n');
});

it('takes a whole body from a client that reads the response only afterwards', async () => {
  const client = await open();
  client.socket.pause();
  const bytes = 32 * 1024 * 1024;
  const sent = new Promise<void>((resolve, reject) => {
    setTimeout(() => reject(new Error('the server stopped reading')), 10_000);
    client.send(`POST /duplex HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n`);
    client.socket.write(Buffer.alloc(bytes), () => resolve());
  });
  await sent;
  await eventually(
    () => ask('/outcome'),
    (outcome) => outcome === `took ${bytes}\n`,
  );
});

it.each([
  'at-once',
  'late',
  'any',
])('aborts a signal, asked for %s, when the client has shut its side', async (asked) => {
  const client = await open();
  client.socket.end(get(`/signal?ask=${asked}`));
  await client.ended();
  await eventually(
    () => ask('/outcome'),
    (outcome) => outcome === 'waiting, AbortError\n',
  );
});

it('aborts the signal when the client leaves behind a body that was streamed', async () => {
  const client = await open();
  const bytes = 1024 * 1024;
  client.send(`POST /signal?ask=body HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n`);
  client.socket.end(Buffer.alloc(bytes, 97));
  await client.ended();
  await eventually(
    () => ask('/outcome'),
    (outcome) => outcome === `read ${bytes}, AbortError\n`,
  );
});

it('answers a client that has shut its side where nobody asks for the signal', async () => {
  const client = await open();
  client.socket.end(get('/wait?ms=100'));
  expect((await client.response()).body.toString()).toBe('waited\n');
});
