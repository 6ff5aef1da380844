/**
 * Runs production code over shared memory in every order its threads can take.
 *
 * Role: a model checker without a model. A thread is a function over production objects; its memory is
 * a view whose every access is one step. The explorer decides whose step is next, goes through all
 * decisions depth-first, and checks each state.
 * Thread: tests only, all "threads" run in this one.
 *
 * A thread is a chain of turns: `turn(local)` returns the next turn's `local`. History begins anew with
 * each turn, so a loop written as turns comes back to a state that was visited, and ends there.
 *
 * With `weak` threads see each other's memory as ECMA-262 says (`explorer/visibility.ts`): atomic operations
 * are in one order; a plain access is ordered by nothing but what synchronizes. A plain read takes any value that
 * no later write hides from its thread, so plain stores come late and in any order, each reader for itself. An
 * atomic store may be overtaken by plain stores behind it, up to the thread's next atomic operation. System calls
 * (words that `Memory.markKernels` names) order nothing. Where a guard says that a thread holds a word and it
 * could read an old value of it, that is a violation. Not tried: a plain read that is answered after an atomic
 * load that follows it, and a store behind a compare-and-swap that becomes visible before it (ARMv8.0 without
 * LSE). Nothing is decided by such a read or store; see docs/memory-model.md.
 *
 * ## What need not be tried, and why nothing is missed
 *
 * A step of thread T is *alone* where it is a choice between numbers, or where its word
 *   (a) is touched by no thread but T, or changed by nobody, in the whole exploration; or
 *   (b) is guarded, and its guard names T. A connection's fields belong to the worker that the owner bits
 *       of its state word name, a ring's cell to the thread that has won its position.
 * A step that is alone is made at once, and the steps of other threads before it are not tried.
 *
 * 1. {T} is a persistent set there (P. Godefroid, Partial-Order Methods, 1996, def. 4.1). No sequence of
 *    steps of the others contains one that depends on T's: in (a) none touches the word so that it
 *    matters; in (b) none touches it as long as the guard names T, and while T makes no step nobody else
 *    can change what the guard says. Nor do others enable, disable or choose the result of T's step. So
 *    every state in which nobody can move, and every error that a thread comes to by itself, is reached
 *    in the reduced exploration exactly if it is in the whole one (ibid., theorem 4.3 and ch. 6).
 * 2. (a) and (b) are assumed for steps that were not tried. That is no circle: S. Stoller and E. Cohen,
 *    Optimistic Synchronization-Based State-Space Reduction (TACAS 2003), show that where some schedule
 *    broke such a discipline, the first break is also met in the space reduced by it. It is watched in
 *    each step: a break of (a) begins the exploration again with that word shared, one of (b) is a
 *    violation (`sharing.ts`).
 * 3. Nobody is put off for ever: where a step that is alone leads back to a state on the present path, all
 *    the others are tried there as well (ibid., the proviso of 6.2). Steps that are alone and follow a step of
 *    the same thread are made together with it, with no state in between, up to a bound.
 * 4. A thread that may die (`diesInto`) leaves guarded words as they are to whoever looks after it, so (b) does
 *    not hold for it. (a) does: nobody else sees these words, before or after.
 * 5. With `weak` a plain store to a word without a guard is alone as well: whoever reads after it may still take
 *    what was there before, and what its thread knows does not depend on when it is made.
 * 6. Checks see what they would see in the whole exploration if they look at words that are shared and not
 *    guarded, in `invariant`; `final` may look at all. `observe` is called in each step that is made; what it
 *    keeps by `poke` must not depend on the order of different threads' steps that are alone.
 *
 * There is no reduction by symmetry of workers or slots: both are taken lowest first, so exchanging two is
 * no symmetry of the code. `explore` with `reduce: false` tries everything; reduction.test.ts compares.
 */
import { withStubs } from './explorer/memory.ts';
import type { Model, Options, Report } from './explorer/model.ts';
import { Search } from './explorer/search.ts';

export { choose, Memory, prepare, settle, sleepUntil, sleepUntilAny } from './explorer/memory.ts';
export {
  Forbidden,
  forbid,
  type Guard,
  type Kind,
  type Model,
  type ModelThread,
  type Options,
  type Report,
  type State,
  type Step,
  type Violation,
} from './explorer/model.ts';

/** Goes through all schedules; the first violation ends it, unless all are asked for. */
export function explore(model: Model, options: Options = {}): Report {
  return withStubs(() => new Search(model, options).run());
}

/** Tries so many schedules at random, for what is too large to go through. @param seed not 0 */
export function sample(model: Model, walks: number, seed: number): Report {
  return withStubs(() => new Search(model, { reduce: false }).sample(walks, seed));
}

/** Prints how large a proof was, where MPM_MODEL_SIZES is set. */
export function tellSize(name: string, { states, steps, schedules }: Report): void {
  if (process.env.MPM_MODEL_SIZES === undefined) return;
  const paths = schedules.toExponential(1);
  console.info(`${name}: ${states} states, ${steps} steps, ${paths} schedules`);
}
