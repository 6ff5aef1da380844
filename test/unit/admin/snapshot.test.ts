// Snapshots of a scoreboard whose fields are set by hand, and of one that another thread changes.
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { ChildStatus, CloseReason } from '../../../src/scoreboard/codes.ts';
import { CHILD, HEADER, SLOT } from '../../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { connectionRows, takeSnapshot } from '../../../src/scoreboard/snapshot.ts';
import { ConnectionEvent, ConnectionState } from '../../../src/scoreboard/states.ts';
import { OWNER_SHIFT } from '../../../src/scoreboard/transition.ts';

const create = (connectionSlots = 64) =>
  Scoreboard.create({ connectionSlots, childSlots: 8, bufferBytes: 4096 });

function addChild(board: Scoreboard, slot: number, status: ChildStatus, idle = false): void {
  board.setChild(slot, CHILD.status, status);
  board.setChild(slot, CHILD.life, slot + 100);
  if (idle) board.idle.add(slot);
}

function setDouble(board: Scoreboard, child: number, field: { offset: number }, value: number) {
  board.doubles[((board.childIndex(child) * 4 + field.offset) >> 3) as number] = value;
}

describe('takeSnapshot', () => {
  it('knows workers by status and idle bitmap', () => {
    const board = create();
    addChild(board, 0, ChildStatus.ready, true);
    addChild(board, 1, ChildStatus.ready);
    addChild(board, 2, ChildStatus.starting);
    addChild(board, 3, ChildStatus.draining);
    addChild(board, 4, ChildStatus.wantsRetire);
    addChild(board, 5, ChildStatus.ended);
    const { workers, children } = takeSnapshot(board);
    expect(workers).toEqual({ empty: 2, starting: 1, idle: 1, busy: 2, draining: 2 });
    expect(children[4]).toMatchObject({ life: 104, state: 'busy', wantsRetire: true });
    expect(children[7]).toMatchObject({ life: 0, state: 'empty', ageMs: 0 });
  });

  it('adds counters up over all slots, also those without a child', () => {
    const board = create();
    addChild(board, 0, ChildStatus.ready);
    setDouble(board, 0, CHILD.requests, 10);
    setDouble(board, 6, CHILD.requests, 5);
    setDouble(board, 6, { offset: CHILD.durations.offset + 8 * 14 }, 3);
    setDouble(board, 6, { offset: CHILD.statuses.offset + 8 }, 5);
    const { totals, children } = takeSnapshot(board);
    expect(totals.requests).toBe(15);
    expect(totals.durations).toEqual([...new Array(14).fill(0), 3]);
    expect(totals.statuses).toEqual([0, 5, 0, 0, 0]);
    expect(children[6]?.counters.requests).toBe(5);
  });

  it('reads the header', () => {
    const board = create();
    board.setHeader(HEADER.phase.offset, 1);
    board.setHeader(HEADER.accepting.offset, 1);
    board.count(HEADER.accepted, 7);
    board.count(HEADER.closed, 2, CloseReason.shed);
    board.queue.push(3);
    board.freeBuffers.takeLowest();
    board.freeBuffers.takeLowest();
    board.setChild(0, CHILD.spareBuffer0, 1);
    expect(takeSnapshot(board)).toMatchObject({
      phase: 'running',
      accepting: true,
      accepted: 7,
      closed: { shed: 2, peer: 0 },
      queueLength: 1,
      buffers: { free: 64 + 16 - 2, spare: 1, used: 1 },
    });
  });

  it('states sum to the total while another thread changes them', async () => {
    const slots = 2000;
    const board = create(slots);
    board.setHeader(HEADER.slotWatermark.offset, slots);
    const stop = new Int32Array(new SharedArrayBuffer(8));
    const worker = new Worker(
      `const { words, indices, stop } = require('node:worker_threads').workerData;
       for (let turn = 0; Atomics.load(stop, 0) === 0; turn++) {
         for (const [slot, index] of indices.entries()) {
           Atomics.store(words, index, (turn * 7 + slot) % 11);
         }
         Atomics.store(stop, 1, turn + 1);
       }`,
      {
        eval: true,
        workerData: {
          words: board.words,
          indices: Array.from({ length: slots }, (_, slot) => board.slotIndex(slot)),
          stop,
        },
      },
    );
    const totals = new Set<number>();
    try {
      await expect.poll(() => Atomics.load(stop, 1), { timeout: 10_000 }).toBeGreaterThan(0);
      for (const end = performance.now() + 300; performance.now() < end; ) {
        const { connections, connectionsTotal } = takeSnapshot(board);
        const sum = Object.values(connections).reduce((all, count) => all + count, 0);
        expect(sum).toBe(connectionsTotal);
        expect(sum).toBeLessThanOrEqual(slots);
        totals.add(sum);
      }
    } finally {
      Atomics.store(stop, 0, 1);
      await worker.terminate();
    }
    // It did change.
    expect(totals.size).toBeGreaterThan(1);
  });
});

describe('connectionRows', () => {
  const accept = (board: Scoreboard, slot: number) => {
    board.setHeader(HEADER.slotWatermark.offset, slot + 1);
    board.move(slot, board.word(slot), ConnectionEvent.accept);
  };

  it('has one row for each slot in use, up to the limit', () => {
    const board = create();
    for (let slot = 0; slot < 5; slot++) accept(board, slot);
    board.move(1, board.word(1), ConnectionEvent.readable);
    board.move(1, board.word(1), ConnectionEvent.claim, 6);
    board.move(2, board.word(2), ConnectionEvent.peerGone);
    board.move(2, board.word(2), ConnectionEvent.reclaimed);
    const rows = connectionRows(board, 3);
    expect(rows.map(({ slot, state, owner }) => [slot, state, owner])).toEqual([
      [0, 'waitRequest', -1],
      [1, 'processing', 6],
      [3, 'waitRequest', -1],
    ]);
    expect(takeSnapshot(board).connectionsTotal).toBe(4);
  });

  it('carries peer, ages, requests and bytes', () => {
    const board = create();
    accept(board, 0);
    const at = board.slotIndex(0) * 4;
    board.setSlot(0, SLOT.peerFamily, 2);
    board.setSlot(0, SLOT.peerPort, 54321);
    board.bytes.set([192, 0, 2, 7], at + SLOT.peerAddress.offset);
    board.setSlot(0, SLOT.acceptedTicks, 1000);
    board.setSlot(0, SLOT.sinceTicks, 4000);
    board.setSlot(0, SLOT.requests, 9);
    board.setSlot(0, SLOT.lastChild, 3);
    board.doubles[(at + SLOT.sentBytes.offset) >> 3] = 2 ** 40;
    const [row] = connectionRows(board, 1, 4500);
    expect(row).toMatchObject({
      peerPort: 54321,
      ageMs: 500,
      connectedMs: 3500,
      requests: 9,
      lastChild: 2,
      sentBytes: 2 ** 40,
    });
    expect([...(row?.peer.subarray(8, 12) ?? [])]).toEqual([192, 0, 2, 7]);
  });

  it('never mixes two owners in one row', async () => {
    const board = create(4);
    board.setHeader(HEADER.slotWatermark.offset, 4);
    const stop = new Int32Array(new SharedArrayBuffer(8));
    // Each owner claims, raises the sequence, writes, and releases: all of a row's fields carry the
    // number of its owner. Only rows that wait are compared: while processing they are in the middle.
    const worker = new Worker(
      `const { words, first, stride, fields, states, stop } = require('node:worker_threads').workerData;
       for (let turn = 1; Atomics.load(stop, 0) === 0; turn++) {
         for (let slot = 0; slot < 4; slot++) {
           const at = first + slot * stride;
           Atomics.store(words, at, states.processing);
           words[at + 2] = (words[at + 2] + 1) | 0;
           for (const field of fields) words[at + field] = turn & 0xffff;
           Atomics.store(words, at, states.keepalive);
         }
         Atomics.store(stop, 1, turn & 0x7fffffff);
       }`,
      {
        eval: true,
        workerData: {
          words: board.words,
          first: board.slotIndex(0),
          stride: board.slotIndex(1) - board.slotIndex(0),
          fields: [SLOT.peerPort, SLOT.requests, SLOT.lastChild].map(({ offset }) => offset >> 2),
          states: {
            processing: ConnectionState.processing | (1 << OWNER_SHIFT),
            keepalive: ConnectionState.keepalive,
          },
          stop,
        },
      },
    );
    let compared = 0;
    const seen = new Set<number>();
    try {
      await expect.poll(() => Atomics.load(stop, 1), { timeout: 10_000 }).toBeGreaterThan(0);
      for (const end = performance.now() + 300; performance.now() < end; ) {
        for (const row of connectionRows(board, 4)) {
          if (row.state !== 'keepalive') continue;
          expect([row.requests, row.lastChild + 1]).toEqual([row.peerPort, row.peerPort]);
          compared++;
          seen.add(row.peerPort);
        }
      }
    } finally {
      Atomics.store(stop, 0, 1);
      await worker.terminate();
    }
    expect(compared).toBeGreaterThan(0);
    expect(seen.size).toBeGreaterThan(1);
  });
});
