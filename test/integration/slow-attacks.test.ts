/** Clients that hold on to what they can: by saying little, nothing, or far too much, or by not reading. */
import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import {
  eventually,
  fixture,
  runScript,
  type ServerProcess,
  startServer,
  statusOf,
} from '../support/server-process.ts';
import {
  atRest,
  documentOf,
  expectAsBefore,
  expectLight,
  type Held,
  inState,
  processorMs,
  residentBytes,
} from '../support/stillness.ts';

const MB = 1024 * 1024;
const ONE = ['--start-servers=1', '--max-request-workers=1', '--min-spare-threads=1'];

let server: ServerProcess | null = null;
const closing: (() => void)[] = [];
const stop = async (): Promise<void> => {
  await server?.stop('SIGKILL');
  server = null;
};
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const start = async (...flags: string[]): Promise<ServerProcess> => {
  server = await startServer(fixture('socket-faults.mjs'), flags);
  return server;
};
/** One server for a whole group: what a test left behind would be found by the next. */
function serves(...flags: string[]): () => { running: ServerProcess; before: Held } {
  let before: Held;
  beforeAll(async () => {
    before = await atRest(await start(...flags));
  });
  afterAll(stop);
  return () => ({ running: server as ServerProcess, before });
}
/** What it got until the end of its connection; one that says more after the end may see a reset for it. */
async function endOf(client: RawClient): Promise<string> {
  try {
    await client.ended(10_000);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
  }
  return client.received.toString('latin1');
}
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const post = (fields: string, body = ''): string =>
  `POST /count HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${body}`;

async function openMany(port: number, count: number): Promise<RawClient[]> {
  const opened = await Promise.all(Array.from({ length: count }, () => RawClient.open(port)));
  for (const client of opened) closing.push(() => client.close());
  return opened;
}

/** Asks for something light, one after the other, until `until` settles; how long each took. */
async function lightBeside(
  { port }: ServerProcess,
  until: Promise<unknown>,
  text = get('/light'),
): Promise<number[]> {
  const times: number[] = [];
  let over = false;
  const end = until.finally(() => {
    over = true;
  });
  const client = await RawClient.open(port);
  closing.push(() => client.close());
  while (!over) {
    const began = performance.now();
    client.send(text);
    const { status } = await client.response('GET', 20_000);
    if (status !== 200) throw new Error(`answered ${status}`);
    times.push(performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await end;
  client.close();
  return times;
}

describe('a request that comes a byte at a time', () => {
  const CLIENTS = 30;
  /** A chunk size may have 16 digits; the time is over before. */
  const BYTE_MS = 150;
  /** What comes first, and what goes on for ever. */
  const SLOW: readonly (readonly [name: string, first: string, byte: string])[] = [
    ['in the request line', 'GET /', 'a'],
    ['in a field', 'GET /light HTTP/1.1\r\nHost: a\r\nX: ', 'y'],
    ['in a body', post('Content-Length: 1000'), 'x'],
    ['in a large body', post('Content-Length: 1000000'), 'x'],
    ['in a chunk size', post('Transfer-Encoding: chunked'), '0'],
    ['in a chunk', post('Transfer-Encoding: chunked', 'ffff\r\n'), 'x'],
    ['in chunks of one byte', post('Transfer-Encoding: chunked'), '1\r\nx\r\n'],
    ['in a chunk extension', post('Transfer-Encoding: chunked', '5;'), 'a'],
    ['in a trailer', post('Transfer-Encoding: chunked', '0\r\nX: '), 'y'],
  ];

  const served = serves(...ONE, '--request-read-timeout=header=1 body=1');

  it.each(
    SLOW,
  )('%s ends with 408 at requestReadTimeout, and holds up nobody', async (_, first, byte) => {
    const { running, before } = served();
    const opened = await openMany(running.port, CLIENTS);
    const began = performance.now();
    const ends = Promise.all(
      opened.map(async (client) => {
        client.send(first);
        const timer = setInterval(() => client.send(byte), BYTE_MS);
        closing.push(() => clearInterval(timer));
        const answer = await endOf(client);
        clearInterval(timer);
        client.close();
        return { tookMs: performance.now() - began, answer };
      }),
    );
    const light = await lightBeside(running, ends);
    expect(light.length).toBeGreaterThan(5);
    for (const { tookMs, answer } of await ends) {
      expect(answer).toMatch(/^(?:HTTP\/1\.1 408 |$)/);
      expect(tookMs).toBeGreaterThan(900);
      expect(tookMs).toBeLessThan(10_000);
    }
    // An answer is lost where the next byte makes the kernel reset the connection; not every one is.
    expect((await ends).filter(({ answer }) => answer !== '').length).toBeGreaterThan(0);
    await expectAsBefore(running, before);
  });
});

describe('a request that comes slowly', () => {
  const served = serves(...ONE, '--request-read-timeout=header=1-2,MinRate=50 body=5');

  it('gets more time for what comes fast enough, and no more than the maximum', async () => {
    const { running } = served();
    const [client] = (await openMany(running.port, 1)) as [RawClient];
    const began = performance.now();
    client.send('GET /light HTTP/1.1\r\nHost: a\r\nX: ');
    const timer = setInterval(() => client.send('y'.repeat(10)), 100);
    closing.push(() => clearInterval(timer));
    expect(await endOf(client)).toMatch(/^HTTP\/1\.1 408 /);
    expect(performance.now() - began).toBeGreaterThan(1_900);
  });
});

describe('a flood', () => {
  const CLIENTS = 50;
  const FLOODS: readonly (readonly [name: string, first: string, more: string, status: number])[] =
    [
      ['of fields', 'GET /light HTTP/1.1\r\nHost: a\r\n', 'X: y\r\n', 431],
      ['of one field', 'GET /light HTTP/1.1\r\nHost: a\r\nX: ', 'yyyyyyyy', 431],
      ['of blanks', 'GET /light HTTP/1.1\r\nHost: a\r\nX: ', '        ', 431],
      ['of a field name', 'GET /light HTTP/1.1\r\n', 'xxxxxxxx', 431],
      ['of a request line', 'GET /', 'aaaaaaaa', 414],
      ['of a method', '', 'AAAAAAAA', 501],
      ['of empty lines', '', '\r\n\r\n', 400],
      ['of NULs', '', '\0\0\0\0', 400],
      ['of chunk extensions', post('Transfer-Encoding: chunked', '1'), ';aaaaaaa', 413],
      ['of trailers', post('Transfer-Encoding: chunked', '0\r\n'), 'X: y\r\n', 431],
    ];

  const served = serves(...ONE);

  it.each(
    FLOODS,
  )('%s is refused by its limit, and the rest of it not kept', async (_, first, more, status) => {
    const { running, before } = served();
    const rss = residentBytes(running);
    const opened = await openMany(running.port, CLIENTS);
    const piece = Buffer.from(more.repeat(MB / 8 / more.length), 'latin1');
    const answers = Promise.all(
      opened.map(async (client) => {
        client.send(first);
        for (let n = 0; n < 8 && client.received.length === 0; n++) client.send(piece);
        const answer = await endOf(client);
        client.close();
        return answer;
      }),
    );
    await lightBeside(running, answers);
    for (const answer of await answers) {
      // The answer is lost where what came behind it makes the kernel reset the connection.
      expect(answer).toMatch(new RegExp(`^(?:HTTP/1\\.1 ${status} |$)`));
    }
    expect((await answers).filter((answer) => answer !== '').length).toBeGreaterThan(0);
    await expectAsBefore(running, before);
    expect(residentBytes(running) - rss).toBeLessThan(64 * MB);
  });
});

describe('clients that do not read', () => {
  const served = serves(...ONE, '--timeout=2s');

  it.each(['/large', '/endless'])('hold up nobody, and go after timeout: %s', async (path) => {
    const { running, before } = served();
    const { accepted } = (await documentOf(running)).totals;
    const opened = await openMany(running.port, 40);
    for (const client of opened) {
      client.socket.pause();
      client.send(get(path));
    }
    const gone = eventually(
      () => documentOf(running),
      // The one that asks for light things is there as well.
      ({ connections, totals }) =>
        totals.accepted > accepted + opened.length && connections.open <= 1,
      20_000,
    );
    const light = await lightBeside(running, gone);
    expect(light.length).toBeGreaterThan(5);
    await expectAsBefore(running, before);
  });
});

describe('connections that say nothing', () => {
  afterEach(stop);

  const COUNT = Number(process.env.MPM_SILENT_CONNECTIONS ?? 10_000);
  const AT_ONCE = 200;
  const HEAD_SECONDS = 30;

  async function openSilent(running: ServerProcess): Promise<Socket[]> {
    const sockets: Socket[] = [];
    closing.push(() => {
      for (const socket of sockets) socket.destroy();
    });
    const one = () =>
      new Promise<void>((resolve, reject) => {
        const socket = connect({ port: running.port, host: '127.0.0.1' });
        sockets.push(socket.once('connect', resolve).once('error', reject));
      });
    while (sockets.length < COUNT) {
      const batch = Math.min(AT_ONCE, COUNT - sockets.length);
      await Promise.all(Array.from({ length: batch }, one));
    }
    await eventually(
      () => inState(running, 'waitRequest'),
      (now) => now === COUNT,
      HEAD_SECONDS * 1_000,
    );
    return sockets;
  }

  it(`${COUNT} of them keep no worker busy, cost little, and leave nothing behind`, async () => {
    const seconds = `--request-read-timeout=header=${HEAD_SECONDS} body=20`;
    const running = await start(...ONE, `--max-connections=${COUNT + 100}`, seconds);
    await expectLight(running);
    const before = await atRest(running);
    const rss = residentBytes(running);
    const sockets = await openSilent(running);
    const figures = await statusOf(running);
    expect(figures.get('BusyWorkers')).toBe('0');
    expect(figures.get('MpmBuffersUsed')).toBe('0');
    // Most of it is the heap of the admin thread, which has been asked often.
    expect((residentBytes(running) - rss) / COUNT).toBeLessThan(6_144);
    for (let n = 0; n < 20; n++) await expectLight(running);
    const [cpu, since] = [processorMs(running), performance.now()];
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect((processorMs(running) - cpu) / (performance.now() - since)).toBeLessThan(0.5);
    // Half of them leave by themselves, the others at requestReadTimeout.
    for (const socket of sockets.splice(0, COUNT / 2)) socket.resetAndDestroy();
    await expectAsBefore(running, before, 3_000 * HEAD_SECONDS);
    const first = residentBytes(running);
    // What is kept for good would be kept once more.
    for (const socket of await openSilent(running)) socket.resetAndDestroy();
    await expectAsBefore(running, before, 1_000 * HEAD_SECONDS);
    expect(residentBytes(running) - first).toBeLessThan(24 * MB);
  }, 180_000);
});

describe('slow uploads through Express', () => {
  afterEach(stop);

  const CLIENTS = Number(process.env.MPM_SLOW_UPLOADS ?? 500);
  const BYTES_A_SECOND = 5_000;
  const SECONDS = 6;
  const example = fileURLToPath(new URL('../../examples/express/app.js', import.meta.url));
  const percentile = (times: readonly number[], share: number): number =>
    [...times].sort((a, b) => a - b)[Math.floor(times.length * share)] ?? Number.NaN;

  it(`${CLIENTS} at 5 kB/s with two workers leave light requests unharmed, and are all right`, async () => {
    const flags = ['--start-servers=2', '--max-request-workers=2', '--max-connections=1000'];
    server = await runScript(example, [...flags, '--limit-request-body=0'], [], { PORT: '0' });
    const running = server;
    const before = await atRest(running);
    const pause = new Promise((resolve) => setTimeout(resolve, 3_000));
    const quiet = await lightBeside(running, pause, get('/'));

    const body = Buffer.alloc(BYTES_A_SECOND * SECONDS, 'upload ');
    const digest = `${createHash('sha256').update(body).digest('hex')}\n`;
    const opened = await openMany(running.port, CLIENTS);
    const uploads = Promise.all(
      opened.map(async (client, index) => {
        client.send(`PUT /digest HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`);
        await new Promise((resolve) => setTimeout(resolve, (index * 1_000) / CLIENTS));
        for (let at = 0; at < body.length; at += BYTES_A_SECOND) {
          client.send(body.subarray(at, at + BYTES_A_SECOND));
          await new Promise((resolve) => setTimeout(resolve, 1_000));
        }
        const response = await client.response('PUT', 30_000);
        client.close();
        return `${response.status} ${response.body}`;
      }),
    );
    const beside = await lightBeside(running, uploads, get('/'));
    expect(new Set(await uploads)).toEqual(new Set([`200 ${digest}`]));
    const [own, slow] = [percentile(quiet, 0.99), percentile(beside, 0.99)];
    console.log(
      `light requests: ${quiet.length} alone, p99 ${own.toFixed(1)} ms; ` +
        `${beside.length} beside ${CLIENTS} uploads, p99 ${slow.toFixed(1)} ms`,
    );
    expect(beside.length).toBeGreaterThan(20);
    // Generous, as the client has a processor's work with its uploads itself. Two workers that waited for
    // uploads would let nearly every request wait for seconds.
    const bound = Math.max(250, 10 * own);
    expect(beside.filter((time) => time > bound).length / beside.length).toBeLessThan(0.2);
    await expectAsBefore(running, before, 15_000, '/');
  }, 90_000);
});
