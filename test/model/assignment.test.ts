// Requests given to an idle worker: each is served once, whether that one sleeps, is awake again or ends.
import { describe, expect, it } from 'vitest';
import { ChildCommand } from '../../src/scoreboard/codes.ts';
import { CHILD } from '../../src/scoreboard/layout.ts';
import { explore, forbid, type Model, type ModelThread, tellSize } from '../support/explorer.ts';
import { ModelBoard } from '../support/model-board.ts';
import { type Code, type Mutation, mutated, production } from '../support/production-code.ts';

interface Size {
  /** Workers besides the one that leads, which has the highest number. */
  readonly heirs: number;
  /** Long requests that the leader reads. */
  readonly requests: number;
  /** Main tells the first heir to retire. */
  readonly retires?: boolean;
  /** The first heir is woken once without being taken out of the idle set, as by its application. */
  readonly stray?: boolean;
  readonly weak?: boolean;
}

type Place = 'loop' | 'drain' | 'idle' | 'sleep';

function assignmentModel(code: Code, size: Size): Model {
  const { heirs, requests, retires = false, stray = false, weak = false } = size;
  const extra = Array.from({ length: requests }, (_, ticket) => `served${ticket}`);
  const model = new ModelBoard(code, { slots: requests, children: heirs + 1, extra });
  const { board } = model;
  const { wake, assignment } = code;
  const serve = (ticket: number): void => {
    if (Atomics.add(model.words, model.own(`served${ticket}`), 1) !== 0) {
      forbid('a request was served twice');
    }
  };
  const retiring = (child: number) => board.child(child, CHILD.command) !== ChildCommand.run;
  /** A turn of the serving loop. */
  const turn = (child: number, at: Place): Place | null => {
    switch (at) {
      case 'loop': {
        const retired = retiring(child);
        if (retired && board.queue.length > 0) wake.wakeLowestIdle(board, model.signal);
        if (retired && assignment.closeAssignments(board, child)) {
          board.idle.remove(child);
          return null;
        }
        const assigned = assignment.takeAssigned(board, child);
        const ticket = assigned >= 0 || retired ? assigned : board.queue.pop();
        if (ticket < 0) return 'drain';
        serve(ticket);
        return 'loop';
      }
      case 'drain':
        model.drain(`wakeFd${child}`);
        return 'idle';
      case 'idle':
        return wake.goIdle(board, child) ? 'sleep' : 'loop';
      case 'sleep':
        model.sleep(`wakeFd${child}`);
        board.idle.remove(child);
        return 'loop';
    }
  };
  const heir = (child: number): ModelThread<Place> => ({
    name: `heir ${child}`,
    start: 'loop',
    turn: (at) => turn(child, at),
  });
  const leader: ModelThread<{ read: number; at: Place }> = {
    name: 'leader',
    start: { read: 0, at: 'loop' },
    turn: ({ read, at }) => {
      if (read === requests) {
        const next = turn(heirs, at);
        return next === null ? null : { read, at: next };
      }
      const chosen = board.idle.takeHighest();
      if (chosen < 0) serve(read);
      else {
        // As in ServingLoop.delegate.
        if (!assignment.assign(board, chosen, read)) board.queue.push(read);
        model.signal(board.child(chosen, CHILD.wakeFd));
      }
      return { read: read + 1, at };
    },
  };
  const main: ModelThread<number> = {
    name: 'main',
    start: 0,
    turn: () => {
      board.setChild(0, CHILD.command, ChildCommand.retire);
      wake.wakeChild(board, 0, model.signal);
      return null;
    },
  };
  const waker: ModelThread<number> = {
    name: 'waker',
    start: 0,
    turn: () => {
      model.signal(board.child(0, CHILD.wakeFd));
      return null;
    },
  };
  return {
    memory: model.memory,
    weak,
    threads: [
      leader,
      ...Array.from({ length: heirs }, (_, child) => heir(child)),
      ...(retires ? [main] : []),
      ...(stray ? [waker] : []),
    ],
    final: ({ memory, blocked }) => {
      for (let ticket = 0; ticket < requests; ticket++) {
        if (memory[model.own(`served${ticket}`)] !== 1) return `request ${ticket} is never served`;
      }
      if (retires && blocked.includes('heir 0')) return 'never retires: heir 0';
      return undefined;
    },
  };
}

const mutation = (file: string, text: string, becomes: string): Mutation => ({
  file,
  text,
  becomes,
});

describe('a request that the leader gives away is served once', () => {
  it.each<[string, Size]>([
    ['one heir, three requests', { heirs: 1, requests: 3 }],
    ['one heir that retires, two requests', { heirs: 1, requests: 2, retires: true }],
    ['one heir that is woken for nothing, two requests', { heirs: 1, requests: 2, stray: true }],
    ['two heirs, two requests', { heirs: 2, requests: 2 }],
    ['two heirs of which one retires, one request', { heirs: 2, requests: 1, retires: true }],
    ['one heir that retires, delayed stores', { heirs: 1, requests: 1, retires: true, weak: true }],
  ])('%s', (name, size) => {
    const report = explore(assignmentModel(production, size));
    expect(report.violation).toBeNull();
    tellSize(`assignment, ${name}`, report);
  });

  it.each<[string, Size, Mutation]>([
    [
      'the second look before sleeping leaves it out',
      { heirs: 1, requests: 2, stray: true },
      mutation('scoreboard/wake', 'board.child(child, CHILD.assigned) > 0', 'false'),
    ],
    [
      'an heir that ends has not closed itself',
      { heirs: 1, requests: 1, retires: true },
      mutation(
        'scoreboard/assignment',
        'Atomics.compareExchange(board.words, wordOf(board, child), NONE, CLOSED);',
        'Atomics.load(board.words, wordOf(board, child));',
      ),
    ],
    [
      'an heir that ends looks away',
      { heirs: 1, requests: 1, retires: true },
      mutation('scoreboard/assignment', 'return seen === NONE || seen === CLOSED;', 'return true;'),
    ],
    [
      'a second request takes the place of the first',
      { heirs: 1, requests: 2, stray: true },
      mutation(
        'scoreboard/assignment',
        'return Atomics.compareExchange(board.words, wordOf(board, child), NONE, slot + 1) === NONE;',
        'Atomics.store(board.words, wordOf(board, child), slot + 1); return true;',
      ),
    ],
    [
      'a ticket is looked for plainly before sleeping',
      { heirs: 1, requests: 2, stray: true, weak: true },
      mutation(
        'scoreboard/wake',
        'board.child(child, CHILD.assigned) > 0',
        '(board.words[board.childIndex(child) + (CHILD.assigned.offset >> 2)] as number) > 0',
      ),
    ],
  ])('and would be caught where %s', async (_, size, change) => {
    const { violation } = explore(assignmentModel(await mutated(change), size));
    expect(violation?.message).toMatch(/never served|never retires|sleeps for ever/);
  });
});
