/**
 * Memory for bytes that wait for a slow client, used again and again.
 *
 * Role: what a socket did not take is copied into blocks of a fixed size. Kept where it was it would
 * live through collections of V8's young generation, one piece for every slow client, and a worker
 * would stand still for milliseconds each time.
 * Thread: one worker.
 */
export const BLOCK_BYTES = 16 * 1024;
/** Blocks kept when nobody needs them. */
const MAX_SPARE = 256;

export class BlockPool {
  readonly #spare: Uint8Array[] = [];
  readonly #used = new Map<ArrayBufferLike, Uint8Array>();

  /** Appends a copy of the bytes to `pieces`, in as many blocks as they need. */
  keep(bytes: Uint8Array, pieces: { push(piece: Uint8Array): unknown }): void {
    for (let from = 0; from < bytes.length; from += BLOCK_BYTES) {
      const length = Math.min(BLOCK_BYTES, bytes.length - from);
      const block = this.#spare.pop() ?? new Uint8Array(BLOCK_BYTES);
      this.#used.set(block.buffer, block);
      block.set(bytes.subarray(from, from + length));
      pieces.push(block.subarray(0, length));
    }
  }

  /** A piece has left, or never will. Pieces of other memory are none of the pool's. */
  release(piece: Uint8Array): void {
    const block = this.#used.get(piece.buffer);
    if (block === undefined) return;
    this.#used.delete(piece.buffer);
    if (this.#spare.length < MAX_SPARE) this.#spare.push(block);
  }

  /** Blocks in use. */
  get used(): number {
    return this.#used.size;
  }
}
