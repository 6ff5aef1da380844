/**
 * Bytes that never change, put once where the kernel can send them from.
 *
 * Role: a memory file for each large buffer that `sendBytes` was given, so that one copy serves all
 * clients, fast and slow, and none of them needs a copy of its own.
 * Thread: one worker, with files of its own. A file goes with its buffer, or with the worker.
 * May not: be the only place of the bytes; where there is no room they are sent as any others.
 */
import { closeSync, openSync } from 'node:fs';
import { descriptors } from './open-file.ts';

/** Smaller ones mostly fit a socket, and cost less by a copy. */
export const SHARED_MIN_BYTES = 64 * 1024;
/** Memory files a worker has at the same time, and their bytes. */
export const MAX_MEMORY_FILES = 32;
export const MAX_MEMORY_FILE_BYTES = 128 * 1024 * 1024;
/** Different parts of one buffer with a file each. */
const MAX_FILES_PER_BUFFER = 8;

interface MemoryFile {
  /** One of Node's, so that it is closed with the worker; -1: not made yet. */
  fd: number;
  /** Of the view in its buffer. */
  readonly from: number;
  readonly length: number;
}

export interface FilePart {
  /** Stays the memory file's. */
  readonly fd: number;
  readonly offset: number;
}

const byBuffer = new WeakMap<ArrayBufferLike, MemoryFile[]>();
const collected = new FinalizationRegistry<MemoryFile[]>((files) => files.forEach(close));
let count = 0;
let bytes = 0;

/** Declares that a view's bytes are never changed from now on; small ones are not worth it. */
export function keepFixed(view: Uint8Array): void {
  if (view.byteLength <= SHARED_MIN_BYTES || find(view) !== undefined) return;
  const file: MemoryFile = { fd: -1, from: view.byteOffset, length: view.byteLength };
  const known = byBuffer.get(view.buffer);
  if (known === undefined) {
    const files = [file];
    byBuffer.set(view.buffer, files);
    collected.register(view.buffer, files);
  } else if (known.length < MAX_FILES_PER_BUFFER) {
    known.push(file);
  }
}

/**
 * Where such bytes stand in a memory file, which is made when they are sent for the first time.
 * @returns null where they were not declared, or where there is no room
 */
export function memoryFileOf(view: Uint8Array): FilePart | null {
  if (view.byteLength <= SHARED_MIN_BYTES) return null;
  const file = find(view);
  if (file === undefined || (file.fd < 0 && !make(file, view.buffer))) return null;
  return { fd: file.fd, offset: view.byteOffset - file.from };
}

function find(view: Uint8Array): MemoryFile | undefined {
  const end = view.byteOffset + view.byteLength;
  return byBuffer
    .get(view.buffer)
    ?.find(({ from, length }) => from <= view.byteOffset && end <= from + length);
}

function make(file: MemoryFile, buffer: ArrayBufferLike): boolean {
  if (count >= MAX_MEMORY_FILES || bytes + file.length > MAX_MEMORY_FILE_BYTES) return false;
  const native = descriptors();
  const spilled = native.spill(new Uint8Array(buffer, file.from, file.length), 0, -1);
  if (spilled < 0) return false;
  try {
    file.fd = openSync(`/proc/self/fd/${spilled}`, 'r');
  } catch {
    return false;
  } finally {
    native.close(spilled);
  }
  count++;
  bytes += file.length;
  return true;
}

function close(file: MemoryFile): void {
  if (file.fd < 0) return;
  closeSync(file.fd);
  file.fd = -1;
  count--;
  bytes -= file.length;
}
