/** WebSockets and other protocols: `ws` unchanged, through recycling, stops and deaths. */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { EchoClient } from '../support/echo-client.ts';
import { RawClient } from '../support/raw-client.ts';
import {
  eventually,
  fixture,
  runScript,
  type ServerProcess,
  startServer,
  statusOf,
} from '../support/server-process.ts';

let server: ServerProcess | null = null;
const clients: EchoClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) {
    client.stay();
    client.socket.terminate();
  }
  await server?.stop('SIGKILL');
  server = null;
});

const start = async (name: string, ...flags: string[]): Promise<ServerProcess> => {
  server = await startServer(fixture(name), flags);
  return server;
};
const connect = async (port: number, count: number): Promise<EchoClient[]> => {
  const made = Array.from({ length: count }, () => new EchoClient(`ws://127.0.0.1:${port}/`));
  clients.push(...made);
  await Promise.all(made.map((client) => client.opened));
  return made;
};
const ask = (path: string, more = '') =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n${more}\r\n`;
const upgradedNow = async (running: ServerProcess) =>
  Number((await statusOf(running)).get('MpmConnectionsUpgraded'));
const descriptors = ({ process: { pid } }: ServerProcess) => readdirSync(`/proc/${pid}/fd`).length;
/** Of one client at a time; every one of them fails a test that does not expect it. */
const errorsOf = (made: readonly EchoClient[]) => made.flatMap(({ errors }) => errors);
const endsOf = (made: readonly EchoClient[]) => made.flatMap(({ ends }) => ends);

describe('200 WebSocket clients', () => {
  it('echo through recycling; a worker that retires says that it goes away', async () => {
    const { port } = await start(
      'websocket.mjs',
      '--start-servers=2',
      '--max-request-workers=4',
      '--max-requests-per-child=400',
    );
    const made = await connect(port, 200);
    let over = false;
    const echoing = made.map(async (client, number) => {
      for (let turn = 0; !over; turn++) await client.echo(`${number}, ${turn}`);
    });
    // One replacement rests for a while after the one before.
    for (let round = 0; round < 12 || (endsOf(made).length === 0 && round < 200); round++) {
      const answers = await Promise.all(
        Array.from({ length: 100 }, async () => {
          const response = await fetch(`http://127.0.0.1:${port}/`, {
            signal: AbortSignal.timeout(10_000),
          });
          return (await response.text()).startsWith('worker');
        }),
      );
      expect(answers.every(Boolean)).toBe(true);
    }
    over = true;
    await Promise.all(echoing);
    expect(errorsOf(made)).toEqual([]);
    const ends = endsOf(made);
    expect(ends.length).toBeGreaterThan(0);
    expect(new Set(ends)).toEqual(new Set([1001]));
    for (const client of made) await client.echo('still there');
    expect(made.every(({ echoes }) => echoes > 1)).toBe(true);
    const status = await statusOf(server as ServerProcess);
    expect(Number(status.get('MpmChildStarts'))).toBeGreaterThan(2);
  });

  it('are told at a graceful stop, which then ends', async () => {
    const running = await start('websocket.mjs', '--start-servers=2');
    const made = await connect(running.port, 200);
    await Promise.all(made.map((client, number) => client.echo(`before ${number}`)));
    expect(await upgradedNow(running)).toBe(200);
    for (const client of made) client.stay();
    expect(await running.stop()).toBe(0);
    await eventually(
      () => endsOf(made).length,
      (count) => count === 200,
    );
    expect(new Set(endsOf(made))).toEqual(new Set([1001]));
    expect(errorsOf(made)).toEqual([]);
  });

  it('are spread over the workers', async () => {
    const running = await start('websocket.mjs', '--start-servers=4', '--max-request-workers=4');
    const { port } = running;
    // The first of them has the server listen; the others may be on their way.
    await eventually(
      () => statusOf(running),
      (status) => status.get('IdleWorkers') === '4',
    );
    const workers = new Map<string, number>();
    for (let count = 0; count < 40; count++) {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
      const who = await new Promise<string>((resolve, reject) => {
        socket.on('error', reject);
        socket.on('open', () => socket.send('who'));
        socket.on('message', (data) => resolve(String(data)));
      });
      workers.set(who, (workers.get(who) ?? 0) + 1);
    }
    expect(workers.size).toBe(4);
    expect(Math.max(...workers.values())).toBeLessThanOrEqual(20);
  });
});

describe('an upgraded connection', () => {
  it('is given back when its client closes or resets it, descriptor and all', async () => {
    const running = await start('websocket.mjs', '--start-servers=2', '--max-request-workers=2');
    const empty = () =>
      eventually(
        () => statusOf(running),
        (status) => status.get('ConnsTotal') === '0' && status.get('IdleWorkers') === '2',
      );
    /** How many descriptors there are at the height of it. */
    const comeAndGo = async (): Promise<number> => {
      const made = await connect(running.port, 40);
      for (const client of made) client.stay();
      const most = descriptors(running);
      for (const [index, client] of made.entries()) {
        if (index % 2 === 0) client.socket.terminate();
        else
          (
            client.socket as unknown as { _socket: { resetAndDestroy(): void } }
          )._socket.resetAndDestroy();
      }
      await empty();
      return most;
    };
    await empty();
    // The loop of each worker opens a descriptor of its own with its first socket (libuv's emfile_fd).
    await comeAndGo();
    const before = descriptors(running);
    expect(await comeAndGo()).toBeGreaterThanOrEqual(before + 80);
    await eventually(
      () => descriptors(running),
      (count) => count <= before,
    );
  });

  it('ends with its worker, and nobody else does', async () => {
    const running = await start('websocket.mjs', '--start-servers=2', '--max-request-workers=2');
    await eventually(
      () => statusOf(running),
      (status) => status.get('IdleWorkers') === '2',
    );
    const made = await connect(running.port, 20);
    for (const client of made) client.stay();
    const victim = made[0] as EchoClient;
    await victim.echo('alive');
    victim.socket.send('die');
    await eventually(
      () => victim.ends.length,
      (count) => count === 1,
    );
    expect(victim.ends).toEqual([1006]);
    await eventually(
      () => upgradedNow(running),
      (count) => count === 20 - endsOf(made).length && count > 0 && count < 20,
    );
    for (const client of made) {
      if (client.ends.length === 0) await client.echo('survived');
    }
    expect(new Set(endsOf(made))).toEqual(new Set([1006]));
    const [fresh] = await connect(running.port, 1);
    await fresh?.echo('served by another');
    await running.prints(/worker \d died/);
  });

  it('counts for the limit of connections of a worker', async () => {
    const running = await start(
      'websocket.mjs',
      '--start-servers=1',
      '--max-request-workers=1',
      '--max-connections-per-child=10',
    );
    const made = await connect(running.port, 12);
    await eventually(
      () => endsOf(made).length,
      (count) => count > 0,
    );
    expect(new Set(endsOf(made))).toEqual(new Set([1001]));
    for (const client of made) await client.echo('back');
  });

  it('has no time limit of requests, and is logged at its end', async () => {
    const log = join(tmpdir(), `mpm-upgrade-${process.pid}.log`);
    const running = await start(
      'upgrade.mjs',
      '--start-servers=1',
      '--timeout=1',
      '--keep-alive-timeout=1',
      `--access-log=${log}`,
    );
    const client = await RawClient.open(running.port);
    client.send(`${ask('/echo')}ahead`);
    expect((await client.response()).status).toBe(101);
    await client.bytes('ahead');
    const since = performance.now();
    await eventually(
      () => performance.now() - since,
      (passed) => passed > 2_500,
    );
    client.send('later');
    await client.bytes('later');
    expect(readFileSync(log, 'latin1')).toBe('');
    client.socket.end();
    await client.ended(5_000);
    await running.stop();
    expect(readFileSync(log, 'latin1')).toMatch(/"GET \/echo HTTP\/1\.1" 101 10 /);
    rmSync(log);
  });
});

describe('an application that takes upgrades by itself', () => {
  it('gets a request and a socket as node:http gives them', async () => {
    const { port } = await start('upgrade.mjs', '--start-servers=1');
    const client = await RawClient.open(port);
    client.send(`${ask('/about')}more`);
    expect((await client.response()).status).toBe(101);
    const said = JSON.parse((await client.ended()).toString()) as Record<string, unknown>;
    expect(said).toEqual({
      remoteAddress: '127.0.0.1',
      remotePort: client.socket.localPort,
      localPort: port,
      same: true,
      upgrade: true,
      httpVersion: '1.1',
      method: 'GET',
      host: 'a',
      head: 'more',
    });
  });

  it('answers what was pipelined before it first', async () => {
    const { port } = await start('upgrade.mjs', '--start-servers=1');
    const client = await RawClient.open(port);
    client.send(
      `GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\n\r\n${ask('/echo')}`,
    );
    expect((await client.response()).body.toString()).toBe('/one\n');
    expect((await client.response()).body.toString()).toBe('/two\n');
    expect((await client.response()).status).toBe(101);
    client.send('and back');
    await client.bytes('and back');
  });

  it.each([
    '/throws',
    '/rejects',
  ])('that fails answers 500, and the worker goes on: %s', async (path) => {
    const running = await start('upgrade.mjs', '--start-servers=1', '--max-request-workers=1');
    const client = await RawClient.open(running.port);
    client.send(ask(path));
    expect((await client.response()).status).toBe(500);
    client.socket.end();
    await client.ended(5_000);
    await eventually(
      () => running.output(),
      (output) => output.includes(`error in the handler of GET ${path}`),
    );
    await eventually(
      () => upgradedNow(running),
      (count) => count === 0,
    );
    expect((await statusOf(running)).get('MpmChildStarts')).toBe('1');
  });

  it('may refuse, which is counted as what it answers', async () => {
    const running = await start('upgrade.mjs', '--start-servers=1');
    const client = await RawClient.open(running.port);
    client.send(ask('/refuses'));
    expect((await client.response()).status).toBe(403);
    client.socket.end();
    await client.ended(5_000);
    const status = await eventually(
      () => statusOf(running),
      (now) => now.get('ConnsTotal') === '0',
    );
    expect(status.get('Total Accesses')).toBe('1');
  });

  it('that never answers loses the connection', async () => {
    const { port } = await start('upgrade.mjs', '--start-servers=1', '--timeout=1');
    const client = await RawClient.open(port);
    client.send(ask('/never'));
    await client.ended(5_000);
  });

  it('is told by its shutdown when the server stops', async () => {
    const running = await start('upgrade.mjs', '--start-servers=1');
    const client = await RawClient.open(running.port);
    client.send(ask('/echo'));
    expect((await client.response()).status).toBe(101);
    const stopped = running.stop();
    await client.bytes('bye\n');
    client.socket.end();
    expect(await stopped).toBe(0);
  });

  it('that does not listen has its sockets ended within the time to stop', async () => {
    const running = await start(
      'websocket.mjs',
      '--start-servers=1',
      '--graceful-shutdown-timeout=2',
    );
    const client = await RawClient.open(running.port);
    const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';
    client.send(ask('/', key).replace('Upgrade: echo', 'Upgrade: websocket'));
    expect((await client.response()).status).toBe(101);
    // A client that does not answer the close frame.
    const stopped = running.stop();
    await client.bytes('\x88\x02\x03\xe9');
    await client.ended(5_000);
    expect(await stopped).toBe(0);
  });
});

describe('without anybody who takes it', () => {
  it.each([
    ['an application without upgrades', 'app.mjs', ask('/')],
    [
      'a request with a body',
      'upgrade.mjs',
      ask('/body', 'Content-Length: 4\r\n').replace('GET', 'POST').concat('body'),
    ],
    ['HTTP/1.0', 'upgrade.mjs', ask('/old').replace('HTTP/1.1', 'HTTP/1.0')],
    ['Upgrade without Connection', 'upgrade.mjs', ask('/x').replace('Connection: Upgrade', 'A: b')],
  ])('the request is served as any other: %s', async (_, name, text) => {
    const { port } = await start(name, '--start-servers=1');
    const client = await RawClient.open(port);
    client.send(text);
    expect((await client.response()).status).toBe(200);
  });
});

describe('CONNECT', () => {
  const text = 'CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n';
  afterEach(() => {
    delete process.env.CONNECT;
  });

  it('goes to a server that listens to connect', async () => {
    process.env.CONNECT = 'yes';
    const { port } = await start('connect.mjs', '--start-servers=1');
    const client = await RawClient.open(port);
    client.send(`${text}ahead`);
    await client.bytes('HTTP/1.1 200 Connection Established\r\n\r\nb:443\nahead');
    client.send('later');
    await client.bytes('later');
  });

  it('is a request as any other without one', async () => {
    const { port } = await start('connect.mjs', '--start-servers=1');
    const client = await RawClient.open(port);
    client.send(text);
    expect((await client.response()).status).toBe(405);
  });
});

it('a script that has a WebSocketServer listen runs unchanged', async () => {
  server = await runScript(fixture('scripts/websocket.mjs'), ['--start-servers=2']);
  const [client] = await connect(server.port, 1);
  await client?.echo('from a script');
  const ports = [...server.output().matchAll(/http:\/\/127\.0\.0\.1:(\d+)(?!\d|\/server)/g)].map(
    ([, port]) => Number(port),
  );
  const other = ports.find((port) => port !== server?.port) as number;
  const plain = await RawClient.open(other);
  plain.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  expect((await plain.response()).body.toString()).toBe('plain\n');
  // Its server does not listen to upgrade.
  plain.send(ask('/'));
  expect((await plain.response()).status).toBe(501);
});
