/**
 * The plain chunked decoder: RFC 9112 section 7.1 read from left to right, one character at a time.
 *
 * Role: says in the differential tests what the production decoder has to answer, and why.
 * Thread: tests only.
 * May not: be fast, keep a state machine or a table of the production one, or know more than its text.
 */

export interface ChunkedLimits {
  /** Bytes of the extensions of one chunk line. */
  readonly extension: number;
  /** Bytes of the trailer section, its line ends included but for the last. */
  readonly trailer: number;
  /** Trailer fields; Infinity where it is left out. */
  readonly fields?: number;
}

export type ChunkedResult =
  | {
      readonly kind: 'complete';
      readonly payload: string;
      /** Field lines as they came, without their ends. */
      readonly trailers: readonly string[];
      readonly end: number;
    }
  | { readonly kind: 'incomplete'; readonly payload: string }
  | {
      readonly kind: 'refused';
      readonly payload: string;
      /** Offset of the byte that is to blame. */
      readonly at: number;
      readonly status: number;
      readonly error: string;
    };

class Refused extends Error {
  readonly status: number;

  constructor(status: number, code: string) {
    super(code);
    this.status = status;
  }
}
class Incomplete extends Error {}

const HEX_DIGIT = /^[0-9A-Fa-f]$/;
const TOKEN_CHARACTER = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/;
const BLANK = /^[ \t]$/;
const QUOTED_CHARACTER = /^[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]$/;
const TEXT_CHARACTER = /^[\t\x20-\x7e\x80-\xff]$/;
const LARGEST_SIZE = 2n ** 53n - 1n;

/** Reads a body that starts with `text`, one character a byte. */
export function plainChunked(text: string, limits: ChunkedLimits): ChunkedResult {
  const body = new Body(text, limits);
  try {
    body.read();
  } catch (error) {
    const { payload, at } = body;
    if (error instanceof Incomplete) return { kind: 'incomplete', payload };
    if (!(error instanceof Refused)) throw error;
    return { kind: 'refused', payload, at, status: error.status, error: error.message };
  }
  return { kind: 'complete', payload: body.payload, trailers: body.trailers, end: body.at };
}

class Body {
  payload = '';
  at = 0;
  readonly trailers: string[] = [];
  readonly #text: string;
  readonly #limits: ChunkedLimits;

  constructor(text: string, limits: ChunkedLimits) {
    this.#text = text;
    this.#limits = limits;
  }

  read(): void {
    for (;;) {
      const size = this.#size();
      this.#extensions();
      this.at++;
      this.#expect('\n', 'chunk-line-bare-cr');
      if (size === 0n) break;
      const left = BigInt(this.#text.length - this.at);
      const length = Number(size < left ? size : left);
      this.payload += this.#text.slice(this.at, this.at + length);
      this.at += length;
      if (left < size) throw new Incomplete();
      this.#expect('\r', 'missing-chunk-end');
      this.#expect('\n', 'missing-chunk-end');
    }
    this.#trailers();
  }

  #next(): string {
    const character = this.#text[this.at];
    if (character === undefined) throw new Incomplete();
    return character;
  }

  #expect(character: string, otherwise: string): void {
    if (this.#next() !== character) throw new Refused(400, otherwise);
    this.at++;
  }

  #size(): bigint {
    let digits = '';
    for (; HEX_DIGIT.test(this.#next()); this.at++) {
      digits += this.#next();
      if (digits.length > 16 || BigInt(`0x${digits}`) > LARGEST_SIZE) {
        throw new Refused(400, 'chunk-size-too-large');
      }
    }
    if (digits === '') throw new Refused(400, 'invalid-chunk-size');
    return BigInt(`0x${digits}`);
  }

  /** Up to the CR that ends the line. */
  #extensions(): void {
    if (this.#next() === '\r') return;
    if (this.#next() === '\n') throw new Refused(400, 'chunk-line-bare-lf');
    if (this.#next() !== ';' && !BLANK.test(this.#next()))
      throw new Refused(400, 'invalid-chunk-size');
    const start = this.at;
    const skip = (wanted: RegExp) => {
      for (; wanted.test(this.#next()); this.#advance(start));
    };
    for (;;) {
      const before = this.at;
      skip(BLANK);
      // White space has to be followed by an extension.
      if (this.#next() === '\r' && this.at === before) return;
      this.#inExtension(start, /^;$/);
      skip(BLANK);
      this.#inExtension(start, TOKEN_CHARACTER);
      skip(TOKEN_CHARACTER);
      const behind = this.at;
      skip(BLANK);
      if (this.#next() !== '=') {
        this.at = behind;
        continue;
      }
      this.#advance(start);
      skip(BLANK);
      if (this.#next() !== '"') {
        this.#inExtension(start, TOKEN_CHARACTER);
        skip(TOKEN_CHARACTER);
        continue;
      }
      this.#advance(start);
      while (this.#next() !== '"') {
        const escaped = this.#next() === '\\';
        if (escaped) this.#advance(start);
        this.#inExtension(start, escaped ? TEXT_CHARACTER : QUOTED_CHARACTER);
      }
      this.#advance(start);
    }
  }

  #inExtension(start: number, wanted: RegExp): void {
    if (this.#next() === '\n') throw new Refused(400, 'chunk-line-bare-lf');
    if (!wanted.test(this.#next())) throw new Refused(400, 'invalid-chunk-extension');
    this.#advance(start);
  }

  #advance(start: number): void {
    if (this.at + 1 - start > this.#limits.extension) {
      throw new Refused(413, 'chunk-extension-too-large');
    }
    this.at++;
  }

  #trailers(): void {
    const start = this.at;
    const accept = (wanted: RegExp) => {
      if (!wanted.test(this.#next())) throw new Refused(400, 'invalid-trailer');
      if (this.at + 1 - start > this.#limits.trailer) throw new Refused(431, 'trailers-too-large');
      this.at++;
    };
    while (this.#next() !== '\r') {
      const line = this.at;
      accept(TOKEN_CHARACTER);
      while (this.#next() !== ':') accept(TOKEN_CHARACTER);
      accept(/^:$/);
      while (this.#next() !== '\r') accept(TEXT_CHARACTER);
      this.trailers.push(this.#text.slice(line, this.at));
      accept(/^\r$/);
      accept(/^\n$/);
    }
    this.at++;
    this.#expect('\n', 'invalid-trailer');
    if (this.trailers.length > (this.#limits.fields ?? Number.POSITIVE_INFINITY)) {
      throw new Refused(431, 'too-many-trailers');
    }
  }
}
