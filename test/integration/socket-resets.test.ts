/** Clients that reset their connection, or shut their side of it, at any stage of a request. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { eventually, fixture, type ServerProcess, startServer } from '../support/server-process.ts';
import { atRest, documentOf, expectAsBefore, type Held } from '../support/stillness.ts';

const CLIENTS = 20;
const WORKERS = ['--start-servers=2', '--max-request-workers=2', '--min-spare-threads=2'];
/** Handlers that wait, and streams, that only one worker knows of. */
const ONE = ['--start-servers=1', '--max-request-workers=1', '--min-spare-threads=1'];

let server: ServerProcess;
let before: Held;
const clients: RawClient[] = [];
/** One server for all: what a test left behind would be found by the next. */
const serves = (workers: readonly string[]): void => {
  beforeAll(async () => {
    server = await startServer(fixture('socket-faults.mjs'), workers);
    before = await atRest(server);
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });
  afterAll(async () => {
    await server.stop('SIGKILL');
  });
};

const get = (path: string, fields = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
const post = (fields: string, body = ''): string =>
  `POST /count HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${body}`;

async function openAll(): Promise<RawClient[]> {
  const opened = await Promise.all(
    Array.from({ length: CLIENTS }, () => RawClient.open(server.port)),
  );
  clients.push(...opened);
  return opened;
}

type States = Awaited<ReturnType<typeof documentOf>>['connections']['byState'];

interface Stage {
  readonly name: string;
  readonly text: string;
  /** Awaited of each client before it resets: something has come back. */
  readonly answered?: boolean;
  /** States in which the connections are together when the reset comes; none: any. */
  readonly states?: readonly (keyof States)[];
}

const STAGES: readonly Stage[] = [
  { name: 'after connect', text: '', states: ['waitRequest'] },
  { name: 'in the request line', text: 'GET /li', states: ['readRequest'] },
  { name: 'in the head', text: 'GET /light HTTP/1.1\r\nHos', states: ['readRequest'] },
  { name: 'behind the head', text: post('Content-Length: 100'), states: ['readRequest'] },
  { name: 'in a small body', text: post('Content-Length: 100', 'abc'), states: ['readRequest'] },
  {
    name: 'behind the head of a large body',
    text: post('Content-Length: 1000000'),
    states: ['processing', 'suspended'],
  },
  {
    name: 'in a large body',
    text: post('Content-Length: 1000000', 'x'.repeat(70_000)),
    states: ['processing', 'suspended'],
  },
  {
    name: 'in a chunk size',
    text: post('Transfer-Encoding: chunked', '5'),
    states: ['readRequest'],
  },
  {
    name: 'in a chunk',
    text: post('Transfer-Encoding: chunked', '5\r\nhe'),
    states: ['readRequest'],
  },
  {
    name: 'in a trailer',
    text: post('Transfer-Encoding: chunked', '0\r\nX: '),
    states: ['readRequest'],
  },
  {
    name: 'in a large chunk',
    text: post('Transfer-Encoding: chunked', `fffff\r\n${'x'.repeat(70_000)}`),
    states: ['processing', 'suspended'],
  },
  { name: 'while the handler waits', text: get('/wait'), states: ['processing', 'suspended'] },
  { name: 'while handlers compute', text: get('/burn?ms=20') },
  { name: 'in the middle of a response', text: get('/large'), answered: true },
  { name: 'before anything of a response was read', text: get('/large') },
  { name: 'in the middle of a stream', text: get('/endless'), answered: true },
  { name: 'between two requests', text: get('/light'), answered: true, states: ['keepalive'] },
  { name: 'behind many requests at once', text: get('/light').repeat(100) },
  { name: 'behind many large ones', text: get('/large').repeat(10), answered: true },
  {
    name: 'in a lingering close',
    text: `${get('/light', 'Connection: close\r\nContent-Length: 900000\r\n')}abc`,
    answered: true,
    states: ['lingerNormal', 'lingerShort'],
  },
  { name: 'behind a refusal', text: `BAD\r\n\r\n${'x'.repeat(100_000)}`, answered: true },
  {
    name: 'behind a body that is not read',
    text: `${get('/light', 'Content-Length: 900000\r\n')}abc`,
  },
];

describe('a reset', () => {
  serves(WORKERS);

  it.each(STAGES)('$name costs nobody anything', async ({ text, answered, states }) => {
    const opened = await openAll();
    for (const client of opened) if (text !== '') client.send(Buffer.from(text, 'latin1'));
    if (answered) {
      await eventually(
        () => opened.filter(({ received }) => received.length > 0).length,
        (count) => count === CLIENTS,
      );
      // As much as the socket holds is in the client, which reads no further.
      for (const { socket } of opened) socket.pause();
    }
    if (states !== undefined) {
      await eventually(
        async () => (await documentOf(server)).connections.byState,
        (byState) => states.reduce((sum, state) => sum + byState[state], 0) === CLIENTS,
      );
    }
    for (const { socket } of opened) socket.resetAndDestroy();
    await expectAsBefore(server, before);
    // No worker died of it, and nobody was told of an error.
    expect(server.output()).not.toMatch(/error|died|assert/i);
  });
});

describe('a reset, with one worker', () => {
  serves(ONE);

  it('tells handlers that wait, and cancels streams', async () => {
    const opened = await openAll();
    for (const [index, client] of opened.entries())
      client.send(get(index % 2 ? '/wait' : '/endless'));
    const outcomes = async () =>
      (await (await fetch(`http://127.0.0.1:${server.port}/outcomes`)).json()) as object;
    const half = CLIENTS / 2;
    await eventually(outcomes, (now) => {
      const { waiting, endless } = now as Record<string, number>;
      return waiting === half && endless === half;
    });
    for (const { socket } of opened) socket.resetAndDestroy();
    await eventually(outcomes, (now) => {
      const { aborted, cancelled } = now as Record<string, number>;
      return aborted === half && cancelled === half;
    });
  });
});

describe('a client that shuts its side', () => {
  serves(WORKERS);

  it.each([
    ['behind a request', get('/light'), [200]],
    ['behind three', get('/light').repeat(3), [200, 200, 200]],
    ['behind a request with a body', post('Content-Length: 3', 'abc'), [200]],
    ['behind chunks', post('Transfer-Encoding: chunked', '3\r\nabc\r\n0\r\n\r\n'), [200]],
    ['behind a request and half of one', `${get('/light')}GET /li`, [200]],
  ] as const)('%s gets every answer, then the end', async (_, text, statuses) => {
    const opened = await openAll();
    await Promise.all(
      opened.map(async (client) => {
        client.socket.end(text);
        const seen: number[] = [];
        for (const _status of statuses) seen.push((await client.response()).status);
        expect(seen).toEqual(statuses);
        const rest = (await client.ended()).toString('latin1');
        expect(rest).toMatch(/^(?:HTTP\/1\.1 400 |$)/);
        client.close();
      }),
    );
    await expectAsBefore(server, before);
  });

  it.each([
    ['at once', ''],
    ['in a head', 'GET /light HTTP/1.1\r\nHos'],
    ['in a body', post('Content-Length: 100', 'abc')],
    ['in a chunk', post('Transfer-Encoding: chunked', '5\r\nhe')],
    ['in a large body', post('Content-Length: 1000000', 'x'.repeat(70_000))],
  ])('%s is not served, and its connection ends', async (_, text) => {
    const opened = await openAll();
    await Promise.all(
      opened.map(async (client) => {
        client.socket.end(text);
        expect((await client.ended()).toString('latin1')).not.toMatch(/^HTTP\/1\.1 2/);
        client.close();
      }),
    );
    await expectAsBefore(server, before);
  });
});
