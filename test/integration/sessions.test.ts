/** Protocols of the application's own, over real sockets: what a client of one sees. */
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import {
  eventually,
  fixture,
  type ServerProcess,
  startServer,
  startSessions,
  statusOf,
} from '../support/server-process.ts';

const ENTRY = fixture('sessions.mjs');
const HELLO = 'hello 127.0.0.1\r\n';
const ONE = ['--start-servers=1', '--max-request-workers=1'];
const TWO = ['--start-servers=2', '--max-request-workers=2'];

let server: ServerProcess | null = null;
const clients: RawClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  const code = await server?.stop();
  server = null;
  expect([0, undefined]).toContain(code);
});

async function start(flags: readonly string[] = TWO, environment: NodeJS.ProcessEnv = {}) {
  server = await startSessions(ENTRY, 'lines', flags, environment);
  return server;
}

/** A client that has been greeted. */
async function greeted(port = server?.port as number): Promise<RawClient> {
  const client = await RawClient.open(port);
  clients.push(client);
  await client.bytes(HELLO);
  return client;
}

/** The next line that comes. */
async function line(client: RawClient, deadlineMs = 10_000): Promise<string> {
  await eventually(
    () => client.received.indexOf('\r\n'),
    (end) => end >= 0,
    deadlineMs,
  );
  const text = client.received.toString('latin1').split('\r\n', 1)[0] as string;
  await client.bytes(`${text}\r\n`);
  return text;
}

async function ask(client: RawClient, command: string): Promise<string> {
  client.send(`${command}\r\n`);
  return line(client);
}

describe('a session', () => {
  it('is greeted before it says anything, and answered line by line', async () => {
    await start();
    const client = await greeted();
    expect(await ask(client, 'echo one')).toBe('one');
    client.send('echo two\r\necho three\r\nquit\r\n');
    await client.bytes('two\r\nthree\r\nbye\r\n');
    await client.ended();
  });

  it('may speak byte by byte: what is not consumed waits for the rest', async () => {
    await start();
    const client = await greeted();
    await client.dribble('echo slowly\r\necho again\r\n');
    await client.bytes('slowly\r\nagain\r\n');
  });

  it('is answered in order however much of it comes at once', async () => {
    await start();
    const client = await greeted();
    const numbers = Array.from({ length: 2_000 }, (_, number) => number);
    client.send(numbers.map((number) => `echo ${number}\r\n`).join(''));
    await client.bytes(numbers.map((number) => `${number}\r\n`).join(''), 20_000);
  });

  it('keeps its data and half a line while its workers are replaced', async () => {
    await start([...ONE, '--max-connections-per-child=1']);
    const client = await greeted();
    const first = await ask(client, 'who');
    expect(await ask(client, 'count')).toBe('1');
    client.send('cou');
    // Its worker has served one more than it may.
    const other = await greeted();
    await eventually(
      () => ask(other, 'who'),
      (worker) => worker !== first,
      30_000,
    );
    client.send('nt\r\n');
    expect(await line(client)).toBe('2');
    expect(await ask(client, 'who')).not.toBe(first);
    expect(await ask(client, 'count')).toBe('3');
  }, 60_000);

  it('begins with zeroed data though the slot had another session', async () => {
    await start([...ONE, '--max-connections=1']);
    for (let turn = 0; turn < 3; turn++) {
      const client = await greeted();
      expect(await ask(client, 'count')).toBe('1');
      expect(await ask(client, 'count')).toBe('2');
      client.send('quit\r\n');
      await client.bytes('bye\r\n');
      await client.ended();
      client.close();
    }
  });

  it('may take its time in a call, while its worker goes on with others', async () => {
    await start(ONE);
    const slow = await greeted();
    const other = await greeted();
    slow.send('slow 300\r\necho behind\r\n');
    await slow.bytes('begun\r\n');
    expect(await ask(other, 'echo meanwhile')).toBe('meanwhile');
    await slow.bytes('done\r\nbehind\r\n');
  });

  it('may block its worker: others are served by the next one', async () => {
    await start();
    const blocking = await greeted();
    const other = await greeted();
    blocking.send('block 700\r\n');
    expect(await ask(other, 'echo meanwhile')).toBe('meanwhile');
    await blocking.bytes('blocked\r\n');
  });

  it('gets a part of a file', async () => {
    await start();
    const client = await greeted();
    client.send('file 3 40\r\necho behind\r\n');
    await client.bytes(`${readFileSync(ENTRY, 'latin1').slice(3, 43)}behind\r\n`);
  });

  it('ends when the application throws, and the error is logged', async () => {
    const { output } = await start();
    const client = await greeted();
    client.send('throw\r\n');
    await client.ended();
    await eventually(output, (text) => /lines receive: Error: thrown by a command/.test(text));
    expect(await ask(await greeted(), 'echo on')).toBe('on');
  });

  it('is over for whoever keeps it: its connection object serves somebody else', async () => {
    await start(ONE);
    expect(await ask(await greeted(), 'keep')).toBe('kept');
    expect(await ask(await greeted(), 'use')).toBe('ERR_MPM_SESSION_OVER');
  });

  it('is told that a line is too long, and may skip it', async () => {
    await start();
    const one = await greeted();
    one.send('x'.repeat(250));
    await one.bytes('too long\r\n');
    await one.ended();
    const two = await greeted();
    two.send('skip'.repeat(60));
    expect(await ask(two, '\r\necho on')).toBe('on');
  });

  it('becomes a socket of its own, with what was read ahead', async () => {
    const { adminPort } = await start();
    const client = await greeted();
    client.send('upgrade\r\nahead');
    await client.bytes('raw upgrade\r\nahead');
    client.send('echoed');
    await client.bytes('echoed');
    client.socket.end();
    await client.ended();
    await eventually(
      async () => (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text(),
      (text) =>
        /^mpm_connections\{state="upgraded"\} 0$/m.test(text) || !/upgraded"\} 1/.test(text),
    );
  });
});

describe('a client that does not read', () => {
  it('keeps no worker from others, and gets all of it later', async () => {
    await start(ONE);
    const client = await greeted();
    client.socket.pause();
    const bytes = 16 << 20;
    client.send(`big ${bytes}\r\necho behind\r\n`);
    const other = await greeted();
    expect(await ask(other, 'echo meanwhile')).toBe('meanwhile');
    client.socket.resume();
    await eventually(
      () => client.received.length,
      (length) => length === bytes + 'behind\r\n'.length,
      30_000,
    );
    expect(client.received.subarray(-8).toString()).toBe('behind\r\n');
  });

  it('gets what was written behind a large part, and nobody else does', async () => {
    await start(ONE);
    const client = await greeted();
    client.socket.pause();
    const bytes = 16 << 20;
    client.send(`mixed ${bytes}\r\n`);
    const other = await greeted();
    expect(await ask(other, 'echo mine')).toBe('mine');
    client.socket.resume();
    await eventually(
      () => client.received.length,
      (length) => length === bytes + 'tail\r\n'.length,
      30_000,
    );
    expect(client.received.subarray(-6).toString()).toBe('tail\r\n');
    expect(other.received.length).toBe(0);
  });

  it('is waited for by a call that asks for it', async () => {
    await start(ONE);
    const client = await greeted();
    client.socket.pause();
    client.send('drip 200\r\n');
    expect(await ask(await greeted(), 'echo meanwhile')).toBe('meanwhile');
    client.socket.resume();
    const bytes = 200 * 64 * 1024;
    await eventually(
      () => client.received.length,
      (length) => length === bytes + 'dripped\r\n'.length,
      30_000,
    );
  });

  it('that takes nothing for too long is given up', async () => {
    await start([...ONE, '--timeout=1s']);
    const client = await greeted();
    client.socket.pause();
    client.send(`big ${32 << 20}\r\n`);
    await eventually(
      () => statusOf(server as ServerProcess),
      (status) => status.get('ConnsTotal') === '0',
      20_000,
    );
  });
});

describe('a session is woken', () => {
  it('by another one, in whichever worker, and told once of several wakes', async () => {
    await start();
    const idle = await greeted();
    const id = await ask(idle, 'id');
    expect(await ask(await greeted(), `wake ${id}`)).toBe('true');
    expect(await line(idle)).toBe('* 0');
  });

  it('not by the id of one that has ended, nor by a wrong one', async () => {
    await start([...ONE, '--max-connections=2']);
    const old = await greeted();
    const id = await ask(old, 'id');
    old.send('quit\r\n');
    await old.bytes('bye\r\n');
    await old.ended();
    old.close();
    const other = await greeted();
    const next = await greeted();
    for (const wrong of [id, '0', '-1', '2147483647']) {
      expect(await ask(other, `wake ${wrong}`)).toBe('false');
    }
    expect(await ask(next, 'echo quiet')).toBe('quiet');
    expect(next.received.length).toBe(0);
  });

  it('by a handler of HTTP on another address', async () => {
    server = await startServer(ENTRY, [...TWO, '--listen', '127.0.0.1:0 lines']);
    const port = Number(/lines:\/\/127\.0\.0\.1:(\d+)/.exec(server.output())?.[1]);
    const idle = await greeted(port);
    const id = await ask(idle, 'id');
    const response = await fetch(`http://127.0.0.1:${server.port}/?id=${id}`);
    expect(await response.text()).toBe('true');
    expect(await line(idle)).toBe('* 0');
  });

  it('for the last letter, however many come while it is called, sends and is let go', async () => {
    await start(['--start-servers=3', '--max-request-workers=3', '--max-connections-per-child=20']);
    const boxes = 8;
    const each = 150;
    const owners: RawClient[] = [];
    for (let box = 0; box < boxes; box++) {
      const owner = await greeted();
      expect(await ask(owner, `own ${box}`)).toBe('ok');
      owners.push(owner);
    }
    const posters = await Promise.all(Array.from({ length: 4 }, () => greeted()));
    const posting = posters.map(async (poster) => {
      for (let turn = 0; turn < each; turn++) {
        for (let box = 0; box < boxes; box++) poster.send(`post ${box}\r\n`);
        await poster.bytes('posted\r\n'.repeat(boxes), 30_000);
      }
    });
    // They have something to say themselves meanwhile.
    const talking = owners.map(async (owner) => {
      for (let turn = 0; turn < 30; turn++) {
        owner.send('echo .\r\n');
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    await Promise.all([...posting, ...talking]);
    for (const owner of owners) {
      await eventually(
        () => owner.received.toString('latin1'),
        (text) =>
          text.endsWith('\r\n') &&
          text.includes(`* ${posters.length * each}\r\n`) &&
          text.split('\r\n').filter((said) => said === '.').length === 30,
        20_000,
      );
    }
  }, 60_000);
});

describe('last words', () => {
  it('are said to a client that is idle for too long, by its own time', async () => {
    await start(ONE, { IDLE_TIMEOUT: '1' });
    const short = await greeted();
    const long = await greeted();
    expect(await ask(long, 'idle 60')).toBe('60');
    await short.bytes('bye: idle\r\n');
    await short.ended();
    expect(await ask(long, 'echo here')).toBe('here');
  });

  it('are said to one that does not complete its line', async () => {
    await start(ONE, { IDLE_TIMEOUT: '1' });
    const client = await greeted();
    const began = performance.now();
    const ended = client.ended(10_000);
    const dribble = setInterval(() => client.send('x'), 200);
    try {
      await ended;
    } finally {
      clearInterval(dribble);
    }
    expect(client.received.toString()).toBe('bye: idle\r\n');
    expect(performance.now() - began).toBeLessThan(8_000);
  });

  it('are said to all when the server stops, whatever they are at', async () => {
    await start();
    const idle = await greeted();
    const half = await greeted();
    half.send('echo ha');
    const busy = await greeted();
    busy.send('slow 500\r\n');
    await busy.bytes('begun\r\n');
    const stopped = server?.stop();
    await idle.bytes('bye: stopping\r\n');
    await half.bytes('bye: stopping\r\n');
    await busy.bytes('done\r\nbye: stopping\r\n');
    for (const client of [idle, half, busy]) {
      await client.ended();
      client.close();
    }
    expect(await stopped).toBe(0);
  });
});

describe('beside HTTP', () => {
  it('a session waits for the PROXY header, and is its client’s from the greeting on', async () => {
    await start([...ONE, '--proxy-protocol=loopback']);
    const client = await RawClient.open(server?.port as number);
    clients.push(client);
    client.send('PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\necho hi\r\n');
    await client.bytes('hello 192.0.2.7\r\nhi\r\n');
    const wrong = await RawClient.open(server?.port as number);
    clients.push(wrong);
    wrong.send('echo hi\r\n');
    expect((await wrong.ended()).length).toBe(0);
  });

  it('idle sessions make room for new clients', async () => {
    await start([...ONE, '--max-connections=2']);
    const first = await greeted();
    expect(await ask(first, 'echo 1')).toBe('1');
    const second = await greeted();
    expect(await ask(second, 'echo 2')).toBe('2');
    const third = await RawClient.open(server?.port as number);
    clients.push(third);
    await third.bytes(HELLO, 15_000);
    await first.ended();
  });

  it('an echo of ten lines is a protocol', async () => {
    server = await startSessions(ENTRY, 'echo');
    const client = await RawClient.open(server.port);
    clients.push(client);
    client.send('as it comes');
    await client.bytes('as it comes');
  });

  it.each([
    ['nothing', /listen names the protocol nothing, and .*sessions\.mjs has lines, echo, broken/],
    ['broken', /protocols\.broken\.receive has to be a function/],
    ['toString', /listen names the protocol tostring/],
  ])('a protocol %s is an error at the start', async (name, message) => {
    await expect(startSessions(ENTRY, name)).rejects.toThrow(message);
  });
});
