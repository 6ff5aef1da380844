// The timer behind /timer: a chain of 10 ms timeouts and how late each came. It begins with the first
// question, so that it disturbs no other workload.
import { percentile } from '../lib/stats.mjs';

const periodMs = 10;
let late = [];
let started = false;

function startTimer() {
  started = true;
  const wait = () => {
    const due = performance.now() + periodMs;
    setTimeout(() => {
      late.push(Math.max(0, performance.now() - due));
      wait();
    }, periodMs);
  };
  wait();
}

/** What was measured since the last call, as JSON. */
export function takeLateness() {
  if (!started) startTimer();
  const sorted = late.sort((a, b) => a - b);
  late = [];
  return JSON.stringify({
    ticks: sorted.length,
    lateP50Ms: percentile(sorted, 50) ?? 0,
    lateP99Ms: percentile(sorted, 99) ?? 0,
    lateMaxMs: sorted.at(-1) ?? 0,
  });
}
