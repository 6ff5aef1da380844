// Numbers that a seed decides, so that two runs offer the same load in the same order.

/** xorshift32 (Marsaglia, 2003): 0 <= x < 1. */
export function seededRandom(seed) {
  let x = seed | 0 || 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}

export const below = (random, limit) => Math.floor(random() * limit);
