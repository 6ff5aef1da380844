/** `hybrid-mpm run`: scripts that have http.Servers listen, unchanged. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import {
  eventually,
  fixture,
  runScript,
  type ServerProcess,
  startServer,
} from '../support/server-process.ts';

let server: ServerProcess | null = null;
afterEach(async () => {
  const ended = await server?.stop();
  server = null;
  expect(ended ?? 0).toBe(0);
});

async function get(port: number, path: string): Promise<string> {
  const client = await RawClient.open(port);
  client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  const { body } = await client.response();
  client.close();
  return body.toString();
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

it('serves a script where it listens, and tells it the address at once', async () => {
  const port = await freePort();
  server = await runScript(fixture('scripts/legacy.cjs'), ['--start-servers=2'], ['x', 'y'], {
    SCRIPT_PORT: String(port),
  });
  expect(server.port).toBe(port);
  expect(JSON.parse(await get(port, '/'))).toEqual({
    address: '127.0.0.1',
    port,
    listening: true,
    argv: ['x', 'y'],
    called: 1,
    hasServer: true,
  });
  await server.prints('at once an address');
  // The same address twice in one application is refused as node:net does it.
  await server.prints('second EADDRINUSE');
});

it('gives all workers the one port that the kernel chose', async () => {
  server = await runScript(fixture('scripts/legacy.cjs'), ['--start-servers=3']);
  const { port } = server;
  await eventually(server.output, (output) => output.split('at once an address').length === 4);
  expect(JSON.parse(await get(port, '/')).port).toBe(port);
  expect(server.output().match(/listening on/g)).toHaveLength(1);
});

it('serves it elsewhere where that is configured', async () => {
  const port = await freePort();
  server = await runScript(fixture('scripts/legacy.cjs'), ['--listen=127.0.0.1:0'], [], {
    SCRIPT_PORT: String(port),
  });
  expect(server.port).not.toBe(port);
  expect(JSON.parse(await get(server.port, '/')).port).toBe(server.port);
  await expect(get(port, '/')).rejects.toThrow();
});

it('replaces a worker whose application closes its server, which answers until then', async () => {
  server = await runScript(fixture('scripts/legacy.cjs'), [
    '--start-servers=1',
    '--max-request-workers=1',
  ]);
  const { port, output } = server;
  expect(await get(port, '/close')).toBe('closing\n');
  for (let round = 0; round < 20; round++) await get(port, '/');
  await eventually(output, (text) => text.includes('closed\n'));
  expect(JSON.parse(await get(port, '/'))).toMatchObject({ listening: true });
  expect(output().split('at once an address')).toHaveLength(3);
});

it('has a server that listens later answer on its own port', async () => {
  server = await runScript(fixture('scripts/two-servers.mjs'), ['--start-servers=1']);
  const output = await server.prints(/operators on \d+/);
  const later = Number(/operators on (\d+)/.exec(output)?.[1]);
  expect(later).not.toBe(server.port);
  expect(await get(later, '/')).toBe('operators\n');
  expect(await get(server.port, '/')).toBe('users\n');
});

it('says in an error event why a server cannot listen', async () => {
  server = await runScript(fixture('scripts/silent.mjs'), ['--start-servers=1']);
  expect(await get(server.port, '/')).toBe('at last\n');
  await server.prints('refused ERR_MPM_LISTEN');
  await server.prints('refused ENOTFOUND');
});

it('fails to start where the port is taken', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as { port: number };
  try {
    const start = runScript(fixture('scripts/legacy.cjs'), ['--start-servers=1'], [], {
      SCRIPT_PORT: String(port),
    });
    await expect(start).rejects.toThrow(/EADDRINUSE/);
  } finally {
    other.close();
  }
});

it('adopts the server of an entry that exports nothing, at the configured address', async () => {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'mpm-run-'));
  const entry = join(folder, 'app.mjs');
  writeFileSync(
    entry,
    `import { createServer } from 'node:http';
     createServer((_request, response) => response.end('served\\n')).listen(${port});`,
  );
  try {
    server = await startServer(entry, ['--start-servers=2']);
    expect(await get(server.port, '/')).toBe('served\n');
    expect(server.port).not.toBe(port);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

// Node strips types from 22.18 on; before that a module of types cannot be loaded.
it('runs TypeScript where Node does, and says so where it does not', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mpm-run-'));
  const entry = join(folder, 'app.mts');
  writeFileSync(
    entry,
    `import { createServer, type Server } from 'node:http';
     const server: Server = createServer((_request, response) => { response.end('typed\\n'); });
     server.listen(0, '127.0.0.1');`,
  );
  try {
    const { typescript = false } = process.features as { typescript?: string | false };
    const start = runScript(entry, ['--start-servers=1']);
    if (typescript === false) {
      await expect(start).rejects.toThrow(/ERR_MPM_ENTRY_TYPESCRIPT: .*use Node 22\.18 or later/);
    } else {
      server = await start;
      expect(await get(server.port, '/')).toBe('typed\n');
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
