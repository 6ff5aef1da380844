/** What a free worker that polls for itself must not do to others. */
import { afterEach, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { fixture, type ServerProcess, startServer } from '../support/server-process.ts';

const ROUNDS = 12;
const BURN_MS = 400;

let server: ServerProcess | null = null;
afterEach(async () => {
  await server?.stop('SIGKILL');
  server = null;
});

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

it('a request that comes together with one that nobody knew to be long does not wait for it', async () => {
  server = await startServer(fixture('app.mjs'), ['--start-servers=2', '--max-request-workers=2']);
  const clients = await Promise.all(
    Array.from({ length: 4 }, () => RawClient.open((server as ServerProcess).port)),
  );
  for (const client of clients) {
    client.send(get('/'));
    await client.response();
  }
  for (let round = 0; round < ROUNDS; round++) {
    // A quiet while, after which the listener no longer looks at the leader; not a wait for anything.
    await new Promise((resolve) => setTimeout(resolve, 60));
    const order: string[] = [];
    // A path of its own: its route is not known to be long.
    const paths = [`/burn/${round}?ms=${BURN_MS}`, '/', '/', '/'];
    await Promise.all(
      clients.map(async (client, index) => {
        client.send(get(paths[index] as string));
        const { status } = await client.response();
        order.push(`${paths[index]} ${status}`);
      }),
    );
    expect(order.at(-1)).toBe(`${paths[0]} 200`);
  }
  for (const client of clients) client.close();
});

it('promises of short handlers do not wait for one that is known to take long', async () => {
  server = await startServer(fixture('app.mjs'), ['--start-servers=1', '--max-request-workers=1']);
  const { port } = server;
  const [first, last, ...others] = await Promise.all(
    Array.from({ length: 5 }, () => RawClient.open(port)),
  );
  const long = get('/burn?ms=150');
  for (let known = 0; known < 5; known++) {
    first?.send(long);
    await first?.response();
  }
  let kept = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const order: string[] = [];
    const ask = async (client: RawClient | undefined, request: string, name: string) => {
      client?.send(request);
      const response = await client?.response();
      order.push(`${name} ${response?.status}`);
    };
    // While the first one keeps the only worker, the others come, and are found together.
    await Promise.all([
      ask(first, long, 'first'),
      ...others.map((client) => ask(client, get('/length'), 'promise')),
      ask(last, long, 'last'),
    ]);
    expect(order.toSorted()).toEqual(['first 200', 'last 200', ...others.map(() => 'promise 200')]);
    if (order.at(-1) === 'last 200') kept++;
  }
  // Two threads may have polled, and the last one come before others; but seldom.
  expect(kept).toBeGreaterThan(ROUNDS * 0.6);
});
