/** Descriptors that a thread has made go with it, unless it has handed them over. */
import { once } from 'node:events';
import { closeSync, fstatSync, readdirSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { fixture } from '../support/server-process.ts';

const descriptors = (): number => readdirSync('/proc/self/fd').length;

it('a worker that is ended in the middle of its work leaks none of its descriptors', async () => {
  const before = descriptors();
  for (let round = 0; round < 3; round++) {
    const worker = new Worker(fixture('held-descriptors.mjs'));
    const [given] = (await once(worker, 'message')) as [number];
    expect(descriptors()).toBeGreaterThan(before + 20);
    await worker.terminate();
    // What was handed over is still open, and somebody else's to close.
    expect(fstatSync(given).isDirectory()).toBe(false);
    closeSync(given);
    expect(descriptors()).toBeLessThanOrEqual(before);
  }
}, 20_000);
