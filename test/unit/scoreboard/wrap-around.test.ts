// Counters that wrap: each begins right before its last value, and production code goes on across it.
import { describe, expect, it } from 'vitest';
import { EventRouter, Routed } from '../../../src/listener/event-router.ts';
import type { Native } from '../../../src/listener/native.ts';
import { SleepWatch } from '../../../src/listener/sleep-watch.ts';
import { readDeadlineMs } from '../../../src/listener/sweeper.ts';
import { agedTicks, untilTicks } from '../../../src/scoreboard/clock.ts';
import { ChildStatus, ReadPhase } from '../../../src/scoreboard/codes.ts';
import { CHILD, HEADER, SLOT } from '../../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { connectionAt, takeSnapshot } from '../../../src/scoreboard/snapshot.ts';
import { ConnectionEvent, ConnectionState } from '../../../src/scoreboard/states.ts';
import { incarnationOf, Outcome, stateOf } from '../../../src/scoreboard/transition.ts';
import type { WorkerContext } from '../../../src/workers/context.ts';
import { Ownership } from '../../../src/workers/ownership.ts';
import { RequestReader } from '../../../src/workers/request-reader.ts';

const DAY_MS = 24 * 3600 * 1000;
const INCARNATIONS = 16_384;
const BITS = { hangup: 1, endOfStream: 2, writable: 4 };

const newBoard = () => Scoreboard.create({ connectionSlots: 2, childSlots: 1, bufferBytes: 4096 });

/** A connection comes, is served once and goes, by the moves of its owners. */
function life(board: Scoreboard): void {
  const move = (event: keyof typeof ConnectionEvent) => {
    const outcome = board.move(0, board.word(0), ConnectionEvent[event], 0);
    if (outcome !== Outcome.moved) throw new Error(`${event} did not move`);
  };
  move('accept');
  move('readable');
  move('claim');
  const hold = new Ownership(board, {} as Native, 0);
  hold.take(0, board.word(0));
  if (!hold.release(ConnectionEvent.close, 0)) throw new Error('not released');
  move('reclaimed');
}

describe('the incarnation of a slot', () => {
  it('goes on with 0 after the last, and what belongs to an earlier one is stale', () => {
    const board = newBoard();
    for (let used = 0; used < INCARNATIONS - 1; used++) life(board);
    expect(incarnationOf(board.word(0))).toBe(INCARNATIONS - 1);
    board.move(0, board.word(0), ConnectionEvent.accept);
    const last = board.word(0);
    const router = new EventRouter(board, BITS, () => {});
    board.move(0, last, ConnectionEvent.peerGone);
    board.move(0, board.word(0), ConnectionEvent.reclaimed);
    expect(incarnationOf(board.word(0))).toBe(0);
    board.move(0, board.word(0), ConnectionEvent.accept);
    expect(board.move(0, last, ConnectionEvent.readable)).toBe(Outcome.stale);
    expect(router.route(0, INCARNATIONS - 1, 0)).toBe(Routed.stale);
    expect(router.route(0, 0, 0)).toBe(Routed.queued);
    expect(stateOf(board.word(0))).toBe(ConnectionState.queued);
  });
});

describe('the sequence of a slot', () => {
  it.each([0x7fff_ffff, -1])('passes %i, and rows are whole', (start) => {
    const board = newBoard();
    board.setHeader(HEADER.slotWatermark.offset, 1);
    board.setSlot(0, SLOT.sequence, start);
    life(board);
    expect(board.slot(0, SLOT.sequence)).toBe((start + 1) | 0);
    board.move(0, board.word(0), ConnectionEvent.accept);
    expect(connectionAt(board, 0)?.state).toBe('waitRequest');
  });
});

describe('turns of a worker', () => {
  it.each([0x7fff_ffff, -1])('pass %i, and a turn is still seen', (start) => {
    const board = newBoard();
    board.setChild(0, CHILD.status, ChildStatus.ready);
    board.queue.push(0);
    const signalled: number[] = [];
    const watch = new SleepWatch(board, (fd) => signalled.push(fd));
    for (let turn = 0; turn < 3; turn++) {
      board.setChild(0, CHILD.progress, (start + turn) | 0);
      watch.look();
    }
    expect(signalled).toEqual([]);
    watch.look();
    expect(signalled).toHaveLength(1);
  });
});

describe('ages and dates', () => {
  const ticks = (ms: number) => ms | 0;
  it.each([
    ['a moment ago', 5],
    ['24 days ago', 24 * DAY_MS],
    ['25 days ago', 25 * DAY_MS],
    ['48 days ago', 48 * DAY_MS],
  ])('%s', (_, ago) => {
    for (const now of [0, 2 ** 31 - 2, 2 ** 32 - 2]) {
      expect(agedTicks(ticks(now - ago), ticks(now))).toBe(ago);
    }
  });

  it('are 0 for what another thread has written just now', () => {
    expect(agedTicks(10, 5)).toBe(0);
  });

  it('a rest that was over 25 days ago is over', () => {
    expect(untilTicks(ticks(2 ** 31 + 3), ticks(2 ** 31 - 2))).toBe(5);
    expect(untilTicks(ticks(-25 * DAY_MS), 0)).toBe(0);
    expect(untilTicks(7, 7)).toBe(0);
  });

  it('a worker that has lived for 30 days is shown as that old', () => {
    const board = newBoard();
    board.setChild(0, CHILD.life, 1);
    board.setChild(0, CHILD.startedTicks, 0);
    expect(takeSnapshot(board, ticks(30 * DAY_MS)).children[0]?.ageMs).toBe(30 * DAY_MS);
  });
});

describe('figures of one life and of one connection', () => {
  it('pass 2^31', () => {
    const board = newBoard();
    board.setChild(0, CHILD.life, 1);
    board.setChild(0, CHILD.lifeRequests, (2 ** 31) | 0);
    expect(takeSnapshot(board).children[0]?.lifeRequests).toBe(2 ** 31);
    board.setHeader(HEADER.slotWatermark.offset, 1);
    board.move(0, board.word(0), ConnectionEvent.accept);
    board.setSlot(0, SLOT.requests, (2 ** 31) | 0);
    expect(connectionAt(board, 0)?.requests).toBe(2 ** 31);
  });
});

describe('an upload of more than 2 GiB', () => {
  it('keeps the time that its rate has earned', () => {
    const board = newBoard();
    const slotIndex = board.slotIndex(0);
    board.setSlot(0, SLOT.buffer, 1);
    board.setSlot(0, SLOT.readPhase, ReadPhase.stream);
    board.setSlot(0, SLOT.requestBytes, 2 ** 31 - 2);
    const reader = new RequestReader({
      board,
      native: { recv: () => 1000 },
      options: { limitRequestFields: 100, limitRequestFieldSize: 8190 },
      add: () => {},
      addToSlot: () => {},
      now: 0,
    } as unknown as WorkerContext);
    reader.load(slotIndex, 0);
    const body = { timeoutMs: 20_000, maxTimeoutMs: 0, minRateBytesPerSecond: 500 };
    const before = readDeadlineMs(body, board.slot(0, SLOT.requestBytes));
    expect(reader.receive()).toBe(1000);
    expect(readDeadlineMs(body, board.slot(0, SLOT.requestBytes))).toBeGreaterThanOrEqual(before);
  });
});
