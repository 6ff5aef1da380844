/**
 * Goes through all states of a model, depth-first.
 *
 * Role: decides whose step is tried next and which need not be; remembers states, and how each was
 * come to.
 * Thread: tests only.
 */
import { Numbers, stateWithoutEnd } from './graph.ts';
import type { Model, Options, Report, Violation } from './model.ts';
import { SharedAfterAll } from './sharing.ts';
import { ExactStates, HashedStates, type Visited } from './visited.ts';
import { type Choice, type Mark, World } from './world.ts';

interface Frame {
  readonly state: number;
  readonly mark: Mark;
  readonly choices: readonly Choice[];
  next: number;
  /** How many of the choices suffice unless one of them leads to a state already seen. */
  sufficient: number;
  schedules: number;
}

/** Random walks before the search, to learn which words are shared. */
const WALKS = 300;
const WALK_STEPS = 600;
const MAX_STATES = 3_000_000;
/** A schedule at random that is longer is left. */
const MAX_SAMPLE_STEPS = 3_000;

/** Xorshift; `seed` is not 0. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

export class Search {
  readonly #model: Model;
  readonly #options: Options;
  readonly #world: World;
  #visited: Visited = new ExactStates();
  #steps = 0;
  /** Of each state: the one before it, and the step between. */
  #parents = new Numbers();
  #made = new Numbers();
  /** The graph's edges. */
  #from = new Numbers();
  #to = new Numbers();
  #finals = new Numbers();
  #schedules: number[] = [];
  #onStack: boolean[] = [];
  #violations = new Set<string>();
  #ends = new Set<string>();

  constructor(model: Model, options: Options) {
    this.#model = model;
    this.#options = options;
    this.#world = new World(model, options.reduce ?? true);
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
      this.#world.leave();
    }
  }

  /** So many schedules at random; the first violation ends it. */
  sample(walks: number, seed: number): Report {
    const world = this.#world;
    const random = randomOf(seed);
    this.#begin();
    world.sharing.learning = true;
    try {
      for (let walk = 0; walk < walks; walk++) {
        const path: Choice[] = [];
        world.reset();
        for (let step = 0; step < MAX_SAMPLE_STEPS; step++) {
          const choices = world.choices();
          const end = choices.length === 0;
          const message = world.fault ?? world.broken() ?? (end ? world.finalFault() : undefined);
          if (message !== undefined) return this.#failed(message, path);
          if (end) break;
          const choice = choices[random(choices.length)] as Choice;
          path.push(choice);
          world.perform(choice);
          this.#steps++;
        }
      }
      return this.#report(null);
    } finally {
      world.leave();
    }
  }

  #walk(): void {
    const world = this.#world;
    world.sharing.learning = true;
    const random = randomOf(0x2545f491);
    for (let walk = 0; walk < WALKS; walk++) {
      world.reset();
      for (let step = 0; step < WALK_STEPS; step++) {
        const choices = world.choices();
        if (choices.length === 0) break;
        world.perform(choices[random(choices.length)] as Choice);
        if (world.fault !== undefined || world.broken() !== undefined) break;
      }
    }
    world.sharing.learning = false;
  }

  #begin(): void {
    this.#visited = this.#options.compact === true ? new HashedStates() : new ExactStates();
    this.#steps = 0;
    this.#parents = new Numbers();
    this.#made = new Numbers();
    this.#from = new Numbers();
    this.#to = new Numbers();
    this.#finals = new Numbers();
    this.#schedules = [];
    this.#onStack = [];
    this.#violations = new Set();
    this.#ends = new Set();
    this.#world.reset();
  }

  #search(): Report {
    const world = this.#world;
    this.#begin();
    const start = this.#enter(-1, 0);
    const first = this.#judge(world.fault ?? world.broken());
    if (first !== undefined) return this.#failed(first, []);
    world.fault = undefined;
    const stack: Frame[] = [this.#frame(start)];
    while (stack.length > 0) {
      const frame = stack[stack.length - 1] as Frame;
      if (frame.choices.length === 0 && frame.next === 0) {
        frame.next = 1;
        frame.schedules = 1;
        world.restore(frame.mark);
        const message = this.#end(frame.state);
        if (message !== undefined) return this.#failed(message, this.#pathTo(frame.state));
      }
      if (frame.next >= frame.sufficient) {
        stack.pop();
        this.#onStack[frame.state] = false;
        this.#schedules[frame.state] = frame.schedules;
        const above = stack[stack.length - 1];
        if (above !== undefined) above.schedules += frame.schedules;
        continue;
      }
      world.restore(frame.mark);
      const choice = frame.choices[frame.next++] as Choice;
      world.perform(choice);
      this.#steps++;
      const fault = this.#judge(world.fault);
      if (fault !== undefined) return this.#failed(fault, [...this.#pathTo(frame.state), choice]);
      world.fault = undefined;
      const size = this.#visited.size;
      const state = this.#enter(frame.state, choice);
      this.#from.push(frame.state);
      this.#to.push(state);
      if (state < size) {
        frame.schedules += this.#schedules[state] as number;
        // The others must not be put off for ever by a thread that goes round in a circle.
        if (this.#onStack[state] === true) frame.sufficient = frame.choices.length;
        continue;
      }
      const message = this.#judge(world.broken());
      if (message !== undefined) return this.#failed(message, this.#pathTo(state));
      stack.push(this.#frame(state));
    }
    const { size } = this.#visited;
    const lost = stateWithoutEnd(size, this.#from, this.#to, this.#finals);
    const circles = lost < 0 ? undefined : this.#judge('goes on for ever: no end can be reached');
    if (circles !== undefined) return this.#failed(circles, this.#pathTo(lost));
    return this.#report(null);
  }

  /** Number of the present state, the next one where it is new. */
  #enter(parent: number, choice: Choice): number {
    const { units, length } = this.#world.key();
    const number = this.#visited.enter(units, length);
    if (number >= 0) return number;
    const state = -1 - number;
    if (state >= (this.#model.maxStates ?? MAX_STATES))
      throw new Error(`more than ${state} states`);
    this.#parents.push(parent);
    this.#made.push(choice);
    this.#onStack.push(true);
    this.#schedules.push(0);
    return state;
  }

  #frame(state: number): Frame {
    const world = this.#world;
    const choices = world.choices();
    // One thread whose next step concerns nobody else goes first, alone.
    const alone = choices.find((choice) => world.concernsNobody(choice));
    let ordered = choices;
    let sufficient = choices.length;
    if (alone !== undefined) {
      const own = world.sameStep(choices, alone);
      ordered = [...own, ...choices.filter((choice) => !own.includes(choice))];
      sufficient = own.length;
    }
    return { state, mark: world.mark(), choices: ordered, next: 0, sufficient, schedules: 0 };
  }

  /** Nobody can move. */
  #end(state: number): string | undefined {
    this.#finals.push(state);
    if (this.#options.all === true) this.#ends.add(this.#world.describe());
    return this.#judge(this.#world.finalFault());
  }

  /** The text, where it ends the search. */
  #judge(message: string | undefined): string | undefined {
    if (message === undefined) return undefined;
    this.#violations.add(message);
    return this.#options.all === true ? undefined : message;
  }

  #pathTo(state: number): Choice[] {
    const path: Choice[] = [];
    for (let at = state; at > 0; at = this.#parents.at(at)) path.push(this.#made.at(at));
    return path.reverse();
  }

  #failed(message: string, path: readonly Choice[]): Report {
    const world = this.#world;
    const lines: string[] = [];
    world.log = lines;
    world.reset();
    for (const choice of path) world.perform(choice);
    world.log = null;
    const schedule = lines
      .map((line, number) => `${String(number + 1).padStart(4)}  ${line}`)
      .join('\n');
    return this.#report({ message, schedule });
  }

  #report(violation: Violation | null): Report {
    return {
      states: this.#visited.size,
      steps: this.#steps,
      schedules: this.#schedules[0] ?? 0,
      finals: this.#finals.length,
      violation,
      violations: this.#violations,
      ends: this.#ends,
    };
  }
}
