// Who is to be told when a mailbox changes: a table in memory that all workers share.
//
// A cell has two words: the id of a session that idles, 0 for nobody; and a hash of its mailbox. A cell
// has no lock: it is taken and given up by a compare-and-swap of its id. Two mailboxes may have the same
// hash; then a session is woken that finds nothing new.
//
// Nobody sleeps through a change: a session first writes its cell and looks into the journal afterwards;
// whoever changes a mailbox first appends to the journal and looks through the cells afterwards. One of
// the two sees the other.
import { shared, wake } from 'hybrid-mpm';

/** Sessions that idle at the same time; 8 bytes each, which are memory only once they are used. */
const MAX_WATCHERS = 65_536;
const WORDS_PER_CELL = 2;
/** In front of the cells, a cache line: how many of them were ever used, and a fence. */
const USED = 0;
const FENCE = 1;
const CELLS = 16;

/** FNV-1a, 32 bits. */
function hashOf(text) {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash;
}

export class Watchers {
  #words;
  #wake;
  #capacity;

  /**
   * @param {Int32Array} [words] memory of all workers
   * @param {(id: number) => boolean} [wakeSession] false: there is no such session any more
   */
  constructor(words = sharedWords(), wakeSession = wake) {
    this.#words = words;
    this.#wake = wakeSession;
    this.#capacity = Math.floor((words.length - CELLS) / WORDS_PER_CELL);
  }

  /**
   * Look into the mailbox after this, not before.
   * @returns {number} the cell, for `unwatch`; -1: there is no room, so the session has to ask by itself
   */
  watch(mailbox, id) {
    const words = this.#words;
    // Sessions spread over the table, but not further than need be: every change looks through it.
    const used = Atomics.load(words, USED);
    let cell = this.#take(0, used, id);
    if (cell < 0) cell = this.#take(used, this.#capacity, id);
    if (cell < 0 && this.#sweep() > 0) cell = this.#take(0, this.#capacity, id);
    if (cell < 0) return -1;
    for (let seen = Atomics.load(words, USED); seen <= cell; ) {
      seen = Atomics.compareExchange(words, USED, seen, cell + 1);
    }
    Atomics.store(words, indexOf(cell) + 1, hashOf(mailbox));
    return cell;
  }

  #take(from, to, id) {
    const words = this.#words;
    const count = to - from;
    // Half the searches of a table that is almost full would begin where it is full.
    const start = count > 0 ? (id >>> 0) % count : 0;
    for (let step = 0; step < count; step++) {
      const cell = from + ((start + step) % count);
      const index = indexOf(cell);
      if (words[index] !== 0) continue;
      if (Atomics.compareExchange(words, index, 0, id) === 0) return cell;
    }
    return -1;
  }

  /** Gives up the cells of sessions that ended without a word; how many. */
  #sweep() {
    let freed = 0;
    for (let cell = 0; cell < this.#capacity; cell++) freed += this.#wakeCell(cell) ? 0 : 1;
    return freed;
  }

  #wakeCell(cell) {
    const index = indexOf(cell);
    const id = Atomics.load(this.#words, index);
    if (id === 0 || this.#wake(id)) return true;
    Atomics.compareExchange(this.#words, index, id, 0);
    return false;
  }

  unwatch(cell, id) {
    if (cell >= 0) Atomics.compareExchange(this.#words, indexOf(cell), id, 0);
  }

  /**
   * Wakes those that idle on a mailbox that has changed: after it has.
   * @param {number} [own] the session that changed it, which need not be woken
   * @returns {number} how many
   */
  notify(mailbox, own = 0) {
    const words = this.#words;
    // The journal's write comes before the loads that follow, on every processor.
    Atomics.add(words, FENCE, 1);
    const hash = hashOf(mailbox);
    const used = Atomics.load(words, USED);
    let woken = 0;
    for (let cell = 0; cell < used; cell++) {
      const index = indexOf(cell);
      if (Atomics.load(words, index + 1) !== hash) continue;
      const id = Atomics.load(words, index);
      if (id !== 0 && id !== own && this.#wakeCell(cell)) woken++;
    }
    return woken;
  }
}

const indexOf = (cell) => CELLS + cell * WORDS_PER_CELL;

function sharedWords() {
  const bytes = (CELLS + MAX_WATCHERS * WORDS_PER_CELL) * Int32Array.BYTES_PER_ELEMENT;
  return new Int32Array(shared.buffer('mail-watchers', bytes));
}
