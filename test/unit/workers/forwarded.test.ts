// Whom to believe: the client of a request that came through proxies.
import { describe, expect, it } from 'vitest';
import { clientOfForwarded, clientOfXForwarded } from '../../../src/workers/proxy/forwarded.ts';
import { addressBytes, isNetwork, networksOf } from '../../../src/workers/proxy/networks.ts';

const trusted = networksOf(['loopback', '10.0.0.0/8', '2001:db8:1::/48']);
const trusts = (address: string) => trusted.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
const xff = (forwardedFor: string[], proto: string[] = [], host: string[] = []) =>
  clientOfXForwarded(forwardedFor, proto, host, trusts);
const at = ({ address, port }: { address: string; port: number }) => [address, port];

describe('X-Forwarded-For', () => {
  it.each([
    ['nothing', [], '', 0],
    ['one client', ['192.0.2.1'], '192.0.2.1', 0],
    ['what a client made up is behind it', ['1.1.1.1, 192.0.2.1'], '192.0.2.1', 0],
    ['trusted hops are passed', ['192.0.2.1, 10.1.1.1, 127.0.0.1'], '192.0.2.1', 0],
    ['a lie behind trusted hops', ['8.8.8.8, 192.0.2.1, 10.1.1.1'], '192.0.2.1', 0],
    ['all are trusted', ['10.0.0.1, 10.0.0.2'], '10.0.0.1', 0],
    ['fields in the order of the message', ['8.8.8.8', '192.0.2.1', '10.1.1.1'], '192.0.2.1', 0],
    ['with a port', ['192.0.2.1:4711'], '192.0.2.1', 4711],
    ['IPv6', ['2001:DB8:2::1'], '2001:db8:2::1', 0],
    ['IPv6 in brackets', ['[2001:db8:2::1]'], '2001:db8:2::1', 0],
    ['IPv6 with a port', ['[2001:db8:2::1]:80, 2001:db8:1::5'], '2001:db8:2::1', 80],
    ['IPv4 within IPv6', ['192.0.2.1, ::ffff:10.0.0.1'], '192.0.2.1', 0],
    ['nothing that can be read', ['unknown'], '', 0],
    ['what cannot be read ends the way', ['192.0.2.1, garbage, 10.0.0.1'], '10.0.0.1', 0],
    ['empty elements', [', 192.0.2.1, ,'], '192.0.2.1', 0],
    ['a port that is none', ['192.0.2.1:x'], '', 0],
    ['a port that is too large', ['192.0.2.1:65536'], '', 0],
    ['a zone', ['fe80::1%eth0'], '', 0],
    ['line noise', ['<script>', '\u0000', '192.0.2.1;'], '', 0],
  ])('%s: %j', (_, values, address, port) => {
    expect(at(xff(values))).toEqual([address, port]);
  });

  it('ends after 32 hops', () => {
    const hops = Array.from({ length: 1000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
    expect(xff([hops.join(',')]).address).toBe('10.0.3.200');
  });

  it.each([
    [['192.0.2.1'], ['https'], true],
    [['192.0.2.1'], ['HTTPS'], true],
    [['192.0.2.1'], ['http'], false],
    [['192.0.2.1'], ['wss'], false],
    // One for each hop: that of the client's counts, and no other.
    [['192.0.2.1, 10.0.0.1'], ['https, http'], true],
    [['8.8.8.8, 192.0.2.1'], ['https, http'], false],
    // Not one for each: what the nearest has written.
    [['192.0.2.1'], ['https, http'], false],
    [[], ['https'], true],
  ])('X-Forwarded-Proto of %j, %j: %s', (values, proto, secure) => {
    expect(xff(values, proto).secure).toBe(secure);
  });

  it.each([
    ['example.org', 'example.org'],
    ['Example.org:8443', 'Example.org:8443'],
    ['[2001:db8::1]:80', '[2001:db8::1]:80'],
    ['a/b', ''],
    ['a@b', ''],
    ['a b', ''],
    ['-a', ''],
    ['evil.example, example.org', 'example.org'],
  ])('X-Forwarded-Host %s: %s', (host, expected) => {
    expect(xff(['192.0.2.1'], [], [host]).host).toBe(expected);
  });
});

describe('Forwarded', () => {
  const read = (...values: string[]) => clientOfForwarded(values, trusts);

  // The examples of RFC 7239, section 4, and what may go wrong.
  it.each([
    ['for="_gazonk"', '', 0],
    ['For="[2001:db8:cafe::17]:4711"', '2001:db8:cafe::17', 4711],
    ['for=192.0.2.60;proto=http;by=203.0.113.43', '192.0.2.60', 0],
    ['for=192.0.2.43, for=198.51.100.17', '198.51.100.17', 0],
    ['for=192.0.2.43, for=10.0.0.1', '192.0.2.43', 0],
    ['for=192.0.2.43, for="10.0.0.1:80"', '192.0.2.43', 0],
    ['for=192.0.2.43,for=unknown,for=10.0.0.1', '10.0.0.1', 0],
    ['for="192.0.2.43:_obf"', '192.0.2.43', 0],
    ['for="192.0.\\2.43"', '192.0.2.43', 0],
    [' , for=192.0.2.43 , ', '192.0.2.43', 0],
    ['for=8.8.8.8, proto=https', '', 0],
    ['for=192.0.2.1;for=8.8.8.8', '', 0],
    ['for="192.0.2.1', '', 0],
    ['for=192.0.2.1 x', '', 0],
    ['for = 192.0.2.1', '', 0],
    ['=', '', 0],
    ['', '', 0],
  ])('%s: %s', (text, address, port) => {
    expect(at(read(text))).toEqual([address, port]);
  });

  it('takes scheme and host of the element that names the client', () => {
    const text =
      'for=8.8.8.8;host=evil, for=192.0.2.1;proto=https;host="a.example:8443", for=10.0.0.1;proto=http';
    expect(read(text)).toEqual({
      address: '192.0.2.1',
      port: 0,
      secure: true,
      host: 'a.example:8443',
    });
    expect(read('for=8.8.8.8;proto=https', 'for=192.0.2.1').secure).toBe(false);
  });

  it('does not take long for what is made to be hard', () => {
    const began = performance.now();
    for (const text of [`for="${'\\'.repeat(8000)}`, 'a=b;'.repeat(2000), `${' '.repeat(8000)}"`])
      read(text);
    expect(performance.now() - began).toBeLessThan(500);
  });
});

describe('networks', () => {
  it.each([
    ['127.0.0.1', [127, 0, 0, 1]],
    ['::', new Array(16).fill(0)],
    ['::1', [...new Array(15).fill(0), 1]],
    [
      '2001:db8::ff00:42:8329',
      [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0x42, 0x83, 0x29],
    ],
    ['::ffff:192.0.2.1', [192, 0, 2, 1]],
    ['64:ff9b::192.0.2.1', [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1]],
  ])('%s has its bytes', (text, bytes) => {
    expect([...(addressBytes(text) ?? [])]).toEqual(bytes);
  });

  it.each(['', '1.2.3', '::1%lo', 'a', '1.2.3.4.5', ':::'])('%j is no address', (text) => {
    expect(addressBytes(text)).toBeNull();
    expect(isNetwork(text)).toBe(false);
  });

  it('private ones are those of RFC 1918 and RFC 4193', () => {
    const list = networksOf(['private']);
    const inside = ['10.255.255.255', '172.16.0.1', '172.31.255.255', '192.168.1.1'];
    for (const address of inside) expect(list.check(address), address).toBe(true);
    for (const address of ['11.0.0.1', '172.32.0.1', '192.169.0.1', '127.0.0.1']) {
      expect(list.check(address), address).toBe(false);
    }
    expect([list.check('fd00::1', 'ipv6'), list.check('fe80::1', 'ipv6')]).toEqual([true, false]);
  });
});
