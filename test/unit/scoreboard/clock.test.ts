// One clock for all threads: times written by one are compared by another.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import {
  elapsedTicks,
  monotonicMs,
  nowMicroseconds,
  nowTicks,
} from '../../../src/scoreboard/clock.ts';

const CLOCK = new URL('../../../dist/scoreboard/clock.js', import.meta.url);
/** A thread ties its clock once; what it may be off by if it lost its processor just then. */
const TOLERANCE_MS = 10;

/** The time in a new thread, between two times in this one. */
async function timeInThread(): Promise<[number, number, number]> {
  if (!existsSync(fileURLToPath(CLOCK))) throw new Error('dist is missing: npm run build:ts');
  const source = `
    import { parentPort } from 'node:worker_threads';
    import { monotonicMs } from ${JSON.stringify(CLOCK.href)};
    parentPort.on('message', () => parentPort.postMessage(monotonicMs()));
    parentPort.postMessage('ready');`;
  const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
  const thread = new Worker(url);
  const next = () =>
    new Promise<unknown>((resolve, reject) => {
      thread.once('message', resolve);
      thread.once('error', reject);
    });
  try {
    await next();
    const before = monotonicMs();
    const answer = next();
    thread.postMessage('now');
    const there = (await answer) as number;
    return [before, there, monotonicMs()];
  } finally {
    await thread.terminate();
  }
}

describe('the clock', () => {
  it('is the same in threads that started at different times', async () => {
    for (let thread = 0; thread < 3; thread++) {
      const [before, there, after] = await timeInThread();
      expect(there).toBeGreaterThanOrEqual(before - TOLERANCE_MS);
      expect(there).toBeLessThanOrEqual(after + TOLERANCE_MS);
    }
  });

  it('is the monotonic clock of the system', () => {
    const [seconds, nanoseconds] = process.hrtime();
    expect(Math.abs(monotonicMs() - (seconds * 1000 + nanoseconds / 1e6))).toBeLessThan(
      TOLERANCE_MS,
    );
  });

  it('is kept as whole milliseconds and microseconds that wrap', () => {
    const milliseconds = monotonicMs();
    expect(elapsedTicks(milliseconds | 0, nowTicks())).toBeLessThanOrEqual(TOLERANCE_MS);
    expect(elapsedTicks(milliseconds | 0, nowTicks())).toBeGreaterThanOrEqual(0);
    const passed = (nowMicroseconds() - ((milliseconds * 1000) | 0)) | 0;
    expect(passed).toBeGreaterThanOrEqual(0);
    expect(passed).toBeLessThanOrEqual(TOLERANCE_MS * 1000);
  });

  it.each([
    ['later', 100, 350, 250],
    ['earlier', 350, 100, -250],
    ['past 2^31', 0x7fff_fff0, -0x7fff_fff0, 32],
    ['past 2^32', -16, 16, 32],
  ])('measures across the wrap: %s', (_, from, to, elapsed) => {
    expect(elapsedTicks(from, to)).toBe(elapsed);
  });
});
