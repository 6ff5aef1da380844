/** Files and bytes that handlers answer with: what a client gets, and that nothing stays open. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FetchHandler } from '../../../src/workers/fetch/fetch-handler.ts';
import { Response as LightResponse } from '../../../src/workers/fetch/response.ts';
import { FileError, fileErrorOf } from '../../../src/workers/files/file-error.ts';
import { MAX_MEMORY_FILES } from '../../../src/workers/files/memory-files.ts';
import { sendBytes } from '../../../src/workers/files/send-bytes.ts';
import { type SendFileInit, sendFile } from '../../../src/workers/files/send-file.ts';
import { NodeHandler } from '../../../src/workers/node-http/node-handler.ts';
import { sendFileTo } from '../../../src/workers/node-http/send-file-to.ts';
import { FakeExchange } from '../../support/fake-exchange.ts';
import { asked, fetched, openDescriptors, withHeaders } from '../../support/handled.ts';
import { eventually } from '../../support/server-process.ts';

let base = '';
let root = '';
const large = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 31) & 0xff));
const at = (name: string) => join(root, name);

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'mpm-files-'));
  root = join(base, 'root');
  mkdirSync(join(root, 'folder'), { recursive: true });
  mkdirSync(join(base, 'rootless'));
  writeFileSync(join(base, 'secret.txt'), 'secret');
  writeFileSync(join(base, 'rootless', 'x.txt'), 'secret');
  writeFileSync(at('small.txt'), '0123456789');
  writeFileSync(at('with space.txt'), 'space');
  writeFileSync(at('folder/page.html'), '<p>page');
  writeFileSync(at('large.bin'), large);
  writeFileSync(at('empty.css'), '');
  writeFileSync(at('.env'), 'secret');
  writeFileSync(at('locked.txt'), 'secret');
  chmodSync(at('locked.txt'), 0);
  symlinkSync('../secret.txt', at('outside.txt'));
  symlinkSync('.env', at('env.txt'));
  execFileSync('mkfifo', [at('fifo')]);
  for (const name of ['small.txt', 'large.bin', 'folder/page.html']) {
    utimesSync(at(name), 1_700_000_000, 1_700_000_000);
  }
});
afterAll(() => rmSync(base, { recursive: true }));

describe('sendFile', () => {
  it.each([
    ['small.txt', '0123456789', 'text/plain;charset=utf-8'],
    ['folder/page.html', '<p>page', 'text/html;charset=utf-8'],
    ['empty.css', '', 'text/css;charset=utf-8'],
    ['large.bin', large.toString('latin1'), 'application/octet-stream'],
  ])('%s', async (name, body, type) => {
    const exchange = await fetched(() => sendFile(at(name)));
    expect(exchange.sent).toMatchObject({ status: 200, contentLength: body.length });
    expect(exchange.body).toBe(body);
    expect(exchange.header('content-type')).toBe(type);
    expect(exchange.header('etag')).toMatch(/^(W\/)?"[0-9a-f]+-[0-9a-f]+"$/);
    expect(exchange.header('accept-ranges')).toBe('bytes');
    // What is large does not pass through the process.
    expect(exchange.fileParts).toBe(body.length > 16 * 1024 ? 1 : 0);
  });

  it('takes a file: URL and the folder it is confined to', async () => {
    const byUrl = await fetched(() => sendFile(pathToFileURL(at('with space.txt'))));
    expect(byUrl.body).toBe('space');
    const below = await fetched(() => sendFile('/folder/page.html', { root }));
    expect(below.body).toBe('<p>page');
  });

  it('takes a FileHandle, which may be closed at once', async () => {
    const exchange = await fetched(async () => {
      const handle = await open(at('large.bin'));
      try {
        return sendFile(handle, { contentType: 'image/x-any' });
      } finally {
        await handle.close();
      }
    });
    expect(exchange.body).toBe(large.toString('latin1'));
    expect(exchange.header('content-type')).toBe('image/x-any');
  });

  it('gives a response like any other', async () => {
    const response = sendFile(at('small.txt'), {
      status: 203,
      headers: { ETag: '"mine"', 'Cache-Control': 'no-store' },
    });
    expect(response).toBeInstanceOf(LightResponse);
    expect(response).toBeInstanceOf(globalThis.Response);
    expect(response.status).toBe(203);
    response.headers.set('x-more', 'yes');
    const copy = response.clone();
    const rewrapped = new LightResponse(copy.body, copy);
    expect(rewrapped.headers.get('etag')).toBe('"mine"');
    const exchange = await fetched(() => response);
    expect(exchange.sent?.status).toBe(203);
    expect(exchange.header('x-more')).toBe('yes');
    expect(exchange.header('etag')).toBe('"mine"');
    expect(response.bodyUsed).toBe(true);
    expect(await rewrapped.text()).toBe('0123456789');
    expect(Buffer.from(await sendFile(at('large.bin')).arrayBuffer()).equals(large)).toBe(true);
  });

  it('goes the short way also when it was wrapped anew', async () => {
    const exchange = await fetched(() => {
      const inner = sendFile(at('large.bin'));
      return new LightResponse(inner.body, inner);
    });
    expect(exchange.fileParts).toBe(1);
    expect(exchange.body).toBe(large.toString('latin1'));
  });

  it('sends part of a file, with a tag of its own', async () => {
    const whole = await fetched(() => sendFile(at('small.txt')));
    const exchange = await fetched(() => sendFile(at('small.txt'), { offset: 2, length: 5 }));
    expect(exchange.body).toBe('23456');
    expect(exchange.header('etag')).not.toBe(whole.header('etag'));
    const rest = await fetched(() => sendFile(at('large.bin'), { offset: 50_000 }));
    expect(rest.body).toBe(large.subarray(50_000).toString('latin1'));
  });

  it.each<SendFileInit>([
    { offset: 11 },
    { offset: -1 },
    { length: 11 },
    { offset: 5, length: 6 },
    { offset: 0.5 },
    { length: Number.NaN },
  ])('refuses %o of ten bytes', (init) => {
    expect(() => sendFile(at('small.txt'), init)).toThrow(
      expect.objectContaining({ name: 'RangeError', code: 'ERR_OUT_OF_RANGE' }),
    );
  });

  it('lets no line break into the head', () => {
    const before = openDescriptors();
    const init = { contentType: 'text/plain\r\nX-Evil: 1' };
    expect(() => sendFile(at('small.txt'), init)).toThrow(TypeError);
    expect(openDescriptors()).toBe(before);
  });

  it('answers HEAD without a body and with its length', async () => {
    const exchange = await fetched(() => sendFile(at('large.bin')), { method: 'HEAD' });
    expect(exchange.sent).toMatchObject({ status: 200, contentLength: large.length });
    expect(exchange.chunks).toEqual([]);
  });

  it('does not heed conditions unless it is given the request', async () => {
    const exchange = await fetched(
      () => sendFile(at('small.txt')),
      withHeaders({ Range: 'bytes=0-1' }),
    );
    expect(exchange.sent?.status).toBe(200);
  });

  const tag = '"a-60a24181e4000"';
  it.each<[string, Record<string, string>, number, string]>([
    ['If-None-Match', { 'If-None-Match': tag }, 304, ''],
    [
      'If-Modified-Since',
      { 'If-Modified-Since': new Date(1_700_000_000_000).toUTCString() },
      304,
      '',
    ],
    ['If-Match', { 'If-Match': '"other"' }, 412, 'Precondition Failed\n'],
    ['a range', { Range: 'bytes=2-4' }, 206, '234'],
    ['a suffix', { Range: 'bytes=-3' }, 206, '789'],
    ['If-Range', { Range: 'bytes=2-4', 'If-Range': tag }, 206, '234'],
    ['another If-Range', { Range: 'bytes=2-4', 'If-Range': '"x"' }, 200, '0123456789'],
    ['beyond the end', { Range: 'bytes=10-' }, 416, 'Range Not Satisfiable\n'],
  ])('heeds %s', async (_what, headers, status, body) => {
    const before = openDescriptors();
    const exchange = await fetched(
      (request) =>
        sendFile(at('small.txt'), {
          request,
          headers: { 'Cache-Control': 'max-age=9', 'Content-Disposition': 'inline', 'X-Own': 'a' },
        }),
      withHeaders(headers),
    );
    expect(exchange.sent?.status).toBe(status);
    expect(exchange.body).toBe(body);
    expect(exchange.header('x-own')).toBe('a');
    expect(exchange.header('content-disposition')).toBe(status < 300 ? 'inline' : null);
    expect(exchange.header('cache-control')).toBe(status < 400 ? 'max-age=9' : null);
    if (status === 206) expect(exchange.header('content-range')).toMatch(/^bytes [27]-[49]\/10$/);
    if (status === 416) expect(exchange.header('content-range')).toBe('bytes */10');
    expect(openDescriptors()).toBe(before);
  });

  it('sends several ranges of a part of a file', async () => {
    const exchange = await fetched(
      (request) => sendFile(at('large.bin'), { request, offset: 1000, length: 90_000 }),
      withHeaders({ Range: 'bytes=0-9,80000-89999' }),
    );
    expect(exchange.sent?.status).toBe(206);
    const boundary = /boundary=(.*)$/.exec(exchange.header('content-type') ?? '')?.[1];
    expect(exchange.body).toContain(large.subarray(1000, 1010).toString('latin1'));
    expect(exchange.body).toContain(large.subarray(81_000, 91_000).toString('latin1'));
    expect(exchange.body).toContain('Content-Range: bytes 80000-89999/90000');
    expect(exchange.body.endsWith(`\r\n--${boundary}--\r\n`)).toBe(true);
    expect(exchange.body.length).toBe(exchange.sent?.contentLength);
  });

  it.each<[string, string, SendFileInit, string, number]>([
    ['what does not exist', 'none', {}, 'ENOENT', 404],
    ['a folder', 'folder', {}, 'EISDIR', 404],
    ['a FIFO', 'fifo', {}, 'ERR_MPM_NOT_A_FILE', 404],
    ['a name with NUL', 'a\0b', {}, 'ENOENT', 404],
    ['a file below a file', 'small.txt/x', {}, 'ENOTDIR', 404],
  ])('%s', async (_what, name, init, code, status) => {
    const before = openDescriptors();
    expect(() => sendFile(`${root}/${name}`, init)).toThrow(
      expect.objectContaining({ name: 'FileError', code, status, statusCode: status }),
    );
    const exchange = await fetched(() => sendFile(`${root}/${name}`, init));
    expect(exchange.sent?.status).toBe(status);
    expect(exchange.errors).toEqual([]);
    expect(exchange.body).not.toContain('root');
    const later = await fetched(async () => sendFile(`${root}/${name}`, init));
    expect(later.sent?.status).toBe(status);
    expect(openDescriptors()).toBe(before);
  });

  it.each([
    ['EACCES', 403],
    ['EMFILE', 503],
  ])('answers %s of the file system by %i', async (code, status) => {
    const exchange = await fetched(() => {
      throw fileErrorOf(Object.assign(new Error(code), { code }), 'x');
    });
    expect(exchange.sent?.status).toBe(status);
    const error = new Error('EIO');
    expect(fileErrorOf(error, 'x')).toBe(error);
  });

  // Root may read whatever it likes.
  it.skipIf(process.getuid?.() === 0)('answers 403 where it may not read', async () => {
    const exchange = await fetched(() => sendFile(at('locked.txt')));
    expect(exchange.sent?.status).toBe(403);
  });

  it.each([
    '../secret.txt',
    'folder/../../secret.txt',
    '/../secret.txt',
    'outside.txt',
    '.env',
    'env.txt',
    '../rootless/x.txt',
    'folder',
    'folder/',
    '/',
    '',
    'a\0b',
    'x'.repeat(5000),
  ])('does not leave its root for %j', async (path) => {
    const before = openDescriptors();
    const exchange = await fetched(() => sendFile(path, { root }));
    expect(exchange.sent?.status).toBe(404);
    expect(openDescriptors()).toBe(before);
  });

  it('takes an absolute path below its root from there', () => {
    expect(() => sendFile('/etc/passwd', { root })).toThrow(FileError);
  });

  it('says that a root is none, by a 500', async () => {
    const exchange = await fetched(() => sendFile('a', { root: join(base, 'nowhere') }));
    expect(exchange.errors).toMatchObject([{ code: 'ERR_MPM_FILE_ROOT' }]);
  });

  it('answers 503 for a file that has shrunk meanwhile', async () => {
    writeFileSync(at('shrinking.txt'), 'long enough');
    const exchange = await fetched(() => {
      const response = sendFile(at('shrinking.txt'));
      truncateSync(at('shrinking.txt'), 3);
      return response;
    });
    expect(exchange.sent?.status).toBe(503);
  });

  it('leaves an application error what it is', async () => {
    const exchange = await fetched(() => {
      throw Object.assign(new Error('own'), { code: 'ENOENT' });
    });
    expect(exchange.errors).toHaveLength(1);
  });

  it('closes the file of a response that nobody gets any more', async () => {
    const before = openDescriptors();
    let respond: (response: globalThis.Response) => void = () => {};
    const exchange = new FakeExchange();
    new FetchHandler(
      () => new Promise<globalThis.Response>((resolve) => (respond = resolve)),
    ).handle(exchange);
    exchange.leave();
    respond(sendFile(at('large.bin')));
    await Promise.resolve();
    await Promise.resolve();
    await Promise.resolve();
    expect(openDescriptors()).toBe(before);
  });

  it('gives the descriptor of a dropped response back in time', async () => {
    const before = openDescriptors();
    for (let i = 0; i < 5; i++) sendFile(at('large.bin'));
    expect(openDescriptors()).toBe(before + 5);
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    await eventually(
      () => {
        collect();
        return openDescriptors();
      },
      (count) => count === before,
    );
  });

  it('is sent once', async () => {
    const response = sendFile(at('large.bin'));
    await fetched(() => response);
    const again = await fetched(() => response);
    expect(again.errors).toHaveLength(1);
  });
});

describe('sendBytes', () => {
  it('sends what is small as it is', async () => {
    const exchange = await fetched(() =>
      sendBytes(Buffer.from('abc'), { headers: { 'x-a': 'b' } }),
    );
    expect(exchange.sent?.whole).toBe(true);
    expect(exchange.body).toBe('abc');
    expect(exchange.header('x-a')).toBe('b');
  });

  it('puts what is large into one memory file, for views of it too', async () => {
    const bytes = new Uint8Array(large);
    const before = openDescriptors();
    for (let turn = 0; turn < 3; turn++) {
      const exchange = await fetched(() => sendBytes(bytes));
      expect(exchange.fileParts).toBe(1);
      expect(exchange.body).toBe(large.toString('latin1'));
      const view = await fetched(() => sendBytes(bytes.subarray(10, 90_010)));
      expect(view.fileParts).toBe(1);
      expect(view.body).toBe(large.subarray(10, 90_010).toString('latin1'));
    }
    expect(openDescriptors()).toBe(before + 1);
    const head = await fetched(() => sendBytes(bytes), { method: 'HEAD' });
    expect(head.sent?.contentLength).toBe(large.length);
    expect(await sendBytes(bytes).arrayBuffer()).toEqual(bytes.buffer);
  });

  it('sends bytes without a file where there are too many', async () => {
    const before = openDescriptors();
    const all = Array.from({ length: MAX_MEMORY_FILES + 3 }, (_, i) => Buffer.alloc(70_000, i));
    for (const [index, bytes] of all.entries()) {
      const exchange = await fetched(() => sendBytes(bytes));
      expect(Buffer.concat(exchange.chunks).equals(Buffer.alloc(70_000, index))).toBe(true);
    }
    expect(openDescriptors() - before).toBeLessThanOrEqual(MAX_MEMORY_FILES);
  });

  it('refuses what is no bytes', () => {
    expect(() => sendBytes('text' as unknown as Uint8Array)).toThrow(TypeError);
  });
});

describe('sendFileTo', () => {
  it.each(['small.txt', 'large.bin', 'empty.css'])('%s', async (name) => {
    const events: string[] = [];
    const { exchange, head, body } = await asked((_req, res) => {
      res.on('finish', () => events.push('finish')).on('close', () => events.push('close'));
      res.setHeader('Cache-Control', 'no-cache');
      sendFileTo(res, at(name));
      expect(res.headersSent).toBe(true);
      expect(res.writableEnded).toBe(true);
    });
    const length = { 'small.txt': 10, 'large.bin': large.length, 'empty.css': 0 }[name];
    expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(head).toMatch(new RegExp(`\r\ncontent-length: ${length}\r\n`, 'i'));
    expect(head).toContain('Cache-Control: no-cache');
    expect(head).toMatch(/\r\netag: /);
    expect(body.length).toBe(length);
    expect(exchange.rawKeepAlive).toBe(true);
    expect(events).toEqual(['finish', 'close']);
  });

  it('heeds the request, unless it is told not to', async () => {
    const request = withHeaders({ Range: 'bytes=2-4' });
    const part = await asked((_req, res) => sendFileTo(res, at('small.txt')), request);
    expect(part.head).toMatch(/^HTTP\/1\.1 206 Partial Content\r\n/);
    expect(part.body).toBe('234');
    const whole = await asked(
      (_req, res) => sendFileTo(res, at('small.txt'), { conditional: false }),
      request,
    );
    expect(whole.body).toBe('0123456789');
    const same = await asked(
      (_req, res) => {
        res.setHeader('ETag', '"mine"');
        res.setHeader('Content-Type', 'text/x-own');
        sendFileTo(res, at('small.txt'));
      },
      withHeaders({ 'If-None-Match': '"mine"' }),
    );
    expect(same.head).toMatch(/^HTTP\/1\.1 304 Not Modified\r\n/);
    expect(same.head).not.toMatch(/content-/i);
    expect(same.body).toBe('');
  });

  it('sends several ranges, and nothing to HEAD', async () => {
    const many = await asked(
      (_req, res) => sendFileTo(res, at('large.bin')),
      withHeaders({ Range: 'bytes=0-9,70000-99999' }),
    );
    expect(many.head).toMatch(/multipart\/byteranges/);
    expect(many.body).toContain(large.subarray(70_000).toString('latin1'));
    expect(many.exchange.rawKeepAlive).toBe(true);
    const head = await asked((_req, res) => sendFileTo(res, at('large.bin')), { method: 'HEAD' });
    expect(head.head).toMatch(/content-length: 100000\r\n/i);
    expect(head.body).toBe('');
  });

  it('answers for a missing file, and leaves the response whole for who catches it', async () => {
    const missing = await asked((_req, res) => sendFileTo(res, at('none')));
    expect(missing.exchange.sent?.status).toBe(404);
    expect(missing.exchange.errors).toEqual([]);
    const caught = await asked((_req, res) => {
      try {
        sendFileTo(res, at('none'));
      } catch (error) {
        res.statusCode = (error as FileError).statusCode;
        res.end('my own page');
      }
    });
    expect(caught.head).toMatch(/^HTTP\/1\.1 404 /);
    expect(caught.body).toBe('my own page');
    expect(() => {
      throw new FileError('ENOENT', 404, 'x');
    }).toThrow('ENOENT: cannot send "x"');
  });

  it('gives its bytes to middleware that transforms them', async () => {
    const { body, head } = await asked((_req, res) => {
      // As the compression package does it: at the head it decides, then it takes what is written.
      const { writeHead, write } = res;
      res.writeHead = function (this: ServerResponse, status: number) {
        this.removeHeader('Content-Length');
        this.setHeader('Content-Encoding', 'upper');
        return writeHead.call(this, status);
      } as typeof res.writeHead;
      res.write = ((chunk: Buffer) =>
        write.call(res, Buffer.from(chunk.toString().toUpperCase()), 'utf8')) as typeof res.write;
      sendFileTo(res, at('folder/page.html'));
    });
    expect(head).toContain('Content-Encoding: upper');
    expect(body).toBe('7\r\n<P>PAGE\r\n0\r\n\r\n');
  });

  it.each(['before', 'after'])('keeps nothing open for a client that leaves %s', async (when) => {
    const before = openDescriptors();
    const exchange = new FakeExchange();
    let response: ServerResponse | undefined;
    new NodeHandler((_req, res) => {
      response = res;
      if (when === 'before') return;
      // As express-session does, which ends a response once its session is stored.
      res.end = () => res;
      sendFileTo(res, at('large.bin'));
    }).handle(exchange);
    if (when === 'after') expect(openDescriptors()).toBe(before + 1);
    exchange.leave();
    await new Promise((resolve) => setImmediate(resolve));
    if (when === 'before') sendFileTo(response!, at('large.bin'));
    expect(openDescriptors()).toBe(before);
  });

  it('closes the connection where the handler asked for it, and refuses a begun response', async () => {
    const { exchange } = await asked((_req, res) => {
      res.setHeader('Connection', 'close');
      sendFileTo(res, at('large.bin'));
      expect(() => sendFileTo(res, at('large.bin'))).toThrow(
        expect.objectContaining({ code: 'ERR_HTTP_HEADERS_SENT' }),
      );
    });
    expect(exchange.rawKeepAlive).toBe(false);
  });
});
