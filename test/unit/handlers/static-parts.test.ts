/** The parts that need no file system: dates, ranges, codings, validators, types. */
import { describe, expect, it } from 'vitest';
import {
  type Conditions,
  evaluate,
  rangeIsCurrent,
  validatorsOf,
} from '../../../src/workers/static/conditional.ts';
import { qualitiesOf } from '../../../src/workers/static/encoding.ts';
import { parseHttpDate } from '../../../src/workers/static/http-date.ts';
import { contentTypeOf } from '../../../src/workers/static/mime.ts';
import { layOut } from '../../../src/workers/static/multipart.ts';
import { parseRange } from '../../../src/workers/static/range.ts';

const NOW_MS = Date.UTC(2026, 10, 21);
const SECONDS = 784111777;

describe('parseHttpDate', () => {
  it.each([
    ['Sun, 06 Nov 1994 08:49:37 GMT', SECONDS],
    ['Sunday, 06-Nov-94 08:49:37 GMT', SECONDS],
    ['Sun Nov  6 08:49:37 1994', SECONDS],
    ['Thu, 31 Dec 1998 23:59:60 GMT', Date.UTC(1999, 0, 1) / 1000],
    ['Thu, 29 Feb 2024 00:00:00 GMT', Date.UTC(2024, 1, 29) / 1000],
    // More than 50 years ahead is past (RFC 9110, section 5.6.7).
    ['Saturday, 21-Nov-76 00:00:00 GMT', Date.UTC(2076, 10, 21) / 1000],
    ['Monday, 21-Nov-77 00:00:00 GMT', Date.UTC(1977, 10, 21) / 1000],
  ])('takes %s', (text, seconds) => {
    expect(parseHttpDate(text, NOW_MS)).toBe(seconds);
  });

  it.each([
    '',
    'now',
    '0',
    '1994-11-06T08:49:37Z',
    'Sun, 06 Nov 1994 08:49:37',
    'Sun, 06 Nov 1994 08:49:37 +0000',
    'Sun, 06 Nov 1994 08:49:37 UTC',
    'Sun, 6 Nov 1994 08:49:37 GMT',
    'Sun, 06 nov 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 24:00:00 GMT',
    'Sun, 31 Feb 1994 08:49:37 GMT',
    'Sun, 00 Nov 1994 08:49:37 GMT',
    ' Sun, 06 Nov 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT',
  ])('takes no %j', (text) => {
    expect(parseHttpDate(text, NOW_MS)).toBeNaN();
  });
});

describe('parseRange', () => {
  it.each([
    ['bytes=0-4', [[0, 5]]],
    ['bytes=9-', [[9, 1]]],
    ['bytes=-3', [[7, 3]]],
    ['bytes=-99', [[0, 10]]],
    ['bytes=8-99999999999999999999', [[8, 2]]],
    [
      'bytes=,0-0,,2-2,',
      [
        [0, 1],
        [2, 1],
      ],
    ],
    [
      'bytes=\t0-0 ,\t2-2',
      [
        [0, 1],
        [2, 1],
      ],
    ],
    ['bytes=10-', []],
    ['bytes=-0', []],
    ['bytes=-0,3-3', [[3, 1]]],
    ['bytes=00000000000000000000003-4', [[3, 2]]],
    ['bytes=99999999999999999999999-', []],
    ['bytes=99999999999999999998-99999999999999999999', []],
  ])('%s of 10 bytes', (field, expected) => {
    const found = parseRange(field, 10);
    expect(found?.map(({ offset, length }) => [offset, length])).toEqual(expected);
  });

  it.each([
    'bytes',
    'bytes=',
    'bytes=,',
    'bytes=-',
    'bytes=--1',
    'bytes=1',
    'bytes=1-0',
    'bytes=10-9',
    'bytes=99999999999999999999-99999999999999999998',
    'bytes=0x1-2',
    'bytes=1.0-2',
    'bytes=+1-2',
    'bytes=1 - 2',
    'bytes=0-0;1-1',
    'bytes=0-0,a',
    'bytes =0-0',
    ' bytes=0-0',
    'items=0-0',
    'bytes=0-9,0-0',
  ])('%j is to be ignored', (field) => {
    expect(parseRange(field, 10)).toBeNull();
  });

  it('yields parts of what there is, whatever it is given', () => {
    const seed = 20261121;
    let state = seed;
    const random = (bound: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return state % bound;
    };
    const pieces = ['0', '1', '5', '9', '10', '99', '-', '-', ',', ' ', '00', 'x'];
    for (let round = 0; round < 20_000; round++) {
      const size = random(12);
      let field = 'bytes=';
      for (let count = random(10); count >= 0; count--) field += pieces[random(pieces.length)];
      const ranges = parseRange(field, size) ?? [];
      let total = 0;
      for (const { offset, length } of ranges) {
        const inside = offset >= 0 && length >= 1 && offset + length <= size;
        expect(inside, `seed ${seed}, round ${round}: ${field} of ${size}`).toBe(true);
        total += length;
      }
      expect(total).toBeLessThanOrEqual(size);
    }
  });
});

describe('qualitiesOf', () => {
  it.each([
    [null, { br: 0, zstd: 0, gzip: 0, identity: 1000 }],
    ['', { br: 0, zstd: 0, gzip: 0, identity: 0.5 }],
    ['gzip, br', { br: 1000, zstd: 0, gzip: 1000, identity: 0.5 }],
    ['GZIP;Q=0.123 , Br ;\tq=1.000', { br: 1000, zstd: 0, gzip: 123, identity: 0.5 }],
    ['x-gzip', { br: 0, zstd: 0, gzip: 1000, identity: 0.5 }],
    ['*', { br: 1000, zstd: 1000, gzip: 1000, identity: 1000 }],
    ['*;q=0, gzip', { br: 0, zstd: 0, gzip: 1000, identity: 0 }],
    ['identity;q=1, *;q=0', { br: 0, zstd: 0, gzip: 0, identity: 1000 }],
    ['gzip;q=1.5, br;q=, zstd;q=0.1234', { br: 0, zstd: 0, gzip: 0, identity: 0.5 }],
    ['gzip;level=9, br;q=-1, constructor', { br: 0, zstd: 0, gzip: 0, identity: 0.5 }],
  ])('%j', (field, expected) => {
    expect(qualitiesOf(field)).toEqual(expected);
    expect(qualitiesOf(field)).toEqual(expected);
  });
});

const VERSION = { size: 16, mtimeMs: SECONDS * 1000 + 250 };
const DATE = 'Sun, 06 Nov 1994 08:49:37 GMT';
const conditions = (given: Partial<Conditions>): Conditions => ({
  ifMatch: null,
  ifNoneMatch: null,
  ifModifiedSince: null,
  ifUnmodifiedSince: null,
  ...given,
});

describe('validators', () => {
  it('are of the version and its form', () => {
    const plain = validatorsOf(VERSION, '', NOW_MS);
    expect(plain.lastModified).toBe(DATE);
    expect(plain.etag).toMatch(/^"10-[0-9a-f]+"$/);
    expect(validatorsOf(VERSION, 'br', NOW_MS).etag).not.toBe(plain.etag);
    const later = { ...VERSION, mtimeMs: VERSION.mtimeMs + 0.5 };
    expect(validatorsOf(later, '', NOW_MS).etag).not.toBe(plain.etag);
  });

  it('are weak while the file may still change unseen, and never of the future', () => {
    expect(validatorsOf(VERSION, '', VERSION.mtimeMs + 999).etag).toMatch(/^W\//);
    expect(validatorsOf(VERSION, '', VERSION.mtimeMs + 1000).etag).toMatch(/^"/);
    const past = SECONDS * 1000 - 60_000;
    expect(validatorsOf(VERSION, '', past).lastModified).toBe('Sun, 06 Nov 1994 08:48:37 GMT');
  });

  it('are compared strongly by If-Match, weakly by If-None-Match', () => {
    const weak = { ...validatorsOf(VERSION, '', NOW_MS), etag: 'W/"x"' };
    const strong = { ...weak, etag: '"x"' };
    const match = (ifMatch: string) => evaluate(conditions({ ifMatch }), strong, NOW_MS);
    const none = (ifNoneMatch: string) => evaluate(conditions({ ifNoneMatch }), strong, NOW_MS);
    expect([match('"x"'), match('"a,b" , "x"'), match('*')]).toEqual([0, 0, 0]);
    expect([match('W/"x"'), match('x'), match('"x'), match('')]).toEqual([412, 412, 412, 412]);
    expect([none('"x"'), none('W/"x"'), none(',"y",,W/"x"'), none('*')]).toEqual([
      304, 304, 304, 304,
    ]);
    expect([none('"y, "x""'), none('w/"x"'), none('"*"'), none('"y" "x"')]).toEqual([0, 0, 0, 0]);
    expect(evaluate(conditions({ ifMatch: 'W/"x"' }), weak, NOW_MS)).toBe(412);
    expect(evaluate(conditions({ ifNoneMatch: '"x"' }), weak, NOW_MS)).toBe(304);
  });

  it('allow a range only where they are strong', () => {
    const strong = validatorsOf(VERSION, '', NOW_MS);
    expect(rangeIsCurrent(strong.etag, strong, NOW_MS)).toBe(true);
    expect(rangeIsCurrent(`W/${strong.etag}`, strong, NOW_MS)).toBe(false);
    const weak = { ...strong, etag: `W/${strong.etag}` };
    expect(rangeIsCurrent(weak.etag, weak, NOW_MS)).toBe(false);
    expect(rangeIsCurrent(DATE, strong, NOW_MS)).toBe(true);
    // The second it was changed in, and one more (RFC 9110, section 8.8.2.2).
    expect(rangeIsCurrent(DATE, strong, (SECONDS + 1) * 1000 + 999)).toBe(false);
    expect(rangeIsCurrent(DATE, strong, (SECONDS + 2) * 1000)).toBe(true);
    expect(rangeIsCurrent('Sun, 06 Nov 1994 08:49:38 GMT', strong, NOW_MS)).toBe(false);
    expect(rangeIsCurrent('', strong, NOW_MS)).toBe(false);
  });
});

it('a multipart says its own length', () => {
  const ranges = [
    { offset: 0, length: 3 },
    { offset: 7, length: 2 },
  ];
  const { length, heads, end } = layOut(ranges, 10, 'text/css', 'x');
  const text = `${heads[0]}abc${heads[1]}hi${end}`;
  expect(length).toBe(text.length);
  expect(text).toBe(
    '\r\n--x\r\nContent-Type: text/css\r\nContent-Range: bytes 0-2/10\r\n\r\nabc' +
      '\r\n--x\r\nContent-Type: text/css\r\nContent-Range: bytes 7-8/10\r\n\r\nhi\r\n--x--\r\n',
  );
  expect(layOut(ranges, 10, 'text/css').contentType).not.toBe(
    layOut(ranges, 10, 'text/css').contentType,
  );
});

it.each([
  ['a.HTML', 'text/html;charset=utf-8'],
  ['a.mjs', 'text/javascript;charset=utf-8'],
  ['a.xml', 'application/xml'],
  ['favicon.ico', 'image/vnd.microsoft.icon'],
  ['a.tar.gz', 'application/gzip'],
  ['a.woff2', 'font/woff2'],
  ['a.wasm', 'application/wasm'],
  ['a.webmanifest', 'application/manifest+json'],
  ['a.', 'application/octet-stream'],
  ['README', 'application/octet-stream'],
  ['html', 'application/octet-stream'],
  ['a.__proto__', 'application/octet-stream'],
  ['a.constructor', 'application/octet-stream'],
])('%s is %s', (name, type) => {
  expect(contentTypeOf(name)).toBe(type);
});
