/**
 * `npm run fuzz -- [--target NAME] [--cases N] [--seed N] [--first N] [--minutes N]`
 *
 * Runs one target, or each of them, until the cases or the minutes are over. The seed is printed, and with
 * a finding the command that shows it again; then the exit code is 1.
 */
import { parseArgs } from 'node:util';
import { Finding, runCases, runKept, type Tally } from './target.ts';
import { TARGETS } from './targets.ts';

const PROGRESS_MS = 30_000;

class UsageError extends Error {}

function wholeNumber(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new UsageError(`--${name} ${text}: must be a whole number`);
}

/** What node:util says of arguments that it does not know. */
function parsed<Result>(parse: () => Result): Result {
  try {
    return parse();
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function readArguments() {
  const string = { type: 'string' } as const;
  const options = {
    ...{ target: string, cases: string, seed: string, first: string, minutes: string },
    outcomes: { type: 'boolean' },
  } as const;
  const { values } = parsed(() => parseArgs({ options }));
  const names = TARGETS.map(({ name }) => name);
  const chosen = TARGETS.filter(({ name }) => name === (values.target ?? name));
  if (chosen.length === 0) {
    throw new UsageError(`--target ${values.target}: must be one of ${names.join(', ')}`);
  }
  return {
    chosen,
    cases: wholeNumber('cases', values.cases, 100_000),
    seed: wholeNumber('seed', values.seed, Math.floor(Math.random() * 2 ** 32)) >>> 0,
    first: wholeNumber('first', values.first, 0),
    minutes: wholeNumber('minutes', values.minutes, 24 * 60),
    outcomes: values.outcomes ?? false,
  };
}

async function main(): Promise<void> {
  const { chosen, cases, seed, first, minutes, outcomes } = readArguments();
  console.log(`seed ${seed}`);
  for (const target of chosen) {
    await runKept(target);
    const tally: Tally = new Map();
    const began = performance.now();
    const end = began + minutes * 60_000;
    let told = began;
    const done = await runCases(target, seed, first, cases, tally, (sofar) => {
      const now = performance.now();
      if (now - told >= PROGRESS_MS) {
        told = now;
        console.log(`${target.name}: ${sofar} cases so far`);
      }
      return now >= end;
    });
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    console.log(
      `${target.name}: ${done} cases in ${seconds} s, ${tally.size} kinds of outcome, no finding`,
    );
    if (outcomes) console.log(Object.fromEntries([...tally].sort((a, b) => b[1] - a[1])));
  }
}

try {
  await main();
} catch (error) {
  const known = error instanceof Finding || error instanceof UsageError;
  console.error(known ? error.message : error);
  process.exitCode = error instanceof UsageError ? 2 : 1;
} finally {
  for (const target of TARGETS) target.close?.();
}
