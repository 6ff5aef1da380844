/** traceparent fields, beside a plain reading of W3C Trace Context, section 3.2. */
import { traceIdOf } from '../../../src/workers/trace-id.ts';
import { worn } from '../grammar/field-value.ts';
import { draw, once, pick, type Random } from '../random.ts';
import { type FuzzTarget, must } from '../target.ts';

/** '' where the field is not of that form. */
function plainTraceId(field: string): string {
  const [version, trace, parent, flags] = field.split('-');
  const isHex = (text: string | undefined, length: number) =>
    text !== undefined &&
    text.length === length &&
    [...text].every((c) => '0123456789abcdef'.includes(c));
  const isZero = (text: string) => [...text].every((c) => c === '0');
  if (!isHex(version, 2) || version === 'ff' || !isHex(flags, 2)) return '';
  if (!isHex(trace, 32) || isZero(trace) || !isHex(parent, 16) || isZero(parent)) return '';
  return trace;
}

export const traceId: FuzzTarget<{ readonly field: string }> = {
  name: 'trace-id',
  title: 'a trace id is taken from a traceparent of the right form, and from no other',
  outcomes: 2,
  kept: [],

  make(random: Random) {
    const hex = (length: number) =>
      once(random, 10) ? '0'.repeat(length) : draw(random, ['0', '1', 'a', 'f', '9', 'c'], length);
    const version = once(random, 6) ? pick(random, ['ff', 'FF', '01', '0', 'fe']) : '00';
    const more = once(random, 6) ? pick(random, ['-', '-x', 'x', ' ', '-00']) : '';
    const field = `${version}-${hex(32)}-${hex(16)}-${hex(2)}${more}`;
    return { field: once(random, 8) ? field.toUpperCase() : worn(random, field) };
  },

  check({ field }): string {
    const found = traceIdOf(field);
    const plain = plainTraceId(field);
    must(found === plain, () => `${found} where the plain reading has ${plain}`);
    return found === '' ? 'none' : 'one';
  },
};
