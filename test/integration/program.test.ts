/** What a program that starts the server by itself gets. */
import v8 from 'node:v8';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import type * as Package from '../../src/main/index.ts';
import { eventually, fixture } from '../support/server-process.ts';

// The built package: workers are started from its files.
const { createServer, resolveDirectives } = (await import(
  new URL('../../dist/main/index.js', import.meta.url).href
)) as typeof Package;

let server: Package.MpmServer | null = null;
afterEach(() => server?.close({ force: true }));

const directives = resolveDirectives({
  listen: '127.0.0.1:0',
  maxRequestWorkers: 2,
  admin: '127.0.0.1:0',
});

describe('createServer', () => {
  it('serves from the addresses it tells, and drains on close', async () => {
    server = createServer({ entry: fixture('app.mjs'), directives });
    const [address] = await server.listen();
    expect(server.addresses).toEqual([address]);
    const response = await fetch(`http://127.0.0.1:${address?.port}/`);
    expect(await response.text()).toBe('hello\n');
    const ready = await fetch(`http://127.0.0.1:${server.adminAddress?.port}/readyz`);
    expect(ready.status).toBe(200);
    await server.close();
    await expect(fetch(`http://127.0.0.1:${address?.port}/`)).rejects.toThrow();
  });

  it('keeps nothing of workers that are gone', async () => {
    server = createServer({ entry: fixture('app.mjs'), directives });
    await server.listen();
    const running = server;
    // Collects the garbage first.
    const threads = () => v8.queryObjects(Worker, { format: 'count' });
    const [before, rounds] = [threads(), 6];
    for (let round = 0; round < rounds; round++) await running.restartWorkers();
    await eventually(threads, (now) => now <= before + 1);
  });

  it('rejects with a code where the entry does not exist', async () => {
    server = createServer({ entry: fixture('nothing.mjs'), directives });
    await expect(server.listen()).rejects.toMatchObject({ code: 'ERR_MPM_ENTRY_NOT_FOUND' });
  });

  it('throws an error that names a wrong directive', () => {
    expect(() => resolveDirectives({ maxRequestWorkers: 0 })).toThrow(/maxRequestWorkers/);
  });
});
