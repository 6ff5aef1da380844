/**
 * One seed, from its first step to its end.
 */
import { operationCount, within } from './host.ts';
import type { Production } from './production.ts';
import { Violation } from './violation.ts';
import { World } from './world.ts';

export interface Outcome {
  readonly seed: number;
  readonly steps: number;
  /** Operations on shared memory and native calls. */
  readonly operations: number;
  readonly requests: number;
  readonly deaths: number;
  /** What must not be, with what happened before; null: nothing. */
  readonly violation: string | null;
}

/** Plays a seed for so many steps, then to its end. */
export function simulate(code: Production, seed: number, steps: number, tracing = false): Outcome {
  Violation.first = null;
  const world = new World(code, seed, tracing);
  let violation: string | null = null;
  let operations = 0;
  within(world, () => {
    try {
      world.begin();
      world.play(steps);
    } catch (error) {
      const { message, stack } = Violation.first ?? (error as Error);
      violation = `${Violation.first === null ? stack : message}\n${world.story()}`;
    } finally {
      operations = operationCount();
    }
  });
  const { steps: made, requests } = world;
  const { deaths } = world.supervisor;
  return { seed, steps: made, operations, requests, deaths, violation };
}
