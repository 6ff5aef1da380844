/**
 * Counting requests whose last byte has left (end-of-request).
 *
 * Role: the counters of one record, a child's or the listener's. One writer each; they add up across
 * the children that held a slot.
 * Thread: the record's writer; readers may be any thread and see each number whole.
 */
import { CHILD, DURATION_BUCKETS_MS } from './layout.ts';
import type { Scoreboard } from './scoreboard.ts';

/** For `countRequest`: extendedStatus is off. */
export const NO_SERIES = -1;

/**
 * Counts one request.
 * @param child record of the writer: a child slot, or `listenerCounters`
 * @param series see `RouteSeries.seriesOf`
 */
export function countRequest(
  board: Scoreboard,
  child: number,
  status: number,
  durationMs: number,
  series: number,
): void {
  const { doubles } = board;
  const base = board.childIndex(child) >> 1;
  const add = (field: { readonly offset: number }, entry: number, amount: number): void => {
    const index = base + (field.offset >> 3) + entry;
    doubles[index] = (doubles[index] as number) + amount;
  };
  add(CHILD.requests, 0, 1);
  add(CHILD.durationMs, 0, durationMs);
  const statusClass = Math.floor(status / 100) - 1;
  if (statusClass >= 0 && statusClass < 5) add(CHILD.statuses, statusClass, 1);
  const bucket = bucketOf(durationMs);
  add(CHILD.durations, bucket, 1);
  if (series !== NO_SERIES) board.series?.count(child, series, bucket, durationMs);
}

/** Index of the first bucket whose upper bound is not below. */
export function bucketOf(durationMs: number): number {
  let bucket = 0;
  while (
    bucket < DURATION_BUCKETS_MS.length &&
    durationMs > (DURATION_BUCKETS_MS[bucket] as number)
  ) {
    bucket++;
  }
  return bucket;
}
