// Two workers, two connections and the listener on the direct path, to exhaustion; and that the reduction
// that makes it possible leaves nothing out.
import { describe, expect, it } from 'vitest';
import { ConnectionEvent } from '../../src/scoreboard/states.ts';
import { client, listener, worker } from '../support/connection-drivers.ts';
import { explore, type Model, prepare, tellSize } from '../support/explorer.ts';
import { ModelBoard } from '../support/model-board.ts';
import { type Code, type Mutation, mutated, production } from '../support/production-code.ts';

interface Size {
  readonly workers?: number;
  readonly slots?: number;
  /** Requests of each client. */
  readonly bytes?: number;
  /** Clients end their stream, so that connections are closed. */
  readonly finishes?: boolean;
}

/** Connections that are let in already; workers poll for themselves, the listener where they do not. */
function polled(code: Code, { workers = 1, slots = 1, bytes = 1, finishes = false }: Size): Model {
  const model = new ModelBoard(code, { slots, children: workers, ring: 2 * slots });
  const { board } = model;
  prepare(() => {
    for (let slot = 0; slot < slots; slot++) {
      board.move(slot, board.word(slot), ConnectionEvent.accept);
      Atomics.store(model.words, model.own(`open${slot}`), 1);
      model.connected(slot, 0);
    }
  });
  const lets = listener(model, { clients: 0 });
  lets.start.incarnations.fill(0);
  const threads: Model['threads'][number][] = [lets];
  for (let child = 0; child < workers; child++) {
    threads.push(worker(model, child, { leads: true }));
  }
  for (let slot = 0; slot < slots; slot++) threads.push(client(model, slot, { bytes, finishes }));
  return {
    memory: model.memory,
    threads,
    guards: model.guards((child) => child + 1),
    observe: model.observe,
    final: ({ memory }) => {
      for (let slot = 0; slot < slots; slot++) {
        const state = model.stateName(memory, slot);
        if (state !== (finishes ? 'free' : 'keepalive')) return `a connection stays in ${state}`;
        if (memory[model.own(`edge${slot}`)] !== 0) return 'an event waits and nobody polls';
      }
      if (model.ringLength(memory, 'queue') !== 0) return 'a ticket waits in the queue';
      const served = memory[model.own('served')];
      return served === slots * bytes ? undefined : `${served} of ${slots * bytes} requests served`;
    },
  };
}

describe('two workers and the listener poll two connections', () => {
  it('and every request is served once', { timeout: 120_000 }, () => {
    const report = explore(polled(production, { workers: 2, slots: 2 }), { compact: true });
    expect(report.violation).toBeNull();
    // Fewer would mean that the model does less than it did; see MPM_MODEL_SIZES.
    expect(report.states).toBeGreaterThan(1_000_000);
    tellSize('direct path, two workers, two connections', report);
  });
});

const SMALL: readonly [string, Size][] = [
  ['one worker, two requests', { bytes: 2 }],
  ['one worker, closing', { finishes: true }],
  ['two workers', { workers: 2 }],
];

describe('the reduced exploration has the outcomes of the whole one', () => {
  it.each(SMALL)('%s', { timeout: 60_000 }, (name, size) => {
    const whole = explore(polled(production, size), { reduce: false, all: true });
    const reduced = explore(polled(production, size), { all: true });
    tellSize(`whole, ${name}`, whole);
    tellSize(`reduced, ${name}`, reduced);
    expect(whole.ends.size).toBeGreaterThan(0);
    expect([...reduced.ends].sort()).toEqual([...whole.ends].sort());
    expect([...reduced.violations]).toEqual([...whole.violations]);
    expect(reduced.states).toBeLessThan(whole.states / 2);
  });

  const router = 'listener/event-router';
  it.each<[string, Size, Mutation]>([
    [
      'the second look is left out',
      {},
      {
        file: 'scoreboard/wake',
        text: 'if (takesNone && !hasWaiting(board, child) && !isRetiring(board, child))',
        becomes: '',
      },
    ],
    [
      'notice sets no flag',
      { bytes: 2 },
      {
        file: 'scoreboard/transition',
        text: '(word & FLAGS_MASK) | flags',
        becomes: '(word & FLAGS_MASK)',
      },
    ],
    [
      'a state word is moved without comparing',
      { workers: 2 },
      {
        file: 'scoreboard/transition',
        text: 'Atomics.compareExchange(words, index, expected, next)',
        becomes: '(Atomics.store(words, index, next), expected)',
      },
    ],
    [
      'a notice that lost is not tried again',
      { bytes: 2 },
      {
        file: router,
        text: 'if (this.#notice(slot, word, events)) return Routed.noticed;\n          continue;',
        becomes: 'this.#notice(slot, word, events);\n          return Routed.noticed;',
      },
    ],
    [
      'a cell is given back before its ticket is read',
      { workers: 2 },
      {
        file: 'scoreboard/ticket-ring',
        text: 'const ticket = words[cell + 1] as number;\n          Atomics.store(words, cell, (position + this.capacity) | 0);',
        becomes:
          'Atomics.store(words, cell, (position + this.capacity) | 0);\n          const ticket = words[cell + 1] as number;',
      },
    ],
  ])('also where %s', { timeout: 60_000 }, async (_, size, mutation) => {
    const code = await mutated(mutation);
    const whole = explore(polled(code, size), { reduce: false, all: true });
    const reduced = explore(polled(code, size), { all: true });
    expect([...reduced.violations].sort()).toEqual([...whole.violations].sort());
    expect([...reduced.ends].sort()).toEqual([...whole.ends].sort());
  });
});
