/**
 * Header field names and values: checking, normalising, and looking them up in a parsed head.
 *
 * Role: the string work behind `Headers` and behind node:http's `rawHeaders`.
 * Thread: a worker. Pure functions and one bounded cache of names.
 * May not: hold on to an exchange; a `FieldTable` is only read while the caller knows it is current.
 */
import type { FieldTable } from '../exchange.ts';

/** A field name is a token (RFC 9110, section 5.1 and 5.6.2). */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** What no header value may hold: NUL, CR, LF (Fetch, "header value") and what is no byte at all. */
const INVALID_VALUE = /[\0\r\n\u0100-\uffff]/;
const SHORT_VALUE = 32;
/** Names come from code, so there are few; the bound is for code that makes them from data. */
const MAX_CACHED_NAMES = 1024;
const MAX_CACHED_NAME_LENGTH = 64;

const normalNames = new Map<string, string>();

/**
 * The lower-case form of a field name.
 * @throws TypeError where it is not a token (RFC 9110, section 5.1)
 */
export function normalName(name: string): string {
  const known = normalNames.get(name);
  return known !== undefined ? known : admitName(name);
}

function admitName(raw: string): string {
  const name = `${raw}`;
  if (!TOKEN.test(name)) throw new TypeError(`Invalid header name: ${JSON.stringify(name)}`);
  const normal = name.toLowerCase();
  if (normalNames.size < MAX_CACHED_NAMES && name.length <= MAX_CACHED_NAME_LENGTH) {
    normalNames.set(name, normal);
  }
  return normal;
}

/**
 * A field value without the white space around it (Fetch, "normalize" a byte sequence).
 * @param name only for the message
 * @throws TypeError where it holds NUL, CR, LF or a character above U+00FF
 */
export function normalValue(name: string, raw: string): string {
  // Not String(): a symbol has no string value here (Web IDL, "ByteString").
  let value = typeof raw === 'string' ? raw : `${raw as unknown}`;
  let from = 0;
  let to = value.length;
  // By hand: an expression for the end would begin anew at each white space within.
  while (from < to && isWhiteSpace(value.charCodeAt(from))) from++;
  while (to > from && isWhiteSpace(value.charCodeAt(to - 1))) to--;
  if (to - from < value.length) value = value.slice(from, to);
  if (!isValidValue(value)) throw new TypeError(`Invalid value for header ${name}`);
  return value;
}

/** HTTP whitespace of the Fetch standard. */
const isWhiteSpace = (code: number): boolean =>
  code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;

/** Short values are looked through here, which is cheaper than a regular expression. */
function isValidValue(value: string): boolean {
  if (value.length > SHORT_VALUE) return !INVALID_VALUE.test(value);
  for (let index = 0; index < value.length; index++) {
    const code = value.charCodeAt(index);
    if (code > 0xff || code === 0 || code === 0x0a || code === 0x0d) return false;
  }
  return true;
}

/** Repeated fields become one value (RFC 9110, section 5.3; a cookie is the exception, RFC 6265, 5.4). */
export function joinValues(name: string, first: string, next: string): string {
  return name === 'cookie' ? `${first}; ${next}` : `${first}, ${next}`;
}

/** Whether `head` holds `name` (lower case) at `start`, whatever its case there. */
function nameIsAt(head: string, start: number, name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const wanted = name.charCodeAt(i);
    const found = head.charCodeAt(start + i);
    if (found !== wanted && (found < 0x41 || found > 0x5a || found + 0x20 !== wanted)) return false;
  }
  return true;
}

/**
 * The value of a field by a table that is current; repeated fields joined.
 * @param name lower case
 * @returns null where there is no such field
 */
export function findField(head: string, table: FieldTable, name: string): string | null {
  const { fields, fieldCount } = table;
  const length = name.length;
  let found: string | null = null;
  for (let offset = 0, end = fieldCount * 4; offset < end; offset += 4) {
    const start = fields[offset];
    if (fields[offset + 1] - start !== length || !nameIsAt(head, start, name)) continue;
    const value = head.slice(fields[offset + 2], fields[offset + 3]);
    found = found === null ? value : joinValues(name, found, value);
  }
  return found;
}

/** All fields as a flat list name, value ..., names as sent, by a table that is current. */
export function rawFieldsByTable(head: string, table: FieldTable): string[] {
  const { fields, fieldCount } = table;
  const list = new Array<string>(fieldCount * 2);
  for (let i = 0, at = 0; i < fieldCount; i++) {
    const offset = i * 4;
    list[at++] = head.slice(fields[offset], fields[offset + 1]);
    list[at++] = head.slice(fields[offset + 2], fields[offset + 3]);
  }
  return list;
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/**
 * The same from the head alone, for a request whose table was overwritten by the next parse. The
 * head was validated when it arrived, so this only splits.
 */
export function rawFieldsByScan(head: string): string[] {
  const list: string[] = [];
  let lineStart = head.indexOf('\r\n') + 2;
  while (lineStart > 1 && lineStart < head.length) {
    const lineEnd = head.indexOf('\r\n', lineStart);
    if (lineEnd <= lineStart) break;
    const colon = head.indexOf(':', lineStart);
    if (colon < 0 || colon > lineEnd) break;
    let from = colon + 1;
    let to = lineEnd;
    while (from < to && isBlank(head.charCodeAt(from))) from++;
    while (to > from && isBlank(head.charCodeAt(to - 1))) to--;
    list.push(head.slice(lineStart, colon), head.slice(from, to));
    lineStart = lineEnd + 2;
  }
  return list;
}

/** Either of the two, by whether the table still describes this head. */
export function rawFields(head: string, table: FieldTable, tableSerial: number): string[] {
  return table.serial === tableSerial ? rawFieldsByTable(head, table) : rawFieldsByScan(head);
}
