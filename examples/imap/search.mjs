// SEARCH (RFC 9051, 6.4.4): what a client looks for, as a function of a message.
import { FLAG } from '../mail/mailbox.mjs';
import { SyntaxFault } from './command-reader.mjs';
import { readPart } from './fetch-items.mjs';
import { fieldValues, headerLength } from './header.mjs';
import { No } from './replies.mjs';

const SECONDS_PER_DAY = 86_400;
/** How deep NOT, OR and parentheses may go. */
const MAX_DEPTH = 50;
/** Of a message, looked through for a text. */
const MAX_TEXT_BYTES = 8 * 1024 * 1024;

/**
 * @typedef {object} Candidate
 * @property {import('../mail/mailbox.mjs').Message} message
 * @property {number} number
 * @property {number} last the number of the last message
 * @property {number} lastUid
 * @property {string} path its file
 *
 * @typedef {(candidate: Candidate) => boolean} Criterion
 */

const has = (flag) => () => (candidate) => (candidate.message.flags & FLAG[flag]) !== 0;
const hasNot = (flag) => () => (candidate) => (candidate.message.flags & FLAG[flag]) === 0;
const all = () => () => true;
const none = () => () => false;
const field = (name) => (reader) => header(name, argument(reader));
const day = (holds) => (reader) => {
  reader.space();
  const wanted = reader.date();
  return ({ message }) => holds(Math.floor(message.date / SECONDS_PER_DAY), wanted);
};
const size = (holds) => (reader) => {
  reader.space();
  const wanted = reader.number();
  return ({ message }) => holds(message.size, wanted);
};

/** No message is \Recent here: it is nobody's business who came first. */
const KEYS = {
  ALL: all,
  SEEN: has('seen'),
  UNSEEN: hasNot('seen'),
  ANSWERED: has('answered'),
  UNANSWERED: hasNot('answered'),
  FLAGGED: has('flagged'),
  UNFLAGGED: hasNot('flagged'),
  DELETED: has('deleted'),
  UNDELETED: hasNot('deleted'),
  DRAFT: has('draft'),
  UNDRAFT: hasNot('draft'),
  NEW: none,
  RECENT: none,
  OLD: all,
  KEYWORD: (reader) => {
    argument(reader);
    return none();
  },
  UNKEYWORD: (reader) => {
    argument(reader);
    return all();
  },
  BEFORE: day((date, wanted) => date < wanted),
  ON: day((date, wanted) => date === wanted),
  SINCE: day((date, wanted) => date >= wanted),
  LARGER: size((bytes, wanted) => bytes > wanted),
  SMALLER: size((bytes, wanted) => bytes < wanted),
  FROM: field('from'),
  TO: field('to'),
  CC: field('cc'),
  BCC: field('bcc'),
  SUBJECT: field('subject'),
  HEADER: (reader) => {
    const name = argument(reader).toLowerCase();
    return header(name, argument(reader));
  },
  BODY: (reader) => content(argument(reader), true),
  TEXT: (reader) => content(argument(reader), false),
  UID: (reader) => {
    reader.space();
    const ranges = reader.set();
    return ({ message, lastUid }) => inSet(ranges, message.uid, lastUid);
  },
  NOT: (reader, depth) => {
    reader.space();
    const criterion = readKey(reader, depth + 1);
    return (candidate) => !criterion(candidate);
  },
  OR: (reader, depth) => {
    reader.space();
    const one = readKey(reader, depth + 1);
    reader.space();
    const other = readKey(reader, depth + 1);
    return (candidate) => one(candidate) || other(candidate);
  },
};

/** Whether a number is in a set; `*` is the last one, also where a range goes beyond it. */
export function inSet(ranges, number, last) {
  return ranges.some((ends) => {
    const [one, other] = ends.map((end) => (end === Number.POSITIVE_INFINITY ? last : end));
    return number >= Math.min(one, other) && number <= Math.max(one, other);
  });
}

/** @returns {Criterion} */
export function readSearch(reader) {
  if (/^c/i.test(reader.peek()) && reader.takeWord('CHARSET')) {
    reader.space();
    const charset = reader.astring().toUpperCase();
    if (charset !== 'UTF-8' && charset !== 'US-ASCII') {
      throw new No('[BADCHARSET (US-ASCII UTF-8)] Not that one');
    }
    reader.space();
  }
  return readKeys(reader, 0);
}

/** One after the other: all of them have to hold. */
function readKeys(reader, depth) {
  const criteria = [readKey(reader, depth)];
  while (reader.take(' ')) criteria.push(readKey(reader, depth));
  return (candidate) => criteria.every((criterion) => criterion(candidate));
}

function readKey(reader, depth) {
  if (depth > MAX_DEPTH) throw new SyntaxFault('Too deep');
  if (reader.take('(')) {
    const criterion = readKeys(reader, depth + 1);
    reader.skip(')');
    return criterion;
  }
  if (reader.isSet()) {
    const ranges = reader.set();
    return ({ number, last }) => inSet(ranges, number, last);
  }
  const name = reader.keyword();
  if (!Object.hasOwn(KEYS, name)) throw new SyntaxFault(`Not to be searched for: ${name}`);
  return KEYS[name](reader, depth);
}

function argument(reader) {
  reader.space();
  return reader.astring();
}

/** Without regard to case, byte by byte: what is encoded in the mail is not decoded. */
function header(name, text) {
  const wanted = text.toLowerCase();
  return ({ path, message }) => {
    const bytes = readPart(path, 0, Math.min(message.size, MAX_TEXT_BYTES));
    const values = fieldValues(bytes.latin1Slice(0, headerLength(bytes)), name);
    return values.some((value) => value.toLowerCase().includes(wanted));
  };
}

function content(text, isBody) {
  const wanted = text.toLowerCase();
  return ({ path, message }) => {
    const bytes = readPart(path, 0, Math.min(message.size, MAX_TEXT_BYTES));
    const from = isBody ? headerLength(bytes) : 0;
    return bytes.latin1Slice(from).toLowerCase().includes(wanted);
  };
}
