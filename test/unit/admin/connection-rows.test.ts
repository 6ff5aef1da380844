// Finding connections: filters, order and limit over all of them, rows of those that are shown.
import { describe, expect, it } from 'vitest';
import {
  CONNECTION_SORTS,
  type ConnectionQuery,
  findConnections,
} from '../../../src/scoreboard/connection-rows.ts';
import { HEADER, SLOT } from '../../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { ConnectionEvent } from '../../../src/scoreboard/states.ts';

const NOW = 100_000;
const E = ConnectionEvent;

function create(connectionSlots: number): Scoreboard {
  const board = Scoreboard.create({ connectionSlots, childSlots: 8, bufferBytes: 64 }, false, true);
  board.setHeader(HEADER.slotWatermark.offset, connectionSlots);
  return board;
}

interface Made {
  readonly events?: readonly ConnectionEvent[];
  readonly child?: number;
  readonly age?: number;
  readonly connected?: number;
  readonly requests?: number;
  readonly bytes?: number;
  readonly peer?: readonly number[];
}

function connection(board: Scoreboard, slot: number, made: Made = {}): void {
  for (const event of [E.accept, ...(made.events ?? [])]) {
    board.move(slot, board.word(slot), event, made.child ?? 0);
  }
  board.setSlot(slot, SLOT.lastChild, (made.child ?? -1) + 1);
  board.setSlot(slot, SLOT.sinceTicks, NOW - (made.age ?? 0));
  board.setSlot(slot, SLOT.acceptedTicks, NOW - (made.connected ?? 0));
  board.setSlot(slot, SLOT.requests, made.requests ?? 0);
  board.setSlotDouble(slot, SLOT.sentBytes, made.bytes ?? 0);
  board.bytes.set(made.peer ?? [127, 0, 0, 1], board.slotIndex(slot) * 4 + SLOT.peerAddress.offset);
}

const KEPT = [E.readable, E.claim, E.responseSent];
const small = () => {
  const board = create(8);
  connection(board, 0, {
    events: KEPT,
    child: 2,
    age: 300,
    requests: 5,
    bytes: 10,
    connected: 900,
  });
  connection(board, 1, { events: [E.readable, E.claim], child: 1, age: 5, requests: 1, bytes: 30 });
  connection(board, 2, { age: 50, bytes: 20, peer: [10, 1, 2, 3], connected: 50 });
  connection(board, 5, { events: KEPT, child: 1, age: 700, requests: 9, connected: 800 });
  return board;
};
const slots = (board: Scoreboard, query: Partial<ConnectionQuery> = {}) => {
  const { rows, matched, total } = findConnections(board, { limit: 100, ...query }, NOW);
  return { slots: rows.map(({ slot }) => slot), matched, total };
};

describe('findConnections', () => {
  it('shows all of them by slot where nothing is asked for', () => {
    expect(slots(small())).toEqual({ slots: [0, 1, 2, 5], matched: 4, total: 4 });
  });

  it.each([
    [{ states: ['keepalive'] as const }, [0, 5]],
    [{ states: ['waitRequest', 'processing'] as const }, [1, 2]],
    [{ states: [] }, []],
    [{ worker: 1 }, [1, 5]],
    [{ minAgeMs: 50 }, [0, 2, 5]],
    [{ minRequests: 5 }, [0, 5]],
    [{ minBytes: 20 }, [1, 2]],
    [{ matchesPeer: (peer: Uint8Array) => peer[8] === 10 }, [2]],
    [{ states: ['keepalive'] as const, worker: 1 }, [5]],
  ])('keeps to %j', (query, expected) => {
    const found = slots(small(), query as Partial<ConnectionQuery>);
    expect(found).toEqual({ slots: expected, matched: expected.length, total: 4 });
  });

  it.each([
    ['slot', [0, 1, 2, 5]],
    ['state', [2, 0, 5, 1]],
    ['worker', [2, 1, 5, 0]],
    ['age', [1, 2, 0, 5]],
    ['connected', [1, 2, 5, 0]],
    ['requests', [2, 1, 0, 5]],
    ['bytes', [5, 0, 2, 1]],
  ] as const)('sorts by %s', (sort, expected) => {
    expect(slots(small(), { sort }).slots).toEqual(expected);
    // Equal ones stay in the order of their slots.
    const down = slots(small(), { sort, descending: true }).slots;
    expect([...down].sort()).toEqual([...expected].sort());
    expect(down[0]).toBe(sort === 'state' ? 1 : expected.at(-1));
  });

  it('knows every order there is', () => {
    for (const sort of CONNECTION_SORTS) expect(slots(small(), { sort }).matched).toBe(4);
  });

  it('shows so many from an offset, and says how many there are', () => {
    const query = { sort: 'age', descending: true } as const;
    expect(slots(small(), { ...query, limit: 2 })).toEqual({ slots: [5, 0], matched: 4, total: 4 });
    expect(slots(small(), { ...query, limit: 2, offset: 2 }).slots).toEqual([2, 1]);
    expect(slots(small(), { ...query, limit: 0 }).slots).toEqual([]);
    expect(slots(small(), { ...query, offset: 9 }).slots).toEqual([]);
  });

  it('finds the few among 20,000 fast enough for a page that asks every second', () => {
    const board = create(20_000);
    for (let slot = 0; slot < 20_000; slot++) {
      connection(board, slot, { events: KEPT, child: slot % 8, age: (slot * 7919) % 20_000 });
    }
    const query = { states: ['keepalive'], sort: 'age', descending: true, limit: 50 } as const;
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 5; round++) {
      const began = performance.now();
      const { rows, matched } = findConnections(board, query, NOW);
      best = Math.min(best, performance.now() - began);
      expect([matched, rows.length, rows[0]?.ageMs]).toEqual([20_000, 50, 19_999]);
    }
    // About 10 ms; the bound for a whole scrape is 50.
    expect(best).toBeLessThan(50);
  });
});
