/**
 * One state of a model, and the steps that lead from it to others.
 *
 * Role: memory, what of it each thread may see, and where each thread is; performs a step and takes it back.
 * Thread: tests only.
 */
import type { Operation } from './memory.ts';
import { Forbidden, type Kind, type Model, type ModelThread, type State } from './model.ts';
import { ATOMIC, afterOf, lineOf, READS, show } from './operations.ts';
import { type Node, Programs } from './programs.ts';
import { Sharing } from './sharing.ts';
import { type Sight, Visibility } from './visibility.ts';
import { Words } from './words.ts';

/**
 * An atomic store that others do not see yet, though later plain ones of its thread may be seen: what ARMv8
 * does with STLR and the STR behind it. The thread's next atomic operation waits for it.
 */
interface Delayed {
  readonly index: number;
  readonly value: number;
  /** Its thread has made a plain store since that others may see. */
  readonly overtaken: boolean;
}

/**
 * Thread, and which of its possibilities: its step, its death, or its delayed store; and which outcome the step has. One number: thread, possibility and outcome in a byte each.
 */
export type Choice = number;
const STEP = 0;
const DEATH = 1;
const ARRIVAL = 2;
const choiceOf = (thread: number, possibility: number, outcome = 0): Choice =>
  (thread << 16) | (possibility << 8) | outcome;
export const threadOf = (choice: Choice): number => choice >>> 16;
const possibilityOf = (choice: Choice): number => (choice >>> 8) & 0xff;

/** What `restore` needs. */
export interface Mark {
  readonly nodes: readonly Node[];
  readonly delayed: readonly (Delayed | null)[];
  readonly undo: number;
  readonly seen: number;
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
  readonly #visibility: Visibility;
  #delayed: (Delayed | null)[] = [];
  /** What the last step did that is forbidden. */
  fault: string | undefined;
  /** Of the last step, for its line in the schedule. */
  #remark = '';
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
    this.#visibility = new Visibility(this.#words, model.threads.length);
    this.sharing.isAlive = (thread) => !this.#hasEnded(thread);
  }

  reset(): void {
    this.#state.reset();
    this.fault = undefined;
    this.#nodes = this.#model.threads.map((thread, number) =>
      this.#programs.begin(number, thread.start),
    );
    this.#delayed = this.#model.threads.map(() => null);
    this.#visibility.reset();
    for (let thread = 0; thread < this.#nodes.length; thread++) this.#goOnAlone(thread);
  }

  /** The memory as it was before the exploration. */
  leave(): void {
    this.#state.reset();
  }

  mark(): Mark {
    return {
      nodes: this.#nodes.slice(),
      delayed: this.#weak ? this.#delayed.slice() : this.#delayed,
      undo: this.#state.changes,
      seen: this.#visibility.changes,
    };
  }

  restore({ nodes, delayed, undo, seen }: Mark): void {
    this.#state.undo(undo);
    this.#visibility.undo(seen);
    for (let thread = 0; thread < nodes.length; thread++) {
      this.#nodes[thread] = nodes[thread] as Node;
      if (this.#weak) this.#delayed[thread] = delayed[thread] as Delayed | null;
    }
  }

  // ---- what may happen next -------------------------------------------------------------------------

  choices(): Choice[] {
    const choices: Choice[] = [];
    let settling = -1;
    for (let thread = 0; thread < this.#nodes.length; thread++) {
      const delayed = this.#delayed[thread] as Delayed | null;
      if (delayed !== null) choices.push(choiceOf(thread, ARRIVAL));
      const { operation } = this.#nodes[thread] as Node;
      if (operation === null) continue;
      const mortal = this.#model.threads[thread] as ModelThread;
      if (mortal.diesInto !== undefined) choices.push(choiceOf(thread, DEATH));
      const { kind } = operation;
      if (delayed !== null && ATOMIC.has(kind)) continue;
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
      } else if (this.#weak && READS.has(kind)) {
        for (const outcome of this.#sights(thread, operation).keys()) {
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
    if (this.sharing.isLocal(index, thread)) return true;
    // Whoever reads may take what stood there before, so a plain write need not be put off for that.
    const { diesInto } = this.#model.threads[thread] as ModelThread;
    if (!this.#weak || kind !== 'write' || diesInto !== undefined) return false;
    return !this.sharing.isGuarded(index);
  }

  /** What a reading operation may find. */
  #sights(thread: number, { kind, index }: Operation): readonly Sight[] {
    const delayed = this.#delayed[thread] as Delayed | null;
    if (delayed?.index === index) {
      return [{ value: delayed.value, id: -1, atomic: false, old: false }];
    }
    return this.#visibility.inSight(index, thread, kind !== 'read');
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
    else if (possibility === ARRIVAL) this.#arrive(thread);
    else {
      this.#step(thread, choice & 0xff);
      this.#goOnAlone(thread);
    }
  }

  #goOnAlone(thread: number): void {
    if (!this.#reduce || this.sharing.learning) return;
    // A circle of such steps is left after a while; the search recognises it.
    for (let steps = 0; steps < MAX_ALONE; steps++) {
      const { operation } = this.#nodes[thread] as Node;
      if (operation === null || this.fault !== undefined) return;
      if (this.#delayed[thread] !== null && ATOMIC.has(operation.kind)) return;
      if (!this.#isAlone(thread, operation)) return;
      this.#step(thread, 0);
    }
  }

  #step(thread: number, outcome: number): void {
    const node = this.#nodes[thread] as Node;
    const operation = node.operation as Operation;
    const result = this.#effect(thread, operation, outcome);
    const line = lineOf(this.#model.memory, operation, result);
    this.log?.push(`${this.#nameOf(thread)}: ${line}${this.#remark}`);
    const next = this.#programs.step(node, result);
    this.#nodes[thread] = next;
    const delayed = this.#delayed[thread] as Delayed | null;
    if (delayed === null || delayed.overtaken) return;
    // Nothing that the thread does before its next atomic operation can be seen before the store.
    const plain = next.operation?.kind === 'read' || next.operation?.kind === 'write';
    if (!plain) this.#arrive(thread);
  }

  #die(thread: number): void {
    const { diesInto } = this.#model.threads[thread] as ModelThread;
    this.#nodes[thread] = this.#programs.begin(thread, null);
    this.sharing.touchAsleep(diesInto as number);
    if (this.#weak) {
      if (this.#delayed[thread] !== null) this.#arrive(thread);
      this.#visibility.writeAtomically(diesInto as number, thread, 1, false);
    }
    this.#state.set(diesInto as number, 1);
    this.log?.push(`${this.#nameOf(thread)}: dies`);
  }

  #arrive(thread: number): void {
    const { index, value } = this.#delayed[thread] as Delayed;
    this.#delayed[thread] = null;
    const before = this.#words[index] as number;
    this.#visibility.arrive(index, thread, value, this.sharing.isPlain(index));
    this.#state.set(index, value);
    this.#observe(thread, 'store', index, before, value);
    this.log?.push(
      `${this.#nameOf(thread)}: delayed store of ${show(value)} to ${this.#model.memory.nameOf(index)}`,
    );
  }

  #effect(thread: number, operation: Operation, outcome: number): number {
    const { kind, index, a, b } = operation;
    this.#remark = '';
    if (kind === 'settle') return 0;
    if (kind === 'sleep' && this.#weak) this.#hearOfDeaths(thread, operation);
    if (kind === 'choose' || kind === 'sleep') return outcome;
    const sight = this.#weak && READS.has(kind) ? this.#look(thread, operation, outcome) : null;
    const before = sight === null ? (this.#words[index] as number) : sight.value;
    const after = afterOf(kind, before, a, b);
    const isWrite = kind === 'compareExchange' ? before === a : kind !== 'read' && kind !== 'load';
    try {
      // A write of what stands there already may be seen after another value.
      this.sharing.touch(index, thread, this.#weak ? isWrite : after !== before);
      this.sharing.checkGuard(index, thread, before, after);
    } catch (error) {
      this.#forbidden(error);
    }
    if (this.#weak) {
      if (kind === 'read' || kind === 'write') this.sharing.touchPlainly(index);
      const shared = this.sharing.isShared(index) && !this.#model.memory.isKernels(index);
      if (shared && this.#publish(thread, operation, after, isWrite, sight?.id)) return 0;
    }
    // What was read may be old.
    if (isWrite) this.#state.set(index, after);
    this.#observe(thread, kind, index, before, after);
    return kind === 'store' || kind === 'write' ? 0 : before;
  }

  /** What a reading operation finds; an owner must not be able to find anything but the last value. */
  #look(thread: number, operation: Operation, outcome: number): Sight {
    const { kind, index } = operation;
    const sights = this.#sights(thread, operation);
    const sight = sights[Math.min(outcome, sights.length - 1)] as Sight;
    const name = this.#model.memory.nameOf(index);
    if (sight.old) this.#remark = ', which is old';
    if (sights.length > 1 && this.sharing.isHeld(index, thread)) {
      this.fault ??= `${this.#nameOf(thread)} may read an old value of ${name}, which it holds`;
    }
    if (kind !== 'read' && sight.atomic && !this.#model.memory.isKernels(index)) {
      this.#visibility.acquire(index, thread);
    }
    return sight;
  }

  /** What the others may see of a write; true: they see it later. */
  #publish(
    thread: number,
    { kind, index }: Operation,
    after: number,
    isWrite: boolean,
    replaced?: number,
  ): boolean {
    if (kind === 'write') {
      const delayed = this.#delayed[thread] as Delayed | null;
      if (delayed !== null) this.#delayed[thread] = { ...delayed, overtaken: true };
      this.#visibility.writePlainly(index, thread, after);
    } else if (kind === 'store') {
      this.#delayed[thread] = { index, value: after, overtaken: false };
      this.#visibility.holdBack(thread);
      return true;
    } else if (isWrite) {
      const tracked = this.sharing.isPlain(index);
      this.#visibility.writeAtomically(index, thread, after, tracked, replaced);
    }
    return false;
  }

  /** Whoever hears that a thread has ended hears what it did. */
  #hearOfDeaths(thread: number, { words }: Operation): void {
    for (const { diesInto } of this.#model.threads) {
      if (diesInto === undefined || this.#words[diesInto] === 0) continue;
      if (words?.includes(diesInto) === true) this.#visibility.acquire(diesInto, thread);
    }
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

  /** Exactly what a state is: where each thread is, what it may see, and the memory. */
  key(): { readonly units: Uint16Array; readonly length: number } {
    const key = this.#key;
    let end = 0;
    for (const { id } of this.#nodes) {
      key[end++] = id & 0xffff;
      key[end++] = id >>> 16;
    }
    if (this.#weak) {
      for (const delayed of this.#delayed) {
        if (delayed !== null) {
          key[end++] = delayed.index;
          key[end++] = this.#state.unit(delayed.index, delayed.value);
          key[end++] = delayed.overtaken ? 1 : 0;
        }
        key[end++] = 0xffff;
      }
      const seen = this.#visibility.describe((index, value) => this.#state.unit(index, value));
      if (end + seen.length + 1 > key.length) return this.#larger();
      key.set(seen, end);
      end += seen.length;
      key[end++] = 0xffff;
    }
    const length = this.#state.writeTo(key, end);
    if (length < 0) return this.#larger();
    return { units: key, length };
  }

  #larger(): { readonly units: Uint16Array; readonly length: number } {
    this.#key = new Uint16Array(2 * this.#key.length);
    return this.key();
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
