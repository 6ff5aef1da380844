/** What the directive `proxy` and `proxy()` take, and how they refuse the rest. */
import { describe, expect, it } from 'vitest';
import {
  hasDots,
  MAX_UPSTREAMS,
  proxyRoute,
  proxySettings,
} from '../../../src/workers/reverse-proxy/options.ts';
import { routeOf } from '../../../src/workers/reverse-proxy/proxying-handler.ts';

describe('a route', () => {
  it('has a prefix, upstreams, their path and options', () => {
    const route = proxyRoute('/api/=http://A:1/v1,http://[::1]:2/v1  maxFails=1 host=upstream');
    expect(route.prefix).toBe('/api');
    expect(route.text).toBe('/api/=http://A:1/v1,http://[::1]:2/v1 maxFails=1 host=upstream');
    expect(route.settings).toMatchObject({
      upstreams: [
        { host: 'a', port: 1, name: 'a:1' },
        { host: '::1', port: 2, name: '[::1]:2' },
      ],
      path: '/v1',
      maxFails: 1,
      host: 'upstream',
      connectTimeoutMs: 5_000,
    });
    expect(proxyRoute('/=http://a').settings.upstreams[0]?.port).toBe(80);
  });

  it.each([
    ['api=http://a:1', 'a route must be /path=http://host:port'],
    ['/a/../b=http://a:1', 'a route must be /path=http://host:port'],
    ['/api', 'a route must be /path=http://host:port'],
    ['/api=', 'there is no upstream'],
    ['/api=https://a', 'an upstream must be http://host:port'],
    ['/api=http://a:0', 'an upstream must be http://host:port'],
    ['/api=http://a:70000', 'an upstream must be http://host:port'],
    ['/api=http://300.0.0.1:1', 'an upstream must be http://host:port'],
    ['/api=http://u@a:1', 'an upstream must be http://host:port'],
    ['/api=http://a:1/x?y', 'has characters that none has'],
    ['/api=http://a:1,http://a:1', 'a:1 is named twice'],
    ['/api=http://a:1/x,http://b:1', 'must have the same path'],
    ['/api=http://a:1 maxFails', 'must be name=value; "maxFails" is not'],
    ['/api=http://a:1 maxFails=x', 'maxFails must be a whole number from 0'],
    ['/api=http://a:1 connectTimeoutMs=0', 'connectTimeoutMs must be a whole number from 1'],
    ['/api=http://a:1 toString=1', 'there is no proxy option "toString"'],
    ['/api=http://a:1 healthPath=x', 'healthPath must be a path'],
  ])('%s is refused: %s', (text, message) => {
    expect(() => proxyRoute(text)).toThrow(message);
  });

  it('has a maximum of upstreams, which it may reach', () => {
    const named = (count: number) =>
      Array.from({ length: count }, (_, number) => `http://a:${number + 1}`);
    expect(proxySettings(named(MAX_UPSTREAMS)).upstreams).toHaveLength(MAX_UPSTREAMS);
    expect(() => proxySettings(named(MAX_UPSTREAMS + 1))).toThrow('at most 64 upstreams');
  });

  it('fits at the end of a segment, the longest first', () => {
    const routes = ['/api/v1=http://c', '/api=http://b'].map(proxyRoute);
    const of = (target: string) => routeOf(routes, target)?.prefix ?? null;
    expect(of('/api')).toBe('/api');
    expect(of('/api?x')).toBe('/api');
    expect(of('/api/v1/x')).toBe('/api/v1');
    expect(of('http://h/api/x')).toBe('/api');
    expect(of('/apix')).toBeNull();
    expect(of('http://api/x')).toBeNull();
    expect(of('*')).toBeNull();
  });
});

describe('dot segments', () => {
  it.each([
    '/a/..',
    '/../a',
    '/a/./b',
    '/a/%2E%2e/b',
    '/a/.%2e',
    '/a%2f..%2fb',
    '/a\\..\\b',
    '/.',
  ])('%s has one', (path) => {
    expect(hasDots(path)).toBe(true);
  });
  it.each([
    '/a',
    '/.a',
    '/a.',
    '/a/...',
    '/..a/b',
    '/a?/../b',
    '/.well-known/x',
  ])('%s has none', (path) => {
    expect(hasDots(path)).toBe(false);
  });
});
