/**
 * What can be fuzzed: how an input is made, and what has to hold of it.
 */
import { type Random, randomOf } from './random.ts';

export interface FuzzTarget<Input = unknown> {
  /** For `--target`. */
  readonly name: string;
  /** What holds of every input. */
  readonly title: string;
  /**
   * How many kinds of outcome 3,000 cases reach (of `request` 15,000) at least: a generator that no longer gets anywhere would
   * find less and less without a word.
   */
  readonly outcomes: number;
  /** Inputs that were judged wrongly once. */
  readonly kept: readonly Input[];
  /** @returns an input that JSON can hold */
  make(random: Random): Input;
  /**
   * @returns the kind of outcome
   * @throws where something does not hold
   */
  check(input: Input): string | Promise<string>;
  /** Removes what it has made on the disk. */
  close?(): void;
}

/** Something does not hold of an input; the message says how to see it again. */
export class Finding extends Error {
  constructor(target: FuzzTarget, input: unknown, where: string, cause: unknown) {
    const what = cause instanceof Error ? cause.message : String(cause);
    super(`${target.name}: ${what}\n  input ${JSON.stringify(input)}\n  ${where}`, { cause });
    this.name = 'Finding';
  }
}

/** Outcomes and how often each came. */
export type Tally = Map<string, number>;

const replay = (target: FuzzTarget, seed: number, number: number): string =>
  `again: npm run fuzz -- --target ${target.name} --seed ${seed} --first ${number} --cases 1`;

/** What nobody may make the server compute by one field: inputs are some 60 kB at most. */
const MOST_MS = 400;

/** The outcome; throws where it took too long, by the processor's time and twice in a row. */
async function timed(target: FuzzTarget, input: unknown): Promise<string> {
  const began = performance.now();
  const answer = target.check(input);
  const outcome = typeof answer === 'string' ? answer : await answer;
  if (performance.now() - began < MOST_MS) return outcome;
  const before = process.cpuUsage();
  await target.check(input);
  const { user, system } = process.cpuUsage(before);
  must(user + system < MOST_MS * 1000, () => `took ${(user + system) / 1000} ms`);
  return outcome;
}

/**
 * Runs the kept inputs of a target.
 * @throws Finding
 */
export async function runKept(target: FuzzTarget): Promise<void> {
  for (const [index, input] of target.kept.entries()) {
    try {
      await timed(target, input);
    } catch (error) {
      throw new Finding(target, input, `kept case ${index}`, error);
    }
  }
}

/**
 * Runs the cases [first, first + count) of a seed.
 * @param progress called now and then with the number of cases so far; true: stop here
 * @returns the number of cases that ran
 * @throws Finding at the first
 */
export async function runCases(
  target: FuzzTarget,
  seed: number,
  first: number,
  count: number,
  tally: Tally,
  progress: (done: number) => boolean = () => false,
): Promise<number> {
  for (let done = 0; done < count; done++) {
    const number = first + done;
    if ((done & 0x3ff) === 0x3ff && progress(done)) return done;
    const input = target.make(randomOf(seed, number));
    try {
      const outcome = await timed(target, input);
      tally.set(outcome, (tally.get(outcome) ?? 0) + 1);
    } catch (error) {
      throw new Finding(target, input, replay(target, seed, number), error);
    }
  }
  return count;
}

/** Throws where `holds` is false. */
export function must(holds: boolean, what: () => string): asserts holds {
  if (!holds) throw new Error(what());
}
