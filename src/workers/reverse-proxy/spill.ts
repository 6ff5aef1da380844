/**
 * The part of a response that its client does not take yet: bytes in a file without a name.
 *
 * Role: takes what comes from an upstream at the upstream's pace, so that this is done with it however
 * slow the client is. In memory while `limitSpilledBody` has room, else in `spillFolder`.
 * Thread: one worker.
 */
import { writeSync } from 'node:fs';
import type { Native } from '../../listener/native.ts';
import { noteSpilling, reserveSpill, unspill } from '../../scoreboard/rest.ts';
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';

/** What a response of unknown length reserves at a time, KiB. */
const STEP_KB = 1024;
const EMPTY = new Uint8Array(0);
/**
 * Left free in front of the bytes, as a hole that takes no room: what the client's socket did not take
 * goes there, so that one file has the rest of the response and the listener can go on with it.
 */
export const HEADROOM_BYTES = 256 * 1024;

export interface SpillLimits {
  readonly limitSpilledKb: number;
  readonly spill: { readonly folder: string; readonly limitKb: number } | null;
}

export class Spill {
  readonly #board: Scoreboard;
  readonly #native: Native;
  readonly #child: number;
  readonly #limits: SpillLimits;
  #fd = -1;
  /** Above 0 in memory, below 0 in the folder. */
  #reservedKb = 0;
  #written = HEADROOM_BYTES;
  #sent = HEADROOM_BYTES;

  constructor(board: Scoreboard, native: Native, child: number, limits: SpillLimits) {
    this.#board = board;
    this.#native = native;
    this.#child = child;
    this.#limits = limits;
  }

  /** Bytes that are here and were not passed on. */
  get unsent(): number {
    return this.#written - this.#sent;
  }

  /**
   * Takes bytes in; false: there is no room for them.
   * @param expected bytes that are still to come with these, -1: unknown
   */
  append(bytes: Uint8Array, expected: number): boolean {
    if (this.#fd < 0 && !this.#open(Math.max(expected, bytes.length))) return false;
    const needKb = Math.ceil((this.#written - HEADROOM_BYTES + bytes.length) / 1024);
    if (needKb > Math.abs(this.#reservedKb) && !this.#extend()) return false;
    try {
      for (let at = 0; at < bytes.length; ) {
        at += writeSync(this.#fd, bytes, at, bytes.length - at, this.#written + at);
      }
    } catch {
      // A full disk; what was written of these is written over.
      return false;
    }
    this.#written += bytes.length;
    return true;
  }

  #open(bytes: number): boolean {
    const { limitSpilledKb, spill } = this.#limits;
    const kilobytes = Math.max(1, Math.ceil(bytes / 1024));
    if (this.#reserve(kilobytes, limitSpilledKb)) {
      // An empty piece makes an empty file.
      this.#fd = this.#native.spill(EMPTY, 0, -1);
      if (this.#fd >= 0) return true;
      this.#giveBack();
    }
    if (spill === null || !this.#reserve(-kilobytes, spill.limitKb)) return false;
    this.#fd = this.#native.temporaryFile(spill.folder);
    if (this.#fd >= 0) return true;
    this.#giveBack();
    return false;
  }

  #extend(): boolean {
    const { limitSpilledKb, spill } = this.#limits;
    const inMemory = this.#reservedKb > 0;
    return inMemory
      ? this.#reserve(STEP_KB, limitSpilledKb)
      : this.#reserve(-STEP_KB, spill?.limitKb ?? 0);
  }

  /** More room, on the side where it has some; false: there is none. */
  #reserve(spilledKb: number, limitKb: number): boolean {
    if (!reserveSpill(this.#board, spilledKb, limitKb)) return false;
    noteSpilling(this.#board, this.#child, spilledKb, 1);
    this.#reservedKb += spilledKb;
    return true;
  }

  #giveBack(): void {
    noteSpilling(this.#board, this.#child, this.#reservedKb, -1);
    unspill(this.#board, this.#reservedKb);
    this.#reservedKb = 0;
  }

  /**
   * The unsent bytes, to be passed on now; the descriptor is the caller's.
   * @param last nothing more is taken in: the room they take goes with the descriptor
   */
  take(last: boolean): { fd: number; offset: number; length: number; spilledKb: number } | null {
    const offset = this.#sent;
    const length = this.unsent;
    const fd = last ? this.#fd : this.#native.duplicate(this.#fd);
    if (fd < 0) return null;
    this.#sent = this.#written;
    if (!last) return { fd, offset, length, spilledKb: 0 };
    const spilledKb = this.#reservedKb;
    // Whoever has the descriptor answers for it, and the connection's slot says so.
    noteSpilling(this.#board, this.#child, spilledKb, -1);
    this.#fd = -1;
    this.#reservedKb = 0;
    return { fd, offset, length, spilledKb };
  }

  /** Forgets what is here. */
  close(): void {
    if (this.#fd >= 0) this.#native.close(this.#fd);
    this.#giveBack();
    this.#fd = -1;
    this.#written = HEADROOM_BYTES;
    this.#sent = HEADROOM_BYTES;
  }
}
