/**
 * PROXY headers: one that was written by the specification names its source, any other is refused, and a
 * verdict depends on nothing but the bytes up to where it falls.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { addressBytes } from '../../../src/workers/proxy/networks.ts';
import { parseProxyHeader } from '../../../src/workers/proxy/proxy-header.ts';
import { damage, draw, once, pick, type Random } from '../random.ts';
import { type FuzzTarget, must } from '../target.ts';

interface ProxyInput {
  /** One character a byte. */
  readonly text: string;
  /** The source it names, null for none; undefined where something was damaged. */
  readonly source?: { readonly address: readonly number[]; readonly port: number } | null;
}

const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n';
const V4 = ['192.0.2.7', '0.0.0.0', '255.255.255.255', '127.0.0.1'];
const V6 = ['::', '::1', '2001:db8::7', '::ffff:192.0.2.7', 'fe80::1:2:3:4', '1:2:3:4:5:6:7:8'];
const NO_ADDRESSES = ['256.1.1.1', '1.2.3', '01.2.3.4', 'fe80::1%lo', '[::1]', 'localhost', ''];
const PORTS = ['0', '1', '80', '65535'];
const NO_PORTS = ['65536', '99999', '080', '+80', '', '-1', '0x50'];

function lineOf(random: Random): ProxyInput {
  if (once(random, 6)) {
    const rest = pick(random, ['', ' ', ' x', ` ${'y'.repeat(90)}`, ` ${'z'.repeat(91)}`]);
    const text = `PROXY UNKNOWN${rest}\r\n`;
    return text.length > 107 ? { text } : { text, source: null };
  }
  const wrong = once(random, 5);
  const isFour = once(random, 2);
  const own = isFour ? V4 : V6;
  const from = pick(random, wrong ? [...NO_ADDRESSES, ...(isFour ? V6 : V4)] : own);
  const port = pick(random, once(random, 8) ? NO_PORTS : PORTS);
  const text = `PROXY TCP${isFour ? 4 : 6} ${from} ${pick(random, own)} ${port} ${pick(random, PORTS)}\r\n`;
  if (wrong || NO_PORTS.includes(port)) return { text };
  return { text, source: { address: [...(addressBytes(from) ?? [])], port: Number(port) } };
}

function binaryOf(random: Random): ProxyInput {
  const bytes = (count: number) => Array.from({ length: count }, () => random(256));
  const command = once(random, 8) ? random(256) : 0x20 + random(2);
  const family = once(random, 8) ? random(256) : pick(random, [0x11, 0x21, 0x00, 0x31, 0x12, 0x22]);
  const addressLength = family === 0x11 ? 4 : 16;
  const body = bytes(pick(random, [2 * addressLength + 4, 2 * addressLength + 4, 216, random(60)]));
  const length = once(random, 10) ? random(65_536) : body.length;
  const head = [command, family, length >> 8, length & 255];
  const text = SIGNATURE + Buffer.from([...head, ...body]).toString('latin1');
  const isRight = command >> 4 === 2 && (command & 15) <= 1 && length === body.length;
  if (!isRight || ![0x11, 0x21, 0x00, 0x31, 0x12, 0x22].includes(family)) return { text };
  if (command === 0x20 || (family !== 0x11 && family !== 0x21)) return { text, source: null };
  if (body.length < 2 * addressLength + 4) return { text };
  const port = ((body[2 * addressLength] as number) << 8) | (body[2 * addressLength + 1] as number);
  return { text, source: { address: body.slice(0, addressLength), port } };
}

export const proxyHeader: FuzzTarget<ProxyInput> = {
  name: 'proxy-header',
  title: 'a PROXY header names the source it was written with, in whatever pieces it comes',
  outcomes: 5,
  kept: [],

  make(random: Random): ProxyInput {
    const made = once(random, 2) ? lineOf(random) : binaryOf(random);
    const behind = pick(random, ['', 'GET / HTTP/1.1\r\n\r\n', SIGNATURE, 'PROXY UNKNOWN\r\n']);
    if (!once(random, 3)) return { ...made, text: made.text + behind };
    if (once(random, 20))
      return { text: draw(random, ['PROXY ', '\r\n', '\0', 'QUIT\n', 'TCP4 '], 6) };
    return { text: damage(random, made.text) + behind };
  },

  check({ text, source }: ProxyInput): string {
    const bytes = Buffer.from(text, 'latin1');
    const whole = parseProxyHeader(bytes);
    const written = JSON.stringify(whole);
    for (let cut = 0; cut < Math.min(bytes.length, 300); cut++) {
      const part = parseProxyHeader(bytes.subarray(0, cut));
      if (part === 'more') continue;
      must(
        JSON.stringify(part) === written,
        () => `its first ${cut} bytes: ${JSON.stringify(part)}`,
      );
    }
    if (typeof whole === 'string') {
      must(source === undefined, () => `${whole} for a header by the specification`);
      return whole;
    }
    must(
      whole.length > 0 && whole.length <= bytes.length,
      () => `a header of ${whole.length} bytes`,
    );
    const found = whole.source;
    if (found !== null) {
      must(found.address.length === 4 || found.address.length === 16, () => written);
      must(found.port >= 0 && found.port <= 65_535, () => written);
      const [, , from = ''] = text.startsWith('PROXY') ? text.split(' ') : [];
      must(
        !text.startsWith('PROXY') || isIPv4(from) || isIPv6(from),
        () => `${from} as an address`,
      );
    }
    if (source !== undefined) {
      const told = found === null ? null : { address: [...found.address], port: found.port };
      must(JSON.stringify(told) === JSON.stringify(source), () => `${written} was written`);
    }
    return found === null ? 'no source' : `${found.address.length} bytes`;
  },
};
