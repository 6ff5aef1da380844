/**
 * One clock for all threads: milliseconds of CLOCK_MONOTONIC as a wrapping int32.
 *
 * Each thread's performance.now() starts at a time of its own, so it is tied once to process.hrtime,
 * which all threads share. Differences are taken with `| 0` and are right up to 24 days.
 */
import { performance } from 'node:perf_hooks';

const TRIES = 5;

/** The offset from the closest pair of readings: a thread may be interrupted between the two. */
function measureOffset(): number {
  let offset = 0;
  let closest = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < TRIES; tries++) {
    const before = performance.now();
    const [seconds, nanoseconds] = process.hrtime();
    const after = performance.now();
    if (after - before >= closest) continue;
    closest = after - before;
    offset = seconds * 1000 + nanoseconds / 1e6 - (before + after) / 2;
  }
  return offset;
}

const offsetMs = measureOffset();

/** Milliseconds with fraction, comparable between threads of this process. */
export const monotonicMs = (): number => performance.now() + offsetMs;

/** The same of a time taken with `performance.now()` before. */
export const monotonicOf = (performanceNow: number): number => performanceNow + offsetMs;

/** Back to this thread's `performance.now()`. */
export const performanceOf = (monotonic: number): number => monotonic - offsetMs;

/** The same as a wrapping int32, the form kept in the scoreboard. */
export const nowTicks = (): number => (performance.now() + offsetMs) | 0;

/** Milliseconds from `earlier` to `later`. */
export const elapsedTicks = (earlier: number, later: number): number => (later - earlier) | 0;

const DAY_MS = 24 * 3600 * 1000;

/**
 * Milliseconds since a moment that is past, 0 where another thread's clock was a little ahead: right up to 48
 * days. For what may be older than the 24 days of `elapsedTicks`: a life, an upgraded connection, the last event
 * of a kind. Older still, it begins anew.
 */
export function agedTicks(past: number, now: number): number {
  const elapsed = elapsedTicks(past, now);
  if (elapsed >= 0) return elapsed;
  return elapsed > -DAY_MS ? 0 : elapsed + 2 ** 32;
}

/** Milliseconds until a moment that is a day away at most; 0: it is past. */
export function untilTicks(moment: number, now: number): number {
  const left = elapsedTicks(now, moment);
  return left > 0 && left <= DAY_MS ? left : 0;
}

/** Ticks of a time taken with `performance.now()` before. */
export const ticksOf = (performanceNow: number): number => (performanceNow + offsetMs) | 0;

/** Microseconds of a time taken with `performance.now()` before. */
export const microsecondsOf = (performanceNow: number): number =>
  ((performanceNow + offsetMs) * 1000) | 0;

/** Microseconds as a wrapping int32; differences are right up to 35 minutes. */
export const nowMicroseconds = (): number => ((performance.now() + offsetMs) * 1000) | 0;
