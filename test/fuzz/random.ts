/**
 * Seeded random numbers for fuzzing, the same on every machine.
 *
 * A case has a generator of its own, made of the run's seed and the case's number: any case can be run
 * again without those before it.
 */

/** A whole number from 0 to `below` - 1. */
export type Random = (below: number) => number;

/** mulberry32 over a state in which seed and number are mixed. */
export function randomOf(seed: number, number: number): Random {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(number + 1, 0xc2b2ae35);
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

export const pick = <T>(random: Random, from: readonly T[]): T => from[random(from.length)];

/** True once in `n` times. */
export const once = (random: Random, n: number): boolean => random(n) === 0;

/** As many pieces of `from`, each drawn anew, as `count` says. */
export function draw(random: Random, from: readonly string[], count: number): string {
  let text = '';
  for (let n = 0; n < count; n++) text += pick(random, from);
  return text;
}

/** Bytes that parsers stumble over. */
const JUNK = [
  ...['\r', '\n', '\r\n', ' ', '\t', '\0', '\x7f', '\xff', '\xa0', '\x01', ':', ',', '#', '%'],
  ...[
    '\x1f',
    '~',
    '\x0b',
    '\x0c',
    '\x85',
    '"',
    '-',
    '\x8d',
    '\\',
    ';',
    '=',
    '/',
    '[',
    ']',
    '<',
    '&',
  ],
];

/** The text with one byte or a few put in, replaced, taken out or doubled. */
export function damage(random: Random, text: string): string {
  const at = random(text.length + 1);
  const to = at + 1 + random(3);
  switch (random(6)) {
    case 0:
      return text.slice(0, at) + pick(random, JUNK) + text.slice(at);
    case 1:
      return text.slice(0, at) + pick(random, JUNK) + text.slice(at + 1);
    case 2:
      return text.slice(0, at) + text.slice(to);
    case 3:
      return text.slice(0, at) + text.slice(at, to) + text.slice(at);
    case 4:
      return text.slice(0, at) + 'a'.repeat(random(60)) + text.slice(at);
    default:
      return text.slice(0, at) + String.fromCharCode(random(256)) + text.slice(at + 1);
  }
}

/** Where a text of `length` is cut: mostly few places, sometimes every one. Rising, none twice. */
export function cutsOf(random: Random, length: number): number[] {
  if (once(random, 6)) return Array.from({ length: Math.max(0, length - 1) }, (_, n) => n + 1);
  const cuts = new Set<number>();
  for (let n = random(5); n > 0; n--) cuts.add(random(length + 1));
  return [...cuts].sort((left, right) => left - right);
}
