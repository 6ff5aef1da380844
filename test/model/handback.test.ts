// Closing connections on their way to the listener: many are told by one signal, none is left behind.
import { describe, expect, it } from 'vitest';
import { HEADER } from '../../src/scoreboard/layout.ts';
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

type ListenerFault = 'begins after the pops' | 'drains its eventfd after the pops';

interface Size {
  readonly workers: number;
  /** Connections each worker gives back. */
  readonly each: number;
  readonly weak?: boolean;
  readonly fault?: ListenerFault;
}

type Place = 'sleep' | 'take' | 'drain late' | 'begin late';

function handbackModel(code: Code, { workers, each, weak = false, fault }: Size): Model {
  const slots = workers * each;
  const ring = 2 ** Math.ceil(Math.log2(slots * 2));
  const model = new ModelBoard(code, { slots, children: workers, ring });
  const { board } = model;
  const { wake } = code;
  const listener: ModelThread<{ at: Place; taken: number[] }> = {
    name: 'listener',
    start: { at: 'sleep', taken: [] },
    turn: ({ at, taken }) => {
      switch (at) {
        case 'sleep':
          if (taken.length === slots) return null;
          model.sleep('handbackFd');
          if (fault !== 'drains its eventfd after the pops') model.drain('handbackFd');
          if (fault !== 'begins after the pops') wake.beginHandback(board);
          return { at: 'take', taken };
        case 'take': {
          const slot = board.handback.pop();
          if (slot < 0) return { at: 'drain late', taken };
          if (taken.includes(slot)) forbid('a connection was given back twice');
          return { at, taken: [...taken, slot].sort() };
        }
        case 'drain late':
          if (fault === 'drains its eventfd after the pops') model.drain('handbackFd');
          return { at: 'begin late', taken };
        case 'begin late':
          if (fault === 'begins after the pops') wake.beginHandback(board);
          return { at: 'sleep', taken };
      }
    },
  };
  const worker = (child: number): ModelThread<number> => ({
    name: `worker ${child}`,
    start: 0,
    turn: (done) => {
      wake.handBack(board, child * each + done, model.signal);
      return done + 1 === each ? null : done + 1;
    },
  });
  return {
    memory: model.memory,
    weak,
    threads: [listener, ...Array.from({ length: workers }, (_, child) => worker(child))],
  };
}

/** A listener that looks every few milliseconds, finds it quiet, and rests: from then on it has to be signalled. */
function restModel(code: Code, workers: number, restsAtOnce: boolean, weak = false): Model {
  const ring = 2 ** Math.ceil(Math.log2(workers * 2));
  const model = new ModelBoard(code, { slots: workers, children: workers, ring });
  const { board } = model;
  const { wake } = code;
  prepare(() => {
    board.setHeader(HEADER.standbyLooks.offset, 1);
    board.setHeader(HEADER.accepting.offset, 1);
  });
  const listener: ModelThread<{ at: 'rest' | 'sleep' | 'take'; taken: number }> = {
    name: 'listener',
    start: { at: 'rest', taken: 0 },
    turn: ({ at, taken }) => {
      switch (at) {
        case 'rest':
          board.setHeader(HEADER.standbyLooks.offset, 0);
          return { at: restsAtOnce ? 'sleep' : 'take', taken };
        case 'sleep':
          if (taken === workers) return null;
          model.sleep('handbackFd');
          model.drain('handbackFd');
          wake.beginHandback(board);
          return { at: 'take', taken };
        case 'take':
          if (board.handback.pop() < 0) return { at: 'sleep', taken };
          return { at, taken: taken + 1 };
      }
    },
  };
  const worker = (child: number): ModelThread<number> => ({
    name: `worker ${child}`,
    start: 0,
    turn: () => {
      wake.handBackLater(board, child, model.signal);
      return null;
    },
  });
  return {
    memory: model.memory,
    weak,
    threads: [listener, ...Array.from({ length: workers }, (_, child) => worker(child))],
  };
}

describe('the listener does not rest with a connection in the ring that was put there without a signal', () => {
  it.each<[string, number, boolean]>([
    ['one worker', 1, false],
    ['two workers', 2, false],
    ['one worker, delayed stores', 1, true],
  ])('%s', (name, workers, weak) => {
    const report = explore(restModel(production, workers, false, weak));
    expect(report.violation).toBeNull();
    tellSize(`hand-back without a signal, ${name}`, report);
  });

  it('and would be caught where it did not look once more', () => {
    const { violation } = explore(restModel(production, 1, true));
    expect(violation?.message).toBe('sleeps for ever: listener');
  });

  it('and would be caught where a worker asked before the push', async () => {
    const code = await mutated(
      wakeFile(
        '  if (!isLookedAt || board',
        "  if (!board.handback.push(slot)) throw new Error('handback ring is full');\n  if (!isLookedAt || board",
      ),
      wakeFile(
        "signal: Signal): void {\n  if (!board.handback.push(slot)) throw new Error('handback ring is full');\n  const isLookedAt",
        'signal: Signal): void {\n  const isLookedAt',
      ),
    );
    const { violation } = explore(restModel(code, 1, false));
    expect(violation?.message).toBe('sleeps for ever: listener');
  });
});

const wakeFile = (text: string, becomes: string): Mutation => ({
  file: 'scoreboard/wake',
  text,
  becomes,
});

describe('the listener never sleeps with a connection in the ring that nobody will signal', () => {
  it.each<[string, Size]>([
    ['one worker, three connections', { workers: 1, each: 3 }],
    ['two workers, two connections each', { workers: 2, each: 2 }],
    ['three workers', { workers: 3, each: 1 }],
    ['two workers, delayed stores', { workers: 2, each: 1, weak: true }],
  ])('%s', (name, size) => {
    const report = explore(handbackModel(production, size));
    expect(report.violation).toBeNull();
    tellSize(`hand-back, ${name}`, report);
  });

  it.each<ListenerFault>([
    'begins after the pops',
    'drains its eventfd after the pops',
  ])('and would be caught where it %s', (fault) => {
    const { violation } = explore(handbackModel(production, { workers: 2, each: 1, fault }));
    expect(violation?.message).toBe('sleeps for ever: listener');
  });

  it('and would be caught where it is told by a plain store that it may be signalled', async () => {
    const code = await mutated(
      wakeFile(
        'board.setHeader(HEADER.handbackSignalled.offset, 0);',
        'board.words[HEADER.handbackSignalled.offset >> 2] = 0;',
      ),
    );
    expect(explore(handbackModel(code, { workers: 1, each: 2 })).violation).toBeNull();
    const { violation } = explore(handbackModel(code, { workers: 1, each: 2, weak: true }));
    expect(violation?.message).toBe('sleeps for ever: listener');
  });

  it.each<[string, Mutation[]]>([
    [
      'the flag is set before the push',
      [
        wakeFile(
          "never full.\n  if (!board.handback.push(slot)) throw new Error('handback ring is full');",
          "never full.\n  const first = Atomics.exchange(board.words, HEADER.handbackSignalled.offset >> 2, 1) === 0;\n  if (!board.handback.push(slot)) throw new Error('handback ring is full');",
        ),
        wakeFile(
          '\n  callListener(board, signal);',
          '\n  if (first) signal(board.header(HEADER.handbackFd.offset));',
        ),
      ],
    ],
    [
      'the flag stays where it was',
      [wakeFile('board.setHeader(HEADER.handbackSignalled.offset, 0);', '')],
    ],
  ])('and would be caught where %s', async (_, mutations) => {
    const { violation } = explore(
      handbackModel(await mutated(...mutations), { workers: 2, each: 1 }),
    );
    expect(violation?.message).toBe('sleeps for ever: listener');
  });
});
