/** How long a leading worker looks for more before it sleeps. */
import { describe, expect, it } from 'vitest';
import { type Native, Region } from '../../../src/listener/native.ts';
import { takeLead } from '../../../src/scoreboard/leader.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import type { WorkerContext } from '../../../src/workers/context.ts';
import { Leading } from '../../../src/workers/leading.ts';

const LOOKS = 5;

/** A leader whose poll set has a stale event after so many looks, and what it was asked. */
function leader() {
  const board = Scoreboard.create({ connectionSlots: 4, childSlots: 1, bufferBytes: 1024 });
  const state = { looks: 0, events: [] as number[] };
  let batch: Int32Array = new Int32Array(0);
  const native = {
    attach: (region: Region, memory: Uint8Array) => {
      if (region === Region.batch) batch = new Int32Array(memory.buffer);
      return 0;
    },
    watch: () => 0,
    pause: () => 0,
    resume: () => 0,
    epollWait: () => {
      state.looks++;
      const count = state.events.shift() ?? 0;
      batch.fill(0);
      return count;
    },
  } as unknown as Native;
  const parts = { board, native, child: 0, now: 0, add: () => {} };
  const options = { looksBeforeSleep: LOOKS };
  const leading = new Leading({ ...parts, options } as unknown as WorkerContext, () => 0);
  takeLead(board, 0);
  leading.sync();
  /** One poll that found so many events. */
  const found = (count: number): void => {
    state.events = [count];
    leading.poll();
    state.looks = 0;
  };
  return { leading, state, found };
}

describe('before it sleeps, a leading worker', () => {
  it('looks a few times more after a single request', () => {
    const { leading, state, found } = leader();
    found(1);
    expect(leading.pollOn()).toBe(false);
    expect(state.looks).toBe(LOOKS);
  });

  it('stops as soon as there is something', () => {
    const { leading, state, found } = leader();
    found(1);
    state.events = [0, 0, 1];
    expect(leading.pollOn()).toBe(true);
    expect(state.looks).toBe(3);
  });

  it('does not look after a batch', () => {
    const { leading, state, found } = leader();
    found(2);
    expect(leading.pollOn()).toBe(false);
    expect(state.looks).toBe(0);
  });

  it('looks less and less often in vain, and again after a find', () => {
    const { leading, state, found } = leader();
    found(1);
    const looks = (): boolean => {
      state.looks = 0;
      leading.pollOn();
      return state.looks > 0;
    };
    expect(Array.from({ length: 6 }, looks)).toEqual([true, false, true, false, false, false]);
    state.events = [1];
    expect(leading.pollOn()).toBe(true);
    expect(Array.from({ length: 3 }, looks)).toEqual([true, false, true]);
  });
});
