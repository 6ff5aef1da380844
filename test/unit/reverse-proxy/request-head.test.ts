/** The head that an upstream gets: one meaning, nothing of the hop before. */
import { describe, expect, it } from 'vitest';
import { DraftCache, ResponseHeadCache } from '../../../src/workers/reverse-proxy/head-caches.ts';
import {
  type ProxyOptions,
  proxySettings,
  type UpstreamAddress,
} from '../../../src/workers/reverse-proxy/options.ts';
import {
  type Asked,
  CHUNKED,
  draftRequest,
  NO_BODY,
  requestHead,
  responseFields,
} from '../../../src/workers/reverse-proxy/request-head.ts';

const asked = (fields: readonly string[], more: Partial<Asked> = {}): Asked => ({
  method: 'GET',
  target: '/x?y',
  fields,
  remoteAddress: '192.0.2.7',
  peerAddress: '192.0.2.7',
  trustedHeader: null,
  forwarded: null,
  ...more,
});
function lines(
  one: Asked,
  {
    upstream = 'http://up:1',
    prefix = '',
    framing = NO_BODY,
    ...options
  }: ProxyOptions & {
    upstream?: string;
    prefix?: string;
    framing?: number;
  } = {},
): string[] {
  const settings = proxySettings(upstream, options);
  const draft = draftRequest(one, settings, prefix);
  const [address] = settings.upstreams;
  if (address === undefined) throw new Error('no upstream');
  return requestHead(draft, settings, address, framing).toString('latin1').split('\r\n');
}
const OWN = ['Via: 1.1 hybrid-mpm', 'X-Forwarded-For: 192.0.2.7', 'X-Forwarded-Proto: http'];

describe('the request line', () => {
  it.each([
    ['/x?y', 'http://up:1', '', 'GET /x?y HTTP/1.1'],
    ['/api/x?y', 'http://up:1', '/api', 'GET /api/x?y HTTP/1.1'],
    ['/api/x?y', 'http://up:1/', '/api', 'GET /x?y HTTP/1.1'],
    ['/api?y', 'http://up:1/v1', '/api', 'GET /v1?y HTTP/1.1'],
    ['/api', 'http://up:1/v1/', '/api', 'GET /v1/ HTTP/1.1'],
    ['/x', 'http://up:1/v1', '', 'GET /v1/x HTTP/1.1'],
    ['http://other/x', 'http://up:1', '', 'GET /x HTTP/1.1'],
    ['http://other', 'http://up:1', '', 'GET / HTTP/1.1'],
    ['http://other?y', 'http://up:1', '', 'GET /?y HTTP/1.1'],
    ['*', 'http://up:1/v1', '', 'GET * HTTP/1.1'],
  ])('of %s to %s', (target, upstream, prefix, line) => {
    expect(lines(asked(['Host', 'a'], { target }), { upstream, prefix })[0]).toBe(line);
  });
});

describe('the fields', () => {
  it('have the host that the options say; that of an absolute target comes before the field', () => {
    const hostOf = (one: Asked, host?: string) => lines(one, host === undefined ? {} : { host })[1];
    expect(hostOf(asked(['Host', 'a:8']))).toBe('Host: a:8');
    expect(hostOf(asked(['Host', 'a']), 'upstream')).toBe('Host: up:1');
    expect(hostOf(asked(['Host', 'a']), 'own.example')).toBe('Host: own.example');
    expect(hostOf(asked(['Host', 'a'], { target: 'http://b:9/x' }))).toBe('Host: b:9');
    expect(hostOf(asked([]))).toBe('Host: up:1');
  });

  it('have no field of the hop before, whatever names it, and one framing', () => {
    const fields = [
      ...['Host', 'a', 'CONNECTION', 'x-a , Host, content-length', 'X-A', '1', 'X-B', '2'],
      ...['Proxy-Connection', 'x', 'proxy-authorization', 'x', 'TE', 'x', 'Trailer', 'x'],
      ...['Content-Length', '5', 'Transfer-Encoding', 'x', 'Expect', '100-continue'],
      ...['Upgrade', 'x', 'Keep-Alive', 'x', 'connection', 'X-C', 'X-C', '3'],
    ];
    const start = ['GET /x?y HTTP/1.1', 'Host: a', 'X-B: 2', ...OWN, 'X-Forwarded-Host: a'];
    expect(lines(asked(fields))).toEqual([...start, '', '']);
    expect(lines(asked(fields), { framing: 5 })).toEqual([...start, 'Content-Length: 5', '', '']);
    const chunked = [...start, 'Transfer-Encoding: chunked', '', ''];
    expect(lines(asked(fields), { framing: CHUNKED })).toEqual(chunked);
  });

  it.each([
    [null, ['X-Forwarded-For: 192.0.2.7', 'X-Forwarded-Proto: http', 'X-Forwarded-Host: a']],
    [
      'x-forwarded' as const,
      ['X-Forwarded-For: c1, c2, 192.0.2.7', 'X-Forwarded-Proto: https', 'X-Forwarded-Host: h'],
    ],
    [
      'forwarded' as const,
      [
        'Forwarded: for=f',
        'X-Forwarded-For: 198.51.100.1, 192.0.2.7',
        'X-Forwarded-Proto: http',
        'X-Forwarded-Host: a',
      ],
    ],
  ])('say who the client is by what a peer may say that is trusted with %s', (trustedHeader, expected) => {
    const fields = [
      ...['Host', 'a', 'X-Forwarded-For', 'c1', 'x-forwarded-for', 'c2', 'Forwarded', 'for=f'],
      ...['X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'h'],
    ];
    const remoteAddress = trustedHeader === null ? '192.0.2.7' : '198.51.100.1';
    const found = lines(asked(fields, { trustedHeader, remoteAddress }));
    expect(found.filter((line) => /forwarded/i.test(line))).toEqual(expected);
  });

  it('of a response are those of the upstream without its hop’s', () => {
    const fields = [
      'Connection',
      'x',
      'Content-Length',
      '5',
      'X',
      '1',
      'Set-Cookie',
      'a',
      'x-h',
      '2',
    ];
    expect(responseFields(fields, ['x-h'])).toEqual(['X', '1', 'Set-Cookie', 'a']);
  });
});

describe('heads that repeat', () => {
  it('are found again by their whole text alone', () => {
    const cache = new ResponseHeadCache();
    const parse = (text: string, method = 'GET') =>
      cache.parse(Buffer.from(text, 'latin1'), 0, text.length, method);
    const text = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n';
    const first = parse(text);
    expect(parse(`${text}hello`)).toMatchObject({ fields: first?.fields, head: first?.head });
    expect(parse(`${text}hello`)?.fields).toBe(first?.fields);
    expect(parse(text, 'HEAD')?.head.bodyEnd).not.toBe(first?.head.bodyEnd);
    expect(parse(text.slice(0, -1))).toBeNull();
    expect(parse(text.replace('5', '6'))?.head.contentLength).toBe(6);
    for (let length = 10; length < 30; length++) parse(text.replace('5', String(length)));
    expect(parse(text)?.head.contentLength).toBe(5);
  });

  it('are not taken for those of another peer, route or trusted proxy', () => {
    const cache = new DraftCache();
    const settings = proxySettings('http://up:1');
    let made = 0;
    const draft = (peerAddress: string, prefix = '', more: Partial<Asked> = {}) =>
      cache.draft({ head: 'GET / HTTP/1.1\r\n\r\n', peerAddress }, settings, prefix, () => {
        made++;
        return asked([], { peerAddress, ...more });
      });
    expect(draft('192.0.2.1')).toBe(draft('192.0.2.1'));
    expect(made).toBe(1);
    expect(draft('192.0.2.2').fields).toContain('X-Forwarded-For: 192.0.2.2');
    draft('192.0.2.1', '/api');
    expect(made).toBe(3);
    for (let turn = 0; turn < 2; turn++) draft('192.0.2.9', '', { trustedHeader: 'x-forwarded' });
    expect(made).toBe(5);
  });

  it('go to each upstream with its own name, and with the framing of their body', () => {
    const settings = proxySettings('http://one:1,http://two:2', { host: 'upstream' });
    const [one, two] = settings.upstreams as [UpstreamAddress, UpstreamAddress];
    const draft = draftRequest(asked([]), settings, '');
    const text = (upstream: UpstreamAddress, length: number) =>
      requestHead(draft, settings, upstream, length).toString('latin1');
    for (let turn = 0; turn < 2; turn++) {
      expect(text(one, NO_BODY)).toContain('Host: one:1\r\n');
      expect(text(two, NO_BODY)).toContain('Host: two:2\r\n');
      expect(text(two, 7)).toContain('Content-Length: 7\r\n');
      expect(text(two, NO_BODY)).not.toContain('Content-Length');
    }
    expect(requestHead(draft, settings, two, NO_BODY)).toBe(
      requestHead(draft, settings, two, NO_BODY),
    );
  });
});
