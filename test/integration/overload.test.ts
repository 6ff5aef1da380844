/** What clients get when there are more of them than the server has room for. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
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

const start = async (...flags: string[]): Promise<ServerProcess> => {
  server = await startServer(fixture('app.mjs'), flags);
  return server;
};
const open = async (port: number): Promise<RawClient> => {
  const client = await RawClient.open(port);
  clients.push(client);
  return client;
};
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

/** A sample of the metrics, 0 where there is none. */
async function metric(name: string): Promise<number> {
  const { adminPort } = server as ServerProcess;
  const response = await fetch(`http://127.0.0.1:${adminPort}/metrics`, {
    signal: AbortSignal.timeout(5_000),
  });
  // All samples of a metric that has labels.
  return (await response.text())
    .split('\n')
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
const closedFor = (reason: string) => metric(`mpm_connections_closed_total{reason="${reason}"}`);

/** Milliseconds of processor time that the process has used (proc_pid_stat(5), 10 ms a tick). */
function processorMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

describe('without a free connection slot', () => {
  it('lets the longest idle connection go for a new client, and no other', async () => {
    const { port } = await start('--max-connections=3');
    const [first, second, third] = [await open(port), await open(port), await open(port)];
    for (const client of [second, first, third]) {
      client.send(get('/'));
      expect((await client.response()).status).toBe(200);
    }
    // Idle for so long that it may go; the new client waits in the backlog until then.
    const late = await open(port);
    late.send(get('/'));
    await second.ended(10_000);
    second.close();
    expect((await late.response('GET', 10_000)).status).toBe(200);
    expect(await closedFor('shed')).toBe(1);
    for (const client of [first, third]) {
      client.send(get('/'));
      expect((await client.response()).status).toBe(200);
    }
  });

  it('leaves connections in use alone, and lets the next in as one closes', async () => {
    const { port } = await start('--max-connections=2', '--start-servers=2');
    const [first, second] = [await open(port), await open(port)];
    first.send(get('/wait?ms=3000'));
    second.send(get('/wait?ms=3000'));
    await eventually(
      () => metric('mpm_connections{state="processing"}'),
      (count) => count === 2,
    );
    const late = await open(port);
    late.send(get('/'));
    expect((await first.response()).status).toBe(200);
    expect((await second.response()).status).toBe(200);
    first.close();
    expect((await late.response()).status).toBe(200);
    expect(await closedFor('shed')).toBe(0);
  });
});

describe('a request that waits for a worker', () => {
  const ONE = ['--start-servers=1', '--max-request-workers=1', '--min-spare-threads=1'];

  it('for longer than queueTimeout is answered 503, and the next one served', async () => {
    const { port } = await start(...ONE, '--queue-timeout=1s', '--access-log=stdout');
    const [busy, waiting] = [await open(port), await open(port)];
    busy.send(get('/burn?ms=4000'));
    await eventually(
      () => metric('mpm_connections{state="processing"}'),
      (count) => count === 1,
    );
    waiting.send(get('/'));
    const refused = await waiting.response('GET', 3_500);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('5');
    expect(refused.headers.get('connection')).toBe('close');
    await waiting.ended();
    waiting.close();
    expect((await busy.response()).status).toBe(200);
    const next = await open(port);
    next.send(get('/'));
    expect((await next.response()).status).toBe(200);
    await eventually(
      () => closedFor('queue_timeout'),
      (count) => count === 1,
    );
    const line = await eventually(
      () => /.*" 503 .*/.exec((server as ServerProcess).output())?.[0],
      (found) => found !== undefined,
    );
    expect(line).toContain('"-" 503');
  });

  it('for too long leaves no ticket that counts, although the worker is still busy', async () => {
    const { port } = await start(...ONE, '--queue-timeout=1s');
    const [busy, waiting] = [await open(port), await open(port)];
    busy.send(get('/burn?ms=3000'));
    await eventually(
      () => metric('mpm_connections{state="processing"}'),
      (count) => count === 1,
    );
    waiting.send(get('/'));
    expect((await waiting.response('GET', 2_500)).status).toBe(503);
    // The listener takes the ticket out after its pass over all connections.
    await eventually(
      () => metric('mpm_queue_length'),
      (length) => length === 0,
    );
    expect(await metric('mpm_connections{state="processing"}')).toBe(1);
    expect((await busy.response()).status).toBe(200);
    for (const client of [busy, waiting]) client.close();
  });

  it('is served, however late, where a worker has read some of it', async () => {
    const { port } = await start(...ONE, '--queue-timeout=300ms');
    const [begun, busy] = [await open(port), await open(port)];
    begun.send('GET / HTTP/1.1\r\nHost:');
    await eventually(
      () => metric('mpm_connections{state="read_request"}'),
      (count) => count === 1,
    );
    busy.send(get('/burn?ms=2000'));
    await eventually(
      () => metric('mpm_connections{state="processing"}'),
      (count) => count === 1,
    );
    begun.send(' a\r\n\r\n');
    expect((await busy.response()).status).toBe(200);
    expect((await begun.response()).status).toBe(200);
    expect(await closedFor('queue_timeout')).toBe(0);
  });

  it('comes before clients that are let in later', async () => {
    const { port } = await start(...ONE, '--queue-limit=1');
    const [busy, waiting] = [await open(port), await open(port)];
    busy.send(get('/burn?ms=1500'));
    await eventually(
      () => metric('mpm_connections{state="processing"}'),
      (count) => count === 1,
    );
    waiting.send(get('/wait?ms=0'));
    await eventually(
      () => metric('mpm_queue_length'),
      (count) => count === 1,
    );
    const late = await open(port);
    late.send(get('/'));
    await eventually(
      () => metric('mpm_accept_paused'),
      (paused) => paused === 1,
    );
    expect(await metric('mpm_connections_accepted_total')).toBe(2);
    expect((await waiting.response()).status).toBe(200);
    expect((await late.response()).status).toBe(200);
    expect(await metric('mpm_accept_paused')).toBe(0);
  });
});

describe('clients that left while their requests waited', () => {
  const written = (client: RawClient, text: string) =>
    new Promise<void>((resolve) => client.socket.write(text, () => resolve()));
  const gone = (client: RawClient) =>
    new Promise<void>((resolve) => client.socket.once('close', () => resolve()).resetAndDestroy());

  it('are not worked for where they have reset their connections', async () => {
    const one = ['--start-servers=1', '--max-request-workers=1'];
    const { port } = await start(...one, '--access-log=stdout', '--log-format=json');
    const busy = await open(port);
    busy.send(get('/burn?ms=1500'));
    await eventually(
      () => metric('mpm_connections{state="processing"}'),
      (count) => count === 1,
    );
    const waiting = await Promise.all(Array.from({ length: 40 }, () => open(port)));
    // Half of them with the request waiting before the reset comes, half with both at once.
    for (const client of waiting.slice(0, 20)) await written(client, get('/burn?ms=500'));
    await eventually(
      () => metric('mpm_queue_length'),
      (count) => count === 20,
    );
    await Promise.all(
      waiting.map(async (client, at) => {
        if (at >= 20) await written(client, get('/burn?ms=500'));
        await gone(client);
      }),
    );
    const [halfClosed, next] = [await open(port), await open(port)];
    halfClosed.send(get('/wait?ms=0'));
    halfClosed.socket.end();
    next.send(get('/'));
    expect((await busy.response()).status).toBe(200);
    // Half a second for each would be 20 s.
    expect((await halfClosed.response()).status).toBe(200);
    expect((await next.response('GET', 2_000)).status).toBe(200);
    expect(await metric('mpm_aborted_requests_total')).toBe(40);
    expect(await metric('mpm_queue_length')).toBe(0);
    const lines = await eventually(
      () => (server as ServerProcess).output().match(/.*"aborted":true.*/g) ?? [],
      (found) => found.length === 40,
    );
    for (const line of lines) {
      expect(JSON.parse(line)).toMatchObject({ target: '/burn?ms=500', status: 0, bodyBytes: 0 });
    }
  });

  it('leave full service behind within a second of the load', async () => {
    const { port } = await start('--max-connections=200', '--max-request-workers=2');
    const load = await Promise.all(Array.from({ length: 600 }, () => open(port)));
    // Six seconds of work for two workers, if they did it.
    for (const [at, client] of load.entries()) client.send(get(at % 2 === 0 ? '/burn?ms=40' : '/'));
    const [first] = load as [RawClient];
    expect((await first.response()).status).toBe(200);
    await Promise.all(
      load.map(async (client, at) => {
        if (at % 2 === 0) await gone(client);
        else client.close();
      }),
    );
    const ended = performance.now();
    const fresh = await Promise.all(Array.from({ length: 20 }, () => open(port)));
    for (const client of fresh) client.send(get('/'));
    for (const client of fresh) {
      expect((await client.response('GET', 10_000)).status).toBe(200);
    }
    expect(performance.now() - ended).toBeLessThan(1_000);
  });
});

describe('without a free descriptor', () => {
  it('accepting pauses without spinning, those inside are served, and it recovers', async () => {
    const { port, process: child } = await start('--start-servers=1', '--max-request-workers=1');
    const pid = child.pid as number;
    const inside = await open(port);
    inside.send(get('/'));
    expect((await inside.response()).status).toBe(200);
    // The connection that the metrics come on from now on.
    expect(await metric('mpm_accept_errors_total')).toBe(0);
    const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
    let free = 0;
    while (used.has(free)) free++;
    execFileSync('prlimit', [`--pid=${pid}`, `--nofile=${free}:`]);
    const outside = [await open(port), await open(port), await open(port)];
    for (const client of outside) client.send(get('/'));
    await eventually(
      () => metric('mpm_accept_errors_total'),
      (errors) => errors >= 2,
    );
    const [before, since] = [processorMs(pid), performance.now()];
    const errors = await metric('mpm_accept_errors_total');
    // Five more pauses are about half a second.
    await eventually(
      () => metric('mpm_accept_errors_total'),
      (now) => now >= errors + 5,
    );
    expect((processorMs(pid) - before) / (performance.now() - since)).toBeLessThan(0.5);
    execFileSync('prlimit', [`--pid=${pid}`, '--nofile=1024:']);
    for (const client of outside) expect((await client.response()).status).toBe(200);
  });
});
