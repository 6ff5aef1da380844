/**
 * The scoreboard: typed views over the shared memory that every thread attaches to.
 *
 * Role: makes or attaches the memory and hands out its parts; the small protocols over several words
 * (waking, inboxes, hand-back) live beside it.
 * Thread: any. May not: decide anything; policy is the listener's, the workers' or main's.
 */
import { Bitmap } from './bitmap.ts';
import { recordAt } from './halves.ts';
import {
  CHILD,
  CHILD_BYTES,
  type Dimensions,
  extendedSectionsFor,
  HEADER,
  LAYOUT_VERSION,
  MAGIC,
  NOTICE_BYTES,
  ROUTES,
  type Sections,
  SLOT,
  sectionsFor,
} from './layout.ts';
import { LogRings } from './log-rings.ts';
import { Notices } from './notices.ts';
import { pageAligned } from './page-aligned.ts';
import type { Pool } from './pool.ts';
import { ProtocolNames } from './protocol-names.ts';
import { RequestRecords } from './request-records.ts';
import { RestLines } from './rest-lines.ts';
import { RouteSeries } from './route-series.ts';
import type { ConnectionEvent } from './states.ts';
import { TicketRing } from './ticket-ring.ts';
import { Trail } from './trail.ts';
import { Outcome, transition } from './transition.ts';
import { UpstreamTable, upstreamBytes } from './upstreams.ts';

/** What a thread needs to attach; travels once, in the start message. */
export interface SharedScoreboard extends Dimensions {
  readonly board: SharedArrayBuffer;
  readonly buffers: SharedArrayBuffer;
  /** Rings of the access log; null where it is off. */
  readonly log: SharedArrayBuffer | null;
  readonly restLines: SharedArrayBuffer | null;
  /** Requests, trails and series; null where extendedStatus is off. */
  readonly extended: SharedArrayBuffer | null;
  /** Of the reverse proxy. */
  readonly upstreams: SharedArrayBuffer;
}

export class Scoreboard {
  readonly shared: SharedScoreboard;
  readonly sections: Sections;
  /** All of the board as int32. Index of a field: (base byte + offset) >> 2. */
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  readonly bytes: Uint8Array;
  /** Connection buffers, `bufferBytes` each. */
  readonly buffers: Buffer;
  readonly queue: TicketRing;
  readonly handback: TicketRing;
  readonly idle: Bitmap;
  /** Workers that serve any request; `queue` and `idle` are theirs. */
  readonly normal: Pool;
  readonly lengthy: Pool;
  readonly freeBuffers: Bitmap;
  /** Mean times of routes, see `ROUTES`. */
  readonly routes: Int32Array;
  /** What sessions are to be called for. */
  readonly notices: Notices;
  readonly protocolNames: ProtocolNames;
  /** Bits of all inboxes, `inboxWords` for each child; see inbox.ts. */
  readonly inboxes: Int32Array;
  readonly inboxWords: number;
  /** Null where the access log is off. Its last ring is the listener's. */
  readonly log: LogRings | null;
  /** The same. */
  readonly restLines: RestLines | null;
  /** These three are null where extendedStatus is off. */
  readonly requests: RequestRecords | null;
  readonly trail: Trail | null;
  readonly series: RouteSeries | null;
  readonly upstreams: UpstreamTable;
  /** A ticket of the queue that is no connection: lines wait to be written. */
  readonly logTicket: number;
  readonly connectionSlots: number;
  readonly childSlots: number;
  readonly bufferBytes: number;
  /** Record that this thread counts in: a child slot, `listenerCounters`; -1: it does not count. */
  record = -1;

  private constructor(shared: SharedScoreboard) {
    this.shared = shared;
    this.connectionSlots = shared.connectionSlots;
    this.childSlots = shared.childSlots;
    this.bufferBytes = shared.bufferBytes;
    const sections = sectionsFor(shared);
    this.sections = sections;
    const { byteLength } = shared.board;
    this.words = new Int32Array(shared.board, 0, byteLength >> 2);
    this.doubles = new Float64Array(shared.board, 0, byteLength >> 3);
    this.bytes = new Uint8Array(shared.board, 0, byteLength);
    this.buffers = Buffer.from(shared.buffers);
    const part = (start: number, bytes: number) => new Int32Array(shared.board, start, bytes >> 2);
    const ringBytes = TicketRing.bytes(sections.ringCapacity);
    this.queue = new TicketRing(part(sections.ring, ringBytes), sections.ringCapacity);
    this.handback = new TicketRing(part(sections.handback, ringBytes), sections.ringCapacity);
    this.idle = new Bitmap(part(sections.idle, Bitmap.bytes(shared.childSlots)));
    const { childSlots, lengthySlots = 0 } = shared;
    const first = childSlots - lengthySlots;
    this.normal = { queue: this.queue, idle: this.idle, first: 0, end: first };
    this.lengthy = {
      queue: new TicketRing(part(sections.lengthyRing, ringBytes), sections.ringCapacity),
      idle: new Bitmap(part(sections.lengthyIdle, Bitmap.bytes(childSlots))),
      first,
      end: childSlots,
    };
    this.freeBuffers = new Bitmap(part(sections.freeBuffers, Bitmap.bytes(sections.bufferCount)));
    this.routes = part(sections.routes, ROUTES * 4);
    this.notices = new Notices(part(sections.notices, shared.connectionSlots * NOTICE_BYTES));
    this.protocolNames = new ProtocolNames(this.bytes, sections.protocols);
    const inboxBytes = Bitmap.bytes(shared.connectionSlots);
    this.inboxes = part(sections.inboxes, childSlots * inboxBytes);
    this.inboxWords = inboxBytes >> 2;
    this.log = shared.log === null ? null : LogRings.attach(shared.log, shared.childSlots + 1);
    this.restLines = shared.restLines === null ? null : RestLines.attach(shared.restLines);
    this.upstreams = new UpstreamTable(shared.upstreams, shared.childSlots);
    this.logTicket = shared.connectionSlots;
    const { extended, connectionSlots } = shared;
    const { requests, trails } = extendedSectionsFor(shared);
    this.requests =
      extended === null ? null : new RequestRecords(extended, requests, connectionSlots);
    this.trail = extended === null ? null : new Trail(extended, trails, connectionSlots);
    this.series = extended === null ? null : new RouteSeries(extended, shared);
  }

  /**
   * New memory; untouched slots, buffers and log rings cost address space only.
   * @param accessLog with rings for its lines
   * @param extendedStatus with records of requests, trails and series
   */
  static create(dimensions: Dimensions, accessLog = false, extendedStatus = false): Scoreboard {
    const { totalBytes, bufferCount } = sectionsFor(dimensions);
    const board = new Scoreboard({
      ...dimensions,
      board: pageAligned(totalBytes),
      buffers: new SharedArrayBuffer(bufferCount * dimensions.bufferBytes),
      restLines: accessLog
        ? new SharedArrayBuffer(RestLines.bytes(dimensions.connectionSlots))
        : null,
      log: accessLog ? pageAligned(LogRings.bytes(dimensions.childSlots + 1)) : null,
      extended: extendedStatus ? pageAligned(extendedSectionsFor(dimensions).totalBytes) : null,
      upstreams: pageAligned(upstreamBytes(dimensions.childSlots)),
    });
    board.setHeader(HEADER.layout.offset, LAYOUT_VERSION);
    board.setHeader(HEADER.connectionSlots.offset, dimensions.connectionSlots);
    board.setHeader(HEADER.childSlots.offset, dimensions.childSlots);
    board.queue.initialise();
    board.lengthy.queue.initialise();
    board.handback.initialise();
    board.freeBuffers.fill(bufferCount);
    board.setHeader(HEADER.magic.offset, MAGIC);
    return board;
  }

  static attach(shared: SharedScoreboard): Scoreboard {
    const board = new Scoreboard(shared);
    if (
      board.header(HEADER.magic.offset) !== MAGIC ||
      board.header(HEADER.layout.offset) !== LAYOUT_VERSION ||
      board.header(HEADER.connectionSlots.offset) !== shared.connectionSlots ||
      board.header(HEADER.childSlots.offset) !== shared.childSlots
    ) {
      throw new Error('this memory is not a scoreboard of this version');
    }
    return board;
  }

  /** Connections that wait for a worker; the log's ticket is none of them. */
  get waiting(): number {
    const { length } = this.queue;
    return length > 0 && this.log?.pending === true ? length - 1 : length;
  }

  /** The pool whose worker this child is. */
  poolOf(child: number): Pool {
    return child < this.normal.end ? this.normal : this.lengthy;
  }

  header(offset: number): number {
    return Atomics.load(this.words, offset >> 2);
  }

  setHeader(offset: number, value: number): void {
    Atomics.store(this.words, offset >> 2, value);
  }

  /** Number under which the listener counts requests, as children do under theirs. */
  get listenerCounters(): number {
    return this.childSlots;
  }

  /** Index of a child's first word; add `CHILD.x.offset >> 2`. */
  childIndex(child: number): number {
    return (this.sections.children + child * CHILD_BYTES) >> 2;
  }

  /** Index of a connection's first word; add `SLOT.x.offset >> 2`. */
  slotIndex(slot: number): number {
    return (this.sections.connections + recordAt(slot)) >> 2;
  }

  child(child: number, field: { readonly offset: number }): number {
    return Atomics.load(this.words, this.childIndex(child) + (field.offset >> 2));
  }

  setChild(child: number, field: { readonly offset: number }, value: number): void {
    Atomics.store(this.words, this.childIndex(child) + (field.offset >> 2), value);
  }

  slot(slot: number, field: { readonly offset: number }): number {
    return this.words[this.slotIndex(slot) + (field.offset >> 2)] as number;
  }

  setSlot(slot: number, field: { readonly offset: number }, value: number): void {
    this.words[this.slotIndex(slot) + (field.offset >> 2)] = value;
  }

  /** The state word as it is now. */
  word(slot: number): number {
    return Atomics.load(this.words, this.slotIndex(slot) + (SLOT.word.offset >> 2));
  }

  /** See `transition`. */
  move(slot: number, expected: number, event: ConnectionEvent, child = 0, flags = 0): Outcome {
    const index = this.slotIndex(slot) + (SLOT.word.offset >> 2);
    const outcome = transition(this.words, index, expected, event, child, flags, this.trail, slot);
    if (outcome === Outcome.lost && this.record >= 0) {
      this.addToChild(this.record, CHILD.lostMoves, 1);
    }
    return outcome;
  }

  /** The time that the trail gives to what this thread moves now: `performance.now()` of its turn. */
  tick(now: number): void {
    this.trail?.tick(now);
  }

  /** A double of a connection slot. */
  slotDouble(slot: number, field: { readonly offset: number }): number {
    return this.doubles[(this.slotIndex(slot) + (field.offset >> 2)) >> 1] as number;
  }

  setSlotDouble(slot: number, field: { readonly offset: number }, value: number): void {
    this.doubles[(this.slotIndex(slot) + (field.offset >> 2)) >> 1] = value;
  }

  /** Adds to a double of a child's record; its writer only. */
  addToChild(child: number, field: { readonly offset: number }, amount: number, entry = 0): void {
    const index = (this.childIndex(child) >> 1) + (field.offset >> 3) + entry;
    this.doubles[index] = (this.doubles[index] as number) + amount;
  }

  /** Adds to a double of the header; main only. */
  count(field: { readonly offset: number }, amount = 1, entry = 0): void {
    const index = (field.offset >> 3) + entry;
    this.doubles[index] = (this.doubles[index] as number) + amount;
  }

  /** A double of a child slot. */
  childDouble(child: number, field: { readonly offset: number }, entry = 0): number {
    return this.doubles[
      ((this.sections.children + child * CHILD_BYTES + field.offset) >> 3) + entry
    ] as number;
  }

  headerDouble(field: { readonly offset: number }, entry = 0): number {
    return this.doubles[(field.offset >> 3) + entry] as number;
  }
}
