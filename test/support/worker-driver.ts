/**
 * A worker's part in a connection's life, reduced to what the shared memory sees.
 *
 * Role: takes what is queued, answers each byte, sleeps. Runs production code; what lies between is in the shape of production's, without parsing and
 * clocks. Takes faults of its own shape, so that a model can prove it would notice.
 * Thread: tests only.
 */
import { CHILD, SLOT } from '../../src/scoreboard/layout.ts';
import type { Scoreboard } from '../../src/scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../../src/scoreboard/states.ts';
import {
  FLAG_END,
  FLAG_HANGUP,
  flagsOf,
  Outcome,
  stateOf,
} from '../../src/scoreboard/transition.ts';
import type { Ownership, ReleaseEvent } from '../../src/workers/ownership.ts';
import type { Fault } from './connection-drivers.ts';
import { forbid, type ModelThread } from './explorer.ts';
import type { ModelBoard } from './model-board.ts';
import { holdOf, leadingOf } from './worker-parts.ts';

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
 * @param resets clients may reset their connections; looked for only then, since each look is a step
 * @param polling instead of sleeping it asks again, until the last connection is closed
 */
export function worker(
  model: ModelBoard,
  child: number,
  {
    lastRequest = 0,
    polling = false,
    leads = false,
    resets = false,
    faults = [] as readonly Fault[],
  } = {},
): ModelThread<WorkerLocal> {
  const { board, code, signal } = model;
  const late = faults.includes('drains after going idle');
  const turn = (local: WorkerLocal): WorkerLocal | null => {
    switch (local.at) {
      case 'loop': {
        takeAttention(board, child);
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
        return claim(model, child, local.slot, resets, faults);
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

/** Nothing here waits for its client to leave. */
function takeAttention(board: Scoreboard, child: number): void {
  const index = board.childIndex(child) + (CHILD.attention.offset >> 2);
  if (board.words[index] !== 0) Atomics.exchange(board.words, index, 0);
}

/** A ticket is good for as long as the connection is queued, whatever flags come meanwhile. */
function claim(
  model: ModelBoard,
  child: number,
  slot: number,
  resets: boolean,
  faults: readonly Fault[],
): WorkerLocal {
  const { board, code } = model;
  for (;;) {
    // Before the word: what was told by then must be in it.
    const told = resets && model.isResetTold(slot);
    const word = board.word(slot);
    if (stateOf(word) !== ConnectionState.queued) return { at: 'loop' };
    if (board.move(slot, word, ConnectionEvent.claim, child) !== Outcome.moved) {
      if (faults.includes('a claim that lost to a flag drops its ticket')) return { at: 'loop' };
      continue;
    }
    if ((flagsOf(word) & FLAG_HANGUP) !== 0) {
      const claimed = code.transition.successor(word, ConnectionEvent.claim, child, 0);
      const hold = holdOf(model, child, slot, claimed);
      while (!hold.release(ConnectionEvent.close, 0)) hold.attend();
      return { at: 'handBack', slot };
    }
    if (told) forbid('a request of a client that is known to have left was begun');
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
