/**
 * A worker's tenure of one connection: how it is taken, kept over a wait, and given up.
 *
 * Role: the moves of the state word together with what has to happen around them: the buffer stored
 * or given back, the pin in the serving loop, the look at the socket after an event that came between.
 * Thread: one worker. May not: send, call a handler, or close the descriptor; a connection that is over
 * goes to the listener. What is to be sent and counted has been when it is given up.
 */
import { EAGAIN } from '../listener/native.ts';
import { ReadPhase, RestFlag } from '../scoreboard/codes.ts';
import { SLOT } from '../scoreboard/layout.ts';
import { NOT_SAMPLED } from '../scoreboard/rest.ts';
import { ConnectionEvent } from '../scoreboard/states.ts';
import { FLAG_END, FLAG_HANGUP } from '../scoreboard/transition.ts';
import type { WorkerContext } from './context.ts';
import type { Ownership } from './ownership.ts';
import type { Served, ServingLoop } from './protocol.ts';
import type { ResponseWriter } from './response-writer.ts';

const DISCARD_BYTES = 1 << 20;
const DISCARD_TURNS = 16;

/** What has come on a connection, as its protocol keeps it. */
export interface Input {
  /** Takes over what the slot holds; call as the owner. */
  load(slotIndex: number, fd: number): void;
  /** Leaves what the next worker needs in the slot. */
  store(): void;
  /** Gives the buffer back. */
  release(): void;
  /** After an event that came while the connection was owned. @param atEnd the peer has shut its side */
  wet(atEnd: boolean): void;
  /** Nothing can be gained from another receive before a new event. */
  readonly dry: boolean;
  /** Bytes are there that nobody has taken yet. */
  readonly hasLeftover: boolean;
}

export class Tenure {
  readonly #context: WorkerContext;
  readonly #loop: ServingLoop;
  readonly #connection: Served;
  readonly #hold: Ownership;
  readonly #reader: Input;
  readonly #writer: ResponseWriter;
  #pinned = false;

  constructor(
    context: WorkerContext,
    loop: ServingLoop,
    connection: Served,
    hold: Ownership,
    reader: Input,
    writer: ResponseWriter,
  ) {
    this.#context = context;
    this.#loop = loop;
    this.#connection = connection;
    this.#hold = hold;
    this.#reader = reader;
    this.#writer = writer;
  }

  /** After a claim; `word` is what it made of the state. */
  take(slot: number, word: number): void {
    const hold = this.#hold;
    hold.take(slot, word);
    this.#pinned = false;
    this.#reader.load(hold.index, hold.fd);
    this.#writer.open(hold.index, hold.fd);
  }

  /** It stays in this child beyond the present turn. */
  pin(): void {
    if (this.#pinned) return;
    this.#pinned = true;
    this.#loop.pin(this.#connection);
  }

  unpin(): void {
    if (!this.#pinned) return;
    this.#pinned = false;
    this.#loop.unpin(this.#connection);
  }

  /** Takes the flags that made a move fail; the socket has to be looked at again. */
  attend(): number {
    const flags = this.#hold.attend();
    if ((flags & FLAG_END) !== 0) this.#hold.setField(SLOT.endOfStream, 1);
    this.#reader.wet((flags & FLAG_END) !== 0);
    return flags;
  }

  /**
   * Suspends: the listener wakes this child when the socket is ready.
   * @param forBody a handler waits for its body, within requestReadTimeout
   */
  park(forWriting: boolean, forBody = false): void {
    const hold = this.#hold;
    this.pin();
    hold.setField(SLOT.readPhase, forBody ? ReadPhase.stream : ReadPhase.head);
    // One that does not write has nothing to progress by: its samples are never above 0.
    hold.setField(SLOT.unsentBytes, NOT_SAMPLED);
    if (forWriting) hold.armWritable();
    if (hold.suspended || hold.suspend()) return;
    const flags = this.attend();
    if ((flags & FLAG_HANGUP) !== 0 && this.#context.native.pending(hold.fd) <= 0) {
      // Told later, since it may be a handler's own write or read that came here.
      this.#writer.broken = true;
    }
    this.#loop.soon(this.#connection);
  }

  /**
   * Hands the connection back to wait for its next bytes, or for its turn (`requeue`). False: an event
   * came, so read again.
   */
  release(requeue: boolean, partial: boolean): boolean {
    const hold = this.#hold;
    const { slot } = hold;
    this.#reader.store();
    this.unpin();
    const event = requeue ? ConnectionEvent.requeue : this.#waitingEvent(partial);
    if (hold.release(event, this.#context.now)) {
      if (requeue) this.#loop.requeue(slot);
      return true;
    }
    this.attend();
    this.#reader.load(hold.index, hold.fd);
    return false;
  }

  /** Gives the request that was read, and nothing of which was answered, to an idle worker. */
  delegate(heir: number): void {
    const hold = this.#hold;
    const { slot } = hold;
    this.#reader.store();
    // The request before it may have waited.
    this.unpin();
    // Bytes that came meanwhile the heir finds, as it looks at the socket in any case; that the peer has
    // left it has to be told, since it has the whole request.
    let told = 0;
    while (!hold.release(ConnectionEvent.requeue, this.#context.now, told)) {
      told |= this.attend() & (FLAG_END | FLAG_HANGUP);
    }
    this.#loop.delegate(heir, slot);
  }

  /**
   * Gives the request that was read and made repeatable, and nothing of which was answered, to a lengthy
   * worker. False: the client has left meanwhile.
   */
  toLengthy(): boolean {
    const hold = this.#hold;
    const { slot } = hold;
    this.#reader.store();
    this.unpin();
    while (!hold.release(ConnectionEvent.toLengthy, this.#context.now)) {
      if (this.#context.isDeparted(this.attend())) return false;
    }
    this.#loop.toLengthy(slot);
    return true;
  }

  /**
   * Leaves the rest of an ended response, which the writer has offered, to the listener. False: an
   * event came, so try the socket again.
   * @param again a worker is to look in any case when it has left
   */
  complete(close: boolean, again = false): boolean {
    const hold = this.#hold;
    const reader = this.#reader;
    // A client that goes on sending is read after what it has asked for has left.
    const more = !close && (again || reader.hasLeftover || !reader.dry);
    if (close) reader.release();
    else reader.store();
    const flags = (close ? RestFlag.close : 0) | (more ? RestFlag.more : 0);
    hold.setField(SLOT.restFlags, flags | this.#writer.offeredFlags);
    if (this.#writer.offeredSocket >= 0) hold.watchSource(this.#writer.offeredSocket);
    hold.armWritable();
    this.unpin();
    if (hold.release(ConnectionEvent.needWrite, this.#context.now)) {
      this.#writer.letGo();
      return true;
    }
    this.attend();
    this.#reader.load(hold.index, hold.fd);
    return false;
  }

  #waitingEvent(partial: boolean) {
    if (partial) return ConnectionEvent.needRead;
    return this.#hold.field(SLOT.requests) > 0
      ? ConnectionEvent.responseSent
      : ConnectionEvent.nothingRead;
  }

  /**
   * Shuts the write side; the listener waits for the client to finish reading and sending. False: it
   * is in the inbox and has to be claimed from there first.
   */
  closeGently(): boolean {
    const hold = this.#hold;
    if (!hold.takeBack()) return false;
    this.#reader.release();
    if (!this.#writer.ended) this.#context.native.shutdownWrite(hold.fd);
    while (this.#peerIsSending()) {
      this.unpin();
      if (hold.release(ConnectionEvent.lastResponseSent, this.#context.now)) return true;
      this.attend();
    }
    return this.closeNow();
  }

  /** Takes what has come meanwhile out of the socket, whose event will not come again. */
  #peerIsSending(): boolean {
    if (this.#reader.dry) return true;
    for (let turn = 0; turn < DISCARD_TURNS; turn++) {
      const count = this.#context.native.discard(this.#hold.fd, DISCARD_BYTES);
      if (count < 0) return count === EAGAIN;
      if (count === 0) return false;
    }
    return false;
  }

  /** Nothing more to say to this peer. False as with `closeGently`. */
  closeNow(): boolean {
    const hold = this.#hold;
    if (!hold.takeBack()) return false;
    const { slot } = hold;
    this.#reader.release();
    this.#writer.close();
    this.unpin();
    while (!hold.release(ConnectionEvent.close, this.#context.now)) this.attend();
    if (this.#writer.ended) this.#context.handBackLater(slot);
    else this.#context.handBack(slot);
    return true;
  }
}
