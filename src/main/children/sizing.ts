/**
 * How many children there are.
 *
 * Role: measures the demand once a second, and as soon as requests have waited in the queue; has
 * children started along the ramp, or the highest idle one let go.
 * Thread: main. May not: start or end a child by itself.
 */
import { CullReason, SpawnReason } from '../../scoreboard/codes.ts';
import { CHILD } from '../../scoreboard/layout.ts';
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';
import { type Child, counts, serves } from './child.ts';
import { noteCull } from './decisions.ts';
import {
  hasOneTooMany,
  highestSlot,
  type Load,
  Ramp,
  type SpawnLimits,
  wantedChildren,
} from './policy.ts';

const MAINTENANCE_MS = 1_000;
/** A wait in the queue that is answered before the next maintenance. */
const QUEUE_WAIT_MS = 25;

/** What it works on. */
export interface Crew {
  readonly children: Iterable<Child>;
  readonly limits: SpawnLimits;
  /** Starts fail, so more of them do not help. */
  readonly failing: boolean;
  /** False: there is no slot. */
  spawn(reason: SpawnReason): boolean;
  letGo(child: Child): void;
  /** Once a tick. */
  ticked(): void;
}

/** Decides how many children of a pool there are. */
export interface WorkerCount {
  /** From the first child that serves on. */
  start(): void;
  stop(): void;
  /** Children that serve or will. */
  readonly serving: number;
  /** The least that there should be, whatever the load. */
  readonly floor: number;
  /** One child more or fewer than the load asks for; returns how many serve. */
  adjust(by: 1 | -1): number;
  tick(): void;
  /** Nobody is idle and the queue is not empty. */
  backlog(): void;
}

export class Sizing implements WorkerCount {
  readonly #board: Scoreboard;
  readonly #crew: Crew;
  readonly #ramp = new Ramp();
  #adjustment = 0;
  #stopped = false;
  #ticker: NodeJS.Timeout | null = null;
  #look: NodeJS.Timeout | null = null;
  #tickDue = false;

  constructor(board: Scoreboard, crew: Crew) {
    this.#board = board;
    this.#crew = crew;
  }

  /** From the first child that serves on. */
  start(): void {
    this.#ticker = setInterval(() => this.tick(), MAINTENANCE_MS).unref();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#ticker !== null) clearInterval(this.#ticker);
    if (this.#look !== null) clearTimeout(this.#look);
  }

  /** Children that serve or will. */
  get serving(): number {
    let count = 0;
    for (const child of this.#crew.children) if (counts(child)) count++;
    return count;
  }

  /** The least that there should be, whatever the load. */
  get floor(): number {
    const { startServers, maxRequestWorkers } = this.#crew.limits;
    return Math.max(1, Math.min(maxRequestWorkers, startServers + this.#adjustment));
  }

  /** One child more or fewer than the load asks for; returns how many serve. */
  adjust(by: 1 | -1): number {
    const { limits } = this.#crew;
    const bound = limits.maxRequestWorkers;
    this.#adjustment = Math.max(-bound, Math.min(bound, this.#adjustment + by));
    const wanted = wantedChildren(limits, this.#load(0));
    if (by > 0 && this.serving < wanted) this.#crew.spawn(SpawnReason.operator);
    else if (by < 0 && this.serving > wanted) this.#cull(CullReason.operator);
    return this.serving;
  }

  tick(): void {
    if (this.#stopped) return;
    this.#crew.ticked();
    this.#tickDue = true;
    if (this.#board.queue.length > 0) this.#lookAgain();
    else this.#maintain(SpawnReason.demand, 0);
  }

  /** Nobody is idle and the queue is not empty; a timer runs for as long as that is so. */
  backlog(): void {
    if (this.#ticker !== null && !this.#stopped) this.#lookAgain();
  }

  /**
   * Counts what waits in the queue now and still does a moment later: under light requests there is
   * always something in it, which another child would find gone.
   */
  #lookAgain(): void {
    const { queue } = this.#board;
    const { tail } = queue;
    this.#look ??= setTimeout(() => {
      this.#look = null;
      const queued = Math.max(0, (tail - queue.head) | 0);
      if (this.#tickDue) this.#maintain(SpawnReason.demand, queued);
      else if (queued > 0) this.#maintain(SpawnReason.queueWait, queued);
      if (queue.length > 0) this.backlog();
    }, QUEUE_WAIT_MS).unref();
  }

  /** @param queued connections that wait in the queue for longer than a moment */
  #load(queued: number): Load {
    const board = this.#board;
    let demand = queued;
    let idle = 0;
    for (const child of this.#crew.children) {
      if (!serves(child)) continue;
      demand += board.child(child.slot, CHILD.pinned);
      if (!board.idle.has(child.slot)) demand++;
      else if (child.state === 'ready') idle++;
    }
    return { demand, serving: this.serving, idle, adjustment: this.#adjustment };
  }

  #maintain(reason: SpawnReason, queued: number): void {
    this.#tickDue = false;
    const { limits, failing } = this.#crew;
    if (this.#stopped || failing) return;
    const load = this.#load(queued);
    const missing = wantedChildren(limits, load) - load.serving;
    let spawns = this.#ramp.take(missing);
    while (spawns-- > 0 && this.#crew.spawn(reason));
    if (missing > 0) return;
    if (load.serving > limits.maxRequestWorkers) this.#cull(CullReason.lowered);
    else if (hasOneTooMany(limits, load)) this.#cull(CullReason.idle);
  }

  #cull(reason: CullReason): void {
    const ready = [...this.#crew.children].filter(({ state }) => state === 'ready');
    // One that has upgraded connections could only cut them off.
    const idle = ready.filter(
      ({ slot }) => this.#board.idle.has(slot) && this.#board.child(slot, CHILD.upgraded) === 0,
    );
    // A busy one finishes what it has, where it has to go.
    const child = highestSlot(idle) ?? (reason === CullReason.idle ? null : highestSlot(ready));
    if (child === null) return;
    noteCull(this.#board, reason);
    this.#crew.letGo(child);
  }
}
