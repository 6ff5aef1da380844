// A client that sends a small body only after it has seen the response's head, as a dialogue over HTTP does.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { eventually, fixture, type ServerProcess, startServer } from '../support/server-process.ts';

let server: ServerProcess;
const clients: RawClient[] = [];

beforeAll(async () => {
  server = await startServer(fixture('answers-first.mjs'), ['--max-request-workers=2']);
});
afterAll(async () => {
  for (const client of clients) client.close();
  expect(await server.stop()).toBe(0);
});

/** Sends a head and waits for the response's. */
async function asked(fields: string, interim = ''): Promise<RawClient> {
  const client = await RawClient.open(server.port);
  clients.push(client);
  client.send(`POST / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`);
  await client.bytes(`${interim}HTTP/1.1 200 OK\r\n`);
  expect(client.received.toString('latin1')).not.toContain('hello');
  return client;
}

const until = (client: RawClient, text: string): Promise<boolean> =>
  eventually(
    () => client.received.includes(text),
    (come) => come,
  );

it.each([
  ['of a length', 'Content-Length: 11\r\n', ['hello ', 'world']],
  ['in chunks', 'Transfer-Encoding: chunked\r\n', ['6\r\nhello \r\n', '5\r\nworld\r\n0\r\n\r\n']],
])('%s is read by its handler, and the next request is served', async (_, fields, pieces) => {
  const client = await asked(fields);
  client.send(pieces[0] as string);
  await until(client, '\r\n6\r\nhello \r\n');
  client.send(pieces[1] as string);
  await until(client, '5\r\nworld\r\n0\r\n\r\n');
  await client.bytes(client.received.toString('latin1'));
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nnext');
  expect((await client.response()).body.toString()).toBe('next');
});

it('is asked for by one 100 Continue where its client waits for that first', async () => {
  const continues = 'HTTP/1.1 100 Continue\r\n\r\n';
  const client = await asked('Content-Length: 5\r\nExpect: 100-continue\r\n', continues);
  client.send('hello');
  await until(client, '5\r\nhello\r\n0\r\n\r\n');
  expect(client.received.toString('latin1')).not.toContain('100 Continue');
});
