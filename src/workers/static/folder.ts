/**
 * The folder that is served, and nothing beside it.
 *
 * Role: opens names below the folder and asks the kernel where that led.
 * Thread: a worker. Blocks for the system calls, which is what a worker is for.
 * May not: hand out what lies outside once all symbolic links are followed, nor what is hidden.
 */
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readlinkSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { WELL_KNOWN } from './path.ts';

/** Not waiting for a writer where somebody has left a FIFO in the folder. */
export const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
const QUIET = { throwIfNoEntry: false } as const;

export interface OpenFile {
  /** Of the caller, who closes it. */
  readonly fd: number;
  readonly stats: Stats;
  /** Without symbolic links. */
  readonly realPath: string;
}

export class Folder {
  /** Without symbolic links, so that it can be compared with where a descriptor points. */
  readonly #root: string;
  readonly #prefix: string;

  /** @throws the file system's error where there is no such folder */
  constructor(path: string) {
    this.#root = realpathSync(path);
    this.#prefix = this.#root.endsWith('/') ? this.#root : `${this.#root}/`;
  }

  /** Without symbolic links. */
  get path(): string {
    return this.#root;
  }

  /**
   * Opens what the names lead to.
   * @param suffix appended to the last name
   * @returns null where there is nothing, or it is outside or hidden
   * @throws the file system's error in any other case
   */
  open(names: readonly string[], suffix = ''): OpenFile | null {
    const path = this.#prefix + names.join('/') + suffix;
    // An exception costs more than a look, and what does not exist is asked for often.
    if (statSync(path, QUIET) === undefined) return null;
    const fd = openSync(path, OPEN_FLAGS);
    try {
      // Asked of the descriptor, not of the path, so that a link cannot be swapped in between.
      const realPath = readlinkSync(`/proc/self/fd/${fd}`);
      if (this.contains(realPath)) return { fd, stats: fstatSync(fd), realPath };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd);
    return null;
  }

  /** Whether a path without symbolic links is one that may be served. */
  contains(realPath: string): boolean {
    if (realPath === this.#root) return true;
    if (!realPath.startsWith(this.#prefix)) return false;
    const below = realPath.slice(this.#prefix.length);
    // A link inside the folder must not uncover a dotfile.
    const shown =
      below === WELL_KNOWN || below.startsWith(`${WELL_KNOWN}/`)
        ? below.slice(WELL_KNOWN.length)
        : below;
    return !shown.startsWith('.') && !shown.includes('/.');
  }
}

/** Whether two looks at a file saw the same bytes, as far as its inode tells. */
export function isSameFile(one: Stats, other: Stats): boolean {
  return (
    one.ino === other.ino &&
    one.dev === other.dev &&
    one.size === other.size &&
    one.mtimeMs === other.mtimeMs &&
    one.ctimeMs === other.ctimeMs
  );
}
