/**
 * What the public tests of node:http's server hold true, as facts: each handler is run here and by
 * node:http, and what goes over the wire is the same.
 */
import http, { type RequestListener } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { fixture, type ServerProcess, startServer } from '../support/server-process.ts';

const DEADLINE_MS = 10_000;
const { default: handler, paths } = (await import(fixture('node-facts.mjs'))) as {
  default: RequestListener;
  paths: readonly string[];
};

let server: ServerProcess;
const real = http.createServer(handler);
let realPort = 0;
beforeAll(async () => {
  server = await startServer(fixture('node-facts.mjs'));
  await new Promise<void>((resolve) => real.listen(0, '127.0.0.1', resolve));
  realPort = (real.address() as { port: number }).port;
});
afterAll(async () => {
  real.closeAllConnections();
  real.close();
  expect(await server.stop()).toBe(0);
});

/** Everything the server sends until it closes. */
function exchange(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    const chunks: Buffer[] = [];
    socket.setTimeout(DEADLINE_MS, () => socket.destroy(new Error('no end')));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
    socket.write(request);
  });
}

/** Without what differs by intent: the moment, the hint for keep-alive, and how chunks are cut. */
function comparable(message: string): string {
  const end = message.indexOf('\r\n\r\n') + 4;
  const head = message.slice(0, end).replace(/^(?:Date|Keep-Alive): .*\r\n/gim, '');
  if (!/^transfer-encoding: chunked/im.test(head)) return head + message.slice(end);
  const body = message.slice(end).replace(/(?:^|\r\n)[0-9a-f]+\r\n/g, '');
  return head + body;
}

const closing = (line: string, fields = '', body = ''): string =>
  `${line}\r\nHost: facts.test\r\nConnection: close\r\n${fields}\r\n${body}`;

async function same(request: string): Promise<string> {
  const [ours, theirs] = await Promise.all([
    exchange(server.port, request),
    exchange(realPort, request),
  ]);
  expect(comparable(ours)).toBe(comparable(theirs));
  expect(/^Date: /im.test(ours)).toBe(/^Date: /im.test(theirs));
  return ours;
}

describe.each(['GET', 'HEAD'])('%s', (method) => {
  it.each(paths.filter((path) => path !== '/duplicates'))('%s', async (path) => {
    expect(await same(closing(`${method} ${path} HTTP/1.1`))).toMatch(/^HTTP\/1\.1 /);
  });

  it.each([
    '/',
    '/no-date',
    '/empty-writes',
    '/no-content',
    '/flush',
  ])('%s on HTTP/1.0', async (path) => {
    await same(`${method} ${path} HTTP/1.0\r\n\r\n`);
  });
});

it('joins, keeps apart and drops duplicate fields', async () => {
  const fields = [
    'X-List: 1',
    'x-list: 2',
    'Cookie: a=1',
    'Cookie: b=2',
    'Set-Cookie: c=3',
    'Set-Cookie: d=4',
    'Content-Type: text/plain',
    'Content-Type: text/html',
    'User-Agent: one',
    'User-Agent: two',
    'Accept: a/b',
    'Accept: c/d',
    '__proto__: x',
    'Empty:',
    'Latin: \u00e9',
  ];
  const answer = await same(
    closing('GET /duplicates HTTP/1.1', fields.map((field) => `${field}\r\n`).join('')),
  );
  expect(answer).toContain('"x-list":"1, 2"');
  expect(answer).toContain('"cookie":"a=1; b=2"');
});

it.each([
  ['whole', 'Content-Length: 5\r\n', 'hello'],
  ['in chunks', 'Transfer-Encoding: chunked\r\n', '2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n'],
  ['large', 'Content-Length: 200000\r\n', 'x'.repeat(200_000)],
  ['empty', 'Content-Length: 0\r\n', ''],
])('gives a body to its reader: %s', async (_name, fields, body) => {
  const answer = await same(closing('POST /read HTTP/1.1', fields, body));
  expect(answer.endsWith('["end","close"],true,true]\n')).toBe(true);
});

describe('trailers', () => {
  const trailing = (chunks: string, trailers: string): string =>
    closing(
      'POST /trailers HTTP/1.1',
      'X: head\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n',
      `${chunks}0\r\n${trailers}\r\n`,
    );
  const SOME =
    'X-Sum:  abc \r\nx: tail\r\nSet-Cookie: a\r\nset-cookie: b\r\nX-Sum: d\r\nEmpty:\r\n';

  it.each([
    ['none', '5\r\nhello\r\n', ''],
    ['some', '5\r\nhello\r\n', SOME],
    ['behind no chunk', '', SOME],
    ['latin1', '', 'Latin: \u00e9\u00a0\r\n__proto__: x\r\n'],
    ['behind a body that is streamed', `30d40\r\n${'x'.repeat(200_000)}\r\n`, SOME],
    ['behind a chunk that fills the buffer', `3f00\r\n${'x'.repeat(0x3f00)}\r\n`, SOME],
  ])('are the same: %s', async (_, chunks, trailers) => {
    const answer = await same(trailing(chunks, trailers));
    expect(answer.includes('["X-Sum","abc","x","tail"')).toBe(trailers === SOME);
  });

  it('are the same where they come byte by byte, behind a body of any way', async () => {
    for (const chunks of ['', '5\r\nhello\r\n', `7530\r\n${'x'.repeat(30_000)}\r\n`]) {
      const request = trailing(chunks, SOME);
      const expected = await exchange(realPort, request);
      const client = await RawClient.open(server.port);
      const cut = request.lastIndexOf('0\r\nX-Sum');
      client.send(Buffer.from(request.slice(0, cut), 'latin1'));
      await client.dribble(request.slice(cut));
      const answer = (await client.ended(DEADLINE_MS)).toString('latin1');
      expect(comparable(answer)).toBe(comparable(expected));
      client.close();
    }
  });

  it('that mean nothing behind the content are dropped', async () => {
    const answer = await exchange(
      server.port,
      trailing('', 'Content-Length: 9\r\nHost: b\r\nAuthorization: c\r\nX-Sum: d\r\n'),
    );
    expect(answer).toContain('[0,"head",{"x-sum":"d"},["X-Sum","d"],{"x-sum":["d"]}]');
  });

  it.each([
    [400, 'no colon\r\n'],
    [431, `X: ${'y'.repeat(4_096)}\r\n`],
    [431, 'a:\r\n'.repeat(101)],
  ])('are refused with %i where no head might have them', async (status, trailers) => {
    const answer = await exchange(server.port, trailing('5\r\nhello\r\n', trailers));
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  });

  it('do not reach the next request of the connection', async () => {
    const client = await RawClient.open(server.port);
    const chunked = (trailers: string) =>
      `POST /trailers HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n${trailers}\r\n`;
    client.send(`${chunked('A: 1\r\n')}${chunked('')}POST /trailers HTTP/1.1\r\nHost: a\r\n\r\n`);
    const bodies: unknown[] = [];
    for (let count = 0; count < 3; count++)
      bodies.push(JSON.parse(String((await client.response()).body)));
    expect(bodies.map((body) => (body as unknown[])[2])).toEqual([{ a: '1' }, {}, {}]);
    client.close();
  });
});

it('answers although the body is not read', async () => {
  const answer = await same(
    closing('POST /ignored-body HTTP/1.1', 'Content-Length: 5\r\n', 'hello'),
  );
  expect(answer.endsWith('not read')).toBe(true);
});
