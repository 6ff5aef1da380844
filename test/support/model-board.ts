/**
 * A scoreboard for the explorer: production objects over a small memory, and the kernel's side of it.
 *
 * Role: gives production code a board with small rings, and models what is not shared memory: eventfds,
 * sockets and edge-triggered events, one word each.
 * Thread: tests only.
 */
import { ChildStatus } from '../../src/scoreboard/codes.ts';
import { HALF_BYTES, recordsBytes, SECOND_HALF } from '../../src/scoreboard/halves.ts';
import { CHILD, CHILD_BYTES, HEADER, HEADER_BYTES, SLOT } from '../../src/scoreboard/layout.ts';
import type { Scoreboard } from '../../src/scoreboard/scoreboard.ts';
import { ConnectionState, OWNED, STATE_NAMES, TRANSITIONS } from '../../src/scoreboard/states.ts';
import { ownerOf, stateOf } from '../../src/scoreboard/transition.ts';
import {
  Forbidden,
  forbid,
  type Guard,
  Memory,
  prepare,
  type Step,
  sleepUntil,
  sleepUntilAny,
} from './explorer.ts';
import type { Code } from './production-code.ts';

export interface BoardSize {
  readonly slots: number;
  readonly children: number;
  /** Of these, the last are lengthy. */
  readonly lengthy?: number;
  readonly ring?: number;
  /** Words of the model's own. */
  readonly extra?: readonly string[];
}

/** Event bits, as `poll` gives them. */
export const BITS = { readable: 1, writable: 2, hangup: 4, endOfStream: 8 } as const;

const HANDBACK_FD = 50;
const FIRST_WAKE_FD = 100;
const FIN = 0x100;
const RST = 0x200;
const ENDS = FIN | RST;
const RINGS = ['queue', 'handback', 'lengthy'] as const;
type Ring = (typeof RINGS)[number];
/** Words that stand for eventfds, sockets and poll sets: nothing may rely on what a system call orders. */
const KERNELS = /^(handbackFd|wakeFd|socket|edge|open|connected)/;
/** The model's word that says which thread has won a cell of a ring and not yet published it. */
const cellName = (ring: string, cell: number) => `${ring}.winner${cell}`;

const isOfSlot = (offset: number): boolean =>
  (offset >= 0 && offset < HALF_BYTES) ||
  (offset >= SECOND_HALF && offset < SECOND_HALF + HALF_BYTES);

const unreadIn = (socket: number): number => {
  const bytes = socket & ~ENDS;
  return bytes > 0 || (socket & ENDS) !== 0 ? bytes : -1;
};

export class ModelBoard {
  readonly memory: Memory;
  readonly words: Int32Array;
  readonly board: Scoreboard;
  readonly code: Code;
  readonly slots: number;
  readonly children: number;
  readonly #own = new Map<string, number>();
  readonly #rings: Readonly<Record<Ring, number>>;
  readonly #ringSize: number;
  readonly #idle: number;

  constructor(code: Code, { slots, children, lengthy = 0, ring = 2, extra = [] }: BoardSize) {
    this.code = code;
    this.slots = slots;
    this.children = children;
    const { TicketRing } = code.ring;
    const { Bitmap } = code.bitmap;
    const childrenAt = HEADER_BYTES;
    const connectionsAt = childrenAt + children * CHILD_BYTES;
    const ringAt = connectionsAt + recordsBytes(slots);
    const handbackAt = ringAt + TicketRing.bytes(ring);
    const idleAt = handbackAt + TicketRing.bytes(ring);
    const lengthyRingAt = idleAt + Bitmap.bytes(children);
    const lengthyIdleAt = lengthyRingAt + TicketRing.bytes(ring);
    const inboxesAt = lengthyIdleAt + Bitmap.bytes(children);
    const inboxWords = Math.ceil(slots / 32);
    const ownAt = inboxesAt + children * inboxWords * 4;
    this.#rings = {
      queue: ringAt >> 2,
      handback: handbackAt >> 2,
      lengthy: lengthyRingAt >> 2,
    };
    this.#ringSize = ring;
    this.#idle = idleAt >> 2;
    const names = [
      ...RINGS.flatMap((name) => Array.from({ length: ring }, (_, cell) => cellName(name, cell))),
      'served',
      'over',
      'handbackFd',
      ...Array.from({ length: slots }, (_, slot) => `notice${slot}`),
      ...Array.from({ length: children }, (_, child) => `wakeFd${child}`),
      ...Array.from({ length: slots }, (_, slot) => [
        `socket${slot}`,
        `edge${slot}`,
        `open${slot}`,
        `connected${slot}`,
        `connectedAgain${slot}`,
        `told${slot}`,
      ]),
      ...extra,
    ].flat();
    const memory = new Memory((ownAt >> 2) + names.length);
    this.memory = memory;
    for (const [number, name] of names.entries()) {
      this.#own.set(name, (ownAt >> 2) + number);
      memory.name((ownAt >> 2) + number, name);
      if (KERNELS.test(name)) memory.markKernels((ownAt >> 2) + number);
    }
    this.words = memory.view();
    const part = (start: number, bytes: number) => memory.view(start >> 2, bytes >> 2);
    const queue = new TicketRing(part(ringAt, TicketRing.bytes(ring)), ring);
    const idle = new Bitmap(part(idleAt, Bitmap.bytes(children)));
    const board = Object.create(code.scoreboard.Scoreboard.prototype);
    this.board = Object.assign(board, {
      words: this.words,
      // Counters with one writer each; nothing is decided by them.
      doubles: new Float64Array(ownAt >> 3),
      sections: { children: childrenAt, connections: connectionsAt },
      queue,
      handback: new TicketRing(part(handbackAt, TicketRing.bytes(ring)), ring),
      idle,
      normal: { queue, idle, first: 0, end: children - lengthy },
      lengthy: {
        queue: new TicketRing(part(lengthyRingAt, TicketRing.bytes(ring)), ring),
        idle: new Bitmap(part(lengthyIdleAt, Bitmap.bytes(children))),
        first: children - lengthy,
        end: children,
      },
      connectionSlots: slots,
      childSlots: children,
      inboxes: part(inboxesAt, children * inboxWords * 4),
      inboxWords,
      notices: new code.notices.Notices(memory.view(this.own('notice0'), slots)),
      // Nothing is proxied here.
      upstreams: { reclaim: () => {} },
      trail: null,
      requests: null,
      series: null,
    }) as Scoreboard;
    prepare(() => {
      this.board.queue.initialise();
      this.board.handback.initialise();
      this.board.lengthy.queue.initialise();
      this.board.setHeader(HEADER.handbackFd.offset, HANDBACK_FD);
      for (let child = 0; child < children; child++) {
        this.board.setChild(child, CHILD.life, child + 1);
        this.board.setChild(child, CHILD.status, ChildStatus.ready);
        this.board.setChild(child, CHILD.wakeFd, FIRST_WAKE_FD + child);
      }
    });
    this.#nameWords(ringAt >> 2, 'queue', ring);
    this.#nameWords(handbackAt >> 2, 'handback', ring);
    this.#nameWords(lengthyRingAt >> 2, 'lengthy', ring);
    memory.name(idleAt >> 2, 'idle');
    memory.name(lengthyIdleAt >> 2, 'lengthyIdle');
    for (const [name, { offset }] of Object.entries(HEADER)) memory.name(offset >> 2, name);
    for (let child = 0; child < children; child++) {
      for (const [name, { offset }] of Object.entries(CHILD)) {
        memory.name(this.board.childIndex(child) + (offset >> 2), `child${child}.${name}`);
      }
      for (let word = 0; word < inboxWords; word++) {
        memory.name((inboxesAt >> 2) + child * inboxWords + word, `child${child}.inbox${word}`);
      }
    }
    for (let slot = 0; slot < slots; slot++) {
      for (const [name, { offset }] of Object.entries(SLOT)) {
        memory.name(this.board.slotIndex(slot) + (offset >> 2), `slot${slot}.${name}`);
      }
    }
  }

  #nameWords(start: number, ring: string, capacity: number): void {
    this.memory.name(start, `${ring}.tail`);
    this.memory.name(start + 32, `${ring}.head`);
    for (let cell = 0; cell < capacity; cell++) {
      this.memory.name(start + 64 + cell * 2, `${ring}.sequence${cell}`);
      this.memory.name(start + 65 + cell * 2, `${ring}.ticket${cell}`);
    }
  }

  /** Index of a word of the model's own. */
  own(name: string): number {
    const index = this.#own.get(name);
    if (index === undefined) throw new TypeError(`no word ${name}`);
    return index;
  }

  /** Index of a production word by its name in schedules. */
  indexOf(name: string): number {
    for (let index = 0; index < this.words.length; index++) {
      if (this.memory.nameOf(index) === name) return index;
    }
    throw new TypeError(`no word ${name}`);
  }

  // ---- eventfds -----------------------------------------------------------------------------------

  readonly signal = (fd: number): void => {
    // Signals run together as they do in an eventfd that is drained whole.
    Atomics.store(this.words, this.own(this.eventfdName(fd)), 1);
  };

  eventfdName(fd: number): string {
    return fd === HANDBACK_FD ? 'handbackFd' : `wakeFd${fd - FIRST_WAKE_FD}`;
  }

  isSignalled(name: string): boolean {
    return Atomics.load(this.words, this.own(name)) !== 0;
  }

  drain(name: string): void {
    Atomics.exchange(this.words, this.own(name), 0);
  }

  sleep(...names: string[]): void {
    sleepUntil(this.words, ...names.map((name) => this.own(name)));
  }

  /** Which of these groups has a word that is not 0; an empty one stands for a timer that is armed. */
  sleepUntilAny(groups: readonly (readonly string[])[]): number {
    return sleepUntilAny(
      this.words,
      groups.map((group) => group.map((name) => this.own(name))),
    );
  }

  // ---- sockets: unread bytes, the end of the stream, and a trigger for the edge --------------------

  /** The connection's client may send. */
  connected(slot: number, incarnation: number): void {
    Atomics.store(this.words, this.own(this.#connectedName(slot, incarnation)), 1);
  }

  awaitConnection(slot: number, incarnation: number): void {
    this.sleep(this.#connectedName(slot, incarnation));
  }

  #connectedName(slot: number, incarnation: number): string {
    return `${incarnation === 0 ? 'connected' : 'connectedAgain'}${slot}`;
  }

  /** The peer sends a byte. */
  send(slot: number, incarnation = 0): void {
    Atomics.add(this.words, this.own(`socket${slot}`), 1);
    Atomics.or(this.words, this.own(`edge${slot}`), 1 << incarnation);
  }

  /** The peer shuts its write side. */
  finish(slot: number, incarnation = 0): void {
    Atomics.or(this.words, this.own(`socket${slot}`), FIN);
    Atomics.or(this.words, this.own(`edge${slot}`), 1 << incarnation);
  }

  /** The peer resets the connection; what it has sent before can still be received. */
  reset(slot: number, incarnation = 0): void {
    Atomics.or(this.words, this.own(`socket${slot}`), ENDS);
    Atomics.or(this.words, this.own(`edge${slot}`), 1 << incarnation);
  }

  /** A poller has routed the event of a reset. */
  resetTold(slot: number): void {
    Atomics.store(this.words, this.own(`told${slot}`), 1);
  }

  isResetTold(slot: number): boolean {
    return Atomics.load(this.words, this.own(`told${slot}`)) === 1;
  }

  /** The edge is raised once more where there is something to read. */
  tellAgain(slot: number): void {
    if (Atomics.load(this.words, this.own(`socket${slot}`)) === 0) return;
    Atomics.or(this.words, this.own(`edge${slot}`), 1);
  }

  /** Names of the words that wake whoever watches the poll set. */
  get edges(): readonly string[] {
    return Array.from({ length: this.slots }, (_, slot) => `edge${slot}`);
  }

  /** Takes what the poll set has: slot, incarnation, and how the socket is now (`BITS`). */
  poll(): [number, number, number][] {
    const tickets: [number, number, number][] = [];
    for (let slot = 0; slot < this.slots; slot++) {
      const edges = Atomics.exchange(this.words, this.own(`edge${slot}`), 0);
      if (edges === 0) continue;
      const socket = Atomics.load(this.words, this.own(`socket${slot}`));
      const events =
        BITS.readable |
        ((socket & FIN) !== 0 ? BITS.endOfStream : 0) |
        ((socket & RST) !== 0 ? BITS.hangup : 0);
      for (const incarnation of [0, 1]) {
        if ((edges & (1 << incarnation)) !== 0) tickets.push([slot, incarnation, events]);
      }
    }
    return tickets;
  }

  /** Bytes (> 0), 0 at the end of the stream, -1 where there is nothing now. */
  receive(slot: number): number {
    return unreadIn(Atomics.and(this.words, this.own(`socket${slot}`), ENDS));
  }

  /** Unread bytes without taking them, as `receive` says it. */
  pending(slot: number): number {
    return unreadIn(Atomics.load(this.words, this.own(`socket${slot}`)));
  }

  closeDescriptor(slot: number): void {
    if (Atomics.exchange(this.words, this.own(`open${slot}`), 0) !== 1) {
      forbid('a descriptor was closed twice');
    }
    Atomics.exchange(this.words, this.own(`socket${slot}`), 0);
  }

  /** Every client was served. */
  end(): void {
    Atomics.store(this.words, this.own('over'), 1);
  }

  get isOver(): boolean {
    return Atomics.load(this.words, this.own('over')) === 1;
  }

  // ---- who holds what ---------------------------------------------------------------------------------

  /**
   * A connection's fields belong to the worker that has it in processing, a cell's ticket to the thread that
   * has won its position.
   * @param threadOfChild number of a child's thread in the model
   */
  guards(threadOfChild: (child: number) => number): Guard[] {
    const guards: Guard[] = [];
    for (const ring of RINGS) {
      for (let cell = 0; cell < this.#ringSize; cell++) {
        guards.push({
          by: this.own(cellName(ring, cell)),
          holder: (winner) => winner - 1,
          words: [this.#rings[ring] + 65 + cell * 2],
        });
      }
    }
    const open: readonly number[] = [SLOT.word, SLOT.fd, SLOT.queuedUs, SLOT.sinceTicks].map(
      ({ offset }) => offset,
    );
    const fields: number[] = [];
    for (let offset = 0; offset < HALF_BYTES; offset += 4) {
      if (!open.includes(offset)) fields.push(offset >> 2);
      fields.push((SECOND_HALF + offset) >> 2);
    }
    for (let slot = 0; slot < this.slots; slot++) {
      const index = this.board.slotIndex(slot);
      guards.push({
        by: index + (SLOT.word.offset >> 2),
        holder: (word) =>
          stateOf(word) === ConnectionState.processing ? threadOfChild(ownerOf(word)) : -1,
        words: fields.map((field) => index + field),
      });
    }
    return guards;
  }

  #noteWinner(step: Step, poke: (index: number, value: number) => void): void {
    for (const ring of RINGS) {
      const offset = step.index - this.#rings[ring];
      if (offset < 0 || offset >= 64 + this.#ringSize * 2 || step.before === step.after) continue;
      if (offset === 0 || offset === 32) {
        poke(this.own(cellName(ring, step.before & (this.#ringSize - 1))), step.by + 1);
      } else if (offset >= 64 && offset % 2 === 0) {
        poke(this.own(cellName(ring, (offset - 64) >> 1)), 0);
      }
    }
  }

  // ---- checks ---------------------------------------------------------------------------------------

  stateName(memory: Int32Array, slot: number): string {
    return STATE_NAMES[stateOf(memory[this.board.slotIndex(slot)] as number)] as string;
  }

  isIdle(memory: Int32Array, child: number): boolean {
    return ((memory[this.#idle] as number) & (1 << child)) !== 0;
  }

  /** How many tickets were ever put in. */
  ringTail(memory: Int32Array, ring: Ring): number {
    return memory[this.#rings[ring]] as number;
  }

  ringLength(memory: Int32Array, ring: Ring): number {
    const at = this.#rings[ring];
    return ((memory[at] as number) - (memory[at + 32] as number)) | 0;
  }

  /** The word and the fields of a slot are touched by whom the table and the layout name. */
  readonly observe = (step: Step, poke: (index: number, value: number) => void): void => {
    this.#noteWinner(step, poke);
    for (let slot = 0; slot < this.slots; slot++) {
      const offset = step.index - this.board.slotIndex(slot);
      if (offset === SLOT.word.offset >> 2) this.#checkMove(step);
      else if (isOfSlot(offset << 2)) this.#checkField(step, slot, offset << 2);
      if (offset === SLOT.requests.offset >> 2 && step.after === step.before + 1) {
        const served = this.own('served');
        poke(served, (this.memory.words[served] as number) + 1);
      }
      if (step.index === this.own(`socket${slot}`) && step.kind === 'and') {
        this.#checkField(step, slot, SLOT.fd.offset);
      }
    }
  };

  #checkMove(step: Step): void {
    if (step.before === step.after) return;
    const from = STATE_NAMES[stateOf(step.before)] as (typeof STATE_NAMES)[number];
    const to = STATE_NAMES[stateOf(step.after)];
    const by = step.thread.startsWith('listener') ? 'listener' : 'worker';
    const rows = TRANSITIONS.filter((row) => row.from.includes(from) && row.to === to);
    if (rows.some((row) => row.by === by || row.by === 'poller' || row.by === 'any')) return;
    throw new Forbidden(`${step.thread} moved a connection from ${from} to ${to}`);
  }

  #isDead(child: number): boolean {
    const index = this.#own.get(`dead${child}`);
    return index !== undefined && this.memory.words[index] === 1;
  }

  #checkField(step: Step, slot: number, offset: number): void {
    const word = this.memory.words[this.board.slotIndex(slot)] as number;
    const state = STATE_NAMES[stateOf(word)] as (typeof STATE_NAMES)[number];
    const owned = (OWNED as readonly string[]).includes(state);
    // The listener writes it before anybody else has the connection, and knows it as well as the owner.
    if (step.kind === 'read' && offset === SLOT.fd.offset) return;
    // Whoever queues a connection looks at the one and writes both before its move, see queue-time.ts.
    if (offset === SLOT.sinceTicks.offset && step.kind !== 'read') return;
    if (offset === SLOT.queuedUs.offset && step.kind === 'write') return;
    const held = state === 'processing' || state === 'upgraded';
    const mine = ownerOf(word) === Number(step.thread.split(' ')[1]) && held;
    const listeners = step.thread.startsWith('listener') && !owned && state !== 'queued';
    // The watch over deadlines looks twice before it believes what it reads.
    const watched = offset === SLOT.deadlineTicks.offset || offset === SLOT.answerPhase.offset;
    if (step.kind === 'read' && watched && step.thread.startsWith('listener')) return;
    // Of a dead child the listener alone is left.
    const orphaned = owned && step.thread.startsWith('listener') && this.#isDead(ownerOf(word));
    const allowed = mine || listeners || orphaned;
    if (allowed) return;
    throw new Forbidden(`${step.thread} touched a connection that is not its own, in ${state}`);
  }
}
