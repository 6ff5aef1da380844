// Bytes that nobody can guess and everybody can make again.

/** Bytes of a xorshift generator (Marsaglia, "Xorshift RNGs", 2003): no page is like another. */
export function seededBytes(length, seed) {
  const words = new Uint32Array(Math.ceil(length / 4));
  let x = seed | 0 || 1; // 0 would stay 0
  for (let index = 0; index < words.length; index++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[index] = x;
  }
  return Buffer.from(words.buffer, 0, length);
}
