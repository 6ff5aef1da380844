// When a connection was put into the queue, by several who do not own it, one of whom may be late.
import { beforeEach, describe, expect, it } from 'vitest';
import { ticksOf } from '../../../src/scoreboard/clock.ts';
import { SLOT } from '../../../src/scoreboard/layout.ts';
import { noteQueued, setQueued, waitedUs } from '../../../src/scoreboard/queue-time.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { ConnectionEvent } from '../../../src/scoreboard/states.ts';

const HOUR_MS = 3_600_000;
const BEGAN = 100_000;
let board: Scoreboard;
const word = (): number => board.word(0);
const since = (): number => board.slot(0, SLOT.sinceTicks);

beforeEach(() => {
  board = Scoreboard.create({ connectionSlots: 1, childSlots: 1, bufferBytes: 64 });
  board.setSlot(0, SLOT.sinceTicks, ticksOf(BEGAN));
  board.move(0, word(), ConnectionEvent.accept);
});

describe('who puts a waiting connection into the queue', () => {
  it('says when, to the microsecond', () => {
    expect(noteQueued(board, 0, word(), BEGAN + 5_000.25)).toBe(true);
    expect(since()).toBe(ticksOf(BEGAN + 5_000.25));
    expect(waitedUs(board, 0, BEGAN + 5_000.75)).toBeCloseTo(500, -1);
    expect(waitedUs(board, 0, BEGAN + 5_000)).toBe(0);
  });

  it('says nothing where the connection was moved before', () => {
    const seen = word();
    board.move(0, seen, ConnectionEvent.readable);
    expect(noteQueued(board, 0, seen, BEGAN + 5_000)).toBe(false);
    expect(since()).toBe(ticksOf(BEGAN));
  });

  it('says nothing of a time before the wait began, as one that was late would', () => {
    expect(noteQueued(board, 0, word(), BEGAN - 3_000)).toBe(true);
    expect(since()).toBe(ticksOf(BEGAN));
    expect(waitedUs(board, 0, BEGAN + 2)).toBeLessThanOrEqual(2_999);
  });

  it('says when after a wait that is longer than differences of the clock', () => {
    const now = BEGAN + 30 * 24 * HOUR_MS;
    expect(noteQueued(board, 0, word(), now)).toBe(true);
    expect(since()).toBe(ticksOf(now));
  });
});

it('microseconds that somebody else was late with do not count', () => {
  setQueued(board, 0, BEGAN + 60_000.5);
  board.setSlot(0, SLOT.queuedUs, 12_345);
  const waited = waitedUs(board, 0, BEGAN + 60_003.5);
  expect(waited).toBeGreaterThanOrEqual(3_000);
  expect(waited).toBeLessThan(4_000);
});
