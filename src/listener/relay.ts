/**
 * Moves what one socket receives to another, without its passing through JavaScript.
 *
 * Role: splice through a pipe, for responses whose body is another socket's bytes and for tunnels. A pipe
 * belongs to a stream only while bytes of it are in there, which the target did not take: so what is idle
 * has none. A short message of a tunnel is copied instead: two calls, where splice takes three and a page.
 * Thread: the listener's.
 */
import { EAGAIN, type Native, Region } from './native.ts';

/** What a pipe holds unless told otherwise (pipe(7)). */
const PIPE_BYTES = 64 * 1024;
/** What is copied at most, and more than that is a body. */
const SHORT_BYTES = 16 * 1024;
/** Empty pipes that are kept for the next stream. */
const MAX_SPARES = 32;

export interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
  /** Bytes in it. */
  held: number;
  /** The source has ended. */
  ended: boolean;
}

/** `waits`: for either socket. `turn`: enough for one turn. `ended`: the source has, and all is sent. */
export const Relayed = { waits: 0, turn: 1, done: 2, ended: 3, broken: 4 } as const;
export type Relayed = (typeof Relayed)[keyof typeof Relayed];

export class Relay {
  readonly #native: Native;
  /** By stream: those that hold bytes. */
  readonly #pipes = new Map<number, Pipe>();
  readonly #spares: Pipe[] = [];
  readonly #ends = new Int32Array(2);
  #short: Uint8Array | null = null;
  /** Bytes that the last `advance` sent. */
  sent = 0;

  constructor(native: Native) {
    this.#native = native;
  }

  /**
   * @param stream number of the caller's for what goes from this source to this target
   * @param source descriptor bytes come from, `target` where they go
   * @param length bytes still to be sent; Infinity: until the source ends
   * @param budget bytes for this turn
   */
  advance(stream: number, source: number, target: number, length: number, budget: number): Relayed {
    this.sent = 0;
    const kept = this.#pipes.get(stream);
    const pipe = kept ?? this.#spares.pop() ?? this.#open();
    if (pipe === null) return Relayed.broken;
    const outcome = this.#move(pipe, source, target, length, budget);
    if (pipe.held > 0) {
      if (kept === undefined) this.#pipes.set(stream, pipe);
      return outcome;
    }
    if (kept !== undefined) this.#pipes.delete(stream);
    this.#spare(pipe);
    return outcome;
  }

  #move(pipe: Pipe, source: number, target: number, length: number, budget: number): Relayed {
    for (;;) {
      const wanted = Math.min(PIPE_BYTES, length - this.sent) - pipe.held;
      let moved = 0;
      if (wanted > 0 && !pipe.ended) {
        moved = this.#native.splice(source, pipe.writeEnd, wanted);
        if (moved === 0) pipe.ended = true;
        else if (moved > 0) pipe.held += moved;
        else if (moved !== EAGAIN) return Relayed.broken;
      }
      if (pipe.held > 0) {
        const count = this.#native.splice(pipe.readEnd, target, pipe.held);
        if (count === EAGAIN) return Relayed.waits;
        if (count <= 0) return Relayed.broken;
        pipe.held -= count;
        this.sent += count;
        if (this.sent === length) return Relayed.done;
        if (this.sent >= budget) return Relayed.turn;
        continue;
      }
      if (pipe.ended) return Relayed.ended;
      if (moved === EAGAIN) return Relayed.waits;
    }
  }

  /**
   * As `advance` without a length, for what is mostly short messages.
   * @param toEnd the source may have ended behind what it has; else a short read has emptied it
   */
  pass(stream: number, source: number, target: number, toEnd: boolean, budget: number): Relayed {
    if (this.#pipes.has(stream))
      return this.advance(stream, source, target, Number.POSITIVE_INFINITY, budget);
    this.sent = 0;
    const native = this.#native;
    const short = this.#short ?? this.#attach();
    const count = native.recv(source, Region.upstream, 0, SHORT_BYTES);
    if (count === EAGAIN) return Relayed.waits;
    if (count === 0) return Relayed.ended;
    if (count < 0) return Relayed.broken;
    const sent = native.send(target, Region.upstream, 0, count);
    if (sent < 0 && sent !== EAGAIN) return Relayed.broken;
    const taken = Math.max(0, sent);
    if (taken < count && !this.#keep(stream, short.subarray(taken, count))) return Relayed.broken;
    let outcome: Relayed = Relayed.waits;
    // A socket that gave less than it was asked for has no more (epoll(7), question 9), but for its end.
    if (taken === count && (toEnd || count === SHORT_BYTES)) {
      outcome = this.advance(stream, source, target, Number.POSITIVE_INFINITY, budget);
    }
    this.sent += taken;
    return outcome;
  }

  /** What a target did not take; an empty pipe has room for it. */
  #keep(stream: number, bytes: Uint8Array): boolean {
    const pipe = this.#spares.pop() ?? this.#open();
    if (pipe === null) return false;
    this.#pipes.set(stream, pipe);
    pipe.held = bytes.length;
    return this.#native.spill(bytes, 0, pipe.writeEnd) >= 0;
  }

  #attach(): Uint8Array {
    const short = new Uint8Array(SHORT_BYTES);
    this.#native.attach(Region.upstream, short);
    this.#short = short;
    return short;
  }

  /** Bytes of this stream wait for its target. */
  holds(stream: number): boolean {
    return this.#pipes.has(stream);
  }

  #open(): Pipe | null {
    if (this.#native.pipe(this.#ends) < 0) return null;
    const [readEnd = -1, writeEnd = -1] = this.#ends;
    return { readEnd, writeEnd, held: 0, ended: false };
  }

  #spare(pipe: Pipe): void {
    pipe.ended = false;
    if (this.#spares.length < MAX_SPARES) this.#spares.push(pipe);
    else this.#closePipe(pipe);
  }

  #closePipe(pipe: Pipe): void {
    this.#native.close(pipe.readEnd);
    this.#native.close(pipe.writeEnd);
  }

  /** The stream is over, one way or the other. */
  close(stream: number): void {
    const pipe = this.#pipes.get(stream);
    if (pipe === undefined) return;
    this.#pipes.delete(stream);
    // Somebody else's bytes are in it.
    this.#closePipe(pipe);
  }

  /** All streams are over. */
  stop(): void {
    for (const pipe of this.#spares.splice(0)) this.#closePipe(pipe);
  }
}
