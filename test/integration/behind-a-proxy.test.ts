/** Who the client is to handlers, log and status page, behind a proxy that is trusted or not. */
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { fixture, type ServerProcess, startServer } from '../support/server-process.ts';

let server: ServerProcess | null = null;
afterEach(async () => {
  await server?.stop('SIGKILL');
  server = null;
});

const start = async (name: string, ...flags: string[]): Promise<ServerProcess> => {
  server = await startServer(fixture(name), ['--start-servers=1', ...flags]);
  return server;
};
const ask = (...fields: string[]) =>
  `GET /x HTTP/1.1\r\nHost: inner:8080\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
async function answer(client: RawClient, ...fields: string[]): Promise<Record<string, unknown>> {
  client.send(ask(...fields));
  return JSON.parse((await client.response()).body.toString());
}

const TOLD = [
  'X-Forwarded-For: 8.8.8.8, 192.0.2.7:4711',
  'X-Forwarded-Proto: https',
  'X-Forwarded-Host: www.example.org',
];

it('is whom a trusted proxy names, for each request of a connection', async () => {
  const { port } = await start('client.mjs', '--trust-proxy=loopback');
  const client = await RawClient.open(port);
  expect(await answer(client, ...TOLD)).toEqual({
    remoteAddress: '192.0.2.7',
    remotePort: 4711,
    url: 'https://www.example.org/x',
  });
  expect(await answer(client, 'X-Forwarded-For: 2001:db8::7')).toEqual({
    remoteAddress: '2001:db8::7',
    remotePort: 0,
    url: 'http://inner:8080/x',
  });
  // The proxy's own, which names nobody.
  expect(await answer(client)).toEqual({
    remoteAddress: '127.0.0.1',
    remotePort: client.socket.localPort,
    url: 'http://inner:8080/x',
  });
  // Not the fields that it writes.
  expect((await answer(client, 'Forwarded: for=192.0.2.9')).remoteAddress).toBe('127.0.0.1');
});

it.each([
  ['nobody is trusted', []],
  ['somebody else is', ['--trust-proxy=10.0.0.0/8, private']],
  ['it writes other fields', ['--trust-proxy=loopback', '--trust-proxy-header=forwarded']],
])('is the peer where %s', async (_, flags) => {
  const { port } = await start('client.mjs', ...flags);
  const client = await RawClient.open(port);
  expect(await answer(client, ...TOLD)).toEqual({
    remoteAddress: '127.0.0.1',
    remotePort: client.socket.localPort,
    url: 'http://inner:8080/x',
  });
});

it('is whom Forwarded names', async () => {
  const { port } = await start(
    'client.mjs',
    '--trust-proxy=loopback',
    '--trust-proxy-header=forwarded',
  );
  const client = await RawClient.open(port);
  const told = 'Forwarded: for="[2001:db8::7]:80";proto=https;host="a.example:443"';
  expect(await answer(client, told)).toEqual({
    remoteAddress: '2001:db8::7',
    remotePort: 80,
    url: 'https://a.example/x',
  });
});

it('is so on the socket of a (req, res) handler and of an upgrade', async () => {
  const { port } = await start('client-node.mjs', '--trust-proxy=loopback');
  const client = await RawClient.open(port);
  const told = { remoteAddress: '192.0.2.7', remotePort: 4711, remoteFamily: 'IPv4' };
  expect(await answer(client, ...TOLD)).toEqual({ ...told, encrypted: true });
  client.send(ask(...TOLD, 'Connection: Upgrade', 'Upgrade: x'));
  expect((await client.response()).status).toBe(101);
  expect(JSON.parse((await client.ended()).toString())).toMatchObject(told);
});

it('is in the access log and on the status page', async () => {
  const log = join(tmpdir(), `mpm-proxy-${process.pid}.log`);
  const running = await start('client.mjs', '--trust-proxy=loopback', `--access-log=${log}`);
  const client = await RawClient.open(running.port);
  await answer(client, ...TOLD);
  const page = await fetch(`http://127.0.0.1:${running.adminPort}/server-status`);
  expect(await page.text()).toContain('192.0.2.7');
  client.send('GET bad HTTP/1.1\r\n\r\n');
  expect((await client.response()).status).toBe(400);
  client.close();
  await running.stop();
  const [first, second] = readFileSync(log, 'latin1').split('\n');
  expect(first).toMatch(/^192\.0\.2\.7 .* 200 /);
  // Nobody was named for it.
  expect(second).toMatch(/^127\.0\.0\.1 .* 400 /);
  rmSync(log);
});

describe('the PROXY protocol', () => {
  const LINE = 'PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n';
  const BINARY = Buffer.concat([
    Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
    Buffer.from([0x21, 0x11, 0, 12, 192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0, 80]),
  ]).toString('latin1');
  const LOCAL = `${BINARY.slice(0, 12)}\x20\0\0\0`;
  const client = async (text: string, running: ServerProcess) => {
    const made = await RawClient.open(running.port);
    made.send(Buffer.from(text, 'latin1'));
    return made;
  };
  const said = async (made: RawClient) => JSON.parse((await made.response()).body.toString());

  it.each([
    ['version 1', LINE],
    ['version 2', BINARY],
  ])('names the peer of a connection: %s', async (_, header) => {
    const running = await start('client.mjs', '--proxy-protocol=loopback');
    const named = { remoteAddress: '192.0.2.7', remotePort: 4711, url: 'http://inner:8080/x' };
    const whole = await client(`${header}${ask()}${ask()}`, running);
    expect(await said(whole)).toEqual(named);
    expect(await said(whole)).toEqual(named);
    expect(await answer(whole)).toEqual(named);
    const dribbled = await RawClient.open(running.port);
    await dribbled.dribble(`${header}${ask()}`);
    expect(await said(dribbled)).toEqual(named);
    const alone = await RawClient.open(running.port);
    await alone.dribble(header);
    expect(await answer(alone)).toEqual(named);
  });

  it.each([
    ['UNKNOWN', 'PROXY UNKNOWN\r\n'],
    ['LOCAL', LOCAL],
  ])('leaves the proxy itself the peer: %s', async (_, header) => {
    const running = await start('client.mjs', '--proxy-protocol=loopback');
    const checked = await client(`${header}${ask()}`, running);
    expect((await said(checked)).remoteAddress).toBe('127.0.0.1');
  });

  it.each([
    ['none', ask()],
    ['a malformed one', `PROXY TCP4 1.1.1.1\r\n${ask()}`],
    ['two', `${LINE}${LINE}${ask()}`],
  ])('has a connection end that begins with %s', async (name, text) => {
    const running = await start('client.mjs', '--proxy-protocol=loopback');
    const wrong = await client(text, running);
    const rest = (await wrong.ended()).toString();
    // Behind the header it is HTTP, where another is a bad request.
    if (name === 'two') expect(rest).toMatch(/^HTTP\/1\.1 400 /);
    else expect(rest).toBe('');
    const metrics = await fetch(`http://127.0.0.1:${running.adminPort}/server-status?auto`);
    const errors = /MpmProxyHeaderErrors: (\d)/.exec(await metrics.text())?.[1];
    expect(errors).toBe(name === 'two' ? '0' : '1');
  });

  it('is not spoken with others', async () => {
    const running = await start('client.mjs', '--proxy-protocol=10.0.0.0/8');
    expect((await said(await client(ask(), running))).remoteAddress).toBe('127.0.0.1');
    const wrong = await client(`${LINE}${ask()}`, running);
    expect((await wrong.response()).status).toBe(400);
  });

  it('comes before what its proxy says in fields', async () => {
    const flags = ['--proxy-protocol=loopback', '--trust-proxy=192.0.2.7'];
    const running = await start('client.mjs', ...flags);
    const text = `${LINE}${ask('X-Forwarded-For: 203.0.113.9')}`;
    expect((await said(await client(text, running))).remoteAddress).toBe('203.0.113.9');
  });
});
