/**
 * What a model is made of, and what is reported of it.
 *
 * Role: types only, and the outcome that must not be.
 * Thread: tests only.
 */
import type { Memory } from './memory.ts';

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

export interface ModelThread<Local = unknown> {
  readonly name: string;
  /** The first turn's argument; a JSON value. */
  readonly start: Local;
  /** It may die before any of its steps; this word becomes 1 then. */
  readonly diesInto?: number;
  /** The next turn's argument, or null at the end. May use nothing but `local` and the memory. */
  turn(local: Local): Local | null;
}

/** Words that only the thread named by another word touches; the exploration watches that it is so. */
export interface Guard {
  /** This word says who holds them. */
  readonly by: number;
  /** Number of the thread that a value of that word names, -1: nobody. */
  holder(value: number): number;
  readonly words: readonly number[];
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
  /** The thread's number in the model. */
  readonly by: number;
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
  readonly guards?: readonly Guard[];
  /** Sees every step and may forbid it; may keep its own counts by `poke`, in any order of the threads. */
  observe?(step: Step, poke: (index: number, value: number) => void): void;
  /** In every state, of words that threads share. A text is a violation. */
  invariant?(state: State): string | undefined;
  /** Where nobody can move any more. Without it every thread must have ended. */
  final?(state: State): string | undefined;
  readonly weak?: boolean;
  readonly maxStates?: number;
}

export interface Options {
  /** False: every step of every thread is tried against every other. For proofs of the reduction. */
  readonly reduce?: boolean;
  /** States are remembered by 64 bits of hash instead of exactly. */
  readonly compact?: boolean;
  /** Goes on after a violation and collects `violations` and `ends`. */
  readonly all?: boolean;
}

export interface Report {
  readonly states: number;
  readonly steps: number;
  /** Different complete schedules these states stand for; less than all where threads go in circles. */
  readonly schedules: number;
  readonly finals: number;
  readonly violation: Violation | null;
  /** With `all`: the text of every violation there is. */
  readonly violations: ReadonlySet<string>;
  /** With `all`: every state in which nobody can move, by its memory and its sleepers. */
  readonly ends: ReadonlySet<string>;
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
