/**
 * What each thread does next, after every history it can have.
 *
 * Role: finds a thread's next step by running its turn from the beginning, answering the steps it has
 * made with the results they had, and stopping it at the first one without an answer. What a thread
 * does depends on nothing but those results, so every history is run once and remembered.
 * Thread: tests only.
 */
import { answering, type Operation } from './memory.ts';
import type { Model, ModelThread } from './model.ts';

const MAX_EMPTY_TURNS = 100;
/** A turn that is longer has a loop that others can keep going for ever. */
const MAX_TURN_STEPS = 400;
const SUSPEND = Symbol('suspend');

/** A thread after some results: what it wants next, and where each further result leads. */
export interface Node {
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

export class Programs {
  readonly #threads: Model['threads'];
  readonly #roots: Map<string, Node>[];
  #nodes = 0;

  constructor(threads: Model['threads']) {
    this.#threads = threads;
    this.#roots = threads.map(() => new Map());
  }

  /** Where `thread` waits with this turn before it; null: where it has ended. */
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
    let position = 0;
    const replay = (wanted: Operation): number => {
      if (position === path.length - 1) {
        node.operation = wanted;
        throw SUSPEND;
      }
      const made = (path[position] as Node).operation as Operation;
      const { kind, index, a, b } = wanted;
      if (made.kind !== kind || made.index !== index || made.a !== a || made.b !== b) {
        throw new Error('a thread took another way with the same results: it is not deterministic');
      }
      position++;
      return (path[position] as Node).result;
    };
    let following: unknown;
    try {
      following = answering(replay, () =>
        (this.#threads[node.thread] as ModelThread).turn(structuredClone(root.local)),
      );
    } catch (error) {
      if (error !== SUSPEND) node.error = error;
      return;
    }
    if (node.operation !== null) node.error = new Error('a turn went on after it was stopped');
    else if (position !== path.length - 1)
      node.error = new Error('a turn forgot some of its steps');
    else node.following = this.begin(node.thread, following);
  }
}
