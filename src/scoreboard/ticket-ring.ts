/**
 * A bounded lock-free ring of tickets, many producers, many consumers (D. Vyukov's bounded MPMC queue).
 *
 * Role: carries connection slots from whoever found work to whoever is free.
 * Thread: any. Words: the tail is moved by producers, the head by consumers, each on a cache line of
 * its own; a cell's sequence is written by the one producer or consumer that won its position.
 *
 * A cell's sequence says whose turn it is: equal to a position, that producer's; position + 1, that
 * consumer's. Positions wrap at 2^32 and are compared by difference, so wrap-around is not special;
 * a sleeping thread would have to miss 2^32 operations to be fooled.
 */

const TAIL = 0;
const HEAD = 32;
const CELLS = 64;
const CELL_WORDS = 2;

export const EMPTY = -1;

export class TicketRing {
  readonly capacity: number;
  readonly #words: Int32Array;
  readonly #mask: number;

  /** @param words the ring's own part of the scoreboard, `TicketRing.bytes(capacity)` long */
  constructor(words: Int32Array, capacity: number) {
    if (capacity < 2 || (capacity & (capacity - 1)) !== 0) {
      throw new RangeError('ring capacity must be a power of two');
    }
    this.#words = words;
    this.capacity = capacity;
    this.#mask = capacity - 1;
  }

  static bytes(capacity: number): number {
    return (CELLS + capacity * CELL_WORDS) * 4;
  }

  /** Once, before any other thread sees the memory. */
  initialise(): void {
    for (let position = 0; position < this.capacity; position++) {
      this.#words[CELLS + position * CELL_WORDS] = position;
    }
  }

  /** False where the ring is full. */
  push(ticket: number): boolean {
    const words = this.#words;
    let position = Atomics.load(words, TAIL);
    for (;;) {
      const cell = CELLS + (position & this.#mask) * CELL_WORDS;
      const turn = (Atomics.load(words, cell) - position) | 0;
      if (turn === 0) {
        const seen = Atomics.compareExchange(words, TAIL, position, (position + 1) | 0);
        if (seen === position) {
          words[cell + 1] = ticket;
          Atomics.store(words, cell, (position + 1) | 0);
          return true;
        }
        position = seen;
      } else if (turn < 0) {
        return false;
      } else {
        position = Atomics.load(words, TAIL);
      }
    }
  }

  /** The oldest ticket, or `EMPTY`. */
  pop(): number {
    const words = this.#words;
    let position = Atomics.load(words, HEAD);
    for (;;) {
      const cell = CELLS + (position & this.#mask) * CELL_WORDS;
      const turn = (Atomics.load(words, cell) - ((position + 1) | 0)) | 0;
      if (turn === 0) {
        const seen = Atomics.compareExchange(words, HEAD, position, (position + 1) | 0);
        if (seen === position) {
          const ticket = words[cell + 1] as number;
          Atomics.store(words, cell, (position + this.capacity) | 0);
          return ticket;
        }
        position = seen;
      } else if (turn < 0) {
        return EMPTY;
      } else {
        position = Atomics.load(words, HEAD);
      }
    }
  }

  /** The oldest ticket, which stays; `EMPTY` where there is none. It may be gone by now. */
  peek(): number {
    const words = this.#words;
    const position = Atomics.load(words, HEAD);
    const cell = CELLS + (position & this.#mask) * CELL_WORDS;
    if (Atomics.load(words, cell) !== ((position + 1) | 0)) return EMPTY;
    return words[cell + 1] as number;
  }

  /** Takes the oldest ticket where it is this one; false: another is, or somebody else was first. */
  popIf(ticket: number): boolean {
    const words = this.#words;
    const position = Atomics.load(words, HEAD);
    const cell = CELLS + (position & this.#mask) * CELL_WORDS;
    if (Atomics.load(words, cell) !== ((position + 1) | 0)) return false;
    // Nobody writes the cell before this position was taken, so the ticket is the one that is taken.
    if ((words[cell + 1] as number) !== ticket) return false;
    const next = (position + 1) | 0;
    if (Atomics.compareExchange(words, HEAD, position, next) !== position) return false;
    Atomics.store(words, cell, (position + this.capacity) | 0);
    return true;
  }

  /** Position of the next push; tickets before it are in the ring or taken. */
  get tail(): number {
    return Atomics.load(this.#words, TAIL);
  }

  /** Position of the next pop. */
  get head(): number {
    return Atomics.load(this.#words, HEAD);
  }

  /** How many tickets are in it; exact only while nobody moves. */
  get length(): number {
    return Math.max(0, (this.tail - this.head) | 0);
  }
}
