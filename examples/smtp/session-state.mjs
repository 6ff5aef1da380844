// What an SMTP session remembers between two calls: bytes that go with its connection from worker to
// worker. A transaction's addresses and its mail are in the spool.
import { NAME_BYTES } from '../mail/journal.mjs';

/** connected: no EHLO yet; ready: between mails; envelope: MAIL was accepted; data: behind DATA. */
export const PHASE = { connected: 0, ready: 1, envelope: 2, data: 3 };
export const STATES = ['connected', 'ready', 'envelope', 'data'];
/** A line that is too long is thrown away up to its end; its last byte was a CR or another. */
export const DISCARD = { no: 0, yes: 1, behindCr: 2 };

export const MAX_HELLO = 128;
const OFFSET = {
  phase: 0,
  extended: 1,
  utf8: 2,
  discard: 3,
  errors: 4,
  decoderAt: 5,
  fault: 6,
  helloLength: 7,
  size: 8,
  recipients: 12,
  lineBytes: 14,
  name: 16,
  hello: 16 + NAME_BYTES,
};
export const DATA_BYTES = OFFSET.hello + MAX_HELLO;

/** One byte of the session's memory. */
const byte = (offset) => ({
  get() {
    return this.data[offset];
  },
  set(value) {
    this.data[offset] = value;
  },
});

export class SessionState {
  /** @param {Buffer} data all zero for a new session */
  constructor(data) {
    this.data = data;
  }

  /** Of the mail that is coming in, so far. */
  get size() {
    return this.data.readUInt32LE(OFFSET.size);
  }
  set size(value) {
    this.data.writeUInt32LE(value, OFFSET.size);
  }

  get recipients() {
    return this.data.readUInt16LE(OFFSET.recipients);
  }
  set recipients(value) {
    this.data.writeUInt16LE(value, OFFSET.recipients);
  }

  get lineBytes() {
    return this.data.readUInt16LE(OFFSET.lineBytes);
  }
  set lineBytes(value) {
    this.data.writeUInt16LE(value, OFFSET.lineBytes);
  }

  /** The transaction's name in the spool. */
  get name() {
    return this.data.hexSlice(OFFSET.name, OFFSET.hello);
  }
  set name(value) {
    this.data.write(value, OFFSET.name, NAME_BYTES, 'hex');
  }

  /** What the client calls itself. */
  get hello() {
    return this.data.utf8Slice(OFFSET.hello, OFFSET.hello + this.data[OFFSET.helloLength]);
  }
  set hello(value) {
    this.data[OFFSET.helloLength] = this.data.write(value, OFFSET.hello, MAX_HELLO);
  }
}

Object.defineProperties(SessionState.prototype, {
  phase: byte(OFFSET.phase),
  /** EHLO rather than HELO. */
  extended: byte(OFFSET.extended),
  /** This mail was announced with SMTPUTF8. */
  utf8: byte(OFFSET.utf8),
  discard: byte(OFFSET.discard),
  errors: byte(OFFSET.errors),
  at: byte(OFFSET.decoderAt),
  fault: byte(OFFSET.fault),
});
