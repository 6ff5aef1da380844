/**
 * Byte ranges (RFC 9110, section 14).
 *
 * Role: reads a Range field against a length. The `range-parser` package takes a suffix longer than
 * the file for unsatisfiable and so is `5-2`, which is no range at all (section 14.1.2), and refuses
 * empty list elements.
 * Thread: any; pure functions.
 */
import { trimBlanks } from '../trim-blanks.ts';

/** Part of a representation, in bytes. */
export interface ByteRange {
  readonly offset: number;
  /** At least 1. */
  readonly length: number;
}

/** More are answered by the whole: nobody needs them, and each costs a head (section 14.2). */
const MAX_RANGES = 64;
const UNIT = /^bytes=/i;
const RANGE = /^(?:(\d+)-(\d*)|-(\d+))$/;

/**
 * @param size of the representation, bytes
 * @returns the satisfiable ranges in the order asked for; null where the field is to be ignored;
 *   none where it is to be answered by 416
 */
export function parseRange(field: string, size: number): readonly ByteRange[] | null {
  // Some clients ask for a range of everything; of nothing the whole is more use than a 416.
  if (size === 0 || !UNIT.test(field)) return null;
  const ranges: ByteRange[] = [];
  let count = 0;
  let total = 0;
  for (const element of field.slice('bytes='.length).split(',')) {
    const text = trimBlanks(element);
    if (text === '') continue;
    const match = RANGE.exec(text);
    if (match === null || ++count > MAX_RANGES) return null;
    const [, first, last, suffix] = match as readonly (string | undefined)[];
    let from: number;
    let to = size - 1;
    if (first === undefined) {
      const length = Number(suffix);
      from = length === 0 ? size : Math.max(0, size - length);
    } else {
      from = Number(first);
      if (last !== undefined && last !== '') {
        if (isLess(last, first)) return null;
        to = Math.min(to, Number(last));
      }
    }
    if (from >= size) continue;
    const length = to - from + 1;
    total += length;
    ranges.push({ offset: from, length });
  }
  if (count === 0) return null;
  // Overlapping ones would make more of a file than there is.
  return ranges.length > 1 && total > size ? null : ranges;
}

/** Of two decimal numbers of any length. */
function isLess(one: string, other: string): boolean {
  const a = one.replace(/^0+/, '');
  const b = other.replace(/^0+/, '');
  return a.length === b.length ? a < b : a.length < b.length;
}

export function contentRange({ offset, length }: ByteRange, size: number): string {
  return `bytes ${offset}-${offset + length - 1}/${size}`;
}
