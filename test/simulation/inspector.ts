/**
 * What must hold in a simulated world, looked at from outside.
 *
 * Role: after every step: one owner for each connection, descriptors, slots and buffers accounted for.
 * While everybody sleeps: nobody sleeps beside something that waits for him. Reads the memory past the
 * operations that threads are interrupted at.
 */
import { ChildCommand, ChildStatus } from '../../src/scoreboard/codes.ts';
import { CHILD, SLOT } from '../../src/scoreboard/layout.ts';
import { ConnectionState, STATE_NAMES } from '../../src/scoreboard/states.ts';
import { POLL, Socket } from './sockets.ts';
import { ensure, Violation } from './violation.ts';
import type { World } from './world.ts';

/** How long everybody may sleep beside something that waits: the listener's timers look by then. */
const STANDSTILL_MS = 120;
/** The same where a worker has died with a ticket, a wake-up or the lead in its hands: two sweeps. */
const STANDSTILL_AFTER_DEATH_MS = 2_600;

const at = (field: { readonly offset: number }): number => field.offset >> 2;
const stateIn = (word: number): number => word & 0x1f;
const ownerIn = (word: number): number => ((word >>> 8) & 0x3ff) - 1;

const OWNED: ReadonlySet<number> = new Set([
  ConnectionState.processing,
  ConnectionState.suspended,
  ConnectionState.resuming,
]);

export class Inspector {
  readonly #world: World;
  readonly #words: Int32Array;
  readonly #held: Int32Array;
  readonly #buffers: Uint8Array;
  readonly #asleepMs: Float64Array;

  constructor(world: World) {
    this.#world = world;
    const { board } = world;
    this.#words = board.words;
    this.#held = new Int32Array(board.childSlots);
    this.#buffers = new Uint8Array(board.sections.bufferCount);
    this.#asleepMs = new Float64Array(board.connectionSlots);
  }

  ownerOf(slot: number): number {
    return ownerIn(this.wordOf(slot));
  }

  wordOf(slot: number): number {
    return this.#words[this.#world.board.slotIndex(slot)] as number;
  }

  stateOf(slot: number): number {
    return stateIn(this.wordOf(slot));
  }

  #child(child: number, field: { readonly offset: number }): number {
    return this.#words[this.#world.board.childIndex(child) + at(field)] as number;
  }

  describe(slot: number): string {
    const state = this.stateOf(slot);
    return `${STATE_NAMES[state]}, owner ${this.ownerOf(slot)}, word ${this.wordOf(slot)}`;
  }

  /** Nobody is in the middle of anything. */
  check(): void {
    const { board, descriptors, supervisor } = this.#world;
    const words = this.#words;
    const held = this.#held.fill(0);
    const buffers = this.#buffers.fill(0);
    let open = 0;
    for (let slot = 0; slot < board.connectionSlots; slot++) {
      const index = board.slotIndex(slot);
      const word = words[index] as number;
      const state = stateIn(word);
      const owner = ownerIn(word);
      const buffer = words[index + at(SLOT.buffer)] as number;
      if (buffer > 0) this.#hold(buffer - 1, `slot ${slot}`);
      if (state === ConnectionState.free) {
        ensure(buffer === 0, () => `slot ${slot} is free and has a buffer`);
        continue;
      }
      open++;
      const file = descriptors.find(words[index + at(SLOT.fd)] as number);
      if (!(file instanceof Socket) || file.slot !== slot) {
        throw new Violation(`slot ${slot} is ${STATE_NAMES[state]} without its descriptor`);
      }
      if (OWNED.has(state)) {
        const owned = owner >= 0 && supervisor.children.has(owner);
        ensure(owned, () => `slot ${slot} is ${STATE_NAMES[state]} and child ${owner} is none`);
        held[owner] = (held[owner] as number) + 1;
      } else ensure(owner < 0, () => `slot ${slot} is ${STATE_NAMES[state]} and has an owner`);
    }
    const { connections } = this.#world;
    ensure(open === connections, () => `${connections} descriptors open, ${open} slots in use`);
    for (let child = 0; child < board.childSlots; child++) {
      for (const field of [CHILD.spareBuffer0, CHILD.spareBuffer1]) {
        const buffer = this.#child(child, field);
        if (buffer > 0) this.#hold(buffer - 1, `child ${child}`);
      }
      const living = supervisor.children.get(child);
      if (living === undefined || living.thread.dead) continue;
      const pinned = this.#child(child, CHILD.pinned);
      ensure(
        pinned === held[child],
        () => `child ${child} has ${pinned} unfinished connections and owns ${held[child]}`,
      );
    }
    this.#checkSleepers();
    const free = board.sections.freeBuffers >> 2;
    for (let buffer = 0; buffer < buffers.length; buffer++) {
      const isFree = ((words[free + (buffer >>> 5)] as number) & (1 << (buffer & 31))) !== 0;
      if (isFree === (buffers[buffer] === 0)) continue;
      throw new Violation(`buffer ${buffer} is ${isFree ? 'free and in use' : 'lost'}`);
    }
  }

  /**
   * Whoever would wake a worker goes by its bit: one that sleeps without it, and without a signal on its way,
   * is woken by nobody. Where a worker died between taking a bit and the signal, the sweep sees to it.
   */
  #checkSleepers(): void {
    const { board, supervisor } = this.#world;
    if (supervisor.deaths > 0) return;
    for (const { slot, thread } of supervisor.children.values()) {
      const retires = this.#child(slot, CHILD.command) !== ChildCommand.run;
      if (retires || this.#child(slot, CHILD.status) !== ChildStatus.ready) continue;
      if (thread.isReady) continue;
      const idle = this.#words[(board.sections.idle >> 2) + (slot >>> 5)] as number;
      if ((idle & (1 << (slot & 31))) !== 0) continue;
      throw new Violation(`${thread.name} sleeps and is not among the idle`);
    }
  }

  #hold(buffer: number, holder: string): void {
    if (this.#buffers[buffer] === 1) throw new Violation(`${holder} shares buffer ${buffer}`);
    this.#buffers[buffer] = 1;
  }

  /** Everybody has slept for so long, and for nothing but time. */
  slept(milliseconds: number): void {
    const { board, lastDeathAt, now } = this.#world;
    const recent = now - lastDeathAt < STANDSTILL_AFTER_DEATH_MS * 2;
    const bound = recent ? STANDSTILL_AFTER_DEATH_MS : STANDSTILL_MS;
    for (let slot = 0; slot < board.connectionSlots; slot++) {
      const what = this.#waitingFor(slot);
      if (what === '') {
        this.#asleepMs[slot] = 0;
        continue;
      }
      const asleep = (this.#asleepMs[slot] as number) + milliseconds;
      this.#asleepMs[slot] = asleep;
      if (asleep > bound) {
        throw new Violation(
          `everybody sleeps for ${asleep.toFixed(0)} ms and slot ${slot} ` +
            `(${STATE_NAMES[this.stateOf(slot)]}) ${what}`,
        );
      }
    }
  }

  /** Why this connection should be moving, '' where it waits for its client or for time. */
  #waitingFor(slot: number): string {
    const { board, descriptors } = this.#world;
    const state = this.stateOf(slot);
    if (state === ConnectionState.free) return '';
    const file = descriptors.find(this.#words[board.slotIndex(slot) + at(SLOT.fd)] as number);
    if (!(file instanceof Socket)) return '';
    switch (state) {
      case ConnectionState.waitRequest:
      case ConnectionState.readRequest:
      case ConnectionState.keepalive:
        return (file.poll() & POLL.in) !== 0 ? 'has bytes that nobody reads' : '';
      case ConnectionState.queued:
        return this.#someoneServes ? 'waits for a worker' : '';
      case ConnectionState.resuming:
        return 'lies in an inbox';
      case ConnectionState.writeCompletion:
        return (file.poll() & POLL.out) !== 0 ? 'has room for its response' : '';
      case ConnectionState.lingerNormal:
      case ConnectionState.lingerShort:
        return (file.poll() & POLL.in) !== 0 ? 'has an end or bytes that nobody sees' : '';
      case ConnectionState.closing:
        return 'waits to be closed';
      default:
        return '';
    }
  }

  get #someoneServes(): boolean {
    for (const { slot } of this.#world.supervisor.children.values()) {
      const status = this.#child(slot, CHILD.status);
      if (status === ChildStatus.ready || status === ChildStatus.wantsRetire) return true;
    }
    return false;
  }
}
