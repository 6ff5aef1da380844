/**
 * The one source of chance in a simulation: the same seed gives the same numbers on every machine.
 *
 * Role: sfc32 (C. Doty-Humphrey, PractRand), whose state is four int32.
 */
export class Random {
  #a = 0;
  #b = 0;
  #c = 0;
  #counter = 1;

  /** @param seed 0 .. 2^53 - 1 */
  constructor(seed: number) {
    this.#a = 0x9e3779b9 | 0;
    this.#b = seed | 0;
    this.#c = Math.floor(seed / 2 ** 32) | 0;
    for (let round = 0; round < 12; round++) this.next();
  }

  /** 0 .. 2^32 - 1. */
  next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** 0 .. `end` - 1. */
  below(end: number): number {
    return Math.floor((this.next() / 2 ** 32) * end);
  }

  /** `first` .. `last`, whole numbers. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  /** 0 .. 1, without 1. */
  fraction(): number {
    return this.next() / 2 ** 32;
  }

  chance(probability: number): boolean {
    return this.next() < probability * 2 ** 32;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  /** How many operations until the next of a rare event, at least 1; `mean` apart on average. */
  gap(mean: number): number {
    return 1 + Math.floor(-Math.log(1 - this.fraction()) * mean);
  }
}
