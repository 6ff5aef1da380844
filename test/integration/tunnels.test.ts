/** Tunnels through the reverse proxy: the listener carries them, whatever becomes of their workers. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { EchoClient } from '../support/echo-client.ts';
import { RawClient } from '../support/raw-client.ts';
import {
  eventually,
  fixture,
  type ServerProcess,
  startServer,
  statusOf,
} from '../support/server-process.ts';
import { openTunnel, type TunnelEnd, TunnelUpstream } from '../support/tunnel-ends.ts';

const DEADLINE_MS = 15_000;
const TWO = ['--start-servers=2', '--max-request-workers=2', '--min-spare-threads=1'];
const LARGE_BYTES = 24_000_000;

let server: ServerProcess | null = null;
const open: { close(): unknown }[] = [];
const kept = <T extends { close(): unknown }>(thing: T): T => {
  open.push(thing);
  return thing;
};
afterEach(async () => {
  await server?.stop('SIGKILL');
  server = null;
  for (const thing of open.splice(0)) await thing.close();
});

const upstreamOf = async (echoes = false): Promise<TunnelUpstream> => {
  const upstream = kept(await TunnelUpstream.listen());
  upstream.echoes = echoes;
  return upstream;
};
const serve = async (...flags: string[]): Promise<ServerProcess> => {
  server = await startServer(fixture('tunnels.mjs'), [...TWO, ...flags]);
  return server;
};
const route = ({ url }: TunnelUpstream, options = ''): string => `--proxy=/t=${url} ${options}`;
const tunnelOf = async ({ port }: ServerProcess, more = ''): Promise<TunnelEnd> =>
  kept(await openTunnel(port, '/t', more));
/** Both ends of a new tunnel. */
async function endsOf(running: ServerProcess, upstream: TunnelUpstream, more = '') {
  const near = await tunnelOf(running, more);
  return { near, far: kept(await upstream.next()) };
}
async function ask({ port }: ServerProcess, path: string): Promise<number> {
  const client = kept(await RawClient.open(port));
  client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
  const { status } = await client.response('GET', DEADLINE_MS);
  client.close();
  return status;
}
const numberOf = async (running: ServerProcess, key: string): Promise<number> =>
  Number((await statusOf(running)).get(key));
const tunnels = (running: ServerProcess) => numberOf(running, 'MpmConnectionsTunnel');
const none = (running: ServerProcess) =>
  eventually(
    () => numberOf(running, 'ConnsTotal'),
    (count) => count === 0,
  );
const descriptors = ({ process: { pid } }: ServerProcess) => readdirSync(`/proc/${pid}/fd`).length;
/** Bytes that repeat themselves nowhere near; `seed` is in the test. */
const bytesOf = (seed: number, length: number): Buffer =>
  Buffer.from(
    new Uint32Array(length / 4).map((_, at) => Math.imul(at + seed, 2_654_435_761)).buffer,
  );
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe('what goes through a tunnel', () => {
  it('is what either side said, also before the other had agreed, and no worker has it', async () => {
    const upstream = await upstreamOf();
    upstream.greeting = 'greeting;';
    const running = await serve(route(upstream));
    const { near, far } = await endsOf(running, upstream, 'early;');
    await far.has('early;');
    await near.has('greeting;');
    expect(await tunnels(running)).toBe(1);
    expect(await numberOf(running, 'MpmConnectionsUpgraded')).toBe(0);
    expect(await numberOf(running, 'BusyWorkers')).toBe(0);
    for (let turn = 0; turn < 50; turn++) {
      far.send(`${turn};`);
      near.send(`${turn};`);
    }
    const said = Array.from({ length: 50 }, (_, turn) => `${turn};`).join('');
    await near.has(`greeting;${said}`);
    await far.has(`early;${said}`);
  });

  it('is exact both ways at once, and one way where the other is not taken', async () => {
    const upstream = await upstreamOf();
    const running = await serve(route(upstream));
    const { near, far } = await endsOf(running, upstream);
    const [there, back] = [bytesOf(1, LARGE_BYTES), bytesOf(2, LARGE_BYTES)];
    far.socket.pause();
    near.send(there);
    far.send(back);
    await near.until('all', () => near.bytes >= LARGE_BYTES);
    expect(near.sha256).toBe(sha256(back));
    expect(far.bytes).toBe(0);
    far.socket.resume();
    await far.until('all', () => far.bytes >= LARGE_BYTES);
    expect(far.sha256).toBe(sha256(there));
    // Now neither waits.
    near.send(there);
    far.send(back);
    await near.until('all', () => near.bytes >= 2 * LARGE_BYTES);
    await far.until('all', () => far.bytes >= 2 * LARGE_BYTES);
    expect(near.sha256).toBe(sha256(Buffer.concat([back, back])));
    expect(far.sha256).toBe(sha256(Buffer.concat([there, there])));
    const { sent, received } = await traffic(running);
    expect(sent).toBeGreaterThanOrEqual(2 * LARGE_BYTES);
    expect(received).toBeGreaterThanOrEqual(2 * LARGE_BYTES);
  });

  it('is what the upstream said behind its 101, be it more than a socket takes', async () => {
    const upstream = await upstreamOf();
    upstream.greeting = bytesOf(3, LARGE_BYTES).toString('latin1');
    const running = await serve(route(upstream));
    const near = await tunnelOf(running);
    near.socket.pause();
    const far = kept(await upstream.next());
    near.send('meanwhile');
    // The upstream's bytes are UTF-8 by now.
    const all = Buffer.from(upstream.greeting);
    near.socket.resume();
    await near.until('all', () => near.bytes >= all.length);
    expect(near.sha256).toBe(sha256(all));
    await far.has('meanwhile');
    await eventually(
      () => tunnels(running),
      (count) => count === 1,
    );
  });

  it('goes on one way when the other has ended', async () => {
    const upstream = await upstreamOf();
    const running = await serve(route(upstream));
    for (const first of ['near', 'far'] as const) {
      const ends = await endsOf(running, upstream);
      const one = ends[first];
      const other = first === 'near' ? ends.far : ends.near;
      one.socket.end('the last');
      await other.until('end', () => other.ended);
      expect(other.text).toBe('the last');
      for (const piece of ['more, ', 'and more']) {
        other.send(piece);
        await one.until('piece', () => one.text.endsWith(piece));
      }
      expect(one.ended).toBe(false);
      other.socket.end();
      await one.until('close', () => one.closed);
      expect(one.text).toBe('more, and more');
      expect([one.error, other.error]).toEqual([null, null]);
    }
    await none(running);
  });
});

async function traffic({ adminPort }: ServerProcess) {
  const url = `http://127.0.0.1:${adminPort}/server-status?json&limit=100`;
  const page = await fetch(url, { signal: AbortSignal.timeout(DEADLINE_MS) });
  const { connectionList } = (await page.json()) as {
    connectionList: { rows: { state: string; sentBytes: number; receivedBytes: number }[] };
  };
  const row = connectionList.rows.find(({ state }) => state === 'tunnel');
  return { sent: row?.sentBytes ?? -1, received: row?.receivedBytes ?? -1 };
}

describe('a tunnel ends', () => {
  it('when nothing was said for idleTimeoutMs, and not while one side speaks', async () => {
    const upstream = await upstreamOf();
    const running = await serve(route(upstream, 'idleTimeoutMs=1500'));
    const silent = await endsOf(running, upstream);
    const spoken = await endsOf(running, upstream);
    let said = '';
    while (!silent.near.closed && !silent.near.ended) {
      said += 'x';
      spoken.far.send('x');
      await spoken.near.has(said);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await silent.far.over();
    expect(await tunnels(running)).toBe(1);
    expect(await numberOf(running, 'MpmConnectionsClosedTunnelTimeout')).toBe(1);
    spoken.near.send('still there');
    await spoken.far.has('still there');
  });

  it.each([
    'near',
    'far',
  ] as const)('when its %s side is reset, for the other one too', async (which) => {
    const upstream = await upstreamOf();
    const running = await serve(route(upstream));
    for (const halfClosed of [false, true]) {
      const ends = await endsOf(running, upstream);
      const one = ends[which];
      const other = which === 'near' ? ends.far : ends.near;
      one.send('before');
      await other.has('before');
      if (halfClosed) {
        one.socket.end();
        await other.until('end', () => other.ended);
        // Something that the side which is reset has not read.
        one.socket.pause();
        other.send('unread');
      }
      one.socket.resetAndDestroy();
      await other.over();
      other.socket.end();
      await none(running);
    }
  });
});

describe('a tunnel lives', () => {
  it('while every worker computes', async () => {
    const upstream = await upstreamOf(true);
    const running = await serve(route(upstream));
    const near = await tunnelOf(running);
    await near.echo('first');
    await eventually(
      () => numberOf(running, 'IdleWorkers'),
      (idle) => idle === 2,
    );
    let burnt = 0;
    const burning = [1, 2].map(async () => {
      expect(await ask(running, '/burn')).toBe(200);
      burnt++;
    });
    await eventually(
      () => numberOf(running, 'BusyWorkers'),
      (busy) => busy === 2,
    );
    for (let turn = 0; turn < 20; turn++) await near.echo(`turn ${turn};`);
    expect(burnt).toBe(0);
    await Promise.all(burning);
  });

  it('through the retirement and the death of its worker, and what it was counted for with it', async () => {
    const upstream = await upstreamOf(true);
    const running = await serve(route(upstream, 'maxRequests=1 queueTimeoutMs=300'));
    const near = await tunnelOf(running);
    await near.echo('first');
    running.process.kill('SIGUSR2');
    await eventually(
      () => numberOf(running, 'MpmChildExitsRestart'),
      (restarted) => restarted >= 2,
    );
    await near.echo('after a restart');
    for (const died of [1, 2]) {
      expect(await ask(running, '/exit')).toBe(502);
      await eventually(
        () => numberOf(running, 'MpmChildExitsExited'),
        (count) => count === died,
      );
      await near.echo(`after death ${died}`);
    }
    expect(await tunnels(running)).toBe(1);
    // It has the only place.
    await expect(openTunnel(running.port, '/t')).rejects.toThrow('HTTP/1.1 503');
    near.close();
    await none(running);
    const next = await tunnelOf(running);
    await next.echo('in its place');
    expect(upstream.asked).toBe(2);
  });

  it('beside others that never cease, and keeps nobody waiting', async () => {
    const upstream = await upstreamOf();
    const running = await serve(route(upstream));
    const busy = await Promise.all([1, 2].map(() => endsOf(running, upstream)));
    const block = Buffer.alloc(1 << 18, 'x');
    let over = false;
    // What comes is not kept, as there is no end of it.
    let moved = 0;
    for (const end of busy.flatMap(({ near, far }) => [near, far])) {
      end.socket.removeAllListeners('data').on('data', (data: Buffer) => {
        moved += data.length;
      });
      const feed = (): void => {
        if (!over) end.socket.write(block, feed);
      };
      feed();
    }
    const { near, far } = await endsOf(running, upstream);
    far.socket.pipe(far.socket);
    for (let turn = 0; turn < 20 || moved < 10_000_000; turn++) {
      await near.echo(`turn ${turn};`, 2_000);
      expect(await ask(running, '/')).toBe(200);
    }
    over = true;
  });
});

describe('nothing is left of tunnels', () => {
  it('but the descriptors there were before', async () => {
    const upstream = await upstreamOf();
    const running = await serve(route(upstream));
    const round = async (): Promise<void> => {
      const ends = await Promise.all(Array.from({ length: 40 }, () => endsOf(running, upstream)));
      for (const [number, { near, far }] of ends.entries()) {
        near.send(`${number}`);
        far.send(`${number}`);
      }
      await Promise.all(
        ends.flatMap(({ near, far }) => [
          near.until('bytes', () => near.bytes > 0),
          far.until('bytes', () => far.bytes > 0),
        ]),
      );
      for (const [number, { near, far }] of ends.entries()) {
        // Full of what nobody takes.
        if (number % 5 === 0) {
          near.socket.pause();
          far.send(Buffer.alloc(8_000_000));
        }
        const first = number % 2 === 0 ? near : far;
        if (number % 4 < 2) first.socket.resetAndDestroy();
        else first.socket.destroy();
      }
      for (const { near, far } of ends) {
        near.close();
        far.close();
      }
      await none(running);
      expect(await numberOf(running, 'MpmConnectionsUpgraded')).toBe(0);
    };
    await round();
    const before = descriptors(running);
    await round();
    await eventually(
      () => descriptors(running),
      (now) => now <= before,
    );
  });

  it('and each has its line in the access log, with what its client was sent', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tunnels-'));
    kept({ close: () => rm(folder, { recursive: true }) });
    const log = join(folder, 'access.log');
    const upstream = await upstreamOf();
    upstream.greeting = '123';
    const running = await serve(route(upstream), `--access-log=${log}`);
    const { near, far } = await endsOf(running, upstream);
    far.send('4567');
    await near.has('1234567');
    far.socket.end();
    near.socket.end();
    await none(running);
    const lines = await eventually(
      () => readFileSync(log, 'latin1').split('\n').slice(0, -1),
      (seen) => seen.length > 0,
    );
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('"GET /t HTTP/1.1" 101 7 ');
  });
});

describe('a tunnel whose log line has no room in its slot', () => {
  it('stays with its worker, and is a tunnel all the same', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tunnels-'));
    kept({ close: () => rm(folder, { recursive: true }) });
    const log = join(folder, 'access.log');
    const upstream = await upstreamOf();
    upstream.greeting = 'greeting;';
    const running = await serve(route(upstream, 'maxRequests=1'), `--access-log=${log}`);
    const path = `/t?${'x'.repeat(1_100)}`;
    for (let turn = 0; turn < 2; turn++) {
      const near = kept(await openTunnel(running.port, path, 'early;'));
      const far = kept(await upstream.next());
      expect(await numberOf(running, 'MpmConnectionsUpgraded')).toBe(1);
      expect(await tunnels(running)).toBe(0);
      near.send('more');
      far.send('more');
      await near.has('greeting;more');
      await far.has('early;more');
      near.socket.end();
      await far.until('end', () => far.ended);
      far.socket.end();
      await near.until('close', () => near.closed);
      await none(running);
    }
    const lines = await eventually(
      () => readFileSync(log, 'latin1').split('\n').slice(0, -1),
      (seen) => seen.length === 2,
    );
    for (const line of lines) expect(line).toContain(`${path} HTTP/1.1" 101 13 `);
  });
});

describe('a graceful stop', () => {
  it('tells WebSockets that are quiet, and does not wait for others beyond three quarters of its time', async () => {
    const http = createServer();
    const sockets = new WebSocketServer({ server: http });
    const ends: number[] = [];
    sockets.on('connection', (socket) => {
      socket.on('message', (data) => socket.send(data.toString()));
      socket.on('close', (code) => ends.push(code));
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    kept({ close: () => http.close() });
    const { port } = http.address() as AddressInfo;
    const upstream = await upstreamOf();
    const running = await serve(
      route(upstream),
      `--proxy=/ws=http://127.0.0.1:${port}`,
      '--graceful-shutdown-timeout=4',
    );
    const client = new EchoClient(`ws://127.0.0.1:${running.port}/ws`);
    await client.echo('before');
    client.stay();
    const { near, far } = await endsOf(running, upstream);
    const stopped = running.stop();
    await eventually(
      () => [client.ends, ends],
      ([here, there]) => here?.length === 1 && there?.length === 1,
    );
    expect([client.ends, ends]).toEqual([[1001], [1001]]);
    expect(client.errors).toEqual([]);
    // The other one goes on.
    near.send('still there');
    await far.has('still there');
    await Promise.all([near.over(), far.over()]);
    expect(await stopped).toBe(0);
  });
});
