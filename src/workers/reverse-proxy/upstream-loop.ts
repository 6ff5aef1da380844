/**
 * The sockets that a worker has to upstreams, in the worker's own loop.
 *
 * Role: connects, watches by a poll set of its own, and tells each socket's owner what its socket is
 * ready for. One memory that all of them receive into, and one timer for all deadlines.
 * Thread: one worker, which owns these descriptors: they are no connections of the listener's.
 * May not: know HTTP.
 */
import { EAGAIN, type Native, Region, WatchAnswer } from '../../listener/native.ts';
import type { RawBuffer } from '../raw-buffer.ts';

/** What is received at a time. */
export const RECEIVE_BYTES = 64 * 1024;
const BATCH = 64;
/** How exact deadlines are, milliseconds. */
const TICK_MS = 100;
const TICKET_WORDS = 3;
/** In the tickets of the descriptor by which other workers tell this one something. */
const DOORBELL_INDEX = -1;

/** Told of by the loop; events may come for nothing. */
export interface SocketOwner {
  /** @param hungUp the peer has reset, or both sides are shut */
  onReady(readable: boolean, writable: boolean, hungUp: boolean): void;
}

export interface Timed {
  /** `performance.now()` at which `onDeadline` is called; Infinity: never. */
  deadlineMs: number;
  onDeadline(): void;
}

export class UpstreamSocket {
  readonly fd: number;
  /** Its place in the loop's table; part of its events' tickets. */
  readonly index: number;
  readonly incarnation: number;
  readonly #loop: UpstreamLoop;
  owner: SocketOwner | null;
  /** Whether the attempt to connect has succeeded. */
  connected = false;
  closed = false;
  /** Nothing is there to be received before the next event. */
  dry = true;
  /** The peer has shut its side: read until that was seen. */
  atEnd = false;

  constructor(
    loop: UpstreamLoop,
    fd: number,
    index: number,
    incarnation: number,
    owner: SocketOwner,
  ) {
    this.#loop = loop;
    this.fd = fd;
    this.index = index;
    this.incarnation = incarnation;
    this.owner = owner;
  }

  /** Bytes in the loop's memory (> 0), 0: end of stream, or a negative errno. */
  receive(): number {
    const { native } = this.#loop;
    const count = native.recv(this.fd, Region.upstream, 0, RECEIVE_BYTES);
    // What is less than asked for was all there was; the next edge tells of more, and of an end.
    if (count < RECEIVE_BYTES && !this.atEnd) this.dry = true;
    return count;
  }

  /** Bytes of data[offset ..] that were taken, or a negative errno. */
  send(data: Uint8Array, offset: number): number {
    return this.#loop.native.sendPair(this.fd, Region.out, 0, 0, data, offset);
  }

  /** Nothing has come since it was last read: neither bytes nor an end. */
  get isSilent(): boolean {
    return this.#loop.native.pending(this.fd) === EAGAIN;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.owner = null;
    this.#loop.remove(this);
  }
}

export class UpstreamLoop {
  readonly native: Native;
  readonly #set: number;
  readonly #watch: number;
  readonly #batch = new Int32Array(BATCH * TICKET_WORDS);
  readonly #sockets: (UpstreamSocket | null)[] = [];
  readonly #free: number[] = [];
  #incarnation = 0;
  /** What was received last; belongs to whoever was told, until the next receive. */
  memory: RawBuffer;
  readonly #timed = new Set<Timed>();
  #timer: NodeJS.Timeout | null = null;
  #onRing: (() => void) | null = null;

  /** @throws Error where there is no descriptor left */
  constructor(native: Native) {
    this.native = native;
    this.memory = this.#newMemory();
    native.attach(Region.upstreamBatch, new Uint8Array(this.#batch.buffer));
    this.#set = native.epollCreate();
    if (this.#set < 0) throw new Error(`epoll_create: errno ${-this.#set}`);
    this.#watch = native.watch(this.#set, 0, () => this.#onReady());
    if (this.#watch < 0) {
      native.close(this.#set);
      throw new Error(`uv_poll: errno ${-this.#watch}`);
    }
  }

  #newMemory(): RawBuffer {
    const memory = Buffer.allocUnsafeSlow(RECEIVE_BYTES) as RawBuffer;
    this.native.attach(Region.upstream, memory);
    return memory;
  }

  /** What was received last has been kept by somebody: others get a memory of their own. */
  giveMemoryAway(): void {
    this.memory = this.#newMemory();
  }

  /** A socket whose connection is under way, or a negative errno. */
  connect(address: string, port: number, owner: SocketOwner): UpstreamSocket | number {
    const { native } = this;
    const fd = native.connectTcp(address, port);
    if (fd < 0) return fd;
    const index = this.#free.pop() ?? this.#sockets.length;
    this.#incarnation = (this.#incarnation + 1) & 0x3fffffff;
    const socket = new UpstreamSocket(this, fd, index, this.#incarnation, owner);
    // Once for its whole life, for both directions: there is no epoll_ctl per request.
    const events = native.epollIn | native.epollOut | native.epollRdHup | native.epollEdge;
    const added = native.epollAdd(this.#set, fd, events, index, socket.incarnation);
    if (added < 0) {
      native.close(fd);
      this.#free.push(index);
      return added;
    }
    this.#sockets[index] = socket;
    return socket;
  }

  /** Called by the socket. */
  remove(socket: UpstreamSocket): void {
    this.#sockets[socket.index] = null;
    this.#free.push(socket.index);
    this.native.close(socket.fd);
  }

  /** Calls back when somebody has written to this eventfd, which is never read: each write is an edge. */
  watchDoorbell(fd: number, onRing: () => void): void {
    const { native } = this;
    const events = native.epollIn | native.epollEdge;
    const added = native.epollAdd(this.#set, fd, events, DOORBELL_INDEX, 0);
    if (added >= 0) this.#onRing = onRing;
  }

  #onReady(): WatchAnswer {
    const count = this.native.epollWaitInto(this.#set, Region.upstreamBatch);
    if (count <= 0) return WatchAnswer.done;
    const { epollIn, epollOut, epollRdHup, epollHup, epollErr } = this.native;
    // Nobody reads the next batch before this one is through: libuv's loop is not entered from within.
    const batch = this.#batch;
    for (let at = 0; at < count * TICKET_WORDS; at += TICKET_WORDS) {
      const socket = this.#sockets[batch[at] as number] ?? null;
      if (socket === null || socket.incarnation !== batch[at + 1]) {
        if (batch[at] === DOORBELL_INDEX) this.#onRing?.();
        continue;
      }
      const events = batch[at + 2] as number;
      const hungUp = (events & (epollHup | epollErr)) !== 0;
      const readable = (events & (epollIn | epollRdHup)) !== 0 || hungUp;
      if (readable) socket.dry = false;
      if ((events & epollRdHup) !== 0 || hungUp) socket.atEnd = true;
      socket.owner?.onReady(readable, (events & epollOut) !== 0, hungUp);
    }
    // A full batch may not have been all; promise jobs of these come first.
    return count === BATCH ? WatchAnswer.again : WatchAnswer.done;
  }

  // ---- deadlines ----------------------------------------------------------------------------------

  watchDeadline(timed: Timed): void {
    this.#timed.add(timed);
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
  }

  forgetDeadline(timed: Timed): void {
    this.#timed.delete(timed);
  }

  #tick(): void {
    if (this.#timed.size === 0 && this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
      return;
    }
    const now = performance.now();
    for (const timed of [...this.#timed]) {
      if (now >= timed.deadlineMs && this.#timed.has(timed)) timed.onDeadline();
    }
  }

  /** Everything is closed; nothing may be asked of it any more. */
  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.native.unwatch(this.#watch);
    for (const socket of this.#sockets) socket?.close();
    this.native.close(this.#set);
  }
}
