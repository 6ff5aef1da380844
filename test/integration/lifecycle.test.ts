/** What the person who runs the server gets: draining, retiring children, faults, timeouts. */
import { rm, writeFile } from 'node:fs/promises';
import { Agent, request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import {
  eventually,
  fixture,
  type ServerProcess,
  startServer,
  statusOf,
} from '../support/server-process.ts';

let server: ServerProcess | null = null;
afterEach(async () => {
  await server?.stop('SIGKILL');
  server = null;
});

const start = async (...flags: string[]): Promise<ServerProcess> => {
  server = await startServer(fixture('app.mjs'), flags);
  return server;
};
const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;

/** Sends `total` requests over `connections` keep-alive connections; the statuses by count. */
async function load(port: number, total: number, connections: number, path = '/') {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const results = new Map<string, number>();
  const count = (key: string) => results.set(key, (results.get(key) ?? 0) + 1);
  const one = () =>
    new Promise<void>((resolve) => {
      const request = httpRequest({ port, host: '127.0.0.1', path, agent }, (response) => {
        response.resume();
        response.on('end', () => {
          count(String(response.statusCode));
          resolve();
        });
      });
      request.on('error', (error) => {
        count((error as NodeJS.ErrnoException).code ?? error.message);
        resolve();
      });
      request.end();
    });
  let left = total;
  const worker = async () => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: connections }, worker));
  agent.destroy();
  return Object.fromEntries(results);
}

describe('retiring children', () => {
  it.each([
    '--max-requests-per-child=150',
    '--max-connections-per-child=7',
  ])('with %s no request is lost and children have changed', async (flag) => {
    const { port } = await start('--start-servers=2', '--max-request-workers=4', flag);
    let sum = 0;
    // Replacements rest in between, so it takes as long as it takes.
    const status = await eventually(
      async () => {
        expect(await load(port, 500, 16)).toEqual({ 200: 500 });
        sum += 500;
        return statusOf(server as ServerProcess);
      },
      (now) => Number(now.get('MpmChildStarts')) > 4,
      30_000,
    );
    expect(Number(status.get('Total Accesses'))).toBe(sum);
  });

  it('finishes what a retiring child has begun', async () => {
    const { port } = await start(
      '--start-servers=1',
      '--max-request-workers=1',
      '--max-requests-per-child=5',
    );
    const waiting = await RawClient.open(port);
    waiting.send(get('/wait?ms=1500'));
    expect(await load(port, 60, 4)).toEqual({ 200: 60 });
    expect((await waiting.response()).body.toString()).toBe('waited\n');
    waiting.close();
  });
});

describe('workers', () => {
  it('are all idle again after a load of short, long and waiting handlers', async () => {
    const running = await start('--start-servers=3', '--max-request-workers=3');
    for (const path of ['/', '/burn?ms=2', '/wait?ms=1', '/']) {
      expect(await load(running.port, 600, 40, path)).toEqual({ 200: 600 });
    }
    await eventually(
      () => statusOf(running),
      (status) => status.get('IdleWorkers') === '3' && status.get('ConnsTotal') === '0',
    );
    // Each of them still takes its part.
    expect(await load(running.port, 30, 3, '/burn?ms=50')).toEqual({ 200: 30 });
  });
});

describe('a client that leaves while it waits in the queue', () => {
  it('gets its answer, and the connection ends at once', async () => {
    const { port } = await start('--start-servers=1', '--max-request-workers=1');
    const busy = await RawClient.open(port);
    busy.send(get('/burn?ms=400'));
    const leaving = await RawClient.open(port);
    leaving.send(get('/'));
    // The request is in the queue by now; the end of the stream comes as an event of its own.
    await eventually(
      () => statusOf(server as ServerProcess),
      (status) => status.get('MpmConnectionsQueued') === '1',
    );
    leaving.socket.end();
    expect((await leaving.response()).status).toBe(200);
    await leaving.ended(2_000);
    expect((await busy.response()).status).toBe(200);
  });
});

describe('a successor that does not load', () => {
  it('leaves its predecessor serving, until one does', async () => {
    const flag = join(tmpdir(), `hybrid-mpm-${process.pid}-broken`);
    await rm(flag, { force: true });
    process.env.TEST_BROKEN_FLAG = flag;
    server = await startServer(fixture('breakable.mjs'), [
      '--start-servers=1',
      '--max-request-workers=1',
      '--max-requests-per-child=10',
    ]);
    const running = server;
    await writeFile(flag, '');
    expect(await load(running.port, 50, 2)).toEqual({ 200: 50 });
    await running.prints('broken on purpose');
    expect(await load(running.port, 50, 2)).toEqual({ 200: 50 });
    await rm(flag);
    await eventually(
      () => statusOf(running),
      (status) => status.get('MpmChildExitsMaxRequests') !== '0',
    );
    expect(await load(running.port, 5, 2)).toEqual({ 200: 5 });
  });
});

describe('stopping', () => {
  it('finishes the request that runs, closes the idle connection and exits with 0', async () => {
    const running = await start();
    const idle = await RawClient.open(running.port);
    idle.send(get('/'));
    await idle.response();
    const busy = await RawClient.open(running.port);
    busy.send(get('/wait?ms=500'));
    const burning = await RawClient.open(running.port);
    burning.send(get('/burn?ms=400'));
    await eventually(
      () => statusOf(running),
      (status) => Number(status.get('BusyWorkers')) > 0,
    );
    const exit = running.stop('SIGTERM');
    await idle.ended();
    const { body, headers } = await busy.response();
    expect(body.toString()).toBe('waited\n');
    expect((await burning.response()).body.toString()).toBe('burnt\n');
    expect(headers.get('content-length')).toBe('7');
    await busy.ended();
    expect(await exit).toBe(0);
  });

  it('refuses new clients while it drains', async () => {
    const running = await start();
    const busy = await RawClient.open(running.port);
    busy.send(get('/wait?ms=800'));
    await eventually(
      () => statusOf(running),
      (status) => status.get('ConnsTotal') === '1',
    );
    const exit = running.stop('SIGTERM');
    await eventually(
      () =>
        RawClient.open(running.port).then(
          (client) => {
            client.close();
            return 'accepted';
          },
          (error: NodeJS.ErrnoException) => error.code,
        ),
      (outcome) => outcome === 'ECONNREFUSED',
    );
    expect((await busy.response()).status).toBe(200);
    expect(await exit).toBe(0);
  });

  it('serves on for drainDelay after it has said that it is not ready', async () => {
    const running = await start('--drain-delay=1s');
    const ready = () =>
      fetch(`http://127.0.0.1:${running.adminPort}/readyz`, {
        signal: AbortSignal.timeout(5_000),
      }).then(({ status }) => status);
    expect(await ready()).toBe(200);
    const idle = await RawClient.open(running.port);
    idle.send(get('/'));
    expect((await idle.response()).headers.get('connection')).not.toBe('close');
    const began = performance.now();
    const exit = running.stop('SIGTERM');
    await eventually(ready, (status) => status === 503);
    // One that was there, and a new one, as a load balancer would still send it.
    for (const client of [idle, await RawClient.open(running.port)]) {
      client.send(get('/'));
      const { status, headers } = await client.response();
      expect([status, headers.get('connection')]).toEqual([200, 'close']);
      await client.ended();
      client.close();
    }
    expect(await exit).toBe(0);
    expect(performance.now() - began).toBeGreaterThan(990);
    await running.prints('serving on for 1s, then finishing requests within 30s');
  });

  it('ends at once on a second signal within drainDelay', async () => {
    const running = await start('--drain-delay=1h');
    running.process.kill('SIGTERM');
    await running.prints('serving on for 1h');
    expect(await running.stop('SIGTERM')).toBe(143);
  });

  it('ends within gracefulShutdownTimeout although a handler never does', async () => {
    const running = await start('--graceful-shutdown-timeout=500ms');
    const stuck = await RawClient.open(running.port);
    stuck.send(get('/wait?ms=60000'));
    await eventually(
      () => statusOf(running),
      (status) => status.get('ConnsTotal') === '1',
    );
    const began = performance.now();
    expect(await running.stop('SIGTERM')).toBe(0);
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  it('ends at once on a second signal, even with a worker in an endless loop', async () => {
    const running = await start();
    const stuck = await RawClient.open(running.port);
    stuck.send(get('/burn?ms=600000'));
    await eventually(
      () => statusOf(running),
      (status) => Number(status.get('BusyWorkers')) > 0,
    );
    running.process.kill('SIGTERM');
    await running.prints('SIGTERM');
    const began = performance.now();
    expect(await running.stop('SIGTERM')).toBe(143);
    expect(performance.now() - began).toBeLessThan(10_000);
  });
});

describe('a child that crashes', () => {
  it('costs only its own requests; another takes its place', async () => {
    const running = await start('--start-servers=2', '--max-request-workers=2');
    const guilty = await RawClient.open(running.port);
    guilty.send(get('/crash'));
    expect((await guilty.response()).status).toBe(502);
    await guilty.ended();
    guilty.close();
    expect(await load(running.port, 200, 8)).toEqual({ 200: 200 });
    await running.prints('crashed on purpose');
    const status = await eventually(
      () => statusOf(running),
      (now) => now.get('IdleWorkers') === '2' && now.get('ConnsTotal') === '0',
    );
    expect(status.get('MpmChildStarts')).toBe('3');
  });
});

describe('timeouts', () => {
  it('closes an idle connection after keepAliveTimeout, not one that is used', async () => {
    const { port } = await start('--keep-alive-timeout=1s');
    const idle = await RawClient.open(port);
    idle.send(get('/'));
    await idle.response();
    const used = await RawClient.open(port);
    const end = performance.now() + 2_500;
    while (performance.now() < end) {
      used.send(get('/wait?ms=200'));
      expect((await used.response()).status).toBe(200);
    }
    await idle.ended(1_000);
    used.close();
  });

  it('answers 408 to half a request and closes a silent connection', async () => {
    const { port } = await start('--request-read-timeout=header=1 body=1');
    const half = await RawClient.open(port);
    half.send('GET / HTTP/1.1\r\nHost:');
    const silent = await RawClient.open(port);
    const body = await RawClient.open(port);
    body.send('POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc');
    const streamed = await RawClient.open(port);
    const head = 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n';
    streamed.send(`${head}${'x'.repeat(100_000)}`);
    expect((await half.response()).status).toBe(408);
    expect((await streamed.response()).status).toBe(408);
    expect((await body.response()).status).toBe(408);
    await half.ended();
    expect((await silent.ended()).length).toBe(0);
  });

  it('closes a client that stops reading, after timeout', async () => {
    const running = await start('--timeout=1s');
    const client = await RawClient.open(running.port);
    client.socket.pause();
    client.send(get('/large?bytes=20000000'));
    await eventually(
      () => statusOf(running),
      (status) => status.get('ConnsTotal') === '1',
    );
    await eventually(
      () => statusOf(running),
      (status) => status.get('ConnsTotal') === '0',
      8_000,
    );
  });
});

describe('clients that are no use', () => {
  it('half heads and silent connections occupy no worker, and nothing is left of them', async () => {
    const running = await start('--start-servers=1', '--max-request-workers=1');
    const clients = await Promise.all(
      Array.from({ length: 500 }, () => RawClient.open(running.port)),
    );
    clients.forEach((client, index) => {
      if (index % 2 === 0) client.send('GET / HTTP/1.1\r\nHost: a\r\nX-Half');
    });
    const other = await RawClient.open(running.port);
    other.send(get('/'));
    expect((await other.response()).status).toBe(200);
    // The worker has just let go of the last one, or is about to: it is not busy for as long as they are silent.
    await eventually(
      () => statusOf(running),
      (now) =>
        now.get('MpmConnectionsReadRequest') === '250' &&
        now.get('MpmConnectionsProcessing') === '0' &&
        now.get('BusyWorkers') === '0',
    );
    for (const client of [...clients, other]) client.socket.resetAndDestroy();
    await eventually(
      () => statusOf(running),
      (status) => status.get('ConnsTotal') === '0',
    );
  });
});
