/**
 * A TCP connection of the simulated kernel: two streams of bytes with bounded buffers, ends and resets.
 *
 * Role: what `recv`, `send`, `shutdown`, `close` and `poll` see of it on the server's side, and what the
 * client does to it on the other. Follows Linux (net/ipv4/tcp.c, tcp_input.c): a reset leaves received
 * bytes readable, reports its error once and then the end; a close with unread bytes resets.
 */

export const POLL = {
  in: 0x001,
  out: 0x004,
  err: 0x008,
  hup: 0x010,
  rdhup: 0x2000,
  edge: 1 << 31,
} as const;

const EAGAIN = -11;
const EPIPE = -32;
const ECONNRESET = -104;

/** Bytes in order, at most `capacity`. */
export class ByteQueue {
  readonly capacity: number;
  readonly #bytes: Uint8Array;
  #head = 0;
  length = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#bytes = new Uint8Array(capacity);
  }

  get room(): number {
    return this.capacity - this.length;
  }

  push(from: Uint8Array, start: number, count: number): void {
    const { capacity } = this;
    const at = (this.#head + this.length) % capacity;
    const first = Math.min(count, capacity - at);
    this.#bytes.set(from.subarray(start, start + first), at);
    if (first < count) this.#bytes.set(from.subarray(start + first, start + count), 0);
    this.length += count;
  }

  /** Takes bytes out, into `to` where there is one. */
  take(to: Uint8Array | null, start: number, count: number): void {
    const { capacity } = this;
    if (to !== null) {
      const first = Math.min(count, capacity - this.#head);
      to.set(this.#bytes.subarray(this.#head, this.#head + first), start);
      if (first < count) to.set(this.#bytes.subarray(0, count - first), start + first);
    }
    this.#head = (this.#head + count) % capacity;
    this.length -= count;
  }

  /** Forgets the last ones. */
  truncate(length: number): void {
    this.length = Math.min(this.length, length);
  }
}

/** Whoever watches a descriptor for events. */
export interface Watcher {
  /** @param bits what happened; 0: anything may have */
  wake(bits: number): void;
}

export class Socket {
  /** From the client. */
  readonly inbound: ByteQueue;
  /** To the client, which has not read it. */
  readonly outbound: ByteQueue;
  readonly watchers: Watcher[] = [];
  /** Slot that it was accepted into, -1: it was not yet. */
  slot = -1;
  /** The client has shut its side. */
  finReceived = false;
  /** The server has shut its side. */
  finSent = false;
  /** The client has reset it. */
  resetReceived = false;
  /** The client is told of a reset. */
  resetSent = false;
  /** The server has closed it. */
  closed = false;
  /** When the server shut its side, milliseconds. */
  finSentAt = Number.POSITIVE_INFINITY;
  #error = 0;
  #resetOnClose = false;
  /** A send has found no room: the next that there is will be told. */
  #noSpace = false;

  constructor(inboundBytes: number, outboundBytes: number) {
    this.inbound = new ByteQueue(inboundBytes);
    this.outbound = new ByteQueue(outboundBytes);
  }

  #wake(bits: number): void {
    for (const watcher of this.watchers) watcher.wake(bits);
  }

  // ---- the server's side --------------------------------------------------------------------------

  get #writable(): boolean {
    return this.outbound.room * 3 >= this.outbound.capacity;
  }

  poll(): number {
    let bits = 0;
    if (this.inbound.length > 0 || this.finReceived || this.resetReceived) bits |= POLL.in;
    if (this.finReceived || this.resetReceived) bits |= POLL.rdhup;
    if (this.resetReceived || (this.finReceived && this.finSent)) bits |= POLL.hup;
    if (this.#error !== 0) bits |= POLL.err;
    if (this.finSent || this.resetReceived || this.#writable) bits |= POLL.out;
    else this.#noSpace = true;
    return bits;
  }

  recv(to: Uint8Array, start: number, length: number): number {
    const count = Math.min(length, this.inbound.length);
    if (count > 0) {
      this.inbound.take(to, start, count);
      return count;
    }
    return this.#readEnd();
  }

  #readEnd(): number {
    if (this.finReceived) return 0;
    if (this.#error !== 0) return this.#takeError();
    return this.resetReceived ? 0 : EAGAIN;
  }

  #takeError(): number {
    const error = this.#error;
    this.#error = 0;
    return error;
  }

  discard(length: number): number {
    const count = Math.min(length, this.inbound.length);
    if (count === 0) return this.#readEnd();
    this.inbound.take(null, 0, count);
    return count;
  }

  pending(): number {
    return this.inbound.length > 0 ? 1 : this.#readEnd();
  }

  /** Bytes that it takes now, of so many; below 0: errno. */
  admit(wanted: number): number {
    if (this.#error !== 0) return this.#takeError();
    if (this.resetReceived || this.finSent) return EPIPE;
    const count = Math.min(wanted, this.outbound.room);
    if (count < wanted) this.#noSpace = true;
    return count === 0 && wanted > 0 ? EAGAIN : count;
  }

  /** A write that found less room than there is, as the kernel does when it is short of memory. */
  cutShort(): void {
    this.#noSpace = true;
  }

  shutdownWrite(): number {
    if (this.resetReceived) return -107;
    this.finSent = true;
    this.#wake(0);
    return 0;
  }

  resetOnClose(): void {
    this.#resetOnClose = true;
  }

  close(): void {
    this.closed = true;
    this.finSent = true;
    if (this.inbound.length > 0 || this.#resetOnClose) this.resetSent = true;
    this.watchers.length = 0;
  }

  // ---- the client's side --------------------------------------------------------------------------

  /** Bytes that got into the server's kernel. */
  clientSends(from: Uint8Array, start: number, count: number): number {
    if (this.closed) {
      this.resetSent = true;
      return count;
    }
    const sent = Math.min(count, this.inbound.room);
    if (sent === 0) return 0;
    this.inbound.push(from, start, sent);
    this.#wake(POLL.in);
    return sent;
  }

  clientReads(to: Uint8Array, count: number): number {
    const read = Math.min(count, this.outbound.length);
    if (read === 0) return 0;
    this.outbound.take(to, 0, read);
    if (this.#noSpace && this.#writable) {
      this.#noSpace = false;
      this.#wake(POLL.out);
    }
    return read;
  }

  clientFinishes(): void {
    if (this.finReceived || this.resetReceived) return;
    this.finReceived = true;
    this.#wake(0);
  }

  clientResets(): void {
    if (this.resetReceived) return;
    this.resetReceived = true;
    this.#error = this.finReceived ? EPIPE : ECONNRESET;
    this.outbound.truncate(0);
    this.#wake(0);
  }
}
