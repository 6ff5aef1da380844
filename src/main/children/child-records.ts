/**
 * The child slots of one pool in the scoreboard, as main writes them.
 *
 * Role: what stands in a slot when a life begins, and what is left when it has ended.
 * Thread: main.
 */
import type { Native } from '../../listener/native.ts';
import { openAssignments } from '../../scoreboard/assignment.ts';
import { nowTicks } from '../../scoreboard/clock.ts';
import { ChildStatus } from '../../scoreboard/codes.ts';
import { observeHeader } from '../../scoreboard/histograms.ts';
import { CHILD } from '../../scoreboard/layout.ts';
import type { Pool } from '../../scoreboard/pool.ts';
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';
import type { Child } from './child.ts';
import type { LifeLimits } from './limits.ts';
import { limitForLife } from './recycling.ts';

export class ChildRecords {
  readonly #board: Scoreboard;
  readonly #pool: Pool;

  /** Makes the eventfd of each slot, which all of its lives use. */
  constructor(board: Scoreboard, pool: Pool, native: Native) {
    this.#board = board;
    this.#pool = pool;
    for (let slot = pool.first; slot < pool.end; slot++) {
      const fd = native.eventfdCreate();
      if (fd < 0) throw new Error(`eventfd: errno ${-fd}`);
      board.setChild(slot, CHILD.wakeFd, fd);
    }
  }

  /** A life begins. */
  open({ slot, life, generation }: Child): void {
    const board = this.#board;
    this.clear(slot);
    openAssignments(board, slot);
    board.setChild(slot, CHILD.startedTicks, nowTicks());
    board.setChild(slot, CHILD.generation, generation);
    board.setChild(slot, CHILD.status, ChildStatus.starting);
    board.setChild(slot, CHILD.life, life);
  }

  setLimits({ slot, life }: Child, limits: LifeLimits): void {
    const { maxConnectionsPerChild, maxRequestsPerChild, maxMemoryPerChildBytes } = limits;
    const set = (field: { readonly offset: number }, limit: number) =>
      this.#board.setChild(slot, field, limitForLife(limit, life));
    set(CHILD.connectionLimit, maxConnectionsPerChild);
    set(CHILD.requestLimit, maxRequestsPerChild);
    set(CHILD.memoryLimitKb, Math.ceil(maxMemoryPerChildBytes / 1024));
  }

  /** A life has ended: what it had reached goes into the histograms. */
  observeEnd(slot: number): void {
    const board = this.#board;
    const served = board.child(slot, CHILD.lifeConnections);
    observeHeader(board, 'workerConnectionsAtExit', served);
    const heapKb = board.child(slot, CHILD.heapUsedKb);
    // One that died before its first sample says nothing about heaps.
    if (heapKb > 0) observeHeader(board, 'workerHeapAtExit', heapKb * 1024);
  }

  clear(slot: number): void {
    for (const field of CLEARED) this.#board.setChild(slot, field, 0);
  }

  /** After the last child is gone. */
  closeDescriptors(native: Native): void {
    for (let slot = this.#pool.first; slot < this.#pool.end; slot++) {
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
