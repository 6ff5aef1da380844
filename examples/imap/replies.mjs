// Words to the client that several commands use, and who hears of what.
import { FLAG } from '../mail/mailbox.mjs';
import { SyntaxFault } from './command-reader.mjs';

/** The command cannot be done; the client gets the words with NO. */
export class No extends Error {}

const FLAG_NAMES = [
  ['\\Seen', FLAG.seen],
  ['\\Answered', FLAG.answered],
  ['\\Flagged', FLAG.flagged],
  ['\\Deleted', FLAG.deleted],
  ['\\Draft', FLAG.draft],
];
export const ALL_FLAGS = FLAG_NAMES.reduce((all, [, bit]) => all | bit, 0);

export function flagsText(flags) {
  return `(${FLAG_NAMES.filter(([, bit]) => (flags & bit) !== 0)
    .map(([name]) => name)
    .join(' ')})`;
}

/** Bits for names; words of the client's own are not kept, as PERMANENTFLAGS says. */
export function flagBits(names) {
  let flags = 0;
  for (const name of names) {
    const found = FLAG_NAMES.find(([known]) => known.toLowerCase() === name.toLowerCase());
    if (found !== undefined) flags |= found[1];
    else if (name.startsWith('\\') && name.toLowerCase() !== '\\recent') {
      throw new SyntaxFault(`No such flag: ${name}`);
    }
  }
  return flags;
}

/** A text as quoted string where that can be, as literal otherwise; `null` is NIL. */
export function nstring(text) {
  if (text === null) return 'NIL';
  if (text.length < 512 && /^[ -~]*$/.test(text)) return `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
  return `{${Buffer.byteLength(text, 'latin1')}}\r\n${text}`;
}

/** Strings here have a byte in each character; the session would write them as UTF-8. */
export const bytesOf = (text) => Buffer.from(text, 'latin1');

/** The index of a uid among others that ascend, -1: it is not there. */
export function indexOfUid(uids, uid) {
  let low = 0;
  let high = uids.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (uids[middle] < uid) low = middle + 1;
    else high = middle;
  }
  return uids[low] === uid ? low : -1;
}

/**
 * What the client has to hear about its mailbox, and that it has (RFC 9051, 7.4.1 and 7.5.1).
 * @param {boolean} keepNumbers no message may lose its number now: what comes after the first that was
 *   expunged has to wait
 */
export function updatesText(state, mailbox, keepNumbers) {
  const { position, added, expunged, flagged } = mailbox.changes(
    state.position,
    state.origin,
    keepNumbers,
  );
  let text = '';
  if (expunged.length > 0) {
    const uids = [...mailbox.uidsAt(state.position)];
    for (const uid of expunged) {
      const index = indexOfUid(uids, uid);
      // One that came and went since then was never told of.
      if (index < 0) continue;
      uids.splice(index, 1);
      text += `* ${index + 1} EXPUNGE\r\n`;
    }
  }
  if (added > 0 || flagged.size > 0) {
    const uids = mailbox.uidsAt(position);
    if (added > 0) text += `* ${uids.length} EXISTS\r\n`;
    for (const uid of flagged) {
      const message = mailbox.message(uid);
      const index = message === undefined ? -1 : indexOfUid(uids, uid);
      if (index < 0) continue;
      text += `* ${index + 1} FETCH (UID ${uid} FLAGS ${flagsText(message.flags)})\r\n`;
    }
  }
  state.position = position;
  return text;
}
