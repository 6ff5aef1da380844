// A connection's whole life over production transitions, ring, waking and hand-back: accepted, readable,
// queued, claimed, released, lingering, closed.
import { describe, expect, it } from 'vitest';
import {
  client,
  type Fault,
  listener,
  nothingIsLeft,
  worker,
} from '../support/connection-drivers.ts';
import { explore, type Model } from '../support/explorer.ts';
import { ModelBoard } from '../support/model-board.ts';
import { type Code, type Mutation, mutated, production } from '../support/scoreboard-code.ts';

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
    weak = false,
    faults = [],
  }: Life,
): Model {
  const model = new ModelBoard(code, { slots, children: workers });
  const threads: Model['threads'][number][] = [listener(model, { clients, sweeps, faults })];
  for (let child = 0; child < workers; child++) {
    threads.push(worker(model, child, { lastRequest, polling, faults }));
  }
  for (let slot = 0; slot < slots; slot++) {
    for (let incarnation = 0; incarnation < clients; incarnation++) {
      threads.push(client(model, slot, { bytes, incarnation }));
    }
  }
  const cutOff = sweeps > 0 || lastRequest > 0;
  return {
    memory: model.memory,
    threads,
    weak,
    observe: model.observe,
    final: nothingIsLeft(model, cutOff ? null : slots * clients * bytes),
  };
}

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
    ['delayed stores', { bytes: 2, weak: true }],
  ])('%s', (name, size) => {
    const began = performance.now();
    const report = explore(life(production, size));
    console.info(
      `life, ${name}:`,
      JSON.stringify({ ...report, violation: undefined }),
      performance.now() - began,
    );
    expect(report.violation).toBeNull();
  });
});

const faulty = (fault: Fault, size: Life = {}): [string, Life, string, Mutation[]] => [
  fault,
  { ...size, faults: [fault] },
  '',
  [],
];

describe('and would be caught where it was not', () => {
  it.each<[string, Life, string, Mutation[]]>([
    faulty('incarnation is not compared', { clients: 2 }),
    faulty('notice is left out', { bytes: 2 }),
    faulty('release ignores flags', { bytes: 2 }),
    faulty('attend does not read again', { bytes: 2 }),
    faulty('end of stream is dropped while queued'),
    faulty('attend trusts a short read', { bytes: 2 }),
    faulty('wakes before it pushes'),
    faulty('drains after going idle'),
    faulty('closes at once and again at the end of the batch'),
    faulty('hand-back begins after the pops', { slots: 2 }),
    faulty('the sweeper does not look at the outcome', { sweeps: 2 }),
  ])('%s', async (_, size, message, mutations) => {
    const report = explore(
      life(mutations.length > 0 ? await mutated(...mutations) : production, size),
    );
    console.info(_, report.states, report.violation?.message);
    expect(report.violation?.message).toContain(message);
  });
});
