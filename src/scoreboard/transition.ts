/**
 * The state word and the one function that writes it.
 *
 * Role: packs state, flags, owner and incarnation into an int32 and moves it by compare-and-swap.
 * Thread: any. Nothing else in the project may write a state word.
 *
 * Word, from bit 0: state (5) | flags (3) | owner: child slot + 1, 0 = nobody (10) | incarnation (14).
 * The incarnation makes every compare-and-swap safe against a slot that was closed and reused: to be
 * fooled a thread would have to sleep between its load and its swap while one slot is reused 16,384
 * times.
 */
import {
  ConnectionEvent,
  ConnectionState,
  EVENT_NAMES,
  type Party,
  STATE_NAMES,
  TRANSITIONS,
} from './states.ts';
import { isHeldAlone, type Trail } from './trail.ts';

export const STATE_MASK = 0x1f;
/** The socket is readable or takes bytes again: look at it. */
export const FLAG_READY = 0x20;
/** The peer has shut its side: read until the end was seen, its event will not come again. */
export const FLAG_END = 0x40;
/** The peer reset the connection, nothing can be sent; in resuming: it made no progress for too long. */
export const FLAG_HANGUP = 0x80;
export const FLAGS_MASK = 0xe0;
export const OWNER_SHIFT = 8;
export const OWNER_MASK = 0x3ff00;
export const INCARNATION_SHIFT = 18;
export const MAX_OWNERS = 1022;

export const Outcome = { moved: 0, stale: 1, lost: 2 } as const;
/**
 * `moved`; `stale`: the slot holds another connection by now; `lost`: the same connection, but
 * somebody else moved it or set a flag first, so look again.
 */
export type Outcome = (typeof Outcome)[keyof typeof Outcome];

export const stateOf = (word: number): ConnectionState => (word & STATE_MASK) as ConnectionState;
export const flagsOf = (word: number): number => word & FLAGS_MASK;
/** Child slot that owns the connection, -1 for nobody. */
export const ownerOf = (word: number): number => ((word & OWNER_MASK) >>> OWNER_SHIFT) - 1;
export const incarnationOf = (word: number): number => word >>> INCARNATION_SHIFT;

const ILLEGAL = -1;
const EVENTS = EVENT_NAMES.length;
const OwnerRule = { clear: 0, keep: 1, take: 2 } as const;
const target = new Int8Array(32 * EVENTS).fill(ILLEGAL);
const ownerRule = new Uint8Array(32 * EVENTS);
const parties: (Party | undefined)[] = new Array(32 * EVENTS);
for (const { from, event, to, by, owner } of TRANSITIONS) {
  for (const name of from) {
    const cell = ConnectionState[name] * EVENTS + ConnectionEvent[event];
    if (target[cell] !== ILLEGAL) throw new Error(`two rows for ${name}, ${event}`);
    target[cell] = ConnectionState[to];
    ownerRule[cell] = OwnerRule[owner];
    parties[cell] = by;
  }
}

/** Who may send `event` in `state`; undefined where the table has no such row. */
export const partyFor = (state: ConnectionState, event: ConnectionEvent): Party | undefined =>
  parties[state * EVENTS + event];

/** A broken invariant: an event in a state whose row does not exist. Stops the thread. */
export class IllegalTransition extends Error {
  readonly code = 'ERR_MPM_ILLEGAL_TRANSITION';
  constructor(word: number, event: ConnectionEvent) {
    super(`no transition for ${EVENT_NAMES[event]} in state ${STATE_NAMES[stateOf(word)]}`);
  }
}

/** The word that `event` makes of `word`, which must have a row for it. */
export function successor(
  word: number,
  event: ConnectionEvent,
  child: number,
  flags: number,
): number {
  const cell = (word & STATE_MASK) * EVENTS + event;
  const to = target[cell] as number;
  if (to === ILLEGAL) throw new IllegalTransition(word, event);
  const rule = ownerRule[cell];
  const owner =
    rule === OwnerRule.keep
      ? word & OWNER_MASK
      : rule === OwnerRule.take
        ? (child + 1) << OWNER_SHIFT
        : 0;
  const kept = event === ConnectionEvent.notice ? (word & FLAGS_MASK) | flags : flags;
  const incarnation =
    event === ConnectionEvent.reclaimed
      ? (incarnationOf(word) + 1) << INCARNATION_SHIFT
      : word & ~(STATE_MASK | FLAGS_MASK | OWNER_MASK);
  return to | kept | owner | incarnation;
}

/**
 * Moves a connection: the only writer of state words.
 * @param expected the whole word as the caller saw it, flags included
 * @param child own child slot; used where the row takes ownership
 * @param flags set by `notice`; by `readable` and `requeue`, where the peer has shut its side or reset the
 *   connection; and by `timeout` of a suspended connection, for its child to find
 * @param trail where changes of state are entered, for this slot
 */
export function transition(
  words: Int32Array,
  index: number,
  expected: number,
  event: ConnectionEvent,
  child = 0,
  flags = 0,
  trail: Trail | null = null,
  slot = 0,
): Outcome {
  const next = successor(expected, event, child, flags);
  const traced = trail !== null && ((next ^ expected) & STATE_MASK) !== 0;
  const early = traced && isHeldAlone(stateOf(expected));
  if (early && stateOf(expected) === ConnectionState.free) trail.clear(slot);
  if (early) trail.enter(slot, stateOf(next), holderOf(expected, next));
  const previous = Atomics.compareExchange(words, index, expected, next);
  if (previous === expected) {
    if (traced && !early) trail.enter(slot, stateOf(next), holderOf(expected, next));
    return Outcome.moved;
  }
  if (early) trail.takeBack(slot);
  return incarnationOf(previous) === incarnationOf(expected) ? Outcome.lost : Outcome.stale;
}

/** Owner bits after a move or, where it leaves none, before it. */
function holderOf(word: number, next: number): number {
  const owner = next & OWNER_MASK;
  return (owner !== 0 ? owner : word & OWNER_MASK) >>> OWNER_SHIFT;
}
