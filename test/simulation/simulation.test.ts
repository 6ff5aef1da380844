/**
 * Production code over a simulated kernel, clock and clients: fixed seeds, and for a moment ones that nobody
 * has tried. `npm run simulate` goes on with more of them.
 */
import { beforeAll, expect, it } from 'vitest';
import { loadProduction, type Production } from './production.ts';
import { simulate } from './simulate.ts';

const STEPS = 4_000;
const FIXED_SEEDS = 10;
const RANDOM_MS = 3_000;

let code: Production;

beforeAll(async () => {
  code = await loadProduction(
    (name) => import(new URL(`../../src/${name}.ts`, import.meta.url).href),
  );
});

const again = (seed: number) => `npm run simulate -- --seed ${seed} --steps ${STEPS}`;

it(`plays seeds 1 to ${FIXED_SEEDS}`, () => {
  for (let seed = 1; seed <= FIXED_SEEDS; seed++) {
    const { violation } = simulate(code, seed, STEPS);
    expect(violation, again(seed)).toBeNull();
  }
});

it('plays seeds from a random one on', () => {
  const first = Math.floor(Math.random() * 2 ** 40);
  console.log(`simulation: seeds from ${first} on`);
  const until = performance.now() + RANDOM_MS;
  for (let seed = first; seed === first || performance.now() < until; seed++) {
    const { violation } = simulate(code, seed, STEPS);
    expect(violation, again(seed)).toBeNull();
  }
});

it('plays a seed in the same way again', () => {
  const seed = 4;
  expect(simulate(code, seed, STEPS)).toEqual(simulate(code, seed, STEPS));
});
