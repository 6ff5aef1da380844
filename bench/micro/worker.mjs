/**
 * Nanoseconds that a worker's own code takes for a small request, without the kernel's part: the
 * serving loop, leading, over a native part that has the same request ready on each connection at once.
 *
 * Usage: npm run build:ts && node bench/micro/worker.mjs [rounds] [batch] [off]
 * `batch` connections are ready at a time (16); `off`: without extendedStatus. DIST=folder: another
 * build. Prints the minimum and the median of the rounds: what else ran on the machine only ever adds.
 */

import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const DIST = process.env.DIST ?? join(ROOT, 'dist');
const ROUNDS = Number(process.argv[2] ?? 15);
const BATCH = Number(process.argv[3] ?? 16);
const EXTENDED = process.argv[4] !== 'off';
const CONNECTIONS = 64;
const REQUESTS = 200_000;

const load = (path) => import(pathToFileURL(join(DIST, path)).href);
const { Scoreboard } = await load('scoreboard/scoreboard.js');
const { CHILD, HEADER, SLOT } = await load('scoreboard/layout.js');
const { ConnectionEvent } = await load('scoreboard/states.js');
const { incarnationOf } = await load('scoreboard/transition.js');
const { ChildStatus, Phase } = await load('scoreboard/codes.js');
const { WorkerContext } = await load('workers/context.js');
const { ServingLoop } = await load('workers/serving-loop.js');
const { FetchHandler } = await load('workers/fetch/fetch-handler.js');
const { Response } = await load('main/index.js');

const head = Buffer.from('GET / HTTP/1.1\r\nHost: 127.0.0.1:18680\r\n\r\n', 'latin1');
const headers = { 'content-type': 'text/plain' };

let batch;
let buffers;
let out;
let next = 0;
let left = 0;
let served = 0;
const native = {
  epollIn: 1,
  epollOut: 4,
  epollErr: 8,
  epollHup: 16,
  epollRdHup: 0x2000,
  epollEdge: 1 << 31,
  familyIpv6: 10,
  attach(region, memory) {
    if (region === 1) batch = new Int32Array(memory.buffer, memory.byteOffset, memory.length >> 2);
    if (region === 2) buffers = memory;
    if (region === 3) out = memory;
    return 0;
  },
  watch: (fd) => fd,
  pause: () => 0,
  resume: () => 0,
  eventfdSignal: () => 0,
  eventfdDrain: () => 0,
  nice: () => 20,
  niceAndBack: () => 1,
  setSlice: () => 0,
  epollWait() {
    if (left <= 0) return 0;
    const count = Math.min(BATCH, left);
    for (let at = 0; at < count; at++) {
      batch[at * 3] = next;
      batch[at * 3 + 1] = incarnations[next];
      batch[at * 3 + 2] = 1;
      next = (next + 1) % CONNECTIONS;
    }
    left -= count;
    return count;
  },
  recv(_fd, _region, offset) {
    buffers.set(head, offset);
    return head.length;
  },
  send(_fd, _region, _offset, length) {
    served++;
    return length;
  },
};

const board = Scoreboard.create(
  { connectionSlots: CONNECTIONS, childSlots: 4, bufferBytes: 16_384 },
  false,
  EXTENDED,
);
board.setHeader(HEADER.phase.offset, Phase.running);
board.setHeader(HEADER.requestSet.offset, 3);
board.setHeader(HEADER.standbyLooks.offset, 1);
const incarnations = [];
for (let slot = 0; slot < CONNECTIONS; slot++) {
  board.setSlot(slot, SLOT.fd, 100 + slot);
  board.move(slot, board.word(slot), ConnectionEvent.accept);
  incarnations.push(incarnationOf(board.word(slot)));
}
board.setHeader(HEADER.slotWatermark.offset, CONNECTIONS);
const options = {
  limitRequestLine: 8190,
  limitRequestFieldSize: 8190,
  limitRequestFields: 100,
  limitRequestBody: 0,
  limitSpilledKb: 0,
  spill: null,
  keepAlive: true,
  maxKeepAliveRequests: 0,
  requestDeadlineMs: 0,
  server: '',
  directPolling: true,
  looksBeforeSleep: 0,
  indexes: false,
  maxOpenFiles: 0,
  accessLog: null,
  sendFileRoot: null,
  trustProxy: null,
  proxyProtocol: [],
  timeoutMs: 60_000,
  longHandlerNice: 0,
  gracefulShutdownTimeoutMs: 0,
  status: null,
};
const handler = new FetchHandler((request) => {
  if (request.url.indexOf('/burn?') >= 0) return new Response('no', { headers });
  return new Response('Hello, World!', { headers });
});
const context = new WorkerContext(board, native, 0, options, handler);
const loop = new ServingLoop(context, { wantsRetire() {}, ended() {} });
context.setWord(CHILD.status, ChildStatus.ready);

function round() {
  left = REQUESTS;
  served = 0;
  const began = process.hrtime.bigint();
  for (let turns = 0; served < REQUESTS; turns++) {
    if (turns > REQUESTS * 4) throw new Error(`stands still after ${served} requests`);
    loop.onSignal();
  }
  return Number(process.hrtime.bigint() - began) / REQUESTS;
}

loop.onSignal();
const rounds = [];
for (let index = 0; index < ROUNDS + 3; index++) {
  const ns = round();
  if (index >= 3) rounds.push(ns);
}
rounds.sort((a, b) => a - b);
const tail = out.latin1Slice(0, 60).replace(/\r\n/g, ' | ');
console.log(
  `${rounds[0].toFixed(0)} ns at least, ${rounds[ROUNDS >> 1].toFixed(0)} median; ${tail}...`,
);
