/**
 * Connection buffers as a worker sees them: two at hand, the rest in the shared set.
 *
 * Role: a connection takes a buffer with its first byte and gives it up when no byte is left over; a
 * worker that serves one request after another uses the same one and never touches the shared set.
 * Thread: one worker. The spares stand in the child slot, so that a dead worker's are found.
 */
import { CHILD, SPARE_BUFFERS } from '../scoreboard/layout.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';

const SPARE_FIELDS = [CHILD.spareBuffer0, CHILD.spareBuffer1];

export class BufferStore {
  readonly #board: Scoreboard;
  readonly #child: number;
  readonly #spares: number[] = [];

  constructor(board: Scoreboard, child: number) {
    this.#board = board;
    this.#child = child;
  }

  /** Number of a buffer that is now the caller's. */
  take(): number {
    const spare = this.#spares.pop();
    if (spare !== undefined) {
      this.#record(this.#spares.length, 0);
      return spare;
    }
    this.#board.addToChild(this.#child, CHILD.bufferMisses, 1);
    const taken = this.#board.freeBuffers.takeLowest();
    // There are as many as slots and spares together, so this is a broken invariant.
    if (taken < 0) throw new Error('no connection buffer is free');
    return taken;
  }

  give(buffer: number): void {
    if (this.#spares.length < SPARE_BUFFERS) {
      this.#record(this.#spares.length, buffer + 1);
      this.#spares.push(buffer);
    } else {
      this.#board.freeBuffers.add(buffer);
    }
  }

  /** At retirement. */
  release(): void {
    while (this.#spares.length > 0) this.#board.freeBuffers.add(this.take());
  }

  #record(position: number, value: number): void {
    const field = SPARE_FIELDS[position] as { readonly offset: number };
    this.#board.words[this.#board.childIndex(this.#child) + (field.offset >> 2)] = value;
  }
}
