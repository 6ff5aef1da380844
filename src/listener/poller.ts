/**
 * Poll sets behind one interface, so that io_uring can stand beside epoll and a fake one in tests.
 *
 * Role: the two sets of the listener and what may be asked of them.
 * Thread: the listener's; a worker arms writability in the listener's set through `armWritable`.
 * May not: know connection states.
 */
import type { Native, WatchAnswer } from './native.ts';

/** Readiness of one connection or listening socket, as the set's kind defines it. */
export interface Poller {
  readonly readable: number;
  readonly writable: number;
  readonly hangup: number;
  readonly endOfStream: number;
  /** Descriptor of the set, for other threads. */
  readonly listenerSet: number;
  /** A connection, once, at accept: edge-triggered reads and end of stream. */
  addConnection(fd: number, slot: number, incarnation: number): number;
  /** A listening socket or an eventfd: level-triggered, with a token of the caller's. */
  addSource(fd: number, token: number): number;
  removeSource(fd: number): number;
  /** Calls back with a batch of tickets in `batch`; `more` asks again without waiting. */
  start(onBatch: (count: number, more: () => number) => void): void;
  stop(): void;
  /** slot, incarnation, events for each ticket. */
  readonly batch: Int32Array;
}

const failed = (result: number, call: string): number => {
  if (result < 0) throw new Error(`${call}: errno ${-result}`);
  return result;
};

export class EpollPoller implements Poller {
  readonly readable: number;
  readonly writable: number;
  readonly hangup: number;
  readonly endOfStream: number;
  readonly listenerSet: number;
  readonly batch: Int32Array;
  readonly #native: Native;
  readonly #requestSet: number;
  #watches: number[] = [];

  /** @param batch attached to the native part as its batch region */
  constructor(native: Native, batch: Int32Array) {
    this.#native = native;
    this.batch = batch;
    this.readable = native.epollIn;
    this.writable = native.epollOut;
    this.hangup = native.epollHup | native.epollErr;
    this.endOfStream = native.epollRdHup;
    this.#requestSet = failed(native.epollCreate(), 'epoll_create');
    this.listenerSet = failed(native.epollCreate(), 'epoll_create');
  }

  addConnection(fd: number, slot: number, incarnation: number): number {
    const events = this.#native.epollIn | this.#native.epollRdHup | this.#native.epollEdge;
    return this.#native.epollAdd(this.#requestSet, fd, events, slot, incarnation);
  }

  addSource(fd: number, token: number): number {
    return this.#native.epollAdd(this.listenerSet, fd, this.#native.epollIn, token, 0);
  }

  removeSource(fd: number): number {
    return this.#native.epollDelete(this.listenerSet, fd);
  }

  start(onBatch: (count: number, more: () => number) => void): void {
    const done = 0 as WatchAnswer;
    const watch = (set: number) =>
      failed(
        this.#native.watch(set, 1, (count) => {
          if (count < 0) throw new Error(`epoll_wait: errno ${-count}`);
          onBatch(count, more.get(set) as () => number);
          return done;
        }),
        'uv_poll',
      );
    const more = new Map(
      [this.#requestSet, this.listenerSet].map((set) => [set, () => this.#native.epollWait(set)]),
    );
    this.#watches = [watch(this.#requestSet), watch(this.listenerSet)];
  }

  stop(): void {
    for (const number of this.#watches) this.#native.unwatch(number);
    this.#watches = [];
    this.#native.close(this.#requestSet);
    this.#native.close(this.listenerSet);
  }
}
