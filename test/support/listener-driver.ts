/**
 * The listener's part in a connection's life, reduced to what the shared memory sees.
 *
 * Role: accepts, routes, drains, closes. Runs production code; what lies between is in the shape of production's, without parsing and
 * clocks. Takes faults of its own shape, so that a model can prove it would notice.
 * Thread: tests only.
 */
import { SLOT } from '../../src/scoreboard/layout.ts';
import type { Scoreboard } from '../../src/scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../../src/scoreboard/states.ts';
import { flagsOf, incarnationOf, Outcome, stateOf } from '../../src/scoreboard/transition.ts';
import type { Fault } from './connection-drivers.ts';
import { choose, forbid, type ModelThread } from './explorer.ts';
import { BITS, type ModelBoard } from './model-board.ts';

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
    if ((events & BITS.hangup) !== 0) this.#model.resetTold(slot);
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
      case ConnectionState.queued:
        // Of a queued one the ticket stays in the ring.
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
