/**
 * One seed, from its first step to its end.
 */
import { operationCount, within } from './host.ts';
import type { WorldOptions } from './options.ts';
import type { Production } from './production.ts';
import { Violation } from './violation.ts';
import { type Counts, World } from './world.ts';

export interface Outcome {
  readonly seed: number;
  readonly steps: number;
  /** Operations on shared memory and native calls. */
  readonly operations: number;
  readonly requests: number;
  readonly deaths: number;
  readonly counts: Counts;
  /** What must not be, with what happened before; null: nothing. */
  readonly violation: string | null;
}

/**
 * Plays a seed for so many steps, then to its end.
 * @param given takes the place of what the seed says
 */
export function simulate(
  code: Production,
  seed: number,
  steps: number,
  given: Partial<WorldOptions> & { readonly tracing?: boolean } = {},
): Outcome {
  Violation.first = null;
  const world = new World(code, seed, given);
  let violation: string | null = null;
  let operations = 0;
  const { prototype } = code.EventRouter;
  const { route } = prototype;
  prototype.route = function (slot, incarnation, events) {
    const word = world.inspector.wordOf(slot);
    const routed = route.call(this, slot, incarnation, events);
    world.routed(slot, incarnation, word, routed);
    return routed;
  };
  within(world, () => {
    try {
      world.begin();
      world.play(steps);
    } catch (error) {
      const { message, stack } = Violation.first ?? (error as Error);
      violation = `${Violation.first === null ? stack : message}\n${world.story()}`;
    } finally {
      operations = operationCount();
      prototype.route = route;
    }
  });
  const { steps: made, requests } = world;
  const { deaths } = world.supervisor;
  const { counts } = world;
  return { seed, steps: made, operations, requests, deaths, counts, violation };
}
