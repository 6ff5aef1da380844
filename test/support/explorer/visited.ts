/**
 * The states that were seen, each with its number.
 *
 * Role: a set of keys (short sequences of 16-bit numbers). `ExactStates` keeps the keys themselves;
 * `HashedStates` keeps 64 bits of hash of each in open addressing, 20 to 40 bytes a state.
 * Thread: tests only.
 *
 * With a hash two states are taken for one with a probability of about n * n / 2^65: one in 10^5 for 20
 * million states. Then a part of the states would not be seen; it cannot make a violation up.
 */

export interface Visited {
  readonly size: number;
  /** Number of this state, or -1 - number where it was not known and is now. */
  enter(key: Uint16Array, length: number): number;
}

export class ExactStates implements Visited {
  readonly #numbers = new Map<string, number>();

  get size(): number {
    return this.#numbers.size;
  }

  enter(key: Uint16Array, length: number): number {
    const text = String.fromCharCode.apply(
      null,
      key.subarray(0, length) as unknown as number[],
    ) as string;
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    this.#numbers.set(text, this.#numbers.size);
    return -this.#numbers.size;
  }
}

export class HashedStates implements Visited {
  #size = 0;
  #mask = (1 << 16) - 1;
  #low = new Int32Array(1 << 16);
  #high = new Int32Array(1 << 16);
  /** Number + 1, 0 where the place is free. */
  #number = new Int32Array(1 << 16);

  get size(): number {
    return this.#size;
  }

  enter(key: Uint16Array, length: number): number {
    // Two multiplicative hashes with their own constants, finished as MurmurHash3 does.
    let low = 0x2545f491;
    let high = 0x9e3779b9 | 0;
    for (let at = 0; at < length; at++) {
      const unit = key[at] as number;
      low = Math.imul(low ^ unit, 0x01000193);
      low ^= low >>> 15;
      high = Math.imul(((high << 13) | (high >>> 19)) + unit, 0x85ebca6b);
    }
    low = finish(low ^ length);
    high = finish(high ^ (length << 8));
    let at = low & this.#mask;
    for (; this.#number[at] !== 0; at = (at + 1) & this.#mask) {
      if (this.#low[at] === low && this.#high[at] === high) return (this.#number[at] as number) - 1;
    }
    this.#low[at] = low;
    this.#high[at] = high;
    this.#number[at] = ++this.#size;
    if (this.#size * 10 > this.#mask * 6) this.#grow();
    return -this.#size;
  }

  #grow(): void {
    const places = (this.#mask + 1) * 2;
    const [oldLow, oldHigh, oldNumber] = [this.#low, this.#high, this.#number];
    this.#mask = places - 1;
    this.#low = new Int32Array(places);
    this.#high = new Int32Array(places);
    this.#number = new Int32Array(places);
    for (let from = 0; from < oldNumber.length; from++) {
      if (oldNumber[from] === 0) continue;
      let at = (oldLow[from] as number) & this.#mask;
      while (this.#number[at] !== 0) at = (at + 1) & this.#mask;
      this.#low[at] = oldLow[from] as number;
      this.#high[at] = oldHigh[from] as number;
      this.#number[at] = oldNumber[from] as number;
    }
  }
}

function finish(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
