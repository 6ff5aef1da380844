import { describe, expect, it } from 'vitest';
import { Bitmap } from '../../../src/scoreboard/bitmap.ts';
import { CACHE_LINE } from '../../../src/scoreboard/layout.ts';

function bitmapOf(size: number, ...numbers: number[]): Bitmap {
  const bitmap = new Bitmap(new Int32Array(new SharedArrayBuffer(Bitmap.bytes(size))));
  for (const number of numbers) bitmap.add(number);
  return bitmap;
}

const SIZE = 600;
/** First and last bits of words and of cache lines: the sign bit is the one that is easily wrong. */
const EDGES = [0, 1, 30, 31, 32, 63, 64, 511, 512, 543, 599];

describe('the bitmap', () => {
  it('gives the lowest number first, whatever the order they came in', () => {
    const bitmap = bitmapOf(SIZE, ...[...EDGES].reverse());
    expect(EDGES.map(() => bitmap.takeLowest())).toEqual(EDGES);
    expect(bitmap.takeLowest()).toBe(-1);
  });

  it('gives the highest number first, from the other end', () => {
    const bitmap = bitmapOf(SIZE, ...EDGES);
    expect(EDGES.map(() => bitmap.takeHighest())).toEqual([...EDGES].reverse());
    expect(bitmap.takeHighest()).toBe(-1);
  });

  it.each(EDGES)('has %i after it was added and not after it was removed', (number) => {
    const bitmap = bitmapOf(SIZE);
    expect([bitmap.has(number), bitmap.remove(number)]).toEqual([false, false]);
    bitmap.add(number);
    expect([bitmap.has(number), bitmap.count]).toEqual([true, 1]);
    expect([bitmap.remove(number), bitmap.remove(number)]).toEqual([true, false]);
    expect([bitmap.has(number), bitmap.count]).toEqual([false, 0]);
  });

  it('holds a number once however often it is added', () => {
    const bitmap = bitmapOf(SIZE, 31, 31);
    expect([bitmap.count, bitmap.takeLowest(), bitmap.takeLowest()]).toEqual([1, 31, -1]);
  });

  it('leaves its neighbours alone', () => {
    const bitmap = bitmapOf(SIZE, 30, 31, 32);
    bitmap.remove(31);
    expect([30, 31, 32].map((number) => bitmap.has(number))).toEqual([true, false, true]);
  });

  it.each([
    1, 31, 32, 33, 512, 513,
  ])('is filled with 0 to size - 1 and nothing else (%i)', (size) => {
    const bitmap = bitmapOf(size);
    bitmap.fill(size);
    expect(bitmap.count).toBe(size);
    const taken = Array.from({ length: size }, () => bitmap.takeLowest());
    expect(taken).toEqual(Array.from({ length: size }, (_, number) => number));
    expect(bitmap.takeLowest()).toBe(-1);
  });

  it('takes whole cache lines', () => {
    for (const size of [1, 512, 513, 1025]) {
      expect(Bitmap.bytes(size) % CACHE_LINE).toBe(0);
      expect(Bitmap.bytes(size) * 8).toBeGreaterThanOrEqual(size);
    }
  });
});
