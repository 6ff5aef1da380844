/**
 * What a worker sends on a connection: what the socket takes goes at once, the rest waits here, in order.
 *
 * Role: sends, keeps what did not fit, goes on when the socket is writable, and offers what waits
 * to other threads.
 * Thread: one worker. May not: know what the bytes mean, move the state word or read.
 */
import { EAGAIN, Region } from '../listener/native.ts';
import { AnswerPhase, RestFlag } from '../scoreboard/codes.ts';
import { CHILD, SLOT } from '../scoreboard/layout.ts';
import { FILE_SHRANK, FilePart, unspill } from '../scoreboard/rest.ts';
import { BLOCK_BYTES } from './block-pool.ts';
import type { WorkerContext } from './context.ts';
import { prepend, spill } from './spilled-pieces.ts';

/** Of a file in one go; then others get their turn, even where the client takes it as fast as it comes. */
const FILE_TURN_BYTES = 1 << 20;

/** What comes behind bytes that are sent. `end`: nothing ever, the write side is shut with the last one. */
export const Follows = { unknown: 0, file: 1, end: 2 } as const;
export type Follows = (typeof Follows)[keyof typeof Follows];

export class SendQueue {
  protected readonly context: WorkerContext;
  #slotIndex = 0;
  #fd = -1;
  /** What the socket did not take, in order. */
  #pending: (Uint8Array | FilePart)[] = [];
  /** Bytes of the first one that have left. */
  #pendingOffset = 0;
  /** The peer has reset the connection; everything further is thrown away. */
  broken = false;
  /** The write side was shut behind the last byte. */
  ended = false;
  /** Bytes that have left, of this connection in this tenure. */
  left = 0;
  /** Bytes that were given to be sent, and have left or wait. */
  protected taken = 0;

  constructor(context: WorkerContext) {
    this.context = context;
  }

  open(slotIndex: number, fd: number): void {
    this.#slotIndex = slotIndex;
    this.#fd = fd;
    if (this.#pending.length > 0) this.#pending.length = 0;
    this.#pendingOffset = 0;
    this.broken = false;
    this.ended = false;
    this.left = 0;
    this.taken = 0;
  }

  /** The connection is given up: what has not left never will. */
  close(): void {
    for (const part of this.#pending) {
      if (!(part instanceof FilePart)) this.context.blocks.release(part);
      // The one in the slot goes with the connection.
      else if (!this.#entered(part)) this.#closeFile(part);
    }
    this.#pending.length = 0;
    this.#pendingOffset = 0;
  }

  /** Something waits for the socket to become writable. */
  get blocked(): boolean {
    return this.#pending.length > 0;
  }

  // ---- what is sent -------------------------------------------------------------------------------

  /** Sends the first bytes of the scratch memory; the rest waits. */
  protected sendOut(length: number, follows: Follows): void {
    const { blocks, out } = this.context;
    this.taken += length;
    if (this.broken) return;
    let sent = 0;
    if (this.#pending.length === 0) {
      this.#begun();
      sent = this.#send(length, follows);
      if (sent < 0) {
        if (sent !== EAGAIN) {
          this.#break();
          return;
        }
        sent = 0;
      }
      this.#count(sent);
      if (sent === length) return;
    }
    blocks.keep(out.subarray(sent, length), this.#pending);
  }

  #send(length: number, follows: Follows): number {
    const { native } = this.context;
    if (follows === Follows.unknown) return native.send(this.#fd, Region.out, 0, length);
    if (follows === Follows.file) return native.sendMore(this.#fd, Region.out, 0, length);
    const sent = native.sendLast(this.#fd, Region.out, 0, length);
    this.ended = sent === length;
    return sent;
  }

  /** Sends the first bytes of the scratch memory and then `data`, from where it is. */
  protected sendOutWith(length: number, data: Uint8Array): void {
    const { native, blocks, out } = this.context;
    if (this.#pending.length > 0 || this.broken) {
      if (length > 0) this.sendOut(length, Follows.unknown);
      this.taken += data.length;
      if (!this.broken) this.#pending.push(data);
      return;
    }
    this.taken += length + data.length;
    this.#begun();
    let sent = native.sendPair(this.#fd, Region.out, 0, length, data, 0);
    if (sent < 0) {
      if (sent !== EAGAIN) {
        this.#break();
        return;
      }
      sent = 0;
    }
    this.#count(sent);
    if (sent < length) {
      blocks.keep(out.subarray(sent, length), this.#pending);
      this.#pending.push(data);
    } else if (length + data.length - sent > BLOCK_BYTES) {
      this.#pending.push(data);
      this.#pendingOffset = sent - length;
    } else if (sent < length + data.length) {
      blocks.keep(data.subarray(sent - length), this.#pending);
    }
  }

  /** Has a part noted in the slot, where it is found should this thread die. Closes it if broken: false. */
  protected enterFile(part: FilePart): boolean {
    const { board, native } = this.context;
    if (this.broken) {
      native.close(part.fd);
      unspill(board, part.spilledKb);
      return false;
    }
    this.#enter(part);
    return true;
  }

  /** Sends a part that was entered, as soon as what came before it has left. */
  protected sendFile(part: FilePart): void {
    this.taken += part.length;
    if (this.broken) {
      this.#closeFile(part);
      return;
    }
    const first = this.#pending.length === 0;
    this.#pending.push(part);
    if (first) this.resume();
  }

  /** The listener moves what a socket receives, once it is offered. */
  protected sendSocket(part: FilePart): void {
    if (!this.enterFile(part)) return;
    this.taken += part.length;
    this.#pending.push(part);
  }

  /** The socket may take bytes again; true once nothing waits any more. */
  resume(): boolean {
    this.#begun();
    while (this.#pending.length > 0 && !this.broken) {
      const part = this.#pending[0] as Uint8Array | FilePart;
      if (!(part instanceof FilePart ? this.#resumeFile(part) : this.#resumeBytes(part))) {
        return false;
      }
    }
    return true;
  }

  /** False: the socket is full. */
  #resumeBytes(data: Uint8Array): boolean {
    const { native, blocks } = this.context;
    const sent = native.sendPair(this.#fd, Region.out, 0, 0, data, this.#pendingOffset);
    if (sent === EAGAIN) return false;
    if (sent < 0) {
      this.#break();
      return true;
    }
    this.#count(sent);
    this.#pendingOffset += sent;
    if (this.#pendingOffset < data.length) return true;
    this.#pending.shift();
    this.#pendingOffset = 0;
    blocks.release(data);
    return true;
  }

  /** False: the socket is full, or this was enough for one turn. */
  #resumeFile(part: FilePart): boolean {
    // Only the listener watches the other socket.
    if (part.isSocket) return false;
    const bytes = Math.min(part.length, FILE_TURN_BYTES);
    const sent = this.context.native.sendfile(this.#fd, part.fd, part.offset, bytes);
    if (sent === EAGAIN) return false;
    if (sent <= 0) {
      // What was promised cannot be kept.
      if (sent === 0) process.stderr.write(FILE_SHRANK);
      this.#break();
      return true;
    }
    this.#count(sent);
    part.offset += sent;
    part.length -= sent;
    if (part.length > 0) return false;
    this.#pending.shift();
    this.#closeFile(part);
    return true;
  }

  /** Before anything is sent: should this thread die, nobody else may answer. */
  #begun(): void {
    const at = this.#slotIndex + (SLOT.answerPhase.offset >> 2);
    this.context.board.words[at] = AnswerPhase.begun;
  }

  #break(): void {
    this.broken = true;
    this.close();
  }

  #count(bytes: number): void {
    this.left += bytes;
    this.context.add(CHILD.sentBytes, bytes);
    this.context.addToSlot(this.#slotIndex, SLOT.sentBytes, bytes);
  }

  // ---- what other threads go on with --------------------------------------------------------------

  /** The descriptor of a socket that is on offer, -1: none is. */
  get offeredSocket(): number {
    const [part] = this.#pending;
    return part instanceof FilePart && part.isSocket ? part.fd : -1;
  }

  /** RestFlag bits of what is on offer. */
  get offeredFlags(): number {
    const [part] = this.#pending;
    if (!(part instanceof FilePart) || !part.isSocket) return 0;
    return RestFlag.socket | (part.length === Number.POSITIVE_INFINITY ? RestFlag.toEnd : 0);
  }

  /**
   * Goes on with what another thread has left of a response; false: there is nothing.
   * @param payload bytes of its body, as far as they are known
   */
  adopt(payload: number): boolean {
    const part = FilePart.from(this.context.board, this.#slotIndex);
    if (part === null) return false;
    this.#pending.push(part);
    this.taken = payload;
    this.left = payload - part.length;
    return true;
  }

  /**
   * Leaves what waits in the slot, as bytes of one file, so that another thread can go on with it; the
   * queue holds it until `letGo`. False: it cannot be.
   */
  offer(): boolean {
    this.#gather();
    const [part] = this.#pending;
    if (this.#pending.length !== 1 || !(part instanceof FilePart) || !this.#entered(part)) {
      return false;
    }
    part.store(this.context.board, this.#slotIndex);
    return true;
  }

  /** After an offer: the rest is somebody else's. */
  letGo(): void {
    this.#pending.length = 0;
  }

  /** Makes one file of all that waits, where that can be done. */
  #gather(): void {
    const pending = this.#pending;
    if (pending.every((part) => part instanceof FilePart)) return;
    const last = pending.at(-1);
    if (last instanceof FilePart) {
      const before = pending.slice(0, -1);
      if (prepend(before, this.#pendingOffset, last)) this.#replace(before, last);
      return;
    }
    const part = spill(this.context, pending, this.#pendingOffset);
    if (part === null) return;
    this.#enter(part);
    this.#replace(pending, part);
  }

  /** Pieces that stand in a file now are not needed any more. */
  #replace(pieces: readonly (Uint8Array | FilePart)[], file: FilePart): void {
    for (const piece of pieces) {
      if (!(piece instanceof FilePart)) this.context.blocks.release(piece);
    }
    this.#pending = [file];
    this.#pendingOffset = 0;
  }

  #enter(part: FilePart): void {
    const { board, native } = this.context;
    part.enter(board, this.#slotIndex, native);
  }

  #entered(part: FilePart): boolean {
    return part.isEntered(this.context.board, this.#slotIndex);
  }

  #closeFile(part: FilePart): void {
    part.close(this.context.board, this.#slotIndex, this.context.native);
  }
}
