/** Static files over real sockets, request by request beside nginx, and under slow clients. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findNginx, type NginxProcess, startNginx } from '../support/nginx-process.ts';
import { RawClient, type RawResponse } from '../support/raw-client.ts';
import { eventually, type ServerProcess, startServer } from '../support/server-process.ts';
import { MODIFIED_SECONDS, REQUESTS, type StaticRequest } from '../support/static-requests.ts';

const binary = findNginx();
const LARGE = Buffer.from(
  Array.from({ length: 300_000 }, (_, index) => (index * 7 + (index >> 8)) & 0xff),
);
/** More than sockets take in. */
const HUGE = Buffer.concat(Array.from({ length: 64 }, () => LARGE));
const CODED = 'line of text\n'.repeat(500);
let base = '';
let root = '';
let server: ServerProcess;
let nginx: NginxProcess | null = null;
const clients: RawClient[] = [];

const open = async (port: number): Promise<RawClient> => {
  const client = await RawClient.open(port);
  clients.push(client);
  return client;
};

function put(name: string, content: string | Uint8Array): void {
  writeFileSync(join(root, name), content);
  utimesSync(join(root, name), MODIFIED_SECONDS, MODIFIED_SECONDS);
}

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), 'mpm-static-'));
  root = join(base, 'root');
  for (const folder of ['folder/.hidden', 'bare folder', '.git', '.well-known']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  mkdirSync(join(base, 'beside'));
  writeFileSync(join(base, 'secret.txt'), 'secret');
  writeFileSync(join(base, 'beside', 'x.txt'), 'secret');
  put('index.html', '<p>root');
  put('folder/index.html', '<p>folder');
  put('folder/.hidden/x', 'secret');
  put('a.txt', '0123456789');
  put('empty.txt', '');
  put('with space \u00fc.css', 'a{}');
  put('script.js', '1');
  put('data.json', '{}');
  put('picture.svg', '<svg/>');
  put('no-extension', 'x');
  put('large.bin', LARGE);
  put('coded.txt', CODED);
  put('coded.txt.gz', gzipSync(CODED));
  put('all.css', CODED);
  put('all.css.gz', gzipSync(CODED));
  put('all.css.br', brotliCompressSync(CODED));
  put('all.css.zst', 'zstd');
  put('huge.bin', HUGE);
  put('.env', 'secret');
  put('.git/config', 'secret');
  put('.well-known/security.txt', 'Contact: x');
  put('.well-known/.env', 'secret');
  symlinkSync('a.txt', join(root, 'inside.txt'));
  symlinkSync('../secret.txt', join(root, 'outside.txt'));
  symlinkSync('../beside', join(root, 'outside'));
  server = await startServer(root, ['--start-servers=1', '--max-request-workers=2']);
  if (binary !== null) nginx = await startNginx(binary, root);
});
afterAll(async () => {
  for (const client of clients) client.close();
  await nginx?.stop();
  expect(await server.stop()).toBe(0);
  rmSync(base, { recursive: true });
});

function text(request: string, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${request} HTTP/1.1\r\nHost: host\r\n${lines.join('')}Connection: close\r\n\r\n`;
}

async function exchange(
  port: number,
  request: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<RawResponse> {
  const client = await RawClient.open(port);
  try {
    client.send(text(request, headers));
    return await client.response(request.split(' ')[0]);
  } finally {
    client.close();
  }
}

/** Asks a server, with its own entity tags filled in. */
async function answer(port: number, { request, headers }: StaticRequest): Promise<RawResponse> {
  const filled: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    const wanted = /\{(etag|gzip)\}/.exec(value)?.[1];
    if (wanted === undefined) {
      filled[name] = value;
      continue;
    }
    const coding: Record<string, string> = wanted === 'gzip' ? { 'Accept-Encoding': 'gzip' } : {};
    const path = request.slice(request.indexOf(' ') + 1);
    const tag = (await exchange(port, `HEAD ${path}`, coding)).headers.get('etag');
    if (tag === undefined) throw new Error(`no entity tag for ${path}`);
    filled[name] = value.replace(`{${wanted}}`, tag);
  }
  return exchange(port, request, filled);
}

const COMPARED = ['accept-ranges', 'content-encoding', 'content-range', 'last-modified', 'vary'];
const withoutCharset = (type: string | undefined): string | undefined => type?.replace(/;.*$/, '');

/** What matters of a response, in a form that does not depend on whose it is. */
function essence({ status, headers, body }: RawResponse): Record<string, unknown> {
  const result: Record<string, unknown> = { status };
  // Pages of errors are each server's own, but for what 416 and 405 have to say.
  if (status >= 400) {
    if (status === 416) result['content-range'] = headers.get('content-range');
    return result;
  }
  if (status === 301) return { status, location: headers.get('location') };
  for (const name of COMPARED) result[name] = headers.get(name);
  result.etag = headers.has('etag');
  if (status === 304) return result;
  result['content-type'] = withoutCharset(headers.get('content-type'));
  const boundary = /boundary=(\S+)/.exec(headers.get('content-type') ?? '')?.[1];
  if (boundary !== undefined) {
    result.body = parts(body, boundary);
  } else {
    result['content-length'] = headers.get('content-length');
    result.body = body.toString('latin1');
  }
  return result;
}

function parts(body: Buffer, boundary: string): unknown[] {
  const [preamble, ...rest] = body.toString('latin1').split(`\r\n--${boundary}`);
  expect(preamble).toBe('');
  expect(rest.pop()).toBe('--\r\n');
  return rest.map((part) => {
    const end = part.indexOf('\r\n\r\n');
    const head = part.slice(0, end).split('\r\n').filter(Boolean);
    const fields = new Map(head.map((line) => line.split(': ') as [string, string]));
    return {
      type: withoutCharset(fields.get('Content-Type')),
      range: fields.get('Content-Range'),
      content: part.slice(end + 4),
    };
  });
}

const named = REQUESTS.map((row): [string, StaticRequest] => {
  const headers = Object.entries(row.headers).map(([name, value]) => `${name}: ${value}`);
  return [[row.request, ...headers].join(', ').slice(0, 100), row];
});

describe('a request for a file', () => {
  it.each(named)('%s', async (_name, row) => {
    const first = await answer(server.port, row);
    expect(first.status).toBe(row.status);
    // The second one is answered out of the cache.
    expect(essence(await answer(server.port, row))).toEqual(essence(first));
  });
});

describe.skipIf(binary === null)('the same as nginx (skipped where nginx is not installed)', () => {
  it.each(named)('%s', async (_name, row) => {
    const port = nginx?.port ?? 0;
    const ours = essence(await answer(server.port, row));
    const theirs = essence(await answer(port, row));
    const different = [...new Set([...Object.keys(ours), ...Object.keys(theirs)])].filter(
      (field) => JSON.stringify(ours[field]) !== JSON.stringify(theirs[field]),
    );
    const { differs } = row;
    if (differs === null) {
      expect(ours).toEqual(theirs);
    } else if (differs.in.includes('status')) {
      expect(different, differs.because).toContain('status');
    } else {
      // A difference that is gone should be gone from the table.
      expect(different.sort(), differs.because).toEqual([...differs.in].sort());
    }
  });
});

/** Files below the folder that the server holds open. */
function openFiles(): string[] {
  const folder = `/proc/${server.process.pid}/fd`;
  const paths = readdirSync(folder).map((fd) => {
    try {
      return readlinkSync(join(folder, fd));
    } catch {
      return '';
    }
  });
  return paths.filter((path) => path.startsWith(root));
}
const countOf = (name: string): number => openFiles().filter((path) => path.endsWith(name)).length;

describe('a file with several encoded forms', () => {
  it.each([
    ['br', 'br'],
    ['gzip', 'gzip'],
    ['zstd', 'zstd'],
    ['gzip, br, zstd', 'zstd'],
    ['gzip, br', 'br'],
    ['gzip, br;q=0.9', 'gzip'],
    ['*;q=0.1, zstd;q=0', 'br'],
    ['x-gzip', 'gzip'],
    ['deflate', undefined],
  ])('%s gets %s', async (accept, coding) => {
    const response = await exchange(server.port, 'GET /all.css', { 'Accept-Encoding': accept });
    expect(response.headers.get('content-encoding')).toBe(coding);
    expect(response.headers.get('content-type')).toBe('text/css;charset=utf-8');
    expect(response.headers.get('vary')).toBe('Accept-Encoding');
  });

  it('has an entity tag for each of them', async () => {
    const tags = new Set<string | undefined>();
    for (const coding of ['br', 'gzip', 'zstd', 'identity']) {
      const { headers } = await exchange(server.port, 'GET /all.css', {
        'Accept-Encoding': coding,
      });
      tags.add(headers.get('etag'));
    }
    expect(tags.size).toBe(4);
  });
});

describe('a large file', () => {
  const request = (headers = ''): string => `GET /huge.bin HTTP/1.1\r\nHost: a\r\n${headers}\r\n`;

  it('reaches a client that reads late, and the next request on its connection is answered', async () => {
    const client = await open(server.port);
    client.socket.pause();
    client.send(request());
    // The response is under way as soon as its head is written; others are served meanwhile.
    await eventually(
      () => countOf('huge.bin'),
      (count) => count > 0,
    );
    expect((await exchange(server.port, 'GET /a.txt')).status).toBe(200);
    client.socket.resume();
    const { body } = await client.response('GET', 20_000);
    expect(body.equals(HUGE)).toBe(true);
    client.send(request('Range: bytes=5-9\r\n'));
    expect((await client.response()).body.equals(HUGE.subarray(5, 10))).toBe(true);
  });

  it('is sent to several at the same time', async () => {
    const open8 = Array.from({ length: 8 }, () => open(server.port));
    const all = await Promise.all(open8);
    for (const client of all) client.send(request('Range: bytes=0-3999999\r\n'));
    for (const client of all) {
      const { status, body } = await client.response('GET', 20_000);
      expect(status).toBe(206);
      expect(body.equals(HUGE.subarray(0, 4_000_000))).toBe(true);
    }
  });

  it('is sent in parts to a client that reads late', async () => {
    const client = await open(server.port);
    client.socket.pause();
    client.send(request('Range: bytes=0-7999999,8000001-15999999,-3\r\n'));
    await eventually(
      () => countOf('huge.bin'),
      (count) => count > 0,
    );
    client.socket.resume();
    const { status, headers, body } = await client.response('GET', 20_000);
    expect(status).toBe(206);
    const boundary = /boundary=(\S+)/.exec(headers.get('content-type') ?? '')?.[1] ?? '';
    const contents = parts(body, boundary).map((part) => (part as { content: string }).content);
    const expected = [HUGE.subarray(0, 8e6), HUGE.subarray(8_000_001, 16e6), HUGE.subarray(-3)];
    expect(contents.length).toBe(3);
    for (const [index, content] of contents.entries()) {
      expect(Buffer.from(content, 'latin1').equals(expected[index])).toBe(true);
    }
  });

  it('is closed when its clients have left half way', async () => {
    for (const headers of ['', 'Range: bytes=0-7999999,8000001-15999999\r\n']) {
      const leaving = await Promise.all(Array.from({ length: 6 }, () => open(server.port)));
      for (const client of leaving) {
        client.socket.pause();
        client.send(request(headers));
      }
      await eventually(
        () => countOf('huge.bin'),
        (count) => count > leaving.length,
      );
      for (const client of leaving) client.socket.resetAndDestroy();
      // What each of the two workers keeps for the next request.
      await eventually(
        () => countOf('huge.bin'),
        (count) => count <= 2,
      );
    }
  });

  it('that shrinks while it is sent ends the connection, so that nobody takes it for whole', async () => {
    put('shrinking.bin', HUGE);
    const client = await open(server.port);
    client.socket.pause();
    client.send('GET /shrinking.bin HTTP/1.1\r\nHost: a\r\n\r\n');
    await eventually(
      () => countOf('shrinking.bin'),
      (count) => count > 0,
    );
    truncateSync(join(root, 'shrinking.bin'), 10);
    client.socket.resume();
    const received = await client.ended(20_000);
    expect(received.toString('latin1', 0, 300)).toContain(`Content-Length: ${HUGE.length}`);
    expect(received.length).toBeLessThan(HUGE.length);
    await server.prints('a file became shorter');
  });

  it('that is replaced is sent in the new version within some seconds, the old one whole', async () => {
    put('changing.bin', LARGE);
    const request = 'GET /changing.bin';
    expect((await exchange(server.port, request)).body.equals(LARGE)).toBe(true);
    const other = Buffer.from(LARGE).fill(1);
    put('changing.new', other);
    renameSync(join(root, 'changing.new'), join(root, 'changing.bin'));
    await eventually(
      () => exchange(server.port, request),
      ({ body }) => {
        if (body.equals(other)) return true;
        expect(body.equals(LARGE)).toBe(true);
        return false;
      },
    );
  });
});

describe('indexes on', () => {
  it('lists a folder without an index file, and nothing hidden', async () => {
    put('bare folder/<b>&.txt', 'x');
    put('bare folder/.hidden', 'x');
    symlinkSync('../../secret.txt', join(root, 'bare folder', 'link'));
    const listing = await startServer(root, ['--indexes=on', '--start-servers=1']);
    try {
      const { status, headers, body } = await exchange(listing.port, 'GET /bare%20folder/');
      expect(status).toBe(200);
      expect(headers.get('content-type')).toBe('text/html;charset=utf-8');
      const html = body.toString();
      expect(html).toContain('<a href="./%3Cb%3E%26.txt">&lt;b&gt;&amp;.txt</a>');
      expect(html).not.toMatch(/hidden|link/);
      expect((await exchange(listing.port, 'GET /')).body.toString()).toBe('<p>root');
    } finally {
      await listing.stop();
    }
  });
});
