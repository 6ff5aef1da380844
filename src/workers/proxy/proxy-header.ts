/**
 * The PROXY protocol's header: who a connection is really from, before its first byte.
 *
 * Role: reads version 1 (a line) and 2 (binary) of HAProxy's specification, doc/proxy-protocol.txt
 * (2020/03/05), strictly. A verdict depends on nothing but the bytes up to where it falls.
 * Thread: any; a pure function.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { addressBytes } from './networks.ts';

export interface ProxySource {
  /** 4 or 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
}

export interface ProxyHeader {
  /** Bytes of the header. */
  readonly length: number;
  /** Null: the proxy speaks for itself (LOCAL, UNKNOWN), as in a health check, or of no TCP address. */
  readonly source: ProxySource | null;
}

/** Section 2.1: the longest line, CRLF included. */
const MAX_LINE_BYTES = 107;
/** Section 2.2 allows 65,535 behind the first 16; real ones have a few hundred. */
const MAX_BINARY_BYTES = 2048;
const PREFIX = Buffer.from('PROXY ', 'latin1');
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const FIXED_BYTES = 16;
const LINE = /^PROXY (TCP4|TCP6) (\S+) (\S+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})$/;

/** The header, `more` where it is incomplete, `malformed` where none can become of it. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader | 'more' | 'malformed' {
  if (begins(bytes, SIGNATURE)) return bytes.length < FIXED_BYTES ? 'more' : binary(bytes);
  if (begins(bytes, PREFIX)) return line(bytes);
  return 'malformed';
}

const begins = (bytes: Buffer, start: Buffer): boolean => {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
};

function line(bytes: Buffer): ProxyHeader | 'more' | 'malformed' {
  const text = bytes.toString('latin1', 0, MAX_LINE_BYTES);
  const end = text.indexOf('\r');
  // Before the end as behind it: whoever sends it in pieces gets the same verdict.
  if (/[^ -~]/.test(end < 0 ? text : text.slice(0, end))) return 'malformed';
  if (end < 0 || end + 1 === text.length)
    return text.length < MAX_LINE_BYTES ? 'more' : 'malformed';
  if (text[end + 1] !== '\n') return 'malformed';
  const length = end + 2;
  const told = text.slice(0, end);
  // Section 2.1: whatever follows UNKNOWN is ignored.
  if (told === 'PROXY UNKNOWN' || told.startsWith('PROXY UNKNOWN '))
    return { length, source: null };
  const [, family, from = '', to = '', port, toPort] = LINE.exec(told) ?? [];
  const isOfFamily = family === 'TCP4' ? isIPv4 : isIPv6;
  if (family === undefined || !isOfFamily(from) || !isOfFamily(to)) return 'malformed';
  const address = addressBytes(from);
  if (address === null || Number(port) > 65_535 || Number(toPort) > 65_535) return 'malformed';
  return { length, source: { address, port: Number(port) } };
}

function binary(bytes: Buffer): ProxyHeader | 'more' | 'malformed' {
  const versionAndCommand = bytes[12] as number;
  const family = (bytes[13] as number) >> 4;
  const transport = (bytes[13] as number) & 15;
  const length = FIXED_BYTES + bytes.readUInt16BE(14);
  // Section 2.2: other values are to be rejected.
  if (versionAndCommand >> 4 !== 2 || (versionAndCommand & 15) > 1) return 'malformed';
  if (family > 3 || transport > 2 || length > MAX_BINARY_BYTES) return 'malformed';
  const addressLength = family === 1 ? 4 : 16;
  const isLocal = (versionAndCommand & 15) === 0;
  const isTcp = (family === 1 || family === 2) && transport === 1;
  // Two addresses and two ports; type-length-values may follow, and are not looked at.
  if (!isLocal && isTcp && length < FIXED_BYTES + 2 * addressLength + 4) return 'malformed';
  if (bytes.length < length) return 'more';
  if (isLocal || !isTcp) return { length, source: null };
  const port = bytes.readUInt16BE(FIXED_BYTES + 2 * addressLength);
  const address = Uint8Array.from(bytes.subarray(FIXED_BYTES, FIXED_BYTES + addressLength));
  return { length, source: { address, port } };
}
