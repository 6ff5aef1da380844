// The CPU work behind /burn, the same for every server that runs JavaScript: a fixed number of
// steps, not a wait for the clock. A loop that watches the clock does less work the more
// processes share a core, and so flatters whoever runs many.
// Run as a program it measures this runtime and prints the steps per millisecond; the bench does
// that once and hands the figure to the servers in BENCH_BURN_PER_MS.
import { fileURLToPath } from 'node:url';

const assumedPerMs = 400_000;
const maxMs = 1000;
const stepsPerMs = Number(process.env.BENCH_BURN_PER_MS) || assumedPerMs;

function spin(steps) {
  let x = 1;
  for (let i = 0; i < steps; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
  }
  return x; // used by the caller, so that no compiler may drop the loop
}

/** Burns what is asked for in a path such as /burn?ms=20 and returns a body for the answer. */
export function burn(path) {
  const ms = Number(/[?&]ms=(\d+)/.exec(path)?.[1] ?? 0);
  return `burned ${spin(Math.min(ms, maxMs) * stepsPerMs) | 0}\n`;
}

function calibrate() {
  const steps = 2_000_000;
  let best = 0;
  // The fastest of many short trials: whatever else ran on the core made the others slower.
  for (let trial = 0; trial < 60; trial++) {
    const before = performance.now();
    spin(steps);
    best = Math.max(best, steps / (performance.now() - before));
  }
  return Math.round(best);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(calibrate());
