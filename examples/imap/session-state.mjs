// What an IMAP session remembers between two calls: bytes that go with its connection from worker to
// worker. What it knows of its mailbox is a position in the mailbox's journal (mailbox.mjs).
import { NAME_BYTES } from '../mail/journal.mjs';
import { MAX_NAME_LENGTH } from '../mail/mail-store.mjs';

export const PHASE = { stranger: 0, authenticated: 1, selected: 2 };
/** What the bytes are that come next. */
export const INPUT = { command: 0, message: 1, discardLine: 2, discardLiteral: 3, idle: 4 };
export const STATES = ['stranger', 'authenticated', 'selected', 'append', 'idle'];

export const MAX_TAG = 24;
const TEXT = 28 + NAME_BYTES;
const OFFSET = {
  phase: 0,
  input: 1,
  readOnly: 2,
  continuations: 3,
  failures: 4,
  tagLength: 5,
  userLength: 6,
  mailboxLength: 7,
  origin: 8,
  position: 12,
  left: 16,
  cell: 20,
  behindCr: 24,
  name: 28,
  tag: TEXT,
  user: TEXT + MAX_TAG,
  mailbox: TEXT + MAX_TAG + MAX_NAME_LENGTH,
};
export const DATA_BYTES = OFFSET.mailbox + MAX_NAME_LENGTH;

const byte = (offset) => ({
  get() {
    return this.data[offset];
  },
  set(value) {
    this.data[offset] = value;
  },
});
const word = (offset) => ({
  get() {
    return this.data.readUInt32LE(offset);
  },
  set(value) {
    this.data.writeUInt32LE(value, offset);
  },
});
const text = (offset, lengthOffset, max) => ({
  get() {
    return this.data.latin1Slice(offset, offset + this.data[lengthOffset]);
  },
  set(value) {
    if (value.length > max) throw new RangeError(`more than ${max} characters: ${value}`);
    this.data[lengthOffset] = this.data.write(value, offset, max, 'latin1');
  },
});

export class SessionState {
  /** @param {Buffer} data all zero for a new session */
  constructor(data) {
    this.data = data;
  }

  /** The name in the spool of the message that comes in. */
  get name() {
    return this.data.hexSlice(OFFSET.name, OFFSET.name + NAME_BYTES);
  }
  set name(value) {
    this.data.write(value, OFFSET.name, NAME_BYTES, 'hex');
  }

  /** The cell among the watchers, -1: none. */
  get cell() {
    return this.data.readUInt32LE(OFFSET.cell) - 1;
  }
  set cell(value) {
    this.data.writeUInt32LE(value + 1, OFFSET.cell);
  }
}

Object.defineProperties(SessionState.prototype, {
  phase: byte(OFFSET.phase),
  input: byte(OFFSET.input),
  /** EXAMINE rather than SELECT. */
  readOnly: byte(OFFSET.readOnly),
  /** How many literals of the command that comes in were asked for. */
  continuations: byte(OFFSET.continuations),
  /** Logins and commands that went wrong. */
  failures: byte(OFFSET.failures),
  /** The last byte that was thrown away was a CR. */
  behindCr: byte(OFFSET.behindCr),
  /** Marks in journals what this session did; its id. */
  origin: word(OFFSET.origin),
  /** Up to where in the journal the client has been told of the mailbox. */
  position: word(OFFSET.position),
  /** Bytes of a literal that are still to come. */
  left: word(OFFSET.left),
  tag: text(OFFSET.tag, OFFSET.tagLength, MAX_TAG),
  user: text(OFFSET.user, OFFSET.userLength, MAX_NAME_LENGTH),
  mailbox: text(OFFSET.mailbox, OFFSET.mailboxLength, MAX_NAME_LENGTH),
});
