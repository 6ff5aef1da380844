/**
 * Shared memory whose every access is a step, and what else a thread of a model may do.
 *
 * Role: stands in for Int32Array, `Atomics` and the clock while production code runs; hands each access
 * to the run in progress, which answers it or stops the thread there.
 * Thread: tests only.
 */
import type { Kind } from './model.ts';

export interface Operation {
  readonly kind: Kind;
  readonly index: number;
  readonly a: number;
  readonly b: number;
  /** `sleep`: the words one of which must not be 0. */
  readonly words?: readonly number[];
  /** `sleep` that tells what it was woken by: one of these must have a word that is not 0. */
  readonly groups?: readonly (readonly number[])[];
}

/** Answers a thread's operations while it runs; null: memory is accessed at once. */
export type Answer = (operation: Operation) => number;
let answer: Answer | null = null;

export function answering<T>(by: Answer, body: () => T): T {
  answer = by;
  try {
    return body();
  } finally {
    answer = null;
  }
}

function operate(kind: Kind, index: number, a = 0, b = 0, words?: readonly number[]): number {
  if (answer === null) throw new Error(`${kind} outside of an exploration`);
  return answer(words === undefined ? { kind, index, a, b } : { kind, index, a, b, words });
}

/** int32 words that production code sees through `view`. */
export class Memory {
  readonly words: Int32Array;
  readonly #names = new Map<number, string>();
  readonly #kernels = new Set<number>();

  constructor(words: number) {
    this.words = new Int32Array(words);
  }

  /** A part of the memory that looks like an Int32Array. */
  view(start = 0, length = this.words.length - start): Int32Array {
    const { words } = this;
    const at = (key: string): number => {
      const index = Number(key);
      if (!(index >= 0 && index < length)) throw new Error(`no element ${key} in a model's view`);
      return start + index;
    };
    const proxy = new Proxy(new Int32Array(0), {
      get(_, key) {
        if (key === 'length') return length;
        if (typeof key !== 'string') return undefined;
        const index = at(key);
        return answer === null ? words[index] : operate('read', index);
      },
      set(_, key, value) {
        const index = at(key as string);
        if (answer === null) words[index] = value;
        else operate('write', index, value);
        return true;
      },
    });
    views.set(proxy, { memory: this, start, length });
    return proxy;
  }

  /** This word stands for something of the kernel's, by which threads learn nothing of each other's memory. */
  markKernels(index: number): void {
    this.#kernels.add(index);
  }

  isKernels(index: number): boolean {
    return this.#kernels.has(index);
  }

  /** For schedules. */
  name(index: number, name: string): void {
    this.#names.set(index, name);
  }

  nameOf(index: number): string {
    return this.#names.get(index) ?? `word ${index}`;
  }
}

const views = new WeakMap<object, { memory: Memory; start: number; length: number }>();

// ---- what drivers may call ------------------------------------------------------------------------

/** Sleeps until one of the words is not 0. */
export function sleepUntil(view: Int32Array, ...indices: number[]): void {
  const words = indices.map((index) => locate(view, index));
  operate('sleep', words[0] as number, 0, 0, words);
}

/**
 * Sleeps until one of the groups has a word that is not 0; which of them is tried. An empty group is an event
 * that may come at any time, like a timer that is armed.
 */
export function sleepUntilAny(view: Int32Array, groups: readonly (readonly number[])[]): number {
  if (answer === null) throw new Error('sleep outside of an exploration');
  const located = groups.map((group) => group.map((index) => locate(view, index)));
  const words = located.flat();
  return answer({ kind: 'sleep', index: words[0] ?? -1, a: 0, b: 0, words, groups: located });
}

/** Goes on only when nobody else can move: a timer that has all the time in the world. */
export function settle(): void {
  operate('settle', -1);
}

/** Every number from 0 to count - 1 is tried. */
export function choose(count: number): number {
  return operate('choose', -1, count);
}

function locate(view: Int32Array, index: number): number {
  const found = views.get(view);
  if (found === undefined) throw new Error('not a view of a model');
  if (!(index >= 0 && index < found.length)) throw new RangeError(`no element ${index}`);
  return found.start + index;
}

// ---- stand-ins ------------------------------------------------------------------------------------

type AtomicName = 'load' | 'store' | 'add' | 'sub' | 'and' | 'or' | 'xor' | 'exchange';
const realAtomics = globalThis.Atomics;

function stubAtomics(): typeof Atomics {
  const stub: Record<string, unknown> = {};
  for (const kind of ['load', 'store', 'add', 'sub', 'and', 'or', 'xor', 'exchange'] as const) {
    const real = realAtomics[kind] as (array: Int32Array, index: number, value: number) => number;
    stub[kind as AtomicName] = (array: Int32Array, index: number, value = 0): number => {
      if (!views.has(array)) return real.call(realAtomics, array, index, value);
      const at = locate(array, index);
      if (answer !== null) {
        const result = operate(kind, at, value | 0);
        return kind === 'store' ? value : result;
      }
      const { memory } = views.get(array) as { memory: Memory };
      return real.call(realAtomics, memory.words, at, value);
    };
  }
  stub.compareExchange = (array: Int32Array, index: number, expected: number, value: number) => {
    if (!views.has(array)) return realAtomics.compareExchange(array, index, expected, value);
    const at = locate(array, index);
    if (answer !== null) return operate('compareExchange', at, expected | 0, value | 0);
    const { memory } = views.get(array) as { memory: Memory };
    return realAtomics.compareExchange(memory.words, at, expected, value);
  };
  // Who sleeps in a model does so by `sleepUntil`, which looks at the word itself.
  stub.notify = () => 0;
  return stub as unknown as typeof Atomics;
}

/** With stubs in place of `Atomics` and a clock that stands still at 0. */
export function withStubs<T>(body: () => T): T {
  const now = performance.now;
  globalThis.Atomics = stubAtomics();
  performance.now = () => 0;
  try {
    return body();
  } finally {
    globalThis.Atomics = realAtomics;
    performance.now = now;
  }
}

/** Set-up of a model's memory by production code. */
export const prepare = <T>(body: () => T): T => withStubs(body);
