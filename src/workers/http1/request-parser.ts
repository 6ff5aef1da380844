/**
 * The request parser: one head, strict by RFC 9112, as offsets into the bytes it arrived in.
 *
 * Role: finds where a head ends, where its parts are and how its body is framed, or why it is refused.
 * Thread: a worker; one parser serves all connections of its worker, one head at a time.
 * May not: read outside the range it is given, change a byte, make a string of a field, allocate
 * (but for a view when it is shown another buffer and for a method it does not know), or remember
 * anything from one parse() to the next.
 *
 * A verdict depends on nothing but the bytes up to where it falls: whoever sends a head in pieces
 * gets the answer of whoever sends it at once. So bytes are judged where they stand, the meaning of
 * a field at the end of its line, and what needs the whole head (version, Host, framing) at its end.
 */

import type { FieldTable } from '../exchange.ts';
import {
  BYTE_CLASS,
  CLASS,
  COLON,
  CR,
  checkHost,
  connectionOptions,
  DIGIT_0,
  equalsIgnoringCase,
  HOST,
  HTAB,
  isTargetForm,
  LF,
  MAX_METHOD_BYTES,
  methodAt,
  SEEN,
  SEEN_ANY_CODING,
  SLASH,
  SP,
  TOKEN_PAIRS,
  transferCodings,
} from './grammar.ts';

export interface RequestLimits {
  /** Bytes of the request line without its CRLF. */
  requestLine: number;
  /** Bytes of one field line without its CRLF. */
  fieldSize: number;
  /** Number of field lines. */
  fields: number;
}

/** Every reason to refuse a head, with the status it is answered with. */
export const REQUEST_REFUSALS = {
  'bare-cr': 400,
  'bare-lf': 400,
  'truncated-request-line': 400,
  'invalid-method': 400,
  'extra-space': 400,
  'invalid-target': 400,
  'invalid-target-form': 400,
  'invalid-version': 400,
  'obs-fold': 400,
  'invalid-field-name': 400,
  'space-before-colon': 400,
  'missing-colon': 400,
  'invalid-field-value': 400,
  'invalid-host': 400,
  'duplicate-host': 400,
  'missing-host': 400,
  'invalid-content-length': 400,
  'duplicate-content-length': 400,
  'invalid-transfer-encoding': 400,
  'chunked-not-last': 400,
  'transfer-encoding-on-http10': 400,
  'transfer-encoding-with-content-length': 400,
  'request-line-too-long': 414,
  'expectation-failed': 417,
  'field-too-large': 431,
  'too-many-fields': 431,
  'method-too-long': 501,
  'unsupported-transfer-encoding': 501,
  'unsupported-version': 505,
} as const;

export type RequestRefusal = keyof typeof REQUEST_REFUSALS;

/** Lengths of the names that mean something here: Host, Expect, Upgrade, Connection, three more. */
const KNOWN_NAME_LENGTHS =
  (1 << 4) | (1 << 6) | (1 << 7) | (1 << 10) | (1 << 11) | (1 << 14) | (1 << 17);

export class RequestParser implements FieldTable {
  headStart = 0;
  method = '';
  targetStart = 0;
  targetEnd = 0;
  minorVersion: 0 | 1 = 1;
  fieldCount = 0;
  readonly fields: Int32Array;
  contentLength = -1;
  chunked = false;
  keepAlive = false;
  expectContinue = false;
  upgrade = false;
  hostField = -1;
  /** The last traceparent (W3C Trace Context), -1: none. */
  traceField = -1;
  serial = 0;
  error = '';

  readonly #requestLineLimit: number;
  readonly #fieldSizeLimit: number;
  readonly #fieldLimit: number;
  #bytes: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #seen = 0;

  constructor(limits: RequestLimits) {
    for (const [name, limit] of Object.entries(limits)) {
      if (!Number.isInteger(limit) || limit < 1) {
        throw new RangeError(`limit ${name} must be a positive integer, not ${limit}`);
      }
    }
    this.#requestLineLimit = limits.requestLine;
    this.#fieldSizeLimit = limits.fieldSize;
    this.#fieldLimit = limits.fields;
    this.fields = new Int32Array(limits.fields * 4);
  }

  /**
   * Parses bytes[start, end). Positive: absolute offset behind the head's empty line. Zero: more
   * bytes are needed. Negative: refused with that status, see `error`.
   */
  parse(bytes: Uint8Array, start: number, end: number): number {
    this.serial = (this.serial + 1) | 0;
    if (bytes !== this.#bytes) this.#look(bytes);
    // Once per parse: inside the loops a module binding or a private field costs a load each.
    const view = this.#view;
    const classes = BYTE_CLASS;
    const pairs = TOKEN_PAIRS;

    let i = start;
    // RFC 9112 section 2.2: one empty line before the request line is ignored; some old clients
    // send it behind a body.
    if (i < end && bytes[i] === CR) {
      if (i + 1 >= end) return 0;
      if (bytes[i + 1] !== LF) return this.#refuse('bare-cr');
      i += 2;
    }
    const headStart = i;

    // Method. Four bytes are compared at once; little-endian.
    const word = i + 4 <= end ? view.getInt32(i, true) : 0;
    let method: string;
    if (word === 0x20544547) {
      method = 'GET';
      i += 3;
    } else {
      const stop = Math.min(end, headStart + MAX_METHOD_BYTES + 1);
      while (i < stop && (classes[bytes[i]] & CLASS.token) !== 0) i++;
      if (i - headStart > MAX_METHOD_BYTES) {
        return this.#refuseRequestLine(bytes, headStart, i - 1, 'method-too-long');
      }
      if (i === end) return this.#awaitRequestLine(bytes, headStart, end);
      if (bytes[i] !== SP || i === headStart) {
        return this.#refuseRequestLine(
          bytes,
          headStart,
          i,
          requestLineFault(bytes[i], 'invalid-method'),
        );
      }
      method = methodAt(bytes, headStart, i);
    }
    i++;

    // Target: four bytes at once until one is not between 0x21 and 0x7e, or is `#`.
    const targetStart = i;
    for (; i + 4 <= end; i += 4) {
      const w = view.getInt32(i, true);
      const hash = w ^ 0x23232323;
      if ((((w - 0x21212121) | (w + 0x01010101) | w | (hash - 0x01010101)) & 0x80808080) !== 0)
        break;
    }
    while (i < end && (classes[bytes[i]] & CLASS.target) !== 0) i++;
    if (i === end) return this.#awaitRequestLine(bytes, headStart, end);
    const targetEnd = i;
    if (bytes[i] !== SP || i === targetStart) {
      const fault = bytes[i] === SP ? 'extra-space' : 'invalid-target';
      return this.#refuseRequestLine(bytes, headStart, i, requestLineFault(bytes[i], fault));
    }
    i++;

    // ' HTTP/1.x\r\n': twelve bytes or a closer look.
    let minorVersion: 0 | 1 = 1;
    if (
      i + 10 <= end &&
      view.getInt32(i, true) === 0x50545448 &&
      view.getInt32(i + 4, true) === 0x312e312f &&
      bytes[i + 8] === CR &&
      bytes[i + 9] === LF
    ) {
      i += 8;
    } else {
      const verdict = this.#version(bytes, headStart, i, end);
      if (verdict <= 0) return verdict;
      i += 8;
      minorVersion = bytes[i - 1] === DIGIT_0 ? 0 : 1;
    }
    if (i - headStart > this.#requestLineLimit) return this.#refuse('request-line-too-long');
    if (bytes[targetStart] !== SLASH || method === 'CONNECT') {
      if (!isTargetForm(bytes, targetStart, targetEnd, method)) {
        return this.#refuse('invalid-target-form');
      }
    }
    i += 2;

    // Field lines.
    const fields = this.fields;
    const fieldLimit = this.#fieldLimit;
    const fieldSizeLimit = this.#fieldSizeLimit;
    this.contentLength = -1;
    this.hostField = -1;
    this.traceField = -1;
    this.#seen = 0;
    let count = 0;
    for (;;) {
      if (i >= end) return 0;
      const nameStart = i;
      if (bytes[i] === CR) break;
      if (count === fieldLimit) return this.#refuse('too-many-fields');

      for (;;) {
        if (i + 4 > end) {
          while (i < end && (classes[bytes[i]] & CLASS.token) !== 0) i++;
          break;
        }
        const w = view.getInt32(i, true);
        const low = pairs[w & 0xffff];
        if (low !== 2) {
          i += low;
          break;
        }
        const high = pairs[w >>> 16];
        i += 2 + high;
        if (high !== 2) break;
      }
      if (i >= end) return this.#awaitField(bytes, nameStart, end);
      const nameEnd = i;
      if (bytes[i] !== COLON || i === nameStart) {
        return this.#refuseField(bytes, nameStart, i, nameFault(bytes[i], i === nameStart));
      }
      i++;

      if (i < end && bytes[i] === SP) i++;
      while (i < end && (bytes[i] === SP || bytes[i] === HTAB)) i++;
      const valueStart = i;
      for (;;) {
        // Bytes below 0x20 borrow into their top bit, DEL carries into it; a byte of 0xff may carry
        // into its neighbour, so what stops here is looked at once more.
        for (; i + 4 <= end; i += 4) {
          const w = view.getInt32(i, true);
          const stop = ((w - 0x20202020) | (w + 0x01010101)) & ~w & 0x80808080;
          if (stop !== 0) {
            i += (31 - Math.clz32(stop & -stop)) >>> 3;
            break;
          }
        }
        if (i >= end) return this.#awaitField(bytes, nameStart, end);
        if ((classes[bytes[i]] & CLASS.value) === 0) break;
        i++;
      }
      if (bytes[i] !== CR) {
        const fault = bytes[i] === LF ? 'bare-lf' : 'invalid-field-value';
        return this.#refuseField(bytes, nameStart, i, fault);
      }
      if (i + 1 >= end) return this.#awaitField(bytes, nameStart, end);
      if (bytes[i + 1] !== LF) return this.#refuseField(bytes, nameStart, i, 'bare-cr');
      if (i - nameStart > fieldSizeLimit) return this.#refuse('field-too-large');
      let valueEnd = i;
      while (
        valueEnd > valueStart &&
        (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === HTAB)
      ) {
        valueEnd--;
      }

      const f = count << 2;
      fields[f] = nameStart - headStart;
      fields[f + 1] = nameEnd - headStart;
      fields[f + 2] = valueStart - headStart;
      fields[f + 3] = valueEnd - headStart;
      const length = nameEnd - nameStart;
      if (length < 18 && ((KNOWN_NAME_LENGTHS >>> length) & 1) !== 0) {
        const verdict = this.#known(bytes, view, nameStart, length, valueStart, valueEnd, count);
        if (verdict < 0) return verdict;
      }
      count++;
      i += 2;
    }
    if (i + 1 >= end) return 0;
    if (bytes[i + 1] !== LF) return this.#refuse('bare-cr');

    this.headStart = headStart;
    this.method = method;
    this.targetStart = targetStart - headStart;
    this.targetEnd = targetEnd - headStart;
    this.minorVersion = minorVersion;
    this.fieldCount = count;
    const verdict = this.#conclude(minorVersion);
    return verdict < 0 ? verdict : i + 2;
  }

  /** What only the whole head can tell: Host, framing, persistence. RFC 9112 sections 3.2, 6, 9.3. */
  #conclude(minorVersion: 0 | 1): number {
    const seen = this.#seen;
    if ((seen & SEEN_ANY_CODING) !== 0) {
      if ((seen & SEEN.invalidCoding) !== 0) return this.#refuse('invalid-transfer-encoding');
      if ((seen & SEEN.codingBehindChunked) !== 0) return this.#refuse('chunked-not-last');
      if (minorVersion === 0) return this.#refuse('transfer-encoding-on-http10');
      if (this.contentLength >= 0) return this.#refuse('transfer-encoding-with-content-length');
    }
    if (minorVersion === 1 && this.hostField < 0) return this.#refuse('missing-host');
    if ((seen & SEEN.otherCoding) !== 0) return this.#refuse('unsupported-transfer-encoding');
    // RFC 9110 section 10.1.1: Expect in an HTTP/1.0 request is ignored; section 7.8: so is Upgrade.
    if (minorVersion === 1 && (seen & SEEN.expectOther) !== 0)
      return this.#refuse('expectation-failed');
    const upgrade = SEEN.connectionUpgrade | SEEN.upgradeField;
    this.chunked = (seen & SEEN.chunked) !== 0;
    this.expectContinue = minorVersion === 1 && (seen & SEEN.expectContinue) !== 0;
    this.upgrade = minorVersion === 1 && (seen & upgrade) === upgrade;
    this.keepAlive =
      (seen & SEEN.close) === 0 && (minorVersion === 1 || (seen & SEEN.keepAlive) !== 0);
    return 0;
  }

  /** A field whose name has the length of one that matters. The name is a token, the value is clean. */
  #known(
    bytes: Uint8Array,
    view: DataView,
    name: number,
    length: number,
    valueStart: number,
    valueEnd: number,
    index: number,
  ): number {
    // A byte with 0x20 set equals a lower-case letter only if it was that letter in either case;
    // the rest of a name is compared only where its first four bytes are right.
    const first = view.getInt32(name, true) | 0x20202020;
    if (length === 4) {
      if (first !== 0x74736f68) return 0; // host
      if (this.hostField >= 0) return this.#refuse('duplicate-host');
      if (checkHost(bytes, valueStart, valueEnd) === HOST.invalid)
        return this.#refuse('invalid-host');
      this.hostField = index;
    } else if (length === 10) {
      if (first !== 0x6e6e6f63) return 0; // conn
      if (!equalsIgnoringCase(bytes, name, name + length, 'connection')) return 0;
      this.#seen |= connectionOptions(bytes, valueStart, valueEnd);
    } else if (length === 11) {
      if (first !== 0x63617274) return 0; // trac
      if (equalsIgnoringCase(bytes, name, name + length, 'traceparent')) this.traceField = index;
    } else if (length === 14) {
      if (first !== 0x746e6f63) return 0; // cont
      if (!equalsIgnoringCase(bytes, name, name + length, 'content-length')) return 0;
      return this.#contentLength(bytes, valueStart, valueEnd);
    } else if (length === 17) {
      if (first !== 0x6e617274) return 0; // tran
      if (!equalsIgnoringCase(bytes, name, name + length, 'transfer-encoding')) return 0;
      this.#seen = transferCodings(bytes, valueStart, valueEnd, this.#seen);
    } else if (length === 6) {
      if (first !== 0x65707865) return 0; // expe
      if (!equalsIgnoringCase(bytes, name, name + length, 'expect')) return 0;
      const known = equalsIgnoringCase(bytes, valueStart, valueEnd, '100-continue');
      this.#seen |= known ? SEEN.expectContinue : SEEN.expectOther;
    } else if (length === 7) {
      if (first !== 0x72677075) return 0; // upgr
      if (!equalsIgnoringCase(bytes, name, name + length, 'upgrade')) return 0;
      if (valueStart < valueEnd) this.#seen |= SEEN.upgradeField;
    }
    return 0;
  }

  /** 1*DIGIT, once, at most 2^53 - 1. A list of equal numbers is refused too, RFC 9112 section 6.3. */
  #contentLength(bytes: Uint8Array, start: number, end: number): number {
    if (this.contentLength >= 0) return this.#refuse('duplicate-content-length');
    if (start === end) return this.#refuse('invalid-content-length');
    let length = 0;
    for (let i = start; i < end; i++) {
      if ((BYTE_CLASS[bytes[i]] & CLASS.digit) === 0) return this.#refuse('invalid-content-length');
      length = length * 10 + (bytes[i] - DIGIT_0);
      if (length > Number.MAX_SAFE_INTEGER) return this.#refuse('invalid-content-length');
    }
    this.contentLength = length;
    return 0;
  }

  /** HTTP-version and CRLF, byte by byte. Positive: HTTP/1.0 or 1.1 with its line end. */
  #version(bytes: Uint8Array, headStart: number, start: number, end: number): number {
    const pattern = 'HTTP/0.0\r';
    for (let k = 0; k < 9; k++) {
      const i = start + k;
      if (i === end) return this.#awaitRequestLine(bytes, headStart, end);
      const byte = bytes[i];
      const right =
        k === 5 || k === 7
          ? (BYTE_CLASS[byte] & CLASS.digit) !== 0
          : byte === pattern.charCodeAt(k);
      if (!right) {
        const fault = byte === SP ? 'extra-space' : 'invalid-version';
        return this.#refuseRequestLine(bytes, headStart, i, requestLineFault(byte, fault));
      }
      if (k === 7 && (bytes[i - 2] !== DIGIT_0 + 1 || byte > DIGIT_0 + 1)) {
        // HTTP/0.9 has no such line, so a request that says so is malformed rather than too old.
        const fault = bytes[i - 2] === DIGIT_0 ? 'invalid-version' : 'unsupported-version';
        return this.#refuseRequestLine(bytes, headStart, i, fault);
      }
    }
    if (start + 9 === end) return this.#awaitRequestLine(bytes, headStart, end);
    if (bytes[start + 9] !== LF) {
      return this.#refuseRequestLine(bytes, headStart, start + 8, 'bare-cr');
    }
    return 1;
  }

  #look(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #refuse(code: RequestRefusal): number {
    this.error = code;
    return -REQUEST_REFUSALS[code];
  }

  /** Refuses for the byte at `at`, unless the line had outgrown its limit before it. */
  #refuseRequestLine(
    bytes: Uint8Array,
    lineStart: number,
    at: number,
    code: RequestRefusal,
  ): number {
    const tooLong = outgrown(bytes, lineStart, at, this.#requestLineLimit);
    return this.#refuse(tooLong ? 'request-line-too-long' : code);
  }

  #refuseField(bytes: Uint8Array, lineStart: number, at: number, code: RequestRefusal): number {
    const tooLong = outgrown(bytes, lineStart, at, this.#fieldSizeLimit);
    return this.#refuse(tooLong ? 'field-too-large' : code);
  }

  /** More bytes are needed, unless the unfinished line is too long already. */
  #awaitRequestLine(bytes: Uint8Array, lineStart: number, end: number): number {
    if (end === lineStart || !outgrown(bytes, lineStart, end - 1, this.#requestLineLimit)) return 0;
    return this.#refuse('request-line-too-long');
  }

  #awaitField(bytes: Uint8Array, lineStart: number, end: number): number {
    if (!outgrown(bytes, lineStart, end - 1, this.#fieldSizeLimit)) return 0;
    return this.#refuse('field-too-large');
  }
}

/** True if the line holds more than `limit` bytes, `at` included; its CR does not count. */
function outgrown(bytes: Uint8Array, lineStart: number, at: number, limit: number): boolean {
  return at - lineStart > limit || (at - lineStart === limit && bytes[at] !== CR);
}

function requestLineFault(byte: number, other: RequestRefusal): RequestRefusal {
  if (byte === LF) return 'bare-lf';
  return byte === CR ? 'truncated-request-line' : other;
}

function nameFault(byte: number, first: boolean): RequestRefusal {
  if (byte === LF) return 'bare-lf';
  // RFC 9112 sections 2.2 and 5.2: white space at the start of a line is a fold, or meant to look
  // like one; section 5.1: before the colon it has been used to smuggle requests.
  if (byte === SP || byte === HTAB) return first ? 'obs-fold' : 'space-before-colon';
  return byte === CR ? 'missing-colon' : 'invalid-field-name';
}
