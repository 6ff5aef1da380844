/**
 * What a poll event does to a connection, whoever polled.
 *
 * Role: the poller's rows of the transition table: waiting connections go to the queue, owned ones get
 * flags, suspended ones go to their child's inbox. What only the listener may do is handed to it.
 * Thread: the listener, or the worker that leads; one object each. Two may route events of the same
 * connection at once (a former leader and the present one): every step is a compare-and-swap, and who
 * loses looks again.
 */
import { pushInbox } from '../scoreboard/inbox.ts';
import { CHILD } from '../scoreboard/layout.ts';
import { noteQueued } from '../scoreboard/queue-time.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../scoreboard/states.ts';
import {
  FLAG_END,
  FLAG_HANGUP,
  FLAG_READY,
  flagsOf,
  incarnationOf,
  Outcome,
  ownerOf,
  stateOf,
} from '../scoreboard/transition.ts';
import { type Signal, wakeChild } from '../scoreboard/wake.ts';

/** Event bits of the poll sets. */
export interface EventBits {
  readonly hangup: number;
  readonly endOfStream: number;
  readonly writable: number;
}

/** What happened to an event, for the counters of whoever routed it. */
export const Routed = {
  queued: 0,
  noticed: 1,
  resumed: 2,
  stale: 3,
  nothing: 4,
  lingers: 5,
  completes: 6,
  departed: 7,
  tunnels: 8,
} as const;
export type Routed = (typeof Routed)[keyof typeof Routed];

export class EventRouter {
  readonly #board: Scoreboard;
  readonly #bits: EventBits;
  readonly #signal: Signal;
  readonly #ends: number;
  /** `performance.now()` of the present batch. */
  now = performance.now();

  constructor(board: Scoreboard, bits: EventBits, signal: Signal) {
    this.#board = board;
    this.#bits = bits;
    this.#signal = signal;
    this.#ends = bits.endOfStream | bits.hangup;
  }

  /**
   * Routes one event. `queued`: the caller puts the slot's ticket into the ring. `lingers`, `completes`
   * and `departed`: only the listener can act on it. `tunnels`: so can it, from its own set; a leading
   * worker's is of the time before.
   */
  route(slot: number, incarnation: number, events: number): Routed {
    const board = this.#board;
    // Ends: each pass either moves the word or sees one that somebody else has moved.
    for (;;) {
      const word = board.word(slot);
      if (incarnationOf(word) !== incarnation) return Routed.stale;
      switch (stateOf(word)) {
        case ConnectionState.free:
          return Routed.stale;
        case ConnectionState.waitRequest:
        case ConnectionState.readRequest:
        case ConnectionState.keepalive:
          // The late echo of a response that has left.
          if (events === this.#bits.writable) return Routed.nothing;
          if (this.#queue(slot, word, events)) return Routed.queued;
          continue;
        case ConnectionState.processing:
          if (this.#notice(slot, word, events)) return Routed.noticed;
          continue;
        case ConnectionState.suspended:
          if (this.resume(slot, word, ConnectionEvent.ready, events)) return Routed.resumed;
          continue;
        case ConnectionState.writeCompletion:
          if (!this.#noticeForListener(slot, word, events)) continue;
          return (events & (this.#bits.writable | this.#bits.hangup)) !== 0
            ? Routed.completes
            : Routed.noticed;
        case ConnectionState.lingerNormal:
        case ConnectionState.lingerShort:
          return Routed.lingers;
        case ConnectionState.tunnel:
          return Routed.tunnels;
        case ConnectionState.lengthyQueued: {
          const flags = this.#flagsFor(events) & (FLAG_END | FLAG_HANGUP) & ~flagsOf(word);
          if (flags === 0) return Routed.nothing;
          if (board.move(slot, word, ConnectionEvent.notice, 0, flags) !== Outcome.moved) continue;
          return Routed.departed;
        }
        case ConnectionState.queued:
        case ConnectionState.resuming: {
          // The worker will see for itself, but for the end of the stream: it reads what there is.
          if ((events & this.#ends) === 0) return Routed.nothing;
          // In resuming the other flag tells of a timeout.
          const reset = stateOf(word) === ConnectionState.queued ? this.#resetFlag(events) : 0;
          const flags = FLAG_END | reset;
          if (board.move(slot, word, ConnectionEvent.notice, 0, flags) === Outcome.moved) {
            return Routed.noticed;
          }
          continue;
        }
        default:
          return Routed.nothing;
      }
    }
  }

  /** Two may try at once; both mean the same moment. */
  #queue(slot: number, word: number, events: number): boolean {
    const board = this.#board;
    if (!noteQueued(board, slot, word, this.now)) return false;
    // A flag, since only the word itself says which connection it is of. Whoever claims it reads to the end.
    const flags = this.#endFlag(events) | this.#resetFlag(events);
    return board.move(slot, word, ConnectionEvent.readable, 0, flags) === Outcome.moved;
  }

  /** The listener, for a client that holds a small body back; false: somebody has moved it, so it goes on. */
  queueHeldBack(slot: number, word: number): boolean {
    const board = this.#board;
    if (!noteQueued(board, slot, word, performance.now())) return false;
    return board.move(slot, word, ConnectionEvent.heldBack) === Outcome.moved;
  }

  /** Leaves flags for the worker that owns the connection; its release fails once. */
  #notice(slot: number, word: number, events: number): boolean {
    const flags = this.#flagsFor(events);
    const board = this.#board;
    if (board.move(slot, word, ConnectionEvent.notice, 0, flags) !== Outcome.moved) return false;
    // A handler that waits or streams has to be told that its client left, once of each.
    if ((flags & ~flagsOf(word) & (FLAG_HANGUP | FLAG_END)) !== 0) {
      const child = ownerOf(word);
      board.setChild(child, CHILD.attention, 1);
      wakeChild(board, child, this.#signal);
    }
    return true;
  }

  #flagsFor(events: number): number {
    return FLAG_READY | this.#endFlag(events) | this.#resetFlag(events);
  }

  /** The peer sends nothing more. */
  #endFlag(events: number): number {
    return (events & this.#ends) !== 0 ? FLAG_END : 0;
  }

  /** Nothing can be sent to this peer any more. */
  #resetFlag(events: number): number {
    return (events & this.#bits.hangup) !== 0 ? FLAG_HANGUP : 0;
  }

  /** Leaves flags for the listener, which looks at them when it has sent the rest. */
  #noticeForListener(slot: number, word: number, events: number): boolean {
    if ((events & ~this.#bits.writable) === 0) return true;
    const flags = this.#flagsFor(events);
    return this.#board.move(slot, word, ConnectionEvent.notice, 0, flags) === Outcome.moved;
  }

  /**
   * Gives a suspended connection to its child; false: somebody else moved it.
   * @param event `timeout` is told to the child by a flag
   * @param events of the poll; an end of stream is told by a flag, too
   */
  resume(
    slot: number,
    word: number,
    event: typeof ConnectionEvent.ready | typeof ConnectionEvent.timeout,
    events = 0,
  ): boolean {
    const board = this.#board;
    const flags = event === ConnectionEvent.timeout ? FLAG_HANGUP : this.#endFlag(events);
    if (board.move(slot, word, event, 0, flags) !== Outcome.moved) return false;
    const child = ownerOf(word);
    pushInbox(board, child, slot);
    wakeChild(board, child, this.#signal);
    return true;
  }
}
