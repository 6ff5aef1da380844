/**
 * The listener's and a worker's part in a connection's life, reduced to what the shared memory sees.
 *
 * Role: drivers for the models, in the shape of `Listener.#onConnection`, `ServingLoop.#serve` and
 * `Connection`: the same calls of the scoreboard in the same order, without sockets, parsing, clocks.
 * Each takes a list of faults, so that a model can prove it would notice.
 * Thread: tests only.
 */
import { CHILD, SLOT } from '../../src/scoreboard/layout.ts';
import type { Scoreboard } from '../../src/scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../../src/scoreboard/states.ts';
import {
  FLAG_READABLE,
  FLAGS_MASK,
  incarnationOf,
  Outcome,
  stateOf,
} from '../../src/scoreboard/transition.ts';
import { choose, forbid, type ModelThread } from './explorer.ts';
import type { ModelBoard } from './model-board.ts';

export type Fault =
  /** Events of an earlier connection are taken for the present one's. */
  | 'incarnation is not compared'
  /** An event for a connection that a worker owns is thrown away. */
  | 'notice is left out'
  /** The worker hands back although a flag is set. */
  | 'release ignores flags'
  /** What came with the flags is not looked at. */
  | 'attend does not read again'
  /** An end of stream that comes while a connection is queued is thrown away. */
  | 'end of stream is dropped while queued'
  /** After an event that came meanwhile, a short read still counts as an empty socket. */
  | 'attend trusts a short read'
  /** Published after the wake-up. */
  | 'wakes before it pushes'
  | 'drains after going idle'
  | 'closes at once and again at the end of the batch'
  | 'a ticket is claimed in whatever state'
  | 'hand-back begins after the pops'
  | 'the sweeper does not look at the outcome';

/** Where the listener is. Every part of its turn begins a new history, so that few are told apart. */
export interface ListenerLocal {
  /** Incarnation of the connection in each slot, -1 where there is none. */
  readonly incarnations: number[];
  /** Clients still to be let in, for each slot. */
  readonly backlog: number[];
  /** Passes the sweeper may still make. */
  sweeps: number;
  /** The present batch: slot, incarnation, 1 for an end of stream. */
  events: [number, number, number][];
  /** The hand-back ring is being emptied. */
  taking: boolean;
  dispatched: number;
  closing: number[];
}

const FREE_INCARNATION = -1;

/** Lets `clients` in one after another on each slot and keeps what waits; never ends. */
export function listener(
  model: ModelBoard,
  { clients = 1, sweeps = 0, faults = [] as readonly Fault[] } = {},
): ModelThread<ListenerLocal> {
  return {
    name: 'listener',
    start: {
      incarnations: new Array(model.slots).fill(FREE_INCARNATION),
      backlog: new Array(model.slots).fill(clients),
      sweeps,
      events: [],
      taking: false,
      dispatched: 0,
      closing: [],
    },
    turn: (local) => {
      new ListenerTurn(model, local, faults).run();
      return local;
    },
  };
}

class ListenerTurn {
  readonly #model: ModelBoard;
  readonly #board: Scoreboard;
  readonly #local: ListenerLocal;
  readonly #faults: readonly Fault[];

  constructor(model: ModelBoard, local: ListenerLocal, faults: readonly Fault[]) {
    this.#model = model;
    this.#board = model.board;
    this.#local = local;
    this.#faults = faults;
  }

  /** The next part: an event, a connection handed back, a wake-up, a close, or a new batch. */
  run(): void {
    const local = this.#local;
    const event = local.events.shift();
    if (event !== undefined) this.#onConnection(event[0], event[1], event[2] === 1);
    else if (local.taking) this.#takeHandback();
    else if (local.dispatched > 0) {
      local.dispatched--;
      this.#model.code.wake.wakeLowestIdle(this.#board, this.#model.signal);
    } else if (local.closing.length > 0) this.#reclaim(local.closing.shift() as number);
    else this.#newBatch();
  }

  #newBatch(): void {
    const { slots } = this.#model;
    const local = this.#local;
    for (let slot = 0; slot < slots; slot++) {
      const free = local.incarnations[slot] === FREE_INCARNATION;
      if (free && (local.backlog[slot] as number) > 0) {
        this.#accept(slot);
        return;
      }
    }
    if (local.sweeps > 0 && choose(2) === 1) {
      local.sweeps--;
      for (let slot = 0; slot < slots; slot++) this.#sweep(slot);
      return;
    }
    const edges = Array.from({ length: slots }, (_, slot) => `edge${slot}`);
    this.#model.sleep('handbackFd', ...edges);
    for (let slot = 0; slot < slots; slot++) {
      for (const { incarnation, endOfStream } of this.#model.events(slot)) {
        local.events.push([slot, incarnation, endOfStream ? 1 : 0]);
      }
    }
    if (Atomics.load(this.#model.words, this.#model.own('handbackFd')) === 0) return;
    this.#model.drain('handbackFd');
    if (!this.#faulty('hand-back begins after the pops')) {
      this.#model.code.wake.beginHandback(this.#board);
    }
    local.taking = true;
  }

  #takeHandback(): void {
    const slot = this.#board.handback.pop();
    if (slot >= 0) {
      this.#closed(slot);
      return;
    }
    this.#local.taking = false;
    if (this.#faulty('hand-back begins after the pops')) {
      this.#model.code.wake.beginHandback(this.#board);
    }
  }

  #accept(slot: number): void {
    const board = this.#board;
    const { incarnations, backlog } = this.#local;
    const word = board.word(slot);
    for (const field of [SLOT.endOfStream, SLOT.dataEnd, SLOT.requests])
      board.setSlot(slot, field, 0);
    Atomics.store(this.#model.words, this.#model.own(`open${slot}`), 1);
    if (board.move(slot, word, ConnectionEvent.accept) !== Outcome.moved)
      forbid('a slot was not free');
    incarnations[slot] = incarnationOf(word);
    backlog[slot] = (backlog[slot] as number) - 1;
    this.#model.connected(slot, incarnationOf(word));
  }

  #onConnection(slot: number, incarnation: number, endOfStream: boolean): void {
    const board = this.#board;
    const first = board.word(slot);
    const stale = incarnationOf(first) !== incarnation || stateOf(first) === ConnectionState.free;
    if (stale && !this.#faulty('incarnation is not compared')) return;
    // Before the word is looked at again: whoever claims it after that look sees this too.
    if (endOfStream) this.#setEndOfStream(slot);
    for (;;) {
      const word = board.word(slot);
      switch (stateOf(word)) {
        case ConnectionState.waitRequest:
        case ConnectionState.readRequest:
        case ConnectionState.keepalive:
          if (stale) forbid('an event of an earlier connection moved this one');
          this.#onReadable(slot, word, endOfStream);
          return;
        case ConnectionState.processing:
          if (this.#faulty('notice is left out')) return;
          if (stale) forbid('an event of an earlier connection was noticed for this one');
          if (board.move(slot, word, ConnectionEvent.notice, 0, FLAG_READABLE) === Outcome.moved)
            return;
          continue;
        case ConnectionState.lingerNormal:
        case ConnectionState.lingerShort:
          this.#drain(slot, word);
          return;
        default:
          return;
      }
    }
  }

  #setEndOfStream(slot: number): void {
    const board = this.#board;
    if (this.#faulty('end of stream is dropped while queued')) {
      if (stateOf(board.word(slot)) === ConnectionState.queued) return;
    }
    const index = board.slotIndex(slot) + (SLOT.endOfStream.offset >> 2);
    Atomics.store(board.words, index, 1);
  }

  #onReadable(slot: number, word: number, endOfStream: boolean): void {
    if (endOfStream && this.#model.pending(slot) === 0) {
      this.#close(slot, word, ConnectionEvent.peerGone);
      return;
    }
    const board = this.#board;
    if (this.#faulty('wakes before it pushes')) {
      this.#model.code.wake.wakeLowestIdle(board, this.#model.signal);
    }
    if (board.move(slot, word, ConnectionEvent.readable) !== Outcome.moved) {
      forbid('a waiting connection was moved by somebody else');
    }
    if (!board.queue.push(slot)) forbid('the queue was full');
    if (!this.#faulty('wakes before it pushes')) this.#local.dispatched++;
  }

  #drain(slot: number, word: number): void {
    for (;;) {
      const count = this.#model.receive(slot);
      if (count < 0) return;
      if (count > 0) continue;
      this.#close(slot, word, ConnectionEvent.drained);
      return;
    }
  }

  #close(slot: number, word: number, event: ConnectionEvent): void {
    if (this.#board.move(slot, word, event) !== Outcome.moved) return;
    this.#closed(slot);
  }

  #closed(slot: number): void {
    this.#local.closing.push(slot);
    if (this.#faulty('closes at once and again at the end of the batch')) {
      this.#model.closeDescriptor(slot);
    }
  }

  /** The sweeper: this connection has waited too long. */
  #sweep(slot: number): void {
    const board = this.#board;
    const word = board.word(slot);
    switch (stateOf(word)) {
      case ConnectionState.waitRequest:
      case ConnectionState.keepalive:
        if (board.move(slot, word, ConnectionEvent.timeout) !== Outcome.moved) {
          forbid('a waiting connection was moved by somebody else');
        }
        this.#drain(slot, board.word(slot));
        return;
      case ConnectionState.lingerNormal:
      case ConnectionState.lingerShort:
        this.#close(slot, word, ConnectionEvent.timeout);
        return;
      case ConnectionState.processing:
        // Not swept in production; here to prove that the table keeps it so.
        if (!this.#faulty('the sweeper does not look at the outcome')) return;
        board.move(slot, word, ConnectionEvent.notice, 0, FLAG_READABLE);
        this.#closed(slot);
        return;
      default:
        return;
    }
  }

  #reclaim(slot: number): void {
    const board = this.#board;
    const word = board.word(slot);
    if (stateOf(word) !== ConnectionState.closing) forbid('a slot left closing by itself');
    this.#model.closeDescriptor(slot);
    if (board.move(slot, word, ConnectionEvent.reclaimed) !== Outcome.moved) {
      forbid('a closing connection was moved by somebody else');
    }
    const { incarnations, backlog } = this.#local;
    incarnations[slot] = FREE_INCARNATION;
    const isFree = (incarnation: number) => incarnation === FREE_INCARNATION;
    if (incarnations.every(isFree) && backlog.every((clients) => clients === 0)) this.#model.end();
  }

  #faulty(fault: Fault): boolean {
    return this.#faults.includes(fault);
  }
}

/** Where a worker is, with what it keeps of the connection it owns. */
export type WorkerLocal =
  | { readonly at: 'loop' | 'drain' | 'idle' | 'sleep' }
  | { readonly at: 'claim' | 'requeue' | 'handBack'; readonly slot: number }
  | { readonly at: 'serve'; readonly owned: OwnedLocal };

interface OwnedLocal {
  readonly slot: number;
  readonly word: number;
  /** Bytes received and not yet answered. */
  left: number;
  dry: boolean;
  endOfStream: boolean;
  /** Its last response is sent. */
  ending: boolean;
}

/**
 * Takes what is queued, answers each byte as a request, sleeps where there is nothing; never ends.
 * @param polling instead of sleeping it asks again, until the last connection is closed
 */
export function worker(
  model: ModelBoard,
  child: number,
  { lastRequest = 0, polling = false, faults = [] as readonly Fault[] } = {},
): ModelThread<WorkerLocal> {
  const { board, code, signal } = model;
  const late = faults.includes('drains after going idle');
  const turn = (local: WorkerLocal): WorkerLocal | null => {
    switch (local.at) {
      case 'loop': {
        const slot = board.queue.pop();
        if (polling && slot < 0) return model.isOver ? null : local;
        return slot >= 0 ? { at: 'claim', slot } : { at: late ? 'idle' : 'drain' };
      }
      case 'drain':
        model.drain(`wakeFd${child}`);
        return { at: late ? 'sleep' : 'idle' };
      case 'idle':
        if (!code.wake.goIdle(board, child)) return { at: 'loop' };
        return { at: late ? 'drain' : 'sleep' };
      case 'sleep':
        model.sleep(`wakeFd${child}`);
        return { at: 'loop' };
      case 'claim':
        return claim(model, child, local.slot, faults);
      case 'serve':
        return new Owned(model, local.owned, lastRequest, faults).serve();
      case 'requeue':
        if (!board.queue.push(local.slot)) forbid('the queue was full');
        code.wake.wakeLowestIdle(board, signal);
        return { at: 'loop' };
      case 'handBack':
        code.wake.handBack(board, local.slot, signal);
        return { at: 'loop' };
    }
  };
  return { name: `worker ${child}`, start: { at: 'loop' }, turn };
}

function claim(
  { board, code }: ModelBoard,
  child: number,
  slot: number,
  faults: readonly Fault[],
): WorkerLocal {
  const word = board.word(slot);
  if (stateOf(word) !== ConnectionState.queued) {
    if (!faults.includes('a ticket is claimed in whatever state')) return { at: 'loop' };
  }
  if (board.move(slot, word, ConnectionEvent.claim, child) !== Outcome.moved) return { at: 'loop' };
  const owned = {
    slot,
    word: code.transition.successor(word, ConnectionEvent.claim, child, 0),
    left: board.slot(slot, SLOT.dataEnd),
    dry: false,
    endOfStream: board.slot(slot, SLOT.endOfStream) === 1,
    ending: false,
  };
  return { at: 'serve', owned };
}

/** A connection while a worker owns it, as `Connection` and `RequestReader` treat it. */
class Owned {
  readonly #model: ModelBoard;
  readonly #board: Scoreboard;
  readonly #local: OwnedLocal;
  readonly #slot: number;
  readonly #lastRequest: number;
  readonly #faults: readonly Fault[];

  constructor(model: ModelBoard, local: OwnedLocal, lastRequest: number, faults: readonly Fault[]) {
    this.#model = model;
    this.#board = model.board;
    this.#local = local;
    this.#slot = local.slot;
    this.#lastRequest = lastRequest;
    this.#faults = faults;
  }

  /** One receive, one response, or one attempt to let it go. */
  serve(): WorkerLocal {
    const local = this.#local;
    const slot = this.#slot;
    const again: WorkerLocal = { at: 'serve', owned: local };
    if (local.ending) return this.#closeGently();
    if (local.left === 0 && !local.dry) {
      const count = this.#model.receive(slot);
      if (count === 0) return this.#closeNow();
      // A short read: the socket is empty, unless its end has been seen coming.
      local.dry = count < 0 || !local.endOfStream;
      local.left = Math.max(0, count);
      return again;
    }
    const requests = this.#board.slot(slot, SLOT.requests);
    const { responseSent, nothingRead, requeue } = ConnectionEvent;
    if (local.left === 0) {
      return this.#release(requests > 0 ? responseSent : nothingRead) ? { at: 'loop' } : again;
    }
    local.left--;
    this.#board.setSlot(slot, SLOT.requests, requests + 1);
    if (requests + 1 === this.#lastRequest) {
      local.ending = true;
      return again;
    }
    // Pipelined requests take turns.
    return local.left > 0 && this.#release(requeue) ? { at: 'requeue', slot } : again;
  }

  /** False: an event came meanwhile. */
  #release(event: ConnectionEvent): boolean {
    const board = this.#board;
    const local = this.#local;
    board.setSlot(this.#slot, SLOT.dataEnd, local.left);
    let expected = local.word;
    if (this.#faulty('release ignores flags')) expected = board.word(this.#slot);
    if (board.move(this.#slot, expected, event) === Outcome.moved) return true;
    this.#attend();
    local.dry = this.#faulty('attend does not read again');
    local.endOfStream = board.slot(this.#slot, SLOT.endOfStream) === 1;
    if (this.#faulty('attend trusts a short read')) local.endOfStream = false;
    return false;
  }

  #attend(): void {
    const board = this.#board;
    for (;;) {
      const word = board.word(this.#slot);
      if (stateOf(word) !== ConnectionState.processing) forbid('an owned connection moved');
      if (board.move(this.#slot, word, ConnectionEvent.attend) === Outcome.moved) {
        if ((word & ~FLAGS_MASK) !== this.#local.word) forbid('an owned connection changed hands');
        return;
      }
    }
  }

  #closeGently(): WorkerLocal {
    const local = this.#local;
    if (!local.dry) {
      let count = 1;
      while (count > 0) count = this.#model.receive(this.#slot);
      if (count === 0) return this.#closeNow();
    }
    const { lastResponseSent } = ConnectionEvent;
    if (this.#board.move(this.#slot, local.word, lastResponseSent) === Outcome.moved) {
      return { at: 'loop' };
    }
    this.#attend();
    local.dry = this.#faulty('attend does not read again');
    return { at: 'serve', owned: local };
  }

  #closeNow(): WorkerLocal {
    const { close } = ConnectionEvent;
    while (this.#board.move(this.#slot, this.#local.word, close) !== Outcome.moved) this.#attend();
    return { at: 'handBack', slot: this.#slot };
  }

  #faulty(fault: Fault): boolean {
    return this.#faults.includes(fault);
  }
}

/** A client: so many bytes one after another, then the end of its stream. */
export function client(
  model: ModelBoard,
  slot: number,
  { bytes = 1, incarnation = 0, finishes = true } = {},
): ModelThread<number> {
  const steps = bytes + (finishes ? 1 : 0);
  return {
    name: `client ${slot}${incarnation > 0 ? ` (${incarnation})` : ''}`,
    start: -1,
    turn: (done) => {
      if (done < 0) model.awaitConnection(slot, incarnation);
      else if (done < bytes) model.send(slot, incarnation);
      else model.finish(slot, incarnation);
      return done + 1 === steps ? null : done + 1;
    },
  };
}

/** What holds when nobody can move: everything was served, closed, given back; nobody left waiting. */
export function nothingIsLeft(model: ModelBoard, sent: number | null) {
  const { board } = model;
  return ({ memory, blocked }: { memory: Int32Array; blocked: readonly string[] }) => {
    const client = blocked.find((name) => name.startsWith('client'));
    if (client !== undefined) return `${client} was not let in`;
    const lengthOf = (ring: 'queue' | 'handback') => model.ringLength(memory, ring);
    if (lengthOf('queue') !== 0) return 'a ticket waits in the queue and everybody sleeps';
    if (lengthOf('handback') !== 0) return 'a closing connection waits and the listener sleeps';
    for (let slot = 0; slot < model.slots; slot++) {
      const state = model.stateName(memory, slot);
      if (state !== 'free') return `slot ${slot} stays in ${state}`;
      if (memory[model.own(`open${slot}`)] !== 0)
        return `the descriptor of slot ${slot} stays open`;
    }
    const served = memory[model.own('served')];
    for (let child = 0; child < model.children; child++) {
      if (memory[board.childIndex(child) + (CHILD.inbox.offset >> 2)] !== 0) {
        return `the inbox of child ${child} is not empty and it sleeps`;
      }
    }
    if (sent !== null && served !== sent) return `${sent} requests sent, ${served} served`;
    return undefined;
  };
}
