/**
 * Which values of a word a thread may read, by the memory model of ECMAScript (ECMA-262, "Memory Model").
 *
 * Role: keeps, of each shared word that anybody accesses plainly, the writes that some thread may still
 * read, and who knows of each. What a thread knows is what happens before its next step: its own steps, and
 * what was known to the writer of each value that it has read by an atomic operation from an atomic one
 * (synchronizes-with). A write is out of sight for a thread that knows of a write which knew of it.
 * Thread: tests only.
 *
 * Atomic operations are in one order, which is that of the exploration, and read the last atomic write or a
 * plain one that is in sight. A plain read takes any that is in sight. The specification would also let a read
 * take a value that is written later; what of that processors do is in `World` (a store that waits).
 */

interface Write {
  /** Below 31, among the writes of the same word. */
  readonly id: number;
  readonly value: number;
  readonly atomic: boolean;
  /** Threads that know of it, a bit each. */
  readonly known: number;
  /** Words whose last atomic write tells of it: bits 0 .. 30 and 31 .. 61. */
  readonly toldLow: number;
  readonly toldHigh: number;
  /** Writes that were known to its writer, by their ids. */
  readonly over: number;
}

type History = readonly Write[];
const NONE: History = [];
/** The same, where the last write was a plain one: it tells nothing. */
const SETTLED_PLAINLY: History = [];
const MAX_CARRIERS = 62;
const MAX_WRITES = 31;

/** A value that may be read. */
export interface Sight {
  readonly value: number;
  /** Of the write, -1 where nothing else is in sight for anybody. */
  readonly id: number;
  /** Reading it by an atomic operation tells what its writer knew. */
  readonly atomic: boolean;
  /** Not the last one written. */
  readonly old: boolean;
}

export class Visibility {
  readonly #words: Int32Array;
  readonly #everybody: number;
  readonly #histories = new Map<number, History>();
  /** Bit of each word that was written by an atomic operation. */
  readonly #carriers = new Map<number, number>();
  #undo: (readonly [number, History])[] = [];

  constructor(words: Int32Array, threads: number) {
    this.#words = words;
    this.#everybody = 2 ** threads - 1;
  }

  reset(): void {
    this.#histories.clear();
    this.#undo = [];
  }

  /** How many changes can be taken back. */
  get changes(): number {
    return this.#undo.length;
  }

  undo(changes: number): void {
    while (this.#undo.length > changes) {
      const [index, history] = this.#undo.pop() as readonly [number, History];
      if (history.length === 0) this.#histories.delete(index);
      else this.#histories.set(index, history);
    }
  }

  /** What `thread` may read there; the last one written comes last. */
  inSight(index: number, thread: number, atomically: boolean): readonly Sight[] {
    const history = this.#histories.get(index);
    if (history === undefined) {
      return [{ value: this.#words[index] as number, id: -1, atomic: true, old: false }];
    }
    const last = history.findLast(({ atomic }) => atomic);
    const sights: Sight[] = [];
    for (const write of history) {
      if (isHidden(history, write, 1 << thread)) continue;
      if (atomically && write.atomic && write !== last) continue;
      const known = (write.known & (1 << thread)) !== 0;
      if (atomically && known && last !== undefined && has(last.over, write.id)) continue;
      const atomic = atomically && write.atomic;
      const old = write !== history[history.length - 1];
      const same = sights.findIndex(
        (other) => other.value === write.value && other.atomic === atomic,
      );
      if (same >= 0) sights.splice(same, 1);
      sights.push({ value: write.value, id: write.id, atomic, old });
    }
    return sights;
  }

  /** `thread` has read there what an atomic operation wrote. */
  acquire(index: number, thread: number): void {
    const carrier = this.#carriers.get(index);
    if (carrier === undefined) return;
    this.#rewrite((write) =>
      isTold(write, carrier) ? { ...write, known: write.known | (1 << thread) } : write,
    );
  }

  /** An atomic store of `thread` that arrives later tells what the thread knows now. */
  holdBack(thread: number): void {
    this.#tell(heldBack(thread), 1 << thread);
  }

  /** The store that was held back, before it is in the memory. */
  arrive(index: number, thread: number, value: number, tracked: boolean): void {
    const held = this.#carrierOf(heldBack(thread));
    const carrier = this.#carrierOf(index);
    this.#rewrite((write) => tell(write, carrier, isTold(write, held)));
    if (tracked) this.#append(index, thread, value, carrier, held);
    this.#rewrite((write) => tell(write, held, false));
  }

  /**
   * An atomic write, before it is in the memory.
   * @param tracked the word is accessed plainly as well
   * @param replaced the write whose value it has read; processors let nobody see that one after it
   */
  writeAtomically(
    index: number,
    thread: number,
    value: number,
    tracked: boolean,
    replaced = -1,
  ): void {
    this.#tell(index, 1 << thread);
    if (tracked) this.#append(index, thread, value, this.#carrierOf(index), -1, replaced);
  }

  /** A plain write, before it is in the memory. */
  writePlainly(index: number, thread: number, value: number): void {
    this.#append(index, thread, value, -1);
  }

  #carrierOf(index: number): number {
    let carrier = this.#carriers.get(index);
    if (carrier === undefined) {
      carrier = this.#carriers.size;
      if (carrier === MAX_CARRIERS) throw new Error('too many words are written by atomics');
      this.#carriers.set(index, carrier);
    }
    return carrier;
  }

  #tell(index: number, thread: number): void {
    const carrier = this.#carrierOf(index);
    this.#rewrite((write) => tell(write, carrier, (write.known & thread) !== 0));
  }

  /**
   * @param carrier of the word where the write is atomic, else -1
   * @param held where it was held back: what tells what it knew
   */
  #append(
    index: number,
    thread: number,
    value: number,
    carrier: number,
    held = -1,
    replaced = -1,
  ): void {
    const known = 1 << thread;
    let history = this.#histories.get(index) ?? NONE;
    if (history.length === 0) {
      const before = this.#words[index] as number;
      const first = { id: 0, value: before, atomic: true, toldLow: 0, toldHigh: 0, over: 0 };
      history = [{ ...first, known: this.#everybody }];
    }
    let id = 0;
    while (history.some((write) => write.id === id)) id++;
    if (id === MAX_WRITES) throw new Error('too many writes of one word are in sight');
    let over = 0;
    for (const write of history) {
      const knew = held < 0 ? (write.known & known) !== 0 : isTold(write, held);
      if (knew || write.known === this.#everybody || write.id === replaced)
        over |= (1 << write.id) | write.over;
    }
    const atomic = carrier >= 0;
    const write: Write = { id, value, atomic, known, toldLow: 0, toldHigh: 0, over };
    const added = atomic ? tell(write, carrier, true) : write;
    this.#set(index, this.#pruned([...history, added]));
  }

  #rewrite(change: (write: Write) => Write): void {
    for (const [index, history] of this.#histories) {
      let changed = false;
      const next = history.map((write) => {
        const after = change(write);
        changed ||= after !== write;
        return after;
      });
      if (changed) this.#set(index, this.#pruned(next));
    }
  }

  /** Without what nobody can see any more; empty where there is nothing left to tell apart. */
  #pruned(history: History): History {
    const everybody = this.#everybody;
    const left = history.filter((write) => !isHidden(history, write, everybody));
    const ids = left.reduce((mask, { id }) => mask | (1 << id), 0);
    const first = left[0] as Write;
    if (left.length === 1 && first.known === everybody)
      return first.atomic ? NONE : SETTLED_PLAINLY;
    return left.map((write) => {
      const over = write.over & ids;
      const all = write.known === everybody;
      const toldLow = all ? 0 : write.toldLow;
      const toldHigh = all ? 0 : write.toldHigh;
      const same = over === write.over && toldLow === write.toldLow && toldHigh === write.toldHigh;
      return same ? write : { ...write, over, toldLow, toldHigh };
    });
  }

  #set(index: number, history: History): void {
    this.#undo.push([index, this.#histories.get(index) ?? NONE]);
    if (history.length === 0) this.#histories.delete(index);
    else this.#histories.set(index, history);
    const carrier = history === SETTLED_PLAINLY ? this.#carriers.get(index) : undefined;
    if (carrier !== undefined) this.#rewrite((write) => tell(write, carrier, false));
  }

  /** Exactly what this is, as numbers below 2^16. */
  describe(unit: (index: number, value: number) => number): number[] {
    const units: number[] = [];
    for (const index of [...this.#histories.keys()].sort((one, other) => one - other)) {
      const history = this.#histories.get(index) as History;
      units.push(index, history.length);
      for (const write of history) {
        let over = 0;
        for (const [place, { id }] of history.entries())
          if (has(write.over, id)) over |= 1 << place;
        units.push(unit(index, write.value), write.known | (write.atomic ? 0x8000 : 0));
        for (const mask of [write.toldLow, write.toldHigh, over]) {
          units.push(mask & 0xffff, mask >>> 16);
        }
      }
    }
    return units;
  }
}

/** What a thread's store that is held back tells, in place of a word. */
const heldBack = (thread: number): number => -1 - thread;

const has = (mask: number, bit: number): boolean => (mask & (1 << bit)) !== 0;

/** All of these threads know of a write that knew of it. */
function isHidden(history: History, { id }: Write, threads: number): boolean {
  let hidden = 0;
  for (const other of history) if (has(other.over, id)) hidden |= other.known;
  return (hidden & threads) === threads;
}

function isTold({ toldLow, toldHigh }: Write, carrier: number): boolean {
  return carrier < 31 ? has(toldLow, carrier) : has(toldHigh, carrier - 31);
}

function tell(write: Write, carrier: number, told: boolean): Write {
  if (isTold(write, carrier) === told) return write;
  return carrier < 31
    ? { ...write, toldLow: write.toldLow ^ (1 << carrier) }
    : { ...write, toldHigh: write.toldHigh ^ (1 << (carrier - 31)) };
}
