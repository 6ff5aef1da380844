// Takes numbers out of a set, holds them for a moment, puts them back.
import { parentPort, workerData } from 'node:worker_threads';
import { Bitmap } from '../../../dist/scoreboard/bitmap.js';
import { randomOf, yieldThread } from './common.mjs';

const { number, size, rounds, seed } = workerData;
const bitmap = new Bitmap(new Int32Array(workerData.bitmap));
/** Who holds each number, thread + 1. */
const holders = new Int32Array(workerData.holders);
const random = randomOf(seed * 31 + number);
const counts = { taken: 0, none: 0, heldByTwo: 0, outside: 0 };
const held = [];
for (let round = 0; round < rounds; round++) {
  if (held.length > 0 && random(2) === 0) {
    const back = held.splice(random(held.length), 1)[0];
    if (Atomics.exchange(holders, back, 0) !== number + 1) counts.heldByTwo++;
    bitmap.add(back);
    continue;
  }
  const wanted = random(size);
  const took = random(3) > 0 ? bitmap.takeLowest() : bitmap.remove(wanted) ? wanted : -1;
  if (took < 0) {
    counts.none++;
  } else if (took >= size) {
    counts.outside++;
  } else {
    counts.taken++;
    if (Atomics.compareExchange(holders, took, 0, number + 1) !== 0) counts.heldByTwo++;
    held.push(took);
  }
  if (random(2048) === 0) yieldThread();
}
for (const back of held) {
  if (Atomics.exchange(holders, back, 0) !== number + 1) counts.heldByTwo++;
  bitmap.add(back);
}
parentPort.postMessage(counts);
