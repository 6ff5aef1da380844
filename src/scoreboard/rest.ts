/**
 * The rest of a response: bytes of a file on their way to a client.
 *
 * Role: what of a file is to be sent, and the words of the connection's slot that say so to whoever
 * goes on with it: the listener, or another worker. A descriptor that stands there is closed by the
 * listener with the connection, so that it is not lost with a child.
 * Thread: the connection's owner. The descriptor must be one that no thread's runtime keeps account
 * of (the native part's `duplicate` and `spill`), since another thread may close it.
 */
import { CHILD, HEADER, SLOT } from './layout.ts';
import type { Scoreboard } from './scoreboard.ts';

const wordAt = (slotIndex: number, field: { readonly offset: number }): number =>
  slotIndex + (field.offset >> 2);

/** Added to the slot in poll tickets of a socket that a response comes from. */
export const SOURCE_TOKEN = 1 << 30;

/** In `unsentBytes`. */
export const NOT_SAMPLED = -1;

export class FilePart {
  readonly fd: number;
  offset: number;
  /** Bytes still to be sent. */
  length: number;
  /** KiB that count as spilled: above 0 in memory, below 0 in a folder; 0 for any other file. */
  readonly spilledKb: number;
  /** The descriptor is another socket; a length of Infinity: until that one ends. */
  readonly isSocket: boolean;
  /** What comes before `offset` in the file is of no use any more, and may be written over. */
  readonly hasRoomBefore: boolean;

  constructor(
    fd: number,
    offset: number,
    length: number,
    spilledKb = 0,
    isSocket = false,
    hasRoomBefore = false,
  ) {
    this.fd = fd;
    this.offset = offset;
    this.length = length;
    this.spilledKb = spilledKb;
    this.isSocket = isSocket;
    this.hasRoomBefore = hasRoomBefore;
  }

  /** What another thread has left in the slot; null: nothing. */
  static from(board: Scoreboard, slotIndex: number): FilePart | null {
    const { words, doubles } = board;
    const fd = (words[wordAt(slotIndex, SLOT.restFd)] as number) - 1;
    if (fd < 0) return null;
    return new FilePart(
      fd,
      doubles[wordAt(slotIndex, SLOT.restOffset) >> 1] as number,
      doubles[wordAt(slotIndex, SLOT.restBytes) >> 1] as number,
      words[wordAt(slotIndex, SLOT.restSpilledKb)] as number,
    );
  }

  /** The slot has room for a descriptor. */
  static mayEnter(board: Scoreboard, slotIndex: number): boolean {
    return board.words[wordAt(slotIndex, SLOT.restFd)] === 0;
  }

  /** Enters the descriptor into the slot, unless that has another one already. */
  enter(board: Scoreboard, slotIndex: number, keeper: FileKeeper): void {
    if (!FilePart.mayEnter(board, slotIndex)) return;
    board.doubles[wordAt(slotIndex, SLOT.restProbed) >> 1] = 0;
    keeper.enterFile(this.fd, entryOf(slotIndex), this.spilledKb);
  }

  /** For whoever goes on: what is left. The descriptor must have been entered. */
  store(board: Scoreboard, slotIndex: number): void {
    board.doubles[wordAt(slotIndex, SLOT.restOffset) >> 1] = this.offset;
    board.doubles[wordAt(slotIndex, SLOT.restBytes) >> 1] = this.length;
    // A new wait, of which no sample was taken.
    board.words[wordAt(slotIndex, SLOT.unsentBytes)] = NOT_SAMPLED;
  }

  /** It stands in the slot. */
  isEntered(board: Scoreboard, slotIndex: number): boolean {
    return board.words[wordAt(slotIndex, SLOT.restFd)] === this.fd + 1;
  }

  /** All of it has left, or never will: closes it, and gives back what it counts as spilled. */
  close(board: Scoreboard, slotIndex: number, keeper: FileKeeper): void {
    const entry = this.isEntered(board, slotIndex) ? entryOf(slotIndex) : NOT_ENTERED;
    const kilobytes = Math.abs(this.spilledKb);
    keeper.closeFile(this.fd, entry, wordOf(this.spilledKb) * 4, kilobytes);
  }
}

/**
 * Who closes a descriptor, as the native part changes it: in one call each, since a thread may be ended between
 * two. What it had forgotten by then would stay open, and what it had closed would be closed a second time,
 * when it may be another's. `entry` and `counter` are byte offsets of words in the board.
 */
export interface FileKeeper {
  /** Takes it out of this thread's account and enters it into a slot, with its `spilledKb`. */
  enterFile(fd: number, entry: number, spilledKb: number): number;
  /** Closes it, empties its entry (-1: it has none), and takes its KiB out of a counter. */
  closeFile(fd: number, entry: number, counter: number, kilobytes: number): number;
}

const NOT_ENTERED = -1;
const entryOf = (slotIndex: number): number => slotIndex * 4 + SLOT.restFd.offset;

/** For the log: somebody wrote into a file in place instead of renaming a new one over it. */
export const FILE_SHRANK =
  'hybrid-mpm: a file became shorter while it was sent; its connection is closed\n';

const wordOf = (spilledKb: number): number =>
  (spilledKb > 0 ? HEADER.spilledKb : HEADER.spilledFileKb).offset >> 2;

/**
 * Room for so many KiB; false: `limitKb` would be passed.
 * @param spilledKb above 0 in memory, below 0 in a folder
 */
export function reserveSpill(board: Scoreboard, spilledKb: number, limitKb: number): boolean {
  const kilobytes = Math.abs(spilledKb);
  if (Atomics.add(board.words, wordOf(spilledKb), kilobytes) + kilobytes <= limitKb) return true;
  unspill(board, spilledKb);
  return false;
}

/** Gives it back; 0 is nothing. */
export function unspill(board: Scoreboard, spilledKb: number): void {
  if (spilledKb !== 0) Atomics.sub(board.words, wordOf(spilledKb), Math.abs(spilledKb));
}

/**
 * Notes in its child's words what a response has reserved that no connection's slot knows of yet, so that it
 * comes back if the thread is ended.
 * @param spilledKb see `FilePart`
 * @param sign 1: reserved, -1: given back, or the connection's from now on
 */
export function noteSpilling(
  board: Scoreboard,
  child: number,
  spilledKb: number,
  sign: 1 | -1,
): void {
  if (spilledKb === 0) return;
  const field = spilledKb > 0 ? CHILD.spillingKb : CHILD.spillingFileKb;
  const at = board.childIndex(child) + (field.offset >> 2);
  (board.words[at] as number) += sign * Math.abs(spilledKb);
}

/** Gives back what a child had noted whose thread is gone. */
export function reclaimSpilling(board: Scoreboard, child: number): void {
  unspill(board, board.child(child, CHILD.spillingKb));
  unspill(board, -board.child(child, CHILD.spillingFileKb));
  board.setChild(child, CHILD.spillingKb, 0);
  board.setChild(child, CHILD.spillingFileKb, 0);
}
