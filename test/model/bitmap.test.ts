// The set of idle workers and of free buffers: what one thread has taken out no other has.
import { describe, expect, it } from 'vitest';
import {
  choose,
  explore,
  forbid,
  Memory,
  type Model,
  type ModelThread,
  prepare,
  tellSize,
} from '../support/explorer.ts';
import { type Code, type Mutation, mutated, production } from '../support/production-code.ts';

/** Threads that take a number out, hold it and put it back, twice each. */
function takers(code: Code, threads: number, size: number): Model {
  const words = code.bitmap.Bitmap.bytes(size) >> 2;
  const memory = new Memory(words + 1);
  const all = memory.view();
  const held = words;
  memory.name(held, 'held');
  const bitmap = new code.bitmap.Bitmap(memory.view(0, words));
  prepare(() => bitmap.fill(size));
  interface Local {
    readonly rounds: number;
    readonly holds: number;
  }
  const taken = (way: number): number => {
    if (way === 0) return bitmap.takeLowest();
    if (way === 1) return bitmap.takeHighest();
    return bitmap.remove(0) ? 0 : -1;
  };
  const taker = (name: string): ModelThread<Local> => ({
    name,
    start: { rounds: 2, holds: -1 },
    turn: ({ rounds, holds }) => {
      if (holds >= 0) {
        Atomics.and(all, held, ~(1 << holds));
        bitmap.add(holds);
        return rounds === 1 ? null : { rounds: rounds - 1, holds: -1 };
      }
      const number = taken(choose(3));
      if (number < 0) return { rounds, holds };
      if (number >= size) forbid('a number that was never in the set');
      if ((Atomics.or(all, held, 1 << number) & (1 << number)) !== 0) forbid('two hold the same');
      return { rounds, holds: number };
    },
  });
  return {
    memory,
    threads: Array.from({ length: threads }, (_, number) => taker(`thread ${number}`)),
    final: ({ memory: now, blocked }) =>
      blocked.length === 0 && now[0] === (1 << size) - 1 && now[held] === 0
        ? undefined
        : 'a number is not in the set any more',
  };
}

const wrong = (text: string, becomes: string): Mutation => ({
  file: 'scoreboard/bitmap',
  text,
  becomes,
});

describe('a number is held by one thread, and back in the set afterwards', () => {
  it.each<[number, number]>([
    [2, 1],
    [2, 2],
    [3, 2],
  ])('%i threads, %i numbers', (threads, size) => {
    const report = explore(takers(production, threads, size));
    expect(report.violation).toBeNull();
    tellSize(`bitmap, ${threads} threads, ${size} numbers`, report);
  });

  it.each<[string, Mutation, string]>([
    [
      'the lowest is taken without looking whether it was still in',
      wrong('if ((word & bit) !== 0) return place', 'if (bit !== 0) return place'),
      'two hold the same',
    ],
    [
      'one is removed without looking whether it was in',
      wrong(
        '(Atomics.and(this.#words, number >>> 5, ~bit) & bit) !== 0',
        '(Atomics.and(this.#words, number >>> 5, ~bit), true)',
      ),
      'two hold the same',
    ],
    [
      'it is put back by a load and a store',
      wrong(
        'Atomics.or(this.#words, number >>> 5, 1 << (number & 31))',
        'Atomics.store(this.#words, number >>> 5, Atomics.load(this.#words, number >>> 5) | (1 << (number & 31)))',
      ),
      '',
    ],
    [
      'it is taken by a load and a store',
      wrong(
        'word = Atomics.and(words, index, ~bit);',
        'word = Atomics.load(words, index); Atomics.store(words, index, word & ~bit);',
      ),
      '',
    ],
  ])('and would be caught where %s', async (_, mutation, message) => {
    const { violation } = explore(takers(await mutated(mutation), 2, 2));
    expect(violation?.message).toContain(message);
  });
});
