// Commands about messages of the selected mailbox (RFC 3501, 6.4), as in mailbox-commands.mjs; `isUid`:
// they are named by their uids, and so is what is found.
import { FLAG } from '../mail/mailbox.mjs';
import { SyntaxFault } from './command-reader.mjs';
import { answer, readItems, readPart } from './fetch-items.mjs';
import { existing, readMailbox } from './mailbox-commands.mjs';
import { ALL_FLAGS, bytesOf, flagBits, flagsText, No } from './replies.mjs';
import { inSet, readSearch } from './search.mjs';

/** What is written at once; a larger part of a message is sent by the kernel out of its file. */
const MAX_WRITE_BYTES = 64 * 1024;

/** The selected mailbox as it is by now. */
export const selected = ({ state, store }) => existing(store, state.user, state.mailbox);

/**
 * Messages of a set, out of those the session knows.
 * @returns {{number: number, uid: number}[]}
 */
function chosen({ state, isUid }, mailbox, ranges) {
  const uids = mailbox.uidsAt(state.position);
  const last = isUid ? (uids.at(-1) ?? 0) : uids.length;
  const messages = [];
  for (let index = 0; index < uids.length; index++) {
    const [number, uid] = [index + 1, uids[index]];
    if (inSet(ranges, isUid ? uid : number, last)) messages.push({ number, uid });
  }
  // A number that no message has is the client's mistake; a uid without one is not (6.4.8).
  const beyond = ranges.flat().some((end) => end > uids.length && end !== Number.POSITIVE_INFINITY);
  if (!isUid && (beyond || uids.length === 0)) throw new SyntaxFault('No such message');
  return messages;
}

export function fetch(command) {
  const { session, state, reader, store, isUid, own } = command;
  reader.space();
  const ranges = reader.set();
  reader.space();
  const items = readItems(reader);
  reader.end();
  if (isUid && !items.some(({ name }) => name === 'UID')) items.unshift({ name: 'UID' });
  let mailbox = selected(command);
  const messages = chosen(command, mailbox, ranges);
  const unseen = items.some(({ isSeen }) => isSeen) && state.readOnly === 0 ? unread() : [];
  if (unseen.length > 0) {
    mailbox.changeFlags(unseen, { set: FLAG.seen, clear: 0 }, state.origin);
    mailbox = selected(command);
    store.changed(state.user, state.mailbox, own);
  }
  const isNews = new Set(unseen);
  const itemsWithFlags = items.some(({ name }) => name === 'FLAGS')
    ? items
    : [{ name: 'FLAGS' }, ...items];
  return sendFrom(0);

  function unread() {
    const isUnread = (uid) => ((mailbox.message(uid)?.flags ?? FLAG.seen) & FLAG.seen) === 0;
    return messages.map(({ uid }) => uid).filter(isUnread);
  }

  /** In one go while the client takes it; then the session waits here, and other sessions go on. */
  function sendFrom(first) {
    const output = new Output(session);
    for (let index = first; index < messages.length; index++) {
      const { number, uid } = messages[index];
      const message = mailbox.message(uid);
      if (message === undefined) continue;
      const path = mailbox.pathOf(message);
      const wanted = isNews.has(uid) ? itemsWithFlags : items;
      writeMessage(output, number, answer(wanted, message, path), path);
      if (session.ended) break;
      if (output.isFull && output.flush() === false) {
        return session.drained().then(() => sendFrom(index + 1));
      }
    }
    output.flush();
    return 'Fetched';
  }
}

function writeMessage(output, number, pieces, path) {
  const begun = output.mark();
  try {
    output.text(`* ${number} FETCH (`);
    for (const piece of pieces) {
      if (typeof piece === 'string') output.text(piece);
      else if (piece.length > MAX_WRITE_BYTES) output.file(path, piece);
      else output.bytes(readPart(path, piece.offset, piece.length));
    }
    output.text(')\r\n');
  } catch (error) {
    // Expunged since, before a byte of it went out: the client will hear of that.
    if (error.code !== 'ENOENT' || !output.reset(begun)) throw error;
  }
}

/** Collects what goes out, so that small messages leave together. */
class Output {
  #session;
  #pieces = [];
  #length = 0;
  #sent = 0;
  #isTaken = true;

  constructor(session) {
    this.#session = session;
  }

  get isFull() {
    return this.#length >= MAX_WRITE_BYTES || !this.#isTaken;
  }

  text(text) {
    if (text !== '') this.bytes(bytesOf(text));
  }

  bytes(bytes) {
    this.#pieces.push(bytes);
    this.#length += bytes.length;
  }

  file(path, part) {
    this.flush();
    this.#isTaken = this.#session.sendFile(path, part);
    this.#sent++;
  }

  mark() {
    return { pieces: this.#pieces.length, length: this.#length, sent: this.#sent };
  }

  /** Takes back what came after a mark; false: some of it has left. */
  reset({ pieces, length, sent }) {
    if (sent !== this.#sent) return false;
    this.#pieces.length = pieces;
    this.#length = length;
    return true;
  }

  /** @returns {boolean} false: the client has not taken all of it yet */
  flush() {
    if (this.#length > 0) {
      this.#isTaken = this.#session.write(Buffer.concat(this.#pieces, this.#length));
      this.#sent++;
      this.#pieces = [];
      this.#length = 0;
    }
    return this.#isTaken;
  }
}

export function store(command) {
  const { session, state, reader, isUid, own } = command;
  reader.space();
  const ranges = reader.set();
  reader.space();
  const sign = reader.take('+') ? '+' : reader.take('-') ? '-' : '';
  const what = reader.keyword();
  if (what !== 'FLAGS' && what !== 'FLAGS.SILENT') throw new SyntaxFault('FLAGS expected');
  reader.space();
  const flags = flagBits(reader.looseFlags());
  reader.end();
  if (state.readOnly !== 0) throw new No('[READ-ONLY] The mailbox was opened by EXAMINE');
  const messages = chosen(command, selected(command), ranges);
  const change = {
    set: sign === '-' ? 0 : flags,
    clear: sign === '-' ? flags : sign === '+' ? 0 : ALL_FLAGS,
  };
  const before = selected(command);
  const present = messages.filter(({ uid }) => before.message(uid) !== undefined);
  before.changeFlags(
    present.map(({ uid }) => uid),
    change,
    state.origin,
  );
  const mailbox = selected(command);
  if (what === 'FLAGS') {
    const lines = present.map(({ number, uid }) => {
      const text = flagsText(mailbox.message(uid)?.flags ?? 0);
      return `* ${number} FETCH (${isUid ? `UID ${uid} ` : ''}FLAGS ${text})\r\n`;
    });
    session.write(lines.join(''));
  }
  if (present.length > 0) command.store.changed(state.user, state.mailbox, own);
  return 'Stored';
}

export function search(command) {
  const { session, state, reader, isUid } = command;
  reader.space();
  const criterion = readSearch(reader);
  reader.end();
  const mailbox = selected(command);
  const uids = mailbox.uidsAt(state.position);
  const found = [];
  for (let index = 0; index < uids.length; index++) {
    const message = mailbox.message(uids[index]);
    if (message === undefined) continue;
    const path = mailbox.pathOf(message);
    const range = { last: uids.length, lastUid: uids.at(-1) };
    const candidate = { message, number: index + 1, path, ...range };
    if (holds(criterion, candidate)) found.push(isUid ? message.uid : index + 1);
  }
  session.write(`* SEARCH${found.map((number) => ` ${number}`).join('')}\r\n`);
  return 'Searched';
}

function holds(criterion, candidate) {
  try {
    return criterion(candidate);
  } catch (error) {
    // Expunged since.
    if (error.code === 'ENOENT') return false;
    throw error;
  }
}

export function copy(command) {
  const { state, reader, own } = command;
  reader.space();
  const ranges = reader.set();
  const name = readMailbox(reader);
  reader.end();
  const from = selected(command);
  const target = existing(command.store, state.user, name, 'TRYCREATE');
  // Files before records: all of them are copied or, but for a full disk, none.
  const messages = chosen(command, from, ranges).map(({ uid }) => from.message(uid));
  if (messages.includes(undefined)) throw new No('[EXPUNGEISSUED] One of them is gone');
  for (const { flags, size, date, ...message } of messages) {
    target.add(from.pathOf(message), { flags, size, date });
  }
  command.store.changed(state.user, name, own);
  return 'Copied';
}

export function expunge(command) {
  const { state, reader, own } = command;
  reader.end();
  if (state.readOnly !== 0) throw new No('[READ-ONLY] The mailbox was opened by EXAMINE');
  expungeDeleted(command, selected(command), own);
  return 'Expunged';
}

/** All that are marked, whichever session marked them. */
export function expungeDeleted({ state, store: mails }, mailbox, own) {
  const isDeleted = (uid) => (mailbox.message(uid).flags & FLAG.deleted) !== 0;
  const deleted = mailbox.uids.filter(isDeleted);
  if (deleted.length === 0) return;
  mailbox.expunge(deleted);
  mails.changed(state.user, state.mailbox, own);
}
