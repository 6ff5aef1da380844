// A thread with an access log: appends numbered lines as fast as it can, and takes its turn at the file.
import { parentPort, workerData } from 'node:worker_threads';
import { LogRings } from '../../../dist/scoreboard/log-rings.js';
import { LogWriter } from '../../../dist/workers/access-log/log-writer.js';
import { randomOf, yieldThread } from './common.mjs';

const { memory, count, number, lines, file, seed } = workerData;
const log = LogRings.attach(memory, count);
const random = randomOf(seed * 31 + number);
let asked = 0;
const writer = new LogWriter(log, number, file, () => asked++);
const counts = { appended: 0, asked: 0, performed: 0 };
for (let line = 0; line < lines; line++) {
  writer.append(`${number} ${line} ${'x'.repeat(random(200))}.\n`);
  counts.appended++;
  if (random(512) === 0) {
    writer.perform();
    counts.performed++;
  }
  if (random(1024) === 0) yieldThread();
}
counts.asked = asked;
writer.close();
parentPort.postMessage(counts);
