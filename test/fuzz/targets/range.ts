/**
 * Range fields: no range outside of the file, no more bytes in all than it has, and what the plain reading
 * of RFC 9110 section 14.1.2 over big integers says.
 */

import { layOut } from '../../../src/workers/static/multipart.ts';
import { contentRange, parseRange } from '../../../src/workers/static/range.ts';
import { listOf, worn } from '../grammar/field-value.ts';
import { once, pick, type Random } from '../random.ts';
import { type FuzzTarget, must } from '../target.ts';

interface RangeInput {
  readonly field: string;
  /** Bytes of the file. */
  readonly size: number;
}

const NUMBERS = [
  ...[
    '0',
    '1',
    '2',
    '5',
    '9',
    '10',
    '11',
    '99',
    '499',
    '500',
    '0000',
    '007',
    '4294967295',
    '4294967296',
  ],
  ...['9007199254740991', '9007199254740992', '18446744073709551616', '9'.repeat(400), ''],
];
const SIZES = [0, 1, 2, 10, 500, 4096, 2 ** 31, 2 ** 32 + 1, 2 ** 52];
const MAX_RANGES = 64;

/** What is satisfiable, as [first, length]; null: the field is to be ignored. */
function plainRanges({ field, size }: RangeInput): [bigint, bigint][] | null {
  const set = /^bytes=(.*)$/is.exec(field)?.[1];
  if (size === 0 || set === undefined) return null;
  const elements = set
    .split(',')
    .map((each) => {
      const characters = [...each];
      while (/^[ \t]$/.test(characters[0] ?? '')) characters.shift();
      while (/^[ \t]$/.test(characters.at(-1) ?? '')) characters.pop();
      return characters.join('');
    })
    .filter((each) => each !== '');
  if (elements.length === 0 || elements.length > MAX_RANGES) return null;
  const end = BigInt(size);
  const ranges: [bigint, bigint][] = [];
  for (const element of elements) {
    const match = /^([0-9]*)-([0-9]*)$/.exec(element);
    if (match === null || element === '-') return null;
    const [, first, last] = match;
    if (first === '') {
      const length = BigInt(last) < end ? BigInt(last) : end;
      if (length > 0n) ranges.push([end - length, length]);
      continue;
    }
    if (last !== '' && BigInt(last) < BigInt(first)) return null;
    const to = last === '' || BigInt(last) >= end ? end - 1n : BigInt(last);
    if (BigInt(first) < end) ranges.push([BigInt(first), to - BigInt(first) + 1n]);
  }
  const total = ranges.reduce((sum, [, length]) => sum + length, 0n);
  return ranges.length > 1 && total > end ? null : ranges;
}

export const range: FuzzTarget<RangeInput> = {
  name: 'range',
  title: 'a Range field yields parts of what there is, and those that were asked for',
  outcomes: 4,
  kept: [{ field: `bytes=0-0${' '.repeat(60_000)}x`, size: 10 }],

  make(random: Random): RangeInput {
    const number = () => pick(random, NUMBERS);
    const one = () =>
      pick(random, [() => `${number()}-${number()}`, () => `${number()}-`, () => `-${number()}`])();
    const small = () => {
      const first = random(40);
      return `${first}-${first + random(3)}`;
    };
    const count = once(random, 20) ? 60 + random(10) : 1 + random(4);
    const list = listOf(random, count, once(random, 2) ? small : one);
    const unit = once(random, 10)
      ? pick(random, ['Bytes=', 'bytes', 'items=', '', 'bytes ='])
      : 'bytes=';
    return { field: worn(random, unit + list), size: pick(random, SIZES) };
  },

  check(input: RangeInput): string {
    const { field, size } = input;
    const ranges = parseRange(field, size);
    const plain = plainRanges(input);
    const answer = ranges?.map(({ offset, length }) => `${offset}+${length}`).join() ?? 'ignored';
    const expected = plain?.map(([offset, length]) => `${offset}+${length}`).join() ?? 'ignored';
    must(answer === expected, () => `${answer} where the plain reading has ${expected}`);
    if (ranges === null) return 'ignored';
    for (const one of ranges) {
      must(one.offset >= 0 && one.length >= 1 && one.offset + one.length <= size, () => answer);
      must(/^bytes \d+-\d+\/\d+$/.test(contentRange(one, size)), () => contentRange(one, size));
    }
    if (ranges.length < 2) return ranges.length === 0 ? 'unsatisfiable' : 'one';
    const { heads, end, length } = layOut(ranges, size, 'text/plain', 'boundary');
    const sum = [...heads, end].reduce((bytes, head) => bytes + head.length, 0);
    const bytes = ranges.reduce((total, each) => total + each.length, 0);
    must(length === sum + bytes && bytes <= size, () => `a body of ${length} bytes, of ${size}`);
    return 'several';
  },
};
