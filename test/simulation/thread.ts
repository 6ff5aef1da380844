/**
 * One simulated thread: its libuv loop, turned one callback at a time.
 *
 * Role: as libuv (src/unix/linux.c, uv__io_poll) a round asks once which watched descriptors are ready and
 * then calls back for each of them, whether or not that is still true; a watch that was stopped in
 * between is left out. Immediates follow, then timers. Promise jobs run behind every callback.
 */
import type { File } from './kernel.ts';
import { POLL } from './sockets.ts';
import type { World } from './world.ts';

/** As `WatchAnswer.again`. */
const AGAIN = 1;

interface Watch {
  readonly file: File;
  /** Fills the batch; null: there is none. */
  readonly read: (() => number) | null;
  readonly callback: (count: number) => number;
  active: boolean;
}

export class Timer {
  readonly callback: () => void;
  readonly milliseconds: number;
  readonly #thread: SimulatedThread;
  due: number;
  armed = true;

  constructor(thread: SimulatedThread, callback: () => void, milliseconds: number, now: number) {
    this.#thread = thread;
    this.callback = callback;
    this.milliseconds = Math.max(1, milliseconds);
    this.due = now + this.milliseconds;
  }

  refresh(): this {
    this.#thread.rearm(this);
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

export class Immediate {
  callback: (() => void) | null;

  constructor(callback: () => void) {
    this.callback = callback;
  }
}

const Phase = { poll: 0, check: 1, timers: 2 } as const;

export class SimulatedThread {
  readonly name: string;
  /** Child slot, -1: the listener. */
  readonly child: number;
  readonly #world: World;
  readonly #watches: (Watch | null)[] = [];
  #round: Watch[] = [];
  #again: Watch | null = null;
  #phase: number = Phase.poll;
  #due: Immediate[] = [];
  #immediates: Immediate[] = [];
  readonly timers: Timer[] = [];
  readonly #jobs: (() => void)[] = [];
  /** Files that are closed with it. */
  readonly files = new Set<number>();
  /** A frame of it is on the stack. */
  running = false;
  /** It is to die at its next operation. */
  doomed = false;
  /** It has died; what is left of its frames must not do anything. */
  dead = false;

  constructor(world: World, name: string, child: number) {
    this.#world = world;
    this.name = name;
    this.child = child;
  }

  get isListener(): boolean {
    return this.child < 0;
  }

  // ---- what the native part asks for --------------------------------------------------------------

  watch(file: File, read: (() => number) | null, callback: (count: number) => number): number {
    return this.#watches.push({ file, read, callback, active: true }) - 1;
  }

  pause(number: number): number {
    const watch = this.#watches[number] as Watch;
    watch.active = false;
    this.#round = this.#round.filter((entry) => entry !== watch);
    return 0;
  }

  resume(number: number): number {
    (this.#watches[number] as Watch).active = true;
    return 0;
  }

  unwatch(number: number): number {
    this.pause(number);
    this.#watches[number] = null;
    return 0;
  }

  // ---- what its globals ask for -------------------------------------------------------------------

  setTimer(callback: () => void, milliseconds: number): Timer {
    const timer = new Timer(this, callback, milliseconds, this.#world.now);
    this.timers.push(timer);
    return timer;
  }

  rearm(timer: Timer): void {
    timer.due = this.#world.now + timer.milliseconds;
    if (timer.armed) return;
    timer.armed = true;
    this.timers.push(timer);
  }

  clearTimer(timer: Timer): void {
    timer.armed = false;
    const at = this.timers.indexOf(timer);
    if (at >= 0) this.timers.splice(at, 1);
  }

  setImmediate(callback: () => void): Immediate {
    const immediate = new Immediate(callback);
    this.#immediates.push(immediate);
    return immediate;
  }

  job(callback: () => void): void {
    this.#jobs.push(callback);
  }

  // ---- turning ------------------------------------------------------------------------------------

  /** When its next timer is due; Infinity: it has none. */
  get nextDue(): number {
    let due = Number.POSITIVE_INFINITY;
    for (const timer of this.timers) if (timer.due < due) due = timer.due;
    return due;
  }

  /** It has something to do now. */
  get isReady(): boolean {
    if (this.#again !== null || this.#round.length > 0) return true;
    if (this.#immediates.length > 0 || this.#due.length > 0) return true;
    for (const watch of this.#watches) if (isReady(watch)) return true;
    return this.timers.length > 0 && this.nextDue <= this.#world.now;
  }

  /** One callback. */
  turn(): void {
    const again = this.#again;
    if (again !== null) {
      this.#again = null;
      if (this.#watches.includes(again)) this.#call(again, 0);
      return;
    }
    // Each phase at most once, and the first of them a second time.
    for (let phases = 0; phases < 4; phases++) if (this.#advance()) return;
  }

  /** True: something was called back; false: this phase is over. */
  #advance(): boolean {
    const world = this.#world;
    switch (this.#phase) {
      case Phase.poll: {
        const watch = this.#round.shift();
        if (watch !== undefined) {
          this.#ready(watch);
          return true;
        }
        this.#phase = Phase.check;
        this.#due = this.#immediates;
        this.#immediates = [];
        return false;
      }
      case Phase.check: {
        for (let next = this.#due.shift(); next !== undefined; next = this.#due.shift()) {
          const { callback } = next;
          if (callback === null) continue;
          this.#run(callback);
          return true;
        }
        this.#phase = Phase.timers;
        return false;
      }
      default: {
        const timer = this.timers.find(({ due }) => due <= world.now);
        if (timer !== undefined) {
          this.clearTimer(timer);
          this.#run(timer.callback);
          return true;
        }
        this.#phase = Phase.poll;
        this.#round = this.#watches.filter(isReady) as Watch[];
        if (this.#round.length > 1 && world.random.chance(0.5)) this.#round.reverse();
        return false;
      }
    }
  }

  #ready(watch: Watch): void {
    if (watch.read === null) {
      this.#call(watch, 0);
      return;
    }
    const { read } = watch;
    this.#run(() => {
      const count = read();
      if (count !== 0) this.#answer(watch, count);
    });
  }

  #call(watch: Watch, count: number): void {
    this.#run(() => this.#answer(watch, count));
  }

  #answer(watch: Watch, count: number): void {
    const answer = watch.callback(count);
    if (answer === AGAIN && this.#watches.includes(watch)) this.#again = watch;
  }

  #run(body: () => void): void {
    const { world } = this;
    world.run(this, () => {
      body();
      for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift()) job();
    });
  }

  get world(): World {
    return this.#world;
  }
}

const isReady = (watch: Watch | null): boolean =>
  watch?.active === true && (watch.file.poll() & POLL.in) !== 0;
