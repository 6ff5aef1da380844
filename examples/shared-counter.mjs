// State that must be one: requests are counted for all workers together, also while workers are replaced.
// hybrid-mpm serve examples/shared-counter.mjs
import { threadId } from 'node:worker_threads';
import { shared } from 'hybrid-mpm';

/** Requests of a client within a window; 1023 at most, see below. */
const LIMIT = Number(process.env.RATE_LIMIT ?? 100);
const WINDOW_MS = 10_000;
const BUCKETS = 4096;

const visits = new BigInt64Array(shared.buffer('visits', 8));
// A word a bucket: the number of its window in the upper 22 bits, the count in the lower 10.
const buckets = new Int32Array(shared.buffer('rate-limit', BUCKETS * 4));

const bucketOf = (address) => {
  let hash = 0;
  for (const character of address) hash = (hash * 31 + character.charCodeAt(0)) | 0;
  return (hash >>> 0) % BUCKETS;
};

/** Counts a request; false: it is one too many. Two workers may be here at the same time. */
function admits(address) {
  const index = bucketOf(address);
  const window = Math.floor(Date.now() / WINDOW_MS) & 0x3fffff;
  for (;;) {
    const word = Atomics.load(buckets, index);
    const count = word >>> 10 === window ? word & 1023 : 0;
    if (count >= LIMIT) return false;
    const next = (window << 10) | (count + 1);
    if (Atomics.compareExchange(buckets, index, word, next) === word) return true;
  }
}

export default {
  fetch(_request, { remoteAddress }) {
    if (!admits(remoteAddress)) return new Response('too many requests\n', { status: 429 });
    const visit = Number(Atomics.add(visits, 0, 1n)) + 1;
    return Response.json({ visit, worker: threadId });
  },
};
