/**
 * The native part, typed: system calls on descriptors and offsets into attached memory.
 *
 * Role: loads the addon, checks that both sides agree on the layout, names its calls.
 * Thread: any; each thread loads its own instance. May not: decide anything.
 * Every call returns a count or descriptor, or a negative errno.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { HALF_BYTES } from '../scoreboard/halves.ts';
import { SLOT } from '../scoreboard/layout.ts';

/** Memory a call may point into; the first two have a fixed meaning on the C side. */
export const Region = {
  board: 0,
  batch: 1,
  buffers: 2,
  out: 3,
  constants: 4,
  accept: 5,
  /** What a worker receives from upstreams, and the listener from either side of a tunnel. */
  upstream: 6,
  /** Tickets of the set that watches upstreams. */
  upstreamBatch: 7,
} as const;
export type Region = (typeof Region)[keyof typeof Region];

/** Answer of a watch callback: back to the loop, or call again after ticks and promise jobs. */
export const WatchAnswer = { done: 0, again: 1 } as const;
export type WatchAnswer = (typeof WatchAnswer)[keyof typeof WatchAnswer];

/** The system calls a poll loop and a connection need; a fake one stands in for it in tests. */
export interface Native {
  readonly epollIn: number;
  readonly epollOut: number;
  readonly epollErr: number;
  readonly epollHup: number;
  readonly epollRdHup: number;
  readonly epollEdge: number;
  /** int32 words a ticket in the batch region: slot, incarnation, events. */
  readonly ticketWords: number;
  readonly maxBatch: number;
  readonly listenReusePort: number;
  readonly listenV6Only: number;
  readonly familyIpv6: number;

  /** Pins memory for later calls by offset. */
  attach(region: Region, memory: Uint8Array): number;
  epollCreate(): number;
  epollAdd(set: number, fd: number, events: number, slot: number, incarnation: number): number;
  epollModify(set: number, fd: number, events: number, slot: number, incarnation: number): number;
  epollDelete(set: number, fd: number): number;
  /** Tickets into the batch region, without waiting. */
  epollWait(set: number): number;
  /** The same into another region than the batch. */
  epollWaitInto(set: number, region: Region): number;
  /** 1: a read or an epollWait would bring something; takes nothing. */
  readable(fd: number): number;
  eventfdCreate(): number;
  eventfdSignal(fd: number): number;
  eventfdDrain(fd: number): number;
  /** @param readsBatch 1: `fd` is a poll set, its tickets are in the batch region at the call */
  watch(fd: number, readsBatch: 0 | 1, callback: (count: number) => WatchAnswer): number;
  /** Takes a watch out of the loop; nothing is lost, `resume` sees what is ready by then. */
  pause(watch: number): number;
  resume(watch: number): number;
  unwatch(watch: number): number;
  listenTcp(address: string, port: number, backlog: number, flags: number): number;
  /**
   * Prepares an inherited listening TCP socket; -EINVAL: it does not listen, -EPROTONOSUPPORT: it is
   * none.
   */
  adoptListening(fd: number): number;
  /** One datagram to a unix socket, without waiting; `@` begins an abstract address. */
  notify(address: string, message: string): number;
  /**
   * A connection under way to a numeric address: writable once it is there or has failed, see
   * `socketError`. It is closed with this thread unless it was handed over.
   */
  connectTcp(address: string, port: number): number;
  /** 0, or what has failed on a socket since it was asked last. */
  socketError(fd: number): number;
  /** The region holds `count` byte offsets (uint32) of free slots; fd and peer go into them. */
  accept(listening: number, region: Region, count: number): number;
  recv(fd: number, region: Region, offset: number, length: number): number;
  send(fd: number, region: Region, offset: number, length: number): number;
  /** Attached memory and then `array` from `arrayOffset` on, in one call. */
  sendPair(
    fd: number,
    region: Region,
    offset: number,
    length: number,
    array: Uint8Array,
    arrayOffset: number,
  ): number;
  /** As `send`, where more follows at once. */
  sendMore(fd: number, region: Region, offset: number, length: number): number;
  /** As `send`; where the socket takes all of it, the write side is shut with the last byte. */
  sendLast(fd: number, region: Region, offset: number, length: number): number;
  /** Bytes of a file, from `offset`; 0: the file ends there. */
  sendfile(fd: number, file: number, offset: number, length: number): number;
  /** A new file in a folder, without a name, so that it goes with its last descriptor. */
  temporaryFile(folder: string): number;
  /**
   * Appends an array from `arrayOffset` on to a file; a new one that exists in memory only where
   * `file` is -1. Returns its descriptor.
   */
  spill(array: Uint8Array, arrayOffset: number, file: number): number;
  /** 1: a read of the file there waits for no device; -EAGAIN: it would. Others: unknown. */
  cached(file: number, offset: number): number;
  /** The reading and the writing end of a pipe, neither of which waits, into the array. */
  pipe(ends: Int32Array): number;
  /** Moves bytes from or to a pipe; 0: end of stream. */
  splice(from: number, to: number, length: number): number;
  /**
   * Another descriptor of the same open file. It is closed with this thread, as one that `spill` made,
   * unless it was handed over.
   */
  duplicate(fd: number): number;
  /** Another thread closes it from now on. */
  handOver(fd: number): number;
  /** See `FileKeeper`. */
  enterFile(fd: number, entry: number, spilledKb: number): number;
  closeFile(fd: number, entry: number, counter: number, kilobytes: number): number;
  discard(fd: number, length: number): number;
  /** 1: bytes wait, 0: end of stream, -EAGAIN: neither. */
  pending(fd: number): number;
  /** This thread sleeps for so long, or until a signal comes; microseconds, 1,000 at most. */
  nap(microseconds: number): number;
  /** Asks for a time slice of its own for this thread; 0: the default. */
  setSlice(microseconds: number): number;
  /** This thread's nice value plus 20: 0 (most urgent) .. 39. */
  nice(): number;
  /** Sets it, for this thread alone; -EACCES where it may not have less than it has. */
  setNice(nice: number): number;
  /** 1: a thread of this process may raise its nice value and lower it again; 0: there is no way back. */
  niceAndBack(): number;
  /** Bytes that the peer has not acknowledged yet (tcp(7), SIOCOUTQ). */
  unsent(fd: number): number;
  /** Connections that wait in the backlog of a listening socket. */
  unaccepted(fd: number): number;
  shutdownWrite(fd: number): number;
  /** `close` resets the connection, so that the peer cannot take the end for a proper one. */
  resetOnClose(fd: number): number;
  close(fd: number): number;
  /** Family and port (int32), address (16 bytes). */
  localName(fd: number, region: Region, offset: number): number;
}

interface Addon extends Native {
  readonly regionBoard: number;
  readonly regionBatch: number;
  readonly slotFd: number;
  readonly slotPeerFamily: number;
  readonly slotPeerPort: number;
  readonly slotPeerAddress: number;
  readonly slotRestSpilled: number;
  readonly slotHalfBytes: number;
}

/**
 * Time slice of threads that work for moments only and should get a processor soon after they were
 * woken, microseconds; a long handler runs with the default.
 */
export const SHORT_SLICE_US = 100;
/** The greatest nice value plus 20. */
export const NICEST = 39;

export const ENOENT = -2;
export const EAGAIN = -11;
export const EEXIST = -17;
export const EINVAL = -22;
export const EMFILE = -24;
export const ENFILE = -23;
export const ENOBUFS = -105;
export const ENOMEM = -12;

class NativeError extends Error {
  readonly code: string;
  constructor(code: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

const path = fileURLToPath(new URL('../../build/Release/mpm.node', import.meta.url));

/**
 * @throws an Error whose `code` is ERR_MPM_NO_EPOLL on a platform without epoll,
 *   ERR_MPM_NATIVE_MISSING where the addon was not built, ERR_MPM_NATIVE_LAYOUT where it is of
 *   another version
 */
export function loadNative(): Native {
  if (process.platform !== 'linux') {
    throw new NativeError(
      'ERR_MPM_NO_EPOLL',
      `hybrid-mpm needs epoll, which ${process.platform} does not have; run it on Linux`,
    );
  }
  let addon: Addon;
  try {
    addon = createRequire(import.meta.url)(path) as Addon;
  } catch (cause) {
    throw new NativeError(
      'ERR_MPM_NATIVE_MISSING',
      `the native part is not built (${path}): run npm run build`,
      cause,
    );
  }
  const agreed =
    addon.regionBoard === Region.board &&
    addon.regionBatch === Region.batch &&
    addon.slotFd === SLOT.fd.offset &&
    addon.slotPeerFamily === SLOT.peerFamily.offset &&
    addon.slotPeerPort === SLOT.peerPort.offset &&
    addon.slotPeerAddress === SLOT.peerAddress.offset &&
    addon.slotRestSpilled === SLOT.restSpilledKb.offset - SLOT.restFd.offset &&
    addon.slotHalfBytes === HALF_BYTES;
  if (!agreed) {
    throw new NativeError(
      'ERR_MPM_NATIVE_LAYOUT',
      'the native part was built for another version: run npm run build',
    );
  }
  return addon;
}
