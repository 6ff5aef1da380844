/**
 * A worker's hold on one connection: the owner's side of the transition table.
 *
 * Role: knows the state word as this worker left it, suspends, takes back, and lets go.
 * Thread: one worker, from its claim to its release. May not: close the descriptor, or touch the slot
 * after a release succeeded.
 *
 * A release fails when an event came meanwhile (a flag in the word); `attend` takes the flags, and the
 * socket gets another look before the next try, so no event is lost.
 */
import { EEXIST, type Native } from '../listener/native.ts';
import { elapsedTicks, microsecondsOf, nowTicks, ticksOf } from '../scoreboard/clock.ts';
import { AnswerPhase } from '../scoreboard/codes.ts';
import { HEADER, SLOT } from '../scoreboard/layout.ts';
import { SOURCE_TOKEN } from '../scoreboard/rest.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../scoreboard/states.ts';
import {
  FLAG_END,
  FLAG_HANGUP,
  FLAGS_MASK,
  flagsOf,
  incarnationOf,
  Outcome,
  stateOf,
  successor,
} from '../scoreboard/transition.ts';

/** Events by which a worker gives up a connection. */
export type ReleaseEvent =
  | typeof ConnectionEvent.nothingRead
  | typeof ConnectionEvent.needRead
  | typeof ConnectionEvent.responseSent
  | typeof ConnectionEvent.requeue
  | typeof ConnectionEvent.toLengthy
  | typeof ConnectionEvent.lastResponseSent
  | typeof ConnectionEvent.needWrite
  | typeof ConnectionEvent.close;

export class Ownership {
  readonly #board: Scoreboard;
  readonly #native: Native;
  readonly #child: number;
  /** Connection slot, -1 after the release. */
  slot = -1;
  /** int32 index of the slot's first word. */
  index = 0;
  fd = -1;
  #word = 0;
  #suspended = false;

  /** Of the connection that is owned. */
  get incarnation(): number {
    return incarnationOf(this.#word);
  }

  constructor(board: Scoreboard, native: Native, child: number) {
    this.#board = board;
    this.#native = native;
    this.#child = child;
  }

  /** After a claim; `word` is what it made of the state. */
  take(slot: number, word: number): void {
    const { words } = this.#board;
    const index = this.#board.slotIndex(slot);
    this.slot = slot;
    this.index = index;
    this.#word = word;
    this.#suspended = false;
    this.fd = words[index + (SLOT.fd.offset >> 2)] as number;
    // First of all writes, so that a snapshot that overlaps them is seen to.
    const sequence = index + (SLOT.sequence.offset >> 2);
    words[sequence] = ((words[sequence] as number) + 1) | 0;
    words[index + (SLOT.lastChild.offset >> 2)] = this.#child + 1;
  }

  /** A field of the slot, while it is owned. */
  field(field: { readonly offset: number }): number {
    return this.#board.words[this.index + (field.offset >> 2)] as number;
  }

  setField(field: { readonly offset: number }, value: number): void {
    this.#board.words[this.index + (field.offset >> 2)] = value;
  }

  doubleField(field: { readonly offset: number }): number {
    return this.#board.doubles[(this.index + (field.offset >> 2)) >> 1] as number;
  }

  setDoubleField(field: { readonly offset: number }, value: number): void {
    this.#board.doubles[(this.index + (field.offset >> 2)) >> 1] = value;
  }

  /** Bounds the time until the response to the present request begins; 0: nothing does. */
  setDeadline(now: number, milliseconds: number): void {
    // 0 means none, and a millisecond more does no harm.
    this.setField(SLOT.deadlineTicks, milliseconds === 0 ? 0 : ticksOf(now + milliseconds) || 1);
  }

  /** Its response should have begun. */
  get overdue(): boolean {
    const deadline = this.field(SLOT.deadlineTicks);
    return deadline !== 0 && elapsedTicks(deadline, nowTicks()) >= 0;
  }

  /** Begins the present wait anew. */
  touch(): void {
    this.setField(SLOT.sinceTicks, nowTicks());
  }

  /** In the listener's hands until the socket is ready; must be taken back before a release. */
  get suspended(): boolean {
    return this.#suspended;
  }

  /**
   * The last act on the slot; false: an event came, so `attend` and look at the socket again.
   * @param now `performance.now()`, when the wait begins
   * @param flags of `requeue`: what is known of the peer, for whoever claims it
   */
  release(event: ReleaseEvent, now: number, flags = 0): boolean {
    this.setField(SLOT.sinceTicks, ticksOf(now));
    this.#board.tick(now);
    if (this.field(SLOT.answerPhase) !== AnswerPhase.none) {
      this.setField(SLOT.answerPhase, AnswerPhase.none);
      this.setField(SLOT.deadlineTicks, 0);
    }
    if (event === ConnectionEvent.requeue || event === ConnectionEvent.toLengthy) {
      this.setField(SLOT.queuedUs, microsecondsOf(now));
    }
    const outcome = this.#board.move(this.slot, this.#word, event, this.#child, flags);
    if (outcome !== Outcome.moved) return false;
    this.slot = -1;
    return true;
  }

  /** Takes the flags that made a move fail; returns them. */
  attend(): number {
    const board = this.#board;
    for (;;) {
      const word = board.word(this.slot);
      if (stateOf(word) !== ConnectionState.processing)
        throw new Error('an owned connection moved');
      if (board.move(this.slot, word, ConnectionEvent.attend) === Outcome.moved) {
        this.#word = word & ~FLAGS_MASK;
        return flagsOf(word);
      }
    }
  }

  /** Waits for the socket without a thread; false: an event came, so `attend` instead. */
  suspend(): boolean {
    const now = performance.now();
    this.setField(SLOT.sinceTicks, ticksOf(now));
    this.#board.tick(now);
    if (this.#board.move(this.slot, this.#word, ConnectionEvent.suspend) !== Outcome.moved) {
      return false;
    }
    this.#word = successor(this.#word, ConnectionEvent.suspend, this.#child, 0);
    this.#suspended = true;
    return true;
  }

  /** Takes a suspended connection back; false: it is in the inbox and comes from there. */
  takeBack(): boolean {
    if (!this.#suspended) return true;
    this.#board.tick(performance.now());
    if (this.#board.move(this.slot, this.#word, ConnectionEvent.resume) !== Outcome.moved) {
      return false;
    }
    this.#word = successor(this.#word, ConnectionEvent.resume, this.#child, 0);
    this.#suspended = false;
    return true;
  }

  /** Out of the inbox, claimed again. */
  resumed(word: number): void {
    this.#word = word;
    this.#suspended = false;
  }

  /**
   * The last act on the slot before another protocol begins: this child keeps the connection, and the
   * poll sets tell nothing of it any more. Returns the state word, which nobody else moves while the
   * child lives.
   */
  upgrade(): number {
    const native = this.#native;
    this.setField(SLOT.sinceTicks, nowTicks());
    this.setField(SLOT.answerPhase, AnswerPhase.none);
    this.setField(SLOT.deadlineTicks, 0);
    // A flag says nothing that the socket that has it from now on would not find by itself.
    while (this.#board.move(this.slot, this.#word, ConnectionEvent.upgrade) !== Outcome.moved) {
      this.attend();
    }
    // Behind the move, so that whoever misses it in the set finds that it was upgraded. A descriptor
    // more than the listener's would keep it in the set beyond the close.
    native.epollDelete(this.#board.header(HEADER.requestSet.offset), this.fd);
    if (this.field(SLOT.inListenerSet) === 1) {
      native.epollDelete(this.#board.header(HEADER.listenerSet.offset), this.fd);
      this.setField(SLOT.inListenerSet, 0);
    }
    this.slot = -1;
    return successor(this.#word, ConnectionEvent.upgrade, this.#child, 0);
  }

  /** The peer reset the connection; noticed while it was owned. */
  get hungUp(): boolean {
    return !this.#suspended && (flagsOf(this.#board.word(this.slot)) & FLAG_HANGUP) !== 0;
  }

  /** The peer shut its side of the connection; noticed while it was owned. */
  get peerEnded(): boolean {
    return !this.#suspended && (flagsOf(this.#board.word(this.slot)) & FLAG_END) !== 0;
  }

  /** Has the listener told when another socket has bytes for this connection. */
  watchSource(source: number): void {
    const native = this.#native;
    const set = this.#board.header(HEADER.listenerSet.offset);
    const events = native.epollIn | native.epollRdHup | native.epollEdge;
    const incarnation = incarnationOf(this.#word);
    const result = native.epollAdd(set, source, events, this.slot + SOURCE_TOKEN, incarnation);
    // Tried a second time, it is there already.
    if (result < 0 && result !== EEXIST)
      throw new Error(`epoll_ctl for a source: errno ${-result}`);
  }

  /** Asks for an event when the socket takes bytes again, now or later. */
  armWritable(): void {
    const native = this.#native;
    const registered = this.field(SLOT.inListenerSet) === 1;
    const call = registered ? native.epollModify : native.epollAdd;
    const result = call(
      this.#board.header(HEADER.listenerSet.offset),
      this.fd,
      native.epollOut | native.epollEdge,
      this.slot,
      incarnationOf(this.#word),
    );
    if (result < 0) throw new Error(`epoll_ctl for a write: errno ${-result}`);
    this.setField(SLOT.inListenerSet, 1);
  }
}
