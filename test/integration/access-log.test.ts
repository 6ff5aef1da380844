/** What stands in the access log, whatever happens to clients, workers, the file and the server. */
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import {
  eventually,
  fixture,
  type ServerProcess,
  startServer,
  statusOf,
} from '../support/server-process.ts';

/** Once with MPM_LOG_REQUESTS=100000 by hand. */
const REQUESTS = Number(process.env.MPM_LOG_REQUESTS ?? 20_000);

let folder = '';
let file = '';
let server: ServerProcess | null = null;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mpm-access-log-'));
  file = join(folder, 'access.log');
});
afterEach(async () => {
  await server?.stop('SIGKILL');
  server = null;
  rmSync(folder, { recursive: true });
});

const start = async (format: string, ...flags: string[]): Promise<ServerProcess> => {
  server = await startServer(fixture('app.mjs'), [
    `--access-log=${file}`,
    `--log-format=${format}`,
    ...flags,
  ]);
  return server;
};
const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;

const linesOf = (path = file): string[] => {
  const text = readFileSync(path, 'latin1');
  if (text !== '' && !text.endsWith('\n'))
    throw new Error(`ends within a line: ${text.slice(-80)}`);
  return text === '' ? [] : text.slice(0, -1).split('\n');
};
/** Waits until the log has so many lines, as an operator who reads it meanwhile. */
const lines = (count: number): Promise<string[]> =>
  eventually(linesOf, (found) => found.length >= count, 3_000);

/** A line as its test wants it: from the request line on, and without the client's port. */
const tail = (line: string): string => line.replace(/^127\.0\.0\.1 - - \[[^\]]{26}\] /, '');

interface JsonLine {
  readonly target: string;
  readonly status: number;
  readonly bodyBytes: number;
  readonly durationMs: number;
  readonly aborted: boolean;
  readonly child: number;
  readonly connectionRequests: number;
  readonly remotePort: number;
}
const json = (line: string): JsonLine => JSON.parse(line);

/** Clients that ask one after the other, each on its connection, and remember what they got. */
class Load {
  readonly answered = new Map<string, number>();
  bytes = 0;
  #stopped = false;
  #next = 0;
  readonly #port: number;
  readonly #total: number;
  readonly #path: (id: number) => string;

  constructor(port: number, total: number, path: (id: number) => string) {
    this.#port = port;
    this.#total = total;
    this.#path = path;
  }

  /** Ends when all was asked, or when the server lets the client go. */
  async #client(): Promise<void> {
    let client: RawClient | null = null;
    while (!this.#stopped && this.#next < this.#total) {
      const path = this.#path(this.#next++);
      try {
        client ??= await RawClient.open(this.#port);
        client.send(get(path));
        const { body, status, headers } = await client.response();
        this.answered.set(path, status);
        this.bytes += body.length;
        if (headers.get('connection') === 'close') {
          client.close();
          client = null;
        }
      } catch {
        client?.close();
        client = null;
      }
    }
    client?.close();
  }

  run(clients: number): Promise<unknown> {
    return Promise.all(Array.from({ length: clients }, () => this.#client()));
  }

  stop(): void {
    this.#stopped = true;
  }
}

const sized = (id: number): string => `/large?bytes=${(id * 7919) % 1500}&id=${id}`;
const sum = (found: readonly JsonLine[]): number =>
  found.reduce((bytes, { bodyBytes }) => bytes + bodyBytes, 0);

describe('a line for each request', () => {
  it('in combined form, soon after it was answered', async () => {
    const { port } = await start('combined');
    const client = await RawClient.open(port);
    client.send(get('/?q="', 'Referer: http://from/\r\nUser-Agent: a\\b "c"\r\n'));
    await client.response();
    client.send('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.response('HEAD');
    client.send(get('/empty') + get('/nowhere'));
    await client.response();
    await client.response();
    client.send(get('/stream'));
    await client.response();
    client.send(get('/large?bytes=300000'));
    await client.response();
    client.send('POST /length HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc');
    await client.response();
    client.close();
    expect((await lines(7)).map(tail)).toEqual([
      '"GET /?q=\\" HTTP/1.1" 200 6 "http://from/" "a\\\\b \\"c\\""',
      '"HEAD / HTTP/1.1" 200 - "-" "-"',
      '"GET /empty HTTP/1.1" 204 - "-" "-"',
      '"GET /nowhere HTTP/1.1" 404 10 "-" "-"',
      '"GET /stream HTTP/1.1" 200 35 "-" "-"',
      '"GET /large?bytes=300000 HTTP/1.1" 200 300000 "-" "-"',
      '"POST /length HTTP/1.0" 200 2 "-" "-"',
    ]);
  });

  it('in common form also where the request was refused', async () => {
    const { port } = await start('common', '--limit-request-line=64');
    const requests: readonly (readonly [string, string])[] = [
      ['G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n', '"G\\x01T / HTTP/1.1" 400'],
      ['GET / HTTP/1.1\r\n\r\n', '"GET / HTTP/1.1" 400'],
      [`GET /${'a'.repeat(80)} HTTP/1.1\r\n`, `"GET /${'a'.repeat(60)}" 414`],
      ['GET / HTTP/3.0\r\nHost: a\r\n\r\n', '"GET / HTTP/3.0" 505'],
      [
        'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999\r\n\r\n',
        '"POST / HTTP/1.1" 413',
      ],
    ];
    for (const [bytes] of requests) {
      const client = await RawClient.open(port);
      client.send(Buffer.from(bytes, 'latin1'));
      await client.response();
      client.close();
    }
    const found = (await lines(requests.length)).map((line) => tail(line).replace(/ \d+$/, ''));
    // Workers write their own lines in order, and each other's in any.
    expect(found.sort()).toEqual(requests.map(([, line]) => line).sort());
  });

  it('as JSON, with what only this server knows', async () => {
    const { port } = await start('json', '--start-servers=1');
    const client = await RawClient.open(port);
    const localPort = client.socket.localPort as number;
    for (const path of ['/', '/wait?ms=30']) {
      client.send(get(path, 'X-Request-Id: r-\xe9\r\nUser-Agent: u\r\n'));
      await client.response();
    }
    const [first, second] = (await lines(2)).map((line) => JSON.parse(line));
    expect(first).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      remoteAddr: '127.0.0.1',
      remotePort: localPort,
      method: 'GET',
      target: '/',
      protocol: 'HTTP/1.1',
      status: 200,
      bodyBytes: 6,
      durationMs: expect.any(Number),
      aborted: false,
      referer: null,
      userAgent: 'u',
      host: 'a',
      requestId: Buffer.from('r-\xe9', 'utf8').toString('latin1'),
      child: 0,
      connectionRequests: 1,
    });
    expect(second).toMatchObject({ target: '/wait?ms=30', connectionRequests: 2 });
    expect(second.durationMs).toBeGreaterThan(25);
    expect(Math.abs(Date.now() - Date.parse(first.time))).toBeLessThan(60_000);
    client.close();
  });

  it('on standard output', async () => {
    server = await startServer(fixture('app.mjs'), ['--access-log=stdout', '--log-format=common']);
    const client = await RawClient.open(server.port);
    client.send(get('/'));
    await client.response();
    client.close();
    await eventually(
      () => server?.output() ?? '',
      (output) => /^127\.0\.0\.1 - - \[.{26}\] "GET \/ HTTP\/1\.1" 200 6$/m.test(output),
      3_000,
    );
  });

  it('of a handler of (req, res), without its head', async () => {
    const entry = fileURLToPath(new URL('../../examples/node-style.mjs', import.meta.url));
    server = await startServer(entry, [`--access-log=${file}`]);
    const client = await RawClient.open(server.port);
    client.send(get('/'));
    const { body } = await client.response();
    client.close();
    expect((await lines(1)).map(tail)).toEqual([`"GET / HTTP/1.1" 200 ${body.length} "-" "-"`]);
  });

  it('of a handler of (req, res) that writes in chunks, without their frames', async () => {
    const entry = join(folder, 'chunks.mjs');
    writeFileSync(
      entry,
      `export default (request, response) => {
        response.write('one');
        setImmediate(() => {
          response.cork();
          response.write('ü'.repeat(5));
          response.write(Buffer.alloc(70_000, 'x'));
          response.uncork();
          response.addTrailers({ 'x-end': 'yes' });
          response.end('three');
        });
      };`,
    );
    server = await startServer(entry, [`--access-log=${file}`]);
    const client = await RawClient.open(server.port);
    for (const method of ['GET', 'HEAD']) {
      client.send(get('/').replace('GET', method).replace('\r\n\r\n', '\r\nTE: trailers\r\n\r\n'));
      const bytes = method === 'GET' ? 3 + 10 + 70_000 + 5 : '-';
      const [line = ''] = (await lines(method === 'GET' ? 1 : 2)).slice(-1).map(tail);
      expect(line).toBe(`"${method} / HTTP/1.1" 200 ${bytes} "-" "-"`);
    }
    client.close();
  });

  it.each([
    ['', 50_000],
    ['&late', 50_000],
    ['&length=50000', 50_000],
    ['&length=50000&late', 50_000],
  ])('of a response from another socket, with all its bytes (%s)', async (more, bytes) => {
    const upstream = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end(Buffer.alloc(bytes, 'x')));
    }).listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    server = await startServer(fixture('sockets.mjs'), [`--access-log=${file}`]);
    const client = await RawClient.open(server.port);
    const { port } = upstream.address() as AddressInfo;
    client.send(get(`/socket?port=${port}&ask=all${more}`));
    const [line = ''] = await lines(1);
    expect(tail(line)).toMatch(new RegExp(`" 200 ${bytes} "-" "-"$`));
    client.close();
    upstream.close();
  });

  it('of a request that the listener answered with 408', async () => {
    const { port } = await start('json', '--request-read-timeout=header=1 body=1');
    const client = await RawClient.open(port);
    client.send('GET /too-slow HTTP/1.1\r\nHost:');
    expect((await client.response()).status).toBe(408);
    client.close();
    const [line] = (await lines(1)).map(json);
    expect(line).toMatchObject({ target: '/too-slow', status: 408, bodyBytes: 0, child: -1 });
    expect(line?.durationMs).toBeGreaterThan(900);
  });

  it.each([
    'combined',
    'json',
  ])('of a response whose rest the listener sent, with all its bytes (%s)', async (format) => {
    const running = await start(format);
    const client = await RawClient.open(running.port);
    client.socket.pause();
    client.send(get('/large?bytes=20000000', 'User-Agent: slow\r\n'));
    await eventually(
      () => statusOf(running),
      (status) => status.get('ConnsAsyncWriting') === '1',
    );
    expect(linesOf()).toEqual([]);
    client.socket.resume();
    expect((await client.response('GET', 20_000)).body.length).toBe(20_000_000);
    const [line = ''] = await lines(1);
    if (format === 'json') {
      expect(json(line)).toMatchObject({ status: 200, bodyBytes: 20_000_000, aborted: false });
    } else {
      expect(tail(line)).toBe('"GET /large?bytes=20000000 HTTP/1.1" 200 20000000 "-" "slow"');
    }
    expect((await statusOf(running)).get('MpmWriteCompletions')).toBe('1');
  });

  it('but not where it is off, which is the default', async () => {
    server = await startServer(fixture('app.mjs'));
    const client = await RawClient.open(server.port);
    client.send(get('/'));
    expect((await client.response()).status).toBe(200);
    client.close();
    expect(await server.stop()).toBe(0);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('needs a file that can be written', async () => {
    file = folder;
    await expect(start('common')).rejects.toThrow(/ERR_MPM_ACCESS_LOG: accessLog .*EISDIR/);
    file = join(folder, 'none', 'access.log');
    await expect(start('common')).rejects.toThrow(/ERR_MPM_ACCESS_LOG: accessLog .*ENOENT/);
  });
});

describe('requests that were cut off', () => {
  const whole = 30_000_000;

  it.each(['common', 'json'])('by the client are shown with what has left (%s)', async (format) => {
    const { port } = await start(format);
    const client = await RawClient.open(port);
    client.send(get(`/large?bytes=${whole}`));
    await eventually(
      () => client.received.length,
      (bytes) => bytes > 100_000,
    );
    client.socket.resetAndDestroy();
    const [line = ''] = await lines(1);
    if (format === 'common') {
      const bytes = Number(/" 499 (\d+)$/.exec(line)?.[1]);
      expect(bytes).toBeGreaterThan(100_000 - 200);
      expect(bytes).toBeLessThan(whole);
    } else {
      expect(json(line)).toMatchObject({ status: 200, aborted: true });
      expect(json(line).bodyBytes).toBeGreaterThan(100_000 - 200);
      expect(json(line).bodyBytes).toBeLessThan(whole);
    }
  });

  it('by the client before there was a response have no status of their own', async () => {
    const { port } = await start('json');
    const client = await RawClient.open(port);
    client.send(get('/wait?ms=60000'));
    await eventually(
      () => statusOf(server as ServerProcess),
      (status) => status.get('MpmConnectionsProcessing') === '1',
    );
    client.socket.resetAndDestroy();
    expect((await lines(1)).map(json)).toMatchObject([{ status: 0, bodyBytes: 0, aborted: true }]);
  });

  it('by a handler that failed half way keep their status', async () => {
    const { port } = await start('common');
    const client = await RawClient.open(port);
    client.send(get('/stream-fails'));
    await client.ended();
    expect((await lines(1)).map(tail)[0]).toMatch(/^"GET \/stream-fails HTTP\/1\.1" 200 \d+$/);
  });
});

describe('no line is lost, torn or written twice', () => {
  it(`over ${REQUESTS} requests with children that retire`, async () => {
    const { port } = await start(
      'json',
      '--start-servers=2',
      '--max-request-workers=4',
      '--max-requests-per-child=1500',
    );
    const load = new Load(port, REQUESTS, sized);
    await load.run(12);
    const status = await statusOf(server as ServerProcess);
    expect(await server?.stop()).toBe(0);
    const found = linesOf().map(json);
    expect(load.answered.size).toBe(REQUESTS);
    expect(found.length).toBe(REQUESTS);
    expect(new Set(found.map(({ target }) => target))).toEqual(new Set(load.answered.keys()));
    expect(sum(found)).toBe(load.bytes);
    // Two at the start; replacements take turns.
    expect(Number(status.get('MpmChildStarts'))).toBeGreaterThan(2);
    expect(status.get('MpmLogLost')).toBe('0');
  }, 120_000);

  it('while the file is rotated by renaming and SIGHUP', async () => {
    const { port, process: child } = await start('json', '--start-servers=2');
    const load = new Load(port, 6_000, sized);
    const running = load.run(8);
    const rotations = 5;
    for (let rotation = 0; rotation < rotations; rotation++) {
      const threshold = ((rotation + 1) * 6_000) / (rotations + 1);
      await eventually(
        () => load.answered.size,
        (answered) => answered > threshold,
      );
      renameSync(file, `${file}.${rotation}`);
      child.kill('SIGHUP');
      await eventually(() => readdirSync(folder).includes('access.log'), Boolean);
    }
    await running;
    expect(await server?.stop()).toBe(0);
    const names = readdirSync(folder);
    expect(names.length).toBe(rotations + 1);
    const found = names.flatMap((name) => linesOf(join(folder, name))).map(json);
    expect(found.length).toBe(6_000);
    expect(new Set(found.map(({ target }) => target)).size).toBe(6_000);
    expect(sum(found)).toBe(load.bytes);
  }, 60_000);

  it.each([
    'SIGTERM',
    'SIGINT',
  ] as const)('when the server stops under load (%s)', async (signal) => {
    const { port } = await start('json', '--start-servers=2');
    const load = new Load(port, Number.POSITIVE_INFINITY, sized);
    const running = load.run(8);
    await eventually(
      () => load.answered.size,
      (answered) => answered > 1_000,
    );
    const exited = server?.stop(signal);
    expect(await exited).toBe(0);
    load.stop();
    await running;
    const found = linesOf().map(json);
    const targets = new Set(found.map(({ target }) => target));
    expect(targets.size).toBe(found.length);
    expect([...load.answered.keys()].filter((path) => !targets.has(path))).toEqual([]);
  }, 60_000);

  it('when a worker dies in a handler', async () => {
    const { port } = await start('json', '--start-servers=2');
    const load = new Load(port, 3_000, sized);
    const running = load.run(6);
    for (const threshold of [500, 1_500]) {
      await eventually(
        () => load.answered.size,
        (answered) => answered > threshold,
      );
      const killer = await RawClient.open(port);
      killer.send(get('/exit'));
      await killer.ended();
      killer.close();
    }
    await running;
    expect(await server?.stop()).toBe(0);
    await server?.prints('died');
    const all = linesOf().map(json);
    const guilty = all.filter(({ target }) => target === '/exit');
    expect(guilty.map(({ status }) => status)).toEqual([502, 502]);
    const found = all.filter(({ target }) => target !== '/exit');
    const targets = new Set(found.map(({ target }) => target));
    expect(targets.size).toBe(found.length);
    expect([...load.answered.keys()].filter((path) => !targets.has(path))).toEqual([]);
  }, 60_000);

  it('when a second signal ends the server at once', async () => {
    const { port } = await start('json', '--start-servers=2');
    const load = new Load(port, 2_000, sized);
    await load.run(4);
    const hanging = await RawClient.open(port);
    hanging.send(get('/wait?ms=60000'));
    const slow = await RawClient.open(port);
    slow.socket.pause();
    slow.send(get('/large?bytes=20000000'));
    await eventually(
      () => statusOf(server as ServerProcess),
      (status) =>
        status.get('MpmConnectionsProcessing') === '1' && status.get('ConnsAsyncWriting') === '1',
    );
    server?.process.kill('SIGTERM');
    await eventually(
      () => server?.output() ?? '',
      (output) => output.includes('finishing requests'),
    );
    await server?.stop('SIGTERM');
    hanging.close();
    slow.close();
    // The one that waits may have been answered 502 in time.
    const found = linesOf()
      .map(json)
      .filter(({ status }) => status !== 502);
    const [cut, ...more] = found.filter(({ aborted }) => aborted);
    expect(cut).toMatchObject({ target: '/large?bytes=20000000', status: 200 });
    expect(cut?.bodyBytes).toBeLessThan(20_000_000);
    expect(more).toEqual([]);
    const complete = found.filter(({ aborted }) => !aborted);
    expect(complete.length).toBe(2_000);
    expect(sum(complete)).toBe(load.bytes);
  }, 30_000);

  it('but those that a stuck reader of standard output did not take are counted', async () => {
    server = await startServer(fixture('app.mjs'), [
      '--access-log=stdout',
      '--log-format=combined',
      '--start-servers=1',
    ]);
    const { port, process: child } = server;
    child.stdout?.pause();
    const requests = 600;
    const agent = 'x'.repeat(4_000);
    const client = await RawClient.open(port);
    for (let id = 0; id < requests; id++) {
      client.send(get(`/?id=${id}`, `User-Agent: ${agent}\r\n`));
      // Nobody reads the log, and the clients are served all the same.
      expect((await client.response('GET', 10_000)).status).toBe(200);
    }
    client.close();
    const lost = Number((await statusOf(server)).get('MpmLogLost'));
    expect(lost).toBeGreaterThan(0);
    child.stdout?.resume();
    const shown = () =>
      (server?.output() ?? '').split('\n').filter((line) => line.startsWith('127.0.0.1 - - ['));
    const found = await eventually(
      shown,
      (present) => present.length + lost === requests,
      10_000,
    ).catch(() => shown());
    expect(found.length + lost).toBe(requests);
    const whole = /^127\.0\.0\.1 - - \[.{26}\] "GET \/\?id=(\d+) HTTP\/1\.1" 200 6 "-" "x{4000}"$/;
    const ids = found.map((line) => Number(whole.exec(line)?.[1]));
    expect(ids.every(Number.isInteger)).toBe(true);
    expect(new Set(ids).size).toBe(ids.length);
  }, 60_000);

  it('and lines that wait have no effect on how long a single request takes to be shown', async () => {
    const { port } = await start('common', '--start-servers=1');
    for (let round = 1; round <= 3; round++) {
      const client = await RawClient.open(port);
      client.send(get('/', 'Connection: close\r\n'));
      await client.response();
      client.close();
      // The last connection has gone: the sweep must come once more all the same.
      expect((await lines(round)).length).toBe(round);
    }
  });
});
