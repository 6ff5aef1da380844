// Lines of the access log: what readers of such logs rely on, whatever a client sends.

import { describe, expect, it } from 'vitest';
import { Aborted } from '../../../src/scoreboard/aborted.ts';
import { LOG_RING_BYTES } from '../../../src/scoreboard/layout.ts';
import { firstLine } from '../../../src/scoreboard/request-line.ts';
import {
  completeLine,
  type LogFormat,
  linePrefix,
  MAX_LINE_BYTES,
  type RequestFacts,
  requestLineParts,
} from '../../../src/workers/access-log/format.ts';
import { LogTime } from '../../../src/workers/access-log/log-time.ts';

const FACTS: RequestFacts = {
  remoteAddress: '192.0.2.7',
  remotePort: 50_000,
  time: '21/Nov/2026:09:22:45 +0100',
  method: 'GET',
  target: '/a?b=c',
  protocol: 'HTTP/1.1',
  referer: 'http://from/',
  userAgent: 'agent/1.0',
  host: 'example.org',
  requestId: 'id-1',
  child: 3,
  connectionRequests: 2,
};
const FORMATS = ['common', 'combined', 'json'] as const;

const line = (
  format: LogFormat,
  facts: Partial<RequestFacts> = {},
  [status, bytes, ms, aborted]: readonly [number, number, number, Aborted] = [200, 5, 1.5, 0],
): string =>
  completeLine(format, linePrefix(format, { ...FACTS, ...facts }), status, bytes, ms, aborted);

/** Bytes that a client may send in a field, or that a parser refuses. */
const HOSTILE = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code)).join('');
/** Fields of a combined line by Apache's own rules of quoting. */
const COMBINED =
  /^(\S+) - - \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}|-) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"\n$/;
const LETTERS: Readonly<Record<string, string>> = { b: '\b', t: '\t', n: '\n', v: '\v', r: '\r' };
/** What Apache's escapes mean. */
const unescaped = (text: string): string =>
  text.replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_, code, letter) =>
    code === undefined
      ? (LETTERS[letter] ?? letter)
      : String.fromCharCode(Number.parseInt(code, 16)),
  );

describe('a line', () => {
  it("is Apache's common and combined", () => {
    const common = '192.0.2.7 - - [21/Nov/2026:09:22:45 +0100] "GET /a?b=c HTTP/1.1" 200 5';
    expect(line('common')).toBe(`${common}\n`);
    expect(line('combined')).toBe(`${common} "http://from/" "agent/1.0"\n`);
  });

  it('has a dash for what is not there', () => {
    const nothing = { referer: null, userAgent: null, remoteAddress: '' };
    expect(line('combined', nothing, [304, 0, 1, 0])).toBe(
      '- - - [21/Nov/2026:09:22:45 +0100] "GET /a?b=c HTTP/1.1" 304 - "-" "-"\n',
    );
    expect(line('common', { ...requestLineParts('') }, [408, 0, 1, 0])).toContain(' "-" 408 -');
  });

  it('is one JSON object with every member', () => {
    expect(JSON.parse(line('json', { time: '2026-11-21T09:22:45.123Z' }))).toEqual({
      time: '2026-11-21T09:22:45.123Z',
      remoteAddr: '192.0.2.7',
      remotePort: 50_000,
      method: 'GET',
      target: '/a?b=c',
      protocol: 'HTTP/1.1',
      status: 200,
      bodyBytes: 5,
      durationMs: 1.5,
      aborted: false,
      referer: 'http://from/',
      userAgent: 'agent/1.0',
      host: 'example.org',
      requestId: 'id-1',
      child: 3,
      connectionRequests: 2,
    });
    const absent = { referer: null, userAgent: null, host: null, requestId: null };
    expect(JSON.parse(line('json', absent))).toMatchObject(absent);
  });

  it.each([
    [Aborted.byClient, 200, '499', 200],
    [Aborted.byClient, 0, '499', 0],
    [Aborted.byServer, 200, '200', 200],
    [Aborted.byServer, 0, '-', 0],
  ])('of a request that was cut off (%i, status %i) shows %s', (aborted, status, shown, real) => {
    const end = [status, 77, 1, aborted] as const;
    expect(line('common', {}, end)).toMatch(new RegExp(`" ${shown} 77\\n$`));
    expect(JSON.parse(line('json', {}, end))).toMatchObject({ status: real, aborted: true });
  });
});

describe('hostile text', () => {
  it.each(FORMATS)('stays on one line of printable ASCII: %s', (format) => {
    const text = line(format, {
      method: HOSTILE,
      target: HOSTILE,
      protocol: HOSTILE,
      referer: HOSTILE,
      userAgent: HOSTILE,
      host: HOSTILE,
      requestId: HOSTILE,
    });
    expect(text).toMatch(/^[\x20-\x7e]+\n$/);
  });

  it('can be read back byte by byte', () => {
    const fields = COMBINED.exec(line('combined', { target: HOSTILE, userAgent: HOSTILE }));
    expect(unescaped(fields?.[3] ?? '')).toBe(`GET ${HOSTILE} HTTP/1.1`);
    expect(unescaped(fields?.[7] ?? '')).toBe(HOSTILE);
    const json = JSON.parse(line('json', { target: HOSTILE, userAgent: HOSTILE }));
    expect([json.target, json.userAgent]).toEqual([HOSTILE, HOSTILE]);
  });

  it.each([
    ['"', '\\"'],
    ['\\', '\\\\'],
    ['\x01', '\\x01'],
    ['\x7f', '\\x7f'],
    ['\xe9', '\\xe9'],
    ['\r\n', '\\r\\n'],
  ])('is escaped as Apache does: %j', (given, shown) => {
    expect(line('combined', { userAgent: given })).toContain(` "${shown}"\n`);
  });

  it.each(FORMATS)('of any length makes no line that a ring could not hold: %s', (format) => {
    const long = HOSTILE.repeat(4_100);
    const facts = { method: long, target: long, protocol: long };
    const more = { referer: long, userAgent: long, host: long, requestId: long };
    const text = line(format, { ...facts, ...more, remoteAddress: 'f'.repeat(45) });
    expect(text.length).toBeLessThanOrEqual(MAX_LINE_BYTES);
    expect(MAX_LINE_BYTES).toBeLessThan(LOG_RING_BYTES);
    expect(text).toContain('..."');
    if (format === 'json') expect(JSON.parse(text).aborted).toBe(false);
  });

  it('is left alone where it is clean and within the bound', () => {
    const target = `/${'a'.repeat(8_189)}`;
    expect(JSON.parse(line('json', { target })).target).toBe(target);
  });
});

describe('a request line that was refused', () => {
  it.each([
    ['GET / HTTP/1.1', { method: 'GET', target: '/', protocol: 'HTTP/1.1' }],
    ['GET /a b HTTP/1.1', { method: 'GET', target: '/a b', protocol: 'HTTP/1.1' }],
    ['GET /', { method: 'GET', target: '/', protocol: '' }],
    ['GET', { method: 'GET', target: '', protocol: '' }],
    ['', { method: '', target: '', protocol: '' }],
    ['GET HTTP/1.1', { method: 'GET', target: 'HTTP/1.1', protocol: '' }],
  ])('%j is taken apart as far as it goes', (text, parts) => {
    expect(requestLineParts(text)).toEqual(parts);
  });

  it.each([
    ['GET / HTTP/1.1\r\nHost: a\r\n', 'GET / HTTP/1.1'],
    ['\r\nGET / HTTP/1.1\r\n', 'GET / HTTP/1.1'],
    ['GET /\rx\r\n', 'GET /\rx'],
    ['GET /unfinished', 'GET /unfinished'],
    ['\n', ''],
    ['\r\n', ''],
    ['', ''],
  ])('is the first line of %j', (text, expected) => {
    const bytes = Buffer.from(`##${text}`, 'latin1');
    expect(firstLine(bytes, 2, bytes.length)).toBe(expected);
  });
});

describe('times', () => {
  const noon = Date.UTC(2026, 10, 1, 12, 0, 59, 7);

  it('are local with their offset, as Apache writes them', () => {
    const text = new LogTime('common').text(noon);
    const match = /^01\/Nov\/2026:(\d\d):(\d\d):59 ([+-])(\d\d)(\d\d)$/.exec(text);
    const [hours, minutes, sign, offsetHours, offsetMinutes] = (match ?? []).slice(1);
    const offset = (Number(offsetHours) * 60 + Number(offsetMinutes)) * (sign === '-' ? -1 : 1);
    expect(Number(hours) * 60 + Number(minutes) - offset).toBe(12 * 60);
  });

  it('are RFC 3339 with milliseconds in JSON, each its own within one second', () => {
    const time = new LogTime('json');
    expect([noon, noon + 900, noon + 1000, noon].map((ms) => time.text(ms))).toEqual(
      [noon, noon + 900, noon + 1000, noon].map((ms) => new Date(ms).toISOString()),
    );
  });
});
