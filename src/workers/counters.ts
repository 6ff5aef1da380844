/**
 * A worker's counters in its child slot: one writer each, added up across the children of a slot.
 *
 * Thread: one worker; readers may be any thread and see each number whole.
 */
import { CHILD, DURATION_BUCKETS_MS } from '../scoreboard/layout.ts';
import type { WorkerContext } from './context.ts';

/** Counts one request whose last byte has left. */
export function countRequest(context: WorkerContext, status: number, durationMs: number): void {
  const { doubles, words } = context.board;
  const base = context.childDoubles;
  const add = (field: { readonly offset: number }, entry: number, amount: number): void => {
    const index = base + (field.offset >> 3) + entry;
    doubles[index] = (doubles[index] as number) + amount;
  };
  add(CHILD.requests, 0, 1);
  add(CHILD.durationMs, 0, durationMs);
  const statusClass = Math.floor(status / 100) - 1;
  if (statusClass >= 0 && statusClass < 5) add(CHILD.statuses, statusClass, 1);
  add(CHILD.durations, bucketOf(durationMs), 1);
  const life = context.childIndex + (CHILD.lifeRequests.offset >> 2);
  words[life] = (words[life] as number) + 1;
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
