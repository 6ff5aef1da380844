// A connection's whole life over production transitions, ring, waking and hand-back: accepted, readable,
// queued, claimed, released, lingering, closed.
import { describe, expect, it, vi } from 'vitest';

import {
  client,
  type Fault,
  listener,
  nothingIsLeft,
  worker,
} from '../support/connection-drivers.ts';
import { explore, type Model, tellSize } from '../support/explorer.ts';
import { ModelBoard } from '../support/model-board.ts';
import { type Code, type Mutation, mutated, production } from '../support/production-code.ts';

interface Life {
  readonly slots?: number;
  readonly workers?: number;
  /** Bytes, each a request, of each client. */
  readonly bytes?: number;
  /** Clients one after another on each slot. */
  readonly clients?: number;
  readonly sweeps?: number;
  /** The worker ends a connection with this request. */
  readonly lastRequest?: number;
  /** Workers ask the queue again instead of sleeping. */
  readonly polling?: boolean;
  /** Workers poll the request set themselves. */
  readonly leads?: boolean;
  /** The clients do not finish, they reset their connections. */
  readonly resets?: boolean;
  readonly weak?: boolean;
  readonly faults?: readonly Fault[];
}

function life(
  code: Code,
  {
    slots = 1,
    workers = 1,
    bytes = 1,
    clients = 1,
    sweeps = 0,
    lastRequest = 0,
    polling = false,
    leads = false,
    resets = false,
    weak = false,
    faults = [],
  }: Life,
): Model {
  const model = new ModelBoard(code, { slots, children: workers, ring: 2 * slots });
  const threads: Model['threads'][number][] = [listener(model, { clients, sweeps, faults })];
  for (let child = 0; child < workers; child++) {
    threads.push(worker(model, child, { lastRequest, polling, leads, resets, faults }));
  }
  for (let slot = 0; slot < slots; slot++) {
    for (let incarnation = 0; incarnation < clients; incarnation++) {
      threads.push(client(model, slot, { bytes, incarnation, resets }));
    }
  }
  const cutOff = sweeps > 0 || lastRequest > 0 || resets;
  return {
    memory: model.memory,
    threads,
    weak,
    guards: model.guards((child) => child + 1),
    observe: model.observe,
    final: nothingIsLeft(model, cutOff ? null : slots * clients * bytes),
  };
}

// Seconds of states, several times that beside other work.
vi.setConfig({ testTimeout: 120_000 });

describe('every request is served once and every connection closed once', () => {
  it.each<[string, Life]>([
    ['one worker, one connection, two requests', { bytes: 2 }],
    ['two workers, one connection', { workers: 2, bytes: 1 }],
    ['two workers that never sleep, two requests', { workers: 2, bytes: 2, polling: true }],
    ['one worker, two connections', { slots: 2 }],
    ['one worker, two connections on one slot, one after the other', { clients: 2 }],
    [
      'one worker that ends the connection with the first of two requests',
      { bytes: 2, lastRequest: 1 },
    ],
    ['two passes of the sweeper at any moment', { bytes: 1, sweeps: 2 }],
    ['a worker that leads, two requests', { bytes: 2, leads: true }],
    ['a leading worker that ends the connection', { bytes: 2, leads: true, lastRequest: 1 }],
    ['a leading worker and the sweeper', { leads: true, sweeps: 2 }],
    ['a client that resets its connection', { resets: true }],
    ['the same, two workers', { resets: true, workers: 2 }],
    ['the same, two requests', { resets: true, bytes: 2 }],
    ['the same, with a leading worker and the sweeper', { resets: true, leads: true, sweeps: 1 }],
    [
      'the same on one slot, one after the other, no request',
      { resets: true, clients: 2, bytes: 0 },
    ],
    ['delayed stores', { bytes: 2, weak: true }],
  ])('%s', (name, size) => {
    const report = explore(life(production, size));
    expect(report.violation).toBeNull();
    tellSize(`life, ${name}`, report);
  });
});

const fault = (name: Fault, size: Life, message: string): [string, Life, string] => [
  name,
  { ...size, faults: [name] },
  message,
];

describe('and would be caught where it was not', () => {
  it.each<[string, Life, string]>([
    fault('attend does not read again', { bytes: 2 }, 'stays in keepalive'),
    fault('the flags of a queued connection are not taken', {}, 'stays in keepalive'),
    fault('a claim that lost to a flag drops its ticket', {}, 'stays in queued'),
    fault('attend trusts a short read', { bytes: 2 }, 'stays in keepalive'),
    fault('wakes before it pushes', {}, 'a ticket waits in the queue'),
    fault('drains after going idle', {}, 'a ticket waits in the queue'),
    fault('closes at once and again at the end of the batch', {}, 'closed twice'),
    fault('hand-back begins after the pops', { slots: 2 }, 'a closing connection waits'),
    fault(
      'a close that lost is taken for one that moved',
      { bytes: 2, leads: true },
      'stays in keepalive',
    ),
    fault(
      'a lingering connection is drained before its flag is taken',
      { leads: true, bytes: 2, lastRequest: 1 },
      'stays in lingerNormal',
    ),
  ])('%s', (_, size, message) => {
    expect(explore(life(production, size)).violation?.message).toContain(message);
  });

  const transition = 'scoreboard/transition';
  const router = 'listener/event-router';
  it.each<[string, Life, Mutation, string]>([
    [
      'a state word is moved without comparing',
      { workers: 2, bytes: 2, polling: true },
      {
        file: transition,
        text: 'Atomics.compareExchange(words, index, expected, next)',
        becomes: '(Atomics.store(words, index, next), expected)',
      },
      '',
    ],
    [
      'the incarnation stays the same',
      { clients: 2 },
      {
        file: transition,
        text: '(incarnationOf(word) + 1) << ',
        becomes: 'incarnationOf(word) << ',
      },
      '',
    ],
    [
      'notice sets no flag',
      { bytes: 2 },
      { file: transition, text: '(word & FLAGS_MASK) | flags', becomes: '(word & FLAGS_MASK)' },
      'stays in keepalive',
    ],
    [
      'the incarnation of an event is not compared',
      { clients: 2 },
      {
        file: router,
        text: 'if (incarnationOf(word) !== incarnation) return Routed.stale;',
        becomes: '',
      },
      'an event of an earlier connection',
    ],
    [
      'an event for an owned connection is thrown away',
      { bytes: 2 },
      {
        file: router,
        text: 'if (this.#notice(slot, word, events)) return Routed.noticed;',
        becomes: 'return Routed.noticed;',
      },
      'stays in keepalive',
    ],
    [
      'an end of stream that comes while queued is thrown away',
      {},
      {
        file: router,
        text: 'if ((events & this.#ends) === 0) return Routed.nothing;',
        becomes: 'return Routed.nothing;',
      },
      'stays in keepalive',
    ],
    [
      'a reset that comes while queued is thrown away',
      { resets: true },
      { file: router, text: 'const flags = FLAG_END | reset;', becomes: 'const flags = FLAG_END;' },
      'known to have left',
    ],
    [
      'a reset that comes with the request is thrown away',
      { resets: true },
      {
        file: router,
        text: 'const flags = this.#endFlag(events) | this.#resetFlag(events);',
        becomes: 'const flags = this.#endFlag(events);',
      },
      'known to have left',
    ],
    [
      'an end of stream that comes with the request is thrown away',
      {},
      {
        file: router,
        text: 'const flags = this.#endFlag(events) | this.#resetFlag(events);',
        becomes: 'const flags = this.#resetFlag(events);',
      },
      'stays in keepalive',
    ],
    [
      'a notice that lost is not tried again',
      { bytes: 2 },
      {
        file: router,
        text: 'if (this.#notice(slot, word, events)) return Routed.noticed;\n          continue;',
        becomes: 'this.#notice(slot, word, events);\n          return Routed.noticed;',
      },
      'stays in keepalive',
    ],
    [
      'a dispatch that lost is taken for one that moved',
      { bytes: 2, sweeps: 1, leads: true },
      {
        file: router,
        text: 'return board.move(slot, word, ConnectionEvent.readable, 0, flags) === Outcome.moved;',
        becomes: 'board.move(slot, word, ConnectionEvent.readable, 0, flags); return true;',
      },
      '',
    ],
    [
      'a release takes whatever flags there are along',
      { bytes: 2 },
      {
        file: 'workers/ownership',
        text: 'this.#board.move(this.slot, this.#word, event, this.#child, flags)',
        becomes:
          'this.#board.move(this.slot, this.#board.word(this.slot), event, this.#child, flags)',
      },
      'stays in keepalive',
    ],
  ])('%s', async (_, size, mutation, message) => {
    const { violation } = explore(life(await mutated(mutation), size));
    expect(violation?.message).toContain(message);
  });
});
