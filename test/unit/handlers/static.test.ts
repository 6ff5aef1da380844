import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseTarget } from '../../../src/workers/static/path.ts';
import { StaticHandler } from '../../../src/workers/static/static-handler.ts';
import { FakeExchange, type FakeRequest } from '../../support/fake-exchange.ts';

let base = '';
let root = '';
let handler: StaticHandler;
const large = Buffer.alloc(300_000, 'abcdefg');

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'mpm-static-'));
  root = join(base, 'root');
  mkdirSync(join(root, 'folder'), { recursive: true });
  mkdirSync(join(root, 'bare folder'));
  mkdirSync(join(root, '.git'));
  mkdirSync(join(base, 'rootless'));
  writeFileSync(join(base, 'secret.txt'), 'secret');
  writeFileSync(join(base, 'rootless', 'x.txt'), 'secret');
  writeFileSync(join(root, 'index.html'), '<p>root');
  writeFileSync(join(root, 'folder', 'index.html'), '<p>folder');
  writeFileSync(join(root, 'a.txt'), 'hello');
  writeFileSync(join(root, 'empty.js'), '');
  writeFileSync(join(root, '\u00fc b.css'), 'u');
  writeFileSync(join(root, 'plain'), 'x');
  writeFileSync(join(root, '.env'), 'secret');
  writeFileSync(join(root, '.git', 'config'), 'secret');
  writeFileSync(join(root, 'large.bin'), large);
  symlinkSync('a.txt', join(root, 'inside.txt'));
  symlinkSync('../secret.txt', join(root, 'outside.txt'));
  symlinkSync('../rootless', join(root, 'outside'));
  symlinkSync('.env', join(root, 'env.txt'));
  symlinkSync('loop', join(root, 'loop'));
  execFileSync('mkfifo', [join(root, 'fifo')]);
  handler = new StaticHandler(root);
});
afterAll(() => rmSync(base, { recursive: true }));

async function get(target: string, request: FakeRequest = {}): Promise<FakeExchange> {
  const exchange = new FakeExchange({ target, ...request });
  handler.handle(exchange);
  await exchange.finished();
  return exchange;
}

const withHeader = (name: string, value: string): FakeRequest => ({
  headers: [
    ['Host', 'h'],
    [name, value],
  ],
});
const openDescriptors = () => readdirSync('/proc/self/fd').length;

describe('static files', () => {
  it.each([
    ['/a.txt', 'hello', 'text/plain;charset=utf-8'],
    ['/a.txt?x=/../y', 'hello', 'text/plain;charset=utf-8'],
    ['http://h/a.txt', 'hello', 'text/plain;charset=utf-8'],
    ['//a.txt', 'hello', 'text/plain;charset=utf-8'],
    ['/inside.txt', 'hello', 'text/plain;charset=utf-8'],
    ['/', '<p>root', 'text/html;charset=utf-8'],
    ['/folder/', '<p>folder', 'text/html;charset=utf-8'],
    ['/empty.js', '', 'text/javascript;charset=utf-8'],
    ['/%C3%BC%20b.css', 'u', 'text/css;charset=utf-8'],
    ['/plain', 'x', 'application/octet-stream'],
  ])('serves %s', async (target, body, type) => {
    const exchange = await get(target);
    expect(exchange.sent).toMatchObject({ status: 200, whole: true, contentLength: body.length });
    expect(exchange.body).toBe(body);
    expect(exchange.header('content-type')).toBe(type);
    expect(exchange.header('etag')).toMatch(/^"[0-9a-f]+-[0-9a-f]+"$/);
    expect(exchange.header('last-modified')).toMatch(/ GMT$/);
  });

  it.each([
    '/missing',
    '/../secret.txt',
    '/folder/../../secret.txt',
    '/%2e%2e/secret.txt',
    '/%2E%2e%2fsecret.txt',
    '/..%2fsecret.txt',
    '/..%5csecret.txt',
    '/..\\secret.txt',
    '/folder/../a.txt',
    '/outside.txt',
    '/outside/x.txt',
    '/outside/',
    '/../rootless/x.txt',
    '/.env',
    '/%2eenv',
    '/env.txt',
    '/.git/config',
    '/a.txt/',
    '/a.txt/x',
    '/bare%20folder/',
    '/loop',
    '/fifo',
    `/${'a'.repeat(256)}`,
    `/${'a/'.repeat(2000)}x`,
  ])('refuses %s', async (target) => {
    const exchange = await get(target);
    expect(exchange.sent?.status).toBe(404);
    expect(exchange.body).toBe('Not Found\n');
  });

  it.each([
    ['/a%00.txt', 400],
    ['/%', 400],
    ['/%ff', 400],
    ['*', 400],
    [`/${'a'.repeat(5000)}`, 414],
  ])('answers what is malformed: %s', async (target, status) => {
    expect((await get(target)).sent?.status).toBe(status);
  });

  it('redirects folders without their slash, and never to another host', async () => {
    expect((await get('/folder?a=b')).header('location')).toBe('/folder/?a=b');
    expect((await get('//folder')).header('location')).toBe('/folder/');
    const spaced = await get('/bare%20folder');
    expect(spaced.sent?.status).toBe(301);
    expect(spaced.header('location')).toBe('/bare%20folder/');
  });

  it('allows GET and HEAD only', async () => {
    const exchange = await get('/a.txt', { method: 'POST', body: 'x' });
    expect(exchange.sent?.status).toBe(405);
    expect(exchange.header('allow')).toBe('GET, HEAD');
    const head = await get('/a.txt', { method: 'HEAD' });
    expect(head.sent?.status).toBe(200);
    expect(head.sent?.contentLength).toBe(5);
    expect(head.body).toBe('');
  });

  it('answers conditions', async () => {
    utimesSync(join(root, 'a.txt'), 1_700_000_000, 1_700_000_000.5);
    const first = await get('/a.txt');
    const tag = first.header('etag')!;
    const date = first.header('last-modified')!;
    expect(date).toBe('Tue, 14 Nov 2023 22:13:20 GMT');
    for (const value of [tag, `W/${tag}`, `"x", ${tag}`, '*']) {
      const exchange = await get('/a.txt', withHeader('If-None-Match', value));
      expect(exchange.sent?.status).toBe(304);
      expect(exchange.header('etag')).toBe(tag);
    }
    expect((await get('/a.txt', withHeader('If-None-Match', '"x"'))).sent?.status).toBe(200);
    expect((await get('/a.txt', withHeader('If-Modified-Since', date))).sent?.status).toBe(304);
    const earlier = 'Tue, 14 Nov 2023 22:13:19 GMT';
    expect((await get('/a.txt', withHeader('If-Modified-Since', earlier))).sent?.status).toBe(200);
    expect((await get('/a.txt', withHeader('If-Modified-Since', 'x'))).sent?.status).toBe(200);
    const both = await get('/a.txt', {
      headers: [
        ['If-None-Match', '"x"'],
        ['If-Modified-Since', date],
      ],
    });
    expect(both.sent?.status).toBe(200);
  });

  it('streams large files as the peer takes them, and closes them', async () => {
    const before = openDescriptors();
    const all = await get('/large.bin');
    expect(all.sent).toMatchObject({ whole: false, contentLength: 300_000 });
    expect(all.body === large.toString('latin1')).toBe(true);

    const slow = new FakeExchange({ target: '/large.bin', window: 70_000 });
    handler.handle(slow);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(slow.chunks).toHaveLength(2);
    slow.window = 1e9;
    slow.drain();
    await slow.finished();
    expect(slow.body.length).toBe(300_000);

    const leaving = new FakeExchange({ target: '/large.bin', window: 1 });
    handler.handle(leaving);
    leaving.leave();
    const later = new FakeExchange({ target: '/large.bin', window: 1 });
    handler.handle(later);
    await new Promise((resolve) => setTimeout(resolve, 30));
    later.leave();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(leaving.chunks).toHaveLength(0);
    expect(openDescriptors()).toBe(before);
  });

  it('fails a file that shrinks while it is sent', async () => {
    writeFileSync(join(root, 'shrinking.bin'), large);
    const exchange = new FakeExchange({ target: '/shrinking.bin', window: 1 });
    handler.handle(exchange);
    await new Promise((resolve) => setTimeout(resolve, 30));
    truncateSync(join(root, 'shrinking.bin'), 10);
    exchange.drain();
    await exchange.finished();
    expect(exchange.errors).toHaveLength(1);
  });

  it('keeps no descriptor open for what it refuses', async () => {
    const before = openDescriptors();
    for (const target of ['/outside.txt', '/fifo', '/folder', '/bare%20folder/', '/a.txt/', '/']) {
      await get(target);
    }
    expect(openDescriptors()).toBe(before);
  });
});

describe('parseTarget', () => {
  it('yields only names that stay inside, whatever it is given', () => {
    let state = 42;
    const random = (bound: number) => {
      state = (state * 1103515245 + 12345) & 0x7fffffff;
      return state % bound;
    };
    const parts = [
      '/',
      '.',
      '..',
      '%2e',
      '%2F',
      '%5c',
      '\\',
      '%00',
      'a',
      '%',
      '%c0%ae',
      '?',
      '%25',
      '\u00e9',
    ];
    for (let i = 0; i < 20_000; i++) {
      let target = '/';
      for (let n = random(8); n >= 0; n--) target += parts[random(parts.length)];
      const path = parseTarget(target);
      if (typeof path === 'number') continue;
      for (const name of path.names) expect(name).toMatch(/^[^./\\\0][^/\\\0]*$/);
    }
  });
});
