/**
 * Which connection slots are free: last-in first-out, so that few slots are ever touched.
 *
 * Thread: the listener's alone; nothing here is shared. Every slot is free, or in use, never both.
 */
export class SlotPool {
  readonly #size: number;
  readonly #free: number[] = [];
  #watermark = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /** Free slots. */
  get available(): number {
    return this.#size - this.inUse;
  }

  get inUse(): number {
    return this.#watermark - this.#free.length;
  }

  /** Slots 0 .. watermark - 1 have been used. */
  get watermark(): number {
    return this.#watermark;
  }

  /** The next slot `take` gives, without taking it, `ahead` places further; call only below `available`. */
  peek(ahead: number): number {
    const index = this.#free.length - 1 - ahead;
    return index >= 0 ? (this.#free[index] as number) : this.#watermark - index - 1;
  }

  take(): number {
    const slot = this.#free.pop();
    if (slot !== undefined) return slot;
    if (this.#watermark === this.#size) throw new Error('no free slot: ask `available` first');
    return this.#watermark++;
  }

  give(slot: number): void {
    this.#free.push(slot);
  }
}
