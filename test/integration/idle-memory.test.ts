// What a connection costs that has done small requests and waits: the first halves of its slot and of its
// record, and nothing of the second ones, whose pages stay unwritten.
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { HALF_BYTES, recordAt, SECOND_HALF } from '../../src/scoreboard/halves.ts';
import { extendedSectionsFor } from '../../src/scoreboard/layout.ts';
import { connectionRows, takeSnapshot } from '../../src/scoreboard/snapshot.ts';
import {
  type ObservedOptions,
  type ObservedServer,
  observedServer,
} from '../support/observed-server.ts';

const DEADLINE = { timeout: 10_000, interval: 10 };
const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

async function start(options: Partial<ObservedOptions> = {}): Promise<ObservedServer> {
  const server = await observedServer({ entry: 'recorded.mjs', ...options });
  cleanUp.push(() => server.stop());
  return server;
}

function open({ port }: ObservedServer): Socket {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  cleanUp.push(() => socket.destroy());
  return socket;
}

/** Sends a request, or what is left of one, and waits for the head of the response. */
async function ask(socket: Socket, request: string): Promise<void> {
  let received = '';
  const onData = (bytes: Buffer) => {
    received += bytes.toString('latin1');
  };
  socket.on('data', onData);
  socket.write(request, 'latin1');
  await expect.poll(() => received, DEADLINE).toContain('\r\n\r\n');
  socket.off('data', onData);
}

const get = (target: string, host = 'example.test') =>
  `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

/** Bytes other than 0 in the second halves of slots and of request records. */
function secondHalves({ board }: ObservedServer): { slots: number[]; records: number[] } {
  const { extended } = board.shared;
  const records = extended === null ? null : new Uint8Array(extended);
  const { requests } = extendedSectionsFor(board.shared);
  const found = { slots: [] as number[], records: [] as number[] };
  for (let slot = 0; slot < board.connectionSlots; slot++) {
    const half = (bytes: Uint8Array, base: number) =>
      bytes.subarray(base + SECOND_HALF, base + SECOND_HALF + HALF_BYTES).some((byte) => byte > 0);
    if (half(board.bytes, board.slotIndex(slot) * 4)) found.slots.push(slot);
    if (records !== null && half(records, requests + recordAt(slot))) found.records.push(slot);
  }
  return found;
}

const UNTOUCHED = { slots: [], records: [] };
const waiting = ({ board }: ObservedServer): number => takeSnapshot(board).connections.keepalive;
const closed = ({ board }: ObservedServer): boolean => takeSnapshot(board).connectionsTotal === 0;

describe('a connection that has done small requests', () => {
  it.each([
    ['in any worker', { workers: 2 }],
    ['where the listener polls', { workers: 1, worker: { directPolling: false } }],
    ['without extendedStatus', { workers: 1, extendedStatus: false }],
    [
      'where clients come through proxies',
      { workers: 1, worker: { proxyProtocol: ['10.0.0.0/8'] } },
    ],
  ] as [
    string,
    Partial<ObservedOptions>,
  ][])('has written no second half %s', async (_, options) => {
    const server = await start(options);
    // Twice, so that slots are used again.
    for (let round = 0; round < 2; round++) {
      const sockets = Array.from({ length: 24 }, () => open(server));
      await Promise.all(
        sockets.map(async (socket) => {
          for (const target of ['/users/4?q=1', '/later/5', '/']) await ask(socket, get(target));
          await ask(socket, `POST /users/4 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc`);
        }),
      );
      await expect.poll(() => waiting(server), DEADLINE).toBe(sockets.length);
      // To be looked at does not count either.
      expect(connectionRows(server.board, 100)).toHaveLength(sockets.length);
      expect(secondHalves(server)).toEqual(UNTOUCHED);
      for (const socket of sockets) socket.end();
      await expect.poll(() => closed(server), DEADLINE).toBe(true);
      expect(secondHalves(server)).toEqual(UNTOUCHED);
    }
  });

  it('has written none where it was closed by the server', async () => {
    const server = await start({ workers: 1 });
    const socket = open(server);
    await ask(socket, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    await ask(open(server), 'GET / HTTP/1.0\r\n\r\n');
    await expect.poll(() => closed(server), DEADLINE).toBe(true);
    expect(secondHalves(server)).toEqual(UNTOUCHED);
  });
});

describe('a connection whose request', () => {
  it('has a long target or Host goes on in the second half of its record', async () => {
    const server = await start({ workers: 1 });
    const [short, long] = [open(server), open(server)];
    await ask(short, get('/'));
    await ask(long, get(`/${'x'.repeat(100)}`));
    const rows = connectionRows(server.board, 10);
    const slot = rows.find(({ request }) => (request?.targetBytes ?? 0) > 100)?.slot;
    expect(slot).toBeDefined();
    expect(secondHalves(server)).toEqual({ slots: [], records: [slot] });
  });

  it('comes in parts has written the second half of its slot', async () => {
    const server = await start({ workers: 1 });
    const socket = open(server);
    const only = () => connectionRows(server.board, 10)[0];
    socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n');
    await expect.poll(() => only()?.state, DEADLINE).toBe('readRequest');
    await ask(socket, 'abc');
    expect(secondHalves(server)).toEqual({ slots: [only()?.slot], records: [] });
  });
});
