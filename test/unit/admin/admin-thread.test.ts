// The admin thread over HTTP. The thread runs from dist, which `npm run build` makes.
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { createServer } from 'node:net';
import workerThreads, { type Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PageChange } from '../../../src/main/admin/page-diff.ts';
import type { Admin, AdminOptions } from '../../../src/main/admin.ts';
import { ChildStatus, Phase } from '../../../src/scoreboard/codes.ts';
import { CHILD, HEADER, SLOT } from '../../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { ConnectionEvent } from '../../../src/scoreboard/states.ts';
import { LIMITS } from '../../support/status-view.ts';

function makeBoard(): Scoreboard {
  const board = Scoreboard.create({ connectionSlots: 64, childSlots: 4, bufferBytes: 4096 });
  board.setHeader(HEADER.phase.offset, Phase.running);
  board.setHeader(HEADER.slotWatermark.offset, 1);
  board.move(0, 0, ConnectionEvent.accept);
  board.setSlot(0, SLOT.peerFamily, 10);
  board.setSlot(0, SLOT.peerPort, 4711);
  board.bytes.set([0x20, 1, 0xd, 0xb8], board.slotIndex(0) * 4 + SLOT.peerAddress.offset);
  return board;
}

const BUILT = new URL('../../../dist/main/admin.js', import.meta.url);
if (!existsSync(BUILT)) throw new Error('dist/main/admin.js is missing: npm run build:ts');

describe('the admin thread', () => {
  const board = makeBoard();
  const errors: Error[] = [];
  let startAdmin: (options: AdminOptions) => Promise<Admin>;
  let admin: Admin;
  const options = (port: number, host = '127.0.0.1'): AdminOptions => ({
    shared: board.shared,
    host,
    port,
    version: '0.1.0',
    limits: LIMITS,
    metricsChannel: 'admin-thread-test',
    onError: (error) => errors.push(error),
  });

  interface Answer {
    status: number;
    headers: NodeJS.Dict<string | string[]>;
    body: string;
  }
  const ask = (path: string, method = 'GET') =>
    new Promise<Answer>((resolve, reject) => {
      const { host, port } = admin.address;
      const sent = request({ host, port, path, method, agent: false }, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (piece: string) => {
          body += piece;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        );
      });
      sent.on('error', reject);
      sent.end();
    });

  const threads: Worker[] = [];
  const { Worker: RealWorker } = workerThreads;
  beforeAll(async () => {
    // So that the test can end a thread; bindings of ES modules follow after the synchronisation.
    workerThreads.Worker = class extends RealWorker {
      constructor(...args: ConstructorParameters<typeof RealWorker>) {
        super(...args);
        threads.push(this);
      }
    };
    syncBuiltinESMExports();
    ({ startAdmin } = (await import(BUILT.href)) as { startAdmin: typeof startAdmin });
    admin = await startAdmin(options(0));
  });
  afterAll(async () => {
    workerThreads.Worker = RealWorker;
    syncBuiltinESMExports();
    await admin?.stop();
  });

  it('says where it listens', () => {
    expect(admin.address).toMatchObject({ host: '127.0.0.1', family: 4 });
    expect(admin.address.port).toBeGreaterThan(0);
  });

  it('answers while this thread is stuck', async () => {
    const answer = ask('/server-status?auto');
    await new Promise((resolve) => setTimeout(resolve, 50));
    const stuck = new Int32Array(new SharedArrayBuffer(4));
    Atomics.wait(stuck, 0, 0, 200);
    const { status, body, headers } = await answer;
    expect(status).toBe(200);
    expect(headers['content-type']).toMatch(/^text\/plain/);
    expect(body).toMatch(/^.+\nServerVersion: hybrid-mpm\/0\.1\.0 \(Linux\) Node\/\d+\.\d+\.\d+\n/);
    expect(body).toMatch(/^ConnsTotal: 1$/m);
  });

  it('shows the page, with a refresh that Apache would set', async () => {
    const page = await ask('/server-status?refresh=5');
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(page.headers['content-security-policy']).toContain("default-src 'none'");
    expect(page.headers.refresh).toBe('5');
    expect(page.body).toContain('[2001:db8::]:4711');
    const refresh = async (query: string) => (await ask(`/server-status?${query}`)).headers.refresh;
    expect(await refresh('refresh')).toBe('10');
    expect(await refresh('refresh=x%0d%0aa:b')).toBe('10');
    expect(await refresh('refresh=999999')).toBe('3600');
    expect(await refresh('auto&refresh=2')).toBe('2');
    expect(await refresh('auto')).toBeUndefined();
  });

  it('sends what changed, as server-sent events', async () => {
    const { host, port } = admin.address;
    const response = await fetch(`http://${host}:${port}/server-status/events?sort=slot`, {
      signal: AbortSignal.timeout(10_000),
    });
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    let text = '';
    while ((text.match(/^data: .*\n\n/gm)?.length ?? 0) < 2) {
      const { value, done } = await reader.read();
      if (done) break;
      text += Buffer.from(value).toString();
    }
    await reader.cancel();
    const [first, second] = [...text.matchAll(/^data: (.*)$/gm)].map(
      ([, data]) => JSON.parse(data ?? '') as PageChange,
    );
    expect(first?.tables?.connections?.order).toEqual(['c0']);
    expect(Object.keys(first?.parts ?? {})).toContain('queue');
    expect(Object.keys(second?.parts ?? {})).toContain('requests');
    expect(Object.keys(second?.parts ?? {})).not.toContain('workerKey');
    expect(second?.tables?.connections?.order).toBeUndefined();
  });

  it('refuses what makes no sense in the URL, and actions without a token', async () => {
    const { status, body } = await ask('/server-status?limit=many');
    expect([status, body]).toEqual([400, 'limit=many: must be a whole number from 1 to 20000\n']);
    expect((await ask('/server-status/actions', 'POST')).status).toBe(403);
  });

  it('serves metrics', async () => {
    const { status, headers, body } = await ask('/metrics');
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(body).toMatch(/^mpm_connections\{state="wait_request"\} 1$/m);
  });

  it('tells health from readiness', async () => {
    const state = async (path: string) => {
      const { status, body } = await ask(path);
      return [status, body.trim()];
    };
    expect(await state('/readyz')).toEqual([503, 'no-workers']);
    board.setChild(0, CHILD.life, 1);
    board.setChild(0, CHILD.status, ChildStatus.ready);
    expect(await state('/readyz')).toEqual([200, 'ready']);
    for (const phase of ['starting', 'draining'] as const) {
      board.setHeader(HEADER.phase.offset, Phase[phase]);
      expect(await state('/readyz')).toEqual([503, phase]);
      expect(await state('/healthz')).toEqual([200, 'ok']);
    }
    board.setHeader(HEADER.phase.offset, Phase.stopped);
    expect(await state('/healthz')).toEqual([503, 'stopped']);
    board.setHeader(HEADER.phase.offset, Phase.running);
  });

  it('refuses other paths and methods, and answers HEAD without a body', async () => {
    expect((await ask('/')).status).toBe(404);
    expect((await ask('/__proto__')).status).toBe(404);
    const refused = await ask('/metrics', 'POST');
    expect([refused.status, refused.headers.allow]).toEqual([405, 'GET, HEAD']);
    const head = await ask('/server-status', 'HEAD');
    expect([head.status, head.body]).toEqual([200, '']);
    expect(Number(head.headers['content-length'])).toBeGreaterThan(100);
  });

  it('names an address that is in use', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as { port: number };
    await expect(startAdmin(options(port))).rejects.toMatchObject({
      code: 'ERR_MPM_ADMIN_IN_USE',
      message: `admin 127.0.0.1:${port}: the address is in use`,
    });
    await new Promise((resolve) => taken.close(resolve));
  });

  it('answers 500 and lives on where the memory makes no sense', async () => {
    board.setHeader(HEADER.slotWatermark.offset, board.words.length);
    expect((await ask('/server-status')).status).toBe(500);
    board.setHeader(HEADER.slotWatermark.offset, 1);
    expect((await ask('/server-status')).status).toBe(200);
  });

  it('comes back on the same port after its thread died', async () => {
    const before = threads.length;
    const { port } = admin.address;
    // The later one could not listen.
    await threads[0]?.terminate();
    expect(errors.map(({ message }) => message)).toEqual(['the admin thread ended with code 1']);
    const answers = () =>
      ask('/healthz').then(
        ({ status }) => status,
        () => 0,
      );
    await expect.poll(answers, { timeout: 10_000 }).toBe(200);
    expect(admin.address.port).toBe(port);
    expect(threads.length).toBe(before + 1);
  });

  it('stays away when it is stopped in the pause before its next thread', async () => {
    const before = threads.length;
    await threads.at(-1)?.terminate();
    await admin.stop();
    await new Promise((resolve) => setTimeout(resolve, 500));
    await expect(ask('/healthz')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(threads.length).toBe(before);
  });
});
