/**
 * A set of small numbers in shared memory, one bit each, taken from either end.
 *
 * Role: which workers are idle; which connection buffers are free. Lowest first keeps the same few in
 * use, so that the others can be culled or stay untouched. There are no links between entries, so a
 * slow thread cannot be fooled by one that was taken and given back meanwhile (no ABA).
 * Thread: any; every bit is changed by an atomic operation.
 */
export class Bitmap {
  readonly #words: Int32Array;

  /** @param words the bitmap's own part of the scoreboard, `Bitmap.bytes(size)` long */
  constructor(words: Int32Array) {
    this.#words = words;
  }

  static bytes(size: number): number {
    return Math.ceil(size / 512) * 64;
  }

  add(number: number): void {
    Atomics.or(this.#words, number >>> 5, 1 << (number & 31));
  }

  /** True where the caller took it out; false where it was not in. */
  remove(number: number): boolean {
    const bit = 1 << (number & 31);
    return (Atomics.and(this.#words, number >>> 5, ~bit) & bit) !== 0;
  }

  has(number: number): boolean {
    return (Atomics.load(this.#words, number >>> 5) & (1 << (number & 31))) !== 0;
  }

  /** Takes the lowest number out, -1 where the set is empty. */
  takeLowest(): number {
    for (let index = 0; index < this.#words.length; index++) {
      const place = this.#take(index, lowestPlace);
      if (place >= 0) return index * 32 + place;
    }
    return -1;
  }

  /** Takes the highest number out, -1 where the set is empty. */
  takeHighest(): number {
    for (let index = this.#words.length - 1; index >= 0; index--) {
      const place = this.#take(index, highestPlace);
      if (place >= 0) return index * 32 + place;
    }
    return -1;
  }

  /** Takes a bit of one word out: its place, -1 where there is none. */
  #take(index: number, chosen: (word: number) => number): number {
    const words = this.#words;
    let word = Atomics.load(words, index);
    while (word !== 0) {
      const place = chosen(word);
      const bit = 1 << place;
      word = Atomics.and(words, index, ~bit);
      if ((word & bit) !== 0) return place;
      word &= ~bit;
    }
    return -1;
  }

  /** Puts 0 .. size - 1 in; once, before any other thread sees the memory. */
  fill(size: number): void {
    for (let number = 0; number < size; number++) {
      this.#words[number >>> 5] = (this.#words[number >>> 5] as number) | (1 << (number & 31));
    }
  }

  /** How many numbers are in; exact only while nobody moves. */
  get count(): number {
    let count = 0;
    for (let index = 0; index < this.#words.length; index++) {
      let word = Atomics.load(this.#words, index);
      while (word !== 0) {
        word &= word - 1;
        count++;
      }
    }
    return count;
  }
}

/** Of the bits of a word that is not 0. */
const highestPlace = (word: number): number => 31 - Math.clz32(word);
const lowestPlace = (word: number): number => highestPlace(word & -word);
