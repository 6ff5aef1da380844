// A poller that stands still in the middle of an event, while its connection is closed, or its child dies, and
// the slot is another connection's. Production `EventRouter`, inbox and queue times.
import { describe, expect, it } from 'vitest';
import { HALF_BYTES, SECOND_HALF } from '../../src/scoreboard/halves.ts';
import { SLOT } from '../../src/scoreboard/layout.ts';
import { ConnectionEvent, ConnectionState } from '../../src/scoreboard/states.ts';
import { incarnationOf, Outcome, stateOf } from '../../src/scoreboard/transition.ts';
import {
  explore,
  forbid,
  type Model,
  type ModelThread,
  prepare,
  tellSize,
} from '../support/explorer.ts';
import { BITS, ModelBoard } from '../support/model-board.ts';
import { type Code, type Mutation, mutated, production } from '../support/production-code.ts';

const SLOT_NUMBER = 0;
/** Clock ticks that cannot come of the models' clock, which stands still at 0. */
const [BEGAN, ACCEPTED] = [-5_000, -3_000];

/** An event of the first connection in the slot, at any moment of it or of the second. */
function latePoller(code: Code, weak: boolean): Model {
  const model = new ModelBoard(code, { slots: 1, children: 1 });
  const { board } = model;
  const move = (event: ConnectionEvent): boolean =>
    board.move(SLOT_NUMBER, board.word(SLOT_NUMBER), event) === Outcome.moved;
  prepare(() => {
    board.setSlot(SLOT_NUMBER, SLOT.sinceTicks, BEGAN);
    move(ConnectionEvent.accept);
  });
  /** Closes it, if nobody has queued it before, and lets the next client in, as `Acceptor` does. */
  const listener: ModelThread<number> = {
    name: 'listener',
    start: 0,
    turn: () => {
      const word = board.word(SLOT_NUMBER);
      if (stateOf(word) !== ConnectionState.waitRequest) return null;
      if (board.move(SLOT_NUMBER, word, ConnectionEvent.peerGone) !== Outcome.moved) return null;
      move(ConnectionEvent.reclaimed);
      board.setSlot(SLOT_NUMBER, SLOT.endOfStream, 0);
      code.queueTime.setAccepted(board, SLOT_NUMBER, ACCEPTED);
      move(ConnectionEvent.accept);
      return null;
    },
  };
  const poller: ModelThread<number> = {
    name: 'worker 0',
    start: 0,
    turn: () => {
      const router = new code.router.EventRouter(board, BITS, model.signal);
      router.route(SLOT_NUMBER, 0, BITS.readable | BITS.endOfStream);
      return null;
    },
  };
  return {
    memory: model.memory,
    weak,
    threads: [listener, poller],
    final: ({ memory }) => {
      const at = board.slotIndex(SLOT_NUMBER);
      const word = memory[at] as number;
      const state = stateOf(word);
      if (incarnationOf(word) === 0) {
        return state === ConnectionState.queued ? undefined : 'the event is lost';
      }
      if (state !== ConnectionState.waitRequest) return 'an earlier event moved this connection';
      if (memory[at + (SLOT.sinceTicks.offset >> 2)] !== ACCEPTED) return 'it has a time of before';
      return memory[at + (SLOT.endOfStream.offset >> 2)] === 0
        ? undefined
        : 'it has an end that is not its own';
    },
  };
}

/**
 * Two connections of child 0 are suspended and become ready. Before that, the child that had its place has died
 * with a connection in slot 0 for which the leader has an event in its hands.
 */
function lateLeader(code: Code): Model {
  const model = new ModelBoard(code, { slots: 2, children: 2 });
  const { board } = model;
  const child = 0;
  const move = (slot: number, ...events: (keyof typeof ConnectionEvent)[]): void => {
    for (const event of events) board.move(slot, board.word(slot), ConnectionEvent[event], child);
  };
  prepare(() => move(0, 'accept', 'readable', 'claim', 'suspend'));
  const router = () => new code.router.EventRouter(board, BITS, model.signal);
  const leader: ModelThread<number> = {
    name: 'worker 1',
    start: 0,
    turn: () => {
      router().route(0, 0, BITS.readable);
      return null;
    },
  };
  /** As `reclaimChild`; then the next child of that place has both connections, and both are ready. */
  const listener: ModelThread<number> = {
    name: 'listener',
    start: -1,
    turn: (slot) => {
      if (slot < 0) {
        code.inbox.takeInbox(board, child, []);
        while (stateOf(board.word(0)) !== ConnectionState.closing) move(0, 'childDied');
        move(0, 'reclaimed', 'accept', 'readable', 'claim', 'suspend');
        move(1, 'accept', 'readable', 'claim', 'suspend');
        model.end();
      } else {
        router().route(slot, slot === 0 ? 1 : 0, BITS.readable);
      }
      if (slot < 0) return 1;
      return slot === 1 ? 0 : null;
    },
  };
  interface Resuming {
    readonly at: 'life' | 'take' | 'idle' | 'sleep';
    readonly resumed: number;
  }
  const worker: ModelThread<Resuming> = {
    name: 'worker 0',
    start: { at: 'life', resumed: 0 },
    turn: ({ at, resumed }) => {
      switch (at) {
        case 'life':
          model.sleep('over');
          return { at: 'take', resumed };
        case 'take': {
          const slots: number[] = [];
          if (!code.inbox.takeInbox(board, child, slots)) return { at: 'idle', resumed };
          let count = resumed;
          // As `ServingLoop` does: what is not resuming, or not this child's, is passed over.
          for (const slot of slots) {
            const word = board.word(slot);
            if (stateOf(word) !== ConnectionState.resuming) continue;
            if (board.move(slot, word, ConnectionEvent.claim, child) !== Outcome.moved) {
              forbid('nobody sets a flag here');
            }
            count++;
          }
          return count === 2 ? null : { at: 'take', resumed: count };
        }
        case 'idle':
          model.drain(`wakeFd${child}`);
          return { at: code.wake.goIdle(board, child) ? 'sleep' : 'take', resumed };
        case 'sleep':
          model.sleep(`wakeFd${child}`);
          return { at: 'take', resumed };
      }
    },
  };
  return {
    memory: model.memory,
    threads: [listener, leader, worker],
    final: ({ blocked }) =>
      blocked.includes('worker 0') ? 'a ready connection is not resumed' : undefined,
  };
}

describe('a poller that is late', () => {
  it.each([false, true])('writes nothing into the next connection; delayed stores: %s', (weak) => {
    const report = explore(latePoller(production, weak));
    expect(report.violation).toBeNull();
    expect(report.states).toBeGreaterThan(20);
    tellSize(`late poller, ${weak ? 'delayed stores' : 'in order'}`, report);
  });

  const queueTime = (text: string, becomes: string): Mutation => ({
    file: 'scoreboard/queue-time',
    text,
    becomes,
  });
  it.each<[string, Mutation, boolean?]>([
    [
      'the time of the next connection is stored plainly',
      queueTime(
        'Atomics.store(board.words, board.slotIndex(slot) + SINCE, ticks);',
        'board.words[board.slotIndex(slot) + SINCE] = ticks;',
      ),
      true,
    ],
    [
      'it stored its time plainly',
      queueTime(
        'Atomics.compareExchange(words, index + SINCE, since, ticks) !== since',
        '(words[index + SINCE] = ticks) !== ticks',
      ),
    ],
    [
      'it did not look at the word behind the time',
      queueTime('if (Atomics.load(words, index + WORD) !== word) return false;', ''),
    ],
    [
      'it wrote the end of the stream into the slot',
      {
        file: 'listener/event-router',
        text: 'const flags = this.#endFlag(events) | this.#resetFlag(events);',
        becomes: `const flags = this.#resetFlag(events);
          board.words[board.slotIndex(slot) + ${SLOT.endOfStream.offset >> 2}] = 1;`,
      },
    ],
  ])('and it would be caught where %s', async (_, mutation, weak = false) => {
    const { violation } = explore(latePoller(await mutated(mutation), weak));
    expect(violation?.message).toMatch(/of before|not its own/);
  });
});

describe('a leader that is late with its push', () => {
  it('loses nobody else’s connection', () => {
    const report = explore(lateLeader(production));
    expect(report.violation).toBeNull();
    expect(report.states).toBeGreaterThan(100);
    tellSize('late leader', report);
  });

  it('and it would be caught where connections were linked through their slots', async () => {
    const inbox = (text: string, becomes: string): Mutation => ({
      file: 'scoreboard/inbox',
      text,
      becomes,
    });
    const unused = (SECOND_HALF + HALF_BYTES - 4) >> 2;
    const link = `board.words[board.slotIndex(slot) + ${unused}]`;
    const code = await mutated(
      inbox(
        'Atomics.or(inboxes, child * inboxWords + word, 1 << (slot & 31));',
        `const at = groupsAt(board, child);
  for (let first = Atomics.load(board.words, at); ; ) {
    ${link} = first;
    const seen = Atomics.compareExchange(board.words, at, first, slot + 1);
    if (seen === first) return;
    first = seen;
  }`,
      ),
      inbox(
        'if (Atomics.load(board.words, at) === 0) return false;',
        `let next = Atomics.exchange(board.words, at, 0);
  // One that is linked to itself would be read for ever.
  while (next !== 0 && slots.length < 4) {
    const slot = next - 1;
    slots.unshift(slot);
    next = ${link} as number;
  }
  return slots.length > 0;`,
      ),
    );
    expect(explore(lateLeader(code)).violation?.message).toBe('a ready connection is not resumed');
  });
});
