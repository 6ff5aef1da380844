/**
 * What the rest of a worker relies on when it uses the request parser, beyond the grammar, which the
 * conformance cases and the differential test see to.
 */

import { describe, expect, test } from 'vitest';
import { REQUEST_REFUSALS, RequestParser } from '../../../src/workers/http1/request-parser.ts';

const LIMITS = { requestLine: 8190, fieldSize: 8190, fields: 100 };

const BROWSER = [
  'GET /articles/2024/05/some-title?page=2 HTTP/1.1',
  'Host: www.example.com',
  'Connection: keep-alive',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64) \u00e9\u00ff~ AppleWebKit/537.36',
  'Accept:\ttext/html, */*;q=0.8 \t',
  'Accept-Language: en-US,en;q=0.9',
  'Cookie: session=abcdef0123456789; theme=dark',
  '',
  '',
].join('\r\n');

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

function parse(text: string, limits = LIMITS): { parser: RequestParser; result: number } {
  const parser = new RequestParser(limits);
  const bytes = latin1(text);
  return { parser, result: parser.parse(bytes, 0, bytes.length) };
}

describe('a parsed head', () => {
  test('gives every field of a browser by offsets into the head', () => {
    const { parser, result } = parse(BROWSER);
    expect(result).toBe(BROWSER.length);
    const at = (n: number, m: number) => BROWSER.slice(parser.fields[n], parser.fields[m]);
    const found = [];
    for (let f = 0; f < parser.fieldCount; f++) {
      found.push([at(f * 4, f * 4 + 1), at(f * 4 + 2, f * 4 + 3)]);
    }
    const sent = BROWSER.split('\r\n').slice(1, -2);
    expect(found).toEqual(
      sent.map((line) => [
        line.slice(0, line.indexOf(':')),
        line.slice(line.indexOf(':') + 1).trim(),
      ]),
    );
    expect(BROWSER.slice(parser.targetStart, parser.targetEnd)).toBe(
      '/articles/2024/05/some-title?page=2',
    );
    expect(parser).toMatchObject({
      method: 'GET',
      minorVersion: 1,
      hostField: 0,
      contentLength: -1,
      chunked: false,
      keepAlive: true,
      expectContinue: false,
      upgrade: false,
    });
  });

  test('has offsets relative to the method, wherever in a large shared buffer it stands', () => {
    const parser = new RequestParser(LIMITS);
    const arena = Buffer.from(new SharedArrayBuffer(256 * 1024 * 1024));
    for (const at of [0, 1, 2, 3, 200_000_001, arena.length - BROWSER.length]) {
      arena.write(BROWSER, at, 'latin1');
      expect(parser.parse(arena, at, at + BROWSER.length)).toBe(at + BROWSER.length);
      expect(parser.headStart).toBe(at);
      expect([...parser.fields.subarray(0, 4)]).toEqual([50, 54, 56, 71]);
      expect([parser.targetStart, parser.targetEnd]).toEqual([4, 39]);
    }
  });

  test('starts behind a skipped empty line', () => {
    const { parser, result } = parse(`\r\n${BROWSER}`);
    expect(result).toBe(BROWSER.length + 2);
    expect(parser.headStart).toBe(2);
    expect(parser.targetStart).toBe(4);
  });

  test('leaves what follows for the body or the next request', () => {
    const { result } = parse(`${BROWSER}\0\0 anything`);
    expect(result).toBe(BROWSER.length);
  });

  test('says nothing of the head before it', () => {
    const parser = new RequestParser(LIMITS);
    const full =
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close, upgrade\r\n' +
      'Upgrade: x\r\nExpect: 100-continue\r\n\r\n';
    const bytes = latin1(`${full}GET / HTTP/1.1\r\nX: y\r\nHost: a\r\n\r\n`);
    expect(parser.parse(bytes, 0, bytes.length)).toBe(full.length);
    expect(parser).toMatchObject({ contentLength: 3, keepAlive: false, upgrade: true });
    expect(parser.parse(bytes, full.length, bytes.length)).toBe(bytes.length);
    expect(parser).toMatchObject({
      contentLength: -1,
      keepAlive: true,
      upgrade: false,
      expectContinue: false,
      hostField: 1,
      fieldCount: 2,
    });
  });

  test('has a serial of its own, so that a late reader notices', () => {
    const parser = new RequestParser(LIMITS);
    const bytes = latin1(BROWSER);
    const serials = [bytes.length, 10, 0, bytes.length].map((end) => {
      parser.parse(bytes, 0, end);
      return parser.serial;
    });
    expect(new Set(serials).size).toBe(4);
    expect(serials[3] - serials[0]).toBe(3);
  });

  test('may come in another buffer than the one before', () => {
    const parser = new RequestParser(LIMITS);
    const padded = new Uint8Array(BROWSER.length + 7);
    padded.set(latin1(BROWSER), 7);
    for (const bytes of [latin1(BROWSER), padded.subarray(7), new Uint8Array(latin1(BROWSER))]) {
      expect(parser.parse(bytes, 0, bytes.length)).toBe(BROWSER.length);
      expect(parser.fieldCount).toBe(6);
    }
  });

  test('gives the same string for a known method each time', () => {
    for (const method of ['GET', 'POST', 'DELETE', 'PROPFIND', 'UPDATEREDIRECTREF', 'NONSENSE']) {
      expect(parse(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`).parser.method).toBe(method);
    }
  });
});

describe('the range it is given', () => {
  test('ends where it says: no read behind the last byte of a buffer', () => {
    const parser = new RequestParser(LIMITS);
    for (const text of [
      BROWSER,
      'PUT / HTTP/1.0\r\n\r\n',
      'OPTIONS * HTTP/1.1\r\nHost: [::1]:1\r\n\r\n',
    ]) {
      for (let end = 0; end <= text.length; end++) {
        const bytes = new Uint8Array(latin1(text.slice(0, end)));
        expect(parser.parse(bytes, 0, end)).toBe(end === text.length ? end : 0);
      }
    }
  });

  test('is not left for what stands behind it, whatever that is', () => {
    const parser = new RequestParser(LIMITS);
    for (const behind of ['\r\n\r\n', '\n', '\0\0\0\0', ' HTTP/1.1\r\nHost: a\r\n\r\n', '::::']) {
      for (let end = 0; end < BROWSER.length; end++) {
        const bytes = latin1(BROWSER.slice(0, end) + behind);
        expect(parser.parse(bytes, 0, end)).toBe(0);
      }
    }
  });

  test('may be empty', () => {
    const parser = new RequestParser(LIMITS);
    expect(parser.parse(latin1('x'), 0, 0)).toBe(0);
    expect(parser.parse(latin1('x'), 1, 1)).toBe(0);
    expect(parser.parse(new Uint8Array(0), 0, 0)).toBe(0);
  });
});

describe('every byte', () => {
  const verdicts = (make: (c: string) => string) =>
    Array.from({ length: 256 }, (_, byte) => byte).filter(
      (byte) => parse(make(String.fromCharCode(byte))).result > 0,
    );
  const characters = (bytes: number[]) => bytes.map((byte) => String.fromCharCode(byte)).join('');
  const TCHARS = "!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~";

  // At each place of a word of four, since words are what the parser looks at.
  test.each([
    '',
    'a',
    'aa',
    'aaa',
    'aaaa',
  ])('of a method, a name, a target, a value behind «%s»', (a) => {
    const method = verdicts((c) => `M${a}${c}bcde / HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect(characters(method)).toBe(TCHARS);
    const name = verdicts((c) => `GET / HTTP/1.1\r\nHost: a\r\nN${a}${c}bcde: x\r\n\r\n`);
    expect(characters(name)).toBe(
      characters([...`${TCHARS}:`].map((c) => c.charCodeAt(0)).sort((x, y) => x - y)),
    );
    const target = verdicts((c) => `GET /${a}${c}bcde HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect(target).toEqual(
      Array.from({ length: 0x7f - 0x21 }, (_, i) => 0x21 + i).filter((byte) => byte !== 0x23),
    );
    const value = verdicts((c) => `GET / HTTP/1.1\r\nHost: a\r\nN: ${a}${c}bcde\r\n\r\n`);
    expect(value).toEqual(
      Array.from({ length: 256 }, (_, byte) => byte).filter(
        (byte) => byte === 9 || (byte >= 0x20 && byte !== 0x7f),
      ),
    );
  });

  test('behind bytes that carry into their neighbours', () => {
    for (const before of ['\xff', '\xff\xff', '\xff\xff\xff', '\t', '\t\t\t', '\x80~']) {
      const value = verdicts((c) => `GET / HTTP/1.1\r\nHost: a\r\nN: z${before}${c}bcde\r\n\r\n`);
      expect(value).toHaveLength(256 - 32);
    }
  });
});

describe('limits', () => {
  test('that are no positive integers are an error that names them', () => {
    expect(() => new RequestParser({ ...LIMITS, fields: 0 })).toThrow(/fields .* 0/);
    expect(() => new RequestParser({ ...LIMITS, requestLine: Number.NaN })).toThrow(/requestLine/);
    expect(() => new RequestParser({ ...LIMITS, fieldSize: 1.5 })).toThrow(/fieldSize/);
  });

  test('hold for a client that never ends a line', () => {
    const parser = new RequestParser({ requestLine: 100, fieldSize: 100, fields: 3 });
    const endless = latin1(`GET /${'a'.repeat(5000)}`);
    expect(parser.parse(endless, 0, 100)).toBe(0);
    expect(parser.parse(endless, 0, 101)).toBe(-414);
    const head = 'GET / HTTP/1.1\r\n';
    for (const [tail, at] of [
      ['a'.repeat(5000), 0],
      [`a:${' '.repeat(5000)}`, 0],
      [`a: ${'b'.repeat(5000)}`, 0],
    ] as const) {
      const bytes = latin1(head + tail);
      expect(parser.parse(bytes, at, head.length + 100)).toBe(0);
      expect(parser.parse(bytes, at, head.length + 101)).toBe(-431);
      expect(parser.error).toBe('field-too-large');
    }
  });
});

test('every refusal has the status of its class of error', () => {
  for (const [code, status] of Object.entries(REQUEST_REFUSALS)) {
    expect([400, 414, 417, 431, 501, 505], code).toContain(status);
    expect(code).toMatch(/^[a-z0-9-]+$/);
  }
});
