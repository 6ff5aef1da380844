/**
 * Which steps concern one thread alone.
 *
 * Role: knows of every word which threads touch it and whether any changes it, and who holds it where
 * the model has a guard for it. Both are assumed and watched: a word that turns out to be shared ends
 * the exploration, to be begun again; a guard that is broken is a violation.
 * Thread: tests only.
 */
import { Forbidden, type Guard, type Model } from './model.ts';

/** A word that was taken for one thread's is shared; the exploration begins again, knowing it. */
export class SharedAfterAll extends Error {}

export class Sharing {
  readonly #model: Model;
  readonly #words: Int32Array;
  readonly #touched: Int32Array;
  readonly #changed: Uint8Array;
  readonly #shared: Uint8Array;
  /** Accessed by something else than atomic operations. */
  readonly #plain: Uint8Array;
  /** Of a guarded word; null for all others. */
  readonly #guards: (Guard | null)[];
  /** Of a word that says who holds others. */
  readonly #guarding: (Guard | null)[];
  /** Nothing depends on what is known so far. */
  learning = false;
  isAlive: (thread: number) => boolean = () => true;

  constructor(model: Model) {
    this.#model = model;
    const { words } = model.memory;
    this.#words = words;
    this.#touched = new Int32Array(words.length);
    this.#changed = new Uint8Array(words.length);
    this.#shared = new Uint8Array(words.length);
    this.#plain = new Uint8Array(words.length);
    this.#guards = new Array(words.length).fill(null);
    this.#guarding = new Array(words.length).fill(null);
    for (const guard of model.guards ?? []) {
      this.#guarding[guard.by] = guard;
      for (const word of guard.words) this.#guards[word] = guard;
    }
  }

  /** No other thread's step can tell whether a step on this word was made before or after it. */
  isLocal(index: number, thread: number): boolean {
    if (this.#shared[index] === 0) return true;
    // One that may die in between leaves the word to others as it is.
    if (this.#model.threads[thread]?.diesInto !== undefined) return false;
    return this.#holderOf(index) === thread;
  }

  isShared(index: number): boolean {
    return this.#shared[index] === 1;
  }

  isGuarded(index: number): boolean {
    return this.#guards[index] !== null;
  }

  /** A guard names this thread. */
  isHeld(index: number, thread: number): boolean {
    return this.#holderOf(index) === thread;
  }

  isPlain(index: number): boolean {
    return this.#plain[index] === 1;
  }

  touchPlainly(index: number): void {
    if (this.#plain[index] === 1) return;
    this.#plain[index] = 1;
    if (!this.learning) throw new SharedAfterAll();
  }

  #holderOf(index: number): number {
    const guard = this.#guards[index];
    if (guard === null || guard === undefined) return -1;
    return guard.holder(this.#words[guard.by] as number);
  }

  touch(index: number, thread: number, changes: boolean): void {
    const holder = this.#holderOf(index);
    if (holder >= 0 && holder !== thread && this.isAlive(holder)) {
      const { name } = this.#model.threads[holder] as { name: string };
      throw new Forbidden(`${this.#model.memory.nameOf(index)} was touched while ${name} holds it`);
    }
    const touched = (this.#touched[index] as number) | (1 << thread);
    const changed = this.#changed[index] === 1 || changes;
    this.#touched[index] = touched;
    this.#changed[index] = changed ? 1 : 0;
    if (changed && (touched & (touched - 1)) !== 0) this.#share(index);
  }

  /** A sleeper's word is always shared: others wake it. */
  touchAsleep(index: number): void {
    this.#share(index);
  }

  #share(index: number): void {
    if (this.#shared[index] === 1) return;
    this.#shared[index] = 1;
    if (!this.learning) throw new SharedAfterAll();
  }

  /** Nobody but its holder gives up what a guard says is his, as long as he lives. */
  checkGuard(index: number, thread: number, before: number, after: number): void {
    const guard = this.#guarding[index];
    if (guard === null || guard === undefined) return;
    const holder = guard.holder(before);
    if (holder < 0 || holder === thread || guard.holder(after) === holder) return;
    if (!this.isAlive(holder)) return;
    const { name } = this.#model.threads[holder] as { name: string };
    throw new Forbidden(`what ${name} holds was taken from it`);
  }
}
