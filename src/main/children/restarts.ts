/**
 * Generations of children: which one is wanted, and who waits for it to be there.
 *
 * Role: counts them in the header, tells the callers of a restart how it ended, and gives one up whose
 * code does not load.
 * Thread: main. May not: start or end a child.
 */
import { HEADER } from '../../scoreboard/layout.ts';
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';
import type { Child } from './child.ts';

interface Waiter {
  readonly generation: number;
  resolve(): void;
  reject(error: Error): void;
}

export class Restarts {
  readonly #board: Scoreboard;
  #generation = 0;
  /** The newest that could not be loaded. */
  #failed = -1;
  #waiters: Waiter[] = [];

  constructor(board: Scoreboard) {
    this.#board = board;
  }

  /** Children are started with this one. */
  get generation(): number {
    return this.#generation;
  }

  /** Older children are to be replaced; 0: whatever there is may stay. */
  get wanted(): number {
    return this.#failed === this.#generation ? 0 : this.#generation;
  }

  /** A new one; settles when no older child takes requests, or it could not be loaded. */
  begin(): Promise<void> {
    const generation = ++this.#generation;
    this.#board.setHeader(HEADER.generation.offset, generation);
    return new Promise((resolve, reject) => {
      this.#waiters.push({ generation, resolve, reject });
    });
  }

  /** Called when children have come or gone. */
  check(children: Iterable<Child>): void {
    if (this.#waiters.length === 0) return;
    let oldest = this.#generation;
    for (const { state, generation } of children) {
      if (state !== 'draining') oldest = Math.min(oldest, generation);
      // A successor that is not ready yet serves nobody.
      if (state === 'starting') oldest = Math.min(oldest, generation - 1);
    }
    const done = this.#waiters.filter(({ generation }) => generation <= oldest);
    this.#waiters = this.#waiters.filter(({ generation }) => generation > oldest);
    for (const { resolve } of done) resolve();
  }

  /** A child of this generation could not be loaded. True: somebody has been told by that. */
  fail(generation: number, error: Error): boolean {
    if (generation !== this.#generation) return false;
    this.#failed = generation;
    const told = this.#waiters;
    this.#waiters = [];
    for (const { reject } of told) reject(error);
    return told.length > 0;
  }

  /** Nobody will be replaced any more. */
  stop(): void {
    const told = this.#waiters;
    this.#waiters = [];
    for (const { resolve } of told) resolve();
  }
}
