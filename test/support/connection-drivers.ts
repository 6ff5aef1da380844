/**
 * A connection's life for the models: client, listener and worker, and what is left at the end.
 *
 * Role: the client's part and the final check; the listener's and the worker's parts have files of their own.
 * Thread: tests only.
 */
import { CHILD } from '../../src/scoreboard/layout.ts';
import type { ModelThread } from './explorer.ts';
import type { ModelBoard } from './model-board.ts';

export { type ListenerLocal, listener } from './listener-driver.ts';
export { type WorkerLocal, worker } from './worker-driver.ts';
export { holdOf, leadingOf } from './worker-parts.ts';

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

/** A client: so many bytes one after another, then the end of its stream, or a reset. */
export function client(
  model: ModelBoard,
  slot: number,
  { bytes = 1, incarnation = 0, finishes = true, resets = false } = {},
): ModelThread<number> {
  const steps = bytes + (finishes ? 1 : 0);
  return {
    name: `client ${slot}${incarnation > 0 ? ` (${incarnation})` : ''}`,
    start: -1,
    turn: (done) => {
      if (done < 0) model.awaitConnection(slot, incarnation);
      else if (done < bytes) model.send(slot, incarnation);
      else if (resets) model.reset(slot, incarnation);
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
