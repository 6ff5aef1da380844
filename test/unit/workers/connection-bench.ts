/**
 * A connection on a bench: the real parts of a worker over sockets made of strings.
 *
 * The test plays the listener and the serving loop, so that an event can come at any one point.
 */

import { Closer } from '../../../src/listener/closer.ts';
import { Completer } from '../../../src/listener/completer.ts';
import { EAGAIN, type Native, type Region } from '../../../src/listener/native.ts';
import { SlotPool } from '../../../src/listener/slots.ts';
import { Phase } from '../../../src/scoreboard/codes.ts';
import { CHILD, HEADER, SLOT } from '../../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import {
  ConnectionEvent,
  type ConnectionState,
  type ConnectionStateName,
  STATE_NAMES,
} from '../../../src/scoreboard/states.ts';
import { FLAG_HANGUP, flagsOf, stateOf, successor } from '../../../src/scoreboard/transition.ts';
import { Connection } from '../../../src/workers/connection.ts';
import { WorkerContext, type WorkerOptions } from '../../../src/workers/context.ts';
import type { Exchange } from '../../../src/workers/exchange.ts';
import type { ServingLoop } from '../../../src/workers/protocol.ts';

const BROKEN_PIPE = -32;
const NO_SPACE = -28;
const FIRST_FILE = 1000;
/** From the descriptor of a file in a slot to the KiB it counts as spilled. */
const SPILLED_WORDS = (SLOT.restSpilledKb.offset - SLOT.restFd.offset) >> 2;
/** The one folder that takes files. */
export const SPILL_FOLDER = '/spill';

/** What a peer sends and how much it takes. */
export class FakeSocket {
  input = Buffer.alloc(0);
  endOfInput = false;
  /** Bytes it takes before it is full. */
  room = Number.POSITIVE_INFINITY;
  broken = false;
  output = '';
  shut = false;
  /** What the peer has not read. */
  unread = 0;
  reset = false;
  /** Called within a send, to play what happens at that moment. */
  onSend: () => void = () => {};

  say(text: string): void {
    this.input = Buffer.concat([this.input, Buffer.from(text, 'latin1')]);
  }

  take(bytes: Uint8Array): number {
    this.onSend();
    if (this.broken) return BROKEN_PIPE;
    const count = Math.min(bytes.length, this.room);
    if (count === 0 && bytes.length > 0) return EAGAIN;
    this.room -= count;
    this.output += Buffer.from(bytes.subarray(0, count)).toString('latin1');
    return count;
  }
}

/** Files by descriptor; one that is closed is gone. */
export type FakeFiles = Map<number, Buffer>;

function fakeNative(sockets: Map<number, FakeSocket>, files: FakeFiles): Native {
  const regions = new Map<Region, Uint8Array>();
  const socket = (fd: number): FakeSocket => {
    const found = sockets.get(fd);
    if (found === undefined) throw new Error(`descriptor ${fd} is not open`);
    return found;
  };
  const fileOf = (fd: number): Buffer => {
    const found = files.get(fd);
    if (found === undefined) throw new Error(`file ${fd} is not open`);
    return found;
  };
  let spilled = 0;
  const part = (region: Region, offset: number, length: number): Uint8Array =>
    (regions.get(region) as Uint8Array).subarray(offset, offset + length);
  const native: Partial<Native> = {
    epollIn: 1,
    epollOut: 4,
    epollEdge: 1 << 30,
    attach: (region, memory) => {
      regions.set(region, memory);
      return 0;
    },
    epollAdd: (_set, fd) => (socket(fd) === undefined ? -1 : 0),
    epollModify: (_set, fd) => (socket(fd) === undefined ? -1 : 0),
    eventfdSignal: () => 0,
    recv: (fd, region, offset, length) => {
      const { input, endOfInput } = socket(fd);
      if (input.length === 0) return endOfInput ? 0 : EAGAIN;
      const count = input.copy(part(region, offset, length));
      socket(fd).input = input.subarray(count);
      return count;
    },
    send: (fd, region, offset, length) => socket(fd).take(part(region, offset, length)),
    sendPair: (fd, region, offset, length, array, arrayOffset) =>
      socket(fd).take(Buffer.concat([part(region, offset, length), array.subarray(arrayOffset)])),
    sendMore: (fd, region, offset, length) => socket(fd).take(part(region, offset, length)),
    sendLast: (fd, region, offset, length) => {
      const sent = socket(fd).take(part(region, offset, length));
      if (sent === length) native.shutdownWrite?.(fd);
      return sent;
    },
    sendfile: (fd, file, offset, length) => {
      const bytes = fileOf(file).subarray(offset, offset + length);
      return bytes.length === 0 ? 0 : socket(fd).take(bytes);
    },
    enterFile: (fd, entry, spilledKb) => {
      const words = new Int32Array((regions.get(0) as Uint8Array).buffer);
      words[entry >> 2] = fd + 1;
      words[(entry >> 2) + SPILLED_WORDS] = spilledKb;
      return 0;
    },
    closeFile: (fd, entry, counter, kilobytes) => {
      const words = new Int32Array((regions.get(0) as Uint8Array).buffer);
      if (entry >= 0) {
        words[entry >> 2] = 0;
        words[(entry >> 2) + SPILLED_WORDS] = 0;
      }
      words[counter >> 2] = (words[counter >> 2] as number) - kilobytes;
      return native.close?.(fd) as number;
    },
    spill: (array, arrayOffset, file) => {
      const fd = file >= 0 ? file : FIRST_FILE + spilled++;
      const bytes = array.subarray(arrayOffset);
      files.set(fd, Buffer.concat([files.get(fd) ?? Buffer.alloc(0), bytes]));
      return fd;
    },
    temporaryFile: (folder) => {
      if (folder !== SPILL_FOLDER) return NO_SPACE;
      const fd = FIRST_FILE + spilled++;
      files.set(fd, Buffer.alloc(0));
      return fd;
    },
    cached: () => 1,
    close: (fd) => {
      if (!files.delete(fd)) socket(fd).shut = true;
      return 0;
    },
    discard: (fd, length) => native.recv?.(fd, 2, 0, Math.min(length, 1024)) as number,
    pending: (fd) => {
      if (socket(fd).broken) return BROKEN_PIPE;
      if (socket(fd).input.length > 0) return 1;
      return socket(fd).endOfInput ? 0 : EAGAIN;
    },
    unsent: (fd) => socket(fd).unread,
    epollDelete: () => 0,
    resetOnClose: (fd) => {
      socket(fd).reset = true;
      return 0;
    },
    shutdownWrite: (fd) => {
      socket(fd).shut = true;
      return 0;
    },
  };
  return native as Native;
}

type BenchLimits = Partial<Pick<WorkerOptions, 'limitRequestBody' | 'limitSpilledKb' | 'spill'>>;

export class Bench implements ServingLoop {
  readonly sockets = new Map<number, FakeSocket>();
  readonly board = Scoreboard.create({ connectionSlots: 8, childSlots: 2, bufferBytes: 16_384 });
  readonly context: WorkerContext;
  readonly files: FakeFiles = new Map();
  readonly completer: Completer;
  /** Slots the listener put into the queue. */
  readonly queued: number[] = [];
  readonly pinned = new Map<number, Connection>();
  readonly spare: Connection[] = [];
  /** An idle worker for whatever is asked next, -1: none. */
  heir = -1;
  /** Slots whose requests went to it. */
  readonly delegated: number[] = [];
  /** How long each handler ran, as the loop was told. */
  readonly handlerMs: number[] = [];
  #soon: Connection[] = [];
  #slots = 0;

  constructor(
    handle: (exchange: Exchange) => void,
    { limitRequestBody = 0, limitSpilledKb = 0, spill = null }: BenchLimits = {},
  ) {
    this.board.setHeader(HEADER.phase.offset, Phase.running);
    this.context = new WorkerContext(
      this.board,
      fakeNative(this.sockets, this.files),
      0,
      {
        limitRequestLine: 8190,
        limitRequestFieldSize: 8190,
        limitRequestFields: 100,
        limitRequestBody,
        limitSpilledKb,
        spill,
        keepAlive: true,
        maxKeepAliveRequests: 0,
        requestDeadlineMs: 0,
        server: '',
        directPolling: false,
        looksBeforeSleep: 0,
        longHandlerNice: 0,
        indexes: false,
        sendFileRoot: null,
        maxOpenFiles: 4,
        accessLog: null,
        trustProxy: null,
        proxyProtocol: [],
        timeoutMs: 60_000,
        gracefulShutdownTimeoutMs: 0,
        status: null,
      },
      { kind: 'node', handle },
    );
    this.context.heads.tick(0);
    const { native } = this.context;
    const closer = new Closer(this.board, native, new SlotPool(this.board.connectionSlots));
    this.completer = new Completer(this.board, native, closer, {
      queued: (slot) => this.queued.push(slot),
      ended: () => {},
      passed: () => {},
    });
  }

  // ---- the serving loop ---------------------------------------------------------------------------

  /** Slots that were handed over to the lengthy pool. */
  readonly lengthy: number[] = [];
  toLengthy(slot: number): void {
    this.lengthy.push(slot);
  }

  pin(connection: Connection): void {
    this.pinned.set(connection.slot, connection);
  }

  unpin(connection: Connection): void {
    this.pinned.delete(connection.slot);
  }

  recycle(connection: Connection): void {
    if (this.spare.includes(connection)) throw new Error('recycled twice');
    this.spare.push(connection);
  }

  soon(connection: Connection): void {
    this.#soon.push(connection);
  }

  requeue(): void {}

  routeOf(): number {
    return 0;
  }

  heirFor(): number {
    return this.heir;
  }

  heirForUpgrade(): number {
    return -1;
  }

  upgraded(): void {}
  delegate(_heir: number, slot: number): void {
    this.delegated.push(slot);
  }
  beforeHandler(): void {}
  afterHandler(_route: number, milliseconds: number): void {
    this.handlerMs.push(milliseconds);
  }

  turn(): void {
    for (const connection of this.#soon.splice(0)) connection.onEvent();
  }

  // ---- the listener -------------------------------------------------------------------------------

  /** A new connection; `serve` lets the worker have it. */
  accept(): number {
    const slot = this.#slots++;
    this.sockets.set(slot + 100, new FakeSocket());
    this.board.setSlot(slot, SLOT.fd, slot + 100);
    this.board.move(slot, this.board.word(slot), ConnectionEvent.accept);
    return slot;
  }

  socket(slot: number): FakeSocket {
    return this.sockets.get(slot + 100) as FakeSocket;
  }

  /** The connection says this, and the worker claims it. */
  serve(slot: number, text: string): void {
    this.queue(slot, text);
    this.claim(slot);
  }

  /** The connection says this, and waits for a worker. */
  queue(slot: number, text: string): void {
    this.socket(slot).say(text);
    this.board.move(slot, this.board.word(slot), ConnectionEvent.readable);
  }

  /** The worker takes it out of the queue. */
  claim(slot: number): void {
    const word = this.board.word(slot);
    this.board.move(slot, word, ConnectionEvent.claim, 0);
    this.context.now = performance.now();
    const connection = this.spare.pop() ?? new Connection(this.context, this, this);
    if (flagsOf(word) !== 0) this.board.setSlot(slot, SLOT.endOfStream, 1);
    const reset = (flagsOf(word) & FLAG_HANGUP) !== 0;
    connection.open(slot, successor(word, ConnectionEvent.claim, 0, 0), reset);
  }

  /** Puts a suspended connection into the inbox. */
  ready(slot: number, timedOut = false): void {
    const event = timedOut ? ConnectionEvent.timeout : ConnectionEvent.ready;
    this.board.move(slot, this.board.word(slot), event, 0, timedOut ? FLAG_HANGUP : 0);
  }

  /** Takes it out of the inbox. */
  resume(slot: number): void {
    const word = this.board.word(slot);
    this.board.move(slot, word, ConnectionEvent.claim, 0);
    const claimed = successor(word, ConnectionEvent.claim, 0, 0);
    (this.pinned.get(slot) as Connection).resume(claimed, flagsOf(word));
  }

  wake(slot: number): void {
    this.ready(slot);
    this.resume(slot);
  }

  /** Flags for a connection that the worker owns. */
  notice(slot: number, flags: number): void {
    this.board.move(slot, this.board.word(slot), ConnectionEvent.notice, 0, flags);
  }

  state(slot: number): ConnectionStateName {
    const state: ConnectionState = stateOf(this.board.word(slot));
    return STATE_NAMES[state] as ConnectionStateName;
  }

  get requests(): number {
    return this.board.childDouble(0, CHILD.requests);
  }
}
