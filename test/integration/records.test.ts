// What the data plane records while it serves: read from shared memory alone, also of workers that are
// stuck and of requests that wait.
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type ConnectionRow,
  connectionRows,
  readSeries,
  takeSnapshot,
} from '../../src/scoreboard/snapshot.ts';
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

/** A client that sends what it is told and keeps what it gets. */
class Client {
  readonly socket: Socket;
  received = '';
  constructor(port: number) {
    // The server lingers until this side ends, too.
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('data', (bytes: Buffer) => {
      this.received += bytes.toString('latin1');
    });
    this.socket.on('error', () => {});
    cleanUp.push(() => this.socket.destroy());
  }
  async ask(request: string, responses = 1): Promise<void> {
    this.socket.write(request, 'latin1');
    await expect.poll(() => this.received.split('HTTP/1.1 ').length - 1, DEADLINE).toBe(responses);
  }
}

const get = (target: string, more = '') =>
  `GET ${target} HTTP/1.1\r\nHost: example.test\r\n${more}\r\n`;
const only = (server: ObservedServer): ConnectionRow => {
  const rows = connectionRows(server.board, 10);
  expect(rows).toHaveLength(1);
  return rows[0] as ConnectionRow;
};

describe('the last request of a connection', () => {
  it('is kept with its status while the connection is parked', async () => {
    const server = await start();
    const client = new Client(server.port);
    await client.ask(get('/users/4?q=%3Cscript%3E'));
    await expect.poll(() => only(server).state, DEADLINE).toBe('keepalive');
    expect(only(server).request).toMatchObject({
      method: 'GET',
      target: '/users/4?q=%3Cscript%3E',
      targetBytes: 23,
      host: 'example.test',
      hostBytes: 12,
      minorVersion: 1,
      active: false,
      status: 204,
    });
    expect(only(server).request?.durationMs).toBeGreaterThan(0);
  });

  it('is cut where it is long, and says how long it was', async () => {
    const server = await start();
    const client = new Client(server.port);
    const target = `/${'x'.repeat(3000)}`;
    const host = `${'h'.repeat(100)}.test`;
    await client.ask(`DELETE ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await expect.poll(() => only(server).request?.active, DEADLINE).toBe(false);
    const { request } = only(server);
    expect(request).toMatchObject({ method: 'DELETE', targetBytes: 3001, hostBytes: 105 });
    expect(target.startsWith(request?.target as string)).toBe(true);
    expect(request?.target.length).toBeGreaterThanOrEqual(160);
    expect(request?.host).toBe('h'.repeat(48));
  });

  it('is the refused one, as far as it could be read', async () => {
    const server = await start();
    const client = new Client(server.port);
    await client.ask('GET /no host HTTP/1.1\r\n\r\n');
    await expect.poll(() => only(server).state, DEADLINE).toBe('lingerNormal');
    expect(only(server).request).toMatchObject({
      method: 'GET',
      target: '/no host',
      status: 400,
      host: '',
    });
    expect(readSeries(server.board)).toMatchObject([
      { method: 'other', route: '__unknown__', statusClass: '4xx' },
    ]);
  });

  it('is the newest of pipelined ones', async () => {
    const server = await start();
    const client = new Client(server.port);
    await client.ask(get('/users/1') + get('/users/2') + get('/users/3'), 3);
    await expect.poll(() => only(server).state, DEADLINE).toBe('keepalive');
    expect(only(server).request).toMatchObject({ target: '/users/3', status: 203 });
  });

  it('stays shown while its handler waits, and while the listener sends its rest', async () => {
    const server = await start();
    const later = new Client(server.port);
    later.socket.write(get('/later/60000'));
    await expect
      .poll(() => only(server).request, DEADLINE)
      .toMatchObject({ target: '/later/60000', active: true, status: 0 });
    later.socket.resetAndDestroy();
    await expect.poll(() => connectionRows(server.board, 1), DEADLINE).toEqual([]);
    const large = new Client(server.port);
    large.socket.pause();
    large.socket.write(get('/large'));
    await expect.poll(() => only(server).state, DEADLINE).toBe('writeCompletion');
    expect(only(server).request).toMatchObject({ target: '/large', active: true });
    large.socket.resume();
    await expect
      .poll(() => only(server).request, DEADLINE)
      .toMatchObject({ target: '/large', active: false, status: 200 });
    expect(readSeries(server.board)).toMatchObject([{ route: '/large', statusClass: '2xx' }]);
  });

  it('is not the one of the connection before in the same slot', async () => {
    const server = await start();
    const first = new Client(server.port);
    await first.ask(get('/first'));
    first.socket.destroy();
    await expect.poll(() => connectionRows(server.board, 1), DEADLINE).toEqual([]);
    new Client(server.port);
    await expect.poll(() => connectionRows(server.board, 1).length, DEADLINE).toBe(1);
    expect(only(server)).toMatchObject({ slot: 0, request: null, requests: 0 });
    expect(only(server).trail.map(({ state }) => state)).toEqual(['waitRequest']);
  });
});

describe('the trail of a connection', () => {
  it('has its last transitions with their times and children', async () => {
    const server = await start({ workers: 1 });
    const client = new Client(server.port);
    await client.ask(get('/'));
    await expect.poll(() => only(server).state, DEADLINE).toBe('keepalive');
    const { trail } = only(server);
    expect(trail.map(({ state, child }) => [state, child])).toEqual([
      ['waitRequest', -1],
      ['queued', -1],
      ['processing', 0],
      ['keepalive', 0],
    ]);
    const ages = trail.map(({ agoMs }) => agoMs);
    expect(ages).toEqual([...ages].sort((one, other) => other - one));
    expect(ages[0]).toBeLessThan(10_000);
  });

  it('keeps the last eight', async () => {
    const server = await start({ workers: 1 });
    const client = new Client(server.port);
    for (let number = 1; number <= 5; number++) await client.ask(get('/'), number);
    await expect.poll(() => only(server).state, DEADLINE).toBe('keepalive');
    const states = only(server).trail.map(({ state }) => state);
    expect(states).toHaveLength(8);
    expect(states.slice(-3)).toEqual(['queued', 'processing', 'keepalive']);
  });
});

describe('a worker', () => {
  it('that is stuck shows what it runs, since when, and that its loop is busy', async () => {
    const server = await start({ workers: 1 });
    const client = new Client(server.port);
    client.socket.write(get('/spin/1'));
    const worker = () => takeSnapshot(server.board).children[0];
    await expect.poll(() => worker()?.handlingMs, DEADLINE).toBeGreaterThan(200);
    expect(worker()).toMatchObject({
      handling: 0,
      request: { method: 'GET', target: '/spin/1', active: true },
    });
    expect(worker()?.request?.ageMs).toBeGreaterThan(200);
    await expect.poll(() => worker()?.eventLoopUtilization, DEADLINE).toBeGreaterThan(0.9);
    expect(worker()?.heapUsedBytes).toBeGreaterThan(1_000_000);
    expect(worker()?.externalBytes).toBeGreaterThan(10_000);
  });

  it('that retires leaves what it had served and held, and its counts stay', async () => {
    const server = await start({ workers: 1, maxConnectionsPerChild: 3 });
    for (let number = 0; number < 6; number++) {
      const client = new Client(server.port);
      await client.ask(get('/users/0'));
      client.socket.destroy();
    }
    const snapshot = () => takeSnapshot(server.board);
    await expect
      .poll(() => snapshot().childExits.maxConnections, DEADLINE)
      .toBeGreaterThanOrEqual(1);
    const { workerConnectionsAtExit, workerHeapAtExit } = snapshot().histograms;
    const ends = snapshot().childExits.maxConnections;
    expect(workerConnectionsAtExit.counts.reduce((all, count) => all + count)).toBe(ends);
    expect(workerConnectionsAtExit.sum).toBeGreaterThanOrEqual(3 * ends);
    expect(workerHeapAtExit.sum / ends).toBeGreaterThan(1_000_000);
    const [users] = readSeries(server.board) ?? [];
    expect(users).toMatchObject({ method: 'GET', route: '/users/:id', statusClass: '2xx' });
    await expect
      .poll(
        () => readSeries(server.board)?.[0]?.durations.reduce((all, count) => all + count),
        DEADLINE,
      )
      .toBe(6);
  });
});

describe('the histograms', () => {
  it('have the waits in the queue, the ends of connections, and the turns of the listener', async () => {
    const server = await start();
    const client = new Client(server.port);
    await client.ask(get('/'));
    await client.ask(get('/'), 2);
    client.socket.destroy();
    await expect.poll(() => connectionRows(server.board, 1), DEADLINE).toEqual([]);
    const { histograms, totals } = takeSnapshot(server.board);
    const count = (name: keyof typeof histograms) =>
      histograms[name].counts.reduce((all, value) => all + value);
    expect(count('queueWait')).toBe(totals.claims);
    expect(histograms.queueWait.sum).toBeCloseTo(totals.queueWaitMs / 1000, 6);
    expect([count('connectionRequests'), histograms.connectionRequests.sum]).toEqual([1, 2]);
    expect([count('connectionDuration'), histograms.connectionDuration.sum < 10]).toEqual([
      1,
      true,
    ]);
    expect(count('listenerTurn')).toBeGreaterThan(0);
  });
});

it('without extendedStatus nothing of a request is recorded', async () => {
  const server = await start({ extendedStatus: false });
  const client = new Client(server.port);
  await client.ask(get('/users/1'));
  await expect.poll(() => only(server).state, DEADLINE).toBe('keepalive');
  expect(only(server)).toMatchObject({ request: null, trail: [] });
  expect(readSeries(server.board)).toBeNull();
  expect(takeSnapshot(server.board)).toMatchObject({ extended: false, totals: { requests: 1 } });
});

describe('beside the records', () => {
  const parent = (id: string) => `Traceparent: 00-${id}-b7ad6b7169203331-01\r\n`;
  const TRACE = '0af7651916cd43dd8448eb211c80319c';

  it('the trace that a request belongs to is an exemplar of its series', async () => {
    const server = await start();
    const client = new Client(server.port);
    await client.ask(get('/users/4', parent(TRACE)));
    const exemplar = () => readSeries(server.board)?.[0]?.exemplar ?? null;
    await expect.poll(() => exemplar()?.traceId, DEADLINE).toBe(TRACE);
    expect(Math.abs((exemplar()?.atSeconds ?? 0) - Date.now() / 1000)).toBeLessThan(60);
    // Neither one without a trace, nor one that is not well-formed, takes its place.
    await client.ask(get('/users/5'), 2);
    await client.ask(get('/users/6', parent(TRACE.replace('0', 'G'))), 3);
    await client.ask(get('/users/7', parent('0'.repeat(32))), 4);
    await expect.poll(() => takeSnapshot(server.board).totals.requests, DEADLINE).toBe(4);
    expect(exemplar()?.traceId).toBe(TRACE);
  });

  it('the size of each response, and reuses of connections, are counted', async () => {
    const server = await start();
    const client = new Client(server.port);
    for (const number of [1, 2, 3]) await client.ask(get('/users/4'), number);
    await new Client(server.port).ask(get('/users/4'));
    await expect.poll(() => takeSnapshot(server.board).totals.requests, DEADLINE).toBe(4);
    const { totals, histograms } = takeSnapshot(server.board);
    expect(totals.reuses).toBe(2);
    expect(histograms.responseSize.counts.reduce((all, count) => all + count, 0)).toBe(4);
    expect(histograms.responseSize.sum).toBe(totals.sentBytes);
  });
});
