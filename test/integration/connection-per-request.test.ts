/**
 * A connection for each request: where a client announces its end, the end of the stream comes with the last
 * bytes and the server's descriptor is closed when it is convenient. Nobody may notice that.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { eventually, fixture, type ServerProcess, startServer } from '../support/server-process.ts';

let server: ServerProcess | null = null;
const clients: RawClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await server?.stop('SIGKILL');
  server = null;
});

const REQUEST = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const ROUNDS = 200;

async function start(...flags: string[]): Promise<ServerProcess> {
  server = await startServer(fixture('app.mjs'), ['--start-servers=1', ...flags]);
  return server;
}

async function metric(name: string): Promise<number> {
  const { adminPort } = server as ServerProcess;
  const signal = AbortSignal.timeout(5_000);
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`, { signal })).text();
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  if (line === undefined) throw new Error(`no metric ${name}`);
  return Number(line.slice(name.length));
}

/** So many at a time; each waits for the end of the stream, and closes. */
async function requests(port: number, together: number): Promise<void> {
  const one = async (): Promise<void> => {
    const client = await RawClient.open(port);
    clients.push(client);
    client.send(REQUEST);
    const { status, body } = await client.response();
    expect([status, body.toString()]).toEqual([200, 'hello\n']);
    await client.ended();
    client.close();
  };
  for (let round = 0; round < ROUNDS; round++) {
    await Promise.all(Array.from({ length: together }, one));
  }
}

describe('a connection for each request', () => {
  it('is let in though there are hardly any slots', async () => {
    const { port } = await start('--max-connections=3', '--max-request-workers=1');
    await requests(port, 3);
    expect(await metric('mpm_accept_pauses_total')).toBeLessThan(ROUNDS / 20);
  });

  it('is let in though there are hardly any descriptors', async () => {
    const { port, process: child } = await start('--max-request-workers=1');
    const pid = child.pid as number;
    expect(await metric('mpm_accept_pauses_total')).toBe(0);
    const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
    let [limit, free] = [0, 3];
    while (used.has(limit) || --free > 0) limit++;
    execFileSync('prlimit', [`--pid=${pid}`, `--nofile=${limit + 1}:`]);
    await requests(port, 3);
    expect(await metric('mpm_accept_pauses_total')).toBeLessThan(ROUNDS / 20);
  });

  it('holds no descriptor of a client that keeps its side open', async () => {
    const { port, process: child } = await start('--max-request-workers=1');
    const descriptors = () => Promise.resolve(readdirSync(`/proc/${child.pid}/fd`).length);
    await metric('mpm_accept_pauses_total');
    const before = await descriptors();
    const open = await Promise.all(Array.from({ length: 40 }, () => RawClient.open(port)));
    clients.push(...open);
    for (const client of open) client.send(REQUEST);
    for (const client of open) {
      expect((await client.response()).status).toBe(200);
      await client.ended();
    }
    await eventually(descriptors, (count) => count <= before);
  });
});
