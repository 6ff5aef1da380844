// What all threads of the stress tests share: a seeded sequence, and sleeping with a deadline.

/** Marsaglia's xorshift32. */
export function randomOf(seed) {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Lets others run for a moment: the machine may have fewer cores than the test has threads. */
const nothing = new Int32Array(new SharedArrayBuffer(4));
export const yieldThread = () => Atomics.wait(nothing, 0, 0, 0.02);

/** An eventfd made of a word. */
export const signal = (words, index) => {
  Atomics.store(words, index, 1);
  Atomics.notify(words, index);
};
export const drain = (words, index) => Atomics.exchange(words, index, 0);
/** False where the word still had this value after so long. */
export const sleepWhile = (words, index, value, deadlineMs) =>
  Atomics.wait(words, index, value, deadlineMs) !== 'timed-out';
/** False where nobody signalled in time. */
export const sleep = (words, index, deadlineMs) => sleepWhile(words, index, 0, deadlineMs);
