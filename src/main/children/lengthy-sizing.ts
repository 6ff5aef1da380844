/**
 * How many lengthy workers there are.
 *
 * Role: one for each request that waits, up to the limit; those that had nothing to do for a while go,
 * the highest slot first, to the last. An application without lengthy requests has none, and no timer.
 * Thread: main. May not: start or end a child by itself.
 */
import { CullReason, SpawnReason } from '../../scoreboard/codes.ts';
import { CHILD } from '../../scoreboard/layout.ts';
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';
import { type Child, counts } from './child.ts';
import { noteCull } from './decisions.ts';
import { highestSlot } from './policy.ts';
import type { Crew, WorkerCount } from './sizing.ts';

const MAINTENANCE_MS = 1_000;
/** What an application loads is not loaded anew for requests that come once in a while. */
const IDLE_MS = 60_000;

/** Since when a child has taken nothing. */
interface Rest {
  readonly claims: number;
  readonly since: number;
}

export class LengthySizing implements WorkerCount {
  readonly #board: Scoreboard;
  readonly #crew: Crew;
  readonly #resting = new WeakMap<Child, Rest>();
  #stopped = false;
  #ticker: NodeJS.Timeout | null = null;

  constructor(board: Scoreboard, crew: Crew) {
    this.#board = board;
    this.#crew = crew;
  }

  start(): void {}

  stop(): void {
    this.#stopped = true;
    if (this.#ticker !== null) clearInterval(this.#ticker);
  }

  get serving(): number {
    let count = 0;
    for (const child of this.#crew.children) if (counts(child)) count++;
    return count;
  }

  get floor(): number {
    return 0;
  }

  /** They follow the demand alone. */
  adjust(): number {
    return this.serving;
  }

  tick(): void {
    if (this.#stopped) return;
    this.#crew.ticked();
    this.#maintain();
    this.#cullOne();
    const any = !this.#crew.children[Symbol.iterator]().next().done;
    if (any || this.#board.lengthy.queue.length > 0) return;
    if (this.#ticker !== null) clearInterval(this.#ticker);
    this.#ticker = null;
  }

  backlog(): void {
    if (this.#stopped) return;
    this.#ticker ??= setInterval(() => this.tick(), MAINTENANCE_MS).unref();
    this.#maintain();
  }

  #maintain(): void {
    const { limits, failing } = this.#crew;
    const { queue, idle } = this.#board.lengthy;
    if (failing) return;
    let coming = idle.count;
    for (const { state } of this.#crew.children) if (state === 'starting') coming++;
    const room = limits.maxRequestWorkers - this.serving;
    let spawns = Math.min(queue.length - coming, room);
    while (spawns-- > 0 && this.#crew.spawn(SpawnReason.demand));
  }

  #cullOne(): void {
    const { idle } = this.#board.lengthy;
    const now = performance.now();
    const rested: Child[] = [];
    for (const child of this.#crew.children) {
      const claims = this.#board.childDouble(child.slot, CHILD.claims);
      const rest = this.#resting.get(child);
      if (child.state !== 'ready' || !idle.has(child.slot)) this.#resting.delete(child);
      else if (rest?.claims !== claims) this.#resting.set(child, { claims, since: now });
      else if (now - rest.since >= IDLE_MS) rested.push(child);
    }
    const child = highestSlot(rested);
    if (child === null) return;
    this.#resting.delete(child);
    noteCull(this.#board, CullReason.idle);
    this.#crew.letGo(child);
  }
}
