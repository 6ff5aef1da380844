/** What an application does besides its handlers goes on, however many requests there are. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { fixture, type ServerProcess, startServer } from '../support/server-process.ts';

const CLIENTS = 16;
const ROUNDS = 1_500;
const PIPELINED = 4;
let server: ServerProcess;

beforeAll(async () => {
  server = await startServer(fixture('application.mjs'), [
    '--start-servers=1',
    '--min-spare-threads=1',
    '--max-request-workers=1',
  ]);
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

async function progress(): Promise<{ ticks: number; echoes: number }> {
  const client = await RawClient.open(server.port);
  client.send(get('/progress'));
  const { body } = await client.response();
  client.close();
  return JSON.parse(body.toString());
}

it('has its timers and sockets while its only worker is under a full load of short requests', async () => {
  const before = await progress();
  const began = performance.now();
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const client = await RawClient.open(server.port);
      for (let round = 0; round < ROUNDS / PIPELINED; round++) {
        client.send(get('/').repeat(PIPELINED));
        for (let count = 0; count < PIPELINED; count++) await client.response();
      }
      client.close();
    }),
  );
  const took = performance.now() - began;
  const after = await progress();
  // A timer that waited for the load to end would have come once.
  expect(after.ticks - before.ticks).toBeGreaterThan(took / 10 / 4);
  expect(after.echoes - before.echoes).toBeGreaterThan(took / 10);
});
