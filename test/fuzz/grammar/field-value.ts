/** Values of fields, put together from parts that mean something, and sometimes very long. */
import { damage, draw, once, pick, type Random } from '../random.ts';

/** Longer than any field by default; who reads it in more than linear time is found by its time. */
const LONG = 30_000;

/** The value with a long run of one character in it, or with some damage, or as it is. */
export function worn(random: Random, value: string): string {
  if (once(random, 200)) {
    const at = random(value.length + 1);
    const run = pick(random, [' ', '\t', ',', '"', '\\', ';', '0', 'a', '-', ':', '=', '.']).repeat(
      LONG,
    );
    return `${value.slice(0, at)}${run}${pick(random, ['', 'x', '@', '\x80'])}${value.slice(at)}`;
  }
  return once(random, 3) ? damage(random, value) : value;
}

/** A list with commas and the blanks that may stand around them. */
export function listOf(random: Random, count: number, make: () => string): string {
  const elements = Array.from({ length: count }, make);
  return elements
    .map((each) => draw(random, [' ', '\t', '', '', ''], 2) + each)
    .join(once(random, 4) ? ' ,' : ',');
}
