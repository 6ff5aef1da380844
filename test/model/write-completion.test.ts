// The rest of a response on its way from a worker to the listener: sent to its end, once, and the
// next request is not forgotten.
import { describe, expect, it } from 'vitest';
import type { Native } from '../../src/listener/native.ts';
import { ConnectionEvent, ConnectionState } from '../../src/scoreboard/states.ts';
import { flagsOf, Outcome, stateOf } from '../../src/scoreboard/transition.ts';
import { explore, type Model, type ModelThread, prepare, tellSize } from '../support/explorer.ts';
import { BITS, ModelBoard } from '../support/model-board.ts';
import { type Code, type Mutation, mutated, production } from '../support/production-code.ts';

type Fault =
  | 'the worker lets go although an event came, and does not look'
  | 'what the worker was told is forgotten'
  | 'the listener takes no notice of the flags';

interface Size {
  /** Bytes of the response; the socket takes one at a time. */
  readonly bytes: number;
  /** The client sends another request at any moment. */
  readonly next?: boolean;
  readonly weak?: boolean;
  readonly fault?: Fault;
}

const SLOT = 0;
const FREE = 1;
/** The socket was full when somebody tried: the kernel will tell when it is not. */
const TELL = 2;

function completionModel(code: Code, { bytes, next = false, weak = false, fault }: Size): Model {
  const extra = ['sock', 'left', 'taken', 'armed', 'edgeOut', 'edgeIn', 'more', 'ended'];
  const model = new ModelBoard(code, { slots: 1, children: 1, extra });
  const { board, words } = model;
  const at = (name: string): number => model.own(name);
  prepare(() => {
    const { accept, readable, claim } = ConnectionEvent;
    for (const event of [accept, readable, claim]) board.move(SLOT, board.word(SLOT), event, 0);
    Atomics.store(words, at('sock'), FREE);
    Atomics.store(words, at('left'), bytes);
  });
  const claimed = prepare(() => board.word(SLOT));

  /** One try to send a byte; false: the socket is full. */
  const send = (): boolean => {
    const before = Atomics.or(words, at('sock'), TELL);
    if ((before & FREE) === 0) return false;
    Atomics.and(words, at('sock'), ~(FREE | TELL));
    Atomics.sub(words, at('left'), 1);
    return true;
  };
  /** Sends until the end or until the socket is full. */
  const sendAll = (): boolean => {
    while (Atomics.load(words, at('left')) > 0) if (!send()) return false;
    return true;
  };
  /** epoll_ctl: an edge at once where the socket is writable, and later ones from now on. */
  const arm = (): number => {
    Atomics.store(words, at('armed'), 1);
    if ((Atomics.load(words, at('sock')) & FREE) !== 0) Atomics.store(words, at('edgeOut'), 1);
    return 0;
  };
  const native = { epollOut: BITS.writable, epollEdge: 0, epollAdd: arm, epollModify: arm };

  const worker: ModelThread<'send' | 'let go'> = {
    name: 'worker',
    start: 'send',
    turn: (place) => {
      const hold = new code.ownership.Ownership(board, native as unknown as Native, 0);
      hold.take(SLOT, claimed);
      if (place === 'send') {
        if (!sendAll()) return 'let go';
        // All of it left without the listener.
        while (!hold.release(ConnectionEvent.requeue, 0)) hold.attend();
        Atomics.store(words, at('ended'), 1);
        return null;
      }
      hold.armWritable();
      while (!hold.release(ConnectionEvent.needWrite, 0)) {
        hold.attend();
        // The reader is not dry any more, which the slot says (RestFlag.more).
        if (fault !== 'what the worker was told is forgotten') Atomics.store(words, at('more'), 1);
        if (fault !== 'the worker lets go although an event came, and does not look') return 'send';
      }
      return null;
    },
  };

  /** As `Completer.advance` and what follows it. */
  const advance = (): void => {
    if (stateOf(board.word(SLOT)) !== ConnectionState.writeCompletion || !sendAll()) return;
    for (;;) {
      const word = board.word(SLOT);
      const flagged = flagsOf(word) !== 0 && fault !== 'the listener takes no notice of the flags';
      const more = flagged || Atomics.load(words, at('more')) === 1;
      const event = more ? ConnectionEvent.goOn : ConnectionEvent.flushed;
      if (board.move(SLOT, word, event) === Outcome.moved) break;
    }
    Atomics.store(words, at('ended'), 1);
  };
  const listener: ModelThread<number> = {
    name: 'listener',
    start: 0,
    turn: () => {
      model.sleep('edgeOut', 'edgeIn');
      const out = Atomics.exchange(words, at('edgeOut'), 0) !== 0;
      const inward = Atomics.exchange(words, at('edgeIn'), 0) !== 0;
      const router = new code.router.EventRouter(board, BITS, model.signal);
      const { Routed } = code.router;
      if (inward) router.route(SLOT, 0, BITS.readable);
      if (out && router.route(SLOT, 0, BITS.writable) === Routed.completes) advance();
      return 0;
    },
  };

  /** Reads a byte whenever the socket is full, until it has them all. */
  const client: ModelThread<number> = {
    name: 'client',
    start: 0,
    turn: (read) => {
      const before = Atomics.load(words, at('sock'));
      if ((before & FREE) !== 0) return read;
      if (Atomics.compareExchange(words, at('sock'), before, FREE) !== before) return read;
      Atomics.add(words, at('taken'), 1);
      if ((before & TELL) !== 0 && Atomics.load(words, at('armed')) === 1) {
        Atomics.store(words, at('edgeOut'), 1);
      }
      return read + 1 === bytes ? null : read + 1;
    },
  };
  const asks: ModelThread<number> = {
    name: 'next request',
    start: 0,
    turn: () => {
      Atomics.store(words, at('edgeIn'), 1);
      return null;
    },
  };
  return {
    memory: model.memory,
    weak,
    threads: [worker, listener, client, ...(next ? [asks] : [])],
    final: ({ memory }) => {
      if (memory[at('left')] !== 0) return 'bytes are left and nobody sends them';
      if (memory[at('ended')] !== 1) return 'all was sent and the request never ends';
      const state = stateOf(memory[model.indexOf('slot0.word')] as number);
      if (next && state !== ConnectionState.queued) return 'the next request is forgotten';
      return undefined;
    },
  };
}

describe('what is left of a response is sent, and the next request served', () => {
  it.each<[string, Size]>([
    ['two bytes', { bytes: 2 }],
    ['three bytes', { bytes: 3 }],
    ['two bytes, another request', { bytes: 2, next: true }],
    ['two bytes, another request, delayed stores', { bytes: 2, next: true, weak: true }],
  ])('%s', (name, size) => {
    const report = explore(completionModel(production, size));
    expect(report.violation).toBeNull();
    tellSize(`write completion, ${name}`, report);
  });

  it.each<Fault>([
    'the worker lets go although an event came, and does not look',
    'what the worker was told is forgotten',
    'the listener takes no notice of the flags',
  ])('and would be caught where %s', (fault) => {
    const { violation } = explore(completionModel(production, { bytes: 2, next: true, fault }));
    expect(violation?.message).toMatch(/left|forgotten|never ends|for ever/);
  });

  it.each<[string, Mutation]>([
    [
      'the router leaves a writable socket alone',
      {
        file: 'listener/event-router',
        text: '? Routed.completes',
        becomes: '? Routed.nothing',
      },
    ],
    [
      'the router leaves no flags for the listener',
      {
        file: 'listener/event-router',
        text: 'if ((events & ~this.#bits.writable) === 0) return true;',
        becomes: 'return true;',
      },
    ],
    [
      'the router sets no flag for a worker that is letting go',
      {
        file: 'listener/event-router',
        text: 'if (this.#notice(slot, word, events)) return Routed.noticed;',
        becomes: 'return Routed.noticed;',
      },
    ],
  ])('and would be caught where %s', async (_, mutation) => {
    const code = await mutated(mutation);
    const { violation } = explore(completionModel(code, { bytes: 2, next: true }));
    expect(violation?.message).toMatch(/left|forgotten|never ends|for ever/);
  });
});
