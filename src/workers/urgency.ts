/**
 * How urgent a worker's thread is to the kernel.
 *
 * Role: while a handler runs that is known to be long, the thread gives way to those that poll, answer short requests
 * and accept: it has the default time slice and a higher nice value. The leader is then put on a processor with the
 * next event, not after a turn of somebody who computes.
 * Thread: one worker, and it alone is affected.
 */
import { type Native, NICEST, SHORT_SLICE_US } from '../listener/native.ts';

export class Urgency {
  readonly #native: Native;
  readonly #short: number;
  readonly #long: number;

  /**
   * @param added to the nice value while a handler is known to be long; where there is no way back (RLIMIT_NICE, no
   *   CAP_SYS_NICE) nothing is added
   */
  constructor(native: Native, added: number) {
    this.#native = native;
    this.#short = native.nice();
    const returns = added > 0 && native.niceAndBack() === 1;
    this.#long = returns ? Math.min(NICEST, this.#short + added) : this.#short;
    native.setSlice(SHORT_SLICE_US);
  }

  /** Before a handler that is known to be long. */
  giveWay(): void {
    this.#native.setSlice(0);
    if (this.#long !== this.#short) this.#native.setNice(this.#long);
  }

  /** After it. */
  takeBack(): void {
    if (this.#long !== this.#short) this.#native.setNice(this.#short);
    this.#native.setSlice(SHORT_SLICE_US);
  }
}

/** A lengthy worker gives way for good. */
export function giveWayForGood(native: Native, added: number): void {
  native.setNice(Math.min(NICEST, native.nice() + added));
}
