/**
 * Runs production code over shared memory in every order its threads can take.
 *
 * Role: a model checker without a model. A thread is a function over production objects; its memory is
 * a view whose every access is one step. The explorer decides whose step is next, goes through all
 * decisions depth-first, and checks each state.
 * Thread: tests only, all "threads" run in this one.
 *
 * How: a thread's next step is found by running its turn from the beginning, answering the steps it has
 * made with the results they had, and stopping it at the first one without an answer. What a thread does
 * depends on nothing but those results, so every history is run once and remembered; after that a step
 * costs no more than its effect on the memory.
 *
 * A thread is a chain of turns: `turn(local)` returns the next turn's `local`. History begins anew with
 * each turn, so a loop written as turns comes back to a state that was visited, and ends there.
 *
 * Steps on words that only one thread touches, or that nobody writes, commute with everything; they are
 * taken at once, without trying the others first. Which words these are is assumed and watched: when a
 * second thread touches one, exploration starts again without the assumption.
 *
 * With `weak` plain stores wait in a buffer of their thread and reach memory in any order (the same word
 * in its own order), at the latest before the thread's next atomic operation. Loads are not delayed.
 */

export type Kind =
  | 'load'
  | 'store'
  | 'add'
  | 'sub'
  | 'and'
  | 'or'
  | 'xor'
  | 'exchange'
  | 'compareExchange'
  | 'read'
  | 'write'
  | 'sleep'
  | 'settle'
  | 'choose';

interface Operation {
  readonly kind: Kind;
  readonly index: number;
  readonly a: number;
  readonly b: number;
  /** `sleep`: the words one of which must not be 0. */
  readonly words?: readonly number[];
}

export interface ModelThread<Local = unknown> {
  readonly name: string;
  /** The first turn's argument; a JSON value. */
  readonly start: Local;
  /** The next turn's argument, or null at the end. May use nothing but `local` and the memory. */
  turn(local: Local): Local | null;
}

/** What the checks see. */
export interface State {
  readonly memory: Int32Array;
  /** `local` of each thread's present turn, null once it has ended. */
  readonly locals: readonly unknown[];
  /** Names of the threads that sleep or wait; in a final state nobody else is left. */
  readonly blocked: readonly string[];
}

export interface Step {
  readonly thread: string;
  readonly kind: Kind;
  readonly index: number;
  /** The word before and after. */
  readonly before: number;
  readonly after: number;
}

export interface Model {
  readonly memory: Memory;
  // biome-ignore lint/suspicious/noExplicitAny: each thread has its own type of local
  readonly threads: readonly ModelThread<any>[];
  /** Sees every step and may forbid it; may keep its own counts by `poke`. */
  observe?(step: Step, poke: (index: number, value: number) => void): void;
  /** In every state. A text is a violation. */
  invariant?(state: State): string | undefined;
  /** Where nobody can move any more. Without it every thread must have ended. */
  final?(state: State): string | undefined;
  readonly weak?: boolean;
  readonly maxStates?: number;
}

export interface Report {
  readonly states: number;
  readonly steps: number;
  /** Different complete schedules these states stand for; less than all where threads go in circles. */
  readonly schedules: number;
  readonly finals: number;
  readonly violation: Violation | null;
}

export interface Violation {
  readonly message: string;
  /** One line a step: thread, operation, values. */
  readonly schedule: string;
}

/** Thrown by drivers: an outcome that must not be. */
export class Forbidden extends Error {}
export function forbid(message: string): never {
  throw new Forbidden(message);
}

/** int32 words that production code sees through `view`. */
export class Memory {
  readonly words: Int32Array;
  readonly #names = new Map<number, string>();

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
        return running === null ? words[index] : operate('read', index);
      },
      set(_, key, value) {
        const index = at(key as string);
        if (running === null) words[index] = value;
        else operate('write', index, value);
        return true;
      },
    });
    views.set(proxy, { memory: this, start, length });
    return proxy;
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

// ---- running a thread up to its next step ---------------------------------------------------------

/** A thread after some results: what it wants next, and where each further result leads. */
interface Node {
  readonly id: number;
  readonly thread: number;
  readonly root: Node | null;
  readonly parent: Node | null;
  /** What the parent's operation gave. */
  readonly result: number;
  readonly depth: number;
  /** Of a root: the turn's argument; null: the thread has ended. */
  readonly local: unknown;
  operation: Operation | null;
  /** The turn is over: this is the next. */
  following: Node | null;
  error: unknown;
  readonly next: Map<number, Node>;
}

interface Running {
  /** Operations and results so far. */
  readonly path: readonly Node[];
  position: number;
  /** The first operation without an answer. */
  found: Operation | null;
}

let running: Running | null = null;
const SUSPEND = Symbol('suspend');

function operate(kind: Kind, index: number, a = 0, b = 0, words?: readonly number[]): number {
  if (running === null) throw new Error(`${kind} outside of an exploration`);
  const operation: Operation =
    words === undefined ? { kind, index, a, b } : { kind, index, a, b, words };
  const { path, position } = running;
  if (position === path.length - 1) {
    running.found = operation;
    throw SUSPEND;
  }
  const made = (path[position] as Node).operation as Operation;
  if (made.kind !== kind || made.index !== index || made.a !== a || made.b !== b) {
    throw new Error('a thread took another way with the same results: it is not deterministic');
  }
  running.position++;
  return (path[position + 1] as Node).result;
}

type AtomicName = 'load' | 'store' | 'add' | 'sub' | 'and' | 'or' | 'xor' | 'exchange';
const realAtomics = globalThis.Atomics;

function stubAtomics(): typeof Atomics {
  const stub: Record<string, unknown> = {};
  for (const kind of ['load', 'store', 'add', 'sub', 'and', 'or', 'xor', 'exchange'] as const) {
    const real = realAtomics[kind] as (array: Int32Array, index: number, value: number) => number;
    stub[kind as AtomicName] = (array: Int32Array, index: number, value = 0): number => {
      if (!views.has(array)) return real.call(realAtomics, array, index, value);
      const at = locate(array, index);
      if (running !== null) {
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
    if (running !== null) return operate('compareExchange', at, expected | 0, value | 0);
    const { memory } = views.get(array) as { memory: Memory };
    return realAtomics.compareExchange(memory.words, at, expected, value);
  };
  return stub as unknown as typeof Atomics;
}

/** With stubs in place of `Atomics` and a clock that stands still. */
function withStubs<T>(body: () => T): T {
  const now = performance.now;
  const noon = now.call(performance);
  globalThis.Atomics = stubAtomics();
  performance.now = () => noon;
  try {
    return body();
  } finally {
    globalThis.Atomics = realAtomics;
    performance.now = now;
  }
}

/** Set-up of a model's memory by production code. */
export const prepare = <T>(body: () => T): T => withStubs(body);

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
const MAX_EMPTY_TURNS = 100;
/** A turn that is longer has a loop that others can keep going for ever. */
const MAX_TURN_STEPS = 200;

class Programs {
  readonly #threads: Model['threads'];
  readonly #roots: Map<string, Node>[];
  #nodes = 0;

  constructor(threads: Model['threads']) {
    this.#threads = threads;
    this.#roots = threads.map(() => new Map());
  }

  /** Where `thread` waits with this turn before it. */
  begin(thread: number, local: unknown): Node {
    let from = local;
    for (let empty = 0; empty < MAX_EMPTY_TURNS; empty++) {
      const node = this.#root(thread, from);
      if (node.following === null) return node;
      if (node.following.local === null) return node.following;
      from = node.following.local;
    }
    throw new Error(`${this.#threads[thread]?.name}: turns without a step`);
  }

  #root(thread: number, local: unknown): Node {
    const roots = this.#roots[thread] as Map<string, Node>;
    const key = JSON.stringify(local);
    const known = roots.get(key);
    if (known !== undefined) return known;
    const node = this.#node(thread, null, 0, local);
    roots.set(key, node);
    if (local !== null) this.#discover(node);
    return node;
  }

  /** Where `node` goes with this result. */
  step(node: Node, result: number): Node {
    let next = node.next.get(result);
    if (next === undefined) {
      next = this.#node(node.thread, node, result, null);
      node.next.set(result, next);
      this.#discover(next);
    }
    return next.following ?? next;
  }

  #node(thread: number, parent: Node | null, result: number, local: unknown): Node {
    return {
      id: this.#nodes++,
      thread,
      root: parent === null ? null : (parent.root ?? parent),
      parent,
      result,
      depth: parent === null ? 0 : parent.depth + 1,
      local,
      operation: null,
      following: null,
      error: null,
      next: new Map(),
    };
  }

  #discover(node: Node): void {
    if (node.depth > MAX_TURN_STEPS) {
      const { name } = this.#threads[node.thread] as ModelThread;
      throw new Error(`${name}: ${MAX_TURN_STEPS} steps in one turn; write its loop as turns`);
    }
    const path: Node[] = [];
    for (let at: Node | null = node; at !== null; at = at.parent) path[at.depth] = at;
    const root = path[0] as Node;
    const run: Running = { path, position: 0, found: null };
    running = run;
    let following: unknown;
    try {
      following = (this.#threads[node.thread] as ModelThread).turn(structuredClone(root.local));
    } catch (error) {
      if (error !== SUSPEND) node.error = error;
      else node.operation = run.found;
      return;
    } finally {
      running = null;
    }
    if (run.position !== path.length - 1) node.error = new Error('a turn forgot some of its steps');
    else node.following = this.begin(node.thread, following);
  }
}

// ---- exploring --------------------------------------------------------------------------------------

/** A plain store that has not reached the memory. */
interface Delayed {
  readonly index: number;
  readonly value: number;
}

/** Thread, and which of its possibilities: -1 its step, or the delayed store that is due. */
interface Choice {
  readonly thread: number;
  readonly store: number;
  readonly outcome: number;
}

interface Frame {
  readonly state: number;
  readonly nodes: readonly Node[];
  readonly buffers: readonly (readonly Delayed[])[];
  readonly choices: readonly Choice[];
  next: number;
  /** How many of the choices suffice unless one of them leads to a state already seen. */
  sufficient: number;
  readonly undo: number;
  schedules: number;
}

class SharedAfterAll extends Error {}

/** Random walks before the search, to learn which words are shared. */
const WALKS = 300;
const WALK_STEPS = 600;

class Exploration {
  readonly #model: Model;
  readonly #words: Int32Array;
  readonly #initial: Int32Array;
  readonly #programs: Programs;
  /** Words that threads share, one of them writing. */
  readonly #shared = new Set<number>();
  readonly #touched: Int32Array;
  readonly #written: Int32Array;
  /** Words that a step or `observe` has written: what states differ in. */
  #tracked: number[] = [];
  readonly #isTracked: Uint8Array;
  #undoIndex: number[] = [];
  #undoValue: number[] = [];
  readonly #values = new Map<number, number>();
  /** Each word's value as a small number, 0 for its first. */
  readonly #units: Uint16Array;
  #scratch = new Uint16Array(256);
  #nodes: Node[] = [];
  #buffers: (readonly Delayed[])[] = [];
  #walking = false;
  #steps = 0;
  /** What `observe` has forbidden. */
  #seen: string | undefined;

  constructor(model: Model) {
    this.#model = model;
    this.#words = model.memory.words;
    this.#initial = this.#words.slice();
    this.#programs = new Programs(model.threads);
    this.#touched = new Int32Array(this.#words.length);
    this.#written = new Int32Array(this.#words.length);
    this.#isTracked = new Uint8Array(this.#words.length);
    this.#units = new Uint16Array(this.#words.length);
  }

  run(): Report {
    try {
      this.#walk();
      for (;;) {
        try {
          return this.#search();
        } catch (error) {
          if (!(error instanceof SharedAfterAll)) throw error;
        }
      }
    } finally {
      this.#words.set(this.#initial);
    }
  }

  #reset(): void {
    this.#words.set(this.#initial);
    this.#units.fill(0);
    this.#undoIndex = [];
    this.#undoValue = [];
    this.#seen = undefined;
    this.#nodes = this.#model.threads.map((thread, number) =>
      this.#programs.begin(number, thread.start),
    );
    this.#buffers = this.#model.threads.map(() => []);
  }

  #walk(): void {
    this.#walking = true;
    let seed = 0x2545f491;
    const random = (below: number): number => {
      seed ^= seed << 13;
      seed ^= seed >>> 17;
      seed ^= seed << 5;
      return (seed >>> 0) % below;
    };
    for (let walk = 0; walk < WALKS; walk++) {
      this.#reset();
      for (let step = 0; step < WALK_STEPS; step++) {
        const choices = this.#choices();
        if (choices.length === 0) break;
        this.#perform(choices[random(choices.length)] as Choice);
        if (this.#seen !== undefined || this.#nodes.some((node) => node.error !== null)) break;
      }
    }
    this.#walking = false;
  }

  #search(): Report {
    const { maxStates = 3_000_000 } = this.#model;
    this.#reset();
    this.#steps = 0;
    const visited = new Map<string, number>();
    const parents: number[] = [-1];
    const made: (Choice | null)[] = [null];
    const from = new Numbers();
    const to = new Numbers();
    const finals: number[] = [];
    const schedules: number[] = [];
    const onStack: number[] = [1];
    const report = (violation: Violation | null): Report => ({
      states: visited.size,
      steps: this.#steps,
      schedules: schedules[0] ?? 0,
      finals: finals.length,
      violation,
    });
    const pathTo = (state: number): Choice[] => {
      const path: Choice[] = [];
      for (let at = state; at > 0; at = parents[at] as number) path.push(made[at] as Choice);
      return path.reverse();
    };
    const failed = (message: string, path: Choice[]): Report =>
      report({ message, schedule: this.#schedule(path) });

    visited.set(this.#key(), 0);
    const first = this.#broken();
    if (first !== undefined) return failed(first, []);
    const stack: Frame[] = [this.#frame(0)];
    while (stack.length > 0) {
      const frame = stack[stack.length - 1] as Frame;
      if (frame.choices.length === 0 && frame.next === 0) {
        frame.next = 1;
        finals.push(frame.state);
        frame.schedules = 1;
        const message = this.#finalFault();
        if (message !== undefined) return failed(message, pathTo(frame.state));
      }
      if (frame.next >= frame.sufficient) {
        stack.pop();
        onStack[frame.state] = 0;
        schedules[frame.state] = frame.schedules;
        const above = stack[stack.length - 1];
        if (above !== undefined) above.schedules += frame.schedules;
        continue;
      }
      this.#restore(frame);
      const choice = frame.choices[frame.next++] as Choice;
      this.#perform(choice);
      this.#steps++;
      if (this.#seen !== undefined) {
        return failed(this.#seen, [...pathTo(frame.state), choice]);
      }
      const key = this.#key();
      const known = visited.get(key);
      if (known !== undefined) {
        from.push(frame.state);
        to.push(known);
        frame.schedules += schedules[known] ?? 0;
        // The others must not be put off for ever by a thread that goes round in a circle.
        if (onStack[known] === 1) frame.sufficient = frame.choices.length;
        continue;
      }
      const state = visited.size;
      if (state >= maxStates) throw new Error(`more than ${maxStates} states`);
      visited.set(key, state);
      parents[state] = frame.state;
      onStack[state] = 1;
      made[state] = choice;
      from.push(frame.state);
      to.push(state);
      const message = this.#broken();
      if (message !== undefined) return failed(message, pathTo(state));
      stack.push(this.#frame(state));
    }
    const lost = stateWithoutEnd(visited.size, from, to, finals);
    if (lost >= 0) return failed('goes on for ever: no end can be reached', pathTo(lost));
    return report(null);
  }

  #frame(state: number): Frame {
    const choices = this.#choices();
    // One thread whose next step concerns nobody else goes first, alone.
    const alone = choices.findIndex((choice) => this.#concernsNobody(choice));
    let ordered = choices;
    let sufficient = choices.length;
    if (alone >= 0) {
      const { thread } = choices[alone] as Choice;
      const own = choices.filter((choice) => choice.thread === thread && choice.store < 0);
      ordered = [...own, ...choices.filter((choice) => !own.includes(choice))];
      sufficient = own.length;
    }
    return {
      state,
      nodes: this.#nodes.slice(),
      buffers: this.#buffers.slice(),
      choices: ordered,
      next: 0,
      sufficient,
      undo: this.#undoIndex.length,
      schedules: 0,
    };
  }

  #concernsNobody({ thread, store }: Choice): boolean {
    if (store >= 0) return false;
    const { kind, index } = (this.#nodes[thread] as Node).operation as Operation;
    if (kind === 'choose') return true;
    return kind !== 'sleep' && kind !== 'settle' && !this.#shared.has(index);
  }

  #choices(): Choice[] {
    const choices: Choice[] = [];
    let settling = -1;
    for (let thread = 0; thread < this.#nodes.length; thread++) {
      const buffer = this.#buffers[thread] as readonly Delayed[];
      for (let store = 0; store < buffer.length; store++) {
        const { index } = buffer[store] as Delayed;
        if (buffer.findIndex((entry) => entry.index === index) < store) continue;
        choices.push({ thread, store, outcome: 0 });
      }
      const { operation } = this.#nodes[thread] as Node;
      if (operation === null) continue;
      const { kind } = operation;
      if (buffer.length > 0 && ATOMIC.has(kind)) continue;
      if (kind === 'sleep' && !this.#awake(operation)) continue;
      if (kind === 'settle') settling = thread;
      else if (kind === 'choose') {
        for (let outcome = 0; outcome < operation.a; outcome++) {
          choices.push({ thread, store: -1, outcome });
        }
      } else choices.push({ thread, store: -1, outcome: 0 });
    }
    if (choices.length === 0 && settling >= 0) {
      choices.push({ thread: settling, store: -1, outcome: 0 });
    }
    return choices;
  }

  #awake(operation: Operation): boolean {
    for (const word of operation.words as readonly number[]) {
      this.#touch(word, -1, false);
      if (this.#words[word] !== 0) return true;
    }
    return false;
  }

  #touch(index: number, thread: number, writes: boolean): void {
    // A sleeper's word is always shared: others wake it.
    if (thread < 0) {
      if (this.#shared.has(index)) return;
      this.#shared.add(index);
      if (!this.#walking) throw new SharedAfterAll();
      return;
    }
    const touched = (this.#touched[index] as number) | (1 << thread);
    const written = (this.#written[index] as number) | (writes ? 1 : 0);
    this.#touched[index] = touched;
    this.#written[index] = written;
    if (written === 0 || (touched & (touched - 1)) === 0 || this.#shared.has(index)) return;
    this.#shared.add(index);
    if (!this.#walking) throw new SharedAfterAll();
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

  #restore(frame: Frame): void {
    while (this.#undoIndex.length > frame.undo) {
      const index = this.#undoIndex.pop() as number;
      const value = this.#undoValue.pop() as number;
      this.#words[index] = value;
      this.#units[index] = this.#unit(index, value);
    }
    for (let thread = 0; thread < frame.nodes.length; thread++) {
      this.#nodes[thread] = frame.nodes[thread] as Node;
      this.#buffers[thread] = frame.buffers[thread] as readonly Delayed[];
    }
  }

  /** Makes the step; returns a line for the schedule where one is wanted. */
  #perform(choice: Choice, describe = false): string {
    const { thread, store } = choice;
    const { name } = this.#model.threads[thread] as ModelThread;
    const buffer = this.#buffers[thread] as readonly Delayed[];
    if (store >= 0) {
      const { index, value } = buffer[store] as Delayed;
      const before = this.#words[index] as number;
      this.#set(index, value);
      this.#buffers[thread] = buffer.filter((_, position) => position !== store);
      this.#observe(name, 'write', index, before, value);
      return describe
        ? `${name}: delayed store of ${show(value)} to ${this.#model.memory.nameOf(index)}`
        : '';
    }
    const node = this.#nodes[thread] as Node;
    const operation = node.operation as Operation;
    const result = this.#effect(thread, name, operation, choice.outcome);
    this.#nodes[thread] = this.#programs.step(node, result);
    return describe ? `${name}: ${this.#line(operation, result)}` : '';
  }

  #effect(thread: number, name: string, operation: Operation, outcome: number): number {
    const { kind, index, a, b } = operation;
    if (kind === 'choose') return outcome;
    if (kind === 'settle' || kind === 'sleep') return 0;
    const words = this.#words;
    this.#touch(index, thread, kind !== 'load' && kind !== 'read');
    if (kind === 'read') {
      const buffer = this.#buffers[thread] as readonly Delayed[];
      for (let entry = buffer.length - 1; entry >= 0; entry--) {
        const delayed = buffer[entry] as Delayed;
        if (delayed.index === index) return delayed.value;
      }
    }
    const before = words[index] as number;
    let after = before;
    let result = before;
    switch (kind) {
      case 'load':
      case 'read':
        break;
      case 'write':
        if (this.#model.weak === true && this.#shared.has(index)) {
          this.#buffers[thread] = [
            ...(this.#buffers[thread] as readonly Delayed[]),
            { index, value: a },
          ];
          return 0;
        }
        after = a;
        result = 0;
        break;
      case 'store':
        after = a;
        result = 0;
        break;
      case 'add':
        after = before + a;
        break;
      case 'sub':
        after = before - a;
        break;
      case 'and':
        after = before & a;
        break;
      case 'or':
        after = before | a;
        break;
      case 'xor':
        after = before ^ a;
        break;
      case 'exchange':
        after = a;
        break;
      case 'compareExchange':
        if (before === a) after = b;
        break;
    }
    after |= 0;
    this.#set(index, after);
    this.#observe(name, kind, index, before, after);
    return result;
  }

  #observe(thread: string, kind: Kind, index: number, before: number, after: number): void {
    if (this.#model.observe === undefined) return;
    try {
      const step = { thread, kind, index, before, after };
      this.#model.observe(step, (at, value) => this.#set(at, value));
    } catch (error) {
      if (!(error instanceof Forbidden)) throw error;
      this.#seen ??= error.message;
    }
  }

  /** Exactly what a state is: where each thread is, its delayed stores, and the memory. */
  #key(): string {
    let key = this.#scratch;
    let end = 0;
    for (const { id } of this.#nodes) {
      key[end++] = id & 0xffff;
      key[end++] = id >>> 16;
    }
    if (this.#model.weak === true) {
      for (const buffer of this.#buffers) {
        for (const { index, value } of buffer) {
          key[end++] = index;
          key[end++] = this.#unit(index, value);
        }
        key[end++] = 0xffff;
      }
    }
    if (end + this.#tracked.length > key.length) {
      this.#scratch = new Uint16Array(2 * (end + this.#tracked.length));
      this.#scratch.set(key.subarray(0, end));
      key = this.#scratch;
    }
    for (const index of this.#tracked) key[end++] = this.#units[index] as number;
    // A word that nobody had written when an earlier key was made is not in that one: leave it out here
    // too where it has its first value.
    while (end > 0 && key[end - 1] === 0) end--;
    return String.fromCharCode.apply(null, key.subarray(0, end) as unknown as number[]);
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

  #broken(): string | undefined {
    for (const node of this.#nodes) {
      if (node.error === null) continue;
      const { error } = node;
      // A driver that is wrong proves nothing.
      if (MISTAKES.some((mistake) => error instanceof mistake)) throw error;
      const name = (this.#model.threads[node.thread] as ModelThread).name;
      return `${name}: ${error instanceof Error ? error.message : String(error)}`;
    }
    return this.#model.invariant?.(this.#state());
  }

  #finalFault(): string | undefined {
    const state = this.#state();
    if (this.#model.final !== undefined) return this.#model.final(state);
    return state.blocked.length > 0 ? `sleeps for ever: ${state.blocked.join(', ')}` : undefined;
  }

  #state(): State {
    const { threads } = this.#model;
    return {
      memory: this.#words,
      locals: this.#nodes.map((node) => (node.root ?? node).local),
      blocked: this.#nodes.flatMap((node, thread) => {
        const kind = node.operation?.kind;
        if (kind !== 'sleep' && kind !== 'settle') return [];
        if (kind === 'sleep' && this.#awake(node.operation as Operation)) return [];
        return [(threads[thread] as ModelThread).name];
      }),
    };
  }

  #schedule(path: readonly Choice[]): string {
    this.#reset();
    return path
      .map((choice, number) => `${String(number + 1).padStart(4)}  ${this.#perform(choice, true)}`)
      .join('\n');
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

const show = (value: number): string =>
  value > -4096 && value < 4096 ? String(value) : `0x${(value >>> 0).toString(16)}`;

/** A list of int32 that grows. */
class Numbers {
  values = new Int32Array(1024);
  length = 0;

  push(value: number): void {
    if (this.length === this.values.length) {
      const larger = new Int32Array(this.length * 2);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[this.length++] = value;
  }
}

/** A state from which no final state can be reached, -1 where there is none. */
function stateWithoutEnd(
  states: number,
  { values: from, length: edges }: Numbers,
  { values: to }: Numbers,
  finals: readonly number[],
): number {
  // Edges by their end: first[to] and then next[edge].
  const first = new Int32Array(states).fill(-1);
  const next = new Int32Array(edges);
  for (let edge = 0; edge < edges; edge++) {
    next[edge] = first[to[edge] as number] as number;
    first[to[edge] as number] = edge;
  }
  const reaches = new Uint8Array(states);
  const open = [...finals];
  for (const state of finals) reaches[state] = 1;
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    for (let edge = first[state] as number; edge >= 0; edge = next[edge] as number) {
      const source = from[edge] as number;
      if (reaches[source] === 1) continue;
      reaches[source] = 1;
      open.push(source);
    }
  }
  return reaches.indexOf(0);
}

/** Prints how large a proof was, where MPM_MODEL_SIZES is set. */
export function tellSize(name: string, { states, steps, schedules }: Report): void {
  if (process.env.MPM_MODEL_SIZES === undefined) return;
  const paths = schedules.toExponential(1);
  console.info(`${name}: ${states} states, ${steps} steps, ${paths} schedules`);
}

/** Goes through all schedules; the first violation ends it. */
export function explore(model: Model): Report {
  return withStubs(() => new Exploration(model).run());
}
