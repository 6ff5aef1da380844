/** Responses whose bytes come from another socket: exact, whoever is slow, and without a worker. */
import { readdirSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import {
  eventually,
  fixture,
  type ServerProcess,
  startServer,
  statusOf,
} from '../support/server-process.ts';

/** More than all the sockets between take in. */
const HUGE = Buffer.from(
  new Uint32Array(6_000_000).map((_, index) => Math.imul(index, 2_654_435_761)).buffer,
);
let server: ServerProcess;
let upstream: Server;
let port = 0;
const clients: RawClient[] = [];
const served: Socket[] = [];

/** Does as it is asked: `send N`, `send N and wait`, `send N and stay`. */
function answer(socket: Socket): void {
  served.push(socket);
  socket.on('error', () => {});
  socket.once('data', (line) => {
    const [, count, rest] = /^send (\d+)(.*)\n$/.exec(line.toString()) as RegExpExecArray;
    const body = HUGE.subarray(0, Number(count));
    if (rest === ' and stay') socket.write(body);
    else socket.end(body);
  });
}

beforeAll(async () => {
  upstream = createServer(answer).listen(0, '127.0.0.1');
  await new Promise((resolve) => upstream.once('listening', resolve));
  port = (upstream.address() as AddressInfo).port;
  server = await startServer(fixture('sockets.mjs'), [
    '--start-servers=1',
    '--min-spare-threads=1',
    '--max-request-workers=1',
    '--timeout=5s',
  ]);
});
afterAll(async () => {
  for (const client of clients) client.close();
  for (const socket of served) socket.destroy();
  upstream.close();
  expect(await server.stop()).toBe(0);
});

const open = async (): Promise<RawClient> => {
  const client = await RawClient.open(server.port);
  clients.push(client);
  return client;
};
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const ask = (what: string, more = ''): string =>
  get(`/socket?port=${port}&ask=${encodeURIComponent(what)}${more}`);
const descriptors = (): number => readdirSync(`/proc/${server.process.pid}/fd`).length;

describe('a response from another socket', () => {
  it.each([
    ['of a length', 70_000, '&length=70000'],
    ['of which much was read before', 200_000, '&length=200000&late'],
    ['that was read wholly before', 1_000, '&length=1000&late'],
    ['of no bytes', 0, '&length=0'],
    ['that is shorter than what the socket has', 5_000, '&length=5000&late'],
  ])('%s is exact, and the connection goes on', async (_, length, more) => {
    const client = await open();
    for (let round = 0; round < 3; round++) {
      client.send(ask(`send ${Math.max(length, 10_000)} and stay`, more));
      const { status, headers, body } = await client.response();
      expect(status).toBe(200);
      expect(headers.get('content-length')).toBe(String(length));
      expect(body.equals(HUGE.subarray(0, length))).toBe(true);
    }
    client.send(get('/'));
    expect((await client.response()).body.toString()).toBe('light\n');
  });

  it('of unknown length ends with that socket, and the connection with it', async () => {
    const client = await open();
    client.send(ask('send 300000'));
    const all = await client.ended();
    const body = all.subarray(all.indexOf('\r\n\r\n') + 4);
    expect(all.toString('latin1', 0, 200)).toContain('Connection: close');
    expect(body.equals(HUGE.subarray(0, 300_000))).toBe(true);
  });

  it('that cannot be passed on by descriptor goes as a stream', async () => {
    const client = await open();
    client.send(ask('send 3000', '&text'));
    const { headers, body } = await client.response();
    expect(headers.get('transfer-encoding')).toBe('chunked');
    expect(body.length).toBeGreaterThan(0);
  });

  it('to a slow client holds no worker, and ends whole', async () => {
    // The worker opens some of its own with the first socket it makes.
    const first = await open();
    first.send(ask('send 10', '&length=10'));
    expect((await first.response()).body.length).toBe(10);
    const before = descriptors();
    const client = await open();
    client.socket.pause();
    client.send(ask(`send ${HUGE.length}`, `&length=${HUGE.length}`));
    await eventually(
      () => statusOf(server),
      (status) => status.get('ConnsAsyncWriting') === '1' && status.get('BusyWorkers') === '0',
    );
    const other = await open();
    for (let count = 0; count < 20; count++) {
      other.send(get('/'));
      expect((await other.response()).status).toBe(200);
    }
    client.socket.resume();
    expect((await client.response('GET', 20_000)).body.equals(HUGE)).toBe(true);
    client.close();
    other.close();
    await eventually(descriptors, (count) => count <= before);
    first.close();
  });

  it('that ends before its length cuts the connection', async () => {
    const client = await open();
    client.send(ask('send 1000', '&length=2000'));
    const all = await client.ended();
    expect(all.toString('latin1', 0, 200)).toContain('Content-Length: 2000');
    expect(all.length - all.indexOf('\r\n\r\n') - 4).toBe(1_000);
  });

  it('is cut at timeout where nothing comes any more', async () => {
    const client = await open();
    client.send(ask('send 1000 and stay', '&length=2000'));
    const began = performance.now();
    await client.ended(15_000);
    expect(performance.now() - began).toBeGreaterThan(4_000);
  }, 20_000);

  it('lets that socket go when the client leaves', async () => {
    const before = descriptors();
    const client = await open();
    const known = served.length;
    client.send(ask('send 1000 and stay', '&length=2000'));
    await eventually(
      () => served.length,
      (count) => count > known,
    );
    const closed = new Promise((resolve) => (served[known] as Socket).once('close', resolve));
    await eventually(
      () => statusOf(server),
      (status) => status.get('ConnsAsyncWriting') === '1',
    );
    client.socket.resetAndDestroy();
    await closed;
    await eventually(descriptors, (count) => count <= before);
  });
});
