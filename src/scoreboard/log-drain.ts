/**
 * Takes the lines of all rings to the file, one thread at a time.
 *
 * Role: holds the log, copies what is published, writes it in few large pieces, and gives the room back.
 * Thread: any, one object each; `owner` in the log's memory says whose turn it is.
 *
 * A head moves after the write, by as many bytes as left, so nothing is lost if this thread dies on the
 * way: the next holder begins at the heads it finds. What was written while its head had not moved is
 * then written twice. A write may stop within a line; the next one begins with the rest of that line.
 */
import type { LogRings } from './log-rings.ts';

export const Drained = {
  /** All that was published when its ring was looked at has been written. */
  done: 0,
  /** Another thread holds the log. */
  busy: 1,
  /** The file takes no bytes now. */
  stuck: 2,
} as const;
export type Drained = (typeof Drained)[keyof typeof Drained];

/** Private memory that lines are gathered in. */
export interface Gathering<Target> {
  readonly memory: Target;
  /** At least a ring's capacity. */
  readonly capacity: number;
}

/** Writes the first `length` bytes; returns how many left, fewer where the file takes no more now. */
export type WriteLines<Target> = (memory: Target, length: number) => number;

export class LogDrain<Target = Uint8Array> {
  readonly #log: LogRings<Target>;
  readonly #self: number;
  readonly #gathering: Gathering<Target>;
  readonly #write: WriteLines<Target>;
  /** Ring and bytes of each part that was gathered. */
  readonly #parts: number[] = [];
  #gathered = 0;

  /**
   * @param self number of the calling thread's own ring
   * @param write must not throw
   */
  constructor(
    log: LogRings<Target>,
    self: number,
    gathering: Gathering<Target>,
    write: WriteLines<Target>,
  ) {
    this.#log = log;
    this.#self = self;
    this.#gathering = gathering;
    this.#write = write;
  }

  /** Writes what all rings hold. */
  drain(): Drained {
    if (!this.#log.take(this.#self)) return Drained.busy;
    const complete = this.#pass();
    this.#log.tried(complete);
    this.#log.release();
    return complete ? Drained.done : Drained.stuck;
  }

  #pass(): boolean {
    const { rings, resume } = this.#log;
    this.#parts.length = 0;
    this.#gathered = 0;
    for (let step = 0; step < rings.length; step++) {
      const number = (resume + step) % rings.length;
      const ring = rings[number] as (typeof rings)[number];
      const { length } = ring;
      if (length === 0) continue;
      if (this.#gathered + length > this.#gathering.capacity && !this.#flush()) return false;
      ring.copyTo(this.#gathering.memory, this.#gathered, length);
      this.#parts.push(number, length);
      this.#gathered += length;
    }
    return this.#flush();
  }

  #flush(): boolean {
    if (this.#gathered === 0) return true;
    let left = this.#write(this.#gathering.memory, this.#gathered);
    const parts = this.#parts;
    for (let index = 0; index < parts.length; index += 2) {
      const number = parts[index] as number;
      const length = parts[index + 1] as number;
      // Before the head: a holder that follows a dead one must not begin elsewhere, within a line.
      if (left < length) this.#log.resume = number;
      this.#log.rings[number]?.advance(Math.min(left, length));
      if (left < length) return false;
      left -= length;
    }
    parts.length = 0;
    this.#gathered = 0;
    return true;
  }
}
