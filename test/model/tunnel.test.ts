// A tunnel on its way from the worker that had it upgraded to the listener, while events of it are still under
// way and that worker may die at any moment. Production `Ownership`, `toListener`, `Tunnels` and places.
import { describe, expect, it } from 'vitest';
import type { Closer } from '../../src/listener/closer.ts';
import type { Native } from '../../src/listener/native.ts';
import type { ListenerOptions } from '../../src/listener/options.ts';
import { SLOT } from '../../src/scoreboard/layout.ts';
import { ConnectionEvent, ConnectionState } from '../../src/scoreboard/states.ts';
import { flagsOf, Outcome, ownerOf, stateOf } from '../../src/scoreboard/transition.ts';
import type { WorkerContext } from '../../src/workers/context.ts';
import type { UpgradeSocket } from '../../src/workers/upgrade/upgrade-socket.ts';
import { holdOf } from '../support/connection-drivers.ts';
import {
  explore,
  forbid,
  type Model,
  type ModelThread,
  prepare,
  tellSize,
} from '../support/explorer.ts';
import { BITS, ModelBoard } from '../support/model-board.ts';
import { type Mutation, type OpenCode, opened } from '../support/production-code.ts';

interface Size {
  /** Bytes that the client sends behind its request before it leaves. */
  readonly bytes: number;
  readonly mortal?: boolean;
  /** A leading worker polls beside the listener. */
  readonly leader?: boolean;
}

type Child = { readonly at: 'upgrade' } | { readonly at: 'hand over'; readonly word: number };
/** What the listener knows of the tunnel: it is plain data. */
interface Known {
  readonly tunnel: object | null;
  /** The dead child was seen to. */
  readonly buried: boolean;
}

const SLOT_NUMBER = 0;
const CHILD = 0;
/** The listener's row, behind those of two children. */
const MAIN = 2;
const FAR_FD = 70;

function tunnelModel(code: OpenCode, { bytes, mortal = false, leader = false }: Size): Model {
  const extra = [
    'never',
    'dead0',
    'far',
    'taken',
    'held0',
    'held1',
    'heldMain',
    'waiting0',
    'waiting1',
    'waitingMain',
  ];
  const model = new ModelBoard(code, { slots: 1, children: 2, extra });
  const { board, words } = model;
  const at = (name: string): number => model.own(name);
  const restFd = board.slotIndex(SLOT_NUMBER) + (SLOT.restFd.offset >> 2);
  const places = {
    ...{ words, taken: at('taken'), held: at('held0'), waiting: at('waiting0'), stride: 1 },
    // Nobody waits for a place.
    children: 0,
  };
  Object.assign(board, {
    restLines: null,
    upstreams: {
      takeTunnel: (_: number, child: number) => code.upstreamPlaces.movePlace(places, child, MAIN),
      endTunnel: () => code.upstreamPlaces.givePlace(places, MAIN),
    },
  });
  prepare(() => {
    for (const event of ['accept', 'readable', 'claim'] as const) {
      board.move(SLOT_NUMBER, board.word(SLOT_NUMBER), ConnectionEvent[event], CHILD);
    }
    board.setSlot(SLOT_NUMBER, SLOT.lastChild, CHILD + 1);
    Atomics.store(words, at('open0'), 1);
    code.upstreamPlaces.takePlace(places, CHILD, 1);
  });
  const claimed = prepare(() => board.word(SLOT_NUMBER));

  const workersNative = {
    duplicate: () => {
      Atomics.store(words, at('far'), 1);
      return FAR_FD;
    },
    // The native part takes it out of the thread's account in the same call.
    enterFile: (fd: number) => Atomics.store(words, restFd, fd + 1),
  };
  const worker: ModelThread<Child> = {
    name: 'worker 0',
    start: { at: 'upgrade' },
    turn: (local) => {
      if (local.at === 'upgrade') {
        const word = holdOf(model, CHILD, SLOT_NUMBER, claimed).upgrade();
        return { at: 'hand over', word };
      }
      const context = {
        board,
        native: workersNative,
        handBack: (slot: number) => code.wake.handBack(board, slot, model.signal),
      } as unknown as WorkerContext;
      const socket = { status: 101, payloadBytes: 0, destroy: () => {} } as UpgradeSocket;
      const near = { slot: SLOT_NUMBER, word: local.word, socket, websocket: false };
      const far = { descriptor: FAR_FD, idleTimeoutMs: 0, upstream: -1 };
      code.toListener.toListener(context, { ...near, startedMs: 0, line: '' }, far);
      return null;
    },
  };

  /** The far socket is closed: by the listener from the slot, or with the thread that had it. */
  const closeFar = (): void => {
    if (Atomics.exchange(words, at('far'), 0) !== 1) forbid('the far socket was closed twice');
  };
  const listenersNative = { epollAdd: () => 0, epollDelete: () => 0 } as unknown as Native;
  const close = (): void => {
    if (Atomics.exchange(words, restFd, 0) !== 0) closeFar();
    model.closeDescriptor(SLOT_NUMBER);
    tunnels.closed(SLOT_NUMBER);
    board.move(SLOT_NUMBER, board.word(SLOT_NUMBER), ConnectionEvent.reclaimed);
  };
  const closer = {
    close: (slot: number, word: number, event: ConnectionEvent) => {
      if (board.move(slot, word, event) !== Outcome.moved) return false;
      close();
      return true;
    },
  } as unknown as Closer;
  const tunnels = prepare(
    () =>
      new code.tunnels.Tunnels(board, listenersNative, BITS, closer, {} as ListenerOptions, {
        ended: () => {},
        passed: () => {},
      }),
  );
  const open = tunnels as unknown as {
    _tunnels: Map<number, object>;
    _lose(tunnel: object): void;
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
  const onHandback = (): void => {
    model.drain('handbackFd');
    code.wake.beginHandback(board);
    while (board.handback.pop() >= 0) tunnels.adopt(SLOT_NUMBER);
  };
  const listener: ModelThread<Known> = {
    name: 'listener',
    start: { tunnel: null, buried: false },
    turn: ({ tunnel, buried }) => {
      open._tunnels.clear();
      if (tunnel !== null) open._tunnels.set(SLOT_NUMBER, structuredClone(tunnel));
      // With a tunnel there is always its end that may come.
      const ends: string[][] = tunnel === null ? [] : [[]];
      const died = buried ? ['never'] : ['dead0'];
      const woken = model.sleepUntilAny([['handbackFd'], died, model.edges, ...ends]);
      if (woken === 0) onHandback();
      else if (woken === 1) {
        // As `reclaimChild` does it.
        onHandback();
        tunnels.adopt(SLOT_NUMBER);
        code.upstreamPlaces.reclaimPlaces(places, CHILD);
        // Descriptors that the thread had and had not entered go with it.
        if (board.slot(SLOT_NUMBER, SLOT.restFd) === 0 && Atomics.load(words, at('far')) === 1) {
          closeFar();
        }
        for (
          let word = board.word(SLOT_NUMBER);
          ownerOf(word) === CHILD;
          word = board.word(SLOT_NUMBER)
        ) {
          closer.close(SLOT_NUMBER, word, ConnectionEvent.childDied, 0);
        }
      } else if (woken === 2) route();
      else open._lose(open._tunnels.get(SLOT_NUMBER) as object);
      const known = open._tunnels.get(SLOT_NUMBER);
      return {
        tunnel: known === undefined ? null : structuredClone(known),
        buried: buried || woken === 1,
      };
    },
  };
  const client: ModelThread<number> = {
    name: 'client 0',
    start: 0,
    turn: (done) => {
      if (done < bytes) model.send(SLOT_NUMBER);
      else model.finish(SLOT_NUMBER);
      return done === bytes ? null : done + 1;
    },
  };
  const threads: Model['threads'][number][] = [
    mortal ? { ...worker, diesInto: at('dead0') } : worker,
    listener,
    client,
  ];
  if (leader) threads.push(poller);
  return {
    memory: model.memory,
    threads,
    observe: model.observe,
    invariant: ({ memory }) => {
      if ((memory[at('taken')] as number) < 0) return 'a place was given back twice';
      const word = memory[board.slotIndex(SLOT_NUMBER)] as number;
      if (stateOf(word) !== ConnectionState.tunnel) return undefined;
      if (flagsOf(word) !== 0) return 'a flag for a connection that nobody will look at';
      if ((memory[at('far')] as number) !== 1) return 'its other side is closed';
      return memory[at('taken')] === 1 ? undefined : 'its place is free';
    },
    final: ({ memory }) => {
      const state = model.stateName(memory, SLOT_NUMBER);
      if (state !== 'free') return `it stays in ${state}`;
      const left = ['open0', 'far', 'taken', 'held0', 'heldMain'].filter(
        (name) => memory[at(name)] !== 0,
      );
      return left.length === 0 ? undefined : `left: ${left.join(', ')}`;
    },
  } satisfies Model;
}

describe('a tunnel on its way to the listener', () => {
  const unchanged = opened();
  it.each<[string, Size]>([
    ['ends once', { bytes: 1 }],
    ['two pollers', { bytes: 1, leader: true }],
    ['a child that dies', { bytes: 1, mortal: true }],
    ['a child that dies, two pollers', { bytes: 1, mortal: true, leader: true }],
  ])('is the one’s or the other’s, with its socket and its place: %s', async (name, size) => {
    const report = explore(tunnelModel(await unchanged, size));
    expect(report.violation).toBeNull();
    tellSize(`tunnel, ${name}`, report);
  });

  it.each<[string, Size, Mutation, RegExp]>([
    [
      'nobody is told of it',
      { bytes: 0 },
      {
        file: 'workers/upgrade/to-listener',
        text: ' === Outcome.moved) context.handBack(slot);',
        becomes: ' !== Outcome.moved) context.handBack(slot);',
      },
      /it stays in tunnel/,
    ],
    [
      'it is adopted as often as it is told of',
      { bytes: 0, mortal: true },
      {
        file: 'listener/tunnels',
        text: 'if (this.#tunnels.has(slot) || stateOf(',
        becomes: 'if (stateOf(',
      },
      /left: |a place was given back twice/,
    ],
    [
      'its place stays the child’s',
      { bytes: 0, mortal: true },
      {
        file: 'scoreboard/upstream-places',
        text: 'Atomics.sub(words, held + from * stride, 1);',
        becomes: '',
      },
      /its place is free|left: /,
    ],
    [
      'it stays its child’s',
      { bytes: 0, mortal: true },
      {
        file: 'scoreboard/states',
        text: "'tunnel',\n    'worker',\n    'clear',",
        becomes: "'tunnel',\n    'worker',\n    'keep',",
      },
      /no transition for childDied in state tunnel/,
    ],
  ])('and would be caught where %s', async (_, size, mutation, message) => {
    const { violation } = explore(tunnelModel(await opened(mutation), size));
    expect(violation?.message).toMatch(message);
  });
});
