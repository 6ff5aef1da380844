import { describe, expect, it } from 'vitest';
import { CACHE_LINE } from '../../../src/scoreboard/layout.ts';
import { EMPTY, TicketRing } from '../../../src/scoreboard/ticket-ring.ts';

const TAIL = 0;
const HEAD = 32;
const CELLS = 64;

/** A ring as it is after `position` pushes and pops. */
function ringAt(position: number, capacity: number): { ring: TicketRing; words: Int32Array } {
  const words = new Int32Array(new SharedArrayBuffer(TicketRing.bytes(capacity)));
  const ring = new TicketRing(words, capacity);
  ring.initialise();
  words[TAIL] = position;
  words[HEAD] = position;
  for (let ahead = 0; ahead < capacity; ahead++) {
    const cell = (position + ahead) & (capacity - 1);
    words[CELLS + cell * 2] = (position + ahead) | 0;
  }
  return { ring, words };
}

const POSITIONS: readonly [string, number][] = [
  ['at the start', 0],
  ['where positions pass 2^31', 0x7fff_fffe],
  ['where positions pass 2^32', -3],
];

describe.each(POSITIONS)('the ticket ring %s', (_, start) => {
  it('gives tickets in the order they came, and says how many there are', () => {
    const { ring } = ringAt(start, 4);
    for (let round = 0; round < 10; round++) {
      expect([ring.push(round * 2), ring.push(round * 2 + 1)]).toEqual([true, true]);
      expect(ring.length).toBe(2);
      expect([ring.pop(), ring.pop()]).toEqual([round * 2, round * 2 + 1]);
      expect(ring.length).toBe(0);
    }
  });

  it('refuses what it has no room for, and keeps what it has', () => {
    const { ring } = ringAt(start, 4);
    expect([1, 2, 3, 4, 5].map((ticket) => ring.push(ticket))).toEqual([
      true,
      true,
      true,
      true,
      false,
    ]);
    expect(ring.length).toBe(4);
    expect(ring.pop()).toBe(1);
    expect(ring.push(5)).toBe(true);
    expect([ring.pop(), ring.pop(), ring.pop(), ring.pop()]).toEqual([2, 3, 4, 5]);
  });

  it('says so when it is empty', () => {
    const { ring } = ringAt(start, 2);
    expect(ring.pop()).toBe(EMPTY);
    ring.push(7);
    ring.pop();
    expect([ring.pop(), ring.length]).toEqual([EMPTY, 0]);
  });

  it('moves its positions on by one each', () => {
    const { ring } = ringAt(start, 2);
    ring.push(1);
    expect([ring.tail, ring.head]).toEqual([(start + 1) | 0, start]);
    ring.pop();
    expect([ring.tail, ring.head]).toEqual([(start + 1) | 0, (start + 1) | 0]);
  });
});

describe('a producer that was stopped inside its push', () => {
  it('holds up nothing but what comes behind it, and nothing is lost', () => {
    const { ring, words } = ringAt(0, 4);
    // It has its position and has not said that the ticket is there.
    words[TAIL] = 1;
    expect(ring.push(2)).toBe(true);
    expect(ring.pop()).toBe(EMPTY);
    // No worker goes to sleep over it.
    expect(ring.length).toBe(2);
    words[CELLS + 1] = 1;
    words[CELLS] = 1;
    expect([ring.pop(), ring.pop(), ring.pop()]).toEqual([1, 2, EMPTY]);
  });
});

describe('the words of a ring', () => {
  it('keep producers and consumers on cache lines of their own', () => {
    const { ring, words } = ringAt(0, 4);
    const changed = (act: () => void): number[] => {
      const before = words.slice();
      act();
      return [...words.keys()].filter((index) => words[index] !== before[index]);
    };
    const line = (index: number) => Math.floor((index * 4) / CACHE_LINE);
    const pushed = changed(() => ring.push(9));
    const popped = changed(() => ring.pop());
    expect(pushed.filter((index) => index < CELLS).map(line)).toEqual([line(TAIL)]);
    expect(popped.filter((index) => index < CELLS).map(line)).toEqual([line(HEAD)]);
    expect(line(CELLS)).toBeGreaterThan(line(HEAD));
  });

  it('are as many as `bytes` says', () => {
    const capacity = 8;
    const words = new Int32Array(new SharedArrayBuffer(TicketRing.bytes(capacity) + CACHE_LINE));
    const own = words.subarray(0, TicketRing.bytes(capacity) >> 2);
    const ring = new TicketRing(own, capacity);
    ring.initialise();
    for (let ticket = 1; ticket <= capacity; ticket++) expect(ring.push(ticket)).toBe(true);
    expect(words.slice(own.length).every((word) => word === 0)).toBe(true);
    expect(own[own.length - 1]).toBe(capacity);
  });

  it.each([0, 1, 3, 6, -4])('cannot be %i cells', (capacity) => {
    expect(() => new TicketRing(new Int32Array(256), capacity)).toThrow('power of two');
  });
});
