// A session that is woken while its client sends, its worker lets it go and the listener polls: none of the
// wakes is lost, and none falls to the next session of the slot.
import { describe, expect, it } from 'vitest';
import { SLOT } from '../../src/scoreboard/layout.ts';
import { ConnectionEvent, ConnectionState } from '../../src/scoreboard/states.ts';
import { incarnationOf, Outcome, stateOf } from '../../src/scoreboard/transition.ts';
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
import { type Code, type Mutation, mutated, production } from '../support/production-code.ts';

type Fault = 'the calls are taken once, at the claim';

interface Size {
  readonly workers?: number;
  /** Wakes, of each waker. */
  readonly wakes?: readonly number[];
  /** Bytes the client sends. */
  readonly bytes?: number;
  /** Its calls take time: the session is suspended once within its first call. */
  readonly suspends?: boolean;
  /** The listener ends the session, and its slot gets another one. */
  readonly reused?: boolean;
  readonly weak?: boolean;
  readonly fault?: Fault;
}

const SLOT_NUMBER = 0;

type Local =
  | { readonly at: 'loop' | 'drain' | 'idle' | 'sleep' | 'claim' }
  /** It is in the inbox, or about to be. */
  | { readonly at: 'resume'; readonly word: number }
  | {
      readonly at: 'serve';
      readonly word: number;
      /** The socket may have more. */
      readonly wet: boolean;
      readonly took: boolean;
    };

function notifyModel(code: Code, size: Size): Model {
  const { workers = 1, wakes = [1], bytes = 0, suspends = false, reused = false, fault } = size;
  const model = new ModelBoard(code, {
    slots: 1,
    children: workers,
    extra: ['news', 'seen', 'suspensions'],
  });
  const { board, words } = model;
  const { notices, wake } = code;
  const load = (name: string) => Atomics.load(words, model.own(name));
  prepare(() => {
    board.notices.open(SLOT_NUMBER, 0, 0);
    // The time that everything happens at here; others are in late-poller.test.ts.
    code.queueTime.setQueued(board, SLOT_NUMBER, 0);
    board.move(SLOT_NUMBER, board.word(SLOT_NUMBER), ConnectionEvent.accept);
  });

  /** The application's `woken`: what was published before the wake is heard. */
  const woken = (): void => {
    if (incarnationOf(board.word(SLOT_NUMBER)) !== 0) forbid('the next session was woken');
    Atomics.store(words, model.own('seen'), load('news'));
  };

  const serve = (local: Local & { at: 'serve' }, child: number): Local => {
    const hold = holdOf(model, child, SLOT_NUMBER, local.word);
    if (!local.took || fault === undefined) {
      const calls = board.notices.take(SLOT_NUMBER);
      if ((calls & notices.Call.woken) !== 0) {
        woken();
        if (suspends && Atomics.exchange(words, model.own('suspensions'), 1) === 0) {
          // A call that takes its time; it goes on by itself, unless an event of its client is first.
          if (hold.suspend() && !hold.takeBack()) return { at: 'resume', word: local.word };
          return { at: 'serve', word: local.word, wet: true, took: false };
        }
        return { ...local, took: true };
      }
    }
    if (local.wet) {
      const more = model.receive(SLOT_NUMBER) > 0;
      return { ...local, wet: more, took: true };
    }
    const event = ConnectionEvent.responseSent;
    if (hold.release(event, 0)) return { at: 'loop' };
    hold.attend();
    return { ...local, wet: true };
  };

  const worker = (child: number): ModelThread<Local> => ({
    name: `worker ${child}`,
    start: { at: 'loop' },
    turn: (local) => {
      switch (local.at) {
        case 'loop':
          return board.queue.pop() < 0 ? { at: 'drain' } : { at: 'claim' };
        case 'claim': {
          const word = board.word(SLOT_NUMBER);
          if (stateOf(word) !== ConnectionState.queued) return { at: 'loop' };
          if (board.move(SLOT_NUMBER, word, ConnectionEvent.claim, child) !== Outcome.moved) {
            return local;
          }
          const next = code.transition.successor(word, ConnectionEvent.claim, child, 0);
          return { at: 'serve', word: next, wet: true, took: false };
        }
        case 'serve':
          return serve(local, child);
        case 'resume': {
          if (!code.inbox.takeInbox(board, child, [])) return local;
          const word = board.word(SLOT_NUMBER);
          if (board.move(SLOT_NUMBER, word, ConnectionEvent.claim, child) !== Outcome.moved) {
            forbid('nobody sets a flag here');
          }
          return { at: 'serve', word: local.word, wet: true, took: false };
        }
        case 'drain':
          model.drain(`wakeFd${child}`);
          return { at: 'idle' };
        case 'idle':
          return wake.goIdle(board, child) ? { at: 'sleep' } : { at: 'loop' };
        case 'sleep':
          model.sleep(`wakeFd${child}`);
          board.idle.remove(child);
          return { at: 'loop' };
      }
    },
  });

  const queued = (): void => {
    if (!board.queue.push(SLOT_NUMBER)) forbid('the queue was full');
    wake.wakeLowestIdle(board, model.signal);
  };

  /** Publishes first, then wakes. */
  const waker = (number: number, count: number): ModelThread<number> => ({
    name: `worker ${workers + number}`,
    start: 0,
    turn: (done) => {
      Atomics.add(words, model.own('news'), 1);
      const outcome = notices.notify(board, SLOT_NUMBER, 0, notices.Call.woken, 0);
      if (outcome === notices.Notified.queued) queued();
      if (outcome === notices.Notified.stale && !reused) forbid('a living session is not found');
      return done + 1 === count ? null : done + 1;
    },
  });

  const router = new code.router.EventRouter(board, BITS, model.signal);
  const listener: ModelThread<{ closed: boolean }> = {
    name: 'listener',
    start: { closed: false },
    turn: (local) => {
      if (reused && !local.closed) {
        const word = board.word(SLOT_NUMBER);
        if (stateOf(word) !== ConnectionState.waitRequest) return { closed: true };
        if (board.move(SLOT_NUMBER, word, ConnectionEvent.peerGone) !== Outcome.moved) {
          return { closed: true };
        }
        const closing = board.word(SLOT_NUMBER);
        board.move(SLOT_NUMBER, closing, ConnectionEvent.reclaimed);
        board.notices.open(SLOT_NUMBER, 1, 0);
        board.move(SLOT_NUMBER, board.word(SLOT_NUMBER), ConnectionEvent.accept);
        // Its client speaks at once, so that a worker looks what it is to be called for.
        model.send(SLOT_NUMBER, 1);
        return { closed: true };
      }
      model.sleep(...model.edges);
      for (const [slot, incarnation, events] of model.poll()) {
        if (router.route(slot, incarnation, events) === code.router.Routed.queued) queued();
      }
      return local;
    },
  };
  const client: ModelThread<number> = {
    name: 'client',
    start: 0,
    turn: (sent) => {
      if (sent === bytes) return null;
      model.send(SLOT_NUMBER);
      return sent + 1;
    },
  };
  const total = wakes.reduce((sum, count) => sum + count, 0);
  return {
    maxStates: 8_000_000,
    memory: model.memory,
    weak: size.weak ?? false,
    threads: [
      ...Array.from({ length: workers }, (_, child) => worker(child)),
      ...wakes.map((count, number) => waker(number, count)),
      listener,
      ...(bytes > 0 ? [client] : []),
    ],
    guards: model.guards((child) => child),
    observe: model.observe,
    final: ({ memory }) => {
      const own = (name: string) => memory[model.own(name)] as number;
      const state = model.stateName(memory, SLOT_NUMBER);
      const word = memory[board.slotIndex(SLOT_NUMBER) + (SLOT.word.offset >> 2)] as number;
      if (incarnationOf(word) > 0) return undefined;
      if (state !== 'keepalive' && state !== 'waitRequest') return `it ends in ${state}`;
      if (own('seen') !== total) return `a wake was lost: ${own('seen')} of ${total} heard`;
      return own('socket0') === 0 ? undefined : 'bytes were not read';
    },
  };
}

describe('a session is called for every wake', () => {
  it.each<[string, Size]>([
    ['one worker, one wake', {}],
    ['one worker, three wakes', { wakes: [3] }],
    ['one worker, two wakers', { wakes: [1, 1] }],
    ['two wakes, and a byte of its client', { wakes: [2], bytes: 1 }],
    ['two workers, one wake', { workers: 2 }],
    ['two workers, two wakes', { workers: 2, wakes: [2] }],
    ['a call that takes its time', { wakes: [1], bytes: 1, suspends: true }],
    ['delayed stores', { wakes: [2], weak: true }],
    ['the slot of a session that ended has another one', { wakes: [2], reused: true }],
  ])(
    '%s',
    (name, size) => {
      const report = explore(notifyModel(production, size));
      expect(report.violation?.schedule ?? null).toBeNull();
      expect(report.violation).toBeNull();
      tellSize(`wake, ${name}`, report);
      // The largest takes 18 s of a processor, and may not have one of its own.
    },
    120_000,
  );

  it.each<[Fault, string]>([
    ['the calls are taken once, at the claim', 'a wake was lost'],
  ])('and it would be caught where %s', (fault, message) => {
    const { violation } = explore(notifyModel(production, { wakes: [2], bytes: 1, fault }));
    expect(violation?.message).toContain(message);
  });

  const file = 'scoreboard/notices';
  it.each<[string, Mutation, Size, string]>([
    [
      'an owned connection gets no flag',
      {
        file,
        text: 'const flags = flagsOf(word) | FLAG_READY;',
        becomes: 'const flags = flagsOf(word);',
      },
      { wakes: [2] },
      'a wake was lost',
    ],
    [
      'a move that lost is not tried again',
      {
        file,
        text: 'return Notified.noted;\n        }\n        continue;',
        becomes: 'return Notified.noted;\n        }\n        return Notified.noted;',
      },
      { wakes: [1], bytes: 1 },
      'a wake was lost',
    ],
    [
      'the incarnation is not compared',
      {
        file,
        text: 'if (seen >>> INCARNATION_SHIFT !== incarnation) return false;',
        becomes: '',
      },
      { wakes: [1], reused: true },
      'the next session was woken',
    ],
  ])('and it would be caught where %s', async (_, mutation, size, message) => {
    const { violation } = explore(notifyModel(await mutated(mutation), size));
    expect(violation?.message).toContain(message);
  });
});
