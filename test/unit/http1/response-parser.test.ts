/** Heads of an upstream's responses: where the message ends, and what is refused. */
import { describe, expect, it } from 'vitest';
import {
  BodyEnd,
  MAX_RESPONSE_FIELDS,
  MAX_RESPONSE_HEAD_BYTES,
  parseResponseHead,
  ResponseHeadError,
} from '../../../src/workers/http1/response-parser.ts';

const parse = (text: string, method = 'GET') => {
  const bytes = Buffer.from(text, 'latin1');
  return parseResponseHead(bytes, 0, bytes.length, method);
};
const refusalOf = (text: string): string => {
  try {
    return parse(text) === null ? 'incomplete' : 'accepted';
  } catch (error) {
    if (error instanceof ResponseHeadError) return error.refusal;
    throw error;
  }
};
const OK = 'HTTP/1.1 200 OK\r\n';

describe('a response head', () => {
  it('is incomplete until its empty line, at every byte', () => {
    const text = `${OK}Content-Length: 5\r\nX:  a b\t\r\n\r\n`;
    for (let end = 0; end < text.length; end++) {
      expect(parse(text.slice(0, end)), `cut at ${end}`).toBeNull();
    }
    expect(parse(`${text}hello`)).toMatchObject({
      status: 200,
      reason: 'OK',
      fields: ['Content-Length', '5', 'X', 'a b'],
      bodyEnd: BodyEnd.length,
      contentLength: 5,
      keepAlive: true,
      bytes: text.length,
    });
  });

  it.each([
    ['a length', `${OK}Content-Length: 5\r\n\r\n`, 'GET', BodyEnd.length],
    ['no bytes', `${OK}Content-Length: 0\r\n\r\n`, 'GET', BodyEnd.none],
    ['chunks', `${OK}Transfer-Encoding: Chunked\r\n\r\n`, 'GET', BodyEnd.chunked],
    ['neither', `${OK}\r\n`, 'GET', BodyEnd.close],
    ['HEAD', `${OK}Content-Length: 5\r\n\r\n`, 'HEAD', BodyEnd.none],
    ['HEAD with chunks', `${OK}Transfer-Encoding: chunked\r\n\r\n`, 'HEAD', BodyEnd.none],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n', 'GET', BodyEnd.none],
    ['304 with a length', 'HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n', 'GET', BodyEnd.none],
    ['100', 'HTTP/1.1 100 Continue\r\n\r\n', 'POST', BodyEnd.none],
  ])('with %s says how its body ends (RFC 9112, section 6.3)', (_name, text, method, bodyEnd) => {
    expect(parse(text, method)?.bodyEnd).toBe(bodyEnd);
  });

  it.each([
    ['HTTP/1.1', `${OK}Content-Length: 0\r\n\r\n`, true],
    ['Connection: close', `${OK}Content-Length: 0\r\nConnection: x, Close\r\n\r\n`, false],
    ['a body to the end', `${OK}\r\n`, false],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n', false],
    [
      '1.0, keep-alive',
      'HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n',
      true,
    ],
    [
      'both',
      'HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive, close\r\n\r\n',
      false,
    ],
  ])('with %s says whether its connection goes on', (_name, text, keepAlive) => {
    expect(parse(text)?.keepAlive).toBe(keepAlive);
  });

  it('tells how long the upstream keeps the connection', () => {
    expect(parse(`${OK}Keep-Alive: max=7, timeout=5\r\n\r\n`)?.keepAliveSeconds).toBe(5);
    expect(parse(`${OK}\r\n`)?.keepAliveSeconds).toBe(-1);
  });

  it.each([
    ['HTTP/1.1 200\r\n\r\n', 'accepted'],
    ['HTTP/1.1  200 OK\r\n\r\n', 'invalid-status-line'],
    ['HTTP/1.2 200 OK\r\n\r\n', 'invalid-status-line'],
    ['HTTP/1.1 099 OK\r\n\r\n', 'invalid-status-line'],
    ['HTTP/1.1 2000 OK\r\n\r\n', 'invalid-status-line'],
    ['http/1.1 200 OK\r\n\r\n', 'invalid-status-line'],
    ['\r\nHTTP/1.1 200 OK\r\n\r\n', 'invalid-status-line'],
    [`${OK}A: b\n\r\n`, 'bare-lf'],
    [`${OK}A: b\n`, 'bare-lf'],
    [`${OK}A: b\r\r\n\r\n`, 'bare-cr'],
    [`${OK}\tA: b\r\n\r\n`, 'obs-fold'],
    [`${OK}: b\r\n\r\n`, 'invalid-field-name'],
    [`${OK}A\x00: b\r\n\r\n`, 'invalid-field-name'],
    [`${OK}A\t: b\r\n\r\n`, 'space-before-colon'],
    [`${OK}A: \x7f\r\n\r\n`, 'invalid-field-value'],
    [`${OK}Content-Length:\r\n\r\n`, 'invalid-content-length'],
    [`${OK}Content-Length: 0x5\r\n\r\n`, 'invalid-content-length'],
    [`${OK}Content-Length: 5 5\r\n\r\n`, 'invalid-content-length'],
    [`${OK}Content-Length: ${'9'.repeat(16)}\r\n\r\n`, 'invalid-content-length'],
    [`${OK}Content-Length: 5\r\ncontent-length: 5\r\n\r\n`, 'duplicate-content-length'],
    [`${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`, 'chunked-not-last'],
    [`${OK}Transfer-Encoding: identity\r\n\r\n`, 'invalid-transfer-encoding'],
    [`${OK}Transfer-Encoding: \r\n\r\n`, 'invalid-transfer-encoding'],
    ['HTTP/1.1 204 X\r\nTransfer-Encoding: chunked\r\n\r\n', 'transfer-encoding-not-allowed'],
    ['HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n', 'transfer-encoding-not-allowed'],
  ])('%j: %s', (text, outcome) => {
    expect(refusalOf(text)).toBe(outcome);
  });

  it('has a maximum of bytes and of fields, which it may reach', () => {
    const fields = (count: number) => `${OK}${'A: b\r\n'.repeat(count)}\r\n`;
    expect(refusalOf(fields(MAX_RESPONSE_FIELDS))).toBe('accepted');
    expect(refusalOf(fields(MAX_RESPONSE_FIELDS + 1))).toBe('too-many-fields');
    const filled = (bytes: number) =>
      `${OK}A: ${'b'.repeat(bytes - OK.length - 'A: \r\n\r\n'.length)}\r\n\r\n`;
    expect(refusalOf(filled(MAX_RESPONSE_HEAD_BYTES))).toBe('accepted');
    expect(refusalOf(filled(MAX_RESPONSE_HEAD_BYTES + 1))).toBe('head-too-large');
    expect(refusalOf(filled(MAX_RESPONSE_HEAD_BYTES + 9).slice(0, -8))).toBe('head-too-large');
  });
});
