/**
 * Room for new clients: idle connections are let go, the longest idle first.
 *
 * Role: called when clients wait and nothing is free for them. Ends keep-alive connections that have
 * asked for nothing for a while; one whose next request has arrived already is left alone.
 * Thread: the listener's. A leading worker may move a connection to the queue at the same time: whoever
 * wins the compare-and-swap has it.
 */
import { elapsedTicks, ticksOf } from '../scoreboard/clock.ts';
import { CloseReason } from '../scoreboard/codes.ts';
import { SLOT } from '../scoreboard/layout.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../scoreboard/states.ts';
import { incarnationOf, stateOf } from '../scoreboard/transition.ts';
import type { Closer } from './closer.ts';
import { EAGAIN, type Native } from './native.ts';
import type { SlotPool } from './slots.ts';

/** Connections that are on their way out at the same time: two batches of new ones. */
const MAX_LEAVING = 128;
/** One that was idle for less is in use: its client is about to send, and would lose a request. */
const LEAST_IDLE_MS = 1_000;
/** After a look that found nobody to let go, milliseconds. */
const REST_MS = 100;
/** Above any slot number, so that time and slot sort as one number. */
const SLOT_RADIX = 2 ** 18;

export class Shedder {
  readonly #board: Scoreboard;
  readonly #native: Native;
  readonly #closer: Closer;
  readonly #slots: SlotPool;
  readonly #candidates: Float64Array;
  /** Incarnations by slot of those that are on their way out. */
  readonly #leaving = new Map<number, number>();
  #restUntil = Number.NEGATIVE_INFINITY;

  constructor(board: Scoreboard, native: Native, closer: Closer, slots: SlotPool) {
    this.#board = board;
    this.#native = native;
    this.#closer = closer;
    this.#slots = slots;
    this.#candidates = new Float64Array(board.connectionSlots);
  }

  /**
   * Lets as many go as clients wait; their slots are free when their own clients have noticed, or a
   * short linger later.
   * @param now `performance.now()`
   */
  makeRoom(clients: number, now: number): void {
    if (now < this.#restUntil) return;
    const wanted = Math.min(clients, MAX_LEAVING) - this.#stillLeaving();
    if (wanted <= 0) return;
    const found = this.#findIdle(ticksOf(now));
    let shed = 0;
    for (let index = found.length - 1; index >= 0 && shed < wanted; index--) {
      if (this.#shed((found[index] as number) % SLOT_RADIX)) shed++;
    }
    if (shed === 0) this.#restUntil = now + REST_MS;
  }

  #stillLeaving(): number {
    for (const [slot, incarnation] of this.#leaving) {
      // Until the slot is free, not until it is about to be.
      if (incarnationOf(this.#board.word(slot)) !== incarnation) this.#leaving.delete(slot);
    }
    return this.#leaving.size;
  }

  /** Idle connections, the longest idle last. */
  #findIdle(now: number): Float64Array {
    const board = this.#board;
    const { watermark } = this.#slots;
    let count = 0;
    for (let slot = 0; slot < watermark; slot++) {
      if (stateOf(board.word(slot)) !== ConnectionState.keepalive) continue;
      const idleMs = elapsedTicks(board.slot(slot, SLOT.sinceTicks), now);
      if (idleMs >= LEAST_IDLE_MS) this.#candidates[count++] = idleMs * SLOT_RADIX + slot;
    }
    return this.#candidates.subarray(0, count).sort();
  }

  #shed(slot: number): boolean {
    const board = this.#board;
    const word = board.word(slot);
    if (stateOf(word) !== ConnectionState.keepalive) return false;
    // Bytes whose event nobody has seen yet, or an end that frees the slot by itself.
    if (this.#native.pending(board.slot(slot, SLOT.fd)) !== EAGAIN) return false;
    if (!this.#closer.linger(slot, word, ConnectionEvent.shed, CloseReason.shed)) return false;
    this.#leaving.set(slot, incarnationOf(word));
    return true;
  }
}
