/**
 * Supervision of the simulated workers, as `src/main/children` does it, without its policies.
 *
 * Role: starts children, replaces those that reach their limit by successors, buries the dead. Runs in the
 * listener's thread, as in production.
 */
import type { Listener } from '../../src/listener/listener.ts';
import type { Native } from '../../src/listener/native.ts';
import { ChildCommand, ChildStatus } from '../../src/scoreboard/codes.ts';
import { CHILD } from '../../src/scoreboard/layout.ts';
import type { Scoreboard } from '../../src/scoreboard/scoreboard.ts';
import type { WorkerOptions } from '../../src/workers/context.ts';
import { application } from './application.ts';
import { nativeOf } from './native.ts';
import { SimulatedThread } from './thread.ts';
import type { World } from './world.ts';

interface Child {
  readonly slot: number;
  readonly thread: SimulatedThread;
  state: 'starting' | 'ready' | 'awaiting-successor' | 'draining';
  readonly replaces: Child | null;
}

/** As in child-records.ts, which would load the clock before the simulation has one. */
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
  CHILD.upgraded,
  CHILD.inLongHandler,
  CHILD.progress,
  CHILD.attention,
  CHILD.connectionLimit,
  CHILD.requestLimit,
  CHILD.memoryLimitKb,
  CHILD.generation,
  CHILD.life,
];
const TICK_MS = 1_000;

export class Supervisor {
  readonly #world: World;
  readonly #board: Scoreboard;
  readonly #listener: Listener;
  readonly #native: Native;
  readonly #workerOptions: WorkerOptions;
  readonly children = new Map<number, Child>();
  #lives = 0;
  #stopping = false;
  deaths = 0;
  successions = 0;

  constructor(world: World, listener: Listener, native: Native, options: WorkerOptions) {
    this.#world = world;
    this.#board = world.board;
    this.#listener = listener;
    this.#native = native;
    this.#workerOptions = options;
    for (let slot = 0; slot < this.#board.childSlots; slot++) {
      this.#board.setChild(slot, CHILD.wakeFd, native.eventfdCreate());
    }
    listener.attend(this.#board.normal, { stuck: (slot) => this.#kill(slot), backlog: () => {} });
  }

  start(): void {
    for (let count = 0; count < this.#world.options.workers; count++) this.#spawn(null);
    this.#tick();
  }

  get isEmpty(): boolean {
    return this.children.size === 0;
  }

  /** A child has died or ended, and main has not heard of it. */
  get hasDying(): boolean {
    for (const { thread } of this.children.values()) if (thread.dead) return true;
    return false;
  }

  #tick(): void {
    setTimeout(() => {
      if (this.#stopping) return;
      const { random, options } = this.#world;
      // Now and then one is replaced for no reason of its own, as at a reload.
      if (random.chance(0.1)) {
        const serving = [...this.children.values()].filter(({ state }) => state === 'ready');
        if (serving.length > 0) this.#succeed(random.pick(serving));
      }
      const wanted = options.workers - this.#serving;
      for (let count = 0; count < wanted; count++) this.#spawn(null);
      this.#tick();
    }, TICK_MS);
  }

  get #serving(): number {
    return [...this.children.values()].filter(({ state }) => state !== 'draining').length;
  }

  #spawn(replaces: Child | null): boolean {
    let slot = 0;
    while (slot < this.#board.childSlots && this.children.has(slot)) slot++;
    if (slot === this.#board.childSlots) return false;
    const board = this.#board;
    const life = ++this.#lives;
    const thread = new SimulatedThread(this.#world, `worker ${slot} (life ${life})`, slot);
    const child: Child = { slot, thread, state: 'starting', replaces };
    for (const field of CLEARED) board.setChild(slot, field, 0);
    this.#world.openAssignments(slot);
    board.setChild(slot, CHILD.status, ChildStatus.starting);
    board.setChild(slot, CHILD.connectionLimit, this.#world.options.maxConnectionsPerChild);
    board.setChild(slot, CHILD.life, life);
    this.children.set(slot, child);
    this.#world.add(thread);
    // Threads take a while to start.
    thread.setTimer(() => this.#live(child), this.#world.random.between(1, 50));
    return true;
  }

  /** In the child's own thread, as `child.ts` does it. */
  #live(child: Child): void {
    const { slot, thread } = child;
    const world = this.#world;
    const board = world.attach();
    const native = nativeOf(world, thread);
    const { WorkerContext, ServingLoop } = world.code;
    const handler = application(world, native);
    const context = new WorkerContext(board, native, slot, this.#workerOptions, handler);
    let watch = -1;
    const loop = new ServingLoop(context, {
      wantsRetire: () => this.#tell(() => this.#succeed(child)),
      ended: () => {
        native.unwatch(watch);
        this.#tell(() => this.#onEnd(child));
      },
    });
    const readable = native.watch(board.child(slot, CHILD.wakeFd), 0, () => loop.onSignal());
    watch = readable;
    context.setWord(CHILD.status, ChildStatus.ready);
    this.#tell(() => this.#onReady(child));
    context.wakeSelf();
  }

  /** A message to main. */
  #tell(what: () => void): void {
    this.#world.listenerThread.setImmediate(what);
  }

  #onReady(child: Child): void {
    if (this.children.get(child.slot) !== child) return;
    if (child.state === 'starting') child.state = 'ready';
    const { replaces } = child;
    if (replaces !== null && this.children.get(replaces.slot) === replaces) this.#retire(replaces);
    if (this.#stopping) this.#retire(child);
    if (!this.#listener.isOpen) this.#listener.open();
    this.#listener.kick();
  }

  #succeed(child: Child): void {
    if (this.#stopping || child.state !== 'ready' || this.children.get(child.slot) !== child)
      return;
    child.state = 'awaiting-successor';
    if (this.#spawn(child)) this.successions++;
    else child.state = 'ready';
  }

  #retire(child: Child): void {
    if (child.state === 'draining') return;
    child.state = 'draining';
    this.#board.setChild(child.slot, CHILD.command, ChildCommand.retire);
    this.#listener.wakeChild(child.slot);
  }

  #kill(slot: number): void {
    const child = this.children.get(slot);
    if (child === undefined) return;
    child.state = 'draining';
    this.#world.doom(child.thread);
  }

  /** Called by the world when a thread has died and nothing of it is on the stack. */
  died(thread: SimulatedThread): void {
    this.deaths++;
    const child = [...this.children.values()].find((other) => other.thread === thread);
    if (child !== undefined) this.#tell(() => this.#onEnd(child));
  }

  #onEnd(child: Child): void {
    const { slot, thread } = child;
    if (this.children.get(slot) !== child) return;
    const board = this.#board;
    this.#world.remove(thread);
    board.idle.remove(slot);
    this.#listener.reclaimChild(slot);
    for (const field of CLEARED) board.setChild(slot, field, 0);
    this.children.delete(slot);
    if (this.#stopping) return;
    if (child.replaces?.state === 'awaiting-successor') child.replaces.state = 'ready';
    if (this.#serving < this.#world.options.workers) {
      setTimeout(
        () => {
          if (!this.#stopping && this.#serving < this.#world.options.workers) this.#spawn(null);
        },
        this.#world.random.between(1, 100),
      );
    }
  }

  retireAll(): void {
    this.#stopping = true;
    for (const child of this.children.values()) {
      if (child.state !== 'starting') this.#retire(child);
    }
  }

  closeDescriptors(): void {
    for (let slot = 0; slot < this.#board.childSlots; slot++) {
      this.#native.close(this.#board.child(slot, CHILD.wakeFd));
    }
  }
}
