/** What an operator does by POST to a running server. */
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StatusDocument } from '../../src/main/admin/schema.ts';
import { eventually, fixture, type ServerProcess, startServer } from '../support/server-process.ts';

const TOKEN = '0123456789abcdef0123';
let server: ServerProcess;
const sockets: Socket[] = [];

beforeAll(async () => {
  server = await startServer(fixture('app.mjs'), [
    ...['--admin-token', TOKEN, '--start-servers', '2', '--max-request-workers', '2'],
  ]);
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await server?.stop();
});

const admin = (path: string) => `http://127.0.0.1:${server.adminPort}${path}`;
const statusNow = async (query = ''): Promise<StatusDocument> => {
  const response = await fetch(admin(`/server-status?json&${query}`));
  return (await response.json()) as StatusDocument;
};
const act = async (fields: Record<string, string | number>, token = TOKEN) => {
  const response = await fetch(admin('/server-status/actions'), {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(fields),
    signal: AbortSignal.timeout(10_000),
  });
  return { status: response.status, text: (await response.text()).trim() };
};
/** One request on a connection that is kept. */
async function keepAlive(): Promise<Socket> {
  const socket = connect(server.port, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => {});
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  return socket;
}
const closed = (socket: Socket) =>
  new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('still open')), 10_000);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });

describe('actions', () => {
  it('need the token', async () => {
    expect((await act({ action: 'recycle', worker: 0 }, `${TOKEN}x`)).status).toBe(401);
    expect((await fetch(admin('/server-status/actions'))).status).toBe(405);
  });

  it('replace a worker, while requests are answered', async () => {
    const ready = await eventually(statusNow, ({ workers }) => workers.idle + workers.busy === 2);
    const before = ready.workerList[0];
    expect(await act({ action: 'recycle', worker: before?.slot ?? -1 })).toMatchObject({
      status: 202,
    });
    await eventually(
      async () => {
        expect((await fetch(`http://127.0.0.1:${server.port}/`)).status).toBe(200);
        return statusNow();
      },
      ({ workerList }) =>
        workerList.length === 2 && workerList.every(({ life }) => life !== before?.life),
      20_000,
    );
    expect((await act({ action: 'recycle', worker: 1_000 })).status).toBe(404);
  });

  it('close one connection and no other', async () => {
    const one = await keepAlive();
    const other = await keepAlive();
    const rows = await eventually(
      async () => (await statusNow('state=keepalive')).connectionList?.rows ?? [],
      (list) => list.some(({ client }) => client.endsWith(`:${one.localPort}`)),
    );
    const row = rows.find(({ client }) => client.endsWith(`:${one.localPort}`));
    const fields = { action: 'close', connection: row?.slot ?? -1 };
    const stale = { ...fields, incarnation: (row?.incarnation ?? 0) + 1 };
    expect((await act(stale)).status).toBe(404);
    const gone = closed(one);
    expect((await act({ ...fields, incarnation: row?.incarnation ?? -1 })).status).toBe(200);
    await gone;
    const answered = new Promise((resolve) => other.once('data', resolve));
    other.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(String(await answered)).toContain('200 OK');
  });

  it('set directives that the server follows from then on', async () => {
    const idle = await keepAlive();
    const gone = closed(idle);
    expect(await act({ action: 'set', directive: 'keepAliveTimeout', value: '300ms' })).toEqual({
      status: 200,
      text: 'keepAliveTimeout is 300ms, was 65s',
    });
    await gone;
    const set = { action: 'set', directive: 'maxConnectionsPerChild', value: 3 };
    expect((await act(set)).status).toBe(200);
    expect((await statusNow()).limits).toEqual({
      maxConnectionsPerChild: 3,
      keepAliveTimeoutMs: 300,
    });
    await eventually(
      async () => {
        await (await keepAlive()).destroy();
        return statusNow();
      },
      ({ children }) => children.exits.maxConnections > 0,
      20_000,
    );
  });

  it('refuse values that a configuration would refuse', async () => {
    const set = { action: 'set', directive: 'minSpareThreads', value: 400 };
    expect((await act(set)).status).toBe(409);
    expect((await act({ ...set, directive: 'listen' })).status).toBe(400);
  });

  it('are offered on the page, by forms without the token in them', async () => {
    const page = await (await fetch(admin('/server-status'))).text();
    expect(page).toContain('<form method="post" action="/server-status/actions"');
    expect(page).not.toContain(TOKEN);
  });
});
