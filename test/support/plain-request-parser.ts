/**
 * The plain parser: the grammar of the request parser once more, as regular expressions.
 *
 * Role: says in the differential tests what the fast parser has to answer, and why.
 * Thread: tests and benchmarks only.
 * May not: be fast, share a table with the fast parser, or know more than the text it is given.
 */

export interface PlainLimits {
  requestLine: number;
  fieldSize: number;
  fields: number;
}

export interface PlainRefusal {
  kind: 'refused';
  status: number;
  error: string;
}

export interface PlainRequest {
  kind: 'complete';
  /** Offset behind the empty line. */
  end: number;
  headStart: number;
  method: string;
  target: string;
  minorVersion: 0 | 1;
  /** Name start, name end, value start, value end, relative to headStart. */
  fields: [number, number, number, number][];
  contentLength: number;
  chunked: boolean;
  keepAlive: boolean;
  expectContinue: boolean;
  upgrade: boolean;
  hostField: number;
}

export type PlainResult = PlainRequest | PlainRefusal | { kind: 'incomplete' };

const TCHAR = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]";
const TARGET_CHAR = '[!"$-~]';
const VALUE_CHAR = '[\\t\\x20-\\x7e\\x80-\\xff]';

// Each line twice: its longest acceptable beginning, and the whole of it.
const VERSION_BEGINNING = 'H(?:T(?:T(?:P(?:/(?:[0-9](?:\\.(?:(?<=/1\\.)[01])?)?)?)?)?)?)?';
const REQUEST_LINE_BEGINNING = new RegExp(
  `(?:${TCHAR}{1,32}(?: (?:${TARGET_CHAR}+(?: (?:${VERSION_BEGINNING})?)?)?)?)?`,
  'y',
);
const REQUEST_LINE = new RegExp(`^(${TCHAR}{1,32}) (${TARGET_CHAR}+) HTTP/1\\.([01])$`);
const FIELD_BEGINNING = new RegExp(`(?:${TCHAR}+(?::${VALUE_CHAR}*)?)?`, 'y');
const FIELD = new RegExp(`^(${TCHAR}+):[ \\t]*(${VALUE_CHAR}*?)[ \\t]*$`, 'd');

// RFC 3986, section 3.2.2 and appendix A, letter by letter.
const HEX16 = '[0-9A-Fa-f]{1,4}';
const OCTET = '(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])';
const IPV4 = `${OCTET}\\.${OCTET}\\.${OCTET}\\.${OCTET}`;
const LS32 = `(?:${HEX16}:${HEX16}|${IPV4})`;
const IPV6 = [
  `(?:${HEX16}:){6}${LS32}`,
  `::(?:${HEX16}:){5}${LS32}`,
  `(?:${HEX16})?::(?:${HEX16}:){4}${LS32}`,
  `(?:(?:${HEX16}:){0,1}${HEX16})?::(?:${HEX16}:){3}${LS32}`,
  `(?:(?:${HEX16}:){0,2}${HEX16})?::(?:${HEX16}:){2}${LS32}`,
  `(?:(?:${HEX16}:){0,3}${HEX16})?::${HEX16}:${LS32}`,
  `(?:(?:${HEX16}:){0,4}${HEX16})?::${LS32}`,
  `(?:(?:${HEX16}:){0,5}${HEX16})?::${HEX16}`,
  `(?:(?:${HEX16}:){0,6}${HEX16})?::`,
].join('|');
const UNRESERVED_SUB_DELIMS = "[A-Za-z0-9\\-._~!$&'()*+,;=]";
const IP_FUTURE = `[vV][0-9A-Fa-f]+\\.(?:${UNRESERVED_SUB_DELIMS}|:)+`;
const REG_NAME = `(?:${UNRESERVED_SUB_DELIMS}|%[0-9A-Fa-f]{2})+`;
const HOST = new RegExp(`^(?:${REG_NAME}|\\[(?:${IPV6}|${IP_FUTURE})\\])(?::([0-9]*))?$`);

class Refused extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string) {
    super(code);
    this.status = status;
    this.code = code;
  }
}

class Incomplete extends Error {}

/** Parses a head that starts with `text`, one character a byte. */
export function plainParse(text: string, limits: PlainLimits): PlainResult {
  try {
    return parseHead(text, limits);
  } catch (error) {
    if (error instanceof Refused) {
      return { kind: 'refused', status: error.status, error: error.code };
    }
    if (error instanceof Incomplete) return { kind: 'incomplete' };
    throw error;
  }
}

function parseHead(text: string, limits: PlainLimits): PlainRequest {
  const headStart = text.startsWith('\r') ? lineEnd(text, 0) : 0;
  const requestLine = readLine(text, headStart, {
    beginning: REQUEST_LINE_BEGINNING,
    whole: REQUEST_LINE,
    limit: limits.requestLine,
    tooLong: new Refused(414, 'request-line-too-long'),
    fault: requestLineFault,
  });
  const [, method, target, minor] = REQUEST_LINE.exec(requestLine)!;
  if (!isTarget(target, method)) throw new Refused(400, 'invalid-target-form');

  const lines: { name: string; value: string }[] = [];
  const fields: PlainRequest['fields'] = [];
  let at = headStart + requestLine.length + 2;
  while (text[at] !== '\r') {
    if (at === text.length) throw new Incomplete();
    if (fields.length === limits.fields) throw new Refused(431, 'too-many-fields');
    const line = readLine(text, at, {
      beginning: FIELD_BEGINNING,
      whole: FIELD,
      limit: limits.fieldSize,
      tooLong: new Refused(431, 'field-too-large'),
      fault: fieldFault,
    });
    const match = FIELD.exec(line)!;
    const name = match.indices![1]!;
    const value = match.indices![2]!;
    const base = at - headStart;
    // Of a value that is all white space the expression gives the end; so does the fast parser.
    fields.push([base + name[0], base + name[1], base + value[0], base + value[1]]);
    lines.push({ name: match[1].toLowerCase(), value: match[2] });
    checkField(lines);
    at += line.length + 2;
  }
  const end = lineEnd(text, at);
  const minorVersion = minor === '1' ? 1 : 0;
  return {
    kind: 'complete',
    end,
    headStart,
    method,
    target,
    fields,
    ...conclude(lines, minorVersion),
  };
}

/** Offset behind the CRLF that has to be at `at`, where a CR is. */
function lineEnd(text: string, at: number): number {
  if (at + 1 === text.length) throw new Incomplete();
  if (text[at + 1] !== '\n') throw new Refused(400, 'bare-cr');
  return at + 2;
}

interface LineRules {
  beginning: RegExp;
  whole: RegExp;
  limit: number;
  tooLong: Refused;
  fault: (before: string, character: string) => Refused;
}

/** The line at `at` without its CRLF, or the first thing wrong with it. */
function readLine(text: string, at: number, rules: LineRules): string {
  rules.beginning.lastIndex = at;
  const good = rules.beginning.exec(text)![0];
  if (good.length > rules.limit) throw rules.tooLong;
  const next = text[at + good.length];
  if (next === undefined) throw new Incomplete();
  if (next === '\r' && rules.whole.test(good)) {
    lineEnd(text, at + good.length);
    return good;
  }
  if (good.length === rules.limit && next !== '\r') throw rules.tooLong;
  throw rules.fault(good, next);
}

function requestLineFault(before: string, character: string): Refused {
  if (character === '\n') return new Refused(400, 'bare-lf');
  if (character === '\r') return new Refused(400, 'truncated-request-line');
  const parts = before.split(' ');
  if (parts.length === 1) {
    return new RegExp(TCHAR).test(character)
      ? new Refused(501, 'method-too-long')
      : new Refused(400, 'invalid-method');
  }
  if (character === ' ') return new Refused(400, 'extra-space');
  if (parts.length === 2) return new Refused(400, 'invalid-target');
  const major = /^HTTP\/([0-9])\.$/.exec(parts[2]);
  return major !== null && major[1] !== '0' && /[0-9]/.test(character)
    ? new Refused(505, 'unsupported-version')
    : new Refused(400, 'invalid-version');
}

function fieldFault(before: string, character: string): Refused {
  if (character === '\n') return new Refused(400, 'bare-lf');
  if (before.includes(':')) return new Refused(400, 'invalid-field-value');
  if (character === ' ' || character === '\t') {
    return new Refused(400, before === '' ? 'obs-fold' : 'space-before-colon');
  }
  return new Refused(400, character === '\r' ? 'missing-colon' : 'invalid-field-name');
}

function isHost(text: string, port: 'needed' | 'optional'): boolean {
  const match = HOST.exec(text);
  if (match === null || Number(match[1] ?? 0) > 65535) return false;
  return port === 'optional' || (match[1] ?? '') !== '';
}

function isTarget(target: string, method: string): boolean {
  if (method === 'CONNECT') return isHost(target, 'needed');
  if (target.startsWith('/')) return true;
  if (target === '*') return method === 'OPTIONS';
  const authority = /^https?:\/\/([^/?]*)/i.exec(target);
  return authority !== null && isHost(authority[1], 'optional');
}

/** What can be told of the last line, given those before it. */
function checkField(lines: { name: string; value: string }[]): void {
  const { name, value } = lines.at(-1)!;
  const repeated = lines.filter((line) => line.name === name).length > 1;
  if (name === 'host') {
    if (repeated) throw new Refused(400, 'duplicate-host');
    if (value !== '' && !isHost(value, 'optional')) throw new Refused(400, 'invalid-host');
  }
  if (name === 'content-length') {
    if (repeated) throw new Refused(400, 'duplicate-content-length');
    if (!/^[0-9]+$/.test(value) || BigInt(value) > 2n ** 53n - 1n) {
      throw new Refused(400, 'invalid-content-length');
    }
  }
}

/** What can be told at the end of the head. */
function conclude(lines: { name: string; value: string }[], minorVersion: 0 | 1) {
  const values = (name: string) => lines.filter((l) => l.name === name).map((l) => l.value);
  const list = (name: string) =>
    values(name).flatMap((value) => value.split(',').map((e) => trim(e).toLowerCase()));
  const codings = list('transfer-encoding');
  const length = values('content-length')[0];
  if (codings.length > 0) {
    const token = new RegExp(`^${TCHAR}+$`);
    if (!codings.every((coding) => token.test(coding))) {
      throw new Refused(400, 'invalid-transfer-encoding');
    }
    if (codings.slice(0, -1).includes('chunked')) throw new Refused(400, 'chunked-not-last');
    if (minorVersion === 0) throw new Refused(400, 'transfer-encoding-on-http10');
    if (length !== undefined) throw new Refused(400, 'transfer-encoding-with-content-length');
  }
  const hostField = lines.findIndex((line) => line.name === 'host');
  if (minorVersion === 1 && hostField < 0) throw new Refused(400, 'missing-host');
  if (codings.some((coding) => coding !== 'chunked')) {
    throw new Refused(501, 'unsupported-transfer-encoding');
  }
  const expectations = minorVersion === 1 ? values('expect').map((v) => v.toLowerCase()) : [];
  if (expectations.some((e) => e !== '100-continue')) throw new Refused(417, 'expectation-failed');
  const options = list('connection');
  const upgrades = values('upgrade').some((value) => value !== '');
  return {
    minorVersion,
    contentLength: length === undefined ? -1 : Number(length),
    chunked: codings.length > 0,
    keepAlive: !options.includes('close') && (minorVersion === 1 || options.includes('keep-alive')),
    expectContinue: expectations.length > 0,
    upgrade: minorVersion === 1 && options.includes('upgrade') && upgrades,
    hostField,
  };
}

/** Like String.trim, for SP and HTAB only: 0xa0 is a letter here, not white space. */
function trim(text: string): string {
  return text.replace(/^[ \t]+/, '').replace(/[ \t]+$/, '');
}
