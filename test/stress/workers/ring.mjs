// A producer or consumer of the ticket ring.
import { parentPort, workerData } from 'node:worker_threads';
import { EMPTY, TicketRing } from '../../../dist/scoreboard/ticket-ring.js';
import { randomOf, yieldThread } from './common.mjs';

const { role, number, producers, each, capacity, seed } = workerData;
const ring = new TicketRing(new Int32Array(workerData.ring), capacity);
/** One bit for each ticket, and behind them how many were taken. */
const taken = new Int32Array(workerData.taken);
const takenCount = taken.length - 1;
const random = randomOf(seed * 31 + number);

const counts = { pushed: 0, popped: 0, twice: 0, disorder: 0, foreign: 0, full: 0, empty: 0 };
if (role === 'producer') {
  for (let ticket = 0; ticket < each; ) {
    if (ring.push(number * each + ticket)) {
      ticket++;
      counts.pushed++;
    } else {
      counts.full++;
      yieldThread();
    }
    if (random(4096) === 0) yieldThread();
  }
} else {
  const last = new Int32Array(producers).fill(-1);
  while (Atomics.load(taken, takenCount) < producers * each) {
    const ticket = ring.pop();
    if (ticket === EMPTY) {
      counts.empty++;
      yieldThread();
      continue;
    }
    counts.popped++;
    Atomics.add(taken, takenCount, 1);
    const producer = Math.floor(ticket / each);
    if (!(producer >= 0 && producer < producers)) {
      counts.foreign++;
      continue;
    }
    const bit = 1 << (ticket & 31);
    if ((Atomics.or(taken, ticket >>> 5, bit) & bit) !== 0) counts.twice++;
    if (ticket <= last[producer]) counts.disorder++;
    last[producer] = ticket;
    if (random(4096) === 0) yieldThread();
  }
}
parentPort.postMessage(counts);
