/**
 * One thread's way into the access log: its ring, and its turn at writing the file.
 *
 * Role: appends lines; asks for the log's ticket when the ring fills; takes lines of all threads to the
 * file when the ticket comes, or when its own ring is full.
 * Thread: any, one object each; `append` and `perform` may block, so the listener uses neither while it
 * serves (see src/main/listener-log.ts).
 */
import { LOG_RING_BYTES } from '../../scoreboard/layout.ts';
import { Drained, LogDrain } from '../../scoreboard/log-drain.ts';
import type { LogRing } from '../../scoreboard/log-ring.ts';
import type { LogRings } from '../../scoreboard/log-rings.ts';
import type { LogFormat } from './format.ts';
import { LogFile } from './log-file.ts';

/** `accessLog` and `logFormat`. */
export interface LogSettings {
  /** Absolute path, or `stdout`. */
  readonly target: string;
  readonly format: LogFormat;
}

/** Bytes gathered for one write; made at the first one. */
const GATHERED_BYTES = 128 * 1024;
/** How long a line waits for room while another thread writes. */
const ROOM_DEADLINE_MS = 5_000;
/** After that was in vain, lines without room are lost at once for so long. */
const HOPELESS_MS = 1_000;
const FINISH_PAUSE_MS = 20;
const nothing = new Int32Array(new SharedArrayBuffer(4));

export class LogWriter {
  readonly ring: LogRing;
  readonly #log: LogRings;
  readonly #number: number;
  readonly #file: LogFile;
  readonly #schedule: () => void;
  #drain: LogDrain | null = null;
  #hopelessUntilMs = 0;

  /**
   * @param number of this thread's ring
   * @param schedule puts the log's ticket into the queue, unless it is there or the log is held
   */
  constructor(log: LogRings, number: number, target: string, schedule: () => void) {
    const ring = log.rings[number];
    if (ring === undefined) throw new RangeError(`no log ring ${number}`);
    this.ring = ring;
    this.#log = log;
    this.#number = number;
    this.#schedule = schedule;
    this.#file = new LogFile(
      target,
      () => log.generation,
      (text) => process.stderr.write(text),
    );
  }

  /** Publishes a line. Where there is no room it writes the file itself, or loses the line and counts it. */
  append(line: string): void {
    if (!this.ring.append(line) && !this.#makeRoom(line)) this.ring.lose();
    if (this.ring.length > LOG_RING_BYTES / 2) this.#schedule();
  }

  /** The log's ticket came: takes all lines to the file. */
  perform(): Drained {
    // First, so that lines published from now on may ask for a ticket of their own.
    this.#log.clearPending();
    return this.#log.ready ? this.#drainAll() : Drained.stuck;
  }

  #drainAll(): Drained {
    this.#drain ??= new LogDrain(
      this.#log,
      this.#number,
      { memory: Buffer.allocUnsafeSlow(GATHERED_BYTES), capacity: GATHERED_BYTES },
      (bytes, length) => this.#file.write(bytes, length),
    );
    return this.#drain.drain();
  }

  #makeRoom(line: string): boolean {
    const began = performance.now();
    if (began < this.#hopelessUntilMs || !this.#log.ready) return false;
    const deadline = began + ROOM_DEADLINE_MS;
    for (let now = began; now < deadline; now = performance.now()) {
      const drained = this.#drainAll();
      if (this.ring.append(line)) return true;
      if (drained === Drained.stuck) return false;
      this.#log.awaitRelease(deadline - now);
    }
    this.#hopelessUntilMs = performance.now() + HOPELESS_MS;
    return false;
  }

  /** Writes until nothing is left or the time is over; true: nothing is left. */
  finish(deadlineMs: number): boolean {
    const deadline = performance.now() + deadlineMs;
    do {
      const drained = this.#drainAll();
      if (drained === Drained.done && !this.#log.hasLines) return true;
      if (drained === Drained.stuck) Atomics.wait(nothing, 0, 0, FINISH_PAUSE_MS);
      if (drained === Drained.busy) this.#log.awaitRelease(deadline - performance.now());
    } while (performance.now() < deadline);
    return false;
  }

  /** Lets go of the file; the next write opens it again. */
  close(): void {
    this.#file.close();
  }
}
