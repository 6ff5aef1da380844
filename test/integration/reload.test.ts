/** What signals change while the server runs, and that no connection notices. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import {
  eventually,
  type ServerProcess,
  startServer,
  statusOf,
} from '../support/server-process.ts';

let server: ServerProcess;
let folder = '';
let clients: RawClient[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mpm-reload-'));
  clients = [];
});
afterEach(async () => {
  for (const client of clients) client.close();
  await server.stop('SIGKILL');
  await rm(folder, { recursive: true });
});

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const application = (text: string) =>
  writeFile(
    join(folder, 'app.mjs'),
    `export default (request) => request.url.endsWith('/burn')
      ? new Response(String((() => { const end = performance.now() + 300; while (performance.now() < end); })()))
      : new Response(${JSON.stringify(text)});\n`,
  );
const configuration = (directives: Record<string, unknown>) =>
  writeFile(join(folder, 'mpm.config.json'), JSON.stringify(directives));

async function start(...flags: string[]): Promise<void> {
  server = await startServer(join(folder, 'app.mjs'), [
    `--config=${join(folder, 'mpm.config.json')}`,
    ...flags,
  ]);
}
async function connect(): Promise<RawClient> {
  const client = await RawClient.open(server.port);
  clients.push(client);
  return client;
}
async function bodyOn(client: RawClient): Promise<string> {
  client.send(get('/'));
  return (await client.response()).body.toString();
}
const status = () => statusOf(server);
const said = (text: string) => server.prints(text, 15_000);

describe('SIGUSR2', () => {
  it('serves fresh code on the connections that are open', async () => {
    await application('old');
    await configuration({ startServers: 3, maxRequestWorkers: 4 });
    await start();
    const idle = await Promise.all([connect(), connect(), connect()]);
    for (const client of idle) expect(await bodyOn(client)).toBe('old');
    await application('new');
    server.process.kill('SIGUSR2');
    await said('SIGUSR2: the workers are new');
    for (const client of idle) expect(await bodyOn(client)).toBe('new');
    const now = await eventually(status, (one) => one.get('MpmChildExitsRestart') === '3');
    expect(now.get('ParentServerMPMGeneration')).toBe('1');
    expect(now.get('MpmConnectionsAccepted')).toBe('3');
  });

  it('leaves the old code in place where the new does not load, and says why', async () => {
    await application('old');
    await configuration({ startServers: 2, maxRequestWorkers: 2 });
    await start();
    const client = await connect();
    expect(await bodyOn(client)).toBe('old');
    await writeFile(join(folder, 'app.mjs'), 'throw new Error("half written");\n');
    server.process.kill('SIGUSR2');
    await said('SIGUSR2 failed, the old workers go on: ERR_MPM_ENTRY_FAILED');
    await server.prints('half written');
    expect(await bodyOn(client)).toBe('old');
    await application('mended');
    server.process.kill('SIGUSR2');
    await said('SIGUSR2: the workers are new');
    expect(await bodyOn(client)).toBe('mended');
  });
});

describe('SIGHUP', () => {
  it('changes what can change, names what cannot, and refuses what is invalid', async () => {
    await application('x');
    await configuration({ startServers: 1, maxRequestWorkers: 4, queueLimit: 64 });
    await start();
    const client = await connect();
    await bodyOn(client);
    await configuration({
      startServers: 3,
      maxRequestWorkers: 4,
      serverTokens: 'prod',
      maxConnections: 100,
      queueLimit: 64,
      keepAliveTimeout: '3s',
    });
    server.process.kill('SIGHUP');
    await said(
      'SIGHUP: reloaded; changed: startServers, keepAliveTimeout; changed with new workers: serverTokens; kept until the server is started anew: maxConnections',
    );
    client.send(get('/'));
    expect((await client.response()).headers.get('server')).toBe('hybrid-mpm');
    await eventually(status, (now) => Number(now.get('IdleWorkers')) >= 3);
    // The shorter keep-alive holds for connections that are open already.
    await client.ended(8_000);
    await configuration({ startServers: 99, maxRequestWorkers: 4 });
    server.process.kill('SIGHUP');
    await said('SIGHUP refused: ERR_MPM_DIRECTIVE');
    const other = await connect();
    expect(await bodyOn(other)).toBe('x');
  });
});

describe('SIGTTIN and SIGTTOU', () => {
  it('add and take away one worker', async () => {
    await application('x');
    await configuration({ startServers: 2, minSpareThreads: 1, maxRequestWorkers: 5 });
    await start();
    await eventually(status, (now) => now.get('IdleWorkers') === '2');
    server.process.kill('SIGTTIN');
    await said('SIGTTIN: 3 workers');
    await eventually(status, (now) => now.get('IdleWorkers') === '3');
    server.process.kill('SIGTTOU');
    await said('SIGTTOU: 2 workers');
    await eventually(status, (now) => now.get('IdleWorkers') === '2');
  });
});

describe('requests that wait for a worker', () => {
  it('have more of them started before the next tick', async () => {
    await application('x');
    await configuration({ startServers: 1, minSpareThreads: 1, maxRequestWorkers: 12 });
    await start();
    const all = await Promise.all(Array.from({ length: 16 }, connect));
    for (const client of all) client.send(get('/burn'));
    const now = await eventually(status, (one) => Number(one.get('MpmChildStarts')) >= 6, 900);
    expect(Number(now.get('MpmConnectionsQueued'))).toBeGreaterThan(0);
    for (const client of all) expect((await client.response('GET', 15_000)).status).toBe(200);
  });
});
