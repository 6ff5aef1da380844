/**
 * The listener's and a worker's part in a connection's life, reduced to what the shared memory sees.
 *
 * Role: drivers for the models. They run production `EventRouter`, `Ownership`, `Leading` and the
 * scoreboard; what lies between is in the shape of `Listener`, `Closer` and `ServingLoop`, without
 * parsing and clocks. Each takes faults of its own shape, so that a model can prove it would notice.
 * Thread: tests only.
 */
import type { Native, Region } from '../../src/listener/native.ts';
import { CHILD, SLOT } from '../../src/scoreboard/layout.ts';
import type { Scoreboard } from '../../src/scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../../src/scoreboard/states.ts';
import {
  FLAG_END,
  flagsOf,
  incarnationOf,
  Outcome,
  stateOf,
} from '../../src/scoreboard/transition.ts';
import type { WorkerContext } from '../../src/workers/context.ts';
import type { Leading } from '../../src/workers/leading.ts';
import type { Ownership, ReleaseEvent } from '../../src/workers/ownership.ts';
import { choose, forbid, type ModelThread } from './explorer.ts';
import type { ModelBoard } from './model-board.ts';

export type Fault =
  /** What came with the flags is not looked at. */
  | 'attend does not read again'
  /** An end of stream that came while it was queued is not looked for. */
  | 'the flags of a queued connection are not taken'
  /** A flag that comes between the look and the claim makes the claim fail. */
  | 'a claim that lost to a flag drops its ticket'
  /** After an event that came meanwhile, a short read still counts as an empty socket. */
  | 'attend trusts a short read'
  /** Published after the wake-up. */
  | 'wakes before it pushes'
  | 'drains after going idle'
  | 'closes at once and again at the end of the batch'
  | 'hand-back begins after the pops'
  | 'a close that lost is taken for one that moved'
  | 'a lingering connection is drained before its flag is taken';

export const BITS = { readable: 1, writable: 2, hangup: 4, endOfStream: 8 } as const;

/** Where the listener is. Every part of its turn begins a new history, so that few are told apart. */
export interface ListenerLocal {
  /** Incarnation of the connection in each slot, -1 where there is none. */
  readonly incarnations: number[];
  /** Clients still to be let in, for each slot. */
  readonly backlog: number[];
  /** Passes the sweeper may still make. */
  sweeps: number;
  /** The present batch: slot, incarnation, event bits. */
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
    if (event !== undefined) this.#onConnection(...event);
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
    // While a worker leads, the set is that worker's.
    const leads = this.#model.code.leader.leaderOf(this.#board) < 0;
    this.#model.sleep('handbackFd', ...(leads ? this.#model.edges : []));
    if (leads) local.events = this.#model.poll();
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
      if (stateOf(this.#board.word(slot)) === ConnectionState.closing) this.#closed(slot);
      else this.#drainLingering(slot);
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

  #onConnection(slot: number, incarnation: number, events: number): void {
    const { code, signal } = this.#model;
    const { Routed } = code.router;
    const current = this.#local.incarnations[slot] === incarnation;
    if ((events & BITS.endOfStream) !== 0) {
      if (this.#closeIfGone(slot, incarnation)) {
        if (!current) forbid('an event of an earlier connection closed this one');
        return;
      }
    }
    const router = new code.router.EventRouter(this.#board, BITS, signal);
    const routed = router.route(slot, incarnation, events);
    if (routed === Routed.queued) this.#push(slot);
    if (routed === Routed.lingers) this.#drainLingering(slot);
    if (!current && routed !== Routed.stale) {
      forbid('an event of an earlier connection did something to this one');
    }
  }

  #push(slot: number): void {
    const board = this.#board;
    if (this.#faulty('wakes before it pushes')) {
      this.#model.code.wake.wakeLowestIdle(board, this.#model.signal);
    }
    if (!board.queue.push(slot)) forbid('the queue was full');
    if (!this.#faulty('wakes before it pushes')) this.#local.dispatched++;
  }

  #closeIfGone(slot: number, incarnation: number): boolean {
    const board = this.#board;
    const word = board.word(slot);
    if (incarnationOf(word) !== incarnation) return false;
    const { partyFor } = this.#model.code.transition;
    if (partyFor(stateOf(word), ConnectionEvent.peerGone) === undefined) return false;
    if (stateOf(word) >= ConnectionState.lingerNormal) return false;
    if (this.#model.pending(slot) !== 0) return false;
    if (this.#faulty('a close that lost is taken for one that moved')) {
      this.#close(slot, word, ConnectionEvent.peerGone);
      return true;
    }
    // A leading worker may have moved it in between; then the event is routed like any other.
    return this.#close(slot, word, ConnectionEvent.peerGone);
  }

  #drainLingering(slot: number): void {
    const board = this.#board;
    const { lingerNormal, lingerShort } = ConnectionState;
    for (;;) {
      const word = board.word(slot);
      if (stateOf(word) !== lingerNormal && stateOf(word) !== lingerShort) return;
      if (this.#faulty('a lingering connection is drained before its flag is taken')) {
        this.#drain(slot, word);
        board.move(slot, word, ConnectionEvent.attend);
        return;
      }
      if (flagsOf(word) === 0) {
        this.#drain(slot, word);
        return;
      }
      board.move(slot, word, ConnectionEvent.attend);
    }
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

  #close(slot: number, word: number, event: ConnectionEvent): boolean {
    if (this.#board.move(slot, word, event) !== Outcome.moved) return false;
    this.#closed(slot);
    return true;
  }

  #closed(slot: number): void {
    if (this.#local.closing.includes(slot)) return;
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
        if (board.move(slot, word, ConnectionEvent.timeout) === Outcome.moved) {
          this.#drain(slot, board.word(slot));
        }
        return;
      case ConnectionState.lingerNormal:
      case ConnectionState.lingerShort:
        this.#close(slot, word, ConnectionEvent.timeout);
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
  | { readonly at: 'loop' | 'drain' | 'idle' | 'lead' | 'sleep' }
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
 * @param leads it polls the request set when it has nothing else to do
 * @param polling instead of sleeping it asks again, until the last connection is closed
 */
export function worker(
  model: ModelBoard,
  child: number,
  { lastRequest = 0, polling = false, leads = false, faults = [] as readonly Fault[] } = {},
): ModelThread<WorkerLocal> {
  const { board, code, signal } = model;
  const late = faults.includes('drains after going idle');
  const turn = (local: WorkerLocal): WorkerLocal | null => {
    switch (local.at) {
      case 'loop': {
        const slot = board.queue.pop();
        if (polling && slot < 0) return model.isOver ? null : local;
        if (slot >= 0) return { at: 'claim', slot };
        if (leads) return { at: 'lead' };
        return { at: late ? 'idle' : 'drain' };
      }
      case 'lead': {
        const leading = leadingOf(model, child);
        return leading.take() && leading.poll() ? { at: 'loop' } : { at: 'drain' };
      }
      case 'drain':
        model.drain(`wakeFd${child}`);
        return { at: late ? 'sleep' : 'idle' };
      case 'idle':
        if (!code.wake.goIdle(board, child)) return { at: 'loop' };
        return { at: late ? 'drain' : 'sleep' };
      case 'sleep':
        model.sleep(
          `wakeFd${child}`,
          ...(leads && leadingOf(model, child).sync() ? model.edges : []),
        );
        board.idle.remove(child);
        return { at: 'loop' };
      case 'claim':
        return claim(model, child, local.slot, faults);
      case 'serve':
        return new Owned(model, child, local.owned, lastRequest, faults).serve();
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

/** Production `Leading` over a model's poll set. */
export function leadingOf(model: ModelBoard, child: number): Leading {
  const { board } = model;
  let batch: Int32Array = new Int32Array(0);
  const native = {
    epollIn: BITS.readable,
    epollOut: BITS.writable,
    epollHup: BITS.hangup,
    epollErr: BITS.hangup,
    epollRdHup: BITS.endOfStream,
    eventfdSignal: (fd: number) => model.signal(fd),
    attach: (_: Region, bytes: Uint8Array) => {
      batch = new Int32Array(bytes.buffer);
    },
    watch: () => 0,
    pause: () => 0,
    resume: () => 0,
    setSlice: () => 0,
    epollWait: () => {
      const tickets = model.poll();
      batch.set(tickets.flat());
      return tickets.length;
    },
  } as unknown as Native;
  const context = { board, native, child, now: 0, add: () => {} } as unknown as WorkerContext;
  return new model.code.leading.Leading(context, () => 0);
}

/** A ticket is good for as long as the connection is queued, whatever flags come meanwhile. */
function claim(
  { board, code }: ModelBoard,
  child: number,
  slot: number,
  faults: readonly Fault[],
): WorkerLocal {
  for (;;) {
    const word = board.word(slot);
    if (stateOf(word) !== ConnectionState.queued) return { at: 'loop' };
    if (board.move(slot, word, ConnectionEvent.claim, child) !== Outcome.moved) {
      if (faults.includes('a claim that lost to a flag drops its ticket')) return { at: 'loop' };
      continue;
    }
    if (flagsOf(word) !== 0 && !faults.includes('the flags of a queued connection are not taken')) {
      board.setSlot(slot, SLOT.endOfStream, 1);
    }
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
}

/** A connection while a worker owns it, as `Connection` and `RequestReader` treat it. */
class Owned {
  readonly #model: ModelBoard;
  readonly #board: Scoreboard;
  readonly #local: OwnedLocal;
  readonly #slot: number;
  readonly #hold: Ownership;
  readonly #lastRequest: number;
  readonly #faults: readonly Fault[];

  constructor(
    model: ModelBoard,
    child: number,
    local: OwnedLocal,
    lastRequest: number,
    faults: readonly Fault[],
  ) {
    this.#model = model;
    this.#board = model.board;
    this.#local = local;
    this.#slot = local.slot;
    this.#hold = holdOf(model, child, local.slot, local.word);
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
  #release(event: ReleaseEvent): boolean {
    const local = this.#local;
    this.#board.setSlot(this.#slot, SLOT.dataEnd, local.left);
    if (this.#hold.release(event, 0)) return true;
    this.#attend();
    return false;
  }

  #attend(): void {
    const flags = this.#hold.attend();
    const local = this.#local;
    local.dry = this.#faulty('attend does not read again');
    if ((flags & FLAG_END) === 0 || this.#faulty('attend trusts a short read')) return;
    this.#board.setSlot(this.#slot, SLOT.endOfStream, 1);
    local.endOfStream = true;
  }

  #closeGently(): WorkerLocal {
    const local = this.#local;
    if (!local.dry) {
      let count = 1;
      while (count > 0) count = this.#model.receive(this.#slot);
      if (count === 0) return this.#closeNow();
    }
    if (this.#hold.release(ConnectionEvent.lastResponseSent, 0)) return { at: 'loop' };
    this.#attend();
    return { at: 'serve', owned: local };
  }

  #closeNow(): WorkerLocal {
    while (!this.#hold.release(ConnectionEvent.close, 0)) this.#hold.attend();
    return { at: 'handBack', slot: this.#slot };
  }

  #faulty(fault: Fault): boolean {
    return this.#faults.includes(fault);
  }
}

/** Production `Ownership` of a connection that is owned already. */
export function holdOf(model: ModelBoard, child: number, slot: number, word: number): Ownership {
  const hold = new model.code.ownership.Ownership(model.board, {} as Native, child);
  hold.slot = slot;
  hold.index = model.board.slotIndex(slot);
  hold.resumed(word);
  return hold;
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
