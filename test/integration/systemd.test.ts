/** The server under a service manager: sockets that it is given, and what it tells. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually, fixture } from '../support/server-process.ts';

const CLI = fileURLToPath(new URL('../../dist/main/cli.js', import.meta.url));
const processes: ChildProcess[] = [];
const sockets: Server[] = [];
const folders: string[] = [];
afterEach(async () => {
  for (const child of processes.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

/** A socket that listens, as the manager has it, and its descriptor. */
async function listening(host: string): Promise<{ port: number; fd: number }> {
  const server = createServer();
  sockets.push(server);
  server.listen(0, host);
  await once(server, 'listening');
  const address = server.address();
  const { fd } = (server as Server & { _handle: { fd: number } })._handle;
  return { port: (address as { port: number }).port, fd };
}

interface Started {
  readonly child: ChildProcess;
  output(): string;
}

/** `exec`, so that the process has the id that LISTEN_PID names. */
function start(
  variables: string,
  descriptors: readonly number[],
  environment: NodeJS.ProcessEnv,
  entry = fixture('app.mjs'),
): Started {
  const script = `${variables} exec "$0" "$@"`;
  const flags = ['serve', entry, '--listen=127.0.0.1:0', '--admin=off', '--start-servers=1'];
  const child = spawn('sh', ['-c', script, process.execPath, CLI, ...flags], {
    stdio: ['ignore', 'pipe', 'pipe', ...descriptors],
    env: { ...process.env, ...environment },
  });
  processes.push(child);
  // The process has descriptors of its own by now, and this one would take its clients.
  for (const socket of sockets.splice(0)) socket.close();
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  return { child, output: () => output };
}
const said = (started: Started, what: string) =>
  eventually(started.output, (output) => output.includes(what), 20_000);
const textOf = async (url: string) =>
  (await fetch(url, { signal: AbortSignal.timeout(5_000) })).text();

describe('socket activation', () => {
  it('serves on the sockets it was given in place of `listen`, IPv4 and IPv6', async () => {
    const [four, six] = [await listening('127.0.0.1'), await listening('::1')];
    const started = start(
      'LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:web6',
      [four.fd, six.fd],
      {},
      fixture('environment.mjs'),
    );
    await said(started, `listening on http://[::1]:${six.port}`);
    await said(started, `listening on http://127.0.0.1:${four.port}`);
    // The application is not told of sockets that are not for it.
    expect(await textOf(`http://127.0.0.1:${four.port}/LISTEN_FDS`)).toBe('unset\n');
    expect(await textOf(`http://[::1]:${six.port}/LISTEN_PID`)).toBe('unset\n');
  });

  it('leaves what was meant for another process alone', async () => {
    const { fd, port } = await listening('127.0.0.1');
    const started = start('LISTEN_PID=1 LISTEN_FDS=1', [fd], {}, fixture('environment.mjs'));
    const output = await said(started, 'listening on ');
    const own = /listening on (http:\S+)/.exec(output)?.[1] as string;
    expect(own).not.toContain(`:${port}`);
    expect(await textOf(`${own}/LISTEN_FDS`)).toBe('1\n');
  });

  it.each([
    ['LISTEN_FDS=1', 'inherited descriptor 3 (unknown) is no TCP socket'],
    ['LISTEN_FDS=1 LISTEN_FDNAMES=web', 'inherited descriptor 3 (web) is no TCP socket'],
    ['LISTEN_FDS=1x', 'LISTEN_FDS=1x: not a number of sockets'],
    ['LISTEN_FDS=2 LISTEN_FDNAMES=a', 'LISTEN_FDNAMES=a: not 2 names'],
  ])('refuses %s where that makes no sense', async (variables, reason) => {
    // Standard error, which is a pipe.
    const started = start(`LISTEN_PID=$$ ${variables}`, [2], {});
    const [code] = await once(started.child, 'close');
    expect(code).toBe(1);
    await said(started, 'ERR_MPM_INHERITED');
    await said(started, reason);
  });
});

describe('notification', () => {
  /** What comes at such a socket, a message each. */
  async function notifySocket(address: string): Promise<string[]> {
    const script = fixture('notify_socket.py');
    const child = spawn('python3', [script, address], { stdio: ['ignore', 'pipe', 'inherit'] });
    processes.push(child);
    const messages: string[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => messages.push(JSON.parse(line)));
    await eventually(
      () => messages,
      (now) => now[0] === 'bound',
    );
    return messages;
  }
  const until = (messages: string[], what: RegExp, count = 1) =>
    eventually(
      () => messages.filter((message) => what.test(message)),
      (found) => found.length >= count,
      20_000,
    );

  it.each(['path', 'abstract'])('tells of its life at a socket with a %s address', async (kind) => {
    const folder = await mkdtemp(join(tmpdir(), 'mpm-notify-'));
    folders.push(folder);
    const address = kind === 'path' ? join(folder, 'socket') : `@mpm-test-${folder}`;
    const messages = await notifySocket(address);
    const { fd, port } = await listening('127.0.0.1');
    const started = start('LISTEN_PID=$$ LISTEN_FDS=1', [fd], {
      NOTIFY_SOCKET: address,
      WATCHDOG_USEC: '400000',
    });
    await until(messages, /^READY=1\nSTATUS=serving on /);
    expect(await textOf(`http://127.0.0.1:${port}/`)).toBe('hello\n');
    await until(messages, /^WATCHDOG=1$/, 3);
    started.child.kill('SIGHUP');
    const [reloading] = await until(messages, /^RELOADING=1\n/);
    const monotonicUs = Number(/MONOTONIC_USEC=(\d+)/.exec(reloading as string)?.[1]);
    const nowUs = Number(process.hrtime.bigint() / 1000n);
    expect(nowUs - monotonicUs).toBeGreaterThanOrEqual(0);
    expect(nowUs - monotonicUs).toBeLessThan(20_000_000);
    await until(messages, /^READY=1\nSTATUS=reloaded/);
    started.child.kill('SIGTERM');
    const [code] = await once(started.child, 'close');
    expect(code).toBe(0);
    await until(messages, /^STOPPING=1\nSTATUS=finishing requests$/);
  });

  it('goes on, and says so once, where nobody takes it', async () => {
    const { fd, port } = await listening('127.0.0.1');
    const started = start('LISTEN_PID=$$ LISTEN_FDS=1', [fd], {
      NOTIFY_SOCKET: '/nonexistent/socket',
    });
    await said(started, `listening on http://127.0.0.1:${port}`);
    expect(await textOf(`http://127.0.0.1:${port}/`)).toBe('hello\n');
    started.child.kill('SIGTERM');
    expect(await once(started.child, 'close')).toEqual([0, null]);
    expect(started.output().match(/NOTIFY_SOCKET/g)).toHaveLength(1);
  });
});
