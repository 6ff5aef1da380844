/**
 * What production code asks its runtime for, under the simulation's rule: time, timers, promises, atomics.
 *
 * Role: while a world runs, the globals are its own. Timers, immediates and promise jobs belong to the
 * simulated thread that asked for them, and die with it.
 * Thread: the one that everything runs in.
 */
import { performance } from 'node:perf_hooks';

/** What the globals stand for while a world runs. */
export interface Runtime {
  /** Milliseconds with fraction. */
  clock(): number;
  setTimer(callback: () => void, milliseconds: number): object;
  clearTimer(timer: unknown): void;
  setImmediate(callback: () => void): object;
  clearImmediate(immediate: unknown): void;
  /** A promise job of the thread that runs. */
  job(callback: () => void): void;
  /** Something is about to be read or written that other threads see. */
  operation(memory: Int32Array | null): void;
  say(line: string): void;
}

let runtime: Runtime | null = null;
/** Operations until the world wants to be told of one. */
let countdown = Number.POSITIVE_INFINITY;
let operations = 0;
let granted = 0;

/** From now on so many operations go by unnoticed. */
export function grant(count: number): void {
  operations += granted - countdown;
  countdown = count;
  granted = count;
}

/** Operations on shared memory and native calls so far. */
export const operationCount = (): number => operations + granted - countdown;

/** A native call: counts as an operation on shared memory does. */
export function nativeCall(): void {
  if (--countdown <= 0) runtime?.operation(null);
}

const real = {
  load: Atomics.load,
  store: Atomics.store,
  exchange: Atomics.exchange,
  compareExchange: Atomics.compareExchange,
  add: Atomics.add,
  sub: Atomics.sub,
  and: Atomics.and,
  or: Atomics.or,
};

const told = {
  load: (words: Int32Array, index: number) => {
    if (--countdown <= 0) runtime?.operation(words);
    return real.load(words, index);
  },
  store: (words: Int32Array, index: number, value: number) => {
    if (--countdown <= 0) runtime?.operation(words);
    return real.store(words, index, value);
  },
  exchange: (words: Int32Array, index: number, value: number) => {
    if (--countdown <= 0) runtime?.operation(words);
    return real.exchange(words, index, value);
  },
  compareExchange: (words: Int32Array, index: number, expected: number, value: number) => {
    if (--countdown <= 0) runtime?.operation(words);
    return real.compareExchange(words, index, expected, value);
  },
  add: (words: Int32Array, index: number, value: number) => {
    if (--countdown <= 0) runtime?.operation(words);
    return real.add(words, index, value);
  },
  sub: (words: Int32Array, index: number, value: number) => {
    if (--countdown <= 0) runtime?.operation(words);
    return real.sub(words, index, value);
  },
  and: (words: Int32Array, index: number, value: number) => {
    if (--countdown <= 0) runtime?.operation(words);
    return real.and(words, index, value);
  },
  or: (words: Int32Array, index: number, value: number) => {
    if (--countdown <= 0) runtime?.operation(words);
    return real.or(words, index, value);
  },
};

type Settle = (value: unknown) => void;

/** As much of a promise as the connection code uses, with jobs that its thread runs. */
class JobPromise {
  #settled: { readonly ok: boolean; readonly value: unknown } | null = null;
  #reactions: { readonly ok: Settle; readonly failed: Settle }[] = [];

  constructor(executor: (resolve: Settle, reject: Settle) => void) {
    executor(
      (value) => this.#settle(true, value),
      (value) => this.#settle(false, value),
    );
  }

  static reject(value: unknown): JobPromise {
    return new JobPromise((_resolve, reject) => reject(value));
  }

  static resolve(value: unknown): JobPromise {
    return new JobPromise((resolve) => resolve(value));
  }

  #settle(ok: boolean, value: unknown): void {
    if (this.#settled !== null) return;
    this.#settled = { ok, value };
    for (const reaction of this.#reactions) this.#react(reaction);
    this.#reactions = [];
  }

  #react(reaction: { readonly ok: Settle; readonly failed: Settle }): void {
    const { ok, value } = this.#settled as { ok: boolean; value: unknown };
    (runtime as Runtime).job(() => (ok ? reaction.ok : reaction.failed)(value));
  }

  // biome-ignore lint/suspicious/noThenProperty: it stands in for a promise
  then(ok: Settle = () => {}, failed: Settle = () => {}): void {
    const reaction = { ok, failed };
    if (this.#settled === null) this.#reactions.push(reaction);
    else this.#react(reaction);
  }
}

const names = [
  'setTimeout',
  'clearTimeout',
  'setImmediate',
  'clearImmediate',
  'Promise',
] as const satisfies readonly (keyof typeof globalThis)[];

/** Runs `body`, which must not wait for anything, with the globals of a world. */
export function within<T>(world: Runtime, body: () => T): T {
  if (runtime !== null) throw new Error('one world at a time');
  const globals = globalThis as unknown as Record<string, unknown>;
  const kept = names.map((name) => globals[name]);
  const { write } = process.stderr;
  const dateNow = Date.now;
  const restoreClock = setClock(() => world.clock());
  runtime = world;
  operations = 0;
  countdown = 1;
  granted = 1;
  Object.assign(Atomics, told);
  Object.assign(globals, {
    setTimeout: (callback: () => void, milliseconds = 1) => world.setTimer(callback, milliseconds),
    clearTimeout: (timer: unknown) => world.clearTimer(timer),
    setImmediate: (callback: () => void) => world.setImmediate(callback),
    clearImmediate: (immediate: unknown) => world.clearImmediate(immediate),
    Promise: JobPromise,
  });
  Date.now = () => EPOCH_MS + Math.floor(world.clock());
  process.stderr.write = (line: string | Uint8Array): boolean => {
    world.say(String(line));
    return true;
  };
  try {
    return body();
  } finally {
    runtime = null;
    countdown = Number.POSITIVE_INFINITY;
    process.stderr.write = write;
    Date.now = dateNow;
    Object.assign(Atomics, real);
    for (const [index, name] of names.entries()) globals[name] = kept[index];
    restoreClock();
  }
}

/** A date, for the Date field: it is the same in every run. */
const EPOCH_MS = 1_700_000_000_000;

/** Replaces the monotonic clock; returns what puts it back. */
function setClock(now: () => number): () => void {
  const { hrtime } = process;
  Object.defineProperty(performance, 'now', { value: now, configurable: true, writable: true });
  const fake = () => {
    const milliseconds = now();
    const seconds = Math.floor(milliseconds / 1000);
    return [seconds, Math.round((milliseconds - seconds * 1000) * 1e6)];
  };
  process.hrtime = Object.assign(fake, { bigint: hrtime.bigint }) as typeof process.hrtime;
  return () => {
    process.hrtime = hrtime;
    Reflect.deleteProperty(performance, 'now');
  };
}

/**
 * Loads modules while the clock stands at 0, so that the offset that `clock.ts` measures once is 0 and
 * ticks are the same in every run.
 */
export async function atClockZero<T>(load: () => Promise<T>): Promise<T> {
  const restore = setClock(() => 0);
  try {
    return await load();
  } finally {
    restore();
  }
}
