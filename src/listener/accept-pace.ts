/**
 * How fast clients come, and whether to wait for the next of them before those that are there are let in.
 *
 * Role: interrupt moderation, as network cards do it. Where a client comes within the time of a nap the
 * listener would wake and fall asleep for each of them, which costs more than what it does for them; after a
 * nap it lets several in at once. A client waits for that time, at most, and none does where few come.
 * Thread: the listener's.
 */

/** How long the listener waits for more clients, microseconds; the kernel makes some 50 more of it. */
export const NAP_US = 100;
/** After a pause this long nothing is known of what comes next. */
const MAX_GAP_US = 10 * NAP_US;
/** Naps begin where clients come this fast, microseconds; they end where fewer than one comes in a nap. */
const BEGIN_GAP_US = 0.75 * NAP_US;
/** Weight of the newest turn in the moving mean. */
const WEIGHT = 1 / 8;

export class AcceptPace {
  /** Moving mean of the time between two clients, microseconds. */
  #meanGapUs = MAX_GAP_US;
  #lastMs = 0;
  /** Another client is to be expected within a nap. */
  isFast = false;

  /** @param now `performance.now()` of a turn that has let `clients` in, one at least */
  accepted(clients: number, now: number): void {
    const gapUs = Math.min((now - this.#lastMs) * 1000, MAX_GAP_US) / clients;
    this.#lastMs = now;
    this.#meanGapUs += (gapUs - this.#meanGapUs) * WEIGHT;
    this.isFast = this.#meanGapUs < (this.isFast ? NAP_US : BEGIN_GAP_US);
  }
}
