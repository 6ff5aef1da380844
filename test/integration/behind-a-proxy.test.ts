/** Who the client is to handlers, log and status page, behind a proxy that is trusted or not. */
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
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
