/**
 * The children: started, replaced, retired, buried.
 *
 * Role: keeps as many children as are wanted and sees to it that a successor serves before its
 * predecessor retires. What is wanted, and who is next, is decided in the parts beside it.
 * Thread: main. May not: be on the way of a request.
 */
import type { Listener } from '../../listener/listener.ts';
import type { Native } from '../../listener/native.ts';
import { elapsedTicks, nowTicks, ticksOf } from '../../scoreboard/clock.ts';
import { ChildCommand, ChildStatus, ExitReason, SpawnReason } from '../../scoreboard/codes.ts';
import { CHILD, HEADER } from '../../scoreboard/layout.ts';
import type { Pool } from '../../scoreboard/pool.ts';
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';
import type { ChildMessage, ChildTask, LoadFailure } from '../../workers/child.ts';
import type { WorkerOptions } from '../../workers/context.ts';
import type { AdoptedListens } from '../adopted-listens.ts';
import type { SharedBuffers } from '../shared-buffers.ts';
import { Backoff } from './backoff.ts';
import { type Child, coded, reasonOf, serves } from './child.ts';
import { ChildRecords } from './child-records.ts';
import { noteSpawn } from './decisions.ts';
import { LengthySizing } from './lengthy-sizing.ts';
import type { ChildLimits, ChildrenOptions } from './limits.ts';
import { type ChildDeath, deathReason, obituary } from './obituary.ts';
import { Pace } from './recycling.ts';
import { Restarts } from './restarts.ts';
import { type Crew, Sizing, type WorkerCount } from './sizing.ts';
import { dueForSuccession } from './succession.ts';
import { Threads } from './threads.ts';

const MEGABYTE = 2 ** 20;

/** Slots for `maxRequestWorkers` children and as many that drain while their successors serve. */
export const childSlotsFor = (maxRequestWorkers: number): number => maxRequestWorkers * 2;

export class Children {
  readonly #board: Scoreboard;
  readonly #listener: Listener;
  readonly #pool: Pool;
  readonly #records: ChildRecords;
  readonly #onDemand: boolean;
  readonly #entry: string;
  readonly #script: readonly string[] | null;
  readonly #listens: AdoptedListens;
  readonly #shared: SharedBuffers;
  readonly #metricsChannel: string | null;
  #limits: ChildLimits;
  #worker: WorkerOptions;
  readonly #threads: Threads;
  readonly #children = new Map<number, Child>();
  readonly #backoff = new Backoff();
  readonly #restarts: Restarts;
  readonly #sizing: WorkerCount;
  readonly #pace = new Pace();
  #paced: NodeJS.Timeout | null = null;
  #lives = 0;
  #everReady = false;
  #stopping = false;
  #destroyed = false;
  /** Children that died and have no successor yet. */
  #owed = 0;
  #restart: NodeJS.Timeout | null = null;
  #started: { resolve(handler: string): void; reject(error: Error): void } | null = null;
  #onGone: (() => void) | null = null;
  /** A child died; not called for one that retired. */
  onDeath: (death: ChildDeath) => void = () => {};

  constructor(board: Scoreboard, listener: Listener, native: Native, options: ChildrenOptions) {
    this.#board = board;
    this.#listener = listener;
    this.#onDemand = options.lengthy === true;
    this.#pool = this.#onDemand ? board.lengthy : board.normal;
    this.#entry = options.entry;
    this.#script = options.script;
    this.#listens = options.listens;
    this.#shared = options.shared;
    this.#metricsChannel = options.metricsChannel ?? null;
    this.#worker = options.worker;
    this.#limits = options;
    const { first, end } = this.#pool;
    this.#records = new ChildRecords(board, this.#pool, native);
    const heapMb = Math.floor(options.maxHeapPerChildBytes / MEGABYTE);
    this.#threads = new Threads(end - first, heapMb, (message) => this.#onMessage(message));
    this.#restarts = new Restarts(board);
    listener.attend(this.#pool, {
      stuck: (slot, reason) => this.#onStuck(slot, reason),
      backlog: () => this.#sizing.backlog(),
    });
    const crew = this.#crew();
    this.#sizing = this.#onDemand ? new LengthySizing(board, crew) : new Sizing(board, crew);
    // Nobody waits for the first: the application has been loaded by others before.
    this.#everReady = this.#onDemand;
  }

  /**
   * Starts `startServers` children; resolves with the kind of handler when the first one serves.
   * @throws what the application threw at load, if no child ever became ready
   */
  start(): Promise<string> {
    const started = new Promise<string>((resolve, reject) => {
      this.#started = { resolve, reject };
    });
    for (let count = 0; count < this.#limits.startServers; count++) {
      this.#spawn(null, SpawnReason.start);
    }
    return started;
  }

  // ---- what others ask for ------------------------------------------------------------------------

  /** Other limits from now on; those of a life hold for children that live already as well. */
  configure(limits: Partial<ChildLimits>): void {
    this.#limits = { ...this.#limits, ...limits };
    for (const child of this.#children.values()) this.#records.setLimits(child, this.#limits);
    if (this.#everReady) this.#sizing.tick();
  }

  /**
   * A new generation, which loads the application afresh; children of older ones retire one after the
   * other, each when its successor is ready. Resolves when none of them takes requests any more.
   * @param worker options that children are started with from now on
   * @throws why the application did not load; the older generation goes on then
   */
  restartAll(worker: WorkerOptions = this.#worker): Promise<void> {
    this.#worker = worker;
    const done = this.#restarts.begin();
    if (this.#restart !== null) {
      clearTimeout(this.#restart);
      this.#restart = null;
      this.#backoff.forgive();
      this.#scheduleRestart();
    }
    this.#succeed();
    return done;
  }

  /** Options that children are started with from now on. */
  useOptions(worker: WorkerOptions): void {
    this.#worker = worker;
  }

  /** One worker more or fewer than the load asks for, until it is taken back; how many serve. */
  adjust(by: 1 | -1): number {
    return this.#sizing.adjust(by);
  }

  /** Has the child in this slot replaced as if it had reached a limit; false: none serves there. */
  recycle(slot: number): boolean {
    const child = this.#children.get(slot);
    if (child === undefined || !serves(child) || this.#stopping) return false;
    child.endsFor = ExitReason.restart;
    this.#succeed();
    return true;
  }

  // ---- lives --------------------------------------------------------------------------------------

  #spawn(replaces: Child | null, reason: SpawnReason): boolean {
    const slot = this.#freeSlot();
    if (slot < 0) return false;
    const child: Child = {
      slot,
      life: ++this.#lives,
      generation: this.#restarts.generation,
      reason,
      state: 'starting',
      abort: new AbortController(),
      load: null,
      gone: null,
      deadline: null,
      replaces,
      endsFor: null,
      killed: false,
    };
    this.#records.open(child);
    this.#records.setLimits(child, this.#limits);
    noteSpawn(this.#board, reason);
    this.#children.set(slot, child);
    void this.#live(child);
    return true;
  }

  async #live(child: Child): Promise<void> {
    const { slot, life } = child;
    const { line, hangUp } = this.#listens.open();
    const shared = this.#shared.open();
    const task: ChildTask = {
      shared: this.#board.shared,
      child: slot,
      life,
      entry: this.#entry,
      script: this.#script,
      line,
      sharing: shared.sharing,
      options: this.#worker,
      metricsChannel: this.#metricsChannel,
    };
    let result: ExitReason | LoadFailure;
    try {
      result = await this.#threads.run(task, child.abort.signal);
    } catch (error) {
      // What it holds is taken back when nothing in it can run any more.
      await child.gone;
      this.#onEnd(child, reasonOf(error as Error), error as Error);
      return;
    } finally {
      hangUp();
      shared.hangUp();
    }
    if (typeof result === 'number') this.#onEnd(child, result, null);
    else this.#onEnd(child, ExitReason.error, coded(result));
  }

  #crew(): Crew {
    const children = this;
    return {
      children: { [Symbol.iterator]: () => children.#children.values() },
      get limits() {
        return children.#limits;
      },
      get failing() {
        return children.#restart !== null;
      },
      spawn: (reason) => children.#spawn(null, reason),
      letGo: (child) => children.#retire(child, ChildCommand.retireIdle),
      ticked: () => {
        children.#sampleLoads();
        children.#succeed();
      },
    };
  }

  #sampleLoads(): void {
    for (const { slot, load } of this.#children.values()) {
      if (load === null) continue;
      this.#board.setChild(slot, CHILD.loopUtilization, Math.round(load.sample() * 10_000));
    }
  }

  #freeSlot(): number {
    for (let slot = this.#pool.first; slot < this.#pool.end; slot++) {
      if (!this.#children.has(slot)) return slot;
    }
    return -1;
  }

  #onMessage(message: ChildMessage): void {
    const child = this.#children.get(message.child);
    if (child === undefined || child.life !== message.life) return;
    if (message.kind === 'begun') {
      child.gone = this.#threads.gone(message.thread);
      child.load = this.#threads.load(message.thread);
    } else if (message.kind === 'ready') this.#onReady(child, message.handler);
    else this.#succeed();
  }

  #onReady(child: Child, handler: string): void {
    if (child.state === 'starting') child.state = 'ready';
    if (child.reason === SpawnReason.replacement) {
      const tookMs = elapsedTicks(this.#board.child(child.slot, CHILD.startedTicks), nowTicks());
      const now = performance.now();
      this.#pace.started(tookMs, now);
      const until = ticksOf(now + this.#pace.waitMs(now));
      this.#board.setHeader(HEADER.restUntilTicks.offset, until);
    }
    if (this.#backoff.succeeded()) this.#say('workers start again');
    this.#countReady();
    const { replaces } = child;
    child.replaces = null;
    if (replaces !== null && this.#children.get(replaces.slot) === replaces) this.#retire(replaces);
    if (!this.#everReady) {
      this.#everReady = true;
      this.#started?.resolve(handler);
      this.#sizing.start();
    }
    if (this.#stopping) this.#retire(child);
    else this.#succeed();
    this.#listener.kick();
  }

  /** Starts successors for those whose turn it is; they go on until these are ready. */
  #succeed(): void {
    this.#restarts.check(this.#children.values());
    // While starts fail, the next try comes with the timer.
    if (this.#stopping || this.#restart !== null) return;
    const rests = this.#rests();
    const wantsRetire = ({ slot, endsFor }: Child) =>
      endsFor !== null || (!rests && this.#hasReachedLimit(slot));
    const due = dueForSuccession(this.#children.values(), wantsRetire, this.#restarts.wanted);
    for (const { child, reason } of due) {
      child.state = 'awaiting-successor';
      if (this.#spawn(child, reason)) continue;
      // Without a free slot it is tried again when a draining child is gone.
      child.state = 'ready';
      return;
    }
  }

  #hasReachedLimit(slot: number): boolean {
    return this.#board.child(slot, CHILD.status) === ChildStatus.wantsRetire;
  }

  /** True: the last replacement was a moment ago; a timer looks again. */
  #rests(): boolean {
    const waitMs = this.#pace.waitMs(performance.now());
    if (waitMs === 0) return false;
    this.#paced ??= setTimeout(() => {
      this.#paced = null;
      this.#succeed();
    }, waitMs).unref();
    return true;
  }

  #retire(child: Child, command: ChildCommand = ChildCommand.retire): void {
    if (child.state === 'draining') return;
    child.state = 'draining';
    if (child.endsFor === null && child.generation < this.#restarts.wanted) {
      child.endsFor = ExitReason.restart;
    }
    this.#board.setChild(child.slot, CHILD.command, command);
    this.#listener.wakeChild(child.slot);
    this.#countReady();
    const bound = this.#limits.gracefulShutdownTimeoutMs;
    // While the server stops, its own bound holds for all of them.
    if (bound > 0 && !this.#stopping) {
      child.deadline = setTimeout(() => this.#kill(child, ExitReason.expired), bound).unref();
    }
  }

  /** Ends its thread, whatever it does; what it holds is taken back when that is gone. */
  #kill(child: Child, reason: ExitReason): void {
    if (child.killed) return;
    child.killed = true;
    child.endsFor = reason;
    child.abort.abort();
  }

  #onStuck(slot: number, reason: ExitReason): void {
    const child = this.#children.get(slot);
    if (child === undefined || child.killed) return;
    this.#kill(child, reason);
    // Its thread may be inside a call of the system, and gone much later.
    if (child.state === 'ready') this.#owed++;
    child.state = 'draining';
    this.#countReady();
    if (!this.#stopping) this.#scheduleRestart();
  }

  /** The thread is gone, or about to go with its life over. */
  #onEnd(child: Child, failure: ExitReason, thrown: Error | null): void {
    const { slot, state } = child;
    if (this.#destroyed || this.#children.get(slot) !== child) return;
    if (child.deadline !== null) clearTimeout(child.deadline);
    const board = this.#board;
    // A thread that exits after its last act may be seen before the result of its task.
    const complete = board.child(slot, CHILD.status) === ChildStatus.ended;
    const error = complete ? null : (KILLED[child.endsFor ?? -1] ?? thrown);
    const own = (complete ? board.child(slot, CHILD.retireReason) : failure) as ExitReason;
    // A limit that it reached itself says more than that it was asked to go.
    const reason = own === ExitReason.drain || child.killed ? (child.endsFor ?? own) : own;
    this.#pool.idle.remove(slot);
    board.count(HEADER.childExits, 1, reason);
    this.#records.observeEnd(slot);
    const lost = this.#listener.reclaimChild(slot);
    this.#records.clear(slot);
    this.#children.delete(slot);
    this.#countReady();
    if (this.#children.size === 0) this.#onGone?.();
    if (this.#stopping) return;
    // Without its successor the predecessor goes on, and asks again.
    if (child.replaces?.state === 'awaiting-successor') child.replaces.state = 'ready';
    if (error !== null && state === 'starting') {
      board.count(HEADER.startFailures);
      this.#onFailedStart(child, error);
      return;
    }
    // One whose client left is no fault.
    if (error !== null && reason !== ExitReason.clientLeft) {
      process.stderr.write(obituary(slot, reason, error, lost));
      this.onDeath({ worker: slot, reason: deathReason(reason), error, requests: lost.requests });
    }
    if (state === 'ready') {
      this.#owed++;
      this.#scheduleRestart();
    }
    // Somebody may have waited for the slot.
    this.#succeed();
  }

  #onFailedStart(child: Child, error: Error & { code?: string }): void {
    const { slot, generation, replaces } = child;
    const why =
      error.code?.startsWith('ERR_MPM_') === true
        ? error
        : coded({
            code: 'ERR_MPM_ENTRY_FAILED',
            message: `${this.#entry} ended its worker while it was loaded: ${error.message}`,
          });
    if (!this.#everReady) {
      const starting = [...this.#children.values()].some(({ state }) => state === 'starting');
      if (starting) return;
      this.#started?.reject(why);
      this.#stopping = true;
      return;
    }
    const refused = this.#restarts.fail(generation, why);
    if (this.#backoff.failed(why.message)) {
      const rest = `${this.#sizing.serving} others go on; trying again`;
      if (!refused) this.#say(`worker ${slot} failed to start (${rest}): ${why.message}`);
    }
    // What was there before is still there.
    if (replaces === null) this.#owed++;
    this.#scheduleRestart();
  }

  /** At once after a single fault, later and later while children die before they are ready. */
  #scheduleRestart(): void {
    this.#restart ??= setTimeout(() => {
      this.#restart = null;
      if (this.#stopping) return;
      const { maxRequestWorkers } = this.#limits;
      const { floor } = this.#sizing;
      for (let { serving } = this.#sizing; serving < maxRequestWorkers; serving++) {
        // On demand, what is missing is found by the demand.
        if (serving >= floor && (this.#owed <= 0 || this.#onDemand)) break;
        if (!this.#spawn(null, SpawnReason.floor)) break;
        this.#owed--;
      }
      this.#owed = 0;
      this.#succeed();
      if (this.#onDemand) this.#sizing.tick();
    }, this.#backoff.delayMs).unref();
  }

  #countReady(): void {
    if (this.#onDemand) return;
    const ready = [...this.#children.values()].filter(serves).length;
    this.#board.setHeader(HEADER.readyChildren.offset, ready);
  }

  // ---- the end ------------------------------------------------------------------------------------

  /** Retires all; resolves when the last one has ended. */
  retireAll(): Promise<void> {
    this.#stop();
    if (this.#children.size === 0) return Promise.resolve();
    const gone = new Promise<void>((resolve) => {
      this.#onGone = resolve;
    });
    for (const child of this.#children.values()) {
      if (child.state !== 'starting') this.#retire(child);
    }
    return gone;
  }

  /** Ends all threads at once, whatever they do. */
  async destroy(): Promise<void> {
    this.#stop();
    await this.#threads.destroy();
    // The listener may be gone from here on, and takes everything back by itself.
    this.#destroyed = true;
  }

  #stop(): void {
    this.#stopping = true;
    this.#restarts.stop();
    this.#sizing.stop();
    if (this.#restart !== null) clearTimeout(this.#restart);
    if (this.#paced !== null) clearTimeout(this.#paced);
  }

  /** After the last child is gone. */
  closeDescriptors(native: Native): void {
    this.#records.closeDescriptors(native);
  }

  #say(line: string): void {
    process.stderr.write(`hybrid-mpm: ${line}\n`);
  }
}

/** Said of threads that were ended, whose own error says only that. */
const KILLED: Readonly<Partial<Record<number, Error>>> = {
  [ExitReason.expired]: new Error('did not retire within gracefulShutdownTimeout'),
  [ExitReason.clientLeft]: new Error('the client of its request left'),
  [ExitReason.deadline]: new Error('a request was over its deadline and the worker did not turn'),
};
