/**
 * The chunked decoder: takes the framing out of a body, in place, RFC 9112 section 7.1.
 *
 * Role: moves the payload of chunks together and finds the end of the body, or why it is refused.
 * Thread: a worker. Three numbers are the whole state, so a body half-read may go on elsewhere.
 * May not: read or write outside the bytes it is given, allocate, or keep anything of a body besides
 * those three numbers.
 *
 * Trailer fields are held to the grammar of fields and to bounds, and kept, line by line as they came,
 * right behind the payload. Nobody here merges them into the head (RFC 9110 section 6.5.1), so a
 * Content-Length, Host or Transfer-Encoding among them cannot mean anything.
 */

import {
  BACKSLASH,
  BYTE_CLASS,
  CLASS,
  COLON,
  CR,
  DQUOTE,
  EQUALS,
  HEX_VALUE,
  HTAB,
  LF,
  SEMICOLON,
  SP,
} from './grammar.ts';

/** Every reason to refuse a chunked body, with the status it is answered with. */
export const CHUNKED_REFUSALS = {
  'invalid-chunk-size': 400,
  'chunk-size-too-large': 400,
  'invalid-chunk-extension': 400,
  'chunk-line-bare-cr': 400,
  'chunk-line-bare-lf': 400,
  'missing-chunk-end': 400,
  'invalid-trailer': 400,
  'chunk-extension-too-large': 413,
  'trailers-too-large': 431,
  'too-many-trailers': 431,
  'trailer-too-large': 431,
} as const;

export type ChunkedRefusal = keyof typeof CHUNKED_REFUSALS;

/**
 * Where the decoder stands, as it is stored with a connection. A phase from `size` on counts the
 * digits of a chunk size that have come: size + 1 has one.
 */
export const CHUNKED_PHASE = {
  start: 0,
  data: 1,
  dataCr: 2,
  dataLf: 3,
  /** Behind white space that only a `;` may follow. */
  beforeExtension: 4,
  extensionNameStart: 5,
  extensionName: 6,
  /** Behind white space that only a `=` or `;` may follow. */
  afterExtensionName: 7,
  extensionValueStart: 8,
  extensionToken: 9,
  extensionQuoted: 10,
  extensionEscape: 11,
  extensionQuotedEnd: 12,
  sizeLf: 13,
  trailerStart: 14,
  trailerName: 15,
  trailerValue: 16,
  trailerLf: 17,
  endLf: 18,
  done: 19,
  refused: 20,
  size: 32,
} as const;

/** Enough for 2^53 - 1 (14 digits) and for the sizes of senders that fill up to 64 bits with zeros. */
export const MAX_CHUNK_SIZE_DIGITS = 16;

const PHASE = CHUNKED_PHASE;
const CRLF_BYTES = 2;

/** Below this many bytes a loop moves payload faster than a call of copyWithin. */
const SMALL_MOVE_BYTES = 24;

export class ChunkedDecoder {
  phase: number = PHASE.start;
  /** Bytes of the current chunk still to come, or its size as far as it was read. */
  remaining = 0;
  /** Bytes of the current chunk line's extensions, later of the trailer section: what is bounded. */
  trailerBytes = 0;
  consumed = 0;
  written = 0;
  error = '';

  readonly #maxExtensionBytes: number;
  readonly #maxTrailerBytes: number;
  readonly #maxTrailers: number;
  readonly #maxTrailerSize: number;

  /**
   * @param maxExtensionBytes bound on the extensions of one chunk line
   * @param maxTrailerBytes bound on the whole trailer section, its line ends included
   * @param maxTrailers bound on the number of trailer fields
   * @param maxTrailerSize bound on one of their lines, without its end
   */
  constructor(
    maxExtensionBytes = 1024,
    maxTrailerBytes = 4096,
    maxTrailers = Number.POSITIVE_INFINITY,
    maxTrailerSize = Number.POSITIVE_INFINITY,
  ) {
    this.#maxExtensionBytes = maxExtensionBytes;
    this.#maxTrailerBytes = maxTrailerBytes;
    this.#maxTrailers = maxTrailers;
    this.#maxTrailerSize = maxTrailerSize;
  }

  /** Bytes of the trailer section that stand behind the payload, its last CRLF included. */
  get trailerLength(): number {
    return isInTrailers(this.phase) || this.phase === PHASE.done ? this.trailerBytes : 0;
  }

  reset(): void {
    this.phase = PHASE.start;
    this.remaining = 0;
    this.trailerBytes = 0;
    this.consumed = 0;
    this.written = 0;
    this.error = '';
  }

  /**
   * Decodes bytes[from, to) and writes payload from `writeTo` on. 1: the body is complete; 0: everything
   * was read and more is needed; negative: refused with that status. A refusal lasts; its payload up to
   * `written` was valid.
   * @param writeTo at most `from - trailerLength`; the trailers that were kept stand there
   */
  decode(bytes: Uint8Array, from: number, to: number, writeTo: number): number {
    let i = from;
    let out = writeTo;
    let phase = this.phase;
    while (i < to && phase !== PHASE.done && phase !== PHASE.refused) {
      if (phase === PHASE.data) {
        const length = Math.min(this.remaining, to - i);
        move(bytes, i, length, out);
        i += length;
        out += length;
        this.remaining -= length;
        if (this.remaining === 0) phase = PHASE.dataCr;
      } else {
        const byte = bytes[i];
        const inTrailers = isInTrailers(phase);
        phase = this.#step(phase, byte);
        if (inTrailers && phase !== PHASE.refused) bytes[out + this.trailerBytes - 1] = byte;
        if (phase === PHASE.done) phase = this.#checkTrailers(bytes, out);
        if (phase !== PHASE.refused) i++;
      }
    }
    this.phase = phase;
    this.consumed = i;
    this.written = out;
    if (phase === PHASE.done) return 1;
    return phase === PHASE.refused ? this.#status() : 0;
  }

  #status(): number {
    // A refused state that was stored and set again has lost its reason; it stays refused.
    if (this.error === '') this.error = 'invalid-chunk-size';
    return -CHUNKED_REFUSALS[this.error as ChunkedRefusal];
  }

  #refuse(code: ChunkedRefusal): number {
    this.error = code;
    return PHASE.refused;
  }

  /** One byte of framing: the phase behind it. */
  #step(phase: number, byte: number): number {
    if (phase === PHASE.start || phase >= PHASE.size) return this.#size(phase, byte);
    switch (phase) {
      case PHASE.dataCr:
        return byte === CR ? PHASE.dataLf : this.#refuse('missing-chunk-end');
      case PHASE.dataLf:
        return byte === LF ? PHASE.start : this.#refuse('missing-chunk-end');
      case PHASE.sizeLf:
        if (byte !== LF) return this.#refuse('chunk-line-bare-cr');
        this.trailerBytes = 0;
        return this.remaining === 0 ? PHASE.trailerStart : PHASE.data;
      case PHASE.trailerStart:
      case PHASE.trailerName:
      case PHASE.trailerValue:
      case PHASE.trailerLf:
      case PHASE.endLf:
        return this.#trailer(phase, byte);
      default:
        return this.#extension(phase, byte);
    }
  }

  /** chunk-size = 1*HEXDIG; 2^53 - 1 at most, so that a size is exact as a number. */
  #size(phase: number, byte: number): number {
    const digit = HEX_VALUE[byte];
    if (digit >= 0) {
      const before = phase === PHASE.start ? 0 : this.remaining;
      const digits = phase === PHASE.start ? 0 : phase - PHASE.size;
      const size = before * 16 + digit;
      if (digits === MAX_CHUNK_SIZE_DIGITS || size > Number.MAX_SAFE_INTEGER) {
        return this.#refuse('chunk-size-too-large');
      }
      this.remaining = size;
      return PHASE.size + digits + 1;
    }
    if (phase === PHASE.start) return this.#refuse('invalid-chunk-size');
    this.trailerBytes = 0;
    if (byte === CR) return PHASE.sizeLf;
    if (byte === LF) return this.#refuse('chunk-line-bare-lf');
    if (byte !== SEMICOLON && byte !== SP && byte !== HTAB) {
      return this.#refuse('invalid-chunk-size');
    }
    return this.#extension(PHASE.beforeExtension, byte);
  }

  /**
   * chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ), section 7.1.1.
   * Extensions are ignored, but one that is read differently elsewhere moves the start of the data,
   * so they are held to the grammar: white space only before something, quotes closed, no controls.
   */
  #extension(phase: number, byte: number): number {
    if (byte === LF) return this.#refuse('chunk-line-bare-lf');
    if (byte === CR) {
      const complete =
        phase === PHASE.extensionName ||
        phase === PHASE.extensionToken ||
        phase === PHASE.extensionQuotedEnd;
      return complete ? PHASE.sizeLf : this.#refuse('invalid-chunk-extension');
    }
    const next = nextInExtension(phase, byte);
    if (next === PHASE.refused) return this.#refuse('invalid-chunk-extension');
    this.trailerBytes++;
    if (this.trailerBytes > this.#maxExtensionBytes)
      return this.#refuse('chunk-extension-too-large');
    return next;
  }

  /** trailer-section = *( field-line CRLF ) and the last CRLF, section 7.1.2; no folds. */
  #trailer(phase: number, byte: number): number {
    const next = nextInTrailer(phase, byte);
    if (next === PHASE.refused) return this.#refuse('invalid-trailer');
    this.trailerBytes++;
    // The CRLF that ends every body is not charged for.
    if (next === PHASE.done || next === PHASE.endLf) return next;
    return this.trailerBytes > this.#maxTrailerBytes ? this.#refuse('trailers-too-large') : next;
  }

  /** The section is complete: what bounds fields bounds trailers, too. Every LF in it ends a line. */
  #checkTrailers(bytes: Uint8Array, start: number): number {
    const end = start + this.trailerBytes - CRLF_BYTES;
    let count = 0;
    for (let line = start; line < end; ) {
      const next = bytes.indexOf(LF, line) + 1;
      if (next - CRLF_BYTES - line > this.#maxTrailerSize) return this.#refuse('trailer-too-large');
      if (++count > this.#maxTrailers) return this.#refuse('too-many-trailers');
      line = next;
    }
    return PHASE.done;
  }
}

const isInTrailers = (phase: number): boolean =>
  phase >= PHASE.trailerStart && phase <= PHASE.endLf;

/** White space, `=` and `;` between the parts; CR and LF were seen to before. */
function nextInExtension(phase: number, byte: number): number {
  const space = byte === SP || byte === HTAB;
  const token = (BYTE_CLASS[byte] & CLASS.token) !== 0;
  switch (phase) {
    case PHASE.extensionNameStart:
      if (space) return phase;
      return token ? PHASE.extensionName : PHASE.refused;
    case PHASE.extensionName:
      if (token) return phase;
      if (space) return PHASE.afterExtensionName;
      break;
    case PHASE.afterExtensionName:
      if (space) return phase;
      break;
    case PHASE.extensionValueStart:
      if (space) return phase;
      if (byte === DQUOTE) return PHASE.extensionQuoted;
      return token ? PHASE.extensionToken : PHASE.refused;
    case PHASE.extensionQuoted:
      if (byte === DQUOTE) return PHASE.extensionQuotedEnd;
      if (byte === BACKSLASH) return PHASE.extensionEscape;
      return (BYTE_CLASS[byte] & CLASS.quoted) !== 0 ? phase : PHASE.refused;
    case PHASE.extensionEscape:
      return (BYTE_CLASS[byte] & CLASS.value) !== 0 ? PHASE.extensionQuoted : PHASE.refused;
    case PHASE.extensionToken:
      if (token) return phase;
      if (space) return PHASE.beforeExtension;
      break;
    default:
      // Behind a size, a value or a closed quote.
      if (space) return PHASE.beforeExtension;
      break;
  }
  if (byte === SEMICOLON) return PHASE.extensionNameStart;
  const named = phase === PHASE.extensionName || phase === PHASE.afterExtensionName;
  return named && byte === EQUALS ? PHASE.extensionValueStart : PHASE.refused;
}

function nextInTrailer(phase: number, byte: number): number {
  switch (phase) {
    case PHASE.trailerStart:
      if (byte === CR) return PHASE.endLf;
      return (BYTE_CLASS[byte] & CLASS.token) !== 0 ? PHASE.trailerName : PHASE.refused;
    case PHASE.trailerName:
      if (byte === COLON) return PHASE.trailerValue;
      return (BYTE_CLASS[byte] & CLASS.token) !== 0 ? phase : PHASE.refused;
    case PHASE.trailerValue:
      if (byte === CR) return PHASE.trailerLf;
      return (BYTE_CLASS[byte] & CLASS.value) !== 0 ? phase : PHASE.refused;
    case PHASE.trailerLf:
      return byte === LF ? PHASE.trailerStart : PHASE.refused;
    default:
      return byte === LF ? PHASE.done : PHASE.refused;
  }
}

/** Moves payload down over the framing; the ranges may overlap. */
function move(bytes: Uint8Array, from: number, length: number, to: number): void {
  if (from === to) return;
  if (length > SMALL_MOVE_BYTES) {
    bytes.copyWithin(to, from, from + length);
    return;
  }
  for (let k = 0; k < length; k++) bytes[to + k] = bytes[from + k];
}
