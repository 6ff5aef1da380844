/** Clients that take a response, or send a request, more slowly than the server could. */
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import {
  eventually,
  fixture,
  type ServerProcess,
  startServer,
  statusOf,
} from '../support/server-process.ts';
import { type SlowBody, SlowReader } from '../support/slow-reader.ts';

const MB = 1024 * 1024;
const SEED = 20_260_105;
/** More than the kernel takes in for a client that does not read: the server is left with the rest. */
const BODY = { name: 'body.bin', bytes: 6 * MB };
/** Takes a client that reads at some MB a second several times as long as `timeout`. */
const LONG_BODY = { name: 'long.bin', bytes: 24 * MB };
/** Once with MPM_SLOW_DOWNLOADS=200 by hand. */
const DOWNLOADS = Number(process.env.MPM_SLOW_DOWNLOADS ?? 20);
const KINDS = ['file', 'bytes', 'stream'] as const;
type Kind = (typeof KINDS)[number];

let folder: string;
const expected = new Map<string, SlowBody>();
let server: ServerProcess | null = null;
const clients: { close(): void }[] = [];

/** Marsaglia's xorshift: the same bytes each time, and no page like another. */
function seeded(length: number, seed: number): Buffer {
  const words = new Uint32Array(length / 4);
  let x = seed;
  for (let index = 0; index < words.length; index++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[index] = x;
  }
  return Buffer.from(words.buffer);
}
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hybrid-mpm-slow-'));
  for (const { name, bytes } of [BODY, LONG_BODY]) {
    const body = seeded(bytes, SEED);
    await writeFile(join(folder, name), body);
    expected.set(name, { status: 200, bytes, sha256: sha256(body) });
  }
  await writeFile(join(folder, 'light.txt'), 'light\n');
  process.env.TEST_BODY_FOLDER = folder;
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await server?.stop('SIGKILL');
  server = null;
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Files come from the folder itself, everything else from the application. */
const start = async (kind: Kind, ...flags: string[]): Promise<ServerProcess> => {
  server = await startServer(kind === 'file' ? folder : fixture('slow-clients.mjs'), flags);
  return server;
};
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const pathOf = (kind: Kind, { name }: { name: string }): string =>
  kind === 'file' ? `/${name}` : `/${kind}/${name}`;

async function openSlow(
  { port }: ServerProcess,
  kind: Kind,
  count: number,
  body = BODY,
): Promise<SlowReader[]> {
  const readers = await Promise.all(
    Array.from({ length: count }, () => SlowReader.open(port, get(pathOf(kind, body)))),
  );
  clients.push(...readers);
  return readers;
}
const openRaw = async ({ port }: ServerProcess): Promise<RawClient> => {
  const client = await RawClient.open(port);
  clients.push(client);
  return client;
};
const ask = async (running: ServerProcess, path: string): Promise<string> => {
  const client = await openRaw(running);
  client.send(get(path));
  const { body } = await client.response();
  client.close();
  return body.toString();
};
/** Light requests over a few connections; all that came back, each kind once. */
async function lightAnswers(running: ServerProcess): Promise<Set<string>> {
  const answers = new Set<string>();
  for (let connection = 0; connection < 4; connection++) {
    const client = await openRaw(running);
    for (let request = 0; request < 5; request++) {
      client.send(get('/light.txt'));
      answers.add((await client.response()).body.toString());
    }
    client.close();
  }
  return answers;
}

/** Waits until a figure of the server has stopped growing, and returns it. */
async function stillFigure(running: ServerProcess, key: string): Promise<number> {
  let last = -1;
  const look = async () => {
    const before = last;
    await new Promise((resolve) => setTimeout(resolve, 150));
    last = Number((await statusOf(running)).get(key));
    return { before, last };
  };
  return (await eventually(look, ({ before, last: now }) => before === now)).last;
}
/** Waits until the server has sent what it can and still has a rest for each of `count` clients. */
async function stalled(running: ServerProcess, count: number): Promise<void> {
  await eventually(
    async () => (await statusOf(running)).get('ConnsAsyncWriting'),
    (writing) => writing === String(count),
  );
  await stillFigure(running, 'Total kBytes');
  expect((await statusOf(running)).get('ConnsAsyncWriting')).toBe(String(count));
}

const descriptors = ({ process: { pid } }: ServerProcess): number =>
  readdirSync(`/proc/${pid}/fd`).length;

async function expectWhole(readers: readonly SlowReader[], { name } = BODY): Promise<void> {
  const bodies = await Promise.all(readers.map((reader) => reader.response()));
  for (const body of bodies) expect(body, `seed ${SEED}`).toEqual(expected.get(name));
}

describe('sixty clients that have stopped reading', () => {
  it.each([
    { what: 'a file', kinds: ['file'], workers: 1 },
    { what: 'bytes', kinds: ['bytes'], workers: 1 },
    { what: 'a stream', kinds: ['stream'], workers: 1 },
    { what: 'bytes and streams', kinds: ['bytes', 'stream'], workers: 2 },
  ] as const)('keep no worker from others, and get every byte later: $what, $workers at work', async ({
    kinds,
    workers,
  }) => {
    const flags = [`--start-servers=${workers}`, `--max-request-workers=${workers}`];
    const running = await start(kinds[0], ...flags);
    expect(await lightAnswers(running)).toEqual(new Set(['light\n']));
    await eventually(
      async () => (await statusOf(running)).get('ConnsTotal'),
      (open) => open === '0',
    );
    const before = descriptors(running);
    const readers: SlowReader[] = [];
    for (const kind of kinds) readers.push(...(await openSlow(running, kind, 60 / kinds.length)));
    await stalled(running, 60);
    expect((await statusOf(running)).get('BusyWorkers')).toBe('0');
    expect(await lightAnswers(running)).toEqual(new Set(['light\n']));
    await expectWhole(readers);
    for (const reader of readers) reader.close();
    await eventually(
      () => descriptors(running),
      (now) => now <= before,
    );
  });
});

describe('a slow client', () => {
  it.each(
    KINDS,
  )('that reads steadily gets everything, one that stops is closed after timeout: %s', async (kind) => {
    const running = await start(kind, '--timeout=2s');
    const [steady, stopped] = await openSlow(running, kind, 2, LONG_BODY);
    const body = await steady?.response(20_000, {
      stepBytes: MB,
      pause: () => new Promise((resolve) => setTimeout(resolve, 200)),
    });
    expect(body, `seed ${SEED}`).toEqual(expected.get(LONG_BODY.name));
    steady?.close();
    await eventually(
      async () => (await statusOf(running)).get('ConnsTotal'),
      (open) => open === '0',
    );
    await expect(stopped?.response()).rejects.toThrow();
  });

  it.each(KINDS)('gets everything although it has shut its write side: %s', async (kind) => {
    const running = await start(kind);
    const readers = await openSlow(running, kind, 1);
    readers[0]?.socket.end();
    await stalled(running, 1);
    await expectWhole(readers);
  });

  it.each(KINDS)('gets the answers to the requests behind it: %s', async (kind) => {
    const running = await start(kind);
    const path = pathOf(kind, BODY);
    const reader = await SlowReader.open(running.port, get(path) + get('/light.txt') + get(path));
    clients.push(reader);
    await stalled(running, 1);
    await expectWhole([reader]);
    const light = Buffer.from('light\n');
    expect(await reader.response()).toEqual({ status: 200, bytes: 6, sha256: sha256(light) });
    await expectWhole([reader]);
    reader.socket.write(get('/light.txt'));
    expect((await reader.response()).sha256).toBe(sha256(light));
  });
});

describe('the producer of a stream', () => {
  const producerOf = async (
    running: ServerProcess,
  ): Promise<{ pulled: number; cancelled: number }> => JSON.parse(await ask(running, '/producer'));
  const one = ['--start-servers=1', '--max-request-workers=1'];

  it('is asked for no more than its client takes', async () => {
    const running = await start('stream', ...one);
    const reader = await SlowReader.open(running.port, get('/endless'));
    clients.push(reader);
    await stalled(running, 1);
    const { pulled } = await producerOf(running);
    expect(pulled).toBeGreaterThan(0);
    // The kernel's buffers for both ends of a connection, and a few pieces.
    expect(pulled).toBeLessThan(16 * MB);
    await stillFigure(running, 'Total kBytes');
    expect(await producerOf(running)).toEqual({ pulled, cancelled: 0 });
  });

  it.each([
    'stopped reading',
    'reads',
  ])('is cancelled at once when its client hangs up, which %s', async (how) => {
    const running = await start('stream', ...one);
    const reader = await SlowReader.open(running.port, get('/endless'));
    clients.push(reader);
    if (how === 'reads') {
      reader.socket.resume();
      await eventually(
        () => reader.socket.bytesRead,
        (bytes) => bytes > 32 * MB,
      );
    } else await stalled(running, 1);
    expect((await producerOf(running)).cancelled).toBe(0);
    reader.close();
    // Long before `timeout`, which is a minute here.
    const { pulled } = await eventually(
      () => producerOf(running),
      ({ cancelled }) => cancelled === 1,
      5_000,
    );
    expect(await lightAnswers(running)).toEqual(new Set(['light\n']));
    expect(await producerOf(running)).toEqual({ pulled, cancelled: 1 });
  });
});

describe('downloads that have only begun', () => {
  it.each(KINDS)('are completed after SIGTERM: %s', async (kind) => {
    const running = await start(kind, '--start-servers=2', '--max-request-workers=2');
    const readers = await openSlow(running, kind, DOWNLOADS);
    await stalled(running, DOWNLOADS);
    const exit = running.stop('SIGTERM');
    await running.prints('SIGTERM');
    await expectWhole(readers);
    for (const reader of readers) reader.close();
    expect(await exit).toBe(0);
  });

  it.each(KINDS)('are completed while the children that began them retire: %s', async (kind) => {
    const running = await start(
      kind,
      '--start-servers=2',
      '--max-request-workers=2',
      '--max-requests-per-child=5',
    );
    const readers = await openSlow(running, kind, DOWNLOADS);
    await stalled(running, DOWNLOADS);
    await eventually(
      async () => {
        expect(await lightAnswers(running)).toEqual(new Set(['light\n']));
        return Number((await statusOf(running)).get('MpmChildStarts'));
      },
      (starts) => starts > 2,
    );
    await expectWhole(readers);
    for (const reader of readers) reader.close();
    await eventually(
      async () => {
        expect(await lightAnswers(running)).toEqual(new Set(['light\n']));
        return Number((await statusOf(running)).get('MpmChildExitsMaxRequests'));
      },
      (exits) => exits >= 2,
    );
  });
});

describe('a large upload', () => {
  it('waits in the client while its handler does not read, and delays nobody', async () => {
    const running = await start('bytes', '--start-servers=1', '--max-request-workers=1');
    const body = seeded(32 * MB, SEED);
    const half = 16 * MB;
    const client = await openRaw(running);
    client.send(`POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`);
    client.send(body.subarray(0, half));
    await eventually(
      async () => (await statusOf(running)).get('ConnsTotal'),
      (open) => open === '1',
    );
    expect(await lightAnswers(running)).toEqual(new Set(['light\n']));
    expect(await stillFigure(running, 'MpmReceivedBytes')).toBeLessThan(MB);
    expect(client.socket.writableLength).toBeGreaterThan(0);

    expect(await ask(running, '/release')).toBe('released\n');
    for (let at = half; at < body.length; at += MB) {
      await new Promise<void>((resolve) => {
        client.socket.write(body.subarray(at, at + MB), () => resolve());
      });
      expect(await ask(running, '/light.txt')).toBe('light\n');
    }
    const answer = JSON.parse((await client.response()).body.toString());
    expect(answer, `seed ${SEED}`).toEqual({ bytes: body.length, sha256: sha256(body) });
  });
});
