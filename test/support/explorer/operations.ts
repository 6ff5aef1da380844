/**
 * What an operation does to a word, and how a schedule tells it.
 *
 * Thread: tests only.
 */
import type { Memory, Operation } from './memory.ts';
import type { Kind } from './model.ts';

/** Kinds that wait for the thread's delayed store. */
export const ATOMIC: ReadonlySet<Kind> = new Set([
  'load',
  'store',
  'add',
  'sub',
  'and',
  'or',
  'xor',
  'exchange',
  'compareExchange',
  'sleep',
]);

/** Kinds whose result is what stood in the word. */
export const READS: ReadonlySet<Kind> = new Set([
  'read',
  'load',
  'add',
  'sub',
  'and',
  'or',
  'xor',
  'exchange',
  'compareExchange',
]);

/** The word after it. */
export function afterOf(kind: Kind, before: number, a: number, b: number): number {
  switch (kind) {
    case 'write':
    case 'store':
    case 'exchange':
      return a | 0;
    case 'add':
      return (before + a) | 0;
    case 'sub':
      return (before - a) | 0;
    case 'and':
      return before & a;
    case 'or':
      return before | a;
    case 'xor':
      return before ^ a;
    case 'compareExchange':
      return before === a ? b : before;
    default:
      return before;
  }
}

export const show = (value: number): string =>
  value > -4096 && value < 4096 ? String(value) : `0x${(value >>> 0).toString(16)}`;

/** A line of a schedule, without the thread's name. */
export function lineOf(
  memory: Memory,
  { kind, index, a, b, words }: Operation,
  result: number,
): string {
  switch (kind) {
    case 'choose':
      return `chooses ${result}`;
    case 'settle':
      return 'goes on, as nobody else can';
    case 'sleep':
      return `wakes up (${(words as readonly number[]).map((word) => memory.nameOf(word)).join(', ')})`;
    case 'load':
    case 'read':
      return `${kind} ${memory.nameOf(index)}: ${show(result)}`;
    case 'store':
    case 'write':
      return `${kind} ${memory.nameOf(index)} = ${show(a)}`;
    case 'compareExchange':
      return `compareExchange ${memory.nameOf(index)} ${show(a)} to ${show(b)}: ${
        result === a ? 'done' : `was ${show(result)}`
      }`;
    default:
      return `${kind} ${memory.nameOf(index)} ${show(a)}: was ${show(result)}`;
  }
}
