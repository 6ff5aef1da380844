// A suspended connection: its socket becomes ready, it times out, or its child goes on by itself, all at
// once. Production `EventRouter`, `Ownership`, inbox and waking.
import { describe, expect, it } from 'vitest';
import { ChildCommand } from '../../src/scoreboard/codes.ts';
import { CHILD } from '../../src/scoreboard/layout.ts';
import { ConnectionEvent, ConnectionState } from '../../src/scoreboard/states.ts';
import {
  FLAG_END,
  FLAG_HANGUP,
  flagsOf,
  Outcome,
  stateOf,
} from '../../src/scoreboard/transition.ts';
import { holdOf } from '../support/connection-drivers.ts';
import {
  choose,
  explore,
  forbid,
  type Model,
  type ModelThread,
  prepare,
  tellSize,
} from '../support/explorer.ts';
import { BITS, ModelBoard } from '../support/model-board.ts';
import { type Code, type Mutation, mutated, production } from '../support/production-code.ts';

type Fault =
  | 'it suspends although a flag is set'
  /** A flag that comes between the look and the claim makes the claim fail. */
  | 'a claim that lost to a flag is given up'
  | 'the end of the stream is not taken from the flags';

interface Size {
  readonly connections: number;
  /** Bytes each connection's body has. */
  readonly bytes?: number;
  /** The client ends its stream one byte short. */
  readonly cutShort?: boolean;
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
  /** The last of these, of the inbox that was taken, is next. */
  | { readonly at: 'taken'; readonly slots: readonly number[]; readonly done: number }
  | {
      readonly at: 'work';
      readonly slot: number;
      readonly word: number;
      readonly done: number;
      /** The peer has shut its side, so a short read does not mean that the socket is empty. */
      readonly ended: boolean;
      readonly timedOut: boolean;
      /** Times its handler may still go on by itself. */
      readonly alone: number;
      readonly then:
        | { readonly at: 'work'; readonly slot: number }
        | { readonly at: 'taken'; readonly slots: readonly number[] };
    };

const ALONE = 1;

function suspendedModel(code: Code, size: Size): Model {
  const { connections, bytes = 1, pollers = 1, timeouts = 0, retires = false, fault } = size;
  const sent = size.cutShort === true ? bytes - 1 : bytes;
  const model = new ModelBoard(code, {
    slots: connections,
    children: 2,
    extra: Array.from({ length: connections }, (_, slot) => `received${slot}`),
  });
  const { board } = model;
  const { inbox, wake } = code;
  const child = 0;
  const inboxAt = model.indexOf(`child${child}.inbox0`);
  // The child owns all of them, each with an unfinished handler.
  prepare(() => {
    for (let slot = 0; slot < connections; slot++) {
      for (const event of ['accept', 'readable', 'claim'] as const) {
        board.move(slot, board.word(slot), ConnectionEvent[event], child);
      }
    }
  });
  const claimed = prepare(() => board.word(0));

  /** The turn for `slot`: where the child just began, or from its inbox. */
  const next = ({ then, done }: Local & { at: 'work' }): Local =>
    then.at === 'work' ? begin(then.slot, done) : fromInbox(then.slots, done);
  const fromInbox = (slots: readonly number[], done: number): Local =>
    slots.length === 0 ? { at: 'loop', done } : { at: 'taken', slots, done };
  const begin = (slot: number, done: number): Local => {
    const last = slot + 1 === connections;
    const then = last
      ? ({ at: 'taken', slots: [] } as const)
      : ({ at: 'work', slot: slot + 1 } as const);
    const fresh = { ended: false, timedOut: false, alone: ALONE };
    return { at: 'work', slot, word: claimed, done, then, ...fresh };
  };

  /** Reads what there is; suspends where that was not all. */
  const work = (local: Local & { at: 'work' }): Local | null => {
    const { slot, word, done } = local;
    const hold = holdOf(model, child, slot, word);
    const count = model.receive(slot);
    const receivedAt = model.own(`received${slot}`);
    const received = Atomics.add(model.words, receivedAt, Math.max(0, count)) + Math.max(0, count);
    if (received === bytes || count === 0 || local.timedOut) {
      while (!hold.release(ConnectionEvent.close, 0)) hold.attend();
      return done + 1 === connections ? null : next({ ...local, done: done + 1 });
    }
    if (count > 0 && local.ended) return local;
    if (!hold.suspend()) {
      const flags = hold.attend();
      if (fault !== 'it suspends although a flag is set') {
        return { ...local, ended: local.ended || endIn(flags) };
      }
      hold.suspend();
    }
    // The handler may go on by itself, for a timer's sake, say.
    if (local.alone === 0 || choose(2) === 0 || !hold.takeBack()) return next(local);
    return { ...local, alone: local.alone - 1 };
  };
  const endIn = (flags: number): boolean =>
    (flags & FLAG_END) !== 0 && fault !== 'the end of the stream is not taken from the flags';

  const turn = (local: Local): Local | null => {
    const { done } = local;
    switch (local.at) {
      case 'loop': {
        const slots: number[] = [];
        return inbox.takeInbox(board, child, slots)
          ? fromInbox(slots, done)
          : { at: 'drain', done };
      }
      case 'taken': {
        const slot = local.slots.at(-1) as number;
        const word = board.word(slot);
        if (stateOf(word) !== ConnectionState.resuming) forbid('in the inbox, but not resuming');
        if (board.move(slot, word, ConnectionEvent.claim, child) !== Outcome.moved) {
          // A flag came meanwhile.
          if (fault !== 'a claim that lost to a flag is given up') return local;
          forbid('in the inbox, but moved by somebody else');
        }
        const then = { at: 'taken', slots: local.slots.slice(0, -1) } as const;
        const ended = endIn(flagsOf(word));
        const timedOut = (flagsOf(word) & FLAG_HANGUP) !== 0;
        return { at: 'work', slot, word: claimed, done, then, ended, timedOut, alone: 0 };
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

  const router = () => new code.router.EventRouter(board, BITS, model.signal);
  interface PollerLocal {
    readonly timeouts: number;
    readonly retires: boolean;
    readonly events: readonly (readonly [number, number, number])[];
  }
  const poller = (name: string, first: PollerLocal): ModelThread<PollerLocal> => ({
    name,
    start: first,
    turn: (local) => {
      const [event, ...events] = local.events;
      if (event !== undefined) {
        router().route(...event);
        return { ...local, events };
      }
      if (local.timeouts > 0 && choose(2) === 1) {
        const late = choose(connections);
        const word = board.word(late);
        if (stateOf(word) === ConnectionState.suspended) {
          router().resume(late, word, ConnectionEvent.timeout);
        }
        return { ...local, timeouts: local.timeouts - 1 };
      }
      if (local.retires && choose(2) === 1) {
        board.setChild(child, CHILD.command, ChildCommand.retire);
        wake.wakeChild(board, child, model.signal);
        return { ...local, retires: false };
      }
      model.sleep(...model.edges);
      return { ...local, events: model.poll() };
    },
  });

  const peer = (slot: number): ModelThread<number> => ({
    name: `client ${slot}`,
    start: 0,
    turn: (done) => {
      if (done < sent) model.send(slot);
      else model.finish(slot);
      return done + 1 === bytes ? null : done + 1;
    },
  });
  const start = begin(0, 0);
  const threads: Model['threads'][number][] = [
    { name: 'worker 0', start, turn } satisfies ModelThread<Local>,
    poller('listener', { timeouts, retires, events: [] }),
  ];
  if (pollers > 1) threads.push(poller('worker 1', { timeouts: 0, retires: false, events: [] }));
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
      // The bit of a group may have come after its connections were taken.
      return memory[inboxAt] === 0 ? undefined : 'the inbox is not empty';
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
    ['a stream that ends short', { connections: 1, bytes: 2, cutShort: true }],
    [
      'a stream that ends short, two pollers',
      { connections: 1, bytes: 2, cutShort: true, pollers: 2 },
    ],
    ['a child that is told to retire', { connections: 1, bytes: 2, retires: true }],
    ['delayed stores', { connections: 2, weak: true }],
  ])('%s', (name, size) => {
    const report = explore(suspendedModel(production, size));
    expect(report.violation).toBeNull();
    tellSize(`suspended, ${name}`, report);
  });

  it.each<[Fault, Size, string]>([
    ['it suspends although a flag is set', { connections: 1 }, 'sleeps'],
    [
      'a claim that lost to a flag is given up',
      { connections: 1, bytes: 2, cutShort: true },
      'moved by somebody else',
    ],
    [
      'the end of the stream is not taken from the flags',
      { connections: 1, bytes: 2, cutShort: true },
      'sleeps',
    ],
  ])('and would be caught where %s', (fault, size, message) => {
    const { violation } = explore(suspendedModel(production, { ...size, fault }));
    expect(violation?.message).toContain(message);
  });

  const inboxFile = (text: string, becomes: string): Mutation => ({
    file: 'scoreboard/inbox',
    text,
    becomes,
  });
  const wakeFile = (text: string, becomes: string): Mutation => ({
    file: 'scoreboard/wake',
    text,
    becomes,
  });
  const routerFile = (text: string, becomes: string): Mutation => ({
    file: 'listener/event-router',
    text,
    becomes,
  });
  it.each<[string, Size, Mutation | readonly Mutation[]]>([
    [
      'the poller pushes although it lost the move',
      { connections: 1 },
      routerFile(
        'if (board.move(slot, word, event, 0, flags) !== Outcome.moved) return false;',
        'board.move(slot, word, event, 0, flags);',
      ),
    ],
    [
      'an event in suspended is thrown away',
      { connections: 1 },
      routerFile(
        'case ConnectionState.suspended:',
        'case ConnectionState.suspended: return Routed.nothing;',
      ),
    ],
    [
      'the inbox is emptied by a load and a store',
      { connections: 2 },
      inboxFile(
        'let bits = Atomics.exchange(inboxes, index, 0);',
        'let bits = Atomics.load(inboxes, index); Atomics.store(inboxes, index, 0);',
      ),
    ],
    [
      'its groups are emptied after its slots were looked at',
      { connections: 2 },
      [
        inboxFile(
          'let groups = Atomics.exchange(board.words, at, 0);',
          'let groups = Atomics.load(board.words, at);',
        ),
        inboxFile(
          'return slots.length > 0;',
          'Atomics.store(board.words, at, 0); return slots.length > 0;',
        ),
      ],
    ],
    [
      'two push to the inbox by a load and a store',
      { connections: 2, pollers: 2 },
      inboxFile(
        'Atomics.or(inboxes, child * inboxWords + word, 1 << (slot & 31));',
        `const index = child * inboxWords + word;
  Atomics.store(inboxes, index, Atomics.load(inboxes, index) | (1 << (slot & 31)));`,
      ),
    ],
    [
      'the group is told before the slot',
      { connections: 2 },
      [
        inboxFile('Atomics.or(inboxes, child * inboxWords + word, 1 << (slot & 31));', ''),
        inboxFile(
          'Atomics.or(board.words, groupsAt(board, child), 1 << group);',
          `Atomics.or(board.words, groupsAt(board, child), 1 << group);
  Atomics.or(inboxes, child * inboxWords + word, 1 << (slot & 31));`,
        ),
      ],
    ],
    [
      'the inbox is pushed to by a plain store',
      { connections: 1, weak: true },
      inboxFile(
        'Atomics.or(board.words, groupsAt(board, child), 1 << group);',
        'board.words[groupsAt(board, child)] = 1 << group;',
      ),
    ],
    [
      'the second look leaves the inbox out',
      { connections: 1 },
      wakeFile('board.child(child, CHILD.inbox) !== 0', 'false'),
    ],
    [
      'one that retires is not signalled',
      { connections: 1, bytes: 2, retires: true },
      wakeFile(' || isRetiring(board, child) ||', ' ||'),
    ],
  ])('and would be caught where %s', async (_, size, mutation) => {
    const { violation } = explore(suspendedModel(await mutated(...[mutation].flat()), size));
    expect(violation?.message).toMatch(/sleeps|inbox|not its own/);
  });
});
