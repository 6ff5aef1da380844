/**
 * Values of header fields that code sets: trimmed and refused as the Headers of Node does it, which is the
 * Fetch standard's.
 */
import { normalValue } from '../../../src/workers/fetch/fields.ts';
import { worn } from '../grammar/field-value.ts';
import { draw, once, type Random } from '../random.ts';
import { type FuzzTarget, must } from '../target.ts';

const PIECES = [
  ...[' ', '\t', '\r', '\n', ' ', 'a', 'b,c', '\xe9', '\xa0', '\x0b', '\x0c', '\x7f', '\x01', '"'],
  ...['some longer words in it', '\0', '\u2028'],
];

/** The value as it is kept; null where it is refused. */
function kept(normalize: () => string | null): string | null {
  try {
    return normalize();
  } catch (error) {
    must(error instanceof TypeError, () => String(error));
    return null;
  }
}

export const headerValue: FuzzTarget<{ readonly value: string }> = {
  name: 'header-value',
  title: 'a header value is trimmed and refused as the Fetch standard has it',
  outcomes: 2,
  kept: [{ value: ` a${' '.repeat(60_000)}b` }],

  make(random: Random) {
    const count = once(random, 10) ? 40 : random(7);
    return { value: worn(random, draw(random, PIECES, count)) };
  },

  check({ value }): string {
    const own = kept(() => normalValue('x', value));
    const standard = kept(() => new Headers({ x: value }).get('x'));
    must(own === standard, () => `${JSON.stringify(own)} for ${JSON.stringify(standard)}`);
    return own === null ? 'refused' : 'kept';
  },
};
