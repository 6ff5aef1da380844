/** Lengthy requests: where they run, what they leave alone, and when they end. */
import { readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import {
  eventually,
  fixture,
  type ServerProcess,
  startServer,
  statusOf,
} from '../support/server-process.ts';

let server: ServerProcess | null = null;
afterEach(async () => {
  await server?.stop('SIGKILL');
  server = null;
});

const start = async (...flags: string[]): Promise<ServerProcess> => {
  server = await startServer(fixture('lengthy.mjs'), [
    '--start-servers=1',
    '--max-request-workers=2',
    '--lengthy-workers=1',
    ...flags,
  ]);
  return server;
};
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

interface Answer {
  readonly status: number;
  readonly lengthy: boolean;
  readonly thread: number;
  readonly nice: number;
  readonly body?: number;
  readonly aborts?: number;
  readonly cleanUps?: number;
}

async function answerOn(client: RawClient): Promise<Answer> {
  const { status, body } = await client.response('GET', 15_000);
  const text = body.toString('latin1');
  return { status, ...(text.startsWith('{') ? JSON.parse(text) : {}) };
}

/** One request on a connection of its own. */
async function ask(running: ServerProcess, request: string): Promise<Answer> {
  const client = await RawClient.open(running.port);
  client.send(request);
  const answer = await answerOn(client);
  client.close();
  return answer;
}

/** The state of the pool, once it is so. */
const until = (running: ServerProcess, wanted: Readonly<Record<string, string>>) =>
  eventually(
    () => statusOf(running),
    (now) => Object.entries(wanted).every(([key, value]) => now.get(key) === value),
  );

describe('a declared route', () => {
  it('runs in a lengthy worker, which gives way, and the next request in another', async () => {
    // While a handler's code is cold it looks long.
    const running = await start('--lengthy-nice=7', '--long-handler-nice=0');
    // Without such a request there is no such worker.
    const before = await statusOf(running);
    expect(before.get('MpmLengthyWorkersBusy')).toBe('0');
    expect(before.get('MpmLengthyWorkersIdle')).toBe('0');
    const client = await RawClient.open(running.port);
    client.send(get('/'));
    const light = await answerOn(client);
    client.send(get('/report/spin'));
    const first = await answerOn(client);
    client.send(get('/exact'));
    const second = await answerOn(client);
    client.send(get('/'));
    const after = await answerOn(client);
    client.close();
    expect([light, first, second, after].map(({ lengthy }) => lengthy)).toEqual([
      false,
      true,
      true,
      false,
    ]);
    expect(second.thread).toBe(first.thread);
    expect(after.thread).not.toBe(first.thread);
    expect(first.nice).toBe(light.nice + 7);
    expect(after.nice).toBe(light.nice);
    await until(running, { MpmLengthyWorkersIdle: '1', MpmLengthyWorkersBusy: '0' });
  });

  it('keeps the order of pipelined requests, each in its own pool', async () => {
    const running = await start();
    const client = await RawClient.open(running.port);
    client.send(get('/') + get('/report/spin') + get('/decides') + get('/') + get('/exact'));
    const answers: Answer[] = [];
    for (let count = 0; count < 5; count++) answers.push(await answerOn(client));
    expect(answers.map(({ lengthy }) => lengthy)).toEqual([false, true, true, false, true]);
    client.close();
  });

  it.each([
    ['with a length', `Content-Length: 5\r\n\r\nhello`, 5],
    ['in chunks', `Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n`, 5],
    ['in no chunk', `Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 0],
    ['larger than the buffer', `Content-Length: 200000\r\n\r\n${'x'.repeat(200_000)}`, 200_000],
  ])('has its body %s, and what is pipelined behind it', async (_, rest, length) => {
    const running = await start();
    const client = await RawClient.open(running.port);
    client.send(`POST /report/body HTTP/1.1\r\nHost: a\r\n${rest}${get('/')}`);
    expect(await answerOn(client)).toMatchObject({ status: 200, lengthy: true, body: length });
    expect(await answerOn(client)).toMatchObject({ status: 200, lengthy: false });
    client.close();
  });

  it('has nothing of a next request that has begun behind it and ends while it runs', async () => {
    const running = await start();
    const client = await RawClient.open(running.port);
    const next = get('/');
    client.send(get('/report/spin?ms=400') + next.slice(0, 10));
    await until(running, { MpmLengthyWorkersBusy: '1' });
    client.send(next.slice(10));
    expect(await answerOn(client)).toMatchObject({ status: 200, lengthy: true });
    expect(await answerOn(client)).toMatchObject({ status: 200, lengthy: false });
    client.close();
  });

  it('is answered 411 with a chunked body that is larger than the buffer', async () => {
    const running = await start();
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    const head = 'POST /report/body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
    expect((await ask(running, head + chunk)).status).toBe(411);
  });

  it('has the deadline of its route', async () => {
    const running = await start();
    expect((await ask(running, get('/report/bounded?ms=20000'))).status).toBe(504);
    expect((await ask(running, get('/report/spin'))).lengthy).toBe(true);
  });

  it('is answered 502 where its worker dies, and another serves the next', async () => {
    const running = await start();
    expect((await ask(running, get('/report/exit'))).status).toBe(502);
    expect((await ask(running, get('/report/spin'))).lengthy).toBe(true);
    await until(running, { MpmChildExitsExited: '1', ConnsTotal: '0', MpmBuffersUsed: '0' });
  });

  it('runs in an ordinary worker where there is no pool', async () => {
    const running = await start('--lengthy-workers=0');
    expect((await ask(running, get('/report/spin'))).lengthy).toBe(false);
    expect((await ask(running, get('/decides'))).lengthy).toBe(false);
  });
});

describe('a handler that decides', () => {
  it('is called again in a lengthy worker, with the same request', async () => {
    const running = await start();
    const post = 'POST /decides HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello';
    expect(await ask(running, post)).toMatchObject({ status: 200, lengthy: true, body: 5 });
    expect(await ask(running, get('/decides-later'))).toMatchObject({ status: 200, lengthy: true });
    // Its `finally` ran where it was left.
    expect(await ask(running, get('/clean-ups'))).toMatchObject({ cleanUps: 1, lengthy: false });
  });

  it('is told where it is too late, and answered 500 where the function throws', async () => {
    const running = await start();
    const length = 300_000;
    const post = `POST /too-late HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`;
    expect(await ask(running, post + 'x'.repeat(length))).toMatchObject({
      code: 'ERR_MPM_TOO_LATE',
    });
    expect((await ask(running, get('/throws'))).status).toBe(500);
  });

  it('may be a (req, res) handler', async () => {
    server = await startServer(fixture('lengthy-node.mjs'), ['--lengthy-workers=1']);
    const light = await ask(server, get('/'));
    expect(light.lengthy).toBe(false);
    const decided = await ask(server, get('/decides'));
    expect(decided.lengthy).toBe(true);
    expect(decided.thread).not.toBe(light.thread);
  });

  it('has the trailers of its request, and what is pipelined behind it', async () => {
    server = await startServer(fixture('lengthy-node.mjs'), ['--lengthy-workers=1']);
    const client = await RawClient.open(server.port);
    const head = 'POST /trailers HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
    const body = '2;x\r\nhe\r\n3\r\nllo\r\n0\r\nA: 1\r\nB: 2\r\n\r\n';
    client.send(head + body + get('/'));
    const first = JSON.parse(String((await client.response()).body));
    expect(first).toMatchObject({ lengthy: true, trailers: { a: '1', b: '2' } });
    const second = JSON.parse(String((await client.response()).body));
    expect(second).toMatchObject({ lengthy: false, trailers: {} });
    client.close();
  });
});

describe('a full pool', () => {
  it('answers 503 beyond its queue, and light requests go on', async () => {
    const running = await start('--lengthy-queue-limit=1');
    const [runs, waits, refused] = await Promise.all(
      [0, 1, 2].map(() => RawClient.open(running.port)),
    );
    runs?.send(get('/report/spin?ms=1500'));
    await until(running, { MpmLengthyWorkersBusy: '1', MpmLengthyQueueLength: '0' });
    waits?.send(get('/report/spin'));
    await until(running, { MpmLengthyQueueLength: '1' });
    refused?.send(get('/report/spin'));
    const response = await refused?.response();
    expect(response?.status).toBe(503);
    expect(response?.headers.get('retry-after')).toMatch(/^\d+$/);
    // Its connection stays.
    refused?.send(get('/'));
    expect((await refused?.response())?.status).toBe(200);
    expect((await runs?.response())?.status).toBe(200);
    expect((await waits?.response())?.status).toBe(200);
    for (const client of [runs, waits, refused]) client?.close();
  });

  it('answers 503 to what has waited for too long', async () => {
    const running = await start('--lengthy-queue-timeout=500ms');
    // The first may have waited for its worker to start.
    await eventually(
      () => ask(running, get('/report/spin')),
      ({ status }) => status === 200,
    );
    const runs = await RawClient.open(running.port);
    runs.send(get('/report/spin?ms=4000'));
    await until(running, { MpmLengthyWorkersBusy: '1', MpmLengthyQueueLength: '0' });
    expect((await ask(running, get('/report/spin'))).status).toBe(503);
    expect((await runs.response()).status).toBe(200);
    runs.close();
  });
});

describe('a client that leaves', () => {
  const gone = { ConnsTotal: '0', MpmLengthyQueueLength: '0', MpmBuffersUsed: '0' };

  it('takes its request out of the queue, and ends the worker that computes for it', async () => {
    const running = await start();
    const descriptors = () => readdirSync(`/proc/${running.process.pid}/fd`).length;
    await leaveTwice(running, 1);
    const before = descriptors();
    await leaveTwice(running, 2);
    await eventually(descriptors, (count) => count <= before);
    expect(running.output()).not.toContain('died');
  });

  /** One client leaves the queue, another the worker that computes for it; then one is served. */
  async function leaveTwice(running: ServerProcess, round: number): Promise<void> {
    const runs = await RawClient.open(running.port);
    runs.send(get('/report/spin?ms=60000'));
    await until(running, { MpmLengthyWorkersBusy: '1', MpmLengthyQueueLength: '0' });
    const waits = await RawClient.open(running.port);
    waits.send(get('/report/spin'));
    await until(running, { MpmLengthyQueueLength: '1' });
    waits.close();
    await until(running, { MpmLengthyQueueLength: '0', ConnsTotal: '1' });
    runs.close();
    await until(running, {
      ...gone,
      MpmChildExitsClientLeft: String(round),
      MpmAbortedRequests: String(2 * round),
    });
    expect((await ask(running, get('/report/spin'))).lengthy).toBe(true);
    await until(running, { ...gone, MpmLengthyWorkersIdle: '1' });
  }

  it('aborts a handler that waits, whose worker goes on', async () => {
    const running = await start();
    const client = await RawClient.open(running.port);
    client.send(get('/report/wait'));
    await until(running, { MpmLengthyWorkersBusy: '1', MpmLengthyQueueLength: '0' });
    client.close();
    await until(running, { ...gone, MpmLengthyWorkersIdle: '1' });
    expect(await ask(running, get('/report/aborts'))).toMatchObject({ aborts: 1, lengthy: true });
    expect((await statusOf(running)).get('MpmChildExitsClientLeft')).toBe('0');
  });

  it('may shut its side and wait, where lengthyCancel is off or it did so with its request', async () => {
    const running = await start('--lengthy-cancel=off');
    const client = await RawClient.open(running.port);
    client.send(get('/report/spin?ms=500'));
    await until(running, { MpmLengthyWorkersBusy: '1', MpmLengthyQueueLength: '0' });
    client.socket.end();
    expect((await client.response()).status).toBe(200);
    client.close();
  });
});

describe('a running server', () => {
  it('replaces lengthy workers with the others, and stops when the last is done', async () => {
    const running = await start();
    const first = await ask(running, get('/report/spin'));
    running.process.kill('SIGUSR2');
    await until(running, { ParentServerMPMGeneration: '1' });
    const threads = async () => (await ask(running, get('/report/spin'))).thread;
    await eventually(threads, (thread) => thread !== first.thread);
    const client = await RawClient.open(running.port);
    client.send(get('/report/spin?ms=1000'));
    await until(running, { MpmLengthyWorkersBusy: '1', MpmLengthyQueueLength: '0' });
    const ended = running.stop('SIGTERM');
    expect((await client.response()).status).toBe(200);
    client.close();
    expect(await ended).toBe(0);
  });
});

/** Nice values of all threads of a server (proc(5), field 19; the name before it may hold blanks). */
function nicesOf({ process: { pid } }: ServerProcess): number[] {
  const stats = readdirSync(`/proc/${pid}/task`).map((task) =>
    readFileSync(`/proc/${pid}/task/${task}/stat`, 'latin1').replace(/^.*\) /s, ''),
  );
  return stats.map((stat) => Number(stat.split(' ')[16]));
}

describe('a handler that is known to be long', () => {
  it('gives way while it runs, and its worker is as urgent as before for the next', async () => {
    const running = await start(
      '--lengthy-workers=0',
      '--max-request-workers=1',
      '--long-handler-nice=4',
    );
    for (let known = 0; known < 5; known++) await ask(running, get('/report/spin?ms=5'));
    const answer = ask(running, get('/report/spin?ms=300'));
    // The server has its own from this process. Others than root may have no way back, so nothing is added.
    const given = getPriority() + (process.getuid?.() === 0 ? 4 : 0);
    await eventually(
      () => nicesOf(running),
      (nices) => nices.includes(given),
    );
    expect((await answer).nice).toBe(given);
    expect(new Set(nicesOf(running))).toEqual(new Set([getPriority()]));
  });
});
