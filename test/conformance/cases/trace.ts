/**
 * A connection reduced to its reading side: pieces of a byte stream in, a trace of what they mean out.
 *
 * Role: drives parser and chunked decoder as the connection code does, and writes down the result.
 * Thread: tests only.
 * May not: let the trace depend on where the pieces were cut; that is what the cases check.
 */

import { ChunkedDecoder } from '../../../src/workers/http1/chunked-decoder.ts';
import { type RequestLimits, RequestParser } from '../../../src/workers/http1/request-parser.ts';
import { trailerFields } from '../../../src/workers/http1/trailers.ts';

/** Shared, as connection buffers are; the stream starts somewhere inside. */
const ARENA = Buffer.from(new SharedArrayBuffer(64 * 1024));
const FIRST_BYTE = 1021;

export function trace(pieces: readonly Uint8Array[], limits: RequestLimits): string[] {
  const parser = new RequestParser(limits);
  const lines: string[] = [];
  // Foreign bytes all around: a parser that looks at them gives another trace.
  ARENA.fill('\r\n\r\n', 'latin1');
  let at = FIRST_BYTE;
  let filled = FIRST_BYTE;
  let over = false;
  let body: Body | null = null;
  for (const piece of pieces) {
    ARENA.set(piece, filled);
    filled += piece.length;
    for (let going = true; going && !over; ) {
      going = false;
      if (body !== null) {
        at = body.read(at, filled);
        if (body.error !== '') {
          lines.push(...body.payloadLine(), body.error);
          over = true;
        } else if (body.complete) {
          lines.push(...body.payloadLine(), ...body.trailerLines());
          over = body.last;
          body = null;
          going = true;
        }
        continue;
      }
      const end = parser.parse(ARENA, at, filled);
      if (end < 0) {
        lines.push(`refused ${-end} ${parser.error}`);
        over = true;
      } else if (end > 0) {
        lines.push(...describe(parser));
        at = end;
        going = true;
        if (parser.upgrade || parser.method === 'CONNECT') over = true;
        else body = new Body(at, parser, limits);
      }
    }
  }
  if (over) return at < filled && body === null ? [...lines, ...unread(lines, filled - at)] : lines;
  if (body !== null) lines.push(...body.payloadLine(), 'incomplete body');
  else if (at < filled) lines.push('incomplete head');
  return lines;
}

/** What is left of a refused head says nothing. */
function unread(lines: readonly string[], bytes: number): string[] {
  return lines.at(-1)?.startsWith('refused') ? [] : [`unread ${bytes} bytes`];
}

class Body {
  complete = false;
  error = '';
  readonly last: boolean;
  readonly #chunked: boolean;
  readonly #limits: RequestLimits;
  #trailers = '';
  #left: number;
  #payload = '';
  #written: number;
  #state = { phase: 0, remaining: 0, trailerBytes: 0 };

  constructor(at: number, parser: RequestParser, limits: RequestLimits) {
    this.#limits = limits;
    this.last = !parser.keepAlive;
    this.#chunked = parser.chunked;
    this.#left = Math.max(0, parser.contentLength);
    this.#written = at;
  }

  /** Offset behind what was read. */
  read(at: number, filled: number): number {
    if (!this.#chunked) {
      const length = Math.min(this.#left, filled - at);
      this.#payload += ARENA.toString('latin1', at, at + length);
      this.#left -= length;
      this.complete = this.#left === 0;
      return at + length;
    }
    // A new decoder each time: the three numbers are all that a connection keeps.
    const { fields, fieldSize } = this.#limits;
    const decoder = Object.assign(new ChunkedDecoder(64, 64, fields, fieldSize), this.#state);
    const result = decoder.decode(ARENA, at, filled, this.#written);
    this.#payload += ARENA.toString('latin1', this.#written, decoder.written);
    this.#written = decoder.written;
    const { phase, remaining, trailerBytes } = decoder;
    this.#state = { phase, remaining, trailerBytes };
    this.complete = result === 1;
    const { written, trailerLength } = decoder;
    if (result === 1) this.#trailers = ARENA.toString('latin1', written, written + trailerLength);
    if (result < 0) this.error = `refused ${-result} ${decoder.error}`;
    return decoder.consumed;
  }

  trailerLines(): string[] {
    const list = trailerFields(this.#trailers);
    const lines: string[] = [];
    for (let at = 0; at < list.length; at += 2) {
      lines.push(`trailer ${list[at]}: ${show(list[at + 1] as string)}`);
    }
    return lines;
  }

  payloadLine(): string[] {
    return this.#payload === '' ? [] : [`payload ${show(this.#payload)}`];
  }
}

function describe(parser: RequestParser): string[] {
  const text = (from: number, to: number) =>
    ARENA.toString('latin1', parser.headStart + from, parser.headStart + to);
  const target = text(parser.targetStart, parser.targetEnd);
  const lines = [`request ${parser.method} ${target} HTTP/1.${parser.minorVersion}`];
  for (let f = 0; f < parser.fieldCount * 4; f += 4) {
    const [nameStart, nameEnd, valueStart, valueEnd] = parser.fields.subarray(f, f + 4);
    const mark = parser.hostField * 4 === f ? 'host' : 'field';
    lines.push(`${mark} ${text(nameStart, nameEnd)}: ${show(text(valueStart, valueEnd))}`);
  }
  if (parser.contentLength >= 0) lines.push(`content-length ${parser.contentLength}`);
  if (parser.chunked) lines.push('chunked');
  if (parser.expectContinue) lines.push('expects 100-continue');
  if (parser.upgrade) lines.push('upgrades');
  if (!parser.keepAlive) lines.push('closes');
  return lines;
}

/** Quoted, with bytes outside ASCII and controls as \xHH. */
function show(text: string): string {
  const hex = (c: string) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`;
  const named: Record<string, string> = { '\r': '\\r', '\n': '\\n', '\t': '\\t' };
  return `«${text.replace(/[^\x20-\x7e]/g, (c) => named[c] ?? hex(c))}»`;
}
