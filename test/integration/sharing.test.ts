/** What workers have in common, over real sockets, while they are replaced. */
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { shared } from '../../src/workers/shared.ts';
import {
  eventually,
  fixture,
  type ServerProcess,
  startServer,
  statusOf,
} from '../support/server-process.ts';

const COUNTER = fileURLToPath(new URL('../../examples/shared-counter.mjs', import.meta.url));
const TWO = ['--start-servers=2', '--max-request-workers=2'];

let server: ServerProcess | null = null;
afterEach(async () => {
  const code = await server?.stop();
  server = null;
  expect([0, undefined]).toContain(code);
});

/** On a connection of its own, so that it may be any worker's. */
const ask = (path = '/'): Promise<Response> =>
  fetch(`http://127.0.0.1:${server?.port}${path}`, {
    headers: { connection: 'close' },
    signal: AbortSignal.timeout(10_000),
  });
const json = async <T>(path?: string): Promise<T> => (await (await ask(path)).json()) as T;
interface Visit {
  visit: number;
  worker: number;
}

describe('a buffer', () => {
  it('counts every request once, through recycling and a restart of all workers', async () => {
    process.env.RATE_LIMIT = '1000000';
    server = await startServer(COUNTER, [...TWO, '--max-connections-per-child=8']);
    const visits: number[] = [];
    const workers = new Set<number>();
    const round = async (count: number) => {
      for (const { visit, worker } of await Promise.all(
        Array.from({ length: count }, () => json<Visit>()),
      )) {
        visits.push(visit);
        workers.add(worker);
      }
    };
    await eventually(
      async () => {
        await round(10);
        const status = await statusOf(server as ServerProcess);
        return Number(status.get('MpmChildExitsMaxConnections'));
      },
      (exits) => exits >= 2,
      // Replacements rest for four times what a start takes.
      25_000,
    );
    server.process.kill('SIGUSR2');
    await eventually(
      () => server?.output() ?? '',
      (output) => output.includes('the workers are new'),
    );
    await round(10);
    expect(visits.sort((a, b) => a - b)).toEqual(visits.map((_, index) => index + 1));
    expect(workers.size).toBeGreaterThan(2);
  });

  it('limits the rate of a client for all workers together', async () => {
    process.env.RATE_LIMIT = '7';
    server = await startServer(COUNTER, TWO);
    const statuses = (await Promise.all(Array.from({ length: 40 }, () => ask()))).map(
      ({ status }) => status,
    );
    const admitted = statuses.filter((status) => status === 200).length;
    // A window may have ended in between.
    expect([7, 14]).toContain(admitted);
    expect(statuses.filter((status) => status === 429)).toHaveLength(40 - admitted);
  });

  it('is the same for a worker that asks in the middle of a request', async () => {
    server = await startServer(fixture('shared.mjs'), TWO);
    const counts = await Promise.all(
      Array.from({ length: 20 }, async () => (await json<{ count: number }>('/late')).count),
    );
    expect(counts.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  });

  it('is the same for workers of the lengthy pool', async () => {
    server = await startServer(fixture('shared.mjs'), [...TWO, '--lengthy-workers=1']);
    const counts = [];
    for (const path of ['/late', '/long/late', '/late', '/long/late']) {
      counts.push((await json<{ count: number }>(path)).count);
    }
    expect(counts).toEqual([1, 2, 3, 4]);
  });

  it('is refused with a code where it cannot be had', async () => {
    server = await startServer(fixture('shared.mjs'), TWO);
    expect(await json()).toEqual({
      same: true,
      size: 'ERR_MPM_SHARED_SIZE',
      name: 'ERR_MPM_SHARED_ARGUMENT',
      bytes: 'ERR_MPM_SHARED_ARGUMENT',
      huge: 'ERR_MPM_SHARED_LIMIT',
      many: 'ERR_MPM_SHARED_LIMIT',
      channel: 'ERR_MPM_SHARED_ARGUMENT',
    });
  });
});

it('a channel reaches the other workers of the server', async () => {
  server = await startServer(fixture('shared.mjs'), TWO);
  const other = await startServer(fixture('shared.mjs'), TWO);
  try {
    const { worker } = await json<{ worker: number }>('/tell?news=it+rains');
    const heard = await eventually(
      () => json<{ worker: number; heard: string[] }>('/heard'),
      (answer) => answer.worker !== worker,
      20_000,
    );
    expect(heard.heard).toEqual(['it rains']);
  } finally {
    await other.stop();
  }
});

it('outside of a server it is the thread that has them', () => {
  const words = new Int32Array(shared.buffer('alone', 4));
  words[0] = 7;
  expect(new Int32Array(shared.buffer('alone', 4))[0]).toBe(7);
  expect(() => shared.buffer('alone', 8)).toThrow(/has 4 bytes already/);
});
