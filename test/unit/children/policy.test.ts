// How many children are wanted, who goes, who is succeeded, and how long a failed start waits.
import { describe, expect, it } from 'vitest';
import { Backoff } from '../../../src/main/children/backoff.ts';
import type { Child } from '../../../src/main/children/child.ts';
import {
  hasOneTooMany,
  highestSlot,
  Ramp,
  type SpawnLimits,
  wantedChildren,
} from '../../../src/main/children/policy.ts';
import { limitForLife, Pace, replaceableAtOnce } from '../../../src/main/children/recycling.ts';
import { dueForSuccession } from '../../../src/main/children/succession.ts';
import { SpawnReason } from '../../../src/scoreboard/codes.ts';

const LIMITS: SpawnLimits = {
  startServers: 2,
  minSpareThreads: 2,
  maxSpareThreads: 4,
  maxRequestWorkers: 40,
  asyncRequestWorkerFactor: 2,
};
const load = (demand: number, serving = 0, idle = 0, adjustment = 0) => ({
  demand,
  serving,
  idle,
  adjustment,
});

describe('children wanted', () => {
  it.each([
    [0, 2],
    [1, 3],
    [2, 3],
    [3, 4],
    [64, 34],
    [10_000, 40],
  ])('for %i connections in demand: %i', (demand, wanted) => {
    expect(wantedChildren(LIMITS, load(demand))).toBe(wanted);
  });

  it.each([
    [1.5, 6, 6],
    [1.5, 7, 7],
    [0.5, 3, 8],
    [2.5, 5, 4],
  ])('heed a factor of %f: %i in demand need %i', (asyncRequestWorkerFactor, demand, wanted) => {
    expect(wantedChildren({ ...LIMITS, asyncRequestWorkerFactor }, load(demand))).toBe(wanted);
  });

  it('never fall below startServers, and an operator may shift both ends', () => {
    const limits = { ...LIMITS, startServers: 8 };
    expect(wantedChildren(limits, load(0))).toBe(8);
    expect(wantedChildren(limits, load(0, 0, 0, 2))).toBe(10);
    expect(wantedChildren(limits, load(0, 0, 0, -3))).toBe(5);
    expect(wantedChildren(limits, load(0, 0, 0, -30))).toBe(1);
    expect(wantedChildren(limits, load(10_000, 0, 0, 5))).toBe(40);
  });

  it.each([
    [8, 5, true],
    [8, 4, false],
    [2, 2, false],
  ])('%i serve and %i are idle: one is let go: %s', (serving, idle, one) => {
    expect(hasOneTooMany(LIMITS, load(0, serving, idle))).toBe(one);
  });

  it('let go of the highest slot', () => {
    expect(highestSlot([{ slot: 3 }, { slot: 9 }, { slot: 4 }])).toEqual({ slot: 9 });
    expect(highestSlot([])).toBeNull();
  });
});

describe('the ramp', () => {
  it('doubles up to 32 and begins anew after a tick that needed none', () => {
    const ramp = new Ramp();
    expect(Array.from({ length: 7 }, () => ramp.take(1000))).toEqual([1, 2, 4, 8, 16, 32, 32]);
    expect(ramp.take(0)).toBe(0);
    expect(ramp.take(1000)).toBe(1);
  });

  it('starts no more than are missing', () => {
    const ramp = new Ramp();
    expect([ramp.take(9), ramp.take(8), ramp.take(6), ramp.take(2)]).toEqual([1, 2, 4, 2]);
  });
});

describe('limits of a life', () => {
  it('differ from child to child by up to a tenth, and are the same for the same child', () => {
    const limits = Array.from({ length: 1000 }, (_, life) => limitForLife(1000, life + 1));
    expect(Math.min(...limits)).toBeGreaterThanOrEqual(900);
    expect(Math.max(...limits)).toBeLessThanOrEqual(1000);
    expect(new Set(limits).size).toBeGreaterThan(60);
    const mean = limits.reduce((sum, limit) => sum + limit, 0) / limits.length;
    expect(Math.abs(mean - 950)).toBeLessThan(5);
    expect(limitForLife(1000, 7)).toBe(limits[6]);
  });

  it('stay none, and at least one', () => {
    expect(limitForLife(0, 5)).toBe(0);
    expect(Array.from({ length: 50 }, (_, life) => limitForLife(1, life))).toEqual(
      Array.from({ length: 50 }, () => 1),
    );
  });
});

const child = (
  slot: number,
  state: Child['state'] = 'ready',
  generation = 0,
  replaces: Child | null = null,
): Child => ({
  slot,
  life: slot + 1,
  generation,
  reason: SpawnReason.start,
  state,
  abort: new AbortController(),
  load: null,
  gone: null,
  deadline: null,
  replaces,
  endsFor: null,
  killed: false,
});
const slots = (due: readonly { child: Child }[]) => due.map((one) => one.child.slot);

describe('succession', () => {
  it.each([
    [1, 1],
    [3, 1],
    [4, 1],
    [8, 2],
    [100, 25],
  ])('of %i children replaces %i at a time', (serving, atOnce) => {
    expect(replaceableAtOnce(serving)).toBe(atOnce);
  });

  it('begins with those that reached a limit, then the older generation, low slots first', () => {
    const all = Array.from({ length: 12 }, (_, slot) => child(slot));
    const due = dueForSuccession(all, ({ slot }) => slot === 7, 1);
    expect(due.map(({ child: { slot }, reason }) => [slot, reason])).toEqual([
      [7, SpawnReason.replacement],
      [0, SpawnReason.restart],
      [1, SpawnReason.restart],
    ]);
  });

  it('waits while others wait for their successors', () => {
    const waiting = child(0, 'awaiting-successor');
    const all = [waiting, child(1), child(2), child(3), child(4, 'starting', 1, waiting)];
    expect(slots(dueForSuccession(all, () => true, 1))).toEqual([]);
    waiting.state = 'draining';
    expect(slots(dueForSuccession(all, () => true, 1))).toEqual([1]);
  });

  it('leaves the newest generation alone, and all where none is wanted', () => {
    const all = [child(0, 'ready', 2), child(1, 'ready', 1)];
    expect(slots(dueForSuccession(all, () => false, 2))).toEqual([1]);
    expect(slots(dueForSuccession(all, () => false, 0))).toEqual([]);
  });
});

describe('replacements', () => {
  it('rest four times as long as the last one took to start', () => {
    const pace = new Pace();
    expect(pace.waitMs(0)).toBe(0);
    pace.started(80, 1000);
    expect([pace.waitMs(1000), pace.waitMs(1300), pace.waitMs(1320)]).toEqual([320, 20, 0]);
  });
});

describe('a failed start', () => {
  it('is tried again later and later, within 10 s, and at once after a success', () => {
    const backoff = new Backoff();
    expect(backoff.delayMs).toBe(0);
    const delays = Array.from({ length: 9 }, () => {
      backoff.failed('broken');
      return backoff.delayMs;
    });
    expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    backoff.succeeded();
    expect(backoff.delayMs).toBe(0);
  });

  it('is told once for each reason, and so is its end', () => {
    const backoff = new Backoff();
    expect(['a', 'a', 'b', 'b', 'a'].map((reason) => backoff.failed(reason))).toEqual([
      true,
      false,
      true,
      false,
      true,
    ]);
    expect([backoff.succeeded(), backoff.succeeded()]).toEqual([true, false]);
  });
});
