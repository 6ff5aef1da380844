// An upgraded connection: its child takes it out of the poll sets' reach while events of it are still
// under way, ends it, or dies at any moment. Production `Ownership`, `EventRouter` and hand-back.
import { describe, expect, it } from 'vitest';
import { ConnectionEvent, ConnectionState } from '../../src/scoreboard/states.ts';
import { flagsOf, Outcome, ownerOf, stateOf } from '../../src/scoreboard/transition.ts';
import { holdOf } from '../support/connection-drivers.ts';
import { explore, type Model, type ModelThread, prepare, tellSize } from '../support/explorer.ts';
import { BITS, ModelBoard } from '../support/model-board.ts';
import { type Code, type Mutation, mutated, production } from '../support/production-code.ts';

interface Size {
  /** Bytes that the client sends behind its request before it leaves. */
  readonly bytes: number;
  readonly mortal?: boolean;
  /** A leading worker polls beside the listener. */
  readonly leader?: boolean;
  readonly weak?: boolean;
}

type Child = { readonly at: 'upgrade' } | { readonly at: 'end'; readonly word: number };

function upgradeModel(code: Code, { bytes, mortal = false, leader = false, weak = false }: Size) {
  const model = new ModelBoard(code, { slots: 1, children: 2, extra: ['dead'] });
  const { board } = model;
  const slot = 0;
  const child = 0;
  prepare(() => {
    for (const event of ['accept', 'readable', 'claim'] as const) {
      board.move(slot, board.word(slot), ConnectionEvent[event], child);
    }
    Atomics.store(model.words, model.own(`open${slot}`), 1);
  });
  const claimed = prepare(() => board.word(slot));

  const worker: ModelThread<Child> = {
    name: 'worker 0',
    start: { at: 'upgrade' },
    turn: (local) => {
      if (local.at === 'upgrade') {
        const word = holdOf(model, child, slot, claimed).upgrade();
        return { at: 'end', word };
      }
      // Its socket was closed.
      if (board.move(slot, local.word, ConnectionEvent.close) === Outcome.moved) {
        code.wake.handBack(board, slot, model.signal);
      }
      return null;
    },
  };
  const close = (): void => {
    model.closeDescriptor(slot);
    board.move(slot, board.word(slot), ConnectionEvent.reclaimed);
  };
  const route = (): void => {
    const router = new code.router.EventRouter(board, BITS, model.signal);
    for (const event of model.poll()) router.route(...event);
  };
  const poller: ModelThread<0> = {
    name: 'worker 1',
    start: 0,
    turn: () => {
      model.sleep(...model.edges);
      route();
      return 0;
    },
  };
  const listener: ModelThread<0> = {
    name: 'listener',
    start: 0,
    turn: () => {
      const woken = model.sleepUntilAny([['handbackFd'], ['dead'], model.edges]);
      if (woken === 2) {
        route();
        return 0;
      }
      model.drain('handbackFd');
      code.wake.beginHandback(board);
      while (board.handback.pop() >= 0) close();
      if (woken !== 1) return 0;
      model.drain('dead');
      // Moved while it was not looked at, it was handed back; or nobody will, which the sweep finds.
      for (let word = board.word(slot); ownerOf(word) === child; word = board.word(slot)) {
        board.move(slot, word, ConnectionEvent.childDied);
      }
      if (stateOf(board.word(slot)) === ConnectionState.closing) {
        board.handback.pop();
        close();
      }
      return 0;
    },
  };
  const client: ModelThread<number> = {
    name: 'client 0',
    start: 0,
    turn: (done) => {
      if (done < bytes) model.send(slot);
      else model.finish(slot);
      return done === bytes ? null : done + 1;
    },
  };
  const threads: Model['threads'][number][] = [
    mortal ? { ...worker, diesInto: model.own('dead') } : worker,
    listener,
    client,
  ];
  if (leader) threads.push(poller);
  return {
    memory: model.memory,
    weak,
    threads,
    observe: model.observe,
    invariant: ({ memory }: { memory: Int32Array }) => {
      const word = memory[board.slotIndex(slot)] as number;
      if (stateOf(word) !== ConnectionState.upgraded) return undefined;
      if (flagsOf(word) !== 0) return 'a flag for a connection that nobody will look at';
      return ownerOf(word) === child ? undefined : 'upgraded, and nobody has it';
    },
    final: ({ memory }: { memory: Int32Array }) => {
      const state = model.stateName(memory, slot);
      if (state !== 'free') return `it stays in ${state}`;
      return memory[model.own(`open${slot}`)] === 0 ? undefined : 'its descriptor stays open';
    },
  } satisfies Model;
}

describe('an upgraded connection', () => {
  it.each<[string, Size]>([
    ['ends with its socket', { bytes: 2 }],
    ['two pollers', { bytes: 2, leader: true }],
    ['a child that dies', { bytes: 1, mortal: true }],
    ['a child that dies, two pollers', { bytes: 1, mortal: true, leader: true }],
    ['delayed stores', { bytes: 1, weak: true }],
  ])('is closed once, by the listener: %s', (name, size) => {
    const report = explore(upgradeModel(production, size));
    expect(report.violation).toBeNull();
    tellSize(`upgrade, ${name}`, report);
  });

  const mutation = (file: string, text: string, becomes: string): Mutation => ({
    file,
    text,
    becomes,
  });
  it.each<[string, Size, Mutation, RegExp]>([
    [
      'a flag that came first is not taken',
      { bytes: 1 },
      mutation(
        'workers/ownership',
        `while (this.#board.move(this.slot, this.#word, ConnectionEvent.upgrade) !== Outcome.moved) {
      this.attend();
    }`,
        'this.#board.move(this.slot, this.#word, ConnectionEvent.upgrade);',
      ),
      /stays in processing|owned connection/,
    ],
    [
      'an event moves it as one that waits',
      { bytes: 1 },
      mutation(
        'listener/event-router',
        'case ConnectionState.processing:',
        'case ConnectionState.upgraded: case ConnectionState.processing:',
      ),
      /no transition for notice in state upgraded/,
    ],
    [
      'it is not its child that owns it',
      { bytes: 0, mortal: true },
      mutation(
        'scoreboard/states',
        "'upgraded',\n    'worker',\n    'keep',",
        "'upgraded',\n    'worker',\n    'clear',",
      ),
      /not its own|nobody has it/,
    ],
  ])('and would be caught where %s', async (_, size, change, message) => {
    const { violation } = explore(upgradeModel(await mutated(change), size));
    expect(violation?.message).toMatch(message);
  });
});
