/**
 * Poll sets behind one interface, so that io_uring can stand beside epoll and a fake one in tests.
 *
 * Role: the two sets of the listener and what may be asked of them.
 * Thread: the listener's; a worker arms writability in the listener's set through `armWritable`.
 * May not: know connection states.
 */
import type { EventBits } from './event-router.ts';
import { type Native, WatchAnswer } from './native.ts';

export interface Poller extends EventBits {
  /** Descriptors of the sets, for workers. */
  readonly requestSet: number;
  readonly listenerSet: number;
  /** A connection, once, at accept: edge-triggered reads and end of stream. */
  addConnection(fd: number, slot: number, incarnation: number): number;
  /** What is ready of a connection is told once more, for an event that was taken and lost. */
  tellAgain(fd: number, slot: number, incarnation: number): number;
  /** A listening socket or an eventfd: level-triggered, with a token of the caller's. */
  addSource(fd: number, token: number): number;
  removeSource(fd: number): number;
  /**
   * Calls back when the request set has something (nothing is taken yet), and with a batch of the
   * listener's set.
   */
  start(onRequests: () => void, onSources: (count: number) => void): void;
  /** Takes a batch from the request set, without waiting; how many tickets. */
  pollRequests(): number;
  /** Whether `pollRequests` would find any. */
  requestsReady(): boolean;
  /** Stops and goes on with the call backs of the request set; nothing is lost in between. */
  pauseRequests(): void;
  resumeRequests(): void;
  stop(): void;
  /** slot, incarnation, events for each ticket of the last batch. */
  readonly batch: Int32Array;
}

const failed = (result: number, call: string): number => {
  if (result < 0) throw new Error(`${call}: errno ${-result}`);
  return result;
};

export class EpollPoller implements Poller {
  readonly hangup: number;
  readonly endOfStream: number;
  readonly writable: number;
  readonly requestSet: number;
  readonly listenerSet: number;
  readonly batch: Int32Array;
  readonly #native: Native;
  readonly #edges: number;
  #requestWatch = -1;
  #sourceWatch = -1;

  /** @param batch attached to the native part as its batch region */
  constructor(native: Native, batch: Int32Array) {
    this.#native = native;
    this.batch = batch;
    this.hangup = native.epollHup | native.epollErr;
    this.endOfStream = native.epollRdHup;
    this.writable = native.epollOut;
    this.#edges = native.epollIn | native.epollRdHup | native.epollEdge;
    this.requestSet = failed(native.epollCreate(), 'epoll_create');
    this.listenerSet = failed(native.epollCreate(), 'epoll_create');
  }

  addConnection(fd: number, slot: number, incarnation: number): number {
    return this.#native.epollAdd(this.requestSet, fd, this.#edges, slot, incarnation);
  }

  // EPOLL_CTL_MOD looks at the descriptor as EPOLL_CTL_ADD does (ep_modify, fs/eventpoll.c).
  tellAgain(fd: number, slot: number, incarnation: number): number {
    return this.#native.epollModify(this.requestSet, fd, this.#edges, slot, incarnation);
  }

  addSource(fd: number, token: number): number {
    return this.#native.epollAdd(this.listenerSet, fd, this.#native.epollIn, token, 0);
  }

  removeSource(fd: number): number {
    return this.#native.epollDelete(this.listenerSet, fd);
  }

  start(onRequests: () => void, onSources: (count: number) => void): void {
    const native = this.#native;
    const requests = native.watch(this.requestSet, 0, () => {
      onRequests();
      return WatchAnswer.done;
    });
    const sources = native.watch(this.listenerSet, 1, (count) => {
      onSources(failed(count, 'epoll_wait'));
      return WatchAnswer.done;
    });
    this.#requestWatch = failed(requests, 'uv_poll');
    this.#sourceWatch = failed(sources, 'uv_poll');
  }

  pollRequests(): number {
    return failed(this.#native.epollWait(this.requestSet), 'epoll_wait');
  }

  requestsReady(): boolean {
    return this.#native.readable(this.requestSet) === 1;
  }

  pauseRequests(): void {
    this.#native.pause(this.#requestWatch);
  }

  resumeRequests(): void {
    failed(this.#native.resume(this.#requestWatch), 'uv_poll');
  }

  stop(): void {
    if (this.#requestWatch >= 0) this.#native.unwatch(this.#requestWatch);
    if (this.#sourceWatch >= 0) this.#native.unwatch(this.#sourceWatch);
    this.#native.close(this.requestSet);
    this.#native.close(this.listenerSet);
  }
}
