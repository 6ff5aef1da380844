/** What the cache of files holds, for how long, and when it lets go. */
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadNative } from '../../../src/listener/native.ts';
import {
  FileCache,
  MAX_CACHED_BYTES,
  MAX_ENTRIES,
  VALID_MS,
} from '../../../src/workers/static/file-cache.ts';
import { Folder } from '../../../src/workers/static/folder.ts';
import { lookUp, Resource } from '../../../src/workers/static/resource.ts';
import { StaticHandler } from '../../../src/workers/static/static-handler.ts';
import { FakeExchange, type FakeRequest } from '../../support/fake-exchange.ts';

const OLD_SECONDS = 1_700_000_000;
const LARGE_BYTES = 20_000;
const native = loadNative();
const MAX_OPEN_FILES = 4;

let root = '';
let elapsedMs = 0;
let nowMs = 0;
let handler: StaticHandler;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mpm-cache-'));
  elapsedMs = 1_000_000;
  nowMs = Date.now();
  handler = withDescriptors(native);
});
afterEach(async () => {
  await handler.settled();
  expect(openFiles()).toEqual([]);
  rmSync(root, { recursive: true });
});

function withDescriptors(descriptors: Pick<typeof native, 'duplicate' | 'close'>): StaticHandler {
  return new StaticHandler(
    root,
    { descriptors, indexes: false, maxOpenFiles: MAX_OPEN_FILES },
    { now: () => nowMs, elapsed: () => elapsedMs },
  );
}

function put(name: string, content: string, seconds = OLD_SECONDS): void {
  writeFileSync(join(root, name), content);
  utimesSync(join(root, name), seconds, seconds);
}
const large = (character: string): string => character.repeat(LARGE_BYTES);

function get(target: string, request: FakeRequest = {}): FakeExchange {
  const exchange = new FakeExchange({ target, ...request });
  handler.handle(exchange);
  expect(exchange.ended).toBe(true);
  return exchange;
}
const accepting = (coding: string): FakeRequest => ({ headers: [['Accept-Encoding', coding]] });

/** Names of files below the folder that this process holds open. */
function openFiles(): string[] {
  return readdirSync('/proc/self/fd')
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return '';
      }
    })
    .filter((path) => path.startsWith(`${root}/`))
    .map((path) => path.slice(root.length + 1))
    .sort();
}

describe('within the time that a look is good for', () => {
  it('asks nothing again, and then finds the new version', () => {
    put('a.txt', 'one');
    expect(get('/a.txt').body).toBe('one');
    const tag = get('/a.txt').header('etag');
    put('a.txt', 'two', OLD_SECONDS + 1);
    elapsedMs += VALID_MS - 1;
    expect(get('/a.txt?x').body).toBe('one');
    elapsedMs += 1;
    expect(get('/a.txt').body).toBe('two');
    expect(get('/a.txt').header('etag')).not.toBe(tag);
  });

  it('goes on sending from a descriptor, also of a file that is gone, and then no longer', () => {
    put('large', large('x'));
    expect(get('/large').body).toBe(large('x'));
    unlinkSync(join(root, 'large'));
    expect(get('/large').body).toBe(large('x'));
    elapsedMs += VALID_MS;
    expect(get('/large').sent?.status).toBe(404);
    expect(openFiles()).toEqual([]);
  });

  it('does not remember what is not there', () => {
    expect(get('/late.txt').sent?.status).toBe(404);
    put('late.txt', 'here');
    expect(get('/late.txt').body).toBe('here');
  });

  it('shares one list of headers among all responses', () => {
    put('a.txt', 'one');
    const { headers } = get('/a.txt').sent!;
    elapsedMs += VALID_MS;
    expect(get('/a.txt').sent?.headers).toBe(headers);
  });
});

describe('a look finds the change', () => {
  it.each([
    ['of content, with size and time as before', () => put('a', 'two')],
    ['of size', () => appendFileSync(join(root, 'a'), 'x')],
    [
      'to another file by a rename',
      () => {
        put('b', 'two');
        renameSync(join(root, 'b'), join(root, 'a'));
      },
    ],
    [
      'to a link',
      () => {
        put('b', 'two');
        unlinkSync(join(root, 'a'));
        symlinkSync('b', join(root, 'a'));
      },
    ],
  ])('%s', (_what, change) => {
    put('a', 'one');
    expect(get('/a').body).toBe('one');
    change();
    elapsedMs += VALID_MS;
    expect(get('/a').body).not.toBe('one');
  });

  it('of a folder on the way to a link that leads outside', () => {
    const outside = mkdtempSync(join(tmpdir(), 'mpm-outside-'));
    try {
      mkdirSync(join(root, 'folder'));
      put('folder/large', large('x'));
      expect(get('/folder/large').sent?.status).toBe(200);
      renameSync(join(root, 'folder'), join(outside, 'folder'));
      symlinkSync(join(outside, 'folder'), join(root, 'folder'));
      elapsedMs += VALID_MS;
      expect(get('/folder/large').sent?.status).toBe(404);
      expect(openFiles()).toEqual([]);
    } finally {
      rmSync(outside, { recursive: true });
    }
  });

  it('of the encoded forms', () => {
    put('a.css', 'plain');
    expect(get('/a.css', accepting('gzip')).header('vary')).toBeNull();
    put('a.css.gz', 'gz');
    elapsedMs += VALID_MS;
    const encoded = get('/a.css', accepting('gzip'));
    expect([encoded.body, encoded.header('content-encoding')]).toEqual(['gz', 'gzip']);
    expect(get('/a.css').header('vary')).toBe('Accept-Encoding');
    unlinkSync(join(root, 'a.css.gz'));
    elapsedMs += VALID_MS;
    expect(get('/a.css', accepting('gzip')).body).toBe('plain');
  });

  it('of an encoded form that goes before it is first asked for', () => {
    put('a.css', 'plain');
    put('a.css.gz', 'gz');
    expect(get('/a.css').body).toBe('plain');
    unlinkSync(join(root, 'a.css.gz'));
    expect(get('/a.css', accepting('gzip')).body).toBe('plain');
  });
});

it('a file that has just changed has a weak entity tag, and is read anew with every look', () => {
  put('a.txt', 'one', nowMs / 1000);
  const first = get('/a.txt').header('etag');
  expect(first).toMatch(/^W\//);
  // As a second change within one tick of the file system's clock: even the inode tells nothing.
  elapsedMs += VALID_MS;
  const before = get('/a.txt').sent?.headers;
  elapsedMs += VALID_MS;
  expect(get('/a.txt').sent?.headers).not.toBe(before);
  nowMs += 1_000;
  elapsedMs += VALID_MS;
  expect(`W/${get('/a.txt').header('etag')}`).toBe(first);
});

it('a link out of the folder is not an encoded form of what is in it', () => {
  const outside = mkdtempSync(join(tmpdir(), 'mpm-outside-'));
  writeFileSync(join(outside, 'secret'), 'secret');
  put('a.css', 'plain text');
  symlinkSync(join(outside, 'secret'), join(root, 'a.css.gz'));
  mkdirSync(join(root, 'a.css.br'));
  expect(get('/a.css', accepting('gzip, br')).body).toBe('plain text');
  rmSync(outside, { recursive: true });
});

describe('descriptors', () => {
  it('of small files are not kept', () => {
    put('a.txt', 'x');
    put('limit', 'x'.repeat(16 * 1024));
    get('/a.txt');
    get('/limit');
    expect(openFiles()).toEqual([]);
  });

  it('are kept up to the bound, the ones in use longest', () => {
    for (let index = 0; index < 10; index++) put(`${index}`, large(`${index}`));
    for (let index = 0; index < 10; index++) {
      expect(get(`/${index}`).body).toBe(large(`${index}`));
      get('/0');
      expect(openFiles().length).toBeLessThanOrEqual(MAX_OPEN_FILES);
    }
    expect(openFiles()).toHaveLength(MAX_OPEN_FILES);
    expect(openFiles()).toContain('0');
  });

  it('of a form that nobody is sent are not kept', () => {
    put('a.css', large('a'));
    put('a.css.gz', large('g').slice(1));
    get('/a.css', accepting('gzip'));
    expect(openFiles()).toEqual(['a.css.gz']);
    expect(get('/a.css').body).toBe(large('a'));
    expect(openFiles()).toEqual(['a.css', 'a.css.gz']);
  });

  it('that are lacking cost the ones that are kept, and only then a 503', () => {
    let lacking = 1;
    let refused = 0;
    handler = withDescriptors({
      close: native.close,
      duplicate: (fd) => {
        if (lacking === 0) return native.duplicate(fd);
        lacking--;
        refused++;
        return -24;
      },
    });
    put('large', large('x'));
    expect(get('/large').body).toBe(large('x'));
    expect(refused).toBe(1);
    lacking = 100;
    expect(get('/large').sent?.status).toBe(503);
    expect(openFiles()).toEqual([]);
  });
});

describe('the bounds of the cache', () => {
  function fill(cache: FileCache, folder: Folder, count: number): void {
    for (let index = 0; index < count; index++) {
      const found = lookUp(
        folder,
        { names: [`${index}`], isFolder: false, query: '' },
        OLD_SECONDS * 1000 + 10_000,
      );
      if (!(found instanceof Resource)) throw new Error(`no file ${index}`);
      const resource = cache.renew(`/${index}`, found, index);
      cache.load(resource, resource.identity, folder);
    }
  }

  it('hold for entries and for bytes', () => {
    const cache = new FileCache(MAX_OPEN_FILES);
    const folder = new Folder(root);
    for (let index = 0; index < MAX_ENTRIES + 10; index++) put(`${index}`, 'x');
    fill(cache, folder, MAX_ENTRIES + 10);
    expect(cache.size).toBe(MAX_ENTRIES);
    expect(cache.find('/0', 1)).toBeUndefined();
    expect(cache.heldBytes).toBe(MAX_ENTRIES);
    cache.clear();
    expect([cache.size, cache.heldBytes, cache.heldDescriptors]).toEqual([0, 0, 0]);
  });

  it('let bytes of many forms be no more than 8 MiB', () => {
    const cache = new FileCache(MAX_OPEN_FILES);
    const folder = new Folder(root);
    const content = 'x'.repeat(16 * 1024);
    const suffixes = ['', '.gz', '.br', '.zst'];
    const count = MAX_ENTRIES - 1;
    for (let index = 0; index < count; index++) {
      for (const suffix of suffixes) put(`${index}${suffix}`, content);
    }
    let most = 0;
    for (let index = 0; index < count; index++) {
      const path = { names: [`${index}`], isFolder: false, query: '' };
      const found = lookUp(folder, path, Date.now());
      if (!(found instanceof Resource)) throw new Error(`no file ${index}`);
      const resource = cache.renew(`/${index}`, found, 0);
      for (const form of [...resource.encoded, resource.identity]) {
        cache.load(resource, form, folder);
        most = Math.max(most, cache.heldBytes);
      }
    }
    expect(most).toBe(MAX_CACHED_BYTES);
    cache.clear();
    expect(cache.heldBytes).toBe(0);
  });
});

it('finds a file by every spelling of its path', () => {
  put('a.txt', 'x');
  for (const spelling of ['/a.txt', '//a.txt', '/%61.txt', 'http://h/a.txt']) {
    expect(get(spelling).body).toBe('x');
  }
});
