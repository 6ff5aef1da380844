// A mailbox's journal: one file of records, each 32 bytes, only ever appended to.
//
// Whoever appends a record decides its place among all others: the kernel holds the file's lock for the
// length of an O_APPEND write (Linux), and 32 divides a page, so a reader never meets half a record. So
// there is one order of everything that happened to a mailbox, the same for all workers, without a lock
// that a worker could die with. The uid of a message is the number of its `added` record, counted from
// 1; so it is never given twice, and a higher one is never seen before a lower one (RFC 9051, 2.3.1.1).
import { closeSync, constants, fdatasyncSync, openSync, readSync, writeSync } from 'node:fs';

export const RECORD_BYTES = 32;
export const NAME_BYTES = 12;

export const ADDED = 1;
export const FLAGS = 2;
export const EXPUNGED = 3;
const HEADER = 0xff;
const MAGIC = 'mailbox1';

// Offsets: type, flags that are set (of a new message: its flags), flags that are cleared; then, by
// type, uid or size; who did it; seconds since 1970; name of the message's file.
const AT = { type: 0, set: 1, clear: 2, uid: 4, size: 8, origin: 12, date: 16, name: 20 };

const CHUNK_BYTES = 64 * 1024;
// One for all journals of a worker: what is read is decoded before anything else can be read.
const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);

/** The first record of a journal. */
export function headerRecord(uidValidity) {
  const record = Buffer.alloc(RECORD_BYTES);
  record[AT.type] = HEADER;
  record.write(MAGIC, 8, 'latin1');
  record.writeUInt32LE(uidValidity, AT.date);
  return record;
}

export function addedRecord({ name, size, flags, date }) {
  const record = Buffer.alloc(RECORD_BYTES);
  record[AT.type] = ADDED;
  record[AT.set] = flags;
  record.writeUInt32LE(size, AT.size);
  record.writeUInt32LE(date, AT.date);
  record.write(name, AT.name, NAME_BYTES, 'hex');
  return record;
}

/** `origin`: the session that does it, which knows it already. */
export function flagsRecord(uid, { set, clear }, origin) {
  const record = Buffer.alloc(RECORD_BYTES);
  record[AT.type] = FLAGS;
  record[AT.set] = set;
  record[AT.clear] = clear;
  record.writeUInt32LE(uid, AT.uid);
  record.writeUInt32LE(origin, AT.origin);
  return record;
}

export function expungedRecord(uid) {
  const record = Buffer.alloc(RECORD_BYTES);
  record[AT.type] = EXPUNGED;
  record.writeUInt32LE(uid, AT.uid);
  return record;
}

export class Journal {
  #fd;
  #sync;

  /**
   * @param {string} path
   * @param {boolean} sync what is appended durably is on the disk before `append` returns
   * @throws ENOENT, or an Error where the file is no journal
   */
  constructor(path, sync) {
    this.#sync = sync;
    this.#fd = openSync(path, constants.O_RDWR | constants.O_APPEND);
    const length = readSync(this.#fd, chunk, 0, RECORD_BYTES, 0);
    const isHeader = length === RECORD_BYTES && chunk[AT.type] === HEADER;
    if (!isHeader || chunk.latin1Slice(8, 16) !== MAGIC) {
      this.close();
      throw new Error(`${path}: no journal of a mailbox`);
    }
    /** RFC 9051, 2.3.1.1: changes if the mailbox is made anew. */
    this.uidValidity = chunk.readUInt32LE(AT.date);
  }

  /**
   * Appends records, one after the other. Where the disk is full some of them may be there, each whole.
   * @throws the system's error, e.g. ENOSPC
   */
  append(records, durably = true) {
    if (records.length === 0) return;
    const bytes = Buffer.concat(records);
    if (writeSync(this.#fd, bytes) < bytes.length) {
      throw Object.assign(new Error('journal: no room left on the disk'), { code: 'ENOSPC' });
    }
    if (this.#sync && durably) fdatasyncSync(this.#fd);
  }

  /**
   * Calls `visit(type, position)` for each record from `position` to the end, or to `end`, while it
   * returns true; the record's values are read by the functions below, within the call. Positions count
   * records; the first is 1.
   * @returns {number} the position after the last that was visited
   */
  read(position, visit, end = Number.MAX_SAFE_INTEGER) {
    let at = position;
    while (at < end) {
      const most = Math.min(CHUNK_BYTES, (end - at) * RECORD_BYTES);
      const length = readSync(this.#fd, chunk, 0, most, at * RECORD_BYTES);
      const count = Math.floor(length / RECORD_BYTES);
      for (let index = 0; index < count; index++) {
        current = index * RECORD_BYTES;
        if (!visit(chunk[current], at + index)) return at + index + 1;
      }
      at += count;
      if (length < most) break;
    }
    return at;
  }

  close() {
    closeSync(this.#fd);
  }
}

let current = 0;
/** Of the record that is being visited. */
export const record = {
  uid: () => chunk.readUInt32LE(current + AT.uid),
  size: () => chunk.readUInt32LE(current + AT.size),
  origin: () => chunk.readUInt32LE(current + AT.origin),
  date: () => chunk.readUInt32LE(current + AT.date),
  set: () => chunk[current + AT.set],
  clear: () => chunk[current + AT.clear],
  name: () => chunk.hexSlice(current + AT.name, current + AT.name + NAME_BYTES),
};
