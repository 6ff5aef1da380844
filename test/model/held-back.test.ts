// A small body that is held back: the listener queues its connection while its bytes, or its end, come after all.
// Production `EventRouter` on both sides.
import { expect, it } from 'vitest';
import { ConnectionEvent } from '../../src/scoreboard/states.ts';
import { explore, type Model, type ModelThread, prepare, tellSize } from '../support/explorer.ts';
import { BITS, ModelBoard } from '../support/model-board.ts';
import { type Code, mutated, production } from '../support/production-code.ts';

const SLOT_NUMBER = 0;

/** @param times the listener looks so often */
function heldBack(code: Code, events: number, times: number): Model {
  const model = new ModelBoard(code, { slots: 1, children: 1 });
  const { board } = model;
  prepare(() => {
    for (const event of ['accept', 'readable', 'claim', 'needRead'] as const) {
      board.move(SLOT_NUMBER, board.word(SLOT_NUMBER), ConnectionEvent[event], 0);
    }
  });
  const seen = prepare(() => board.word(SLOT_NUMBER));
  const router = () => new code.router.EventRouter(board, BITS, model.signal);
  const push = () => board.queue.push(SLOT_NUMBER);
  const listener: ModelThread<number> = {
    name: 'listener',
    start: 0,
    turn: (looks) => {
      const word = board.word(SLOT_NUMBER);
      if (word === seen && router().queueHeldBack(SLOT_NUMBER, word)) push();
      return looks + 1 === times ? null : looks + 1;
    },
  };
  const leader: ModelThread<number> = {
    name: 'worker 0',
    start: 0,
    turn: () => {
      const routed = router().route(SLOT_NUMBER, 0, events);
      if (routed === code.router.Routed.queued) push();
      return null;
    },
  };
  return {
    memory: model.memory,
    threads: [listener, leader],
    observe: model.observe,
    final: ({ memory }) => {
      const state = model.stateName(memory, SLOT_NUMBER);
      if (state !== 'queued') return `it ends in ${state}`;
      const tickets = model.ringTail(memory, 'queue');
      return tickets === 1 ? undefined : `${tickets} tickets`;
    },
  };
}

it.each([
  ['bytes', BITS.readable],
  ['an end', BITS.readable | BITS.endOfStream],
  ['a reset', BITS.readable | BITS.endOfStream | BITS.hangup],
])('it is queued once where %s come at the same time', (name, events) => {
  const report = explore(heldBack(production, events, 2));
  expect(report.violation).toBeNull();
  tellSize(`held back, ${name}`, report);
});

it('and it would be caught where a move that lost counted as made', async () => {
  const code = await mutated({
    file: 'listener/event-router',
    text: 'return board.move(slot, word, ConnectionEvent.heldBack) === Outcome.moved;',
    becomes: 'board.move(slot, word, ConnectionEvent.heldBack);\n    return true;',
  });
  expect(explore(heldBack(code, BITS.readable, 1)).violation?.message).toBe('2 tickets');
});
