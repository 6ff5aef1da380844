import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadNative } from '../../../src/listener/native.ts';
import { MAX_LISTED } from '../../../src/workers/static/listing.ts';
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
  for (const name of ['a.txt', 'index.html', 'folder/index.html', 'large.bin']) {
    utimesSync(join(root, name), 1_700_000_000, 1_700_000_000.5);
  }
  handler = new StaticHandler(root, { descriptors: loadNative(), indexes: false, maxOpenFiles: 4 });
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
    expect(exchange.header('etag')).toMatch(/^(?:W\/)?"[0-9a-f]+-[0-9a-f]+"$/);
    expect(exchange.header('accept-ranges')).toBe('bytes');
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

  it('says what it allows', async () => {
    const options = await get('/a.txt', { method: 'OPTIONS' });
    expect(options.sent?.status).toBe(204);
    expect(options.header('allow')).toBe('GET, HEAD, OPTIONS');
    const exchange = await get('/a.txt', { method: 'POST', body: 'x' });
    expect(exchange.sent?.status).toBe(405);
    expect(exchange.header('allow')).toBe('GET, HEAD, OPTIONS');
    const head = await get('/a.txt', { method: 'HEAD' });
    expect(head.sent?.status).toBe(200);
    expect(head.sent?.contentLength).toBe(5);
    expect(head.body).toBe('');
  });

  it('answers conditions', async () => {
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

  it('sends a large file from a descriptor, the whole or parts of it', async () => {
    const all = await get('/large.bin');
    expect(all.sent).toMatchObject({ status: 200, whole: false, contentLength: 300_000 });
    expect(all.body === large.toString('latin1')).toBe(true);
    expect(all.fileParts).toBe(1);
    const head = await get('/large.bin', { method: 'HEAD' });
    expect(head.sent?.contentLength).toBe(300_000);
    expect(head.fileParts).toBe(0);
    const part = await get('/large.bin', withHeader('Range', 'bytes=200000-'));
    expect(part.sent).toMatchObject({ status: 206, contentLength: 100_000 });
    expect(part.header('content-range')).toBe('bytes 200000-299999/300000');
    expect(part.body === large.subarray(200_000).toString('latin1')).toBe(true);
  });

  it('sends several parts one after the other as the peer takes them', async () => {
    await get('/large.bin');
    const before = openDescriptors();
    const ranges = withHeader('Range', 'bytes=0-99999,100001-200000,-5');
    const slow = new FakeExchange({ target: '/large.bin', ...ranges, window: 50_000 });
    handler.handle(slow);
    expect(slow.fileParts).toBe(1);
    slow.drain();
    expect(slow.fileParts).toBe(2);
    expect(slow.ended).toBe(false);
    slow.drain();
    await slow.finished();
    expect(slow.fileParts).toBe(3);
    expect(slow.body.length).toBe(slow.sent?.contentLength);
    expect(openDescriptors()).toBe(before);
  });

  it('keeps no descriptor of several parts where the peer leaves', async () => {
    await get('/large.bin');
    const before = openDescriptors();
    const ranges = withHeader('Range', 'bytes=0-99999,100001-200000');
    const leaving = new FakeExchange({ target: '/large.bin', ...ranges, window: 50_000 });
    handler.handle(leaving);
    expect(openDescriptors()).toBe(before + 1);
    leaving.leave();
    expect(openDescriptors()).toBe(before);
  });

  it('keeps no descriptor open for what it refuses', async () => {
    const before = openDescriptors();
    for (const target of ['/outside.txt', '/fifo', '/folder', '/bare%20folder/', '/a.txt/', '/']) {
      await get(target);
    }
    expect(openDescriptors()).toBe(before);
  });
});

describe('a listing', () => {
  const listed = (): StaticHandler =>
    new StaticHandler(root, { descriptors: loadNative(), indexes: true, maxOpenFiles: 4 });
  const list = async (target: string, method = 'GET'): Promise<FakeExchange> => {
    const exchange = new FakeExchange({ target, method });
    listed().handle(exchange);
    await exchange.finished();
    return exchange;
  };
  const names = (html: string): string[] =>
    [...html.matchAll(/<a href="([^"]*)"/g)].map((match) => match[1]);

  it('shows folders first, then files, numbers by their value', async () => {
    const folder = join(root, 'listed');
    mkdirSync(join(folder, 'z'), { recursive: true });
    for (const name of ['10.txt', '9.txt', 'b&"\'<i>.txt', 'a:b', '.hidden', 'a\\b']) {
      writeFileSync(join(folder, name), 'x'.repeat(2000));
    }
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.of(0xff)]), 'x');
    symlinkSync('../../secret.txt', join(folder, 'outside'));
    symlinkSync('../.env', join(folder, 'env'));
    symlinkSync('nowhere', join(folder, 'dangling'));
    symlinkSync('../a.txt', join(folder, 'inside'));
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    const { sent, bodyText } = await list('/listed/');
    expect(sent?.status).toBe(200);
    expect(names(bodyText)).toEqual([
      '../',
      './z/',
      './9.txt',
      './10.txt',
      './a%3Ab',
      './b%26%22&#39;%3Ci%3E.txt',
      './inside',
    ]);
    expect(bodyText).toContain('>b&amp;&quot;&#39;&lt;i&gt;.txt</a>');
    expect(bodyText).toContain('>2.0k<');
    expect(bodyText).not.toMatch(/<script|src=|https?:/);
  });

  it('has no way up from the root, escapes its title, and is no body for HEAD', async () => {
    mkdirSync(join(root, '<b>'));
    const { bodyText } = await list('/%3Cb%3E/');
    expect(bodyText).toContain('<h1>Index of /&lt;b&gt;/</h1>');
    const bare = mkdtempSync(join(base, 'bare-'));
    const handler = new StaticHandler(bare, {
      descriptors: loadNative(),
      indexes: true,
      maxOpenFiles: 4,
    });
    const exchange = new FakeExchange({ target: '/' });
    handler.handle(exchange);
    expect(names(exchange.bodyText)).toEqual([]);
    expect((await list('/listed/', 'HEAD')).body).toBe('');
  });

  it('is bounded', async () => {
    const folder = join(root, 'many');
    mkdirSync(folder);
    for (let index = 0; index <= MAX_LISTED; index++) writeFileSync(join(folder, `${index}`), '');
    const { bodyText } = await list('/many/');
    expect(names(bodyText)).toHaveLength(MAX_LISTED + 1);
    expect(bodyText).toContain(`first ${MAX_LISTED} entries`);
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
      '.well-known',
    ];
    for (let i = 0; i < 20_000; i++) {
      let target = '/';
      for (let n = random(8); n >= 0; n--) target += parts[random(parts.length)];
      const path = parseTarget(target);
      if (typeof path === 'number') continue;
      const { names } = path;
      const rest = names[0] === '.well-known' ? names.slice(1) : names;
      for (const name of rest) expect(name).toMatch(/^[^./\\\0][^/\\\0]*$/);
    }
  });
});
