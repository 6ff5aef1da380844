// The spool: messages that are still coming in, one file each, and notes on what is known about them.
//
// Between two pieces of a message its connection may go to another worker, so nothing about it is kept
// in a worker: the connection remembers the file's name, 12 bytes.
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { NAME_BYTES } from './journal.mjs';

/**
 * Nobody adds to what was left alone for so long: longer than any idle timeout. Who comes back
 * nevertheless finds that it is gone, and is told to begin anew.
 */
const ABANDONED_MS = 3600_000;
const SWEEP_EVERY_MS = 600_000;

/** A name that nobody has: 96 random bits in hexadecimal. */
export const newName = () => randomBytes(NAME_BYTES).toString('hex');

/** So that a name in this folder outlives a power failure. */
export function syncFolder(folder) {
  withFile(folder, constants.O_RDONLY, fsyncSync);
}

function withFile(path, mode, use) {
  const fd = openSync(path, mode, 0o600);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

function writeAll(fd, bytes) {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}

const { O_APPEND, O_CREAT, O_EXCL, O_WRONLY } = constants;
const MAKE = O_WRONLY | O_APPEND | O_CREAT | O_EXCL;
const ADD = O_WRONLY | O_APPEND;

export class Spool {
  #folder;
  #sync;
  #sweepAt = 0;

  /** @param {boolean} sync a finished message outlives a power failure */
  constructor(folder, sync) {
    this.#folder = folder;
    this.#sync = sync;
    mkdirSync(folder, { recursive: true });
    this.#sweep();
  }

  /** Takes out what clients have left that went away half-way. */
  #sweep() {
    const now = Date.now();
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + SWEEP_EVERY_MS;
    for (const name of readdirSync(this.#folder)) {
      const path = join(this.#folder, name);
      const found = statSync(path, { throwIfNoEntry: false });
      if (found === undefined || found.mtimeMs > now - ABANDONED_MS) continue;
      rmSync(path, { force: true, recursive: true });
    }
  }

  /** Where the message of this name is. */
  pathOf(name) {
    return join(this.#folder, `${name}.eml`);
  }

  /** A folder of the spool's file system, which the caller makes and moves. */
  folderFor(name) {
    return join(this.#folder, name);
  }

  #notesOf(name) {
    return join(this.#folder, `${name}.notes`);
  }

  /** Begins a message with its first line of notes. @returns {string} its name */
  begin(note) {
    this.#sweep();
    const name = newName();
    withFile(this.#notesOf(name), MAKE, (fd) => writeAll(fd, Buffer.from(`${note}\n`)));
    return name;
  }

  /** Remembers a further line. @throws ENOENT where it was abandoned */
  note(name, text) {
    withFile(this.#notesOf(name), ADD, (fd) => writeAll(fd, Buffer.from(`${text}\n`)));
  }

  /** The lines that were noted. @throws ENOENT where it was abandoned */
  notes(name) {
    return readFileSync(this.#notesOf(name), 'utf8').split('\n').slice(0, -1);
  }

  /** The message itself begins, with these bytes. */
  open(name, bytes) {
    withFile(this.pathOf(name), MAKE, (fd) => writeAll(fd, bytes));
  }

  /** Adds bytes to the message. @throws ENOENT where it was abandoned */
  append(name, bytes) {
    withFile(this.pathOf(name), ADD, (fd) => writeAll(fd, bytes));
  }

  /** The message is whole. @returns {number} its bytes */
  finish(name) {
    return withFile(this.pathOf(name), ADD, (fd) => {
      if (this.#sync) fsyncSync(fd);
      return fstatSync(fd).size;
    });
  }

  remove(name) {
    rmSync(this.pathOf(name), { force: true });
    rmSync(this.#notesOf(name), { force: true });
  }
}
