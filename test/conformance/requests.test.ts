/**
 * The conformance cases: what a client sends, and what the server makes of it, however the bytes
 * arrive. The cases stand in cases/*.md and are meant to be read.
 */

import { describe, expect, test } from 'vitest';
import { plainParse } from '../support/plain-request-parser.ts';
import { loadCases } from './cases/load.ts';
import { trace } from './cases/trace.ts';

const FILES = [
  'request-line.md',
  'target.md',
  'fields.md',
  'host.md',
  'content-length.md',
  'transfer-encoding.md',
  'chunked.md',
  'connection.md',
  'limits.md',
  'proxy.md',
];

for (const file of FILES) {
  describe(file, () => {
    const cases = loadCases(`./${file}`);

    test.each(cases)('$title', ({ input, limits, trace: expected }) => {
      expect(trace([input], limits)).toEqual(expected);
    });

    test.each(cases)('$title (one byte at a time)', ({ input, limits, trace: expected }) => {
      expect(
        trace(
          [...input].map((byte) => Uint8Array.of(byte)),
          limits,
        ),
      ).toEqual(expected);
    });

    test.each(cases)('$title (split at every byte)', ({ input, limits, trace: expected }) => {
      for (let cut = 1; cut < input.length; cut++) {
        const pieces = [input.subarray(0, cut), input.subarray(cut)];
        expect(trace(pieces, limits), `cut at ${cut}`).toEqual(expected);
      }
    });

    test.each(cases)('$title (the plain parser agrees)', ({ input, limits, trace: expected }) => {
      const plain = plainParse(input.toString('latin1'), limits);
      const first = expected[0]?.split(' ') ?? [];
      if (first[0] === 'request') {
        expect(plain).toMatchObject({ kind: 'complete', method: first[1], target: first[2] });
      } else if (first[0] === 'refused') {
        expect(plain).toEqual({ kind: 'refused', status: Number(first[1]), error: first[2] });
      } else {
        expect(plain).toEqual({ kind: 'incomplete' });
      }
    });
  });
}

test('no title is used twice', () => {
  const titles = FILES.flatMap((file) => loadCases(`./${file}`).map(({ title }) => title));
  expect(titles).toEqual([...new Set(titles)]);
  expect(titles.length).toBeGreaterThan(100);
});
