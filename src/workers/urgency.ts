/**
 * How urgent a worker's thread is to the kernel.
 *
 * Role: while a handler runs that is known to be long, the thread gives way to those that poll, answer short requests
 * and accept: it has the default time slice and a higher nice value. The leader is then put on a processor with the
 * next event, not after a turn of somebody who computes.
 * Thread: one worker, and it alone is affected.
 *
 * Where the kernel lets nobody lower a nice value again (RLIMIT_NICE, no CAP_SYS_NICE), the first workers, one for each
 * processor, stay as they are, and each of the others is nicer from its first long handler on. Long requests are left to
 * the highest idle worker and the lowest is woken for short ones, so the two mostly find their own.
 */
import { availableParallelism } from 'node:os';
import { type Native, NICEST, SHORT_SLICE_US } from '../listener/native.ts';
import type { WorkerContext } from './context.ts';

export class Urgency {
  readonly #native: Native;
  readonly #short: number;
  readonly #long: number;
  /** There is a way back from `long` to `short`. */
  readonly #returns: boolean;
  /** This thread's nice value plus 20. */
  #now: number;

  /**
   * @param added to the nice value while a handler is known to be long, 0 .. 19
   * @param child this worker's slot
   * @param kept workers that stay as they are where there is no way back
   */
  constructor(native: Native, added: number, child: number, kept = availableParallelism()) {
    this.#native = native;
    this.#short = native.nice();
    this.#now = this.#short;
    this.#returns = added > 0 && native.niceAndBack() === 1;
    const mayAdd = this.#returns || child >= kept;
    this.#long = mayAdd ? Math.min(NICEST, this.#short + added) : this.#short;
    native.setSlice(SHORT_SLICE_US);
  }

  /** Before a handler that is known to be long. */
  giveWay(): void {
    this.#native.setSlice(0);
    this.#set(this.#long);
  }

  /** After it. */
  takeBack(): void {
    if (this.#returns) this.#set(this.#short);
    this.#native.setSlice(SHORT_SLICE_US);
  }

  #set(nice: number): void {
    if (nice === this.#now) return;
    this.#native.setNice(nice);
    this.#now = nice;
  }
}

/** Of this worker. A lengthy one gives way for good, so it has none. */
export function urgencyOf({ native, options, child, isLengthy }: WorkerContext): Urgency | null {
  if (!isLengthy) return new Urgency(native, options.longHandlerNice, child);
  native.setNice(Math.min(NICEST, native.nice() + (options.lengthy?.nice ?? 0)));
  return null;
}
