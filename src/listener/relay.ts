/**
 * Moves what one socket receives to another, without its passing through this process.
 *
 * Role: splice through a pipe, for responses whose body is another socket's bytes. A pipe exists from
 * the first byte of such a response to its end.
 * Thread: the listener's.
 */
import { EAGAIN, type Native } from './native.ts';

/** What a pipe holds unless told otherwise (pipe(7)). */
const PIPE_BYTES = 64 * 1024;

export interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
  /** Bytes in it. */
  held: number;
  /** The source has ended. */
  ended: boolean;
}

/** `waits`: for either socket. `turn`: enough for one turn. `ended`: the source has, and all is sent. */
export const Relayed = { waits: 0, turn: 1, done: 2, ended: 3, broken: 4 } as const;
export type Relayed = (typeof Relayed)[keyof typeof Relayed];

export class Relay {
  readonly #native: Native;
  readonly #pipes = new Map<number, Pipe>();
  readonly #ends = new Int32Array(2);
  /** Bytes that the last `advance` sent. */
  sent = 0;

  constructor(native: Native) {
    this.#native = native;
  }

  /**
   * @param source descriptor bytes come from, `target` where they go
   * @param length bytes still to be sent; Infinity: until the source ends
   * @param budget bytes for this turn
   */
  advance(slot: number, source: number, target: number, length: number, budget: number): Relayed {
    this.sent = 0;
    const pipe = this.#pipes.get(slot) ?? this.#open(slot);
    if (pipe === null) return Relayed.broken;
    for (;;) {
      const wanted = Math.min(PIPE_BYTES, length - this.sent) - pipe.held;
      let moved = 0;
      if (wanted > 0 && !pipe.ended) {
        moved = this.#native.splice(source, pipe.writeEnd, wanted);
        if (moved === 0) pipe.ended = true;
        else if (moved > 0) pipe.held += moved;
        else if (moved !== EAGAIN) return Relayed.broken;
      }
      if (pipe.held > 0) {
        const count = this.#native.splice(pipe.readEnd, target, pipe.held);
        if (count === EAGAIN) return Relayed.waits;
        if (count <= 0) return Relayed.broken;
        pipe.held -= count;
        this.sent += count;
        if (this.sent === length) return Relayed.done;
        if (this.sent >= budget) return Relayed.turn;
        continue;
      }
      if (pipe.ended) return Relayed.ended;
      if (moved === EAGAIN) return Relayed.waits;
    }
  }

  #open(slot: number): Pipe | null {
    if (this.#native.pipe(this.#ends) < 0) return null;
    const [readEnd = -1, writeEnd = -1] = this.#ends;
    const pipe = { readEnd, writeEnd, held: 0, ended: false };
    this.#pipes.set(slot, pipe);
    return pipe;
  }

  /** The response is over, one way or the other. */
  close(slot: number): void {
    const pipe = this.#pipes.get(slot);
    if (pipe === undefined) return;
    this.#pipes.delete(slot);
    this.#native.close(pipe.readEnd);
    this.#native.close(pipe.writeEnd);
  }
}
