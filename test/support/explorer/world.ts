/**
 * One state of a model, and the steps that lead from it to others.
 *
 * Role: memory, delayed stores, and where each thread is; performs a step and takes it back.
 * Thread: tests only.
 */
import type { Operation } from './memory.ts';
import { Forbidden, type Kind, type Model, type ModelThread, type State } from './model.ts';
import { type Node, Programs } from './programs.ts';
import { Sharing } from './sharing.ts';

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

const ATOMIC: ReadonlySet<Kind> = new Set([
  'load',
  'store',
  'add',
  'sub',
  'and',
  'or',
  'xor',
  'exchange',
  'compareExchange',
  'sleep',
]);
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
  readonly #initial: Int32Array;
  readonly #programs: Programs;
  /** Words that a step or `observe` has written: what states differ in. */
  readonly #tracked: number[] = [];
  readonly #isTracked: Uint8Array;
  #undoIndex: number[] = [];
  #undoValue: number[] = [];
  readonly #values = new Map<number, number>();
  /** Each word's value as a small number, 0 for its first. */
  readonly #units: Uint16Array;
  #key = new Uint16Array(256);
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
    this.#initial = this.#words.slice();
    this.#programs = new Programs(model.threads);
    this.#isTracked = new Uint8Array(this.#words.length);
    this.#units = new Uint16Array(this.#words.length);
    this.sharing = new Sharing(model);
    this.sharing.isAlive = (thread) => !this.#hasEnded(thread);
  }

  reset(): void {
    this.#words.set(this.#initial);
    this.#units.fill(0);
    this.#undoIndex = [];
    this.#undoValue = [];
    this.fault = undefined;
    this.#nodes = this.#model.threads.map((thread, number) =>
      this.#programs.begin(number, thread.start),
    );
    this.#buffers = this.#model.threads.map(() => []);
    for (let thread = 0; thread < this.#nodes.length; thread++) this.#goOnAlone(thread);
  }

  /** The memory as it was before the exploration. */
  leave(): void {
    this.#words.set(this.#initial);
  }

  mark(): Mark {
    return {
      nodes: this.#nodes.slice(),
      buffers: this.#weak ? this.#buffers.slice() : this.#buffers,
      undo: this.#undoIndex.length,
    };
  }

  restore({ nodes, buffers, undo }: Mark): void {
    while (this.#undoIndex.length > undo) {
      const index = this.#undoIndex.pop() as number;
      const value = this.#undoValue.pop() as number;
      this.#words[index] = value;
      this.#units[index] = this.#unit(index, value);
    }
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
    this.log?.push(`${this.#nameOf(thread)}: ${this.#line(operation, result)}`);
    this.#nodes[thread] = this.#programs.step(node, result);
  }

  #die(thread: number): void {
    const { diesInto } = this.#model.threads[thread] as ModelThread;
    this.#nodes[thread] = this.#programs.begin(thread, null);
    this.sharing.touchAsleep(diesInto as number);
    this.#set(diesInto as number, 1);
    this.log?.push(`${this.#nameOf(thread)}: dies`);
  }

  #arrive(thread: number, store: number): void {
    const buffer = this.#buffers[thread] as readonly Delayed[];
    const { index, value } = buffer[store] as Delayed;
    const before = this.#words[index] as number;
    this.#set(index, value);
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
    this.#set(index, after);
    this.#observe(thread, kind, index, before, after);
    return kind === 'store' || kind === 'write' ? 0 : before;
  }

  #set(index: number, value: number): void {
    const before = this.#words[index] as number;
    if (before === value) return;
    if (this.#isTracked[index] === 0) {
      this.#isTracked[index] = 1;
      this.#tracked.push(index);
    }
    this.#undoIndex.push(index);
    this.#undoValue.push(before);
    this.#words[index] = value;
    this.#units[index] = this.#unit(index, value);
  }

  #observe(thread: number, kind: Kind, index: number, before: number, after: number): void {
    if (this.#model.observe === undefined) return;
    try {
      const step = { thread: this.#nameOf(thread), by: thread, kind, index, before, after };
      this.#model.observe(step, (at, value) => this.#set(at, value));
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
    let key = this.#key;
    let end = 0;
    for (const { id } of this.#nodes) {
      key[end++] = id & 0xffff;
      key[end++] = id >>> 16;
    }
    if (this.#weak) {
      for (const buffer of this.#buffers) {
        for (const { index, value } of buffer) {
          key[end++] = index;
          key[end++] = this.#unit(index, value);
        }
        key[end++] = 0xffff;
      }
    }
    if (end + this.#tracked.length > key.length) {
      this.#key = new Uint16Array(2 * (end + this.#tracked.length));
      this.#key.set(key.subarray(0, end));
      key = this.#key;
    }
    for (const index of this.#tracked) key[end++] = this.#units[index] as number;
    // A word that nobody had written when an earlier key was made is not in that one: leave it out here
    // too where it has its first value.
    while (end > 0 && key[end - 1] === 0) end--;
    return { units: key, length: end };
  }

  /** 0 for the word's first value, others in the order they came up. */
  #unit(index: number, value: number): number {
    if (value === this.#initial[index]) return 0;
    let unit = this.#values.get(value);
    if (unit === undefined) {
      unit = this.#values.size + 1;
      if (unit > 0xfffe) throw new Error('too many different values');
      this.#values.set(value, unit);
    }
    return unit;
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
    return this.#model.invariant?.(this.#state());
  }

  /** What is wrong with this state where nobody can move. */
  finalFault(): string | undefined {
    const state = this.#state();
    if (this.#model.final !== undefined) return this.#model.final(state);
    return state.blocked.length > 0 ? `sleeps for ever: ${state.blocked.join(', ')}` : undefined;
  }

  /** The whole memory and who sleeps, as a text. */
  describe(): string {
    const words: string[] = [];
    for (let index = 0; index < this.#words.length; index++) {
      if (this.#words[index] !== this.#initial[index]) words.push(`${index}=${this.#words[index]}`);
    }
    return `${words.join(' ')}; ${this.#state().blocked.join(', ')}`;
  }

  #state(): State {
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

  #line({ kind, index, a, b, words }: Operation, result: number): string {
    const { memory } = this.#model;
    switch (kind) {
      case 'choose':
        return `chooses ${result}`;
      case 'settle':
        return 'goes on, as nobody else can';
      case 'sleep':
        return `wakes up (${(words as readonly number[]).map((word) => memory.nameOf(word)).join(', ')})`;
      case 'load':
      case 'read':
        return `${kind} ${memory.nameOf(index)}: ${show(result)}`;
      case 'store':
      case 'write':
        return `${kind} ${memory.nameOf(index)} = ${show(a)}`;
      case 'compareExchange':
        return `compareExchange ${memory.nameOf(index)} ${show(a)} to ${show(b)}: ${
          result === a ? 'done' : `was ${show(result)}`
        }`;
      default:
        return `${kind} ${memory.nameOf(index)} ${show(a)}: was ${show(result)}`;
    }
  }
}

function afterOf(kind: Kind, before: number, a: number, b: number): number {
  switch (kind) {
    case 'write':
    case 'store':
    case 'exchange':
      return a | 0;
    case 'add':
      return (before + a) | 0;
    case 'sub':
      return (before - a) | 0;
    case 'and':
      return before & a;
    case 'or':
      return before | a;
    case 'xor':
      return before ^ a;
    case 'compareExchange':
      return before === a ? b : before;
    default:
      return before;
  }
}

const show = (value: number): string =>
  value > -4096 && value < 4096 ? String(value) : `0x${(value >>> 0).toString(16)}`;
