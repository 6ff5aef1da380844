/**
 * What a session is due to be called for besides bytes, while a worker owns it.
 *
 * Role: takes the bits that others have set for its connection (`notices.ts`) and keeps them until the
 * calls are made; those that were not go back for the next owner.
 * Thread: one worker, the connection's owner.
 */
import type { Notices } from '../../scoreboard/notices.ts';
import type { Ownership } from '../ownership.ts';

export class DueCalls {
  readonly #notices: Notices;
  readonly #hold: Ownership;
  /** Bits of `Call`. */
  #calls = 0;

  constructor(notices: Notices, hold: Ownership) {
    this.#notices = notices;
    this.#hold = hold;
  }

  /** Of an earlier owner's nothing is left. */
  clear(): void {
    this.#calls = 0;
  }

  /** Before each try to let it go, so that what is asked for later makes that fail; see notices.ts. */
  take(): void {
    this.#calls |= this.#notices.take(this.#hold.slot);
  }

  /** @param calls bits of `Call`, any of them */
  has(calls: number): boolean {
    return (this.#calls & calls) !== 0;
  }

  drop(calls: number): void {
    this.#calls &= ~calls;
  }

  /** True once. */
  once(call: number): boolean {
    const due = this.has(call);
    this.drop(call);
    return due;
  }

  /** Calls that were not made, such as a greeting that waits for a PROXY header, are for the next owner. */
  putBack(): void {
    if (this.#calls === 0) return;
    const { slot, incarnation } = this.#hold;
    this.#notices.add(slot, incarnation, this.#calls);
    this.#calls = 0;
  }
}
