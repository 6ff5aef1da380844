// Mailboxes of users, as files in a folder:
//
//   <root>/mail/<user>/<mailbox>/journal      what happened, in order (journal.mjs)
//   <root>/mail/<user>/<mailbox>/messages/    one file a message
//   <root>/spool/                             what is still coming in (spool.mjs), on the same file system
//
// Every worker has one of these. They agree by what the journals say and by nothing else.
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createMailbox, Mailbox } from './mailbox.mjs';
import { newName, Spool } from './spool.mjs';

export const INBOX = 'INBOX';
/** What fits the session's memory, and no name that means something else to a file system. */
export const MAX_NAME_LENGTH = 64;
const USER = /^[a-z0-9][a-z0-9._+@=-]*$/;
const MAILBOX = /^[A-Za-z0-9&+,_][A-Za-z0-9&+,_ .-]*$/;
/** Mailboxes that a worker keeps open, each with a descriptor and what it knows of its messages. */
const MAX_OPEN = 512;

export const isUserName = (name) => name.length <= MAX_NAME_LENGTH && USER.test(name);
/** The name by which a mailbox is known; null: it can have no such name. */
export function mailboxName(name) {
  if (name.toUpperCase() === INBOX) return INBOX;
  return name.length <= MAX_NAME_LENGTH && MAILBOX.test(name) ? name : null;
}

export class MailStore {
  #root;
  #sync;
  #watchers;
  /** @type {Map<string, Mailbox>} used longest ago first */
  #open = new Map();

  /**
   * @param {string} root
   * @param {import('./watchers.mjs').Watchers} watchers
   * @param {{sync?: boolean}} [options] sync: what was taken outlives a power failure (RFC 5321, 6.1)
   */
  constructor(root, watchers, { sync = true } = {}) {
    this.#root = join(root, 'mail');
    this.#sync = sync;
    this.#watchers = watchers;
    mkdirSync(this.#root, { recursive: true });
    this.spool = new Spool(join(root, 'spool'), sync);
  }

  /** @returns {Mailbox | null} as it is at this moment; null: there is none of this name */
  mailbox(user, name) {
    const folder = this.#folder(user, name);
    let mailbox = this.#open.get(folder);
    if (mailbox === undefined) {
      try {
        mailbox = new Mailbox(folder, this.#sync);
      } catch (error) {
        if (error.code === 'ENOENT') return null;
        throw error;
      }
    } else {
      this.#open.delete(folder);
    }
    this.#open.set(folder, mailbox);
    if (this.#open.size > MAX_OPEN) {
      const [oldest, idle] = this.#open.entries().next().value;
      this.#open.delete(oldest);
      idle.close();
    }
    return mailbox.refresh();
  }

  #folder(user, name) {
    if (!isUserName(user) || mailboxName(name) !== name) {
      throw new Error(`no such mailbox can be: ${JSON.stringify([user, name])}`);
    }
    return join(this.#root, user, name);
  }

  /** @returns {boolean} false: it was there already */
  create(user, name) {
    const folder = this.#folder(user, name);
    return createMailbox(folder, this.spool.folderFor(newName()), this.#sync);
  }

  /** The same, made if it is not there. */
  inbox(user) {
    const found = this.mailbox(user, INBOX);
    if (found !== null) return found;
    this.create(user, INBOX);
    return this.mailbox(user, INBOX);
  }

  /** Names of a user's mailboxes, sorted. */
  names(user) {
    this.inbox(user);
    return readdirSync(join(this.#root, user)).sort();
  }

  /**
   * Delivers a message out of the spool, which keeps its own name for it.
   * @param {string} message its name in the spool
   */
  deliver(user, message) {
    const size = this.spool.finish(message);
    this.inbox(user).add(this.spool.pathOf(message), { size });
    this.changed(user, INBOX);
  }

  /** Tells the sessions that idle on a mailbox, but for `own`. */
  changed(user, name, own = 0) {
    this.#watchers.notify(keyOf(user, name), own);
  }

  /** As `Watchers.watch`. */
  watch(user, name, id) {
    return this.#watchers.watch(keyOf(user, name), id);
  }

  unwatch(cell, id) {
    this.#watchers.unwatch(cell, id);
  }
}

const keyOf = (user, name) => `${user}/${name}`;
