/**
 * Places for requests under way to one upstream, as many over all workers as its options say.
 *
 * Role: a place is taken and given back by compare-and-swap of one word; each child notes how many it has,
 * so that they come back if its thread is ended. Who finds none writes down that it waits, and then tries
 * once more; who gives one back does so first and then looks who waits. So one of them sees the other, and
 * no place stays free while somebody waits who was not told.
 * Threads: `taken` belongs to all; `held` and `waiting` of a row to its child, or to main once that
 * one's thread is gone.
 */

/** Where the words of one upstream stand. */
export interface PlaceWords {
  readonly words: Int32Array;
  /** Index of the word that counts places taken, of all children. */
  readonly taken: number;
  /** Indices of the words of child 0; those of the next are `stride` further on. */
  readonly held: number;
  readonly waiting: number;
  readonly stride: number;
  readonly children: number;
}

/** True: one more is taken, of `most` at most. */
export function takePlace(at: PlaceWords, child: number, most: number): boolean {
  const { words, taken, held, stride } = at;
  for (;;) {
    const now = Atomics.load(words, taken);
    if (now >= most) return false;
    if (Atomics.compareExchange(words, taken, now, now + 1) !== now) continue;
    Atomics.add(words, held + child * stride, 1);
    return true;
  }
}

/**
 * Gives one back.
 * @returns the child that is to be told, since it has requests that wait; -1: none has. The children
 *   after this one come first, so that none has to wait for ever.
 */
export function givePlace(at: PlaceWords, child: number): number {
  const { words, taken, held, stride } = at;
  Atomics.sub(words, held + child * stride, 1);
  Atomics.sub(words, taken, 1);
  return nextWaiting(at, child);
}

/** One of the places that a child has belongs to another from now on. */
export function movePlace({ words, held, stride }: PlaceWords, from: number, to: number): void {
  Atomics.add(words, held + to * stride, 1);
  Atomics.sub(words, held + from * stride, 1);
}

/** As many requests of this child wait; try to take a place once more after it. */
export function setWaiting(at: PlaceWords, child: number, count: number): void {
  Atomics.store(at.words, at.waiting + child * at.stride, count);
}

/** The child after this one, or itself at last, in which a request waits; -1: none. */
export function nextWaiting(
  { words, waiting, stride, children }: PlaceWords,
  child: number,
): number {
  for (let step = 1; step <= children; step++) {
    const other = (child + step) % children;
    if (Atomics.load(words, waiting + other * stride) > 0) return other;
  }
  return -1;
}

/** What a child whose thread is gone had is everybody's again. Its waiting requests are gone with it. */
export function reclaimPlaces(at: PlaceWords, child: number): void {
  const { words, taken, held, waiting, stride } = at;
  Atomics.store(words, waiting + child * stride, 0);
  const had = Atomics.exchange(words, held + child * stride, 0);
  if (had > 0) Atomics.sub(words, taken, had);
}
