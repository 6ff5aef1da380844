/**
 * A regular file that is open for one response and its clones.
 *
 * Role: opens by path, below a folder or by a handle, and closes when the last holder lets go.
 * Thread: a worker. Blocks for the system calls, which is what a worker is for.
 * May not: hand its descriptor out. It is one of Node's, which are closed with their worker whatever
 * becomes of it; an exchange gets a duplicate.
 */
import { closeSync, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadNative, type Native } from '../../listener/native.ts';
import { Folder, OPEN_FLAGS } from '../static/folder.ts';
import type { Descriptors } from '../static/multipart.ts';
import { namesOf } from '../static/path.ts';
import { FileError, fileErrorOf } from './file-error.ts';

/** A path, a `file:` URL, or something open, such as a FileHandle of `node:fs/promises`. */
export type FileTarget = string | URL | { readonly fd: number };

/** Folders by the name they were given under; handlers name few, and each is resolved once. */
const MAX_FOLDERS = 64;
const folders = new Map<string, Folder>();

let native: Native | null = null;

/** The calls that responses need; loaded with the first of them, which is always in a worker. */
export function descriptors(): Descriptors & Pick<Native, 'spill'> {
  native ??= loadNative();
  return native;
}

/** Responses may be dropped unsent, by a framework or by an exception on the way. */
const dropped = new FinalizationRegistry<number>((fd) => closeSync(fd));

export class OpenFile {
  readonly stats: Stats;
  /** For the content type; '' where it is not known. */
  readonly name: string;
  readonly #path: string;
  #fd: number;
  #holders = 1;

  /**
   * Takes a descriptor over, whatever happens.
   * @throws FileError where it is not a regular file
   */
  constructor(fd: number, path: string, name: string) {
    this.#fd = fd;
    this.#path = path;
    this.name = name;
    try {
      this.stats = fstatSync(fd);
      if (!this.stats.isFile()) {
        const code = this.stats.isDirectory() ? 'EISDIR' : 'ERR_MPM_NOT_A_FILE';
        throw new FileError(code, 404, path);
      }
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    dropped.register(this, fd, this);
  }

  /** One more holder. */
  hold(): this {
    this.#holders++;
    return this;
  }

  release(): void {
    if (--this.#holders > 0 || this.#fd < 0) return;
    dropped.unregister(this);
    closeSync(this.#fd);
    this.#fd = -1;
  }

  /**
   * A descriptor for an exchange to keep.
   * @throws FileError where descriptors have run out
   */
  duplicate(): number {
    const copy = descriptors().duplicate(this.#fd);
    if (copy >= 0) return copy;
    throw new FileError('EMFILE', 503, this.#path);
  }

  /** @throws FileError where the file has become shorter than that */
  read(offset: number, length: number): Buffer {
    // Not out of Node's pool, of which it would keep a slab alive.
    const bytes = Buffer.allocUnsafeSlow(length);
    for (let filled = 0; filled < length; ) {
      const count = readSync(this.#fd, bytes, filled, length - filled, offset + filled);
      if (count === 0) throw new FileError('ERR_MPM_FILE_CHANGED', 503, this.#path);
      filled += count;
    }
    return bytes;
  }
}

/**
 * @param root the path is confined below it, as with a folder that is served: nothing outside by way
 *   of `..` or a link, nothing whose name begins with a dot but a first `.well-known`
 * @throws FileError; the file system's error where it is the server's own trouble (`EIO`)
 */
export function openFile(target: FileTarget, root?: string): OpenFile {
  const path = describe(target);
  try {
    if (typeof target === 'object' && 'fd' in target) {
      // Opened anew, so that its owner may close it while the response is still on its way.
      return new OpenFile(openSync(`/proc/self/fd/${target.fd}`, OPEN_FLAGS), path, '');
    }
    if (root !== undefined) return openBelow(folderAt(root), namesOf(path), path);
    if (path.includes('\0')) throw new FileError('ENOENT', 404, path);
    return new OpenFile(openSync(path, OPEN_FLAGS), path, basename(path));
  } catch (error) {
    throw fileErrorOf(error, path);
  }
}

/**
 * @param names as parsed from `path`; a status where they are refused
 * @throws FileError, also for what is there but hidden or outside
 */
export function openBelow(
  folder: Folder,
  names: readonly string[] | number,
  path: string,
): OpenFile {
  try {
    const opened = typeof names === 'number' ? null : folder.open(names);
    if (opened === null) throw new FileError('ENOENT', 404, path);
    return new OpenFile(opened.fd, path, (names as readonly string[]).at(-1) ?? '');
  } catch (error) {
    throw fileErrorOf(error, path);
  }
}

function describe(target: FileTarget): string {
  if (typeof target === 'string') return target;
  if (target instanceof URL) return fileURLToPath(target);
  if (typeof target?.fd === 'number' && target.fd >= 0) return `descriptor ${target.fd}`;
  throw new TypeError('A file is given as a path, as a file: URL or as an open FileHandle');
}

/** @throws Error with code ERR_MPM_FILE_ROOT: a mistake of the application, not of the client */
function folderAt(root: string): Folder {
  let folder = folders.get(root);
  if (folder === undefined) {
    try {
      folder = new Folder(root);
    } catch (cause) {
      const error = new Error(`root is no folder that can be read: ${root}`, { cause });
      throw Object.assign(error, { code: 'ERR_MPM_FILE_ROOT' });
    }
    if (folders.size < MAX_FOLDERS) folders.set(root, folder);
  }
  return folder;
}
