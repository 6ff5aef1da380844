// Sleeping and waking: production goIdle, wakeLowestIdle, wakeChild and the idle bitmap over eventfds.
import { describe, expect, it } from 'vitest';
import { ChildCommand } from '../../src/scoreboard/codes.ts';
import { CHILD } from '../../src/scoreboard/layout.ts';
import { ConnectionEvent, ConnectionState } from '../../src/scoreboard/states.ts';
import { FLAG_HANGUP, flagsOf, Outcome, stateOf } from '../../src/scoreboard/transition.ts';
import {
  explore,
  forbid,
  type Model,
  type ModelThread,
  prepare,
  tellSize,
} from '../support/explorer.ts';
import { ModelBoard } from '../support/model-board.ts';
import { type Code, type Mutation, mutated, production } from '../support/production-code.ts';

interface Work {
  readonly workers: number;
  readonly tickets: number;
  /** The listener tells every child to retire at the end. */
  readonly retires?: boolean;
  readonly weak?: boolean;
}

type Place = 'loop' | 'drain' | 'idle' | 'sleep';

/** The listener hands out tickets and wakes one worker for each; nobody may be woken twice for one sleep. */
function queueModel(code: Code, { workers, tickets, retires = false, weak = false }: Work): Model {
  const model = new ModelBoard(code, { slots: 1, children: workers, extra: ['owed0', 'owed1'] });
  const { board } = model;
  const { wake } = code;
  const retiring = (child: number) => board.child(child, CHILD.command) !== ChildCommand.run;
  const listener: ModelThread<number> = {
    name: 'listener',
    start: 0,
    turn: (done) => {
      if (done < tickets) {
        // No room means that a worker has just taken one and is about to leave its cell.
        if (!board.queue.push(done + 1)) return done;
        wake.wakeLowestIdle(board, model.signal);
        return done + 1;
      }
      if (!retires) return null;
      const child = done - tickets;
      board.setChild(child, CHILD.command, ChildCommand.retire);
      wake.wakeChild(board, child, model.signal);
      return child + 1 === workers ? null : done + 1;
    },
  };
  const worker = (child: number): ModelThread<Place> => ({
    name: `worker ${child}`,
    start: 'loop',
    turn: (at) => {
      switch (at) {
        case 'loop': {
          const retired = retires && retiring(child);
          // A wake-up meant for whoever is idle must not end with one that takes nothing.
          if (retired && board.queue.length > 0) wake.wakeLowestIdle(board, model.signal);
          if (retired) return null;
          return board.queue.pop() < 0 ? 'drain' : 'loop';
        }
        case 'drain':
          model.drain(`wakeFd${child}`);
          return 'idle';
        case 'idle':
          return wake.goIdle(board, child) ? 'sleep' : 'loop';
        case 'sleep':
          model.sleep(`wakeFd${child}`);
          return 'loop';
      }
    },
  });
  const bitmap = model.indexOf('idle');
  const wakeFds = Array.from({ length: workers }, (_, child) => model.own(`wakeFd${child}`));
  const owed = wakeFds.map((_, child) => model.own(`owed${child}`));
  return {
    memory: model.memory,
    weak,
    threads: [listener, ...wakeFds.map((_, child) => worker(child))],
    // A sleeper's bit is a promise of one signal, made by whoever takes it out.
    observe: ({ thread, index, kind, before, after }, poke) => {
      const now = model.memory.words;
      for (let child = 0; child < workers; child++) {
        const debt = owed[child] as number;
        const taken = index === bitmap && (before & ~after & (1 << child)) !== 0;
        if (taken && thread !== `worker ${child}`) poke(debt, (now[debt] as number) + 1);
        if (index !== wakeFds[child] || kind !== 'store' || retires) continue;
        poke(debt, (now[debt] as number) - 1);
        if ((now[debt] as number) < 0) forbid('a signal for a worker that did not sleep');
      }
    },
    final: ({ memory, blocked }) => {
      if (retires && blocked.length > 0) return `never retires: ${blocked.join(', ')}`;
      if (!retires && model.ringLength(memory, 'queue') > 0)
        return 'a ticket waits, everybody sleeps';
      return undefined;
    },
  };
}

const wakeFile = (text: string, becomes: string): Mutation => ({
  file: 'scoreboard/wake',
  text,
  becomes,
});
const ADD = `  idle.add(child);
  const takesNone`;
const SECOND_LOOK = 'takesNone && !hasWaiting(board, child) && !isRetiring(board, child)';

describe('no worker sleeps while a ticket waits, and none is signalled without having slept', () => {
  it.each<[string, Work]>([
    ['one worker, three tickets', { workers: 1, tickets: 3 }],
    ['two workers, two tickets', { workers: 2, tickets: 2 }],
    ['one worker that retires', { workers: 1, tickets: 1, retires: true }],
    ['delayed stores', { workers: 1, tickets: 2, weak: true }],
  ])('%s', (name, work) => {
    const report = explore(queueModel(production, work));
    expect(report.violation).toBeNull();
    tellSize(`idle, ${name}`, report);
  });

  it.each<[string, Work, Mutation, string]>([
    [
      'no second look',
      { workers: 1, tickets: 1 },
      wakeFile(SECOND_LOOK, '!hasWaiting(board, child) && !isRetiring(board, child)'),
      'a ticket waits',
    ],
    [
      'says it sleeps after the second look',
      { workers: 1, tickets: 1 },
      wakeFile(
        ADD,
        '  if (queue.length === 0) { idle.add(child); return true; }\n  const takesNone',
      ),
      'a ticket waits',
    ],
    [
      'the second look does not see a command',
      { workers: 1, tickets: 0, retires: true },
      wakeFile(SECOND_LOOK, 'takesNone'),
      'never retires',
    ],
    [
      'a bit is taken that its owner has just taken',
      { workers: 2, tickets: 2 },
      {
        file: 'scoreboard/bitmap',
        text: 'if ((word & bit) !== 0) return place',
        becomes: 'if (bit !== 0) return place',
      },
      'a signal for a worker',
    ],
    [
      'a worker is signalled whether it sleeps or not',
      { workers: 1, tickets: 2 },
      wakeFile(
        'if (child < 0) return false;',
        'if (child < 0) { signal(board.child(0, CHILD.wakeFd)); return true; }',
      ),
      'a signal for a worker',
    ],
    [
      'the second look reads the ring plainly',
      { workers: 1, tickets: 2, weak: true },
      {
        file: 'scoreboard/ticket-ring',
        text: 'return Atomics.load(this.#words, TAIL);',
        becomes: 'return this.#words[TAIL] as number;',
      },
      'a ticket waits',
    ],
  ])('and would be caught where: %s', async (_, work, mutation, message) => {
    const { violation } = explore(queueModel(await mutated(mutation), work));
    expect(violation?.message).toContain(message);
  });
});

/** A child waits with an unfinished handler; its peer hangs up at any moment. */
function hangupModel(code: Code, flagsLast = false): Model {
  const model = new ModelBoard(code, { slots: 1, children: 1 });
  const { board } = model;
  prepare(() => {
    for (const event of ['accept', 'readable', 'claim'] as const) {
      board.move(0, board.word(0), ConnectionEvent[event], 0);
    }
  });
  const listener: ModelThread<number> = {
    name: 'listener',
    start: 0,
    turn: () => {
      if (flagsLast) board.setChild(0, CHILD.attention, 1);
      if (flagsLast) code.wake.wakeChild(board, 0, model.signal);
      const { notice } = ConnectionEvent;
      if (board.move(0, board.word(0), notice, 0, FLAG_HANGUP) !== Outcome.moved) {
        forbid('an owned connection was moved by nobody');
      }
      if (!flagsLast) board.setChild(0, CHILD.attention, 1);
      if (!flagsLast) code.wake.wakeChild(board, 0, model.signal);
      return null;
    },
  };
  const worker: ModelThread<Place> = {
    name: 'worker 0',
    start: 'loop',
    turn: (at) => {
      if (at === 'drain') {
        model.drain('wakeFd0');
        return 'idle';
      }
      if (at === 'idle') return code.wake.goIdle(board, 0) ? 'sleep' : 'loop';
      if (at === 'sleep') {
        model.sleep('wakeFd0');
        return 'loop';
      }
      const attention = board.childIndex(0) + (CHILD.attention.offset >> 2);
      if (board.words[attention] === 0 || Atomics.exchange(board.words, attention, 0) === 0) {
        return 'drain';
      }
      const word = board.word(0);
      if ((flagsOf(word) & FLAG_HANGUP) === 0) return 'drain';
      if (board.move(0, word, ConnectionEvent.attend) !== Outcome.moved) forbid('attend failed');
      return null;
    },
  };
  return {
    memory: model.memory,
    threads: [listener, worker],
    final: ({ memory, blocked }) =>
      blocked.length === 0 &&
      stateOf(memory[board.slotIndex(0)] as number) === ConnectionState.processing
        ? undefined
        : 'the child never hears that its peer has gone',
  };
}

describe('a child with an unfinished handler hears that its peer has gone', () => {
  it('at any moment', () => {
    expect(explore(hangupModel(production)).violation).toBeNull();
  });

  it('and would be caught where it is told before the flag is set', () => {
    expect(explore(hangupModel(production, true)).violation?.message).toContain('never hears');
  });

  it('and would be caught where the second look leaves it out', async () => {
    const code = await mutated(wakeFile('board.child(child, CHILD.attention) !== 0', 'false'));
    expect(explore(hangupModel(code)).violation?.message).toContain('never hears');
  });
});
