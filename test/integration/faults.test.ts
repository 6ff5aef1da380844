/** What a handler's fault costs: its own request, honestly answered, and nothing else. */
import { readdirSync } from 'node:fs';
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
  server = await startServer(fixture('faults.mjs'), [
    '--start-servers=2',
    '--max-request-workers=2',
    ...flags,
  ]);
  return server;
};
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

/** One request on a connection of its own: status, and how long it took. */
async function ask(port: number, path: string): Promise<{ status: number; tookMs: number }> {
  const client = await RawClient.open(port);
  const began = performance.now();
  client.send(get(path));
  const { status } = await client.response('GET', 8_000);
  client.close();
  return { status, tookMs: performance.now() - began };
}

/** Asks for `/light` on one connection until `until` settles; the statuses and the slowest. */
async function lightBeside(port: number, until: Promise<unknown>) {
  const seen = { count: 0, statuses: new Set<number>(), slowestMs: 0 };
  let over = false;
  const end = until.finally(() => {
    over = true;
  });
  while (!over) {
    const { status, tookMs } = await ask(port, '/light');
    seen.count++;
    seen.statuses.add(status);
    seen.slowestMs = Math.max(seen.slowestMs, tookMs);
  }
  await end;
  return seen;
}

const descriptors = (running: ServerProcess): number =>
  readdirSync(`/proc/${running.process.pid}/fd`).length;

/** All workers idle, no connection open. */
const settled = (running: ServerProcess, workers = 2) =>
  eventually(
    () => statusOf(running),
    (now) => now.get('IdleWorkers') === String(workers) && now.get('ConnsTotal') === '0',
  );

describe('a fault in a handler', () => {
  it.each([
    ['/throw-later', 502, 'Error: thrown on purpose', 'Error'],
    ['/reject-later', 502, 'Error: rejected on purpose', 'Error'],
    ['/exit', 502, 'worker exited with code: 3', 'Exited'],
    ['/oom', 502, 'heap out of memory', 'OutOfMemory'],
    ['/loop', 504, 'over its deadline and the worker did not turn', 'Deadline'],
    ['/loop-later', 504, 'over its deadline and the worker did not turn', 'Deadline'],
  ])('%s is answered %i, told once, and light requests go on', async (path, status, told, exit) => {
    const running = await start('--request-deadline=500ms', '--max-heap-per-child=32m');
    await settled(running);
    const before = descriptors(running);
    const guilty = ask(running.port, `${path}?secret=1`);
    const light = await lightBeside(running.port, guilty);
    expect((await guilty).status).toBe(status);
    expect([...light.statuses]).toEqual([200]);
    expect(light.slowestMs).toBeLessThan(2_500);
    const after = await settled(running);
    expect(after.get(`MpmChildExits${exit}`)).toBe('1');
    expect(after.get('MpmChildStarts')).toBe('3');
    expect(after.get('MpmBuffersUsed')).toBe('0');
    const line = `died; in it: GET ${path} (`;
    await running.prints(told);
    expect(running.output().split(line).length - 1).toBe(1);
    expect(running.output()).not.toContain('secret');
    await eventually(
      () => descriptors(running),
      (count) => count <= before,
    );
  });

  it('answers the other requests of that worker, or cuts off what had begun', async () => {
    const running = await start('--start-servers=1', '--max-request-workers=1');
    const waiting = await RawClient.open(running.port);
    waiting.send(get('/wait'));
    const begun = await RawClient.open(running.port);
    begun.send(get('/begun-then-loop'));
    expect((await waiting.response()).status).toBe(502);
    const cut = (await begun.ended()).toString('latin1');
    expect(cut).toMatch(/^HTTP\/1\.1 200 /);
    expect(cut).toContain('begun');
    // Neither a second status line nor the end of the chunks: the client can tell.
    expect(cut.split('HTTP/1.1').length).toBe(2);
    expect(cut).not.toContain('\r\n0\r\n\r\n');
    waiting.close();
    begun.close();
    expect((await ask(running.port, '/light')).status).toBe(200);
  });

  it('leaks nothing over thirty in a row', async () => {
    const running = await start();
    await settled(running);
    const before = descriptors(running);
    for (let round = 0; round < 15; round++) {
      expect((await ask(running.port, '/exit')).status).toBe(502);
      expect((await ask(running.port, '/throw-later')).status).toBe(502);
      expect((await ask(running.port, '/light')).status).toBe(200);
    }
    const after = await settled(running);
    expect(after.get('MpmChildStarts')).toBe('32');
    expect(after.get('MpmBuffersUsed')).toBe('0');
    await eventually(
      () => descriptors(running),
      (count) => count <= before,
    );
  });
});

describe('a deadline', () => {
  it('ends a handler that awaits, and its worker goes on', async () => {
    const running = await start('--request-deadline=500ms');
    const { status, tookMs } = await ask(running.port, '/wait');
    expect(status).toBe(504);
    expect(tookMs).toBeGreaterThan(450);
    expect(tookMs).toBeLessThan(2_500);
    const line = 'GET /wait: no response within its deadline; answered 504';
    await running.prints(line);
    expect((await settled(running)).get('MpmChildStarts')).toBe('2');
  });

  it('may be a route’s own, or set by the handler, or none', async () => {
    const running = await start('--request-deadline=1s');
    const [slow, own, patient] = await Promise.all([
      ask(running.port, '/slow/wait'),
      ask(running.port, '/own-deadline'),
      ask(running.port, '/patient'),
    ]);
    expect([slow.status, own.status, patient.status]).toEqual([504, 504, 200]);
    expect(own.tookMs).toBeLessThan(1_500);
  });
});

describe('memory', () => {
  it('above maxMemoryPerChild has the child replaced, and no request is lost', async () => {
    const running = await start('--start-servers=1', '--max-memory-per-child=60m');
    const replaced = eventually(
      () => statusOf(running),
      (now) => Number(now.get('MpmChildExitsMaxMemory')) >= 1,
      20_000,
    );
    let over = false;
    const end = replaced.finally(() => {
      over = true;
    });
    const statuses = new Set<number>();
    while (!over) {
      statuses.add((await ask(running.port, '/leak')).status);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await end;
    expect([...statuses]).toEqual([200]);
  });
});
