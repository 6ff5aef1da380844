/**
 * The request parser beside the plain one: the same answer, to the byte and the reason, whole, cut short,
 * and among foreign bytes. A beginning of a head gets no answer, or that of the whole: so it does not
 * matter in which pieces a head comes.
 */
import { RequestParser } from '../../../src/workers/http1/request-parser.ts';
import { type PlainLimits, plainParse } from '../../support/plain-request-parser.ts';
import { damageHead, makeHead } from '../grammar/request-head.ts';
import { once, pick, type Random } from '../random.ts';
import type { FuzzTarget } from '../target.ts';

interface HeadInput {
  /** One character a byte. */
  readonly text: string;
  /** Which of LIMITS. */
  readonly limits: number;
  /** Where in its buffer it begins. */
  readonly at: number;
  /** What stands around it: somebody else's, which must not matter. */
  readonly around: string;
  /** Whether every beginning of it is parsed as well. */
  readonly pieces: boolean;
}

const LIMITS: readonly PlainLimits[] = [
  { requestLine: 8190, fieldSize: 8190, fields: 100 },
  { requestLine: 40, fieldSize: 30, fields: 4 },
  { requestLine: 16, fieldSize: 12, fields: 2 },
  { requestLine: 1, fieldSize: 1, fields: 1 },
];
const PARSERS = LIMITS.map((limits) => new RequestParser(limits));
const ARENA = Buffer.from(new SharedArrayBuffer(16 * 1024));

/** What the fast parser says of `length` bytes at `at`, in the words of the plain one. */
function fastParse(parser: RequestParser, at: number, length: number): unknown {
  const end = parser.parse(ARENA, at, at + length);
  if (end === 0) return { kind: 'incomplete' };
  if (end < 0) return { kind: 'refused', status: -end, error: parser.error };
  const fields: number[][] = [];
  for (let f = 0; f < parser.fieldCount; f++) {
    fields.push([...parser.fields.subarray(f * 4, f * 4 + 4)]);
  }
  const head = parser.headStart;
  return {
    kind: 'complete',
    end: end - at,
    headStart: head - at,
    method: parser.method,
    target: ARENA.toString('latin1', head + parser.targetStart, head + parser.targetEnd),
    minorVersion: parser.minorVersion,
    fields,
    contentLength: parser.contentLength,
    chunked: parser.chunked,
    keepAlive: parser.keepAlive,
    expectContinue: parser.expectContinue,
    upgrade: parser.upgrade,
    hostField: parser.hostField,
  };
}

/** Cheaper than a deep comparison by a library, which would take most of the time. */
function same(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  const keys = Object.keys(left);
  if (keys.length !== Object.keys(right).length) return false;
  return keys.every((key) => same(left[key], right[key]));
}

const INCOMPLETE = { kind: 'incomplete' };

export const request: FuzzTarget<HeadInput> = {
  name: 'request',
  title: 'the request parser answers as the plain one does, in whatever pieces a head comes',
  outcomes: 31,
  kept: [],

  make(random: Random): HeadInput {
    let text = makeHead(random);
    for (let d = random(3); d > 0; d--) text = damageHead(random, text);
    if (once(random, 4)) text = text.slice(0, random(text.length + 1));
    return {
      text,
      limits: once(random, 3) ? 1 + random(3) : 0,
      at: 64 + random(64),
      around: pick(random, ['\0', 'a', '\r\n', ':', ' ']),
      pieces: once(random, 16),
    };
  },

  check({ text, limits, at, around, pieces }: HeadInput): string {
    const parser = PARSERS[limits];
    ARENA.fill(around, at - 8, at + text.length + 16, 'latin1');
    ARENA.write(text, at, 'latin1');
    const fast = fastParse(parser, at, text.length);
    const plain = plainParse(text, LIMITS[limits]);
    if (!same(fast, plain)) {
      throw new Error(
        `${JSON.stringify(fast)} where the plain parser has ${JSON.stringify(plain)}`,
      );
    }
    for (let cut = pieces ? 0 : text.length; cut < text.length; cut++) {
      const answer = fastParse(parser, at, cut);
      if (same(answer, INCOMPLETE) || same(answer, fast)) continue;
      throw new Error(
        `its first ${cut} bytes: ${JSON.stringify(answer)} for ${JSON.stringify(fast)}`,
      );
    }
    return plain.kind === 'refused' ? plain.error : plain.kind;
  },
};
