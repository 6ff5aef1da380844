/**
 * What a session is to be called for besides bytes: to greet, to be woken, to say last words.
 *
 * Role: one word a slot, the incarnation of its session and a bit for each reason. Whoever has a reason
 * sets its bit first and then sees to it that a worker looks: a waiting connection is moved to the queue,
 * an owned one gets a flag, so that its release fails once. Whoever owns the connection takes all bits
 * before it tries to let it go. So either the owner finds the bit, or whoever set it finds the connection
 * let go; and several wakes before a look are one.
 * Thread: any. A bit is set by compare-and-swap on the incarnation, so that it never falls to the next
 * session of the slot.
 */
import { noteQueued } from './queue-time.ts';
import type { Scoreboard } from './scoreboard.ts';
import { ConnectionEvent, ConnectionState } from './states.ts';
import { FLAG_READY, flagsOf, incarnationOf, Outcome, stateOf } from './transition.ts';

/** Why a session is called, as bits. */
export const Call = { greeting: 1, woken: 2, timeout: 4, stopping: 8 } as const;
export type Call = (typeof Call)[keyof typeof Call];

const CALLS_MASK = 0xff;
const INCARNATION_SHIFT = 8;

export class Notices {
  readonly #words: Int32Array;

  /** @param words one a slot */
  constructor(words: Int32Array) {
    this.#words = words;
  }

  /** The listener, when it accepts a session and before anybody else can know of it. */
  open(slot: number, incarnation: number, calls: number): void {
    Atomics.store(this.#words, slot, (incarnation << INCARNATION_SHIFT) | calls);
  }

  /** False: the slot has another session by now. */
  add(slot: number, incarnation: number, call: number): boolean {
    for (;;) {
      const seen = Atomics.load(this.#words, slot);
      if (seen >>> INCARNATION_SHIFT !== incarnation) return false;
      if ((seen & call) === call) return true;
      if (Atomics.compareExchange(this.#words, slot, seen, seen | call) === seen) return true;
    }
  }

  /** The owner of the connection: all calls that are due. */
  take(slot: number): number {
    if ((Atomics.load(this.#words, slot) & CALLS_MASK) === 0) return 0;
    return Atomics.and(this.#words, slot, ~CALLS_MASK) & CALLS_MASK;
  }
}

/** `queued`: the caller puts the slot's ticket into the queue and wakes a worker. */
export const Notified = { stale: 0, noted: 1, queued: 2 } as const;
export type Notified = (typeof Notified)[keyof typeof Notified];

/**
 * Has a session called for this reason, by whichever worker takes it or owns it already. `stale`: it has
 * ended, or no worker will call it any more.
 * @param now `performance.now()`
 */
export function notify(
  board: Scoreboard,
  slot: number,
  incarnation: number,
  call: Call,
  now: number,
): Notified {
  if (!board.notices.add(slot, incarnation, call)) return Notified.stale;
  // Ends: each pass either moves the word or sees one that somebody else has moved.
  for (;;) {
    const word = board.word(slot);
    if (incarnationOf(word) !== incarnation) return Notified.stale;
    switch (stateOf(word)) {
      case ConnectionState.waitRequest:
      case ConnectionState.readRequest:
      case ConnectionState.keepalive:
        if (!noteQueued(board, slot, word, now)) continue;
        if (board.move(slot, word, ConnectionEvent.notify) === Outcome.moved) {
          return Notified.queued;
        }
        continue;
      case ConnectionState.processing: {
        // One that is there already makes the release fail as well.
        const flags = flagsOf(word) | FLAG_READY;
        if (flags === flagsOf(word)) return Notified.noted;
        if (board.move(slot, word, ConnectionEvent.notify, 0, flags) === Outcome.moved) {
          return Notified.noted;
        }
        continue;
      }
      // A worker will take the calls before it can let it go again.
      case ConnectionState.queued:
      case ConnectionState.suspended:
      case ConnectionState.resuming:
      case ConnectionState.writeCompletion:
        return Notified.noted;
      default:
        return Notified.stale;
    }
  }
}
