/**
 * A file that may be asked for, with its precompressed siblings.
 *
 * Role: looks a path up and chooses the form a client gets.
 * Thread: one worker.
 * May not: send.
 */
import { closeSync } from 'node:fs';
import { CODINGS, type Coding, type Qualities } from './encoding.ts';
import { type Folder, isSameFile, type OpenFile } from './folder.ts';
import { contentTypeOf } from './mime.ts';
import type { FilePath } from './path.ts';
import { Representation } from './representation.ts';

export const INDEX_FILE = 'index.html';
/** What is compressed already has no compressed siblings worth a look. */
const COMPRESSED = /\.(?:br|gz|zst)$/i;

export class Resource {
  readonly identity: Representation;
  /** None: a request's Accept-Encoding makes no difference. */
  readonly encoded: readonly Representation[];
  /** Milliseconds of the clock that `find` was given. */
  checkedAtMs = 0;
  /** Asked for since the cache last looked. */
  used = false;

  constructor(identity: Representation, encoded: readonly Representation[]) {
    this.identity = identity;
    this.encoded = encoded;
  }

  /** The form the client likes best; of those it likes equally the smallest. */
  choose(qualities: Qualities): Representation {
    let best = this.identity;
    let quality = qualities.identity;
    for (const candidate of this.encoded) {
      const liking = qualities[candidate.coding as Coding];
      if (liking === 0 || liking < quality) continue;
      if (liking === quality && candidate.size >= best.size) continue;
      best = candidate;
      quality = liking;
    }
    // Where nothing is acceptable: as it is (RFC 9110, section 12.4.1), which is more use than a 406.
    return best;
  }

  /** Whether a later look found the same files, as far as one can tell. */
  isSame(later: Resource): boolean {
    return (
      same(this.identity, later.identity) &&
      this.encoded.length === later.encoded.length &&
      this.encoded.every((one, index) => {
        const other = later.encoded[index];
        return one.coding === other.coding && same(one, other);
      })
    );
  }

  get heldBytes(): number {
    let bytes = this.identity.heldBytes;
    for (const { heldBytes } of this.encoded) bytes += heldBytes;
    return bytes;
  }

  get heldDescriptors(): number {
    let descriptors = this.identity.heldDescriptors;
    for (const { heldDescriptors } of this.encoded) descriptors += heldDescriptors;
    return descriptors;
  }

  release(): void {
    this.identity.release();
    for (const one of this.encoded) one.release();
  }
}

const same = (one: Representation, later: Representation): boolean =>
  one.settled && isSameFile(one.stats, later.stats);

/** What a path leads to that is no file. */
export type Detour =
  | { readonly kind: 'missing' }
  /** A folder asked for without its slash. */
  | { readonly kind: 'redirect' }
  /** A folder without an index file. */
  | { readonly kind: 'folder'; readonly realPath: string };

const MISSING: Detour = { kind: 'missing' };
const REDIRECT: Detour = { kind: 'redirect' };

/**
 * Looks a path up.
 * @param nowMs milliseconds since the epoch
 * @throws the file system's errors
 */
export function lookUp(folder: Folder, path: FilePath, nowMs: number): Resource | Detour {
  const { names, isFolder } = path;
  const fileNames = isFolder ? [...names, INDEX_FILE] : names;
  const opened = folder.open(fileNames);
  if (opened !== null) {
    if (opened.stats.isFile()) return resourceOf(folder, fileNames, opened, nowMs);
    closeSync(opened.fd);
    if (!isFolder) return opened.stats.isDirectory() ? REDIRECT : MISSING;
  }
  if (!isFolder) return MISSING;
  const itself = folder.open(names);
  if (itself === null) return MISSING;
  closeSync(itself.fd);
  return itself.stats.isDirectory() ? { kind: 'folder', realPath: itself.realPath } : MISSING;
}

function resourceOf(
  folder: Folder,
  names: readonly string[],
  { fd, stats }: OpenFile,
  nowMs: number,
): Resource {
  const name = names.at(-1) as string;
  const contentType = contentTypeOf(name);
  try {
    const siblings = COMPRESSED.test(name) ? [] : siblingsOf(folder, names);
    const varies = siblings.length > 0;
    const encoded = siblings.map(
      ({ coding, suffix, stats: own }) =>
        new Representation(names, { coding, suffix, contentType, varies }, own, -1, nowMs),
    );
    const form = { coding: '', suffix: '', contentType, varies } as const;
    return new Resource(new Representation(names, form, stats, fd, nowMs), encoded);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function siblingsOf(folder: Folder, names: readonly string[]) {
  const siblings = [];
  for (const { coding, suffix } of CODINGS) {
    const opened = openSibling(folder, names, suffix);
    if (opened === null) continue;
    closeSync(opened.fd);
    if (opened.stats.isFile()) siblings.push({ coding, suffix, stats: opened.stats });
  }
  return siblings;
}

/** A sibling that cannot be had does not stand in the way of the file itself. */
function openSibling(folder: Folder, names: readonly string[], suffix: string): OpenFile | null {
  try {
    return folder.open(names, suffix);
  } catch {
    return null;
  }
}
