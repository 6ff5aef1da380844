/**
 * The memory of a model in its present state, what it was, and in what it differs from the first state.
 *
 * Role: sets a word and takes it back; gives each word's value as a small number for the state's key.
 * Thread: tests only.
 */
const MAX_VALUES = 0xfffe;

export class Words {
  readonly #words: Int32Array;
  readonly #initial: Int32Array;
  /** Words that a step or `observe` has written: what states differ in. */
  readonly #tracked: number[] = [];
  readonly #isTracked: Uint8Array;
  #undoIndex: number[] = [];
  #undoValue: number[] = [];
  readonly #values = new Map<number, number>();
  /** Each word's value as a small number, 0 for its first. */
  readonly #units: Uint16Array;

  constructor(words: Int32Array) {
    this.#words = words;
    this.#initial = words.slice();
    this.#isTracked = new Uint8Array(words.length);
    this.#units = new Uint16Array(words.length);
  }

  /** As they were first. */
  reset(): void {
    this.#words.set(this.#initial);
    this.#units.fill(0);
    this.#undoIndex = [];
    this.#undoValue = [];
  }

  /** How many can be taken back. */
  get changes(): number {
    return this.#undoIndex.length;
  }

  set(index: number, value: number): void {
    const before = this.#words[index] as number;
    if (before === value) return;
    if (this.#isTracked[index] === 0) {
      this.#isTracked[index] = 1;
      this.#tracked.push(index);
    }
    this.#undoIndex.push(index);
    this.#undoValue.push(before);
    this.#words[index] = value;
    this.#units[index] = this.unit(index, value);
  }

  /** Takes all but the first `changes` back. */
  undo(changes: number): void {
    while (this.#undoIndex.length > changes) {
      const index = this.#undoIndex.pop() as number;
      const value = this.#undoValue.pop() as number;
      this.#words[index] = value;
      this.#units[index] = this.unit(index, value);
    }
  }

  /** 0 for the word's first value, others in the order they came up. */
  unit(index: number, value: number): number {
    if (value === this.#initial[index]) return 0;
    let unit = this.#values.get(value);
    if (unit === undefined) {
      unit = this.#values.size + 1;
      if (unit > MAX_VALUES) throw new Error('too many different values');
      this.#values.set(value, unit);
    }
    return unit;
  }

  /** Adds what the memory is to `key` from `start` on; its length then, -1 where there is no room. */
  writeTo(key: Uint16Array, start: number): number {
    let end = start;
    if (end + this.#tracked.length > key.length) return -1;
    for (const index of this.#tracked) key[end++] = this.#units[index] as number;
    // A word that nobody had written when an earlier key was made is not in that one: leave it out here
    // too where it has its first value.
    while (end > 0 && key[end - 1] === 0) end--;
    return end;
  }

  /** Words that are not as they were first, as a text. */
  describe(): string {
    const words: string[] = [];
    for (let index = 0; index < this.#words.length; index++) {
      if (this.#words[index] !== this.#initial[index]) words.push(`${index}=${this.#words[index]}`);
    }
    return words.join(' ');
  }
}
