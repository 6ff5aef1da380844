// Rates, quantiles and series out of samples.
import { describe, expect, it } from 'vitest';
import { HISTORY_SECONDS, History, quantile, sampleOf } from '../../../src/main/admin/history.ts';
import { ExitReason } from '../../../src/scoreboard/codes.ts';
import { DURATION_BUCKETS_MS, HEADER } from '../../../src/scoreboard/layout.ts';
import { takeSnapshot } from '../../../src/scoreboard/snapshot.ts';
import { emptyBoard } from '../../support/status-view.ts';

const buckets = (counts: Readonly<Record<number, number>>): number[] =>
  Array.from({ length: DURATION_BUCKETS_MS.length + 1 }, (_, bucket) => counts[bucket] ?? 0);

describe('quantile', () => {
  it('lies within its bucket, as histogram_quantile has it', () => {
    expect(quantile(buckets({}), 0.5)).toBeNull();
    // All in 0 .. 0.5 ms: the middle of it.
    expect(quantile(buckets({ 0: 10 }), 0.5)).toBeCloseTo(0.25);
    // Half below 0.5 ms, half in 5 .. 10 ms.
    expect(quantile(buckets({ 0: 50, 4: 50 }), 0.99)).toBeCloseTo(9.9);
    expect(quantile(buckets({ 0: 50, 4: 50 }), 0.5)).toBeCloseTo(0.5);
  });

  it('is the last bound where requests took longer than all of them', () => {
    expect(quantile(buckets({ 14: 3 }), 0.5)).toBe(10_000);
  });
});

describe('History', () => {
  const empty = sampleOf(takeSnapshot(emptyBoard()), 0);

  it('divides by the time that passed, not by the time asked for', () => {
    const history = new History();
    history.add({ ...empty, atMs: 0 });
    history.add({ ...empty, atMs: 1_000, requests: 10 });
    history.add({ ...empty, atMs: 2_000, requests: 40, sentBytes: 500 });
    const now = { ...empty, atMs: 2_000, requests: 40, sentBytes: 500 };
    expect(history.rates(now, 1)).toMatchObject({ requestsPerSecond: 30, sentBytesPerSecond: 500 });
    // Only two seconds are known of.
    expect(history.rates(now, 60)).toMatchObject({ seconds: 60, requestsPerSecond: 20 });
  });

  it('says 0 and null before there is anything to compare', () => {
    expect(new History().rates(empty, 10)).toMatchObject({ requestsPerSecond: 0 });
    expect(new History().latency(empty, 10)).toMatchObject({ requests: 0, p99Ms: null });
    expect(new History().meanQueueWaitMs(empty, 10)).toBeNull();
    expect(new History().lastExit).toBeNull();
  });

  it('keeps two minutes', () => {
    const history = new History();
    for (let second = 0; second < 500; second++) {
      history.add({ ...empty, atMs: second * 1_000, requests: second * second });
    }
    const { requestsPerSecond, connections } = history.series();
    expect(requestsPerSecond).toHaveLength(HISTORY_SECONDS);
    expect(requestsPerSecond.at(-1)).toBe(499 ** 2 - 498 ** 2);
    expect(connections).toHaveLength(HISTORY_SECONDS);
  });

  it('tells requests of the window from those before', () => {
    const history = new History();
    history.add({ ...empty, durations: buckets({ 13: 1_000 }) });
    const now = { ...empty, atMs: 10_000, durations: buckets({ 13: 1_000, 0: 10 }) };
    expect(history.latency(now, 10)).toMatchObject({ requests: 10, p50Ms: 0.25 });
  });

  it('knows why a child ended last, and when', () => {
    const board = emptyBoard();
    const history = new History();
    history.add(sampleOf(takeSnapshot(board), 1_000));
    board.count(HEADER.childExits, 1, ExitReason.maxConnections);
    history.add(sampleOf(takeSnapshot(board), 2_000));
    history.add(sampleOf(takeSnapshot(board), 3_000));
    expect(history.lastExit).toEqual({ reason: 'maxConnections', atMs: 2_000 });
  });
});
