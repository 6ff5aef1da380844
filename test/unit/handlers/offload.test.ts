/** X-Sendfile and X-Accel-Redirect: what is sent in place of the handler's body, and what never is. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Response as LightResponse } from '../../../src/workers/fetch/response.ts';
import { FileOffload } from '../../../src/workers/files/offload.ts';
import {
  asked,
  fetched,
  type Listener,
  openDescriptors,
  withHeaders,
} from '../../support/handled.ts';

let base = '';
let root = '';
let offload: FileOffload;
const logged: string[] = [];
const large = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 31) & 0xff));
const at = (name: string) => join(root, name);

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'mpm-offload-'));
  root = join(base, 'my root');
  mkdirSync(at('folder'), { recursive: true });
  mkdirSync(join(base, 'my rootless'));
  writeFileSync(join(base, 'secret.txt'), 'secret');
  writeFileSync(join(base, 'my rootless', 'x.txt'), 'secret');
  writeFileSync(at('small.txt'), '0123456789');
  writeFileSync(at('with space.txt'), 'space');
  writeFileSync(at('folder/page.html'), '<p>page');
  writeFileSync(at('large.bin'), large);
  writeFileSync(at('empty.css'), '');
  writeFileSync(at('.env'), 'secret');
  symlinkSync('../secret.txt', at('outside.txt'));
  symlinkSync('.env', at('env.txt'));
  offload = new FileOffload(root, (line) => logged.push(line));
});
afterAll(() => rmSync(base, { recursive: true }));

describe('X-Sendfile', () => {
  const named = (fields: Record<string, string>, body: string | null = 'the handler') => ({
    fetch: () => new LightResponse(body, { headers: { 'Content-Type': 'a/b', ...fields } }),
    node: ((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'a/b', ...fields });
      if (body !== null) res.write(body);
      res.end();
    }) as Listener,
  });

  it.each<[string, Record<string, string>, string]>([
    ['a path from the folder', { 'X-Sendfile': 'folder/page.html' }, '<p>page'],
    ['an encoded one', { 'x-sendfile': 'with%20space.txt' }, 'space'],
    ['a path as in a request', { 'X-Accel-Redirect': '/small.txt?x=1' }, '0123456789'],
    ['a large file', { 'X-Accel-Redirect': '/large.bin' }, large.toString('latin1')],
    ['an empty file', { 'X-Sendfile': 'empty.css' }, ''],
  ])('sends %s', async (_what, fields, body) => {
    const { fetch, node } = named({ ...fields, 'Cache-Control': 'private' });
    const before = openDescriptors();
    const web = await fetched(fetch, {}, offload);
    expect(web.sent).toMatchObject({ status: 200, contentLength: body.length });
    expect(web.body).toBe(body);
    expect(web.header('content-type')).toBe('a/b');
    expect(web.header('cache-control')).toBe('private');
    expect(web.header('x-sendfile') ?? web.header('x-accel-redirect')).toBe(null);
    const old = await asked(node, {}, offload);
    expect(old.head).toMatch(new RegExp(`\r\nContent-Length: ${body.length}\r\n`));
    expect(old.head).not.toMatch(/x-sendfile|x-accel|transfer-encoding/i);
    expect(old.head).toMatch(/\r\ncontent-type: a\/b\r\n/i);
    expect(old.body).toBe(body);
    expect(openDescriptors()).toBe(before);
  });

  it('takes an absolute path below the folder', async () => {
    for (const value of [at('small.txt'), encodeURI(at('small.txt'))]) {
      const web = await fetched(named({ 'X-Sendfile': value }).fetch, {}, offload);
      expect(web.body).toBe('0123456789');
    }
  });

  it.each([
    '../secret.txt',
    'folder/../../secret.txt',
    '%2e%2e/secret.txt',
    '..%2fsecret.txt',
    '/etc/passwd',
    '//etc/passwd',
    'outside.txt',
    'env.txt',
    '.env',
    'folder',
    'folder/',
    'small.txt/',
    'none',
    '%zz',
    '',
  ])('does not send %j', async (value) => {
    const before = openDescriptors();
    for (const field of ['X-Sendfile', 'X-Accel-Redirect']) {
      logged.length = 0;
      const { fetch, node } = named({ [field]: value, ETag: '"x"' });
      const web = await fetched(fetch, {}, offload);
      expect(web.sent?.status).toBe(404);
      expect(web.body).toBe('Not Found\n');
      expect(web.header(field.toLowerCase())).toBe(null);
      expect(web.header('etag')).toBe(null);
      const old = await asked(node, {}, offload);
      expect(old.head).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/);
      expect(old.head).not.toMatch(/x-sendfile|x-accel|"x"/i);
      expect(old.body).toBe('Not Found\n');
      expect(logged).toHaveLength(2);
      expect(logged[0]).toContain(`${field} ${JSON.stringify(value)} of GET /`);
    }
    for (const value of [`${root}/../secret.txt`, `${base}/my rootless/x.txt`]) {
      const web = await fetched(named({ 'X-Sendfile': value }).fetch, {}, offload);
      expect(web.sent?.status).toBe(404);
    }
    expect(openDescriptors()).toBe(before);
  });

  it('answers conditions, ranges and HEAD', async () => {
    const { fetch, node } = named({ 'X-Sendfile': 'small.txt' });
    const range = withHeaders({ Range: 'bytes=2-4' });
    expect((await fetched(fetch, range, offload)).body).toBe('234');
    const old = await asked(node, range, offload);
    expect(old.head).toMatch(/^HTTP\/1\.1 206 Partial Content\r\n/);
    expect(old.body).toBe('234');
    const tag = /etag: (\S+)/.exec(old.head)?.[1] as string;
    const same = await asked(node, withHeaders({ 'If-None-Match': tag }), offload);
    expect(same.head).toMatch(/^HTTP\/1\.1 304 Not Modified\r\n/);
    expect(same.head).not.toMatch(/content-|transfer-/i);
    expect(same.body).toBe('');
    const head = await asked(node, { method: 'HEAD' }, offload);
    expect(head.head).toMatch(/content-length: 10\r\n/i);
    expect(head.body).toBe('');
    const many = await asked(node, withHeaders({ Range: 'bytes=0-1,4-5' }), offload);
    expect(many.body).toBe('0123456789');
  });

  it('ends the handler that goes on writing, and cancels its stream', async () => {
    const events: string[] = [];
    const old = await asked(
      (_req, res) => {
        res.setHeader('X-Sendfile', 'small.txt');
        res.on('finish', () => events.push('finish')).on('close', () => events.push('close'));
        res.write('one', () => {
          events.push('written');
          res.end('two');
        });
      },
      {},
      offload,
    );
    expect(old.body).toBe('0123456789');
    expect(events).toEqual(['written', 'finish', 'close']);
    let cancelled = false;
    const stream = new ReadableStream({
      cancel() {
        cancelled = true;
      },
    });
    const web = await fetched(
      () => new LightResponse(stream, { headers: { 'x-sendfile': 'small.txt' } }),
      {},
      offload,
    );
    expect(web.body).toBe('0123456789');
    expect(cancelled).toBe(true);
  });

  it('is a field as any other without the directive', async () => {
    const { fetch, node } = named({ 'X-Sendfile': 'small.txt' });
    const web = await fetched(fetch);
    expect(web.header('x-sendfile')).toBe('small.txt');
    expect(web.body).toBe('the handler');
    expect((await asked(node)).head).toContain('X-Sendfile: small.txt');
  });

  it('says at once that the folder is missing', () => {
    expect(() => new FileOffload(join(base, 'nowhere'), () => {})).toThrow('ENOENT');
  });
});
