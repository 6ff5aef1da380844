// Makes every call of the native part, rightly, again and again, in the main thread and in workers that come
// and go: what `npm run valgrind` looks at. Exits with 1 where a call fails or one is left out.
//   node .ci/native-calls.mjs [rounds] [workers]
import assert from 'node:assert/strict';

import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';

import { fileURLToPath } from 'node:url';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

const addon = createRequire(import.meta.url)('../build/Release/mpm.node');
const called = new Set();
const native = Object.fromEntries(
  Object.entries(addon).map(([name, value]) => [
    name,
    typeof value !== 'function'
      ? value
      : (...parameters) => {
          called.add(name);
          return value(...parameters);
        },
  ]),
);
/** A call that must do. */
const ok = (result) => {
  assert.ok(result >= 0, `errno ${-result}`);
  return result;
};
const again = -11;
const region = { board: 0, batch: 1, buffers: 2, accept: 5 };
const rounds = Number(isMainThread ? (process.argv[2] ?? 20) : workerData);
const workers = Number(process.argv[3] ?? 3);
const deadlineMs = 1_500_000;

const board = new Uint8Array(new SharedArrayBuffer(4 * native.slotBytes));
const words = new Int32Array(board.buffer);
const buffers = new Uint8Array(64 * 1024);
const offsets = new Uint32Array(4);

/** Settles at the first call of a watch; the watch has ended then. */
const watched = (fd, readsBatch) =>
  new Promise((resolve) => {
    let calls = 0;
    const watch = ok(
      native.watch(fd, readsBatch, (count) => {
        if (calls++ === 0) return 1; // once more at once
        ok(native.pause(watch));
        ok(native.resume(watch));
        ok(native.unwatch(watch));
        resolve(count);
        return 0;
      }),
    );
  });

function accepted(listening) {
  offsets[0] = native.slotBytes;
  return native.accept(listening, region.accept, 1) === 1
    ? words[(native.slotBytes + native.slotFd) / 4]
    : null;
}

async function connections(set) {
  const listening = ok(native.listenTcp('127.0.0.1', 0, 16, 0));
  ok(native.adoptListening(listening));
  ok(native.localName(listening, region.buffers, 0));
  const port = new Int32Array(buffers.buffer, 4, 1)[0];
  const client = connect(port, '127.0.0.1');
  const arrived = [];
  client.on('data', (bytes) => arrived.push(bytes)).on('error', () => {});
  ok(native.epollAdd(set, listening, native.epollIn, 1, 0));
  await watched(set, 1);
  ok(native.unaccepted(listening));
  const fd = accepted(listening);
  assert.notEqual(fd, null);
  assert.equal(native.accept(listening, region.accept, 1), again);
  ok(native.epollModify(set, listening, native.epollIn | native.epollEdge, 1, 0));
  ok(native.epollDelete(set, listening));
  client.write('abcdef');
  await watched(fd, 0);
  assert.equal(native.readable(fd), 1);
  assert.equal(native.pending(fd), 1);
  assert.equal(native.recv(fd, region.buffers, 100, 2), 2);
  assert.equal(native.discard(fd, 4), 4);
  assert.equal(native.send(fd, region.buffers, 100, 2), 2);
  assert.equal(native.sendMore(fd, region.buffers, 100, 2), 2);
  assert.equal(native.sendPair(fd, region.buffers, 100, 2, Buffer.from('xyz'), 1), 4);
  const sent = 8 + files(fd);
  ok(native.unsent(fd));
  ok(native.shutdownWrite(fd));
  await new Promise((resolve) => client.once('end', resolve));
  assert.equal(Buffer.concat(arrived).length, sent);
  ok(native.resetOnClose(fd));
  ok(native.close(fd));
  ok(native.close(listening));
  client.destroy();
}

/** Bytes from files and pipes to a socket; how many. */
function files(fd) {
  const file = ok(native.temporaryFile(tmpdir()));
  ok(native.spill(Buffer.from('0123456789'), 2, file));
  const memory = ok(native.spill(Buffer.from('0123456789'), 0, -1));
  assert.equal(native.sendfile(fd, memory, 1, 9), 9);
  const known = native.cached(file, 0);
  assert.ok(known === 1 || known < 0);
  const ends = new Int32Array(2);
  ok(native.pipe(ends));
  const copy = ok(native.duplicate(file));
  ok(native.handOver(copy));
  ok(native.eventfdDrain(signalled()));
  assert.equal(native.sendfile(ends[1], file, 0, 8), 8);
  assert.equal(native.splice(ends[0], fd, 8), 8);
  for (const one of [file, copy, memory, ...ends]) ok(native.close(one));
  // Held by the environment, which closes it at its end.
  if (!isMainThread && held++ < 3) ok(native.duplicate(2));
  return 17;
}
let held = 0;

let eventfd = -1;
function signalled() {
  if (eventfd < 0) eventfd = ok(native.eventfdCreate());
  ok(native.eventfdSignal(eventfd));
  return eventfd;
}

async function all() {
  ok(native.attach(region.board, board));
  ok(native.attach(region.batch, new Uint8Array(native.maxBatch * native.ticketWords * 4)));
  ok(native.attach(region.buffers, buffers));
  ok(native.attach(region.accept, new Uint8Array(offsets.buffer)));
  const set = ok(native.epollCreate());
  assert.equal(native.epollWait(set), 0);
  for (let round = 0; round < rounds; round++) {
    await connections(set);
    // Attached again: the old memory is let go.
    ok(native.attach(region.buffers, buffers));
  }
  ok(native.setSlice(0));
  ok(native.setNice(0));
  assert.equal(native.notify('@hybrid-mpm-nobody', 'READY=1'), -111);
  ok(native.close(set));
  // A watch that is open when its environment ends goes with it.
  ok(native.watch(signalled(), 0, () => 0));
  const functions = Object.keys(addon).filter((name) => typeof addon[name] === 'function');
  assert.deepEqual([...called].sort(), functions.sort());
}

const guard = setTimeout(() => {
  console.error(`native-calls: not done after ${deadlineMs / 1000} s`);
  process.exit(1);
}, deadlineMs);
await all();
if (isMainThread) {
  for (let life = 0; life < workers; life++) {
    const worker = new Worker(fileURLToPath(import.meta.url), {
      workerData: Math.ceil(rounds / 4),
    });
    const code = await new Promise((resolve) => worker.once('exit', resolve));
    assert.equal(code, 0);
  }
  console.log(`every call, ${rounds} rounds and ${workers} workers`);
}
clearTimeout(guard);
process.exit();
