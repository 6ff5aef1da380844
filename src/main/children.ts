/**
 * The children: started, replaced, retired; the only part that talks to Piscina.
 *
 * Role: keeps as many children as are wanted, each one Piscina task on a thread of its own, and sees
 * to it that a successor serves before its predecessor retires.
 * Thread: main. May not: be on the way of a request.
 */
import type { EventLoopUtilization } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import type { Listener } from '../listener/listener.ts';
import type { Native } from '../listener/native.ts';
import { openAssignments } from '../scoreboard/assignment.ts';
import { nowTicks } from '../scoreboard/clock.ts';
import { observeHeader } from '../scoreboard/histograms.ts';
import { CHILD, ChildCommand, ChildStatus, ExitReason, HEADER } from '../scoreboard/layout.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import type { ChildMessage, ChildTask, LoadFailure } from '../workers/child.ts';
import type { WorkerOptions } from '../workers/context.ts';

/** Limits that may change while the server runs. */
export interface ChildLimits {
  readonly minSpareThreads: number;
  readonly maxSpareThreads: number;
  /** 0: never. */
  readonly maxConnectionsPerChild: number;
}

export interface ChildrenOptions extends Omit<ChildLimits, 'maxConnectionsPerChild'> {
  readonly entry: string;
  readonly worker: WorkerOptions;
  readonly startServers: number;
  readonly maxRequestWorkers: number;
  readonly asyncRequestWorkerFactor: number;
  /** Bound on retirement, 0: none. */
  readonly gracefulShutdownTimeoutMs: number;
}

interface Child {
  readonly slot: number;
  readonly life: number;
  state: 'starting' | 'ready' | 'awaiting-successor' | 'draining';
  /** Id of its thread, 0 before it is ready. */
  thread: number;
  /** That thread and how busy its event loop had been at the last sample; null before it is ready. */
  loop: { readonly worker: Worker; until: EventLoopUtilization } | null;
  /** Ends its thread. */
  readonly abort: AbortController;
  /** Bounds its retirement. */
  deadline: NodeJS.Timeout | null;
  /** The child it is to replace. */
  readonly replaces: Child | null;
}

const FIRST_BACKOFF_MS = 100;
const LAST_BACKOFF_MS = 10_000;
const MAINTENANCE_MS = 1_000;
/** Children started in one maintenance tick at most, after 1, 2, 4, 8, 16 (Apache's ramp). */
const MAX_SPAWN_RATE = 32;

/** Slots for `maxRequestWorkers` children and as many that drain while their successors serve. */
export const childSlotsFor = (maxRequestWorkers: number): number => maxRequestWorkers * 2;

export class Children {
  readonly #board: Scoreboard;
  readonly #listener: Listener;
  #options: ChildrenOptions;
  readonly #pool: Piscina;
  readonly #children = new Map<number, Child>();
  readonly #usedThreads = new Set<number>();
  #lives = 0;
  #everReady = false;
  #stopping = false;
  #failures = 0;
  #spawnRate = 1;
  #restart: NodeJS.Timeout | null = null;
  #maintenance: NodeJS.Timeout | null = null;
  #started: { resolve(handler: string): void; reject(error: Error): void } | null = null;
  #onGone: (() => void) | null = null;

  constructor(board: Scoreboard, listener: Listener, native: Native, options: ChildrenOptions) {
    this.#board = board;
    this.#listener = listener;
    this.#options = options;
    this.#setConnectionLimit(options.worker.maxConnectionsPerChild);
    for (let slot = 0; slot < board.childSlots; slot++) {
      const fd = native.eventfdCreate();
      if (fd < 0) throw new Error(`eventfd: errno ${-fd}`);
      board.setChild(slot, CHILD.wakeFd, fd);
    }
    this.#pool = new Piscina({
      filename: fileURLToPath(new URL('../workers/child.js', import.meta.url)),
      minThreads: 0,
      maxThreads: board.childSlots,
      // A thread that has had its life is not kept.
      idleTimeout: 0,
      // The default would freeze the application's timers and sockets between two tasks.
      atomics: 'disabled',
      concurrentTasksPerWorker: 1,
      recordTiming: false,
      // Every child starts on a fresh thread: a used one still holds the old modules and their leaks.
      loadBalancer: (_task, workers) => {
        const fresh = workers.find(
          (worker) => worker.currentUsage === 0 && !this.#usedThreads.has(worker.id),
        );
        if (fresh !== undefined) this.#usedThreads.add(fresh.id);
        return fresh ?? null;
      },
    });
    this.#pool.on('message', (message: ChildMessage) => this.#onMessage(message));
    // Faults of tasks reach their promise; what is left concerns threads without one.
    this.#pool.on('error', () => {});
  }

  /**
   * Starts `startServers` children; resolves with the kind of handler when the first one serves.
   * @throws what the application threw at load, if no child ever became ready
   */
  start(): Promise<string> {
    const started = new Promise<string>((resolve, reject) => {
      this.#started = { resolve, reject };
    });
    for (let count = 0; count < this.#options.startServers; count++) this.#spawn(null);
    return started;
  }

  #spawn(replaces: Child | null): boolean {
    const slot = this.#freeSlot();
    if (slot < 0) return false;
    const life = ++this.#lives;
    const abort = new AbortController();
    const child: Child = {
      slot,
      life,
      state: 'starting',
      thread: 0,
      loop: null,
      abort,
      deadline: null,
      replaces,
    };
    const board = this.#board;
    for (const field of CLEARED) board.setChild(slot, field, 0);
    openAssignments(board, slot);
    board.setChild(slot, CHILD.startedTicks, nowTicks());
    board.setChild(slot, CHILD.status, ChildStatus.starting);
    board.setChild(slot, CHILD.life, life);
    board.count(HEADER.childStarts);
    this.#children.set(slot, child);
    const { entry, worker } = this.#options;
    const task: ChildTask = { shared: board.shared, child: slot, life, entry, options: worker };
    this.#pool.run(task, { signal: abort.signal }).then(
      (result: ExitReason | LoadFailure) => {
        if (typeof result === 'number') this.#onEnd(child, result, null);
        else this.#onEnd(child, ExitReason.error, coded(result));
      },
      (error: Error) => {
        // An aborted thread may still run: `#expire` waits for its exit.
        if (!abort.signal.aborted) this.#onEnd(child, reasonOf(error), error);
      },
    );
    return true;
  }

  #freeSlot(): number {
    for (let slot = 0; slot < this.#board.childSlots; slot++) {
      if (!this.#children.has(slot)) return slot;
    }
    return -1;
  }

  #onMessage(message: ChildMessage): void {
    const child = this.#children.get(message.child);
    if (child === undefined || child.life !== message.life) return;
    if (message.kind === 'ready') {
      child.thread = message.thread;
      const worker = this.#threadOf(child.thread);
      if (worker !== undefined) {
        child.loop = { worker, until: worker.performance.eventLoopUtilization() };
      }
      this.#forgetWhenGone(child.thread);
      this.#onReady(child, message.handler);
    } else if (child.state === 'ready') this.#replace(child);
  }

  /** A thread that has had its life stays used until it is gone, or it would be given a second one. */
  #forgetWhenGone(thread: number): void {
    this.#threadOf(thread)?.once('exit', () => this.#usedThreads.delete(thread));
  }

  #threadOf(id: number) {
    return this.#pool.threads.find(({ threadId }) => threadId === id);
  }

  #onReady(child: Child, handler: string): void {
    if (child.state === 'starting') child.state = 'ready';
    this.#failures = 0;
    this.#countReady();
    if (child.replaces !== null && this.#children.get(child.replaces.slot) === child.replaces) {
      this.#retire(child.replaces);
    }
    if (!this.#everReady) {
      this.#everReady = true;
      this.#started?.resolve(handler);
      this.#maintenance = setInterval(() => this.#maintain(), MAINTENANCE_MS).unref();
    }
    if (this.#stopping) this.#retire(child);
    this.#listener.kick();
  }

  /** Has the child in this slot replaced as if it had reached a limit; false: none serves there. */
  recycle(slot: number): boolean {
    const child = this.#children.get(slot);
    if (child?.state !== 'ready' || this.#stopping) return false;
    this.#replace(child);
    return this.#children.get(slot)?.state === 'awaiting-successor';
  }

  /** Other limits from now on. */
  configure(limits: Partial<ChildLimits>): void {
    this.#options = { ...this.#options, ...limits };
    this.#setConnectionLimit(limits.maxConnectionsPerChild);
    if (this.#everReady) this.#maintain();
  }

  #setConnectionLimit(limit = this.#board.header(HEADER.maxConnectionsPerChild.offset)): void {
    this.#board.setHeader(HEADER.maxConnectionsPerChild.offset, limit);
  }

  /** A child reached a limit: it goes on serving until its successor is ready. */
  #replace(child: Child): void {
    child.state = 'awaiting-successor';
    // Without a free slot maintenance tries again when a draining child is gone.
    if (!this.#stopping && !this.#spawn(child)) child.state = 'ready';
  }

  #retire(child: Child, command: ChildCommand = ChildCommand.retire): void {
    if (child.state === 'draining') return;
    child.state = 'draining';
    this.#board.setChild(child.slot, CHILD.command, command);
    this.#listener.wakeChild(child.slot);
    this.#countReady();
    const bound = this.#options.gracefulShutdownTimeoutMs;
    // While the server stops, its own bound holds for all of them.
    if (bound > 0 && !this.#stopping) {
      child.deadline = setTimeout(() => this.#expire(child), bound).unref();
    }
  }

  /** Its time to retire is over: the thread is ended, and what it held is lost. */
  #expire(child: Child): void {
    const thread = this.#threadOf(child.thread);
    if (thread === undefined) return;
    const error = new Error('did not retire within gracefulShutdownTimeout');
    thread.once('exit', () => this.#onEnd(child, ExitReason.error, error));
    child.abort.abort();
  }

  /** The thread is gone, or about to go with its life over. */
  #onEnd(child: Child, failure: ExitReason, thrown: Error | null): void {
    const { slot, state } = child;
    if (this.#children.get(slot) !== child) return;
    if (child.deadline !== null) clearTimeout(child.deadline);
    const board = this.#board;
    // A thread that exits after its last act may be seen before the result of its task.
    const complete = board.child(slot, CHILD.status) === ChildStatus.ended;
    const error = complete ? null : thrown;
    const reason = (complete ? board.child(slot, CHILD.retireReason) : failure) as ExitReason;
    board.idle.remove(slot);
    board.count(HEADER.childExits, 1, reason);
    this.#observeEnd(slot);
    const lost = this.#listener.reclaimChild(slot);
    for (const field of CLEARED) board.setChild(slot, field, 0);
    this.#children.delete(slot);
    this.#countReady();
    if (this.#children.size === 0) this.#onGone?.();
    if (this.#stopping) return;
    // Without its successor the predecessor goes on, and asks again.
    if (child.replaces?.state === 'awaiting-successor') child.replaces.state = 'ready';
    if (error === null && state === 'draining') {
      // Somebody may have waited for the slot.
      this.#retryReplacements();
      return;
    }
    if (error !== null) {
      if (state === 'starting' && !this.#everReady) {
        this.#failStart(error);
        return;
      }
      const cost = lost > 0 ? `, ${lost} connections lost` : '';
      process.stderr.write(`hybrid-mpm: worker ${slot} died${cost}: ${error.stack ?? error}\n`);
    }
    this.#scheduleRestart(state === 'starting');
  }

  #observeEnd(slot: number): void {
    const board = this.#board;
    const served = board.child(slot, CHILD.lifeConnections);
    observeHeader(board, 'workerConnectionsAtExit', served);
    const heapKb = board.child(slot, CHILD.heapUsedKb);
    // One that died before its first sample says nothing about heaps.
    if (heapKb > 0) observeHeader(board, 'workerHeapAtExit', heapKb * 1024);
  }

  #failStart(error: Error): void {
    this.#started?.reject(error);
    this.#stopping = true;
  }

  #retryReplacements(): void {
    for (const child of this.#children.values()) {
      const wants = this.#board.child(child.slot, CHILD.status) === ChildStatus.wantsRetire;
      if (child.state === 'ready' && wants) this.#replace(child);
    }
  }

  /** At once after a single fault, later and later while children die before they are ready. */
  #scheduleRestart(diedAtStart: boolean): void {
    if (diedAtStart) this.#failures++;
    const delay =
      this.#failures === 0
        ? 0
        : Math.min(LAST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (this.#failures - 1));
    this.#restart ??= setTimeout(() => {
      this.#restart = null;
      if (this.#stopping) return;
      while (this.#serving() < this.#options.startServers && this.#spawn(null));
      this.#retryReplacements();
    }, delay).unref();
  }

  /** Children that serve or will: a predecessor and its successor count as one. */
  #serving(): number {
    let count = 0;
    for (const { state } of this.#children.values()) {
      if (state !== 'draining' && state !== 'awaiting-successor') count++;
    }
    return count;
  }

  /**
   * Once a second: as many children as the connections in demand need (see the design: demand is what
   * needs a child now, never open connections), the ramp up Apache's 1, 2, 4 .. 32, one down a tick.
   */
  #maintain(): void {
    if (this.#stopping) return;
    this.#sampleLoops();
    this.#retryReplacements();
    const board = this.#board;
    let demand = board.queue.length;
    let idle = 0;
    for (const { slot, state } of this.#children.values()) {
      if (state !== 'ready') continue;
      demand += board.child(slot, CHILD.pinned);
      if (board.idle.has(slot)) idle++;
      else demand++;
    }
    const { startServers, minSpareThreads, maxSpareThreads, maxRequestWorkers } = this.#options;
    const needed = Math.ceil(demand / this.#options.asyncRequestWorkerFactor) + minSpareThreads;
    const wanted = Math.min(maxRequestWorkers, Math.max(startServers, needed));
    const serving = this.#serving();
    if (serving < wanted) {
      let spawns = Math.min(this.#spawnRate, wanted - serving);
      while (spawns-- > 0 && this.#spawn(null));
      this.#spawnRate = Math.min(MAX_SPAWN_RATE, this.#spawnRate * 2);
      return;
    }
    this.#spawnRate = 1;
    if (serving > wanted && idle > maxSpareThreads) this.#cullHighest();
  }

  /** Asked from here, since a worker that is stuck or asleep would not tell. */
  #sampleLoops(): void {
    for (const { slot, loop } of this.#children.values()) {
      if (loop === null) continue;
      const until = loop.worker.performance.eventLoopUtilization();
      const { utilization } = loop.worker.performance.eventLoopUtilization(until, loop.until);
      loop.until = until;
      this.#board.setChild(slot, CHILD.loopUtilization, Math.round(utilization * 10_000));
    }
  }

  #cullHighest(): void {
    const ready = [...this.#children.values()].filter(({ state }) => state === 'ready');
    const highest = ready
      .filter(({ slot }) => this.#board.idle.has(slot))
      .sort((one, other) => other.slot - one.slot)[0];
    if (highest === undefined) return;
    this.#retire(highest, ChildCommand.retireIdle);
  }

  #countReady(): void {
    let ready = 0;
    for (const { state } of this.#children.values()) {
      if (state === 'ready' || state === 'awaiting-successor') ready++;
    }
    this.#board.setHeader(HEADER.readyChildren.offset, ready);
  }

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
    await this.#pool.destroy();
  }

  #stop(): void {
    this.#stopping = true;
    if (this.#maintenance !== null) clearInterval(this.#maintenance);
    if (this.#restart !== null) clearTimeout(this.#restart);
  }

  /** After the last child is gone. */
  closeDescriptors(native: Native): void {
    for (let slot = 0; slot < this.#board.childSlots; slot++) {
      native.close(this.#board.child(slot, CHILD.wakeFd));
    }
  }
}

const CLEARED = [
  CHILD.command,
  CHILD.status,
  CHILD.retireReason,
  CHILD.currentSlot,
  CHILD.meanServiceUs,
  CHILD.lifeConnections,
  CHILD.lifeRequests,
  CHILD.pinned,
  CHILD.heapUsedKb,
  CHILD.externalKb,
  CHILD.handlingTicks,
  CHILD.loopUtilization,
  CHILD.inLongHandler,
  CHILD.progress,
  CHILD.attention,
  CHILD.life,
];

const coded = ({ code, message }: LoadFailure): Error & { code: string } =>
  Object.assign(new Error(message), { code });

function reasonOf(error: Error & { code?: string }): ExitReason {
  if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') return ExitReason.outOfMemory;
  if (/^worker exited with code/.test(error.message)) return ExitReason.exited;
  return ExitReason.error;
}
