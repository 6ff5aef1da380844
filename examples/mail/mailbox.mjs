// One mailbox as one worker knows it: what its journal says, replayed as far as it has been read.
//
// A session remembers nothing of a mailbox but a position in the journal. What it may know (which message
// has which number, RFC 9051, 2.3.1.2) is what the journal says up to there; what it has to be told is
// what comes after.
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import {
  ADDED,
  addedRecord,
  EXPUNGED,
  expungedRecord,
  FLAGS,
  flagsRecord,
  headerRecord,
  Journal,
  record,
} from './journal.mjs';
import { newName, syncFolder } from './spool.mjs';

/** Bits of a message's flags. */
export const FLAG = { seen: 1, answered: 2, flagged: 4, deleted: 8, draft: 16 };
/** Where a journal's first record of a message may stand. */
const FIRST = 1;
const SECOND_MS = 1000;

/** @typedef {{uid: number, flags: number, size: number, date: number, name: string}} Message */

/**
 * Makes a mailbox. It is there with its journal or not at all.
 * @param {string} unfinished where it is made, on the same file system
 * @returns {boolean} false: it was there already
 */
export function createMailbox(folder, unfinished, sync) {
  mkdirSync(join(unfinished, 'messages'), { recursive: true });
  const fd = openSync(join(unfinished, 'journal'), 'wx');
  try {
    writeSync(fd, headerRecord(Math.floor(Date.now() / SECOND_MS)));
    if (sync) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  mkdirSync(dirname(folder), { recursive: true });
  try {
    renameSync(unfinished, folder);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    if (error.code === 'ENOTEMPTY' || error.code === 'EEXIST') return false;
    throw error;
  }
  if (sync) syncFolder(dirname(folder));
  return true;
}

export class Mailbox {
  #folder;
  #sync;
  #journal;
  /** @type {Map<number, Message>} of those that are there */
  #messages = new Map();
  /** @type {Map<number, number>} uid of those that are gone: position of what said so first */
  #expunged = new Map();
  /** @type {number[] | null} uids that are there, ascending; null: to be made again */
  #uids = [];
  #uidNext = 1;
  #position = FIRST;

  constructor(folder, sync) {
    this.#folder = folder;
    this.#sync = sync;
    this.#journal = new Journal(join(folder, 'journal'), sync);
  }

  get uidValidity() {
    return this.#journal.uidValidity;
  }

  get uidNext() {
    return this.#uidNext;
  }

  /** Up to where the journal has been replayed here. */
  get position() {
    return this.#position;
  }

  /** Takes in what happened meanwhile, by any worker. */
  refresh() {
    const visit = (type, at) => {
      this.#replay(type, at);
      return true;
    };
    this.#position = this.#journal.read(this.#position, visit);
    return this;
  }

  #replay(type, at) {
    if (type === ADDED) {
      const uid = this.#uidNext++;
      const [flags, size, date] = [record.set(), record.size(), record.date()];
      this.#messages.set(uid, { uid, flags, size, date, name: record.name() });
      this.#uids?.push(uid);
    } else if (type === FLAGS) {
      const message = this.#messages.get(record.uid());
      if (message !== undefined) message.flags = (message.flags & ~record.clear()) | record.set();
    } else if (type === EXPUNGED) {
      const uid = record.uid();
      // Two sessions may have expunged it at the same time: the first one did.
      if (!this.#messages.delete(uid)) return;
      this.#expunged.set(uid, at);
      this.#uids = null;
    }
  }

  /** @returns {Message | undefined} undefined: it is gone */
  message(uid) {
    return this.#messages.get(uid);
  }

  /** Uids of the messages that are there, ascending. The caller must not change it. */
  get uids() {
    this.#uids ??= [...this.#messages.keys()];
    return this.#uids;
  }

  /** Uids that were there at a position of the journal, ascending; the index is the number less 1. */
  uidsAt(position) {
    if (position >= this.#position) return this.uids;
    let added = 0;
    const gone = [];
    this.#journal.read(
      position,
      (type, at) => {
        if (type === ADDED) added++;
        else if (type === EXPUNGED && this.#expunged.get(record.uid()) === at) {
          gone.push(record.uid());
        }
        return true;
      },
      this.#position,
    );
    const uidNext = this.#uidNext - added;
    return [...this.uids, ...gone].filter((uid) => uid < uidNext).sort((a, b) => a - b);
  }

  /**
   * What happened from a position on, to where this worker has read.
   * @param {number} origin the session that asks; what it did itself to flags it knows
   * @param {boolean} untilExpunged only what happened before the next message was taken out
   * @returns {{position: number, added: number, expunged: number[], flagged: Set<number>}} up to which
   *   position; how many messages came; uids of those that went and of those whose flags changed
   */
  changes(position, origin, untilExpunged) {
    const changes = { position: this.#position, added: 0, expunged: [], flagged: new Set() };
    if (position >= this.#position) return changes;
    const visit = (type, at) => {
      if (type === ADDED) changes.added++;
      else if (type === FLAGS && record.origin() !== origin) changes.flagged.add(record.uid());
      else if (type === EXPUNGED && this.#expunged.get(record.uid()) === at) {
        if (untilExpunged) {
          changes.position = at;
          return false;
        }
        changes.expunged.push(record.uid());
      }
      return true;
    };
    this.#journal.read(position, visit, this.#position);
    return changes;
  }

  /** The file of a message; it may be gone by the time it is opened. */
  pathOf(message) {
    return join(this.#folder, 'messages', message.name);
  }

  /**
   * Puts a message in. The file stays where it is and gets a second name: one mail may be for several
   * mailboxes.
   * @param {string} path a whole message, on the same file system
   * @param {{size: number, flags?: number, date?: number}} facts bytes; seconds since 1970
   */
  add(path, { size, flags = 0, date = Math.floor(Date.now() / SECOND_MS) }) {
    const name = newName();
    const folder = join(this.#folder, 'messages');
    const linked = join(folder, name);
    linkSync(path, linked);
    try {
      if (this.#sync) syncFolder(folder);
      this.#journal.append([addedRecord({ name, size, flags, date })]);
    } catch (error) {
      unlinkSync(linked);
      throw error;
    }
  }

  /** Sets and clears flags of messages, whatever others do to them at the same time. */
  changeFlags(uids, change, origin) {
    this.#journal.append(
      uids.map((uid) => flagsRecord(uid, change, origin)),
      false,
    );
  }

  /** Takes messages out. Their files go after that, so that none is listed without its file. */
  expunge(uids) {
    this.#journal.append(uids.map(expungedRecord));
    for (const uid of uids) {
      const message = this.#messages.get(uid);
      if (message !== undefined) rmSync(this.pathOf(message), { force: true });
    }
  }

  close() {
    this.#journal.close();
  }
}
