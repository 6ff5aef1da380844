/**
 * One file as it is sent: its version, the heads that say so, and its bytes or a descriptor.
 *
 * Role: a file as it lies there, or a precompressed sibling of it.
 * Thread: one worker.
 * May not: be sent from another version of the file than its heads tell.
 */
import { closeSync, fstatSync, readSync, type Stats } from 'node:fs';
import { isSettled, type Validators, validatorsOf } from './conditional.ts';
import type { Coding } from './encoding.ts';
import { type Folder, isSameFile } from './folder.ts';

/** Up to this many bytes are kept in memory and need no descriptor. */
export const SMALL_FILE_BYTES = 16 * 1024;

/** The file is not the one any more that was looked at; look again. */
export class StaleFile extends Error {}

export class Representation {
  readonly stats: Stats;
  /** '': as it is. */
  readonly coding: Coding | '';
  readonly validators: Validators;
  /** False: the file changed so lately that a further change might not show. */
  readonly settled: boolean;
  readonly contentType: string;
  /** Shared lists, so that the connection finds the head it made before. */
  readonly wholeHeaders: readonly string[];
  readonly notModifiedHeaders: readonly string[];
  /** Without Content-Type, which a multipart has in its parts. */
  readonly partHeaders: readonly string[];
  readonly #names: readonly string[];
  readonly #suffix: string;
  #bytes: Uint8Array | null = null;
  #fd: number;

  /** @param fd of the file at hand, which is taken over; -1: none, it is opened when needed */
  constructor(
    names: readonly string[],
    form: { coding: Coding | ''; suffix: string; contentType: string; varies: boolean },
    stats: Stats,
    fd: number,
    nowMs: number,
  ) {
    this.#names = names;
    this.#suffix = form.suffix;
    this.#fd = fd;
    this.stats = stats;
    this.coding = form.coding;
    this.contentType = form.contentType;
    this.settled = isSettled(stats, nowMs);
    this.validators = validatorsOf(stats, form.coding, nowMs);
    const validators = [
      'ETag',
      this.validators.etag,
      'Last-Modified',
      this.validators.lastModified,
    ];
    const vary = form.varies ? ['Vary', 'Accept-Encoding'] : [];
    const encoding = form.coding === '' ? [] : ['Content-Encoding', form.coding];
    this.partHeaders = Object.freeze([...encoding, ...validators, ...vary]);
    this.wholeHeaders = Object.freeze([
      'Content-Type',
      form.contentType,
      ...this.partHeaders,
      'Accept-Ranges',
      'bytes',
    ]);
    // RFC 9110, section 15.4.5: what a cache needs, and nothing that describes the content.
    this.notModifiedHeaders = Object.freeze([...validators, ...vary]);
  }

  get size(): number {
    return this.stats.size;
  }

  /** The content, where it is small and `load` was called. */
  get bytes(): Uint8Array | null {
    return this.#bytes;
  }

  /** The descriptor, where the content is not in memory; -1: none. It stays this object's. */
  get fd(): number {
    return this.#fd;
  }

  /** The content is at hand. */
  get loaded(): boolean {
    return this.#bytes !== null || (this.#fd >= 0 && this.size > SMALL_FILE_BYTES);
  }

  /** Bytes of memory and descriptors it holds. */
  get heldBytes(): number {
    return this.#bytes?.length ?? 0;
  }
  get heldDescriptors(): number {
    return this.#fd < 0 ? 0 : 1;
  }

  /**
   * Gets hold of the content: of a small file the bytes, of another a descriptor.
   * @throws StaleFile where it has changed since; the file system's errors
   */
  load(folder: Folder): void {
    if (this.loaded) return;
    if (this.#fd < 0) {
      const opened = folder.open(this.#names, this.#suffix);
      if (opened === null) throw new StaleFile();
      this.#fd = opened.fd;
      if (!isSameFile(opened.stats, this.stats)) {
        this.release();
        throw new StaleFile();
      }
    }
    if (this.size > SMALL_FILE_BYTES) return;
    let bytes: Uint8Array | null;
    try {
      bytes = this.#readWhole();
    } finally {
      this.release();
    }
    if (bytes === null) throw new StaleFile();
    this.#bytes = bytes;
  }

  /** Null where the file changed before all of it was read. */
  #readWhole(): Uint8Array | null {
    const { size } = this;
    // Not out of Node's pool, of which it would keep a slab alive.
    const bytes = Buffer.allocUnsafeSlow(size);
    let length = 0;
    while (length < size) {
      const count = readSync(this.#fd, bytes, length, size - length, length);
      if (count === 0) return null;
      length += count;
    }
    return isSameFile(fstatSync(this.#fd), this.stats) ? bytes : null;
  }

  /** Lets go of bytes and descriptor. */
  release(): void {
    this.#bytes = null;
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }
}
