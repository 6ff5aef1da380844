// A suspended connection: its socket becomes ready, it times out, or its child goes on by itself, all at
// once. Production `Ownership`, inbox and waking.
import { describe, expect, it } from 'vitest';
import type { Native } from '../../src/listener/native.ts';
import { CHILD, ChildCommand } from '../../src/scoreboard/layout.ts';
import { ConnectionEvent, ConnectionState } from '../../src/scoreboard/states.ts';
import {
  FLAG_READABLE,
  flagsOf,
  Outcome,
  ownerOf,
  stateOf,
} from '../../src/scoreboard/transition.ts';
import { Ownership } from '../../src/workers/ownership.ts';
import {
  choose,
  explore,
  forbid,
  type Model,
  type ModelThread,
  prepare,
} from '../support/explorer.ts';
import { ModelBoard } from '../support/model-board.ts';
import { type Code, type Mutation, mutated, production } from '../support/scoreboard-code.ts';

type Fault =
  | 'the inbox is read on after the claim'
  | 'the poller pushes although it lost the move'
  | 'an event in suspended is thrown away'
  | 'it suspends although a flag is set';

interface Size {
  readonly connections: number;
  /** Bytes each connection's body has. */
  readonly bytes?: number;
  /** Threads that poll: the listener, and perhaps a leading worker. */
  readonly pollers?: number;
  /** Times the listener may find a connection's time over. */
  readonly timeouts?: number;
  /** The listener may tell the child to retire. */
  readonly retires?: boolean;
  readonly weak?: boolean;
  readonly fault?: Fault;
}

/** Where the child is. */
type Local =
  | { readonly at: 'loop' | 'drain' | 'idle' | 'sleep'; readonly done: number }
  /** `slot` is next in the inbox that was taken. */
  | { readonly at: 'chain'; readonly slot: number; readonly done: number }
  | {
      readonly at: 'work';
      readonly slot: number;
      readonly word: number;
      readonly done: number;
      readonly then: { readonly at: 'work' | 'chain' | 'loop'; readonly slot: number };
    };

const TIMED_OUT = FLAG_READABLE;

function suspendedModel(code: Code, size: Size): Model {
  const { connections, bytes = 1, pollers = 1, timeouts = 0, retires = false, fault } = size;
  const model = new ModelBoard(code, {
    slots: connections,
    children: 2,
    extra: Array.from({ length: connections }, (_, slot) => `received${slot}`),
  });
  const { board } = model;
  const { inbox, transition, wake } = code;
  const child = 0;
  // The child owns all of them, each with an unfinished handler.
  prepare(() => {
    for (let slot = 0; slot < connections; slot++) {
      for (const event of ['accept', 'readable', 'claim'] as const) {
        board.move(slot, board.word(slot), ConnectionEvent[event], child);
      }
    }
  });
  const claimed = prepare(() => board.word(0));

  const own = (slot: number, word: number): Ownership => {
    const ownership = new Ownership(board, {} as Native, child);
    ownership.slot = slot;
    ownership.index = board.slotIndex(slot);
    ownership.resumed(word);
    return ownership;
  };
  /** The turn for `slot`: where the child just began, or from its inbox. */
  const next = ({ then, done }: Local & { at: 'work' }): Local => {
    if (then.at === 'loop') return { at: 'loop', done };
    if (then.at === 'chain') return { at: 'chain', slot: then.slot, done };
    return begin(then.slot, done);
  };
  const begin = (slot: number, done: number): Local => {
    const last = slot + 1 === connections;
    const then = { at: last ? 'loop' : 'work', slot: slot + 1 } as const;
    return { at: 'work', slot, word: claimed, done, then };
  };

  /** Reads what there is; suspends where that was not all. */
  const work = (local: Local & { at: 'work' }): Local | null => {
    const { slot, word, done } = local;
    const ownership = own(slot, word);
    const count = model.receive(slot);
    const receivedAt = model.own(`received${slot}`);
    const received = Atomics.add(model.words, receivedAt, Math.max(0, count)) + Math.max(0, count);
    const timedOut = flagsOf(word) !== 0;
    if (received === bytes || timedOut) {
      if (received < bytes) Atomics.store(model.words, receivedAt, bytes);
      while (!ownership.release(ConnectionEvent.close, 0)) ownership.attend();
      return done + 1 === connections ? null : next({ ...local, done: done + 1 });
    }
    if (!ownership.suspend()) {
      ownership.attend();
      if (fault !== 'it suspends although a flag is set') {
        return { ...local, word: word & ~transition.FLAGS_MASK };
      }
      ownership.suspend();
    }
    // The handler may go on by itself, for a timer's sake, say.
    if (choose(2) === 0 || !ownership.takeBack()) return next(local);
    return { ...local, word: word & ~transition.FLAGS_MASK };
  };

  const turn = (local: Local): Local | null => {
    const { done } = local;
    switch (local.at) {
      case 'loop': {
        const slot = inbox.takeInbox(board, child);
        return slot >= 0 ? { at: 'chain', slot, done } : { at: 'drain', done };
      }
      case 'chain': {
        const { slot } = local;
        const word = board.word(slot);
        if (stateOf(word) !== ConnectionState.resuming) forbid('in the inbox, but not resuming');
        const late = fault === 'the inbox is read on after the claim';
        let link = late ? -1 : inbox.nextInInbox(board, slot);
        if (board.move(slot, word, ConnectionEvent.claim, child) !== Outcome.moved) {
          forbid('in the inbox, but moved by somebody else');
        }
        const flagged = transition.successor(word, ConnectionEvent.claim, child, 0) | flagsOf(word);
        const then = { at: link < 0 ? 'loop' : 'chain', slot: Math.max(0, link) } as const;
        const claim = { at: 'work', slot, word: flagged, done, then } as const;
        if (!late) return claim;
        const result = work(claim);
        link = inbox.nextInInbox(board, slot);
        if (result === null || link < 0) return result;
        return { at: 'chain', slot: link, done: result.done };
      }
      case 'work':
        return work(local);
      case 'drain':
        model.drain(`wakeFd${child}`);
        return { at: 'idle', done };
      case 'idle': {
        const draining = board.child(child, CHILD.command) !== ChildCommand.run;
        const idle = draining ? !wake.hasWaiting(board, child) : wake.goIdle(board, child);
        return { at: idle ? 'sleep' : 'loop', done };
      }
      case 'sleep':
        model.sleep(`wakeFd${child}`);
        return { at: 'loop', done };
    }
  };

  const resume = (slot: number, word: number, event: ConnectionEvent, flags: number): boolean => {
    const moved = board.move(slot, word, event, 0, flags) === Outcome.moved;
    if (!moved && fault !== 'the poller pushes although it lost the move') return false;
    inbox.pushInbox(board, ownerOf(word), slot);
    wake.wakeChild(board, ownerOf(word), model.signal);
    return true;
  };
  const onEvent = (slot: number): void => {
    for (;;) {
      const word = board.word(slot);
      switch (stateOf(word)) {
        case ConnectionState.processing:
          if (board.move(slot, word, ConnectionEvent.notice, 0, FLAG_READABLE) === Outcome.moved)
            return;
          continue;
        case ConnectionState.suspended:
          if (fault === 'an event in suspended is thrown away') return;
          if (resume(slot, word, ConnectionEvent.ready, 0)) return;
          continue;
        default:
          return;
      }
    }
  };
  const edges = Array.from({ length: connections }, (_, slot) => `edge${slot}`);
  interface PollerLocal {
    readonly timeouts: number;
    readonly retires: boolean;
    readonly seen: readonly number[];
  }
  const poller = (name: string, first: PollerLocal): ModelThread<PollerLocal> => ({
    name,
    start: first,
    turn: (local) => {
      const [slot, ...seen] = local.seen;
      if (slot !== undefined) {
        onEvent(slot);
        return { ...local, seen };
      }
      if (local.timeouts > 0 && choose(2) === 1) {
        const late = choose(connections);
        const word = board.word(late);
        if (stateOf(word) === ConnectionState.suspended) {
          resume(late, word, ConnectionEvent.timeout, TIMED_OUT);
        }
        return { ...local, timeouts: local.timeouts - 1 };
      }
      if (local.retires && choose(2) === 1) {
        board.setChild(child, CHILD.command, ChildCommand.retire);
        wake.wakeChild(board, child, model.signal);
        return { ...local, retires: false };
      }
      model.sleep(...edges);
      const events = edges.flatMap((_, at) => (model.events(at).length > 0 ? [at] : []));
      return { ...local, seen: events };
    },
  });

  const peer = (slot: number): ModelThread<number> => ({
    name: `client ${slot}`,
    start: 0,
    turn: (sent) => {
      model.send(slot);
      return sent + 1 === bytes ? null : sent + 1;
    },
  });
  const start = begin(0, 0);
  const threads: Model['threads'][number][] = [
    { name: 'worker 0', start, turn } satisfies ModelThread<Local>,
    poller('listener', { timeouts, retires, seen: [] }),
  ];
  if (pollers > 1) threads.push(poller('worker 1', { timeouts: 0, retires: false, seen: [] }));
  for (let slot = 0; slot < connections; slot++) threads.push(peer(slot));
  return {
    memory: model.memory,
    weak: size.weak === true,
    threads,
    observe: model.observe,
    final: ({ memory, blocked }) => {
      if (blocked.includes('worker 0'))
        return 'the child sleeps and nobody will resume its connection';
      for (let slot = 0; slot < connections; slot++) {
        const state = model.stateName(memory, slot);
        if (state !== 'closing') return `connection ${slot} stays in ${state}`;
      }
      return memory[board.childIndex(child) + (CHILD.inbox.offset >> 2)] === 0
        ? undefined
        : 'the inbox is not empty';
    },
  };
}

describe('a suspended connection is resumed, once, by whoever comes first', () => {
  it.each<[string, Size]>([
    ['one connection, two bytes', { connections: 1, bytes: 2 }],
    ['one connection, a timeout', { connections: 1, timeouts: 1 }],
    ['one connection, two pollers', { connections: 1, bytes: 2, pollers: 2 }],
    ['two connections in one inbox', { connections: 2 }],
    ['two connections, two pollers', { connections: 2, pollers: 2 }],
    ['a child that is told to retire', { connections: 1, bytes: 2, retires: true }],
    ['delayed stores', { connections: 2, weak: true }],
  ])('%s', (name, size) => {
    const report = explore(suspendedModel(production, size));
    console.info(`suspended, ${name}:`, JSON.stringify({ ...report, violation: undefined }));
    expect(report.violation).toBeNull();
  });

  it.each<[Fault, Size]>([
    ['the inbox is read on after the claim', { connections: 2, bytes: 2 }],
    ['the poller pushes although it lost the move', { connections: 1 }],
    ['an event in suspended is thrown away', { connections: 1 }],
    ['it suspends although a flag is set', { connections: 1 }],
  ])('and would be caught where %s', (fault, size) => {
    const report = explore(suspendedModel(production, { ...size, fault }));
    console.info(fault, report.states, report.violation?.message);
    expect(report.violation).not.toBeNull();
  });

  const inboxFile = (text: string, becomes: string): Mutation => ({ file: 'inbox', text, becomes });
  const wakeFile = (text: string, becomes: string): Mutation => ({ file: 'wake', text, becomes });
  it.each<[string, Size, Mutation]>([
    [
      'the inbox is emptied by a load and a store',
      { connections: 2 },
      inboxFile(
        'return Atomics.exchange(board.words, index, 0) - 1;',
        'const first = Atomics.load(board.words, index); Atomics.store(board.words, index, 0); return first - 1;',
      ),
    ],
    [
      'the inbox is pushed to without comparing',
      { connections: 2, pollers: 2 },
      inboxFile(
        'const seen = Atomics.compareExchange(board.words, index, first, slot + 1);',
        'const seen = first; Atomics.store(board.words, index, slot + 1);',
      ),
    ],
    [
      'the link is written after the push',
      { connections: 2 },
      inboxFile(
        `board.setSlot(slot, SLOT.nextInInbox, first);
    const seen = Atomics.compareExchange(board.words, index, first, slot + 1);
    if (seen === first) return;`,
        `const seen = Atomics.compareExchange(board.words, index, first, slot + 1);
    board.setSlot(slot, SLOT.nextInInbox, first);
    if (seen === first) return;`,
      ),
    ],
    [
      'the second look leaves the inbox out',
      { connections: 1 },
      wakeFile('board.child(child, CHILD.inbox) !== 0 || ', ''),
    ],
    [
      'one that retires is not signalled',
      { connections: 1, bytes: 2, retires: true },
      wakeFile(' || isRetiring(board, child)) {', ') {'),
    ],
  ])('and would be caught where %s', async (_, size, mutation) => {
    const report = explore(suspendedModel(await mutated(mutation), size));
    console.info(_, report.states, report.violation?.message);
    expect(report.violation).not.toBeNull();
  });
});
