// The explorer finds what it is for. Each model here is a known one with a known answer.
import { describe, expect, it } from 'vitest';
import {
  choose,
  explore,
  forbid,
  Memory,
  type ModelThread,
  settle,
  sleepUntil,
} from '../support/explorer.ts';

const once = (name: string, body: () => void): ModelThread<number> => ({
  name,
  start: 0,
  turn: () => {
    body();
    return null;
  },
});

describe('the explorer', () => {
  it('goes through every interleaving: two steps each in six orders', () => {
    const memory = new Memory(2);
    const words = memory.view();
    const steps = () => {
      Atomics.add(words, 0, 1);
      Atomics.add(words, 0, 1);
    };
    const report = explore({ memory, threads: [once('a', steps), once('b', steps)] });
    expect(report.violation).toBeNull();
    expect(report.schedules).toBe(6);
    // All of them end in the same state.
    expect(report.finals).toBe(1);
  });

  it('finds a lost update and says how it came about', () => {
    const memory = new Memory(1);
    memory.name(0, 'counter');
    const words = memory.view();
    const add = () => Atomics.store(words, 0, Atomics.load(words, 0) + 1);
    const report = explore({
      memory,
      threads: [once('a', add), once('b', add)],
      final: ({ memory: now }) => (now[0] === 2 ? undefined : 'an update was lost'),
    });
    expect(report.violation?.message).toBe('an update was lost');
    expect(report.violation?.schedule.split('\n').map((line) => line.slice(6))).toEqual([
      'a: load counter: 0',
      'b: load counter: 0',
      expect.stringContaining('store counter = 1'),
      expect.stringContaining('store counter = 1'),
    ]);
  });

  it('leaves the memory as it was', () => {
    const memory = new Memory(1);
    const words = memory.view();
    explore({ memory, threads: [once('a', () => Atomics.add(words, 0, 1))] });
    expect(memory.words[0]).toBe(0);
  });

  it('takes steps that concern one thread alone without trying the others first', () => {
    const memory = new Memory(3);
    const words = memory.view();
    const own = (index: number) => () => {
      for (let step = 0; step < 5; step++) Atomics.add(words, index, 1);
      Atomics.add(words, 2, 1);
    };
    const report = explore({ memory, threads: [once('a', own(0)), once('b', own(1))] });
    expect(report.schedules).toBe(2);
  });

  it('finds what happens only after steps of one thread alone', () => {
    const memory = new Memory(3);
    const words = memory.view();
    const report = explore({
      memory,
      threads: [
        once('a', () => {
          Atomics.add(words, 1, 1);
          Atomics.store(words, 0, 1);
          Atomics.add(words, 1, 1);
          Atomics.store(words, 0, 0);
        }),
        once('b', () => {
          Atomics.add(words, 2, 1);
          if (Atomics.load(words, 0) === 1) forbid('seen in between');
        }),
      ],
    });
    expect(report.violation?.message).toBe('b: seen in between');
  });

  it('recognises waiting in a circle, and does not take it for an end', () => {
    const memory = new Memory(1);
    const words = memory.view();
    const waiter: ModelThread<number> = {
      name: 'waiter',
      start: 0,
      turn: () => (Atomics.load(words, 0) === 1 ? null : 0),
    };
    const setter = once('setter', () => Atomics.store(words, 0, 1));
    expect(explore({ memory, threads: [waiter, setter] }).violation).toBeNull();
    const never = once('nobody', () => Atomics.store(words, 0, 2));
    expect(explore({ memory, threads: [waiter, never] }).violation?.message).toContain('for ever');
  });

  it('reports a thread that sleeps for ever', () => {
    const memory = new Memory(2);
    const words = memory.view();
    // The flag is looked at before the sleeper says that it sleeps: the classic lost wake-up.
    const sleeper = once('sleeper', () => {
      if (Atomics.load(words, 0) === 1) return;
      sleepUntil(words, 1);
    });
    const waker = once('waker', () => Atomics.store(words, 0, 1));
    const report = explore({ memory, threads: [sleeper, waker] });
    expect(report.violation?.message).toBe('sleeps for ever: sleeper');
  });

  it('tries every outcome of a choice, and timers when nothing else can move', () => {
    const memory = new Memory(1);
    const words = memory.view();
    const seen = new Set<number>();
    const report = explore({
      memory,
      threads: [
        once('a', () => {
          Atomics.store(words, 0, choose(3));
        }),
        once('timer', () => {
          settle();
          Atomics.add(words, 0, 10);
        }),
      ],
      final: ({ memory: now }) => {
        seen.add(now[0] as number);
        return undefined;
      },
    });
    expect(report.violation).toBeNull();
    expect([...seen].sort()).toEqual([10, 11, 12]);
  });

  it('delays plain stores only where it is told to, and never past an atomic operation', () => {
    const memory = new Memory(3);
    const words = memory.view();
    const passing = (publish: () => void) => [
      once('writer', () => {
        words[1] = 7;
        publish();
      }),
      once('reader', () => {
        if (Atomics.load(words, 0) === 1 && words[1] !== 7) forbid('published, not written');
      }),
    ];
    const plain = passing(() => {
      words[0] = 1;
    });
    const atomic = passing(() => Atomics.store(words, 0, 1));
    expect(explore({ memory, threads: plain }).violation).toBeNull();
    expect(explore({ memory, threads: atomic, weak: true }).violation).toBeNull();
    const violation = explore({ memory, threads: plain, weak: true }).violation;
    expect(violation?.message).toBe('reader: published, not written');
    expect(violation?.schedule).toContain('which is old');
  });

  it('refuses a thread that does something else with the same results', () => {
    const memory = new Memory(2);
    const words = memory.view();
    let calls = 0;
    const fickle = once('fickle', () => {
      Atomics.add(words, calls++ % 2, 1);
      Atomics.add(words, 0, 1);
    });
    const other = once('other', () => Atomics.add(words, 0, 1));
    const report = explore({ memory, threads: [fickle, other] });
    expect(report.violation?.message).toContain('not deterministic');
  });
});
