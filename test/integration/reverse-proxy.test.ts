/** The reverse proxy, between real sockets: what reaches an upstream, and what comes back of it. */

import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { loadCases } from '../conformance/cases/load.ts';
import { EchoClient } from '../support/echo-client.ts';
import { findNginx, startNginx } from '../support/nginx-process.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Answer, RecordingUpstream } from '../support/recording-upstream.ts';
import {
  eventually,
  fixture,
  type ServerProcess,
  startServer,
  statusOf,
} from '../support/server-process.ts';
import { SlowReader } from '../support/slow-reader.ts';

const DEADLINE_MS = 15_000;
const WORKERS = ['--start-servers=1', '--max-request-workers=1', '--min-spare-threads=1'];

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

const upstreamOf = async (answer?: Answer): Promise<RecordingUpstream> =>
  kept(await RecordingUpstream.listen(answer));
const serve = async (...flags: string[]): Promise<ServerProcess> => {
  server = await startServer(fixture('proxy.mjs'), flags);
  return server;
};
const clientOf = async ({ port }: ServerProcess): Promise<RawClient> =>
  kept(await RawClient.open(port));
const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
const ok = (text: string, more = ''): string =>
  `HTTP/1.1 200 OK\r\n${more}Content-Length: ${text.length}\r\n\r\n${text}`;

async function ask(running: ServerProcess, request: string, method = 'GET') {
  const client = await clientOf(running);
  client.send(request);
  const response = await client.response(method, DEADLINE_MS);
  client.close();
  return response;
}

describe('what an upstream gets', () => {
  it('is the head made anew: no field of the hop before, one host, who the client is', async () => {
    const upstream = await upstreamOf();
    const running = await serve(...WORKERS, `--proxy=/api=${upstream.url}`);
    const more =
      'X-Own: 1\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 2\r\nKeep-Alive: 5\r\nTE: trailers\r\n' +
      'Proxy-Authorization: x\r\nVia: 1.0 other\r\nX-Forwarded-For: 192.0.2.1\r\nForwarded: for=x\r\n';
    const response = await ask(running, get('/api/x?y=%2F', more));
    expect(response.body.toString()).toBe('GET /api/x?y=%2F\n');
    expect(upstream.faults).toEqual([]);
    expect(upstream.requests[0]?.fields).toEqual([
      ['host', 'a'],
      ['x-own', '1'],
      ['via', '1.0 other, 1.1 hybrid-mpm'],
      ['x-forwarded-for', '127.0.0.1'],
      ['x-forwarded-proto', 'http'],
      ['x-forwarded-host', 'a'],
    ]);
  });

  it('appends to what a trusted proxy says of the client', async () => {
    const upstream = await upstreamOf();
    const running = await serve(
      ...WORKERS,
      '--trust-proxy=loopback',
      `--proxy=/=${upstream.url}/v1 host=upstream`,
    );
    const more =
      'X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: example.org\r\n';
    await ask(running, get('/x', more));
    const fields = new Map(upstream.requests[0]?.fields);
    expect(upstream.requests[0]?.target).toBe('/v1/x');
    expect(fields.get('host')).toBe(`127.0.0.1:${upstream.port}`);
    expect(fields.get('x-forwarded-for')).toBe('192.0.2.1, 127.0.0.1');
    expect(fields.get('x-forwarded-proto')).toBe('https');
    expect(fields.get('x-forwarded-host')).toBe('example.org');
  });

  it.each([
    ['/api/../secret', 400],
    ['/api/%2e%2e/secret', 400],
    ['/api/x%2f..%5csecret', 400],
    ['/apix', 200],
  ])('is nothing for %s', async (path, status) => {
    const upstream = await upstreamOf();
    const running = await serve(...WORKERS, `--proxy=/api=${upstream.url}`);
    const response = await ask(running, get(path));
    expect(response.status).toBe(status);
    if (status === 200) expect(response.body.toString()).toBe('own\n');
    expect(upstream.connections).toBe(0);
  });

  it('is a body of either framing, framed anew, on one connection', async () => {
    const upstream = await upstreamOf(({ body }) => ok(String(body.length)));
    const running = await serve(...WORKERS, `--proxy=/=${upstream.url}`);
    const client = await clientOf(running);
    const bytes = 1_000_000;
    for (const size of [0, 5, bytes]) {
      client.send(`POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
      client.send(Buffer.alloc(size, 'x'));
      expect((await client.response('POST', DEADLINE_MS)).body.toString()).toBe(String(size));
      const chunk = Buffer.concat([
        Buffer.from(`${size.toString(16)};ext=1\r\n`),
        Buffer.alloc(size, 'x'),
        Buffer.from('\r\n0\r\nTrailer: x\r\n\r\n'),
      ]);
      client.send('POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
      client.send(size === 0 ? '0\r\n\r\n' : chunk);
      expect((await client.response('POST', DEADLINE_MS)).body.toString()).toBe(String(size));
    }
    expect(upstream.faults).toEqual([]);
    expect(upstream.connections).toBe(1);
  });

  it('is a connection only when a slow upload has something to send', async () => {
    const upstream = await upstreamOf(({ body }) => ok(String(body.length)));
    const running = await serve(...WORKERS, `--proxy=/=${upstream.url}`);
    const slow = await clientOf(running);
    slow.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n');
    slow.send('x'.repeat(500));
    // The worker has taken in what came, since it serves the next one.
    expect((await ask(running, get('/other'))).status).toBe(200);
    expect(upstream.connections).toBe(1);
    slow.send('x'.repeat(500));
    expect((await slow.response('POST', DEADLINE_MS)).body.toString()).toBe('1000');
  });
});

const CASES = [
  'request-line.md',
  'target.md',
  'fields.md',
  'host.md',
  'content-length.md',
  'transfer-encoding.md',
  'chunked.md',
  'connection.md',
  'proxy.md',
];

describe('requests that two servers could read differently', () => {
  it.each(CASES)('reach an upstream as one unambiguous request or not at all: %s', async (file) => {
    const upstream = await upstreamOf();
    const running = await serve(...WORKERS, `--proxy=/=${upstream.url}`);
    for (const { title, input, limits, trace } of loadCases(`./${file}`)) {
      // The server has its own limits.
      if (/^Too m/.test(title)) continue;
      if (Object.values(limits).some((limit) => limit !== 8190 && limit !== 100)) continue;
      upstream.requests.length = 0;
      const asked = trace.filter((line) => line.startsWith('request '));
      const isRefused = trace.some((line) => line.startsWith('refused '));
      const isWhole = !trace.some((line) => line.startsWith('incomplete'));
      const client = await clientOf(running);
      client.send(input);
      if (isRefused) {
        await client.ended(DEADLINE_MS).catch((error: Error) => {
          throw new Error(`${file}: ${title}: ${error.message}`);
        });
      } else if (isWhole) {
        for (const line of asked) {
          const [, method = ''] = line.split(' ');
          const { status } = await client.response(method, DEADLINE_MS);
          expect([200, 501], `${file}: ${title}`).toContain(status);
        }
      }
      client.close();
      expect(upstream.faults, `${file}: ${title}`).toEqual([]);
      expect(upstream.requests.length, `${file}: ${title}`).toBeLessThanOrEqual(asked.length);
    }
  }, 60_000);
});

describe('responses that cannot be trusted', () => {
  it.each([
    ['no HTTP', 'SSH-2.0-x\r\n', 'invalid-status-line'],
    ['HTTP/2.0', 'HTTP/2.0 200 OK\r\n\r\n', 'invalid-status-line'],
    ['a status of 600', 'HTTP/1.1 600 No\r\n\r\n', 'invalid-status-line'],
    ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n', 'bare-lf'],
    ['a bare CR', 'HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n', 'bare-cr'],
    ['obs-fold', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n', 'obs-fold'],
    ['a blank before the colon', 'HTTP/1.1 200 OK\r\nA : b\r\n\r\n', 'space-before-colon'],
    ['no colon', 'HTTP/1.1 200 OK\r\nA\r\n\r\n', 'missing-colon'],
    ['NUL', 'HTTP/1.1 200 OK\r\nA: \0\r\n\r\n', 'invalid-field-value'],
    [
      'both framings',
      'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'transfer-encoding-with-content-length',
    ],
    [
      'two lengths',
      'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc',
      'duplicate-content-length',
    ],
    [
      'a list of lengths',
      'HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc',
      'invalid-content-length',
    ],
    [
      'a signed length',
      'HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc',
      'invalid-content-length',
    ],
    [
      'chunked not last',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n',
      'chunked-not-last',
    ],
    [
      'another coding',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n',
      'invalid-transfer-encoding',
    ],
    [
      'chunked on HTTP/1.0',
      'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'transfer-encoding-on-http10',
    ],
    ['101 nobody asked for', 'HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n', 'unexpected 101'],
  ])('%s: 502', async (_name, bytes, reason) => {
    const upstream = await upstreamOf(() => bytes);
    const running = await serve(...WORKERS, `--proxy=/=${upstream.url}`);
    const { status, body } = await ask(running, get('/'));
    expect([status, body.toString()]).toEqual([502, `Bad Gateway: invalid response (${reason})\n`]);
    await upstream.until('closed', () => upstream.sockets.size === 0);
  });

  it.each([
    ['a bad chunk size', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0x1\r\n'],
    ['an end within the body', 'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nab'],
  ])('%s after the response has begun cuts it off', async (_name, bytes) => {
    const upstream = await upstreamOf((_request, socket) => {
      socket.end(bytes);
      return null;
    });
    const running = await serve(...WORKERS, `--proxy=/=${upstream.url}`);
    const client = await clientOf(running);
    client.send(get('/'));
    const received = (await client.ended(DEADLINE_MS)).toString('latin1');
    expect(received).not.toMatch(/\r\n0\r\n\r\n$/);
    await running.prints('502');
  });

  it('bytes behind a response are nobody else’s answer', async () => {
    const upstream = await upstreamOf(({ target }) => ok(target) + ok('smuggled'));
    const running = await serve(...WORKERS, `--proxy=/=${upstream.url}`);
    const client = await clientOf(running);
    for (const path of ['/1', '/2', '/3']) {
      client.send(get(path));
      expect((await client.response('GET', DEADLINE_MS)).body.toString()).toBe(path);
    }
    expect(upstream.connections).toBe(3);
  });

  it('interim responses pass, HEAD, 204 and 304 have no body, and the connection serves on', async () => {
    const upstream = await upstreamOf(({ target, method }) => {
      if (target === '/hints')
        return `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok('hinted')}`;
      if (target === '/204') return 'HTTP/1.1 204 No Content\r\n\r\n';
      if (target === '/304') return 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n';
      if (method === 'HEAD') return 'HTTP/1.1 200 OK\r\nContent-Length: 77\r\nServer: own\r\n\r\n';
      return ok('x');
    });
    const running = await serve(...WORKERS, '--server-tokens=prod', `--proxy=/=${upstream.url}`);
    const client = await clientOf(running);
    client.send(get('/hints'));
    expect((await client.response('GET', DEADLINE_MS)).status).toBe(103);
    expect((await client.response('GET', DEADLINE_MS)).body.toString()).toBe('hinted');
    client.send(get('/204'));
    expect((await client.response('GET', DEADLINE_MS)).status).toBe(204);
    client.send(get('/304'));
    expect((await client.response('GET', DEADLINE_MS)).headers.get('etag')).toBe('"x"');
    client.send('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n');
    const head = await client.response('HEAD', DEADLINE_MS);
    expect(head.headers.get('content-length')).toBe('77');
    expect(head.headers.get('server')).toBe('own');
    expect(upstream.connections).toBe(1);
  });
});

describe('connections to upstreams', () => {
  it('a stale one is replaced once for an idempotent request, and not for another', async () => {
    const upstream = await upstreamOf(({ turn, target }, socket) => {
      if (turn === 0) return ok(target);
      // The second request on a connection finds it closing.
      socket.destroy();
      return null;
    });
    const running = await serve(...WORKERS, `--proxy=/=${upstream.url}`);
    expect((await ask(running, get('/1'))).status).toBe(200);
    expect((await ask(running, get('/2'))).body.toString()).toBe('/2');
    const post = 'POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx';
    const refused = await ask(running, post, 'POST');
    expect([refused.status, refused.body.toString()]).toEqual([
      502,
      'Bad Gateway: connection closed without a response\n',
    ]);
    expect(upstream.requests.map(({ target }) => target)).toEqual(['/1', '/2', '/2', '/3']);
  });

  it('a refused one is 502, a silent upstream 504, and both say why', async () => {
    const silent = await upstreamOf(() => null);
    const running = await serve(
      ...WORKERS,
      '--proxy=/gone=http://127.0.0.1:1',
      `--proxy=/silent=${silent.url} responseTimeoutMs=200`,
    );
    const gone = await ask(running, get('/gone'));
    expect([gone.status, gone.body.toString()]).toEqual([502, 'Bad Gateway: connection refused\n']);
    const late = await ask(running, get('/silent'));
    expect([late.status, late.body.toString()]).toEqual([
      504,
      'Gateway Timeout: response timeout (200 ms)\n',
    ]);
    await running.prints('proxy: GET /gone to 127.0.0.1:1: 502 connection refused');
    await silent.until('closed', () => silent.sockets.size === 0);
  });

  it('the upstream with the fewest requests is asked, and another where one cannot be reached', async () => {
    const held: (() => void)[] = [];
    const one = await upstreamOf(({ target }, socket) => {
      if (target !== '/held') return ok('one');
      held.push(() => socket.write(ok('one')));
      return null;
    });
    const two = await upstreamOf(() => ok('two'));
    const running = await serve(
      ...WORKERS,
      `--proxy=/=${one.url},${two.url},http://127.0.0.1:1 maxFails=1 failTimeoutMs=60000`,
    );
    // Until the first has one under way.
    const waiting: RawClient[] = [];
    while (held.length === 0) {
      const client = await clientOf(running);
      waiting.push(client);
      const before = one.requests.length + two.requests.length;
      client.send(get('/held'));
      const more = () => one.requests.length + two.requests.length > before;
      await eventually(
        () => more(),
        (came) => came,
      );
    }
    for (let turn = 0; turn < 6; turn++) {
      const { status, body } = await ask(running, get('/x'));
      expect([status, body.toString()]).toEqual([200, 'two']);
    }
    for (const answer of held) answer();
    expect((await (waiting.at(-1) as RawClient).response('GET', DEADLINE_MS)).status).toBe(200);
    await running.prints('127.0.0.1:1 is left out');
  });

  it('an upstream that is not well is not asked until it is', async () => {
    let well = false;
    const one = await upstreamOf(({ target }, socket) => {
      if (target !== '/healthz') return ok('one');
      socket.end(well ? ok('') : 'HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n');
      return null;
    });
    const two = await upstreamOf(() => ok('two'));
    const running = await serve(
      ...WORKERS,
      `--proxy=/=${one.url} healthPath=/healthz healthIntervalMs=200`,
      `--proxy=/two=${two.url}`,
    );
    await eventually(
      () => running.output(),
      (output) => output.includes(`127.0.0.1:${one.port} is not well`),
    );
    well = true;
    await eventually(
      () => running.output(),
      (output) => output.includes(`127.0.0.1:${one.port} is well again`),
    );
    expect((await ask(running, get('/x'))).body.toString()).toBe('one');
  });

  it('and what was asked of upstreams is on the status page, in its JSON and in the metrics', async () => {
    const upstream = await upstreamOf();
    const running = await serve(
      ...WORKERS,
      `--proxy=/one=${upstream.url}`,
      '--proxy=/gone=http://127.0.0.1:1',
    );
    for (const path of ['/one', '/one', '/gone']) await ask(running, get(path));
    const admin = `http://127.0.0.1:${running.adminPort}`;
    const read = async (path: string) =>
      (await fetch(admin + path, { signal: AbortSignal.timeout(DEADLINE_MS) })).text();
    const counted = { active: 0, idle: 0, requests: 0, failures: 0, retries: 0 };
    const none = { ...counted, waiting: 0, waited: 0, refused: 0 };
    const name = `127.0.0.1:${upstream.port}`;
    expect(JSON.parse(await read('/server-status?json')).upstreams).toEqual([
      { ...none, name, state: 'up', idle: 1, requests: 2 },
      { ...none, name: '127.0.0.1:1', state: 'up', requests: 1, failures: 1 },
    ]);
    expect(await read('/server-status')).toContain(`data-k="u${name}"`);
    const metrics = await read('/metrics');
    expect(metrics).toContain(`mpm_upstream_requests_total{upstream="${name}"} 2`);
    expect(metrics).toContain('mpm_upstream_failures_total{upstream="127.0.0.1:1"} 1');
  });

  it('one whose client hangs up is closed, and nothing is left of it', async () => {
    const upstream = await upstreamOf((_request, socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nabc');
      return null;
    });
    const running = await serve(...WORKERS, `--proxy=/=${upstream.url}`);
    const descriptors = () => readdirSync(`/proc/${running.process.pid}/fd`).length;
    let before = Number.POSITIVE_INFINITY;
    for (let turn = 0; turn < 6; turn++) {
      // The first makes what all of them use.
      if (turn === 1) before = descriptors();
      const client = await clientOf(running);
      client.send(get(`/${turn}`));
      await client.bytes('HTTP/1.1 200 OK\r\n', DEADLINE_MS);
      client.close();
      await upstream.until('closed', () => upstream.sockets.size === 0);
    }
    await eventually(descriptors, (now) => now <= before);
  });
});

describe('slow clients', () => {
  it('do not keep the upstream: it is done and free while they have read nothing', async () => {
    const bytes = 12 * 1024 * 1024;
    const body = Buffer.alloc(bytes);
    for (let at = 0; at < bytes; at += 4) body.writeUInt32LE(at, at);
    const sha256 = createHash('sha256').update(body).digest('hex');
    let finished = 0;
    const upstream = createServer((_request, response: ServerResponse) => {
      response.setHeader('content-length', bytes);
      response.end(body, () => finished++);
    });
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    kept({ close: () => upstream.close() });
    const { port } = upstream.address() as AddressInfo;
    const running = await serve(
      ...WORKERS,
      '--limit-spilled-body=20m',
      `--proxy=/=http://127.0.0.1:${port}`,
    );
    const clients: SlowReader[] = [];
    for (let number = 0; number < 6; number++) {
      const client = await SlowReader.open(running.port, get('/'));
      kept({ close: () => client.socket.destroy() });
      clients.push(client);
    }
    await eventually(
      () => finished,
      (count) => count === 6,
    );
    // What was left of each is one file by now, which the listener sends: no worker has any of them.
    const states = await eventually(
      () => statusOf(running),
      (status) => status.get('MpmConnectionsWriteCompletion') === '6',
    );
    expect(states.get('MpmConnectionsSuspended')).toBe('0');
    expect(Number(states.get('MpmSpilledBytes'))).toBeGreaterThan(0);
    expect(Number(states.get('MpmSpilledFolderBytes'))).toBeGreaterThan(0);
    for (const client of clients) {
      expect(await client.response()).toMatchObject({ status: 200, bytes, sha256 });
    }
    // Nothing of it is kept.
    await eventually(
      () => statusOf(running),
      (status) =>
        status.get('MpmSpilledBytes') === '0' && status.get('MpmSpilledFolderBytes') === '0',
    );
  });
});

describe('requests under way to one upstream', () => {
  /** Holds what it is asked until it is told to answer the oldest. */
  async function holding() {
    const held: (() => void)[] = [];
    let most = 0;
    const upstream = await upstreamOf(({ target }, socket) => {
      most = Math.max(
        most,
        held.push(() => socket.write(ok(target))),
      );
      return null;
    });
    return { upstream, held, most: () => most };
  }
  const waiting = async (running: ServerProcess): Promise<number> => {
    const url = `http://127.0.0.1:${running.adminPort}/server-status?json`;
    const page = await fetch(url, { signal: AbortSignal.timeout(DEADLINE_MS) });
    const { upstreams } = (await page.json()) as { upstreams: { waiting: number }[] };
    return upstreams[0]?.waiting ?? 0;
  };

  it('are no more than maxRequests over all workers; the others wait, and get their turn', async () => {
    const { upstream, held, most } = await holding();
    const running = await serve(
      ...['--start-servers=2', '--max-request-workers=2', '--min-spare-threads=1'],
      `--proxy=/=${upstream.url} maxRequests=2`,
    );
    const clients: RawClient[] = [];
    const requests = 24;
    for (let number = 0; number < requests; number++) {
      const client = await clientOf(running);
      client.send(get(`/${number}`));
      clients.push(client);
    }
    await eventually(
      () => waiting(running),
      (count) => count === requests - 2,
    );
    expect(upstream.requests.length).toBe(2);
    for (let answered = 0; answered < requests; answered++) {
      await upstream.until('asked', () => held.length > 0);
      held.shift()?.();
    }
    for (const [number, client] of clients.entries()) {
      expect((await client.response('GET', DEADLINE_MS)).body.toString()).toBe(`/${number}`);
    }
    expect(most()).toBe(2);
    expect(await waiting(running)).toBe(0);
  });

  it('are refused with 503 where too many wait, or one for too long; who hangs up waits no more', async () => {
    const { upstream, held } = await holding();
    const running = await serve(
      ...WORKERS,
      `--proxy=/=${upstream.url} maxRequests=1 maxQueued=2 queueTimeoutMs=1500`,
    );
    const first = await clientOf(running);
    first.send(get('/first'));
    await upstream.until('asked', () => held.length === 1);
    const leaver = await clientOf(running);
    leaver.send(get('/leaver'));
    const late = await clientOf(running);
    late.send(get('/late'));
    await eventually(
      () => waiting(running),
      (count) => count === 2,
    );
    const refused = await ask(running, get('/full'));
    expect([refused.status, refused.body.toString()]).toEqual([
      503,
      'Service Unavailable: too many requests wait\n',
    ]);
    leaver.close();
    await eventually(
      () => waiting(running),
      (count) => count === 1,
    );
    const timedOut = await late.response('GET', DEADLINE_MS);
    expect([timedOut.status, timedOut.body.toString()]).toEqual([
      503,
      'Service Unavailable: queue timeout (1500 ms)\n',
    ]);
    held.shift()?.();
    expect((await first.response('GET', DEADLINE_MS)).status).toBe(200);
    first.send(get('/again'));
    await upstream.until('asked', () => held.length === 1);
    held.shift()?.();
    expect((await first.response('GET', DEADLINE_MS)).body.toString()).toBe('/again');
    expect(upstream.requests.map(({ target }) => target)).toEqual(['/first', '/again']);
    const metrics = await fetch(`http://127.0.0.1:${running.adminPort}/metrics`);
    const name = `127.0.0.1:${upstream.port}`;
    const text = await metrics.text();
    expect(text).toContain(`mpm_upstream_waited_total{upstream="${name}"} 2`);
    expect(text).toContain(`mpm_upstream_refused_total{upstream="${name}"} 2`);
    expect(text).toContain(`mpm_upstream_requests_waiting{upstream="${name}"} 0`);
  });
});

describe('a worker that is ended by force', () => {
  it('takes neither its places nor the room of responses with it that upstreams still send', async () => {
    const bytes = 8 * 1024 * 1024;
    let turn = 0;
    const upstream = await upstreamOf(({ target }, socket) => {
      if (target !== '/large') return ok(target);
      turn++;
      // Nearly all of it: the end is what the proxy waits for.
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`);
      socket.write(Buffer.alloc(bytes - 1));
      return null;
    });
    const running = await serve(
      ...WORKERS,
      `--proxy=/large=${upstream.url} maxRequests=1`,
      `--proxy=/small=${upstream.url} maxRequests=1`,
    );
    const spilled = async () => Number((await statusOf(running)).get('MpmSpilledBytes'));
    const descriptors = () => readdirSync(`/proc/${running.process.pid}/fd`).length;
    expect((await ask(running, get('/small'))).body.toString()).toBe('/small');
    const before = descriptors();
    const slow = await SlowReader.open(running.port, get('/large'));
    kept({ close: () => slow.socket.destroy() });
    await eventually(spilled, (now) => now > 0);
    const dying = await clientOf(running);
    dying.send(get('/die'));
    expect((await dying.response('GET', DEADLINE_MS)).status).toBe(502);
    await eventually(spilled, (now) => now === 0);
    expect((await ask(running, get('/small'))).body.toString()).toBe('/small');
    expect(turn).toBe(1);
    await eventually(descriptors, (now) => now <= before);
  });
});

describe('other protocols', () => {
  it('WebSockets pass through, and a refusal as it is', async () => {
    const http = createServer((_request, response) => response.end('plain'));
    const sockets = new WebSocketServer({ noServer: true });
    http.on('upgrade', (request, socket, head) => {
      if (request.url === '/ws/chunks') {
        socket.write('HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n5;a\r\nfirst');
        setImmediate(() => socket.end('\r\n8\r\n, second\r\n0\r\nA: b\r\n\r\n'));
        return;
      }
      if (request.url !== '/ws/') {
        socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n');
        return;
      }
      sockets.handleUpgrade(request, socket, head, (client) => {
        client.on('message', (data) => client.send(data.toString()));
      });
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    kept({ close: () => http.closeAllConnections() });
    const { port } = http.address() as AddressInfo;
    // Nobody is at the first: what cannot be connected to is tried at the next.
    const running = await serve(
      ...WORKERS,
      `--proxy=/ws=http://127.0.0.1:1,http://127.0.0.1:${port} maxFails=0 maxRequests=3`,
    );
    const client = new EchoClient(`ws://127.0.0.1:${running.port}/ws/`);
    kept({
      close: () => {
        client.stay();
        client.socket.terminate();
      },
    });
    await client.opened;
    for (let turn = 0; turn < 20; turn++) await client.echo(`turn ${turn}`);
    expect(client.errors).toEqual([]);
    const asking = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
    const refused = await ask(running, get('/ws/no', asking));
    expect([refused.status, refused.body.toString()]).toEqual([403, 'no\n']);
    const declined = await ask(running, get('/ws/chunks', asking));
    expect([declined.status, declined.body.toString()]).toEqual([409, 'first, second']);
    // Beside its paths nobody takes one.
    expect((await ask(running, get('/own', asking))).body.toString()).toBe('own\n');
    http.close();
  });
});

describe('as a handler’s answer', () => {
  it.each(['fetch', 'later', 'node'])('%s', async (kind) => {
    const upstream = await upstreamOf(({ body, target }) => ok(`${target} ${body.length}`));
    process.env.TEST_UPSTREAM = upstream.url;
    server = await startServer(fixture(kind === 'node' ? 'proxy-node.mjs' : 'proxy.mjs'), WORKERS);
    const body = 'x'.repeat(300_000);
    const request = `POST /${kind}/x HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`;
    const response = await ask(server, request + body, 'POST');
    expect(response.body.toString()).toBe(`/${kind}/x ${body.length}`);
    expect((await ask(server, get('/own'))).body.toString()).toBe('own\n');
    expect(upstream.faults).toEqual([]);
  });
});

it('a copy of a proxied response is an error, not an empty answer', async () => {
  const running = await serve(...WORKERS);
  expect((await ask(running, get('/copied/x'))).status).toBe(500);
  await running.prints('has to be returned as it is');
});

const nginx = findNginx();
describe.skipIf(nginx === null)('nginx as upstream', () => {
  it('its files come through whole', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'hybrid-mpm-proxy-'));
    const content = Buffer.alloc(3_000_000, '0123456789');
    await writeFile(join(folder, 'a.txt'), content);
    const upstream = await startNginx(nginx as string, folder);
    try {
      const running = await serve(...WORKERS, `--proxy=/=http://127.0.0.1:${upstream.port}`);
      const client = await clientOf(running);
      for (let turn = 0; turn < 3; turn++) {
        client.send(get('/a.txt'));
        const response = await client.response('GET', DEADLINE_MS);
        expect(response.headers.get('content-type')).toBe('text/plain');
        expect(response.body.equals(content)).toBe(true);
        client.send(get('/none'));
        expect((await client.response('GET', DEADLINE_MS)).status).toBe(404);
      }
    } finally {
      await upstream.stop();
      await rm(folder, { recursive: true, force: true });
    }
  });
});
