/**
 * The bytes HTTP/1.1 is made of: class tables, known methods, hosts, target forms, lists.
 *
 * Role: the one source of constants for the request parser and the chunked decoder.
 * Thread: a worker (pure functions and read-only tables, made once at module load).
 * May not: know about connections or messages, allocate after load, or keep state between calls.
 */

export const HTAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const DQUOTE = 0x22;
export const PERCENT = 0x25;
export const ASTERISK = 0x2a;
export const COMMA = 0x2c;
export const DOT = 0x2e;
export const SLASH = 0x2f;
export const DIGIT_0 = 0x30;
export const COLON = 0x3a;
export const SEMICOLON = 0x3b;
export const EQUALS = 0x3d;
export const QUESTION = 0x3f;
export const BRACKET_OPEN = 0x5b;
export const BACKSLASH = 0x5c;
export const BRACKET_CLOSE = 0x5d;

/** Bits of `BYTE_CLASS`. */
export const CLASS = {
  /** tchar, RFC 9110 section 5.6.2. */
  token: 1,
  /**
   * What a request-target may hold: VCHAR without `#`. Narrower than Apache's, wider than RFC 3986:
   * browsers send `|`, `^`, `{`, `[` and quotes unescaped in queries. A fragment never belongs into
   * a target (RFC 9112 section 3.2), and hops that cut it off would see another resource than we do.
   */
  target: 2,
  /** field-vchar, SP and HTAB, RFC 9110 section 5.5; obs-text is allowed, DEL and controls are not. */
  value: 4,
  /** unreserved and sub-delims, RFC 3986 section 2: reg-name but for percent-encoding. */
  regName: 8,
  hex: 16,
  digit: 32,
  /** qdtext, RFC 9110 section 5.6.4. */
  quoted: 64,
} as const;

const DIGITS = '0123456789';
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

function mark(table: Uint8Array, bit: number, characters: string): void {
  for (let i = 0; i < characters.length; i++) table[characters.charCodeAt(i)] |= bit;
}

function makeByteClass(): Uint8Array {
  const table = new Uint8Array(256);
  mark(table, CLASS.token, `${DIGITS}${LETTERS}!#$%&'*+-.^_\`|~`);
  mark(table, CLASS.regName, `${DIGITS}${LETTERS}-._~!$&'()*+,;=`);
  mark(table, CLASS.hex, `${DIGITS}abcdefABCDEF`);
  mark(table, CLASS.digit, DIGITS);
  for (let byte = 0x20; byte < 0x100; byte++) {
    if (byte === 0x7f) continue;
    table[byte] |= CLASS.value;
    if (byte !== DQUOTE && byte !== BACKSLASH) table[byte] |= CLASS.quoted;
    if (byte > SP && byte < 0x7f && byte !== 0x23) table[byte] |= CLASS.target;
  }
  table[HTAB] |= CLASS.value | CLASS.quoted;
  return table;
}

/** `CLASS` bits of every byte. */
export const BYTE_CLASS: Uint8Array = makeByteClass();

function makeTokenPairs(): Uint8Array {
  const table = new Uint8Array(0x10000);
  for (let pair = 0; pair < 0x10000; pair++) {
    if ((BYTE_CLASS[pair & 0xff] & CLASS.token) === 0) continue;
    table[pair] = (BYTE_CLASS[pair >>> 8] & CLASS.token) === 0 ? 1 : 2;
  }
  return table;
}

/**
 * For two bytes read as one little-endian number: how many of them, from the first, are token
 * characters (0, 1 or 2). A scan takes two bytes a look-up and knows where it has to stop.
 */
export const TOKEN_PAIRS: Uint8Array = makeTokenPairs();

function makeHexValue(): Int8Array {
  const table = new Int8Array(256).fill(-1);
  for (let value = 0; value < 16; value++) {
    const digit = value.toString(16);
    table[digit.charCodeAt(0)] = value;
    table[digit.toUpperCase().charCodeAt(0)] = value;
  }
  return table;
}

/** Value of a hexadecimal digit, -1 for every other byte. */
export const HEX_VALUE: Int8Array = makeHexValue();

/** A longer method is refused, RFC 9112 section 3; the longest registered one has 17 bytes. */
export const MAX_METHOD_BYTES = 32;

/** IANA's method registry, and PURGE, which caches are sent. The most frequent of a length first. */
const KNOWN_METHODS: readonly string[] = [
  'GET',
  'POST',
  'PUT',
  'HEAD',
  'DELETE',
  'OPTIONS',
  'PATCH',
  'CONNECT',
  'TRACE',
  'QUERY',
  'ACL',
  'BASELINE-CONTROL',
  'BIND',
  'CHECKIN',
  'CHECKOUT',
  'COPY',
  'LABEL',
  'LINK',
  'LOCK',
  'MERGE',
  'MKACTIVITY',
  'MKCALENDAR',
  'MKCOL',
  'MKREDIRECTREF',
  'MKWORKSPACE',
  'MOVE',
  'ORDERPATCH',
  'PROPFIND',
  'PROPPATCH',
  'PURGE',
  'REBIND',
  'REPORT',
  'SEARCH',
  'UNBIND',
  'UNCHECKOUT',
  'UNLINK',
  'UNLOCK',
  'UPDATE',
  'UPDATEREDIRECTREF',
  'VERSION-CONTROL',
];

const METHODS_BY_LENGTH: readonly (readonly string[])[] = Array.from(
  { length: MAX_METHOD_BYTES + 1 },
  (_, length) => KNOWN_METHODS.filter((method) => method.length === length),
);

/** The method in bytes[start, end): a constant for a known one, otherwise a new string. */
export function methodAt(bytes: Uint8Array, start: number, end: number): string {
  const candidates = METHODS_BY_LENGTH[end - start];
  for (let c = 0; c < candidates.length; c++) {
    const candidate = candidates[c];
    let i = 0;
    while (start + i < end && candidate.charCodeAt(i) === bytes[start + i]) i++;
    if (start + i === end) return candidate;
  }
  let method = '';
  for (let i = start; i < end; i++) method += String.fromCharCode(bytes[i]);
  return method;
}

/** True if bytes[start, end) equals `text`, which must be lower case, whatever the bytes' case. */
export function equalsIgnoringCase(
  bytes: Uint8Array,
  start: number,
  end: number,
  text: string,
): boolean {
  if (end - start !== text.length) return false;
  for (let i = 0; i < text.length; i++) {
    const byte = bytes[start + i];
    const lower = byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
    if (lower !== text.charCodeAt(i)) return false;
  }
  return true;
}

/** What `checkHost` found. */
export const HOST = { invalid: 0, empty: 1, named: 2, namedWithPort: 3 } as const;

/**
 * uri-host [ ":" port ], RFC 9110 section 7.2 and RFC 3986 section 3.2.2. A port above 65535 is
 * refused although the grammar has any number of digits: nothing can listen there, and `new URL`
 * in a handler would throw.
 * @returns one of `HOST`; `empty` for no byte at all, `invalid` for a port without a host
 */
export function checkHost(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) return HOST.empty;
  let i = start;
  if (bytes[i] === BRACKET_OPEN) {
    while (i < end && bytes[i] !== BRACKET_CLOSE) i++;
    if (i === end || !isIpLiteral(bytes, start + 1, i)) return HOST.invalid;
    i++;
  } else {
    for (; i < end; i++) {
      if ((BYTE_CLASS[bytes[i]] & CLASS.regName) !== 0) continue;
      if (bytes[i] !== PERCENT) break;
      if (i + 2 >= end || HEX_VALUE[bytes[i + 1]] < 0 || HEX_VALUE[bytes[i + 2]] < 0) {
        return HOST.invalid;
      }
      i += 2;
    }
    if (i === start) return HOST.invalid;
  }
  if (i === end) return HOST.named;
  if (bytes[i] !== COLON) return HOST.invalid;
  i++;
  if (i === end) return HOST.named;
  let port = 0;
  for (; i < end; i++) {
    if ((BYTE_CLASS[bytes[i]] & CLASS.digit) === 0) return HOST.invalid;
    port = port * 10 + (bytes[i] - DIGIT_0);
    if (port > 65535) return HOST.invalid;
  }
  return HOST.namedWithPort;
}

/** IPv6address / IPvFuture, RFC 3986 section 3.2.2, without the brackets. No zone identifiers. */
function isIpLiteral(bytes: Uint8Array, start: number, end: number): boolean {
  if (start < end && (bytes[start] | 0x20) === 0x76) return isIpFuture(bytes, start + 1, end);
  let groups = 0;
  let elided = false;
  let i = start;
  if (i + 1 < end && bytes[i] === COLON && bytes[i + 1] === COLON) {
    elided = true;
    i += 2;
  }
  while (i < end) {
    const groupStart = i;
    while (i < end && HEX_VALUE[bytes[i]] >= 0) i++;
    if (i < end && bytes[i] === DOT) {
      if (!isIpv4(bytes, groupStart, end)) return false;
      groups += 2;
      i = end;
      break;
    }
    if (i === groupStart || i - groupStart > 4) return false;
    groups++;
    if (i === end) break;
    if (bytes[i] !== COLON) return false;
    i++;
    if (i === end) return false;
    if (bytes[i] === COLON) {
      if (elided) return false;
      elided = true;
      i++;
    }
  }
  return elided ? groups <= 7 : groups === 8;
}

function isIpFuture(bytes: Uint8Array, start: number, end: number): boolean {
  let i = start;
  while (i < end && HEX_VALUE[bytes[i]] >= 0) i++;
  if (i === start || i === end || bytes[i] !== DOT || i + 1 === end) return false;
  for (i++; i < end; i++) {
    if ((BYTE_CLASS[bytes[i]] & CLASS.regName) === 0 && bytes[i] !== COLON) return false;
  }
  return true;
}

function isIpv4(bytes: Uint8Array, start: number, end: number): boolean {
  let parts = 0;
  let i = start;
  while (parts < 4) {
    const partStart = i;
    let value = 0;
    while (i < end && i - partStart < 3 && (BYTE_CLASS[bytes[i]] & CLASS.digit) !== 0) {
      value = value * 10 + (bytes[i] - DIGIT_0);
      i++;
    }
    const length = i - partStart;
    if (length === 0 || value > 255 || (length > 1 && bytes[partStart] === DIGIT_0)) return false;
    parts++;
    if (parts === 4) break;
    if (i === end || bytes[i] !== DOT) return false;
    i++;
  }
  return i === end;
}

/** The forms of a request-target besides the origin form, RFC 9112 section 3.2. */
export function isTargetForm(
  bytes: Uint8Array,
  start: number,
  end: number,
  method: string,
): boolean {
  if (method === 'CONNECT') return checkHost(bytes, start, end) === HOST.namedWithPort;
  if (bytes[start] === ASTERISK) return end - start === 1 && method === 'OPTIONS';
  let authority = start;
  if (equalsIgnoringCase(bytes, start, Math.min(end, start + 7), 'http://')) authority += 7;
  else if (equalsIgnoringCase(bytes, start, Math.min(end, start + 8), 'https://')) authority += 8;
  else return false;
  let authorityEnd = authority;
  while (authorityEnd < end && bytes[authorityEnd] !== SLASH && bytes[authorityEnd] !== QUESTION) {
    authorityEnd++;
  }
  // RFC 9110 section 4.2: an empty host is invalid; user information is refused with it.
  return checkHost(bytes, authority, authorityEnd) >= HOST.named;
}

/** What the fields of a head say together; bits that the parser collects line by line. */
export const SEEN = {
  close: 1,
  keepAlive: 2,
  connectionUpgrade: 4,
  upgradeField: 8,
  expectContinue: 16,
  expectOther: 32,
  chunked: 64,
  otherCoding: 128,
  codingBehindChunked: 256,
  invalidCoding: 512,
} as const;

export const SEEN_ANY_CODING =
  SEEN.chunked | SEEN.otherCoding | SEEN.codingBehindChunked | SEEN.invalidCoding;

/** Value of a Connection field, RFC 9110 section 7.6.1; empty and foreign elements mean nothing. */
export function connectionOptions(bytes: Uint8Array, start: number, end: number): number {
  let seen = 0;
  let i = start;
  while (i < end) {
    const from = skipSpace(bytes, i, end);
    i = findComma(bytes, from, end);
    const to = trimSpace(bytes, from, i);
    i++;
    const length = to - from;
    if (length === 10) {
      if (equalsIgnoringCase(bytes, from, to, 'keep-alive')) seen |= SEEN.keepAlive;
    } else if (length === 5) {
      if (equalsIgnoringCase(bytes, from, to, 'close')) seen |= SEEN.close;
    } else if (length === 7) {
      if (equalsIgnoringCase(bytes, from, to, 'upgrade')) seen |= SEEN.connectionUpgrade;
    }
  }
  return seen;
}

/**
 * Value of a Transfer-Encoding field, added to what the lines before it said. Only `chunked`, alone,
 * is served. The rest is told apart for the right answer (RFC 9112 section 6.1): a coding we do not
 * have is 501; anything that is not a list of tokens, or has something behind chunked, leaves the
 * length of the body in doubt and is 400.
 */
export function transferCodings(
  bytes: Uint8Array,
  start: number,
  end: number,
  before: number,
): number {
  let seen = before;
  let i = start;
  do {
    const from = skipSpace(bytes, i, end);
    i = findComma(bytes, from, end);
    const to = trimSpace(bytes, from, i);
    if (from === to) seen |= SEEN.invalidCoding;
    for (let k = from; k < to; k++) {
      if ((BYTE_CLASS[bytes[k]] & CLASS.token) === 0) seen |= SEEN.invalidCoding;
    }
    if ((seen & SEEN.chunked) !== 0) seen |= SEEN.codingBehindChunked;
    seen |= equalsIgnoringCase(bytes, from, to, 'chunked') ? SEEN.chunked : SEEN.otherCoding;
  } while (i++ < end);
  return seen;
}

function skipSpace(bytes: Uint8Array, start: number, end: number): number {
  let i = start;
  while (i < end && (bytes[i] === SP || bytes[i] === HTAB)) i++;
  return i;
}

function trimSpace(bytes: Uint8Array, start: number, end: number): number {
  let i = end;
  while (i > start && (bytes[i - 1] === SP || bytes[i - 1] === HTAB)) i--;
  return i;
}

function findComma(bytes: Uint8Array, start: number, end: number): number {
  let i = start;
  while (i < end && bytes[i] !== COMMA) i++;
  return i;
}
