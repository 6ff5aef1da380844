// What FETCH may ask for (RFC 9051, 6.4.5), and what a message says to it.
import { closeSync, openSync, readSync } from 'node:fs';
import { dateTimeText, SyntaxFault } from './command-reader.mjs';
import { envelopeText } from './envelope.mjs';
import { chosenFields, headerLength } from './header.mjs';
import { flagsText } from './replies.mjs';

const MACROS = {
  ALL: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE', 'ENVELOPE'],
  FAST: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE'],
};
const PLAIN = new Set(['FLAGS', 'UID', 'INTERNALDATE', 'RFC822.SIZE', 'ENVELOPE']);
/** Old names of sections: what they answer to, and what they stand for (RFC 3501, 6.4.5). */
const OLD = {
  RFC822: { section: '', isSeen: true },
  'RFC822.HEADER': { section: 'HEADER', isSeen: false },
  'RFC822.TEXT': { section: 'TEXT', isSeen: true },
};
/** Of a message, looked at for its header. */
const MAX_HEADER_BYTES = 256 * 1024;

/**
 * @typedef {{name: string}} PlainItem
 * @typedef {{name: 'BODY', label: string, section: string, fields: string[], isSeen: boolean,
 *   partial: [number, number] | null}} BodyItem `section` '', HEADER, TEXT, HEADER.FIELDS or
 *   HEADER.FIELDS.NOT; who is given it has seen the message, if `isSeen`
 */

/** @returns {(PlainItem | BodyItem)[]} */
export function readItems(reader) {
  if (reader.peek() !== '(') {
    const item = readItem(reader);
    const macro = MACROS[item.name];
    return macro === undefined ? [checked(item)] : macro.map((name) => ({ name }));
  }
  reader.skip('(');
  const items = [checked(readItem(reader))];
  while (reader.take(' ')) items.push(checked(readItem(reader)));
  reader.skip(')');
  return items;
}

function checked(item) {
  if (item.name === 'BODY' || PLAIN.has(item.name)) return item;
  throw new SyntaxFault(`Not to be had here: ${item.name}`);
}

function readItem(reader) {
  const name = reader.keyword();
  const old = OLD[name];
  if (old !== undefined) return { name: 'BODY', label: name, fields: [], partial: null, ...old };
  if ((name !== 'BODY' && name !== 'BODY.PEEK') || !reader.take('[')) {
    return { name: name === 'BODY' ? 'BODY without a section' : name };
  }
  let section = '';
  let fields = [];
  if (reader.peek() !== ']') section = reader.keyword();
  if (section.startsWith('HEADER.FIELDS')) {
    reader.space();
    fields = readFields(reader);
  }
  if (!['', 'HEADER', 'TEXT', 'HEADER.FIELDS', 'HEADER.FIELDS.NOT'].includes(section)) {
    throw new SyntaxFault(`Not to be had here: BODY[${section}]`);
  }
  reader.skip(']');
  const partial = reader.take('<') ? readPartial(reader) : null;
  const chosen = fields.length > 0 ? `${section} (${fields.join(' ')})` : section;
  const label = `BODY[${chosen}]${partial === null ? '' : `<${partial[0]}>`}`;
  return { name: 'BODY', label, section, fields, isSeen: name === 'BODY', partial };
}

function readFields(reader) {
  reader.skip('(');
  const fields = [reader.astring()];
  while (reader.take(' ')) fields.push(reader.astring());
  reader.skip(')');
  if (!fields.every((field) => /^[!-9;-~]+$/.test(field))) throw new SyntaxFault('No field names');
  return fields;
}

function readPartial(reader) {
  const offset = reader.number();
  reader.skip('.');
  const length = reader.number();
  reader.skip('>');
  if (length === 0) throw new SyntaxFault('A part of no bytes');
  return [offset, length];
}

/**
 * A message's answer, piece by piece: texts (a byte in each character), and parts of its file.
 * @param {(PlainItem | BodyItem)[]} items
 * @param {import('../mail/mailbox.mjs').Message} message
 * @param {string} path its file
 * @throws ENOENT where it was expunged meanwhile
 */
export function* answer(items, message, path) {
  const header = lazy(() => readHeader(path, message.size));
  let between = '';
  for (const item of items) {
    yield between;
    between = ' ';
    if (item.name === 'BODY') {
      yield* bodyAnswer(item, message, header);
    } else {
      yield `${item.name} ${plainAnswer(item.name, message, header)}`;
    }
  }
}

function plainAnswer(name, message, header) {
  switch (name) {
    case 'FLAGS':
      return flagsText(message.flags);
    case 'UID':
      return String(message.uid);
    case 'INTERNALDATE':
      return `"${dateTimeText(message.date)}"`;
    case 'RFC822.SIZE':
      return String(message.size);
    default:
      return envelopeText(header());
  }
}

function* bodyAnswer({ label, section, fields, partial }, { size }, header) {
  const [skipped, most] = partial ?? [0, Number.MAX_SAFE_INTEGER];
  if (section.startsWith('HEADER.FIELDS')) {
    const text = chosenFields(header(), fields, section === 'HEADER.FIELDS');
    const part = text.slice(skipped, skipped + most);
    yield `${label} {${part.length}}\r\n${part}`;
    return;
  }
  const split = section === '' ? 0 : header().length;
  const [first, end] = section === 'HEADER' ? [0, split] : [split, size];
  const offset = Math.min(first + skipped, end);
  const length = Math.min(most, end - offset);
  yield `${label} {${length}}\r\n`;
  if (length > 0) yield { offset, length };
}

function lazy(make) {
  let made;
  return () => {
    made ??= make();
    return made;
  };
}

/** The header with the empty line behind it; a byte in each character. */
function readHeader(path, size) {
  const bytes = readPart(path, 0, Math.min(size, MAX_HEADER_BYTES));
  return bytes.latin1Slice(0, headerLength(bytes));
}

/** @throws ENOENT where the message was expunged meanwhile */
export function readPart(path, offset, length) {
  const bytes = Buffer.allocUnsafe(length);
  const fd = openSync(path, 'r');
  try {
    let at = 0;
    while (at < length) {
      const count = readSync(fd, bytes, at, length - at, offset + at);
      if (count === 0) throw new Error(`${path} has become shorter`);
      at += count;
    }
  } finally {
    closeSync(fd);
  }
  return bytes;
}
