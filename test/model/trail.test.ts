// The trail of a connection, entered by production code's transition() while two pollers, a sweep and a
// worker move the connection: in the order in which it happened, without a lock.
import { describe, expect, it } from 'vitest';
import {
  ConnectionEvent,
  ConnectionState,
  STATE_NAMES,
  TRANSITIONS,
} from '../../src/scoreboard/states.ts';
import type { Trail } from '../../src/scoreboard/trail.ts';
import { FLAG_READY, Outcome, stateOf } from '../../src/scoreboard/transition.ts';
import { explore, type Model, type ModelThread, prepare, tellSize } from '../support/explorer.ts';
import { ModelBoard } from '../support/model-board.ts';
import { type Code, type Mutation, mutated, production } from '../support/production-code.ts';

const ENTRIES = 16;
const { waitRequest, readRequest, keepalive, processing } = ConnectionState;

interface Size {
  /** Looks of each poller, and tickets that the worker asks for. */
  readonly looks: number;
  readonly claims: number;
  readonly sweeps?: boolean;
}

/** As the production class over int32 words, so that each of its steps is one of the model's. */
function trailOver(words: Int32Array, count: number, first: number): Trail {
  const entered = {
    now: 0,
    enter(_slot: number, state: ConnectionState) {
      const at = words[count] as number;
      words[first + at] = state;
      words[count] = at + 1;
    },
    takeBack() {
      words[count] = (words[count] as number) - 1;
    },
    clear() {
      words[count] = 0;
    },
  };
  return entered as unknown as Trail;
}

const FOLLOWERS = new Map<string, Set<string>>();
for (const { from, to } of TRANSITIONS) {
  for (const name of from) FOLLOWERS.set(name, (FOLLOWERS.get(name) ?? new Set()).add(to));
}

function trailModel(code: Code, { looks, claims, sweeps = false }: Size): Model {
  const entries = Array.from({ length: ENTRIES }, (_, number) => `entry${number}`);
  const extra = ['ticket', 'count', 'moves', ...entries];
  const model = new ModelBoard(code, { slots: 1, children: 1, extra });
  const { board, memory } = model;
  const [ticket, count, moves] = ['ticket', 'count', 'moves'].map((name) => model.own(name)) as [
    number,
    number,
    number,
  ];
  const first = model.own('entry0');
  Object.assign(board, { trail: trailOver(model.words, count, first) });
  prepare(() => board.move(0, board.word(0), ConnectionEvent.accept));
  const wordAt = board.slotIndex(0);
  const move = (word: number, event: ConnectionEvent, flags = 0) =>
    board.move(0, word, event, 0, flags) === Outcome.moved;
  const waits = (word: number) =>
    ([waitRequest, readRequest, keepalive] as number[]).includes(stateOf(word));
  const left = (turns: number) => (turns > 1 ? turns - 1 : null);

  const poller = (name: string): ModelThread<number> => ({
    name,
    start: looks,
    turn: (turns) => {
      const word = board.word(0);
      if (waits(word) && move(word, ConnectionEvent.readable)) {
        Atomics.store(model.words, ticket, 1);
      } else if (stateOf(word) === processing) move(word, ConnectionEvent.notice, FLAG_READY);
      return left(turns);
    },
  });
  const sweeper: ModelThread<number> = {
    name: 'sweeper',
    start: 1,
    turn: () => {
      const word = board.word(0);
      if (waits(word)) move(word, ConnectionEvent.timeout);
      return null;
    },
  };
  const worker: ModelThread<number> = {
    name: 'worker',
    start: claims,
    turn: (turns) => {
      if (Atomics.exchange(model.words, ticket, 0) === 0) return left(turns);
      while (!move(board.word(0), ConnectionEvent.claim)) {}
      const held = board.word(0);
      // A flag makes it fail; it takes the flag and tries again.
      if (!move(held, ConnectionEvent.responseSent)) {
        while (!move(board.word(0), ConnectionEvent.attend)) {}
        while (!move(board.word(0), ConnectionEvent.responseSent)) {
          while (!move(board.word(0), ConnectionEvent.attend)) {}
        }
      }
      return left(turns);
    },
  };
  const names = (at: Int32Array) =>
    Array.from(
      { length: at[count] as number },
      (_, number) => STATE_NAMES[at[first + number] as number] as string,
    );
  return {
    memory,
    threads: [poller('poller'), poller('former leader'), worker, ...(sweeps ? [sweeper] : [])],
    observe: ({ index, before, after }, poke) => {
      if (index === wordAt && stateOf(before) !== stateOf(after)) {
        poke(moves, (memory.words[moves] as number) + 1);
      }
    },
    final: ({ memory: at }) => {
      const trail = names(at);
      // The model's slot was accepted before it began.
      if (trail.length !== (at[moves] as number) + 1) return 'the trail has not every move';
      const state = STATE_NAMES[stateOf(at[wordAt] as number)];
      if (trail.at(-1) !== state) return 'the trail does not end where the connection is';
      const broken = trail.some((name, each) => {
        const before = trail[each - 1];
        return before !== undefined && FOLLOWERS.get(before)?.has(name) !== true;
      });
      return broken ? 'the trail has a move that the table does not have' : undefined;
    },
  };
}

const transitionFile = (text: string, becomes: string): Mutation => ({
  file: 'scoreboard/transition',
  text,
  becomes,
});

describe('the trail is what happened', () => {
  it.each<[string, Size]>([
    ['two pollers and a worker', { looks: 2, claims: 2 }],
    ['a sweep besides', { looks: 1, claims: 2, sweeps: true }],
  ])('%s', (name, size) => {
    const report = explore(trailModel(production, size));
    expect(report.violation).toBeNull();
    tellSize(`trail, ${name}`, report);
  });

  it.each<[string, Mutation[]]>([
    [
      'an owner wrote after it has let go',
      [transitionFile('isHeldAlone(stateOf(expected))', 'stateOf(expected) === 0')],
    ],
    [
      'one of several wrote before it has won',
      [transitionFile('traced && isHeldAlone(stateOf(expected))', 'traced')],
    ],
    ['what failed were not taken back', [transitionFile('if (early) trail.takeBack(slot);', '')]],
  ])('and it would be caught if %s', async (_, mutations) => {
    const { violation } = explore(trailModel(await mutated(...mutations), { looks: 2, claims: 2 }));
    expect(violation?.message).toMatch(/^the trail/);
  });
});
