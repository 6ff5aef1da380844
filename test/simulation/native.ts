/**
 * The native part as one simulated thread sees it.
 *
 * Role: stands in for `addon.c`. Every call is a point at which other threads may go first, and at which
 * the thread may die. Sees to it that only a connection's owner receives, sends and closes.
 */
import type { Native, Region, WatchAnswer } from '../../src/listener/native.ts';
import { SLOT } from '../../src/scoreboard/layout.ts';
import { nativeCall } from './host.ts';
import { Backlog, ERRNO, EventFd, MemoryFile, PollSet } from './kernel.ts';
import { POLL, type Socket } from './sockets.ts';
import type { SimulatedThread } from './thread.ts';
import { ensure } from './violation.ts';
import type { World } from './world.ts';

const AF_INET = 2;
const BATCH_REGION = 1;
const BOARD_REGION = 0;
/** Of a slot: KiB that count as spilled, behind the descriptor. */
const REST_SPILLED_WORDS = (SLOT.restSpilledKb.offset - SLOT.restFd.offset) >> 2;

export function nativeOf(world: World, thread: SimulatedThread): Native {
  const { descriptors, faults, random } = world;
  const regions: Uint8Array[] = [];
  let batch: Int32Array = new Int32Array(0);
  const region = (number: Region): Uint8Array => regions[number] as Uint8Array;
  const eventFd = (fd: number): EventFd => {
    const file = descriptors.find(fd);
    ensure(file instanceof EventFd, () => `descriptor ${fd} is no eventfd`);
    return file;
  };
  const owned = (fd: number, call: string): Socket => {
    const socket = descriptors.socket(fd, call);
    world.checkOwner(thread, socket, call);
    return socket;
  };
  const send = (fd: number, first: Uint8Array, second: Uint8Array | null): number => {
    const socket = owned(fd, 'send');
    const wanted = first.length + (second?.length ?? 0);
    let count = socket.admit(wanted);
    if (count <= 0) return count;
    if (count > 1 && random.chance(faults.shortWrites)) {
      count = random.between(1, count);
      socket.cutShort();
    }
    const ofFirst = Math.min(count, first.length);
    socket.outbound.push(first, 0, ofFirst);
    if (second !== null && count > ofFirst) socket.outbound.push(second, 0, count - ofFirst);
    return count;
  };
  const shut = (fd: number): number => {
    const socket = descriptors.socket(fd, 'shutdown');
    socket.finSentAt = Math.min(socket.finSentAt, world.now);
    return socket.shutdownWrite();
  };
  const part = (number: Region, offset: number, length: number): Uint8Array =>
    region(number).subarray(offset, offset + length);

  const native = {
    epollIn: POLL.in,
    epollOut: POLL.out,
    epollErr: POLL.err,
    epollHup: POLL.hup,
    epollRdHup: POLL.rdhup,
    epollEdge: POLL.edge,
    ticketWords: 3,
    maxBatch: 256,
    listenReusePort: 1,
    listenV6Only: 2,
    familyIpv6: 10,

    attach(number: Region, memory: Uint8Array): number {
      regions[number] = memory;
      if (number === BATCH_REGION) {
        batch = new Int32Array(memory.buffer, memory.byteOffset, memory.length >> 2);
      }
      return 0;
    },
    epollCreate: () => descriptors.open(new PollSet()),
    epollAdd(set: number, fd: number, events: number, slot: number, incarnation: number): number {
      nativeCall();
      const file = descriptors.find(fd);
      ensure(file !== null, () => `epoll_ctl ADD of descriptor ${fd}, which is not open`);
      if (faults.noWatches > 0 && thread.isListener && slot >= 0) {
        if (random.chance(faults.noWatches)) return ERRNO.ENOSPC;
      }
      return descriptors.set(set, 'epoll_ctl').add(fd, file, events, slot, incarnation);
    },
    epollModify(set: number, fd: number, events: number, slot: number, incarnation: number) {
      nativeCall();
      return descriptors.set(set, 'epoll_ctl').modify(fd, events, slot, incarnation);
    },
    epollDelete(set: number, fd: number): number {
      nativeCall();
      return descriptors.set(set, 'epoll_ctl').remove(fd);
    },
    epollWait(set: number): number {
      nativeCall();
      const count = descriptors.set(set, 'epoll_wait').wait(batch, random);
      if (world.tracing) world.trace(`tickets ${batch.subarray(0, count * 3).join(' ')}`);
      if (count > 0) world.afterPoll();
      return count;
    },
    readable(fd: number): number {
      nativeCall();
      const file = descriptors.find(fd);
      ensure(file !== null, () => `poll of descriptor ${fd}, which is not open`);
      return (file.poll() & POLL.in) !== 0 ? 1 : 0;
    },
    eventfdCreate: () => descriptors.open(new EventFd()),
    eventfdSignal(fd: number): number {
      nativeCall();
      eventFd(fd).signal();
      return 0;
    },
    eventfdDrain(fd: number): number {
      nativeCall();
      return eventFd(fd).drain();
    },
    watch(fd: number, readsBatch: 0 | 1, callback: (count: number) => WatchAnswer): number {
      const file = descriptors.find(fd);
      ensure(file !== null, () => `watch of descriptor ${fd}, which is not open`);
      return thread.watch(file, readsBatch === 1 ? () => native.epollWait(fd) : null, callback);
    },
    pause: (watch: number) => thread.pause(watch),
    resume: (watch: number) => thread.resume(watch),
    unwatch: (watch: number) => thread.unwatch(watch),
    listenTcp: () => descriptors.open(world.backlog),
    adoptListening: () => ERRNO.EBADF,
    notify: () => 0,
    accept(listening: number, number: Region, count: number): number {
      nativeCall();
      const file = descriptors.find(listening);
      ensure(file instanceof Backlog, () => `accept of descriptor ${listening}`);
      const error = world.acceptError();
      if (error !== 0) return error;
      const offsets = region(number);
      const places = new Uint32Array(offsets.buffer, offsets.byteOffset, count);
      const words = new Int32Array(region(BOARD_REGION as Region).buffer);
      let accepted = 0;
      while (accepted < count) {
        const socket = file.waiting.shift();
        if (socket === undefined) return accepted > 0 ? accepted : ERRNO.EAGAIN;
        // ECONNABORTED: the call goes on with the next.
        if (socket.resetReceived && random.chance(0.5)) continue;
        const at = (places[accepted] as number) >> 2;
        words[at + 1] = world.opened(descriptors.open(socket), socket, at);
        words[at + 16] = AF_INET;
        words[at + 17] = 1024;
        accepted++;
      }
      return accepted;
    },
    recv(fd: number, number: Region, offset: number, length: number): number {
      nativeCall();
      return owned(fd, 'recv').recv(region(number), offset, length);
    },
    send(fd: number, number: Region, offset: number, length: number): number {
      nativeCall();
      return send(fd, part(number, offset, length), null);
    },
    sendMore(fd: number, number: Region, offset: number, length: number): number {
      nativeCall();
      return send(fd, part(number, offset, length), null);
    },
    sendLast(fd: number, number: Region, offset: number, length: number): number {
      nativeCall();
      const sent = send(fd, part(number, offset, length), null);
      if (sent === length) shut(fd);
      return sent;
    },
    sendPair(
      fd: number,
      number: Region,
      offset: number,
      length: number,
      array: Uint8Array,
      arrayOffset: number,
    ): number {
      nativeCall();
      return send(fd, part(number, offset, length), array.subarray(arrayOffset));
    },
    sendfile(fd: number, from: number, offset: number, length: number): number {
      nativeCall();
      const file = descriptors.find(from);
      ensure(
        file instanceof MemoryFile,
        () => `sendfile from descriptor ${from}, which is no file`,
      );
      const bytes = file.bytes.subarray(offset, offset + length);
      return bytes.length === 0 ? 0 : send(fd, bytes, null);
    },
    temporaryFile: () => ERRNO.ENOSPC,
    spill(array: Uint8Array, arrayOffset: number, to: number): number {
      nativeCall();
      const bytes = array.subarray(arrayOffset);
      if (to < 0) {
        if (random.chance(faults.noMemoryFiles)) return ERRNO.EMFILE;
        const fd = descriptors.open(new MemoryFile(bytes.slice()));
        thread.files.add(fd);
        return fd;
      }
      const file = descriptors.find(to);
      ensure(file instanceof MemoryFile, () => `write to descriptor ${to}, which is no file`);
      file.append(bytes);
      return to;
    },
    cached(): number {
      nativeCall();
      return random.chance(faults.uncached) ? ERRNO.EAGAIN : 1;
    },
    enterFile(fd: number, entry: number, spilledKb: number): number {
      nativeCall();
      thread.files.delete(fd);
      const words = new Int32Array(region(BOARD_REGION as Region).buffer);
      words[entry >> 2] = fd + 1;
      words[(entry >> 2) + REST_SPILLED_WORDS] = spilledKb;
      return 0;
    },
    closeFile(fd: number, entry: number, counter: number, kilobytes: number): number {
      nativeCall();
      const words = new Int32Array(region(BOARD_REGION as Region).buffer);
      if (entry >= 0) {
        words[entry >> 2] = 0;
        words[(entry >> 2) + REST_SPILLED_WORDS] = 0;
      }
      words[counter >> 2] = (words[counter >> 2] as number) - kilobytes;
      world.beforeClose(thread, fd);
      thread.files.delete(fd);
      descriptors.close(fd, thread.name);
      return 0;
    },
    discard(fd: number, length: number): number {
      nativeCall();
      return owned(fd, 'discard').discard(length);
    },
    pending(fd: number): number {
      nativeCall();
      return descriptors.socket(fd, 'recv (MSG_PEEK)').pending();
    },
    nap: () => {
      nativeCall();
      return 0;
    },
    setSlice: () => 0,
    nice: () => 20,
    setNice: () => 0,
    niceAndBack: () => 0,
    unsent(fd: number): number {
      nativeCall();
      return descriptors.socket(fd, 'ioctl').outbound.length;
    },
    unaccepted: () => world.backlog.waiting.length,
    shutdownWrite(fd: number): number {
      nativeCall();
      return shut(fd);
    },
    resetOnClose(fd: number): number {
      nativeCall();
      descriptors.socket(fd, 'setsockopt').resetOnClose();
      return 0;
    },
    close(fd: number): number {
      nativeCall();
      world.beforeClose(thread, fd);
      thread.files.delete(fd);
      descriptors.close(fd, thread.name);
      return 0;
    },
    localName(_fd: number, number: Region, offset: number): number {
      region(number).fill(0, offset, offset + 24);
      return 0;
    },
  };
  return (world.tracing ? traced(world, thread, native) : native) as unknown as Native;
}

/** The same, telling of every call. */
function traced<T extends object>(world: World, thread: SimulatedThread, native: T): T {
  const entries = Object.entries(native).map(([name, call]) => {
    if (typeof call !== 'function') return [name, call];
    const told = (...values: unknown[]) => {
      const result = (call as (...values: unknown[]) => unknown)(...values);
      const shown = values.filter((value) => typeof value === 'number').join(', ');
      world.trace(`${thread.name}: ${name}(${shown}) = ${result}`);
      return result;
    };
    return [name, told];
  });
  return Object.fromEntries(entries);
}
