// A lengthy request: handed over by an ordinary worker, taken by one of two lengthy ones, of which the second is
// started on demand, while its client may leave and either worker may die at any step. Production `Ownership`,
// `EventRouter`, `LengthyWatch`, ring and waking.
import { describe, expect, it } from 'vitest';
import type { Closer } from '../../src/listener/closer.ts';
import type { ListenerOptions } from '../../src/listener/options.ts';
import { CHILD } from '../../src/scoreboard/layout.ts';
import { ConnectionEvent, ConnectionState } from '../../src/scoreboard/states.ts';
import {
  FLAG_END,
  FLAG_HANGUP,
  flagsOf,
  Outcome,
  ownerOf,
  stateOf,
  successor,
} from '../../src/scoreboard/transition.ts';
import { holdOf } from '../support/connection-drivers.ts';
import {
  explore,
  type Model,
  type ModelThread,
  prepare,
  sample,
  settle,
  tellSize,
} from '../support/explorer.ts';
import { BITS, ModelBoard } from '../support/model-board.ts';
import { type Code, type Mutation, mutated, production } from '../support/production-code.ts';

interface Size {
  /** The client shuts its side at some moment. */
  readonly leaves?: boolean;
  /** This child may die before any of its steps. */
  readonly dies?: number;
  /** A leading worker polls beside the listener. */
  readonly leader?: boolean;
  /** The first lengthy worker is there already; the second is started on demand. */
  readonly ready?: boolean;
  /** No lengthy worker ever comes. */
  readonly nobody?: boolean;
  readonly weak?: boolean;
}

const NORMAL = 0;
const LEADER = 1;
const LENGTHY = [2, 3] as const;
const SLOT = 0;
/** Passes of the sweep that find everybody asleep. */
const SWEEPS = 3;
const UNTAKEN_MS = 600;
/** Of what is too large to go through all of it. */
const WALKS = 3_000;
const SEED = 0x2f6a31c7;
const isDeparted = (flags: number): boolean => (flags & (FLAG_END | FLAG_HANGUP)) !== 0;

type Lengthy =
  | { readonly at: 'unborn' | 'loop' | 'drain' | 'idle' | 'sleep' }
  | { readonly at: 'own'; readonly word: number };

function lengthyModel(code: Code, size: Size): Model {
  const { leaves = false, dies = -1, leader = false, ready = true, weak = false } = size;
  const { nobody = false } = size;
  const model = new ModelBoard(code, {
    slots: 1,
    children: 4,
    lengthy: 2,
    extra: ['dead', 'spawned'],
  });
  const { board } = model;
  const { wake } = code;
  prepare(() => {
    for (const event of ['accept', 'readable', 'claim'] as const) {
      board.move(SLOT, board.word(SLOT), ConnectionEvent[event], NORMAL);
    }
    Atomics.store(model.words, model.own(`open${SLOT}`), 1);
  });
  const claimed = prepare(() => board.word(SLOT));
  const mortal = <Local>(thread: ModelThread<Local>, child: number): ModelThread<Local> =>
    child === dies ? { ...thread, diesInto: model.own('dead') } : thread;

  // As in Tenure.toLengthy and ServingLoop.toLengthy.
  const normal: ModelThread<0> = {
    name: 'worker 0',
    start: 0,
    turn: () => {
      const hold = holdOf(model, NORMAL, SLOT, claimed);
      while (!hold.release(ConnectionEvent.toLengthy, 0)) {
        if (!isDeparted(hold.attend())) continue;
        while (!hold.release(ConnectionEvent.close, 0)) hold.attend();
        wake.handBack(board, SLOT, model.signal);
        return null;
      }
      board.lengthy.queue.push(SLOT);
      if (!wake.wakeLowestIdle(board, model.signal, board.lengthy)) {
        wake.callListener(board, model.signal);
      }
      return null;
    },
  };

  // As in ServingLoop, with Connection: close.
  const worker = (child: number, unborn: boolean): ModelThread<Lengthy> => ({
    name: `worker ${child}`,
    start: { at: unborn ? 'unborn' : 'loop' },
    turn: (local) => {
      switch (local.at) {
        case 'unborn':
          model.sleep('spawned');
          return { at: 'loop' };
        case 'loop': {
          // What it tells of has ended with its connection.
          if (board.child(child, CHILD.attention) !== 0) board.setChild(child, CHILD.attention, 0);
          if (board.lengthy.queue.pop() < 0) return { at: 'drain' };
          for (;;) {
            const word = board.word(SLOT);
            if (stateOf(word) !== ConnectionState.lengthyQueued) return local;
            if (isDeparted(flagsOf(word))) return local;
            if (board.move(SLOT, word, ConnectionEvent.claim, child) !== Outcome.moved) continue;
            return { at: 'own', word: successor(word, ConnectionEvent.claim, child, 0) };
          }
        }
        case 'own': {
          const hold = holdOf(model, child, SLOT, local.word);
          Atomics.add(model.words, model.own('served'), 1);
          while (!hold.release(ConnectionEvent.close, 0)) hold.attend();
          wake.handBack(board, SLOT, model.signal);
          return { at: 'loop' };
        }
        case 'drain':
          model.drain(`wakeFd${child}`);
          return { at: 'idle' };
        case 'idle':
          return { at: wake.goIdle(board, child) ? 'sleep' : 'loop' };
        case 'sleep':
          model.sleep(`wakeFd${child}`);
          board.lengthy.idle.remove(child);
          return { at: 'loop' };
      }
    },
  });

  const close = (): void => {
    model.closeDescriptor(SLOT);
    board.move(SLOT, board.word(SLOT), ConnectionEvent.reclaimed);
  };
  const closer = {
    close: (slot: number, word: number, event: ConnectionEvent) => {
      if (board.move(slot, word, event) !== Outcome.moved) return false;
      close();
      return true;
    },
  } as unknown as Closer;
  const watch = () => {
    const options = { lengthyCancel: true } as ListenerOptions;
    const spawn = () => {
      Atomics.store(model.words, model.own('spawned'), 1);
    };
    return new code.lengthyWatch.LengthyWatch(board, closer, options, model.signal, spawn);
  };
  const route = (departed: () => void): void => {
    const router = new code.router.EventRouter(board, BITS, model.signal);
    for (const event of model.poll()) {
      if (router.route(...event) === code.router.Routed.departed) departed();
    }
  };
  const listener: ModelThread<0> = {
    name: 'listener',
    start: 0,
    turn: () => {
      const lengthy = watch();
      const woken = model.sleepUntilAny([['handbackFd'], ['dead'], model.edges]);
      if (woken === 2) {
        route(() => lengthy.departed(SLOT));
        lengthy.look();
        return 0;
      }
      model.drain('handbackFd');
      wake.beginHandback(board);
      while (board.handback.pop() >= 0) {
        const state = stateOf(board.word(SLOT));
        if (state === ConnectionState.closing) close();
        else if (state === ConnectionState.lengthyQueued) lengthy.departed(SLOT);
      }
      if (woken === 1) {
        model.drain('dead');
        board.lengthy.idle.remove(dies);
        for (let word = board.word(SLOT); ownerOf(word) === dies; word = board.word(SLOT)) {
          board.move(SLOT, word, ConnectionEvent.childDied);
        }
        // It died between the move and the hand-back: the sweep finds it.
        if (stateOf(board.word(SLOT)) === ConnectionState.closing) close();
      }
      lengthy.look();
      return 0;
    },
  };
  const sweeper: ModelThread<number> = {
    // A thread of its own, so that it goes on when all others sleep; the listener's by what it may do.
    name: 'listener, sweeping',
    start: 0,
    turn: (passes) => {
      settle();
      const lengthy = watch();
      const word = board.word(SLOT);
      if (stateOf(word) === ConnectionState.lengthyQueued) lengthy.sweep(SLOT, word, UNTAKEN_MS);
      lengthy.look();
      return passes + 1 === SWEEPS ? null : passes + 1;
    },
  };
  const threads: Model['threads'][number][] = [mortal(normal, NORMAL), listener, sweeper];
  if (!nobody) {
    threads.push(mortal(worker(LENGTHY[0], !ready), LENGTHY[0]));
    threads.push(mortal(worker(LENGTHY[1], true), LENGTHY[1]));
  }
  if (leaves) {
    const turn = () => {
      model.finish(SLOT);
      return null;
    };
    threads.push({ name: 'client 0', start: 0, turn } satisfies ModelThread<number>);
  }
  if (leader) {
    const turn = () => {
      model.sleep(...model.edges);
      route(() => wake.handBack(board, SLOT, model.signal));
      return 0;
    };
    threads.push({ name: `worker ${LEADER}`, start: 0, turn } satisfies ModelThread<number>);
  }
  return {
    memory: model.memory,
    weak,
    threads,
    observe: model.observe,
    final: ({ memory }) => {
      const state = model.stateName(memory, SLOT);
      if (state !== 'free') return `it stays in ${state}`;
      if (memory[model.own(`open${SLOT}`)] !== 0) return 'its descriptor stays open';
      // A ticket that was put in after its connection was closed is left to whoever comes.
      const waits = !nobody && model.ringLength(memory, 'lengthy') !== 0;
      if (waits) return 'a ticket waits and everybody sleeps';
      const served = memory[model.own('served')] as number;
      if (served > 1) return 'it was served twice';
      if (served === 0 && !leaves && dies < 0) return 'it was not served';
      return undefined;
    },
  };
}

describe('a lengthy request is served once, or ends with its client', () => {
  it.each<[string, Size]>([
    ['one worker is there', {}],
    ['its client leaves', { leaves: true }],
    [
      'its client leaves while nobody takes it, two pollers',
      { leaves: true, leader: true, nobody: true },
    ],
    ['the first lengthy worker dies', { dies: LENGTHY[0] }],
    ['its client leaves and the lengthy worker dies', { leaves: true, dies: LENGTHY[0] }],
    ['delayed stores', { leaves: true, weak: true }],
  ])('%s', { timeout: 120_000 }, (name, size) => {
    const report = explore(lengthyModel(production, size), { compact: true });
    expect(report.violation).toBeNull();
    tellSize(`lengthy, ${name}`, report);
  });

  it.each<[string, Size]>([
    ['workers are started on demand', { ready: false }],
    ['its client leaves, two pollers', { leaves: true, leader: true }],
    ['all of it', { ready: false, leaves: true, leader: true, dies: LENGTHY[0] }],
  ])(`${WALKS} schedules, seed ${SEED}: %s`, { timeout: 60_000 }, (_, size) => {
    const report = sample(lengthyModel(production, size), WALKS, SEED);
    expect(report.violation).toBeNull();
  });

  const watchFile = (text: string, becomes: string): Mutation => ({
    file: 'listener/lengthy-watch',
    text,
    becomes,
  });
  it.each<[string, Size, Mutation, RegExp]>([
    [
      'the listener does not close what has left the queue',
      { leaves: true, nobody: true },
      watchFile(
        'if (!this.#closer.close(slot, word, ConnectionEvent.peerGone, CloseReason.peer))',
        'if (false)',
      ),
      /lengthyQueued|for ever/,
    ],
    [
      'nobody is started on demand',
      { ready: false },
      watchFile('      this.#onBacklog();\n      return;', '      return;'),
      /lengthyQueued/,
    ],
    [
      'a lost ticket is not put back',
      { dies: LENGTHY[0] },
      watchFile('    lengthy.queue.push(slot);', ''),
      /lengthyQueued/,
    ],
    [
      'an event of a queued one is thrown away',
      { leaves: true, nobody: true },
      {
        file: 'listener/event-router',
        text: 'if (flags === 0) return Routed.nothing;',
        becomes: 'return Routed.nothing;',
      },
      /lengthyQueued/,
    ],
    [
      'two may claim it',
      {},
      {
        file: 'scoreboard/states',
        text: "row(['lengthyQueued'], 'claim', 'processing', 'worker', 'take',",
        becomes: "row(['lengthyQueued'], 'claim', 'processing', 'worker', 'clear',",
      },
      /./,
    ],
  ])('and would be caught where %s', { timeout: 60_000 }, async (_, size, change, message) => {
    const { violation } = explore(lengthyModel(await mutated(change), size), { compact: true });
    expect(violation?.message).toMatch(message);
  });
});
