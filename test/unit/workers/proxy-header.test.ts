// The PROXY protocol's header, whole, in pieces, and malformed.
import { describe, expect, it } from 'vitest';
import { parseProxyHeader } from '../../../src/workers/proxy/proxy-header.ts';

const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n';
const latin1 = (text: string) => Buffer.from(text, 'latin1');
/** Version 2, with a length that fits unless another is given. */
function binary(command: number, family: number, rest: number[], length = rest.length): Buffer {
  return Buffer.concat([
    latin1(SIGNATURE),
    Buffer.from([command, family, length >> 8, length & 255, ...rest]),
  ]);
}
const INET = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0, 80];
const INET6 = [...new Array(15).fill(0), 7, ...new Array(16).fill(1), 0x12, 0x67, 0, 80];
const FOUR = { address: Uint8Array.of(192, 0, 2, 7), port: 4711 };
const SIX = { address: Uint8Array.from([...new Array(15).fill(0), 7]), port: 4711 };
const LONGEST = `${'PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535'.padEnd(105, 'x')}\r\n`;

const GOOD: [string, Buffer, object | null][] = [
  ['TCP4', latin1('PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n'), FOUR],
  ['TCP6', latin1('PROXY TCP6 ::7 2001:db8::1 4711 80\r\n'), SIX],
  ['UNKNOWN', latin1('PROXY UNKNOWN\r\n'), null],
  ['UNKNOWN with more, the longest line', latin1(LONGEST), null],
  ['version 2, IPv4', binary(0x21, 0x11, INET), FOUR],
  ['version 2, IPv6', binary(0x21, 0x21, INET6), SIX],
  ['version 2, IPv4 with TLVs', binary(0x21, 0x11, [...INET, 4, 0, 1, 0]), FOUR],
  ['version 2, LOCAL', binary(0x20, 0x00, []), null],
  ['version 2, LOCAL with addresses', binary(0x20, 0x11, INET), null],
  ['version 2, UNSPEC', binary(0x21, 0x00, [1, 2, 3]), null],
  ['version 2, UNIX', binary(0x21, 0x31, new Array(216).fill(65)), null],
  ['version 2, UDP', binary(0x21, 0x12, INET), null],
  ['version 2, the longest', binary(0x21, 0x11, [...INET, ...new Array(2020).fill(0)]), FOUR],
];

const BAD: [string, Buffer][] = [
  ['a request', latin1('GET / HTTP/1.1\r\n\r\n')],
  ['lower case', latin1('proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n')],
  ['another family', latin1('PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n')],
  ['an address of the other family', latin1('PROXY TCP4 ::1 ::1 1 1\r\n')],
  ['an address that is none', latin1('PROXY TCP4 256.1.1.1 1.1.1.1 1 1\r\n')],
  ['a zone', latin1('PROXY TCP6 fe80::1%lo ::1 1 1\r\n')],
  ['a port that is too large', latin1('PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n')],
  ['a port with a zero before it', latin1('PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n')],
  ['two spaces', latin1('PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n')],
  ['a space behind', latin1('PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n')],
  ['too few parts', latin1('PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n')],
  ['UNKNOWN and no space', latin1('PROXY UNKNOWNX\r\n')],
  ['a bare line feed', latin1('PROXY UNKNOWN\n')],
  ['a bare carriage return', latin1('PROXY UNKNOWN\rX')],
  ['a tab', latin1('PROXY\tUNKNOWN\r\n')],
  ['a line that is too long', latin1(`${'PROXY UNKNOWN '.padEnd(106, 'x')}\r\n`)],
  ['another version', binary(0x11, 0x11, INET)],
  ['another command', binary(0x22, 0x11, INET)],
  ['another family, version 2', binary(0x21, 0x41, INET)],
  ['another transport', binary(0x21, 0x13, INET)],
  ['too short for IPv4', binary(0x21, 0x11, INET.slice(1))],
  ['too short for IPv6', binary(0x21, 0x21, INET6.slice(1))],
  ['too long', binary(0x21, 0x11, INET, 2033)],
  ['a signature that goes wrong', latin1('\r\n\r\n\0\r\nQUIX\n')],
];

describe('a header', () => {
  it.each(GOOD)('is read: %s', (_, bytes, source) => {
    expect(parseProxyHeader(bytes)).toEqual({ length: bytes.length, source });
    const followed = Buffer.concat([bytes, latin1('GET / HTTP/1.1\r\n')]);
    expect(parseProxyHeader(followed)).toEqual({ length: bytes.length, source });
  });

  it.each(GOOD)('waits for its last byte: %s', (_, bytes) => {
    for (let length = 0; length < bytes.length; length++) {
      expect(parseProxyHeader(bytes.subarray(0, length)), `${length} bytes`).toBe('more');
    }
  });

  it.each(BAD)('is refused, however it is cut: %s', (_, bytes) => {
    expect(parseProxyHeader(bytes)).toBe('malformed');
    let refused = false;
    for (let length = 0; length <= bytes.length; length++) {
      const verdict = parseProxyHeader(bytes.subarray(0, length));
      // Once refused it stays so, and it is never taken for a header on the way.
      expect(verdict, `${length} bytes`).toBe(refused ? 'malformed' : verdict);
      expect(typeof verdict).toBe('string');
      refused ||= verdict === 'malformed';
    }
  });

  it('with a byte changed is read, waits or is refused, and never goes on for ever', () => {
    // Seed of a linear congruential generator (Numerical Recipes).
    let seed = 20_261_121;
    const next = (below: number) => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return seed % below;
    };
    for (let round = 0; round < 20_000; round++) {
      const [name, good] = GOOD[next(GOOD.length)] as (typeof GOOD)[number];
      const bytes = Buffer.from(good);
      for (let change = 1 + next(3); change > 0; change--) bytes[next(bytes.length)] = next(256);
      const verdict = parseProxyHeader(bytes);
      if (typeof verdict === 'string') continue;
      expect(verdict.length, `round ${round}, ${name}`).toBeLessThanOrEqual(bytes.length);
    }
    // However much comes, it does not wait beyond the bounds.
    for (const start of ['PROXY ', SIGNATURE]) {
      expect(parseProxyHeader(latin1(start.padEnd(4096, 'x')))).not.toBe('more');
    }
  });
});
