/**
 * A short fixed set of every fuzz target, and what was once judged wrongly. More by hand:
 * `npm run fuzz -- --target request --cases 10000000`; a failure names the command that shows it again.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { runCases, runKept, type Tally } from './target.ts';
import { TARGETS } from './targets.ts';

const SEED = 0x5eed;
/** What costs more gets fewer. */
const CASES: Readonly<Record<string, number>> = {
  request: 15_000,
  stream: 1_500,
  configuration: 500,
  'status-query': 500,
};
const MOST_CASES = 3_000;

describe.each(TARGETS)('$name', (target) => {
  afterAll(() => target.close?.());

  it('judges what was once judged wrongly as it should', async () => {
    await expect(runKept(target)).resolves.toBeUndefined();
  });

  it(target.title, async () => {
    const tally: Tally = new Map();
    const count = CASES[target.name] ?? MOST_CASES;
    expect(await runCases(target, SEED, 0, count, tally)).toBe(count);
    expect(tally.size, [...tally.keys()].join()).toBeGreaterThanOrEqual(target.outcomes);
  });
});

it('no two targets have one name', () => {
  expect(new Set(TARGETS.map(({ name }) => name)).size).toBe(TARGETS.length);
});
