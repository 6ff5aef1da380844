/**
 * One state of a model, and the steps that lead from it to others.
 *
 * Role: memory, delayed stores, and where each thread is; performs a step and takes it back.
 * Thread: tests only.
 */
import type { Operation } from './memory.ts';
import { Forbidden, type Kind, type Model, type ModelThread, type State } from './model.ts';
import { ATOMIC, afterOf, lineOf, show } from './operations.ts';
import { type Node, Programs } from './programs.ts';
import { Sharing } from './sharing.ts';
import { Words } from './words.ts';

/** A plain store that has not reached the memory. */
interface Delayed {
  readonly index: number;
  readonly value: number;
}

/**
 * Thread, and which of its possibilities: its step, its death, or a delayed store that is due; and which
 * outcome the step has. One number: thread, possibility and outcome in a byte each.
 */
export type Choice = number;
const STEP = 0;
const DEATH = 1;
const STORES = 2;
const choiceOf = (thread: number, possibility: number, outcome = 0): Choice =>
  (thread << 16) | (possibility << 8) | outcome;
export const threadOf = (choice: Choice): number => choice >>> 16;
const possibilityOf = (choice: Choice): number => (choice >>> 8) & 0xff;

/** What `restore` needs. */
export interface Mark {
  readonly nodes: readonly Node[];
  readonly buffers: readonly (readonly Delayed[])[];
  readonly undo: number;
}

/** Errors that neither production code nor a check throws on purpose. */
const MISTAKES = [ReferenceError, TypeError, RangeError, SyntaxError] as const;
/** Steps that a thread may make alone, one after another. */
const MAX_ALONE = 1000;

export class World {
  readonly sharing: Sharing;
  readonly #model: Model;
  readonly #weak: boolean;
  readonly #reduce: boolean;
  readonly #words: Int32Array;
  readonly #state: Words;
  readonly #programs: Programs;
  #key: Uint16Array = new Uint16Array(256);
  #nodes: Node[] = [];
  #buffers: (readonly Delayed[])[] = [];
  /** What the last step did that is forbidden. */
  fault: string | undefined;
  /** Lines of a schedule, where one is wanted. */
  log: string[] | null = null;

  constructor(model: Model, reduce: boolean) {
    this.#model = model;
    this.#weak = model.weak === true;
    this.#reduce = reduce;
    this.#words = model.memory.words;
    this.#state = new Words(this.#words);
    this.#programs = new Programs(model.threads);
    this.sharing = new Sharing(model);
    this.sharing.isAlive = (thread) => !this.#hasEnded(thread);
  }

  reset(): void {
    this.#state.reset();
    this.fault = undefined;
    this.#nodes = this.#model.threads.map((thread, number) =>
      this.#programs.begin(number, thread.start),
    );
    this.#buffers = this.#model.threads.map(() => []);
    for (let thread = 0; thread < this.#nodes.length; thread++) this.#goOnAlone(thread);
  }

  /** The memory as it was before the exploration. */
  leave(): void {
    this.#state.reset();
  }

  mark(): Mark {
    return {
      nodes: this.#nodes.slice(),
      buffers: this.#weak ? this.#buffers.slice() : this.#buffers,
      undo: this.#state.changes,
    };
  }

  restore({ nodes, buffers, undo }: Mark): void {
    this.#state.undo(undo);
    for (let thread = 0; thread < nodes.length; thread++) {
      this.#nodes[thread] = nodes[thread] as Node;
      if (this.#weak) this.#buffers[thread] = buffers[thread] as readonly Delayed[];
    }
  }

  // ---- what may happen next -------------------------------------------------------------------------

  choices(): Choice[] {
    const choices: Choice[] = [];
    let settling = -1;
    for (let thread = 0; thread < this.#nodes.length; thread++) {
      const buffer = this.#buffers[thread] as readonly Delayed[];
      for (let store = 0; store < buffer.length; store++) {
        const { index } = buffer[store] as Delayed;
        if (buffer.findIndex((entry) => entry.index === index) < store) continue;
        choices.push(choiceOf(thread, STORES + store));
      }
      const { operation } = this.#nodes[thread] as Node;
      if (operation === null) continue;
      const mortal = this.#model.threads[thread] as ModelThread;
      if (mortal.diesInto !== undefined) choices.push(choiceOf(thread, DEATH));
      const { kind } = operation;
      if (buffer.length > 0 && ATOMIC.has(kind)) continue;
      if (kind === 'sleep' && !this.#isAwake(operation)) continue;
      if (kind === 'settle') settling = thread;
      else if (operation.groups !== undefined) {
        for (const [outcome, group] of operation.groups.entries()) {
          if (this.#isReady(group)) choices.push(choiceOf(thread, STEP, outcome));
        }
      } else if (kind === 'choose') {
        for (let outcome = 0; outcome < operation.a; outcome++) {
          choices.push(choiceOf(thread, STEP, outcome));
        }
      } else choices.push(choiceOf(thread, STEP));
    }
    if (choices.length === 0 && settling >= 0) choices.push(choiceOf(settling, STEP));
    return choices;
  }

  /** Whether the step commutes with every step that others may make before this thread's next. */
  concernsNobody(choice: Choice): boolean {
    if (!this.#reduce || possibilityOf(choice) !== STEP) return false;
    const thread = threadOf(choice);
    const operation = (this.#nodes[thread] as Node).operation as Operation;
    if (operation.kind === 'choose') return true;
    return this.#isAlone(thread, operation);
  }

  /** The choices of the same thread's present step. */
  sameStep(choices: readonly Choice[], choice: Choice): Choice[] {
    return choices.filter(
      (other) => threadOf(other) === threadOf(choice) && possibilityOf(other) === STEP,
    );
  }

  #isAlone(thread: number, { kind, index }: Operation): boolean {
    if (kind === 'sleep' || kind === 'settle' || kind === 'choose') return false;
    if (this.#weak) return !this.sharing.isShared(index);
    return this.sharing.isLocal(index, thread);
  }

  /** An empty group is always ready. */
  #isReady(group: readonly number[]): boolean {
    return group.length === 0 || group.some((word) => this.#words[word] !== 0);
  }

  #isAwake(operation: Operation): boolean {
    let awake = operation.groups?.some((group) => group.length === 0) === true;
    for (const word of operation.words as readonly number[]) {
      this.sharing.touchAsleep(word);
      if (this.#words[word] !== 0) awake = true;
    }
    return awake;
  }

  #hasEnded(thread: number): boolean {
    const node = this.#nodes[thread];
    return node !== undefined && node.operation === null;
  }

  // ---- steps ------------------------------------------------------------------------------------------

  /** Makes the step, and those that this thread can make after it without concerning anybody. */
  perform(choice: Choice): void {
    const thread = threadOf(choice);
    const possibility = possibilityOf(choice);
    if (possibility === DEATH) this.#die(thread);
    else if (possibility >= STORES) this.#arrive(thread, possibility - STORES);
    else {
      this.#step(thread, choice & 0xff);
      this.#goOnAlone(thread);
    }
  }

  #goOnAlone(thread: number): void {
    if (!this.#reduce || this.#weak || this.sharing.learning) return;
    // A circle of such steps is left after a while; the search recognises it.
    for (let steps = 0; steps < MAX_ALONE; steps++) {
      const { operation } = this.#nodes[thread] as Node;
      if (operation === null || this.fault !== undefined) return;
      if (!this.#isAlone(thread, operation)) return;
      this.#step(thread, 0);
    }
  }

  #step(thread: number, outcome: number): void {
    const node = this.#nodes[thread] as Node;
    const operation = node.operation as Operation;
    const result = this.#effect(thread, operation, outcome);
    this.log?.push(`${this.#nameOf(thread)}: ${lineOf(this.#model.memory, operation, result)}`);
    this.#nodes[thread] = this.#programs.step(node, result);
  }

  #die(thread: number): void {
    const { diesInto } = this.#model.threads[thread] as ModelThread;
    this.#nodes[thread] = this.#programs.begin(thread, null);
    this.sharing.touchAsleep(diesInto as number);
    this.#state.set(diesInto as number, 1);
    this.log?.push(`${this.#nameOf(thread)}: dies`);
  }

  #arrive(thread: number, store: number): void {
    const buffer = this.#buffers[thread] as readonly Delayed[];
    const { index, value } = buffer[store] as Delayed;
    const before = this.#words[index] as number;
    this.#state.set(index, value);
    this.#buffers[thread] = buffer.filter((_, position) => position !== store);
    this.#observe(thread, 'write', index, before, value);
    this.log?.push(
      `${this.#nameOf(thread)}: delayed store of ${show(value)} to ${this.#model.memory.nameOf(index)}`,
    );
  }

  #effect(thread: number, operation: Operation, outcome: number): number {
    const { kind, index, a, b } = operation;
    if (kind === 'choose' || kind === 'sleep') return outcome;
    if (kind === 'settle') return 0;
    if (this.#weak) {
      // A store of the same value may be delayed until after a different one.
      this.sharing.touch(index, thread, kind !== 'load' && kind !== 'read');
      const buffer = this.#buffers[thread] as readonly Delayed[];
      if (kind === 'read') {
        const delayed = buffer.findLast((entry) => entry.index === index);
        if (delayed !== undefined) return delayed.value;
      }
      if (kind === 'write' && this.sharing.isShared(index)) {
        this.#buffers[thread] = [...buffer, { index, value: a }];
        return 0;
      }
    }
    const before = this.#words[index] as number;
    const after = afterOf(kind, before, a, b);
    try {
      this.sharing.touch(index, thread, after !== before);
      if (!this.#weak) this.sharing.checkGuard(index, thread, before, after);
    } catch (error) {
      this.#forbidden(error);
    }
    this.#state.set(index, after);
    this.#observe(thread, kind, index, before, after);
    return kind === 'store' || kind === 'write' ? 0 : before;
  }

  #observe(thread: number, kind: Kind, index: number, before: number, after: number): void {
    if (this.#model.observe === undefined) return;
    try {
      const step = { thread: this.#nameOf(thread), by: thread, kind, index, before, after };
      this.#model.observe(step, (at, value) => this.#state.set(at, value));
    } catch (error) {
      this.#forbidden(error);
    }
  }

  #forbidden(error: unknown): void {
    if (!(error instanceof Forbidden)) throw error;
    this.fault ??= error.message;
  }

  // ---- what a state is ----------------------------------------------------------------------------------

  /** Exactly what a state is: where each thread is, its delayed stores, and the memory. */
  key(): { readonly units: Uint16Array; readonly length: number } {
    const key = this.#key;
    let end = 0;
    for (const { id } of this.#nodes) {
      key[end++] = id & 0xffff;
      key[end++] = id >>> 16;
    }
    if (this.#weak) {
      for (const buffer of this.#buffers) {
        for (const { index, value } of buffer) {
          key[end++] = index;
          key[end++] = this.#state.unit(index, value);
        }
        key[end++] = 0xffff;
      }
    }
    const length = this.#state.writeTo(key, end);
    if (length < 0) {
      this.#key = new Uint16Array(2 * key.length);
      return this.key();
    }
    return { units: key, length };
  }

  /** What is wrong with this state. */
  broken(): string | undefined {
    for (const node of this.#nodes) {
      if (node.error === null) continue;
      const { error } = node;
      // A driver that is wrong proves nothing.
      if (MISTAKES.some((mistake) => error instanceof mistake)) throw error;
      return `${this.#nameOf(node.thread)}: ${error instanceof Error ? error.message : String(error)}`;
    }
    return this.#model.invariant?.(this.#present());
  }

  /** What is wrong with this state where nobody can move. */
  finalFault(): string | undefined {
    const state = this.#present();
    if (this.#model.final !== undefined) return this.#model.final(state);
    return state.blocked.length > 0 ? `sleeps for ever: ${state.blocked.join(', ')}` : undefined;
  }

  /** The whole memory and who sleeps, as a text. */
  describe(): string {
    return `${this.#state.describe()}; ${this.#present().blocked.join(', ')}`;
  }

  #present(): State {
    return {
      memory: this.#words,
      locals: this.#nodes.map((node) => (node.root ?? node).local),
      blocked: this.#nodes.flatMap((node, thread) => {
        const kind = node.operation?.kind;
        if (kind !== 'sleep' && kind !== 'settle') return [];
        if (kind === 'sleep' && this.#isAwake(node.operation as Operation)) return [];
        return [this.#nameOf(thread)];
      }),
    };
  }

  #nameOf(thread: number): string {
    return (this.#model.threads[thread] as ModelThread).name;
  }
}
