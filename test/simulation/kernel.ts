/**
 * The simulated kernel: descriptors, poll sets, eventfds, a backlog of clients, files in memory.
 *
 * Role: one table of descriptors for the whole process, the lowest free number first, so that a number
 * that was closed comes back at once. Poll sets follow Linux (fs/eventpoll.c): a ready list; an edge is
 * reported once and comes back with the next wake-up; a level stays in the list.
 */
import type { Random } from './random.ts';
import { POLL, Socket, type Watcher } from './sockets.ts';
import { ensure, Violation } from './violation.ts';

export const ERRNO = {
  ENOENT: -2,
  EBADF: -9,
  EAGAIN: -11,
  ENOMEM: -12,
  EEXIST: -17,
  ENFILE: -23,
  EMFILE: -24,
  ENOSPC: -28,
  ENOBUFS: -105,
} as const;

const FIRST_FD = 3;

export interface File {
  readonly watchers: Watcher[];
  poll(): number;
}

export class EventFd implements File {
  readonly watchers: Watcher[] = [];
  signalled = false;

  poll(): number {
    return (this.signalled ? POLL.in : 0) | POLL.out;
  }

  signal(): void {
    this.signalled = true;
    for (const watcher of this.watchers) watcher.wake(POLL.in);
  }

  drain(): number {
    if (!this.signalled) return ERRNO.EAGAIN;
    this.signalled = false;
    return 0;
  }
}

/** A listening socket. */
export class Backlog implements File {
  readonly watchers: Watcher[] = [];
  readonly waiting: Socket[] = [];

  poll(): number {
    return this.waiting.length > 0 ? POLL.in : 0;
  }

  connect(socket: Socket): void {
    this.waiting.push(socket);
    for (const watcher of this.watchers) watcher.wake(POLL.in);
  }
}

export class MemoryFile implements File {
  readonly watchers: Watcher[] = [];
  bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  poll(): number {
    return POLL.in | POLL.out;
  }

  append(bytes: Uint8Array): void {
    const longer = new Uint8Array(this.bytes.length + bytes.length);
    longer.set(this.bytes);
    longer.set(bytes, this.bytes.length);
    this.bytes = longer;
  }
}

const ALWAYS = POLL.err | POLL.hup;

class Item implements Watcher {
  readonly set: PollSet;
  readonly file: File;
  events: number;
  slot: number;
  incarnation: number;
  queued = false;
  gone = false;

  constructor(set: PollSet, file: File, events: number, slot: number, incarnation: number) {
    this.set = set;
    this.file = file;
    this.events = events;
    this.slot = slot;
    this.incarnation = incarnation;
  }

  wake(bits: number): void {
    if (bits === 0 || (bits & (this.events | ALWAYS)) !== 0) this.set.enqueue(this);
  }

  revents(): number {
    return this.file.poll() & (this.events | ALWAYS);
  }
}

export class PollSet implements File {
  readonly watchers: Watcher[] = [];
  readonly items = new Map<number, Item>();
  #ready: Item[] = [];

  enqueue(item: Item): void {
    if (item.queued) return;
    item.queued = true;
    this.#ready.push(item);
  }

  poll(): number {
    for (let index = 0; index < this.#ready.length; ) {
      const item = this.#ready[index] as Item;
      if (!item.gone && item.revents() !== 0) return POLL.in;
      item.queued = false;
      this.#ready.splice(index, 1);
    }
    return 0;
  }

  add(fd: number, file: File, events: number, slot: number, incarnation: number): number {
    if (this.items.has(fd)) return ERRNO.EEXIST;
    const item = new Item(this, file, events, slot, incarnation);
    this.items.set(fd, item);
    file.watchers.push(item);
    if (item.revents() !== 0) this.enqueue(item);
    return 0;
  }

  modify(fd: number, events: number, slot: number, incarnation: number): number {
    const item = this.items.get(fd);
    if (item === undefined) return ERRNO.ENOENT;
    Object.assign(item, { events, slot, incarnation });
    if (item.revents() !== 0) this.enqueue(item);
    return 0;
  }

  remove(fd: number): number {
    const item = this.items.get(fd);
    if (item === undefined) return ERRNO.ENOENT;
    this.items.delete(fd);
    item.gone = true;
    const at = item.file.watchers.indexOf(item);
    if (at >= 0) item.file.watchers.splice(at, 1);
    return 0;
  }

  /** Tickets of three words each; how many. */
  wait(batch: Int32Array, random: Random): number {
    const capacity = Math.floor(batch.length / 3);
    const ready = this.#ready;
    this.#ready = [];
    let count = 0;
    for (let index = 0; index < ready.length; index++) {
      const item = ready[index] as Item;
      if (count === capacity) {
        this.#ready.push(item);
        continue;
      }
      item.queued = false;
      if (item.gone) continue;
      const revents = item.revents();
      if (revents === 0) continue;
      batch[count * 3] = item.slot;
      batch[count * 3 + 1] = item.incarnation;
      batch[count * 3 + 2] = revents;
      count++;
      if ((item.events & POLL.edge) === 0) this.enqueue(item);
    }
    // The order of a ready list says nothing about what happened first.
    if (count > 1 && random.chance(0.5)) swapTickets(batch, 0, random.below(count));
    return count;
  }

  /** An event that says nothing new, as the kernel may report. */
  wakeOne(random: Random): void {
    const items = [...this.items.values()];
    if (items.length > 0) this.enqueue(random.pick(items));
  }
}

function swapTickets(batch: Int32Array, left: number, right: number): void {
  for (let word = 0; word < 3; word++) {
    const kept = batch[left * 3 + word] as number;
    batch[left * 3 + word] = batch[right * 3 + word] as number;
    batch[right * 3 + word] = kept;
  }
}

/** The process's descriptors. */
export class Descriptors {
  readonly #files: (File | null)[] = [];
  readonly #sets: PollSet[] = [];
  opened = 0;
  closed = 0;

  open(file: File): number {
    let at = 0;
    while (at < this.#files.length && this.#files[at] !== null) at++;
    this.#files[at] = file;
    if (file instanceof PollSet) this.#sets.push(file);
    this.opened++;
    return at + FIRST_FD;
  }

  find(fd: number): File | null {
    return this.#files[fd - FIRST_FD] ?? null;
  }

  socket(fd: number, call: string): Socket {
    const file = this.find(fd);
    ensure(file instanceof Socket, () => `${call} of descriptor ${fd}, which is no connection`);
    return file;
  }

  set(fd: number, call: string): PollSet {
    const file = this.find(fd);
    ensure(file instanceof PollSet, () => `${call} of descriptor ${fd}, which is no poll set`);
    return file;
  }

  close(fd: number, by: string): void {
    const file = this.find(fd);
    if (file === null) throw new Violation(`${by} closes descriptor ${fd}, which is not open`);
    for (const set of this.#sets) set.remove(fd);
    this.#files[fd - FIRST_FD] = null;
    this.closed++;
    if (file instanceof Socket) file.close();
  }

  /** Those that are open, of one kind. */
  *[Symbol.iterator](): Generator<[number, File]> {
    for (const [index, file] of this.#files.entries()) {
      if (file !== null && file !== undefined) yield [index + FIRST_FD, file];
    }
  }
}
