/**
 * What a dead child held: connections, spare buffers, and events that it had taken and not passed on.
 *
 * Role: goes over all slots once, when a child's thread is gone. Its connections are answered or cut off (see
 * orphans.ts); those of others are told again what it may have had in its hands.
 * Thread: the listener's.
 */
import { ChildStatus } from '../scoreboard/codes.ts';
import { pushInbox } from '../scoreboard/inbox.ts';
import { CHILD, SLOT } from '../scoreboard/layout.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionState } from '../scoreboard/states.ts';
import { flagsOf, incarnationOf, ownerOf, stateOf } from '../scoreboard/transition.ts';
import { type Signal, wakeChild } from '../scoreboard/wake.ts';
import type { LengthyWatch } from './lengthy-watch.ts';
import { ENOENT, type Native } from './native.ts';
import type { LostRequest, Orphaned, Orphans } from './orphans.ts';
import type { Poller } from './poller.ts';
import type { SlotPool } from './slots.ts';

interface Parts {
  readonly board: Scoreboard;
  readonly native: Native;
  readonly poller: Poller;
  readonly slots: SlotPool;
  readonly orphans: Orphans;
  readonly lengthy: LengthyWatch;
  readonly signal: Signal;
}

export class Reclaimer {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  reclaim(child: number): Orphaned {
    const { board, native, slots, orphans, lengthy } = this.#parts;
    // It may have polled and died with the events in its hands; the set tells an edge once.
    const crashed = board.child(child, CHILD.status) !== ChildStatus.ended;
    let connections = 0;
    const requests: LostRequest[] = [];
    for (let slot = 0; slot < slots.watermark; slot++) {
      const word = board.word(slot);
      if (ownerOf(word) === child) {
        connections++;
        // Its thread may still have a descriptor of it, which would keep the end from the client.
        if (stateOf(word) === ConnectionState.upgraded) {
          native.shutdownWrite(board.slot(slot, SLOT.fd));
        }
        const lost = orphans.take(child, slot, word, lengthy.isAbandoned(word));
        if (lost?.running === true) requests.unshift(lost);
        else if (lost !== null) requests.push(lost);
      } else if (crashed) this.#tellAgain(slot, word);
    }
    for (const field of [CHILD.spareBuffer0, CHILD.spareBuffer1]) {
      const buffer = board.child(child, field);
      if (buffer !== 0) board.freeBuffers.add(buffer - 1);
      board.setChild(child, field, 0);
    }
    return { connections, requests };
  }

  #tellAgain(slot: number, word: number): void {
    const { board, poller, signal } = this.#parts;
    const state = stateOf(word);
    if (state === ConnectionState.free || state === ConnectionState.closing) return;
    // No event of theirs is for who polls.
    if (state === ConnectionState.upgraded || state === ConnectionState.tunnel) return;
    const owner = ownerOf(word);
    // It may have died between the move and the push, or between leaving a flag and saying so; a second time
    // does no harm.
    if (state === ConnectionState.resuming) {
      pushInbox(board, owner, slot);
      wakeChild(board, owner, signal);
    } else if (state === ConnectionState.processing && flagsOf(word) !== 0) {
      board.setChild(owner, CHILD.attention, 1);
      wakeChild(board, owner, signal);
    }
    const result = poller.tellAgain(board.slot(slot, SLOT.fd), slot, incarnationOf(word));
    // A worker has taken it out of the set meanwhile, for an upgrade.
    if (result < 0 && result !== ENOENT)
      throw new Error(`epoll_ctl for a connection: errno ${-result}`);
  }
}
