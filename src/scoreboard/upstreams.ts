/**
 * The upstreams of the reverse proxy, as all workers of a server see them.
 *
 * Role: a small memory of its own: which upstreams there are, whether they are well, and what each child
 * has with each of them. By it workers choose the upstream with the fewest requests, and one of them
 * alone asks an upstream how it is.
 * Threads: an entry's name is written by whoever wins it, once; its health and its places by every worker,
 * by atomic operations; a child's row and doorbell by that child alone, and by main once its thread is
 * gone. What a child has under way main may take over (tunnels), so that is counted by atomic operations; the
 * row behind those of the children is main's. Readers take what they find.
 * Limits: 64 upstreams; those beyond are used without being counted.
 */
import { nowTicks } from './clock.ts';
import {
  givePlace,
  movePlace,
  nextWaiting,
  type PlaceWords,
  reclaimPlaces,
  setWaiting,
  takePlace,
} from './upstream-places.ts';

export const MAX_UPSTREAM_ENTRIES = 64;
const NAME_BYTES = 128;

/** int32 words of an entry; its line of health is shared, the rest written once. */
const CLAIM = 0;
const NAME_LENGTH = 1;
const NAME = 2;
const HEALTH = 48;
/** Failures in a row. */
const FAILS = HEALTH;
/** Left out until then, in ticks with the last bit set; 0: not. */
const DOWN_UNTIL = HEALTH + 1;
/** When it is asked next how it is, in the same way. */
const CHECK_DUE = HEALTH + 2;
/** It did not answer well when it was asked last. */
const UNWELL = HEALTH + 3;
/** Requests under way that `maxRequests` bounds, of all children. */
const TAKEN = HEALTH + 4;
const ENTRY_WORDS = 64;

/** A child's row, a cache line: four words and five doubles. */
const ROW_WORDS = 16;
const ACTIVE = 0;
const IDLE = 1;
const REQUESTS = 1;
const FAILURES = 2;
const RETRIES = 3;
const HELD = 8;
const WAITING = 9;
const WAITED = 5;
const REFUSED = 6;

/** Behind the entries, a cache line for each child: its eventfd for upstreams, + 1; 0: none. */
const DOORBELL_WORDS = 16;

const Claim = { free: 0, naming: 1, named: 2 } as const;

export interface UpstreamStatus {
  readonly name: string;
  readonly state: 'up' | 'down';
  /** Requests under way. */
  readonly active: number;
  /** Connections kept for the next request. */
  readonly idle: number;
  readonly requests: number;
  readonly failures: number;
  readonly retries: number;
  /** Requests that wait for a place, see the option `maxRequests`. */
  readonly waiting: number;
  /** Requests that had to wait for a place. */
  readonly waited: number;
  /** Requests that got none. */
  readonly refused: number;
}

/** Bytes of the memory for so many children. */
export const upstreamBytes = (children: number): number =>
  (MAX_UPSTREAM_ENTRIES * (ENTRY_WORDS + (children + 1) * ROW_WORDS) + children * DOORBELL_WORDS) *
  4;

/** SLOT.tunnelUpstream: what a tunnel has of its upstream; 0: that one is not in the table. */
export const TunnelUpstream = {
  /** @param hasPlace it has one of the places that `maxRequests` bounds */
  of: (index: number, hasPlace: boolean): number => (hasPlace ? -(index + 1) : index + 1),
  index: (value: number): number => Math.abs(value) - 1,
  hasPlace: (value: number): boolean => value < 0,
} as const;

export class UpstreamTable {
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #children: number;
  /** Which entry holds a name; entries are never given back. */
  readonly #known = new Map<string, number>();

  constructor(memory: SharedArrayBuffer, children: number) {
    const { byteLength } = memory;
    this.#words = new Int32Array(memory, 0, byteLength >> 2);
    this.#doubles = new Float64Array(memory, 0, byteLength >> 3);
    this.#bytes = new Uint8Array(memory, 0, byteLength);
    this.#children = children;
  }

  #entry(index: number): number {
    return index * (ENTRY_WORDS + (this.#children + 1) * ROW_WORDS);
  }

  #row(index: number, child: number): number {
    return this.#entry(index) + ENTRY_WORDS + child * ROW_WORDS;
  }

  /** A life in this slot is over: what it had is gone with it. Its totals stay. */
  reclaim(child: number): void {
    for (let index = 0; index < MAX_UPSTREAM_ENTRIES; index++) {
      const row = this.#row(index, child);
      this.#words[row + ACTIVE] = 0;
      this.#words[row + IDLE] = 0;
      reclaimPlaces(this.#places(index), child);
    }
  }

  /** Number of the entry with this name, which is made if need be; -1: there is no room. */
  indexOf(name: string): number {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const found = name.length > NAME_BYTES ? -1 : this.#find(name);
    this.#known.set(name, found);
    return found;
  }

  #find(name: string): number {
    const words = this.#words;
    for (let index = 0; index < MAX_UPSTREAM_ENTRIES; index++) {
      const at = this.#entry(index);
      if (Atomics.compareExchange(words, at + CLAIM, Claim.free, Claim.naming) === Claim.free) {
        const bytes = (at + NAME) * 4;
        for (let i = 0; i < name.length; i++) this.#bytes[bytes + i] = name.charCodeAt(i) & 0x7f;
        words[at + NAME_LENGTH] = name.length;
        Atomics.store(words, at + CLAIM, Claim.named);
        Atomics.notify(words, at + CLAIM);
        return index;
      }
      // Whoever names it does so without waiting for anything; one that died there leaves it unnamed.
      Atomics.wait(words, at + CLAIM, Claim.naming, 100);
      if (this.#nameAt(at) === name) return index;
    }
    return -1;
  }

  #nameAt(at: number): string {
    if (Atomics.load(this.#words, at + CLAIM) !== Claim.named) return '';
    const length = this.#words[at + NAME_LENGTH] as number;
    let name = '';
    for (let i = 0; i < length; i++) {
      name += String.fromCharCode(this.#bytes[(at + NAME) * 4 + i] as number);
    }
    return name;
  }

  // ---- a child's own row --------------------------------------------------------------------------

  addActive(index: number, child: number, amount: number): void {
    if (index >= 0) Atomics.add(this.#words, this.#row(index, child) + ACTIVE, amount);
  }

  addIdle(index: number, child: number, amount: number): void {
    if (index >= 0) (this.#words[this.#row(index, child) + IDLE] as number) += amount;
  }

  countRequest(index: number, child: number): void {
    this.#count(index, child, REQUESTS);
  }

  countFailure(index: number, child: number): void {
    this.#count(index, child, FAILURES);
  }

  countRetry(index: number, child: number): void {
    this.#count(index, child, RETRIES);
  }

  #count(index: number, child: number, field: number): void {
    if (index >= 0) (this.#doubles[(this.#row(index, child) >> 1) + field] as number) += 1;
  }

  // ---- places -------------------------------------------------------------------------------------

  /** Made once for each entry. */
  readonly #placeWords: PlaceWords[] = [];

  #places(index: number): PlaceWords {
    const known = this.#placeWords[index];
    if (known !== undefined) return known;
    const row = this.#row(index, 0);
    const made = {
      words: this.#words,
      taken: this.#entry(index) + TAKEN,
      held: row + HELD,
      waiting: row + WAITING,
      stride: ROW_WORDS,
      children: this.#children,
    };
    this.#placeWords[index] = made;
    return made;
  }

  /** Takes a place for a request; false: `most` are taken. */
  takePlace(index: number, child: number, most: number): boolean {
    return index < 0 || takePlace(this.#places(index), child, most);
  }

  /** Gives it back. Returns the child that waits for one and is to be told, -1: none does. */
  givePlace(index: number, child: number): number {
    return index < 0 ? -1 : givePlace(this.#places(index), child);
  }

  setWaiting(index: number, child: number, count: number): void {
    if (index >= 0) setWaiting(this.#places(index), child, count);
  }

  /** A child in which a request waits, the ones after this one first; -1: none. */
  nextWaiting(index: number, child: number): number {
    return index < 0 ? -1 : nextWaiting(this.#places(index), child);
  }

  /** Requests that wait, of all children. */
  waiting(index: number): number {
    return index < 0 ? 0 : this.#sum(index, WAITING);
  }

  countWaited(index: number, child: number): void {
    this.#count(index, child, WAITED);
  }

  countRefused(index: number, child: number): void {
    this.#count(index, child, REFUSED);
  }

  // ---- tunnels: main's row --------------------------------------------------------------------------

  /** Main has a request from now on that this child began, place and all. @param value `TunnelUpstream` */
  takeTunnel(value: number, child: number): void {
    const index = TunnelUpstream.index(value);
    this.addActive(index, this.#children, 1);
    this.addActive(index, child, -1);
    if (TunnelUpstream.hasPlace(value)) movePlace(this.#places(index), child, this.#children);
  }

  /** It is over. Returns the child that waits for its place and is to be told, -1: none does. */
  endTunnel(value: number): number {
    const index = TunnelUpstream.index(value);
    this.addActive(index, this.#children, -1);
    return TunnelUpstream.hasPlace(value) ? this.givePlace(index, this.#children) : -1;
  }

  /** The descriptor by which this child is told, -1: it has none yet. It stays open over its lives. */
  doorbell(child: number): number {
    return Atomics.load(this.#words, this.#doorbellAt(child)) - 1;
  }

  setDoorbell(child: number, fd: number): void {
    Atomics.store(this.#words, this.#doorbellAt(child), fd + 1);
  }

  #doorbellAt(child: number): number {
    return this.#entry(MAX_UPSTREAM_ENTRIES) + child * DOORBELL_WORDS;
  }

  /** Requests under way, of all children. */
  active(index: number): number {
    return index < 0 ? 0 : this.#sum(index, ACTIVE);
  }

  #sum(index: number, field: number): number {
    let sum = 0;
    for (let child = 0; child <= this.#children; child++) {
      sum += this.#words[this.#row(index, child) + field] as number;
    }
    return sum;
  }

  // ---- health -------------------------------------------------------------------------------------

  /** May be asked for a request now. */
  isUp(index: number): boolean {
    if (index < 0) return true;
    const at = this.#entry(index);
    if (Atomics.load(this.#words, at + UNWELL) === 1) return false;
    const until = Atomics.load(this.#words, at + DOWN_UNTIL);
    return until === 0 || ((nowTicks() - until) | 0) >= 0;
  }

  /** True: this was the failure by which it is left out. */
  failed(index: number, maxFails: number, failTimeoutMs: number): boolean {
    if (index < 0 || maxFails === 0) return false;
    const at = this.#entry(index);
    const fails = Atomics.add(this.#words, at + FAILS, 1) + 1;
    if (fails < maxFails) return false;
    Atomics.store(this.#words, at + DOWN_UNTIL, (nowTicks() + failTimeoutMs) | 1);
    return fails === maxFails;
  }

  succeeded(index: number): void {
    if (index < 0) return;
    const at = this.#entry(index);
    // Read first: the line is shared by all workers, and mostly there is nothing to say.
    if (Atomics.load(this.#words, at + FAILS) !== 0) Atomics.store(this.#words, at + FAILS, 0);
    if (Atomics.load(this.#words, at + DOWN_UNTIL) !== 0) {
      Atomics.store(this.#words, at + DOWN_UNTIL, 0);
    }
  }

  /** True: it is this caller's turn to ask how the upstream is. */
  takeCheck(index: number, intervalMs: number): boolean {
    if (index < 0) return false;
    const at = this.#entry(index) + CHECK_DUE;
    const now = nowTicks();
    const due = Atomics.load(this.#words, at);
    if (due !== 0 && ((now - due) | 0) < 0) return false;
    return Atomics.compareExchange(this.#words, at, due, (now + intervalMs) | 1) === due;
  }

  /** The answer to that. True: it has changed. */
  setWell(index: number, well: boolean): boolean {
    if (index < 0) return false;
    const value = well ? 0 : 1;
    if (well) this.succeeded(index);
    return Atomics.exchange(this.#words, this.#entry(index) + UNWELL, value) !== value;
  }

  // ---- for the status page and the metrics --------------------------------------------------------

  /** Somebody was named; entries are given in order and never given back. */
  get any(): boolean {
    return Atomics.load(this.#words, CLAIM) === Claim.named;
  }

  statuses(): UpstreamStatus[] {
    const list: UpstreamStatus[] = [];
    for (let index = 0; index < MAX_UPSTREAM_ENTRIES; index++) {
      const name = this.#nameAt(this.#entry(index));
      if (name === '') continue;
      list.push({
        name,
        state: this.isUp(index) ? 'up' : 'down',
        active: this.#sum(index, ACTIVE),
        idle: this.#sum(index, IDLE),
        requests: this.#total(index, REQUESTS),
        failures: this.#total(index, FAILURES),
        retries: this.#total(index, RETRIES),
        waiting: this.#sum(index, WAITING),
        waited: this.#total(index, WAITED),
        refused: this.#total(index, REFUSED),
      });
    }
    return list;
  }

  #total(index: number, field: number): number {
    let sum = 0;
    for (let child = 0; child < this.#children; child++) {
      sum += this.#doubles[(this.#row(index, child) >> 1) + field] as number;
    }
    return sum;
  }
}
