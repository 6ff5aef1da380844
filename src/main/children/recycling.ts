/**
 * The limits of a child's life, and how many may be replaced at a time.
 *
 * Role: spreads the ends of children that began together and have the same work.
 * Thread: main. May not: read a clock.
 */

/** Of a limit, taken off at random, so that children of one age do not end at one time. */
const JITTER = 0.1;
/** Of the children that serve, replaced at a time; one at least. */
const SHARE = 0.25;

/** A number in 0 .. 1 that is the same for the same life (Mulberry32's finaliser). */
function fractionOf(life: number): number {
  let hash = (life + 0x6d2b79f5) | 0;
  hash = Math.imul(hash ^ (hash >>> 15), hash | 1);
  hash ^= hash + Math.imul(hash ^ (hash >>> 7), hash | 61);
  return ((hash ^ (hash >>> 14)) >>> 0) / 2 ** 32;
}

/** A limit for one life: up to a tenth below, never above, at least 1; 0 stays 0, which is none. */
export function limitForLife(limit: number, life: number): number {
  if (limit === 0) return 0;
  return Math.max(1, Math.round(limit * (1 - JITTER * fractionOf(life))));
}

/** Rest after each replacement, in times of what the successor took to start. */
const REST = 4;

/**
 * How soon the next child whose limit is reached may be replaced. A start keeps a processor busy, and
 * children with low limits would have nothing else going on: a fifth of one processor is enough.
 */
export class Pace {
  #until = 0;

  /** A successor took so long to start, milliseconds; `now` is a clock of milliseconds. */
  started(tookMs: number, now: number): void {
    this.#until = now + REST * tookMs;
  }

  /** Milliseconds until the next may begin, 0: now. */
  waitMs(now: number): number {
    return Math.max(0, this.#until - now);
  }
}

/** How many of so many children may be waiting for their successors at the same time. */
export const replaceableAtOnce = (serving: number): number =>
  Math.max(1, Math.floor(serving * SHARE));
