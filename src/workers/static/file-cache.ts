/**
 * Files that were asked for lately: their heads, small contents and open descriptors.
 *
 * Role: as nginx's open_file_cache, so that a request for a known file asks the kernel nothing.
 * Thread: one worker, with a cache of its own.
 * May not: answer by what it saw more than `VALID_MS` ago, nor remember what is not there.
 */
import type { Folder } from './folder.ts';
import type { Representation } from './representation.ts';
import type { Resource } from './resource.ts';

export const MAX_ENTRIES = 256;
export const MAX_CACHED_BYTES = 8 * 1024 * 1024;
/** Then the files are looked at again. */
export const VALID_MS = 1_000;

export class FileCache {
  readonly #maxDescriptors: number;
  /** By path as requested; the order is that of the clock's hand. */
  readonly #entries = new Map<string, Resource>();
  #bytes = 0;
  #descriptors = 0;

  /** @param maxDescriptors open descriptors to hold at most, beside the one that is being used */
  constructor(maxDescriptors: number) {
    this.#maxDescriptors = maxDescriptors;
  }

  /** What is known of a path and was looked at within `VALID_MS`. */
  find(key: string, nowMs: number): Resource | undefined {
    const resource = this.#entries.get(key);
    if (resource === undefined || nowMs - resource.checkedAtMs >= VALID_MS) return undefined;
    resource.used = true;
    return resource;
  }

  /**
   * Takes in what a look has just found.
   * @returns the entry, which is the former one where nothing has changed
   */
  renew(key: string, found: Resource, nowMs: number): Resource {
    const former = this.#entries.get(key);
    if (former?.isSame(found)) {
      found.release();
      former.checkedAtMs = nowMs;
      return former;
    }
    this.forget(key);
    found.checkedAtMs = nowMs;
    this.#account(found, 1);
    // A slice of a request's head would keep the whole head alive.
    this.#entries.set(Buffer.from(key, 'latin1').toString('latin1'), found);
    this.#shrink(found);
    return found;
  }

  /** Gets hold of a content, and lets go of others if it is too much; see `Representation.load`. */
  load(resource: Resource, representation: Representation, folder: Folder): void {
    if (representation.loaded) return;
    this.#account(resource, -1);
    try {
      representation.load(folder);
      // Its descriptor is open from the look; mostly nobody wants it who is sent another form.
      if (representation !== resource.identity) resource.identity.release();
    } finally {
      this.#account(resource, 1);
    }
    this.#shrink(resource);
  }

  forget(key: string): void {
    const resource = this.#entries.get(key);
    if (resource === undefined) return;
    this.#entries.delete(key);
    this.#account(resource, -1);
    resource.release();
  }

  clear(): void {
    for (const key of [...this.#entries.keys()]) this.forget(key);
  }

  get size(): number {
    return this.#entries.size;
  }
  get heldBytes(): number {
    return this.#bytes;
  }
  get heldDescriptors(): number {
    return this.#descriptors;
  }

  #account(resource: Resource, sign: 1 | -1): void {
    this.#bytes += sign * resource.heldBytes;
    this.#descriptors += sign * resource.heldDescriptors;
  }

  /** Second chance: a hit only sets a flag, and the hand passes by once whoever has it set. */
  #shrink(kept: Resource): void {
    while (
      this.#entries.size > MAX_ENTRIES ||
      this.#bytes > MAX_CACHED_BYTES ||
      this.#descriptors > this.#maxDescriptors
    ) {
      const first = this.#entries.entries().next().value;
      if (first === undefined) return;
      const [key, resource] = first;
      if (resource !== kept && !resource.used) {
        this.forget(key);
        continue;
      }
      // Alone it is within every bound but that of a cache that may hold no descriptor at all.
      if (this.#entries.size === 1) return;
      resource.used = false;
      this.#entries.delete(key);
      this.#entries.set(key, resource);
    }
  }
}
