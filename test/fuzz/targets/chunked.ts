/**
 * The chunked decoder beside the plain one: payload, end, reason and the very byte, whole and in pieces
 * that go from one decoder to the next by their three numbers.
 */
import { ChunkedDecoder } from '../../../src/workers/http1/chunked-decoder.ts';
import { type ChunkedLimits, plainChunked } from '../../support/plain-chunked-body.ts';
import { makeChunkedBody } from '../grammar/chunked-body.ts';
import { cutsOf, damage, once, type Random } from '../random.ts';
import { type FuzzTarget, must } from '../target.ts';

interface ChunkedInput {
  /** One character a byte; a pipelined request may stand behind the body. */
  readonly text: string;
  /** Which of LIMITS. */
  readonly limits: number;
  /** Where the text is cut. */
  readonly cuts: readonly number[];
}

const LIMITS: readonly ChunkedLimits[] = [
  { extension: 1024, trailer: 4096 },
  { extension: 40, trailer: 30 },
  { extension: 1, trailer: 3 },
];

/** The answer of the production decoder, in the words of the plain one. */
function decoded({ text, limits }: ChunkedInput, cuts: readonly number[]): object {
  const bytes = Buffer.from(text, 'latin1');
  const { extension, trailer } = LIMITS[limits];
  let state = { phase: 0, remaining: 0, trailerBytes: 0 };
  let consumed = 0;
  let written = 0;
  for (const to of [...cuts, bytes.length]) {
    const decoder = Object.assign(new ChunkedDecoder(extension, trailer), state);
    const result = decoder.decode(bytes, consumed, to, written);
    must(decoder.written <= decoder.consumed, () => 'wrote over what was not read');
    must(result !== 0 || decoder.consumed === to, () => 'left bytes unread without an answer');
    ({ consumed, written } = decoder);
    const payload = bytes.toString('latin1', 0, written);
    if (result === 1) return { kind: 'complete', payload, end: consumed };
    if (result < 0) {
      return { kind: 'refused', payload, at: consumed, status: -result, error: decoder.error };
    }
    const { phase, remaining, trailerBytes } = decoder;
    state = { phase, remaining, trailerBytes };
  }
  return { kind: 'incomplete', payload: bytes.toString('latin1', 0, written) };
}

export const chunked: FuzzTarget<ChunkedInput> = {
  name: 'chunked',
  title: 'the chunked decoder answers as the plain one does, in whatever pieces a body comes',
  outcomes: 11,
  kept: [],

  make(random: Random): ChunkedInput {
    let text = makeChunkedBody(random);
    for (let d = random(3); d > 0; d--) text = damage(random, text);
    if (once(random, 2)) text += 'GET /next HTTP/1.1\r\n\r\n';
    if (once(random, 5)) text = text.slice(0, random(text.length + 1));
    const limits = once(random, 3) ? 1 + random(2) : 0;
    return { text, limits, cuts: cutsOf(random, text.length) };
  },

  check(input: ChunkedInput): string {
    const plain = plainChunked(input.text, LIMITS[input.limits]);
    // The decoder leaves trailers where they are; the stream's target compares them.
    const expected = JSON.stringify({ ...plain, trailers: undefined });
    for (const cuts of [[], input.cuts]) {
      const answer = JSON.stringify(decoded(input, cuts));
      must(
        answer === expected,
        () => `cut at [${cuts}]: ${answer} where the plain one has ${expected}`,
      );
    }
    return plain.kind === 'refused' ? plain.error : plain.kind;
  },
};
