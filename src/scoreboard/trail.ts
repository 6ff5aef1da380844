/**
 * The trail: the last transitions of each connection, with times.
 *
 * Role: `transition()` enters each change of state here; the status page reads it.
 * Thread: whoever moves the state word writes, any thread reads. One object for each thread.
 *
 * Several threads move a connection, and the record needs no lock of its own since the state word is
 * one. Where a single party may leave a state (`HELD_ALONE`), it writes its entry before its
 * compare-and-swap: nobody else writes then, and the next mover finds the entry. Should the swap fail,
 * because of a flag, the entry is taken back. Where several may leave it, the one who won writes after
 * its swap: the state that it made is its own until it passes the connection on (the ticket or the
 * inbox entry comes later, and what the listener or a worker took for itself nobody else moves). The one
 * exception is a ticket that was put into the queue twice: then one entry may be missing. An entry is
 * one 64-bit store, so none is ever torn, and its place is none of those that a reader looks at.
 */
import { elapsedTicks, ticksOf } from './clock.ts';
import { TRAIL, TRAIL_BYTES, TRAIL_LENGTH, TRAIL_ROOM } from './layout.ts';
import { ConnectionState, type ConnectionStateName, STATE_NAMES } from './states.ts';

/** One change of state. */
export interface TrailEntry {
  /** The state that was reached. */
  readonly state: ConnectionStateName;
  /** Child slot that owned the connection after it or, else, before it; -1: none did. */
  readonly child: number;
  /** How long ago, milliseconds. */
  readonly agoMs: number;
}

const bitOf = (state: ConnectionState): number => 1 << state;
/** States that one party alone may leave, as bits. A child's is the listener's when the child is dead. */
const HELD_ALONE =
  bitOf(ConnectionState.free) |
  bitOf(ConnectionState.processing) |
  bitOf(ConnectionState.resuming) |
  bitOf(ConnectionState.writeCompletion) |
  bitOf(ConnectionState.lingerNormal) |
  bitOf(ConnectionState.lingerShort) |
  bitOf(ConnectionState.closing) |
  bitOf(ConnectionState.tunnel);

export const isHeldAlone = (state: ConnectionState): boolean => (HELD_ALONE & bitOf(state)) !== 0;

// An entry is a whole number below 2^47: ticks (32 bits), owner (10), state (5).
const TICKS_UNIT = 2 ** 15;
const OWNER_UNIT = 2 ** 5;
const ENTRIES = TRAIL.entries.offset >> 3;
/** The count goes on behind the first round from here; both are where a round begins. */
const COUNT_LIMIT = TRAIL_ROOM * 2 ** 26;

export class Trail {
  readonly #counts: Int32Array;
  readonly #entries: Float64Array;
  readonly #patterns: BigInt64Array;
  /** The part of an entry that says when: ticks of this thread's present turn, in their place. */
  #when = 0;

  /** @param at where the records begin */
  constructor(memory: SharedArrayBuffer, at: number, connectionSlots: number) {
    const length = connectionSlots * TRAIL_BYTES;
    this.#counts = new Int32Array(memory, at, length >> 2);
    this.#entries = new Float64Array(memory, at, length >> 3);
    this.#patterns = new BigInt64Array(memory, at, length >> 3);
    this.tick(performance.now());
  }

  /** A turn of this thread began at this `performance.now()`, the time that entries carry. */
  tick(now: number): void {
    this.#when = (ticksOf(now) >>> 0) * TICKS_UNIT;
  }

  /** @param owner of the state word: child slot + 1, 0 for nobody */
  enter(slot: number, state: ConnectionState, owner: number): void {
    const at = slot * (TRAIL_BYTES >> 2);
    const count = this.#counts[at] as number;
    const entry = (at >> 1) + ENTRIES + (count % TRAIL_ROOM);
    this.#entries[entry] = this.#when + (owner * OWNER_UNIT + state);
    this.#counts[at] = count + 1 === COUNT_LIMIT ? TRAIL_ROOM : count + 1;
  }

  /** The transition of the last entry did not happen; whoever entered it, before anybody else can. */
  takeBack(slot: number): void {
    const at = slot * (TRAIL_BYTES >> 2);
    this.#counts[at] = (this.#counts[at] as number) - 1;
  }

  /** The slot gets another connection. */
  clear(slot: number): void {
    this.#counts[slot * (TRAIL_BYTES >> 2)] = 0;
  }

  /**
   * The last transitions, oldest first; whole where the state word was the same before and after.
   * @param state that the word has
   */
  read(slot: number, state: ConnectionState, nowTicks: number): TrailEntry[] {
    const at = slot * (TRAIL_BYTES >> 2);
    const count = Atomics.load(this.#counts, at);
    const entries: TrailEntry[] = [];
    for (let number = Math.max(0, count - TRAIL_LENGTH); number < count; number++) {
      const index = (at >> 1) + ENTRIES + (number % TRAIL_ROOM);
      const entry = entryOf(Atomics.load(this.#patterns, index), nowTicks);
      // A turn's time may lie before a change that another thread made in the course of it.
      const agoMs = Math.min(entry.agoMs, entries.at(-1)?.agoMs ?? entry.agoMs);
      entries.push({ ...entry, agoMs });
    }
    // Entered by an owner that is about to let go.
    const early =
      entries.at(-1)?.state !== STATE_NAMES[state] && entries.at(-2)?.state === STATE_NAMES[state];
    return early ? entries.slice(0, -1) : entries;
  }
}

const pattern = new BigInt64Array(1);
const patternAsDouble = new Float64Array(pattern.buffer);

function entryOf(bits: bigint, nowTicks: number): TrailEntry {
  pattern[0] = bits;
  const entry = patternAsDouble[0] as number;
  const low = entry % TICKS_UNIT;
  const ticks = Math.floor(entry / TICKS_UNIT) | 0;
  return {
    state: STATE_NAMES[low % OWNER_UNIT] as ConnectionStateName,
    child: Math.floor(low / OWNER_UNIT) - 1,
    agoMs: Math.max(0, elapsedTicks(ticks, nowTicks)),
  };
}
