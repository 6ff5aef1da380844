/** What a worker does to its thread before and after long handlers, by what the kernel allows. */
import { describe, expect, it } from 'vitest';
import type { Native } from '../../../src/listener/native.ts';
import { Urgency } from '../../../src/workers/urgency.ts';

/** Nice values that a thread had after each of these, plus 20; it begins with `nice`. */
function niceAfter(
  {
    added,
    child,
    nice = 20,
    returns,
  }: { added: number; child: number; nice?: number; returns: boolean },
  ...steps: readonly ('giveWay' | 'takeBack')[]
): number[] {
  let now = nice;
  const native = {
    nice: () => now,
    setNice: (wanted: number) => {
      if (wanted < now && !returns) throw new Error('it may not');
      now = wanted;
      return 0;
    },
    niceAndBack: () => (returns ? 1 : 0),
    setSlice: () => 0,
  } as unknown as Native;
  const urgency = new Urgency(native, added, child, 2);
  return steps.map((step) => {
    urgency[step]();
    return now;
  });
}
const TWICE = ['giveWay', 'takeBack', 'giveWay', 'takeBack'] as const;

describe('a worker', () => {
  it('is nicer during each long handler where there is a way back', () => {
    expect(niceAfter({ added: 5, child: 0, returns: true }, ...TWICE)).toEqual([25, 20, 25, 20]);
    expect(niceAfter({ added: 5, child: 7, nice: 30, returns: true }, ...TWICE)).toEqual([
      35, 30, 35, 30,
    ]);
  });

  it('is nicer from its first long handler on where there is none', () => {
    expect(niceAfter({ added: 5, child: 2, returns: false }, ...TWICE)).toEqual([25, 25, 25, 25]);
  });

  it('stays as it is then if it is among the first, one for each processor', () => {
    for (const child of [0, 1]) {
      expect(niceAfter({ added: 5, child, returns: false }, ...TWICE)).toEqual([20, 20, 20, 20]);
    }
  });

  it('is never nicer than can be', () => {
    expect(niceAfter({ added: 19, child: 0, nice: 38, returns: true }, ...TWICE)).toEqual([
      39, 38, 39, 38,
    ]);
  });

  it('stays as it is where nothing is added', () => {
    for (const returns of [true, false]) {
      expect(niceAfter({ added: 0, child: 9, returns }, ...TWICE)).toEqual([20, 20, 20, 20]);
    }
  });
});
