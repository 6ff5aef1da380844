/**
 * A ring of bytes in shared memory: the access log lines of one thread on their way to the file.
 *
 * Role: one writer appends whole lines, whoever holds the log (log-rings.ts) takes them out.
 * Thread: `append` by the ring's one writer; `copyTo` and `advance` by the holder of the log.
 *
 * The tail is stored after the line's bytes and covers whole lines only, so a reader never sees half a
 * line, and what a writer had published before it died is there to be read. The head is stored after the
 * bytes have been copied and written, so the writer never overwrites what is still wanted. Positions are
 * counts of bytes that wrap at 2^32 and are compared by difference.
 */
import { LOG_RING } from './layout.ts';

const TAIL = LOG_RING.tail.offset >> 2;
const HEAD = LOG_RING.head.offset >> 2;
const LOST = LOG_RING.lost.offset >> 2;

/** What a ring asks of its bytes; a Buffer, but for the models. */
export interface LogBytes<Target> {
  /** Writes as much of `text` as there is room for from `at` on, a byte a character; how many. */
  latin1Write(text: string, at: number): number;
  /** Copies [start, end) to `target` from `at` on. */
  copy(target: Target, at: number, start: number, end: number): number;
}

export class LogRing<Target = Uint8Array> {
  readonly capacity: number;
  readonly #words: Int32Array;
  readonly #bytes: LogBytes<Target>;
  readonly #mask: number;

  /**
   * @param words the ring's own head in the log's memory
   * @param bytes the `capacity` bytes behind it, a power of two
   */
  constructor(words: Int32Array, bytes: LogBytes<Target>, capacity: number) {
    if (capacity < 1 || (capacity & (capacity - 1)) !== 0) {
      throw new RangeError('the capacity of a log ring must be a power of two');
    }
    this.#words = words;
    this.#bytes = bytes;
    this.capacity = capacity;
    this.#mask = capacity - 1;
  }

  /**
   * Publishes a line, its line feed included; characters above U+00FF must not be in it. False: there
   * is no room now.
   * @throws RangeError where the line could never fit
   */
  append(line: string): boolean {
    const { capacity } = this;
    const { length } = line;
    if (length > capacity) throw new RangeError(`a log line of ${length} bytes is too long`);
    const words = this.#words;
    const tail = words[TAIL] as number;
    if (((tail - Atomics.load(words, HEAD)) | 0) + length > capacity) return false;
    const written = this.#bytes.latin1Write(line, tail & this.#mask);
    if (written < length) this.#bytes.latin1Write(line.slice(written), 0);
    Atomics.store(words, TAIL, (tail + length) | 0);
    return true;
  }

  /** The writer gave a line up. */
  lose(): void {
    this.#words[LOST] = ((this.#words[LOST] as number) + 1) | 0;
  }

  /** Lines that were given up, over all threads that had this ring. */
  get lost(): number {
    return Atomics.load(this.#words, LOST) >>> 0;
  }

  /** Bytes published and not taken; for the writer and the holder, an estimate for others. */
  get length(): number {
    const head = Atomics.load(this.#words, HEAD);
    return (Atomics.load(this.#words, TAIL) - head) | 0;
  }

  /** The oldest `count` bytes, which must be published. */
  copyTo(target: Target, at: number, count: number): void {
    const start = Atomics.load(this.#words, HEAD) & this.#mask;
    const first = Math.min(count, this.capacity - start);
    this.#bytes.copy(target, at, start, start + first);
    if (first < count) this.#bytes.copy(target, at + first, 0, count - first);
  }

  /** They were written; their room is the writer's again. */
  advance(count: number): void {
    const words = this.#words;
    Atomics.store(words, HEAD, (Atomics.load(words, HEAD) + count) | 0);
  }
}
