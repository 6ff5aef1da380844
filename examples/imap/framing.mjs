// Where a command ends: lines and literals (RFC 9051, 4.3).
//
// `{n}` at the end of a line announces n bytes, which the client sends once it is told to; after `{n+}`
// (RFC 7888) they come unasked. A command is handled when all of it is there, but for the message of an
// APPEND, which goes to a file as it comes.
import { CommandReader, SyntaxFault } from './command-reader.mjs';

/** Bytes of a command with its literals, without a message. */
export const MAX_COMMAND_BYTES = 8192;

const LF = 10;
const CR = 13;
const LITERAL = /\{(\d{1,10})(\+?)\}$/;

/**
 * @typedef {{kind: 'more'} | {kind: 'command', end: number} | {kind: 'ask'}
 *   | {kind: 'bareEnd'} | {kind: 'tooLong', literal: number, end: number}
 *   | {kind: 'message', end: number, bytes: number, isAsked: boolean}} Frame
 *
 * `more`: it is not all there. `ask`: the client waits to be told to send its next literal.
 * `tooLong`: thrown away up to `end`, then `literal` bytes (-1: none, and up to the line's end).
 * `message`: up to `end` an APPEND, and then `bytes` bytes, for which the client waits if `isAsked`.
 */

/**
 * @param {Buffer} bytes from the beginning of a command
 * @param {number} asked how many of its literals were asked for
 * @returns {Frame}
 */
export function frame(bytes, asked) {
  let at = 0;
  let literals = 0;
  for (;;) {
    const end = bytes.indexOf(LF, at);
    if (end < 0) {
      if (bytes.length <= MAX_COMMAND_BYTES) return { kind: 'more' };
      return { kind: 'tooLong', literal: -1, end: bytes.length };
    }
    // A line that others may take for two is nobody's command.
    if (end === at || bytes.indexOf(CR, at) !== end - 1) return { kind: 'bareEnd' };
    const found = LITERAL.exec(bytes.latin1Slice(Math.max(at, end - 16), end - 1));
    if (found === null) {
      if (end >= MAX_COMMAND_BYTES) return { kind: 'tooLong', literal: -2, end: end + 1 };
      return { kind: 'command', end: end + 1 };
    }
    const length = Number(found[1]);
    const waits = found[2] === '';
    if (isMessage(bytes.latin1Slice(0, end + 1 - found[0].length - 2))) {
      return { kind: 'message', end: end + 1, bytes: length, isAsked: waits };
    }
    const needed = end + 1 + length;
    if (needed > MAX_COMMAND_BYTES) {
      // A client that waits is told no and goes on behind the line.
      return { kind: 'tooLong', literal: waits ? -2 : length, end: end + 1 };
    }
    literals++;
    if (waits && literals > asked) return { kind: 'ask' };
    if (bytes.length < needed) return { kind: 'more' };
    at = needed;
  }
}

/** An APPEND, as far as it goes before the literal that is its message. */
function isMessage(text) {
  if (!/^[^ ]+ APPEND /i.test(text)) return false;
  try {
    readAppend(new CommandReader(text));
    return true;
  } catch (error) {
    if (error instanceof SyntaxFault) return false;
    throw error;
  }
}

/** RFC 9051, 6.3.12: what stands before the message. */
export function readAppend(reader) {
  const tag = reader.tag();
  reader.space();
  reader.atom();
  reader.space();
  const mailbox = reader.astring();
  reader.space();
  let flags = [];
  let date;
  if (reader.peek() === '(') {
    flags = reader.flags();
    reader.space();
  }
  if (reader.peek() === '"') {
    date = reader.dateTime();
    reader.space();
  }
  reader.end();
  return { tag, mailbox, flags, date };
}
