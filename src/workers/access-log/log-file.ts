/**
 * The file, or standard output, that lines go to: one descriptor of this thread's own.
 *
 * Role: opens for appending at the first write, and anew when the log's generation has risen; writes all
 * it is given, or says how much left.
 * Thread: any, one object each. Blocks: a thread that writes has nothing else to do meanwhile.
 * May not: throw from `write`.
 *
 * Not a stream library: those keep what a file did not take, in the memory of one thread. Here it stays
 * in the ring, where another thread finds it, so the writer has to know the number of bytes that left.
 */
import { closeSync, openSync, writeSync } from 'node:fs';

/** `accessLog` where it is not a path. */
export const STDOUT = 'stdout';
const STDOUT_DESCRIPTOR = 1;
/** How long a pipe or terminal may take nothing before a write gives up. */
const PATIENCE_MS = 100;
const PAUSE_MS = 5;
/** A fault is told at most so often by a thread. */
const COMPLAINT_MS = 10_000;

const nothing = new Int32Array(new SharedArrayBuffer(4));
const pause = (): void => {
  Atomics.wait(nothing, 0, 0, PAUSE_MS);
};

/** Read and written by the server's user, read by its group: lines hold addresses of clients. */
export const LOG_FILE_MODE = 0o640;

/** Opens a log file for appending. */
export const openLog = (path: string): number => openSync(path, 'a', LOG_FILE_MODE);

export class LogFile {
  readonly #target: string;
  readonly #generation: () => number;
  readonly #complain: (text: string) => void;
  #descriptor = -1;
  #opened = 0;
  #complainedMs = Number.NEGATIVE_INFINITY;

  /**
   * @param target a path, or `stdout`
   * @param generation of the log; a risen one opens the file anew
   */
  constructor(target: string, generation: () => number, complain: (text: string) => void) {
    this.#target = target;
    this.#generation = generation;
    this.#complain = complain;
  }

  /** Writes bytes[0, length); returns how many left. */
  write(bytes: Uint8Array, length: number): number {
    if (!this.#open()) return 0;
    let at = 0;
    for (let waitedMs = 0; at < length; ) {
      try {
        at += writeSync(this.#descriptor, bytes, at, length - at);
        waitedMs = 0;
      } catch (error) {
        // Standard output may be a pipe that does not block.
        if (codeOf(error) !== 'EAGAIN' || waitedMs >= PATIENCE_MS) {
          this.#tell(error);
          return at;
        }
        pause();
        waitedMs += PAUSE_MS;
      }
    }
    return at;
  }

  #open(): boolean {
    if (this.#target === STDOUT) {
      this.#descriptor = STDOUT_DESCRIPTOR;
      return true;
    }
    const generation = this.#generation();
    if (this.#descriptor >= 0 && generation === this.#opened) return true;
    try {
      const descriptor = openLog(this.#target);
      this.close();
      this.#descriptor = descriptor;
    } catch (error) {
      // The old file is better than none.
      this.#tell(error);
    }
    this.#opened = generation;
    return this.#descriptor >= 0;
  }

  close(): void {
    if (this.#descriptor > STDOUT_DESCRIPTOR) closeSync(this.#descriptor);
    this.#descriptor = -1;
  }

  #tell(error: unknown): void {
    const now = performance.now();
    if (now - this.#complainedMs < COMPLAINT_MS) return;
    this.#complainedMs = now;
    const reason = error instanceof Error ? error.message : String(error);
    this.#complain(`hybrid-mpm: ERR_MPM_ACCESS_LOG: accessLog ${this.#target}: ${reason}\n`);
  }
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;
