// Loaded by NODE_OPTIONS into every thread of the server: on SIGURG to its process each thread collects its
// garbage and says what its heap has free, and what objects are in it. A heap keeps what has been done with until it is full, which is many times what sessions cost and
// has nothing to do with how many there are.
import { getHeapCodeStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isMainThread } from 'node:worker_threads';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');
const channel = new BroadcastChannel('collect-garbage');
channel.onmessage = () => {
  collectGarbage();
  // The second time for what the first one had finalized.
  collectGarbage();
  const { heapTotal, heapUsed } = process.memoryUsage();
  // Functions are still being compiled, however long the warm-up; that has nothing to do with connections.
  const objects = heapUsed - getHeapCodeStatistics().code_and_metadata_size;
  process.stderr.write(
    `collected; free in the heap: ${heapTotal - heapUsed}; objects: ${objects}\n`,
  );
};
channel.unref();

if (isMainThread) {
  process.on('SIGURG', () => {
    channel.postMessage('now');
    channel.onmessage();
  });
}
