/**
 * The access log's shared memory: a ring for each child slot, one for the listener, and who may write.
 *
 * Role: finds the rings; the words by which threads agree on one holder of the log (`owner`), on one
 * ticket in the queue (`pending`) and on when files are to be opened anew (`generation`).
 * Thread: any. May not: write a file; see log-drain.ts.
 *
 * A child that dies as the holder leaves its name in `owner`; the listener clears it (`releaseFor`).
 */
import { elapsedTicks, nowTicks } from './clock.ts';
import {
  LOG_HEADER,
  LOG_HEADER_BYTES,
  LOG_RING,
  LOG_RING_BYTES,
  LOG_RING_STRIDE,
} from './layout.ts';
import { type LogBytes, LogRing } from './log-ring.ts';

const OWNER = LOG_HEADER.owner.offset >> 2;
const PENDING = LOG_HEADER.pending.offset >> 2;
const GENERATION = LOG_HEADER.generation.offset >> 2;
const RESUME = LOG_HEADER.resume.offset >> 2;
const RETRY = LOG_HEADER.retryTicks.offset >> 2;
const NOBODY = 0;
/** How long a file that took nothing is left alone, by all threads. */
const RETRY_MS = 1_000;

/** Where the parts are; a model brings its own. */
export interface LogParts<Target> {
  readonly header: Int32Array;
  readonly rings: readonly LogRing<Target>[];
}

export class LogRings<Target = Uint8Array> {
  readonly rings: readonly LogRing<Target>[];
  readonly #header: Int32Array;

  constructor({ header, rings }: LogParts<Target>) {
    this.#header = header;
    this.rings = rings;
  }

  static bytes(count: number): number {
    return LOG_HEADER_BYTES + count * LOG_RING_STRIDE;
  }

  /** Over `LogRings.bytes(count)` of zeroed memory. */
  static attach(memory: SharedArrayBuffer, count: number): LogRings {
    const rings = Array.from({ length: count }, (_, index) => {
      const start = LOG_HEADER_BYTES + index * LOG_RING_STRIDE;
      const bytesAt = start + LOG_RING.bytes.offset;
      return new LogRing(
        new Int32Array(memory, start, LOG_RING.bytes.offset >> 2),
        // latin1Write stands in every Buffer, but not in its declared type.
        Buffer.from(memory, bytesAt, LOG_RING_BYTES) as Buffer & LogBytes<Uint8Array>,
        LOG_RING_BYTES,
      );
    });
    return new LogRings({ header: new Int32Array(memory, 0, LOG_HEADER_BYTES >> 2), rings });
  }

  /** Lines wait in some ring. */
  get hasLines(): boolean {
    return this.rings.some((ring) => ring.length > 0);
  }

  /** Lines that were lost, by any thread. */
  get lost(): number {
    return this.rings.reduce((sum, ring) => sum + ring.lost, 0);
  }

  // ---- the holder -----------------------------------------------------------------------------------

  /** True: the thread of ring `self` holds the log until `release`. */
  take(self: number): boolean {
    return Atomics.compareExchange(this.#header, OWNER, NOBODY, self + 1) === NOBODY;
  }

  release(): void {
    Atomics.store(this.#header, OWNER, NOBODY);
    Atomics.notify(this.#header, OWNER);
  }

  /** For a thread that is gone; whoever waits for the log goes on. */
  releaseFor(dead: number): void {
    if (Atomics.compareExchange(this.#header, OWNER, dead + 1, NOBODY) !== dead + 1) return;
    Atomics.notify(this.#header, OWNER);
  }

  /** When no other thread lives, whoever it was that held the log. */
  releaseAll(): void {
    Atomics.store(this.#header, OWNER, NOBODY);
  }

  get held(): boolean {
    return Atomics.load(this.#header, OWNER) !== NOBODY;
  }

  /** Blocks while somebody holds the log, for so long at most. */
  awaitRelease(milliseconds: number): void {
    const owner = Atomics.load(this.#header, OWNER);
    if (owner !== NOBODY) Atomics.wait(this.#header, OWNER, owner, milliseconds);
  }

  /** The ring that the next holder begins with: where a write stopped, perhaps within a line. */
  get resume(): number {
    return Atomics.load(this.#header, RESUME);
  }

  set resume(ring: number) {
    Atomics.store(this.#header, RESUME, ring);
  }

  /** The holder found that the file takes lines, or does not. */
  tried(took: boolean): void {
    // 0 has its own meaning; a millisecond does not matter.
    const retry = took ? 0 : (nowTicks() + RETRY_MS) | 0 || 1;
    if (!took || Atomics.load(this.#header, RETRY) !== 0) {
      Atomics.store(this.#header, RETRY, retry);
    }
  }

  /** The file may be written to: to try costs a thread its patience, so only one in a while does. */
  get ready(): boolean {
    const retry = Atomics.load(this.#header, RETRY);
    return retry === 0 || elapsedTicks(retry, nowTicks()) >= 0;
  }

  // ---- the ticket -----------------------------------------------------------------------------------

  /** True: the caller puts the log's ticket into the queue. */
  takePending(): boolean {
    return Atomics.compareExchange(this.#header, PENDING, 0, 1) === 0;
  }

  /** Before the rings are looked at: what is published from now on may have a ticket of its own. */
  clearPending(): void {
    Atomics.store(this.#header, PENDING, 0);
  }

  get pending(): boolean {
    return Atomics.load(this.#header, PENDING) === 1;
  }

  // ---- rotation -------------------------------------------------------------------------------------

  get generation(): number {
    return Atomics.load(this.#header, GENERATION);
  }

  /** Main: every thread opens the file anew before its next write. */
  raiseGeneration(): void {
    Atomics.add(this.#header, GENERATION, 1);
  }
}
