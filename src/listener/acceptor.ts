/**
 * Listening sockets: open, accept in batches, pause, close.
 *
 * Role: admission. Accepts while slots are free and the queue is below its bound; otherwise the
 * sockets leave the poll set and clients wait in the backlog, while idle connections are let go for
 * them. Where they come fast it naps shortly, to let several in at once. EMFILE and ENFILE pause for
 * a while instead of spinning on a socket that stays readable.
 * Thread: the listener's.
 */
import { ticksOf } from '../scoreboard/clock.ts';
import { ACCEPT_ERRNOS } from '../scoreboard/codes.ts';
import { HEADER, SLOT } from '../scoreboard/layout.ts';
import { Call } from '../scoreboard/notices.ts';
import { setAccepted, setQueued } from '../scoreboard/queue-time.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionEvent } from '../scoreboard/states.ts';
import { incarnationOf } from '../scoreboard/transition.ts';
import { AcceptPace, NAP_US } from './accept-pace.ts';
import { EAGAIN, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, type Native, Region } from './native.ts';
import type { ListenerOptions } from './options.ts';
import type { Poller } from './poller.ts';
import type { SlotPool } from './slots.ts';

/** Connections accepted in one turn before others get theirs. */
const ACCEPT_BATCH = 64;
const ERROR_PAUSE_MS = 100;
const FULL_PAUSE_MS = 5;

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
  readonly family: 4 | 6;
  /** Name of the session protocol; none: HTTP/1.1. */
  readonly protocol?: string;
}

/** A session protocol as `listen` names it. */
export interface ListenProtocol {
  readonly name: string;
  /** As in SLOT.protocol: 1 and more. */
  readonly number: number;
}

interface ListeningSocket {
  readonly fd: number;
  readonly address: ListenAddress;
  /** As in SLOT.protocol. */
  readonly protocol: number;
}

/** What the listener does for accepting. */
export interface AcceptHelp {
  /** A worker polls the request set, so that no request waits for this thread. */
  readonly mayNap: boolean;
  /**
   * There is no slot or no descriptor for a client: connections that are over but not closed yet are, with
   * the end of the batch. False: there were none.
   */
  takeBack(): boolean;
  /** There was nothing to take back, and so many clients wait. */
  makeRoom(clients: number): void;
}

const NO_HELP: AcceptHelp = { mayNap: false, takeBack: () => false, makeRoom: () => {} };

/** Tokens of listening sockets in the listener's set: -2, -3, ...; -1 is the listener's eventfd. */
const TOKEN_BASE = -2;

export class Acceptor {
  readonly #board: Scoreboard;
  readonly #native: Native;
  readonly #poller: Poller;
  readonly #slots: SlotPool;
  readonly #options: ListenerOptions;
  readonly #help: AcceptHelp;
  readonly #sockets: ListeningSocket[] = [];
  readonly #slotOffsets = new Uint32Array(ACCEPT_BATCH);
  readonly #pace = new AcceptPace();
  #open = false;
  #paused = false;
  #closed = false;
  #retry: NodeJS.Timeout | null = null;

  constructor(
    board: Scoreboard,
    native: Native,
    poller: Poller,
    slots: SlotPool,
    options: ListenerOptions,
    help: AcceptHelp = NO_HELP,
  ) {
    this.#board = board;
    this.#native = native;
    this.#poller = poller;
    this.#slots = slots;
    this.#options = options;
    this.#help = help;
    native.attach(Region.accept, new Uint8Array(this.#slotOffsets.buffer));
  }

  /**
   * Also while the others are open: clients of this one are let in at once then.
   * @param host numeric address; `::` also takes IPv4 unless `v6Only`
   * @param protocol of its clients, HTTP/1.1 where none is given
   * @throws an Error with ERR_MPM_ADDRESS_IN_USE, ERR_MPM_ADDRESS_FORBIDDEN or ERR_MPM_ADDRESS
   */
  listen(
    host: string,
    port: number,
    v6Only: boolean,
    protocol: ListenProtocol | null = null,
  ): ListenAddress {
    const native = this.#native;
    const flags =
      (this.#options.reusePort ? native.listenReusePort : 0) | (v6Only ? native.listenV6Only : 0);
    const fd = native.listenTcp(host, port, this.#options.listenBacklog, flags);
    const where = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    if (fd < 0) throw listenError(fd, where);
    const address = {
      host,
      port: port === 0 ? this.#localPort(fd) : port,
      family: host.includes(':') ? 6 : 4,
    } as const;
    if (protocol === null) return this.#add(fd, address);
    return this.#add(fd, { ...address, protocol: protocol.name }, protocol.number);
  }

  /**
   * Takes an inherited socket, which listens already.
   * @param name what messages call it
   * @throws an Error with ERR_MPM_INHERITED
   */
  adopt(fd: number, name: string): ListenAddress {
    const result = this.#native.adoptListening(fd);
    if (result < 0) throw inheritedError(result, fd, name);
    const port = this.#localPort(fd);
    const family = this.#slotOffsets[0] === this.#native.familyIpv6 ? 6 : 4;
    const bytes = Buffer.from(this.#slotOffsets.buffer, 8, family === 6 ? 16 : 4);
    return this.#add(fd, { host: addressText(bytes), port, family });
  }

  #add(fd: number, address: ListenAddress, protocol = 0): ListenAddress {
    const index = this.#sockets.push({ fd, address, protocol }) - 1;
    // Before `open`, and during a pause, `resume` adds it with the others.
    if (this.#open && !this.#paused && !this.#closed) this.#addSource(fd, index);
    return address;
  }

  #localPort(fd: number): number {
    this.#native.localName(fd, Region.accept, 0);
    return this.#slotOffsets[1] as number;
  }

  get addresses(): readonly ListenAddress[] {
    return this.#sockets.map(({ address }) => address);
  }

  /** Lets clients in. */
  open(): void {
    this.#open = true;
    this.#paused = true;
    this.resume();
  }

  get isOpen(): boolean {
    return this.#open;
  }

  isToken(token: number): boolean {
    return token <= TOKEN_BASE;
  }

  accept(token: number): void {
    const socket = this.#sockets[TOKEN_BASE - token];
    if (socket === undefined || this.#paused || this.#closed) return;
    const board = this.#board;
    const wanted = Math.min(ACCEPT_BATCH, this.#slots.available);
    // The sockets stay in the set, so clients are tried again in the next turn.
    if (wanted === 0 && this.#help.takeBack()) return;
    if (wanted === 0 || board.waiting >= this.#options.queueLimit) {
      this.#pause(FULL_PAUSE_MS);
      // More connections than slots can be helped, more requests than workers cannot.
      if (wanted === 0) this.#help.makeRoom(this.#unaccepted());
      return;
    }
    for (let index = 0; index < wanted; index++) {
      this.#slotOffsets[index] = board.slotIndex(this.#slots.peek(index)) * 4;
    }
    if (this.#pace.isFast && this.#help.mayNap) this.#native.nap(NAP_US);
    const accepted = this.#native.accept(socket.fd, Region.accept, wanted);
    if (accepted < 0) {
      this.#onError(accepted);
      return;
    }
    const now = performance.now();
    this.#pace.accepted(accepted, now);
    const ticks = ticksOf(now);
    const { protocol } = socket;
    for (let index = 0; index < accepted; index++) this.#admit(this.#slots.take(), ticks, protocol);
    board.count(HEADER.accepted, accepted);
    board.setHeader(HEADER.openConnections.offset, this.#slots.inUse);
    board.setHeader(HEADER.slotWatermark.offset, this.#slots.watermark);
  }

  #admit(slot: number, now: number, protocol: number): void {
    const board = this.#board;
    const { words } = board;
    const index = board.slotIndex(slot);
    const word = board.word(slot);
    words[index + (SLOT.sequence.offset >> 2)] =
      ((words[index + (SLOT.sequence.offset >> 2)] as number) + 1) | 0;
    for (const field of CLEARED) words[index + (field.offset >> 2)] = 0;
    words[index + (SLOT.acceptedTicks.offset >> 2)] = now;
    setAccepted(board, slot, now);
    board.doubles[(index * 4 + SLOT.sentBytes.offset) >> 3] = 0;
    board.doubles[(index * 4 + SLOT.receivedBytes.offset) >> 3] = 0;
    words[index + (SLOT.protocol.offset >> 2)] = protocol;
    // The state first: from the moment it is in the set an event may be seen.
    if (protocol === 0) board.move(slot, word, ConnectionEvent.accept);
    else this.#greet(slot, word, now);
    const fd = board.slot(slot, SLOT.fd);
    const result = this.#poller.addConnection(fd, slot, incarnationOf(word));
    if (result < 0) this.onRefused(slot);
    else if (protocol !== 0) this.onQueued(slot);
  }

  /** Its first worker is not waited for until there are bytes. */
  #greet(slot: number, word: number, now: number): void {
    const board = this.#board;
    board.setSlot(slot, SLOT.idleMs, 0);
    board.setSlot(slot, SLOT.sessionState, 0);
    board.setSlot(slot, SLOT.heardTicks, now);
    setQueued(board, slot, performance.now());
    board.notices.open(slot, incarnationOf(word), Call.greeting);
    board.move(slot, word, ConnectionEvent.greet);
  }

  /** A connection whose first worker is not to wait for bytes was moved to queued. */
  onQueued: (slot: number) => void = () => {};

  /** A connection that could not be polled (out of memory or epoll watches). */
  onRefused: (slot: number) => void = () => {};

  #onError(error: number): void {
    if (error === EAGAIN) return;
    this.#board.count(HEADER.acceptErrors);
    const known = ACCEPT_ERRNOS.findIndex(([, errno]) => errno === -error);
    this.#board.count(HEADER.acceptErrnos, 1, known < 0 ? ACCEPT_ERRNOS.length - 1 : known);
    if (error === EMFILE || error === ENFILE || error === ENOBUFS || error === ENOMEM) {
      if (this.#help.takeBack()) return;
      this.#pause(ERROR_PAUSE_MS);
      this.#help.makeRoom(this.#unaccepted());
    }
  }

  /** Until there is room, but at least for so long: a socket that stays readable must not spin. */
  #pause(leastMs: number): void {
    this.#paused = true;
    this.#retryAfter(leastMs);
    this.#board.count(HEADER.acceptPauses);
    this.#board.setHeader(HEADER.accepting.offset, 0);
    for (const { fd } of this.#sockets) this.#poller.removeSource(fd);
  }

  #retryAfter(milliseconds: number): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = null;
      this.resume();
      if (!this.#paused || this.#closed) return;
      // Nobody else may have a reason to look again.
      this.#retryAfter(FULL_PAUSE_MS);
      if (this.#slots.available > 0) return;
      const clients = this.#unaccepted();
      if (clients > 0) this.#help.makeRoom(clients);
    }, milliseconds);
  }

  /** Clients that wait in the backlogs. */
  #unaccepted(): number {
    return this.#sockets.reduce((sum, { fd }) => sum + this.#native.unaccepted(fd), 0);
  }

  /** Accepts again if it had paused and there is room; called whenever room may have come. */
  resume(): void {
    if (!this.#paused || this.#closed || this.#retry !== null) return;
    if (this.#slots.available === 0) return;
    if (this.#board.waiting >= this.#options.queueLimit) return;
    this.#paused = false;
    this.#board.setHeader(HEADER.accepting.offset, 1);
    for (const [index, { fd }] of this.#sockets.entries()) this.#addSource(fd, index);
  }

  #addSource(fd: number, index: number): void {
    const result = this.#poller.addSource(fd, TOKEN_BASE - index);
    if (result < 0) throw new Error(`epoll_ctl for a listening socket: errno ${-result}`);
  }

  /** Refuses new clients from now on. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#board.setHeader(HEADER.accepting.offset, 0);
    for (const { fd } of this.#sockets) this.#native.close(fd);
  }
}

const CLEARED = [
  SLOT.buffer,
  SLOT.dataStart,
  SLOT.dataEnd,
  SLOT.requestSinceTicks,
  SLOT.requestBytes,
  SLOT.requests,
  SLOT.inListenerSet,
  SLOT.readPhase,
  SLOT.lastChild,
  SLOT.endOfStream,
  SLOT.answerPhase,
  SLOT.deadlineTicks,
  SLOT.clientTold,
  SLOT.proxyDone,
];

/** As the URL parser writes it, which shortens IPv6 (RFC 5952). */
function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, group) =>
    bytes.readUInt16BE(group * 2).toString(16),
  );
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

function inheritedError(errno: number, fd: number, name: string): Error & { code: string } {
  const what = errno === EINVAL ? 'does not listen' : 'is no TCP socket';
  const message = `inherited descriptor ${fd} (${name}) ${what}`;
  return Object.assign(new Error(message), { code: 'ERR_MPM_INHERITED' });
}

function listenError(errno: number, where: string): Error & { code: string } {
  const [code, message] =
    errno === -98
      ? ['ERR_MPM_ADDRESS_IN_USE', `listen ${where}: the address is in use`]
      : errno === -13
        ? ['ERR_MPM_ADDRESS_FORBIDDEN', `listen ${where}: permission denied`]
        : ['ERR_MPM_ADDRESS', `listen ${where}: errno ${-errno}`];
  return Object.assign(new Error(message), { code: code as string });
}
