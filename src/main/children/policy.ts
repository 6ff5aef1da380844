/**
 * How many children there should be, and which goes first.
 *
 * Role: Apache's idle maintenance in terms of connections. Numbers in, numbers out.
 * Thread: main; pure functions. May not: start or end anything.
 */

export interface SpawnLimits {
  readonly startServers: number;
  readonly minSpareThreads: number;
  readonly maxSpareThreads: number;
  readonly maxRequestWorkers: number;
  readonly asyncRequestWorkerFactor: number;
}

export interface Load {
  /** Connections that need a child now: queued, processing, suspended on a child. */
  readonly demand: number;
  /** Children that serve or are about to; a predecessor and its successor count as one. */
  readonly serving: number;
  /** Of those, the ones that have nothing to do. */
  readonly idle: number;
  /** By how many an operator has asked for more, or (negative) for fewer. */
  readonly adjustment: number;
}

/**
 * Children wanted. Idle keep-alive connections and slow readers are no demand: the listener has them.
 * The factor may be a fraction (Apache's AsyncRequestWorkerFactor cuts it off).
 */
export function wantedChildren(limits: SpawnLimits, { demand, adjustment }: Load): number {
  const { startServers, minSpareThreads, maxRequestWorkers, asyncRequestWorkerFactor } = limits;
  const needed = Math.ceil(demand / asyncRequestWorkerFactor) + minSpareThreads;
  const wanted = Math.max(startServers, needed) + adjustment;
  return Math.min(maxRequestWorkers, Math.max(1, wanted));
}

/** Whether one idle child retires this tick. */
export function hasOneTooMany(limits: SpawnLimits, load: Load): boolean {
  return load.serving > wantedChildren(limits, load) && load.idle > limits.maxSpareThreads;
}

/** Children started in one tick at most, after 1, 2, 4, 8, 16 (Apache's MAX_SPAWN_RATE). */
const MAX_SPAWN_RATE = 32;

/** Apache's ramp: twice as many in each tick that needs some, from one again after one that does not. */
export class Ramp {
  #rate = 1;

  /** How many of those that are missing to start in this tick. */
  take(missing: number): number {
    if (missing <= 0) {
      this.#rate = 1;
      return 0;
    }
    const now = Math.min(this.#rate, missing);
    this.#rate = Math.min(MAX_SPAWN_RATE, this.#rate * 2);
    return now;
  }
}

/**
 * The one to let go: the highest slot. Work is given to the lowest idle slot first, so the low ones stay
 * warm and the high ones fall idle.
 */
export function highestSlot<Child extends { readonly slot: number }>(
  children: Iterable<Child>,
): Child | null {
  let highest: Child | null = null;
  for (const child of children) {
    if (highest === null || child.slot > highest.slot) highest = child;
  }
  return highest;
}
