// A pass of the sweeper over more slots than one turn of the listener may take.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Closer } from '../../../src/listener/closer.ts';
import type { ListenerOptions } from '../../../src/listener/options.ts';
import type { SlotPool } from '../../../src/listener/slots.ts';
import { SLOTS_PER_TURN, Sweeper, type SweepTargets } from '../../../src/listener/sweeper.ts';
import { nowTicks } from '../../../src/scoreboard/clock.ts';
import { SLOT } from '../../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { ConnectionEvent } from '../../../src/scoreboard/states.ts';

const SLOTS = SLOTS_PER_TURN * 2 + 1;
const PERIOD_MS = 500;
const KEEP_ALIVE_MS = 60_000;

let lingering: Set<number>;
let passes: number;
let sweeper: Sweeper;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'clearImmediate'] });
  lingering = new Set();
  passes = 0;
  const board = Scoreboard.create({ connectionSlots: SLOTS, childSlots: 1, bufferBytes: 4096 });
  // The first and the last of each turn of the pass have been idle for too long.
  for (const slot of [0, SLOTS_PER_TURN - 1, SLOTS_PER_TURN, SLOTS - 1]) {
    for (const event of ['accept', 'readable', 'claim', 'responseSent'] as const) {
      board.move(slot, board.word(slot), ConnectionEvent[event]);
    }
    board.setSlot(slot, SLOT.sinceTicks, nowTicks() - 2 * KEEP_ALIVE_MS);
  }
  const options = { keepAliveTimeoutMs: KEEP_ALIVE_MS } as ListenerOptions;
  const closer = { linger: (slot: number) => lingering.add(slot) } as unknown as Closer;
  const slots = { watermark: SLOTS, inUse: 4 } as SlotPool;
  const targets = { passed: () => passes++, unfinished: () => false } as unknown as SweepTargets;
  sweeper = new Sweeper(board, closer, slots, options, targets);
});

afterEach(() => {
  sweeper.stop();
  vi.useRealTimers();
});

it('takes several turns, and each slot once', () => {
  sweeper.ensureRunning();
  vi.advanceTimersToNextTimer();
  expect([...lingering]).toEqual([0, SLOTS_PER_TURN - 1]);
  sweeper.ensureRunning();
  vi.advanceTimersToNextTimer();
  expect([...lingering]).toEqual([0, SLOTS_PER_TURN - 1, SLOTS_PER_TURN]);
  expect(passes).toBe(0);
  vi.advanceTimersToNextTimer();
  expect([...lingering]).toEqual([0, SLOTS_PER_TURN - 1, SLOTS_PER_TURN, SLOTS - 1]);
  expect(passes).toBe(1);
  expect(vi.getTimerCount()).toBe(1);
  lingering.clear();
  vi.advanceTimersByTime(PERIOD_MS);
  expect(lingering.has(0)).toBe(true);
});

it('is made at once where it is asked for, also in the middle of one', () => {
  sweeper.ensureRunning();
  vi.advanceTimersToNextTimer();
  sweeper.sweep();
  expect(lingering.size).toBe(4);
  expect(passes).toBe(1);
});

it('does not go on after the stop', () => {
  sweeper.ensureRunning();
  vi.advanceTimersToNextTimer();
  sweeper.stop();
  expect(vi.getTimerCount()).toBe(0);
});
