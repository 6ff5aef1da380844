/**
 * The head of a response that an upstream sends: status line, fields, and where the message ends.
 *
 * Role: as strict as the request parser, since a message whose end two hops see at different places is
 * how responses get to the wrong client (RFC 9112, section 11.1). What is ambiguous is refused; nothing
 * is repaired.
 * Thread: a worker. Pure; keeps nothing between calls.
 */

/** Why a head is refused; the client is answered 502. */
export type ResponseRefusal =
  | 'invalid-status-line'
  | 'bare-lf'
  | 'bare-cr'
  | 'obs-fold'
  | 'space-before-colon'
  | 'missing-colon'
  | 'invalid-field-name'
  | 'invalid-field-value'
  | 'invalid-content-length'
  | 'duplicate-content-length'
  | 'invalid-transfer-encoding'
  | 'chunked-not-last'
  | 'transfer-encoding-with-content-length'
  | 'transfer-encoding-on-http10'
  | 'transfer-encoding-not-allowed'
  | 'head-too-large'
  | 'too-many-fields';

/** How the body of a response ends (RFC 9112, section 6.3). */
export const BodyEnd = { none: 0, length: 1, chunked: 2, close: 3 } as const;
export type BodyEnd = (typeof BodyEnd)[keyof typeof BodyEnd];

export interface ResponseHead {
  readonly minorVersion: 0 | 1;
  /** 100 .. 599. */
  readonly status: number;
  /** As sent; '' where there is none. */
  readonly reason: string;
  /** Flat list name, value ..., names as sent, without white space around the values. */
  readonly fields: readonly string[];
  readonly bodyEnd: BodyEnd;
  /** Declared Content-Length, -1: none. Also where there is no body (HEAD, 304). */
  readonly contentLength: number;
  /** The connection may be used again once the message was read to its end. */
  readonly keepAlive: boolean;
  /** Options of the Connection fields in lower case, which name fields of this hop. */
  readonly connection: readonly string[];
  /** Seconds of `Keep-Alive: timeout=`, -1: not said. */
  readonly keepAliveSeconds: number;
  /** Bytes of the head, the empty line included. */
  readonly bytes: number;
}

export const MAX_RESPONSE_HEAD_BYTES = 64 * 1024;
export const MAX_RESPONSE_FIELDS = 256;

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/;
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** No more digits than a whole number in JavaScript holds exactly. */
const LENGTH = /^[0-9]{1,15}$/;
const KEEP_ALIVE_TIMEOUT = /(?:^|[,;\s])timeout\s*=\s*"?([0-9]{1,6})/i;
const HEAD_END = Buffer.from('\r\n\r\n', 'latin1');
const START = 'HTTP/1.';
const CR = 13;
const LF = 10;

/** A head that is refused, as an error's reason. */
export class ResponseHeadError extends Error {
  readonly refusal: ResponseRefusal;
  constructor(refusal: ResponseRefusal) {
    super(refusal);
    this.refusal = refusal;
  }
}

/**
 * The head at the beginning of bytes[start, end); null: more bytes are needed.
 * @param method of the request: HEAD has no body whatever the head says
 * @throws ResponseHeadError
 */
export function parseResponseHead(
  bytes: Buffer,
  start: number,
  end: number,
  method: string,
): ResponseHead | null {
  const seen = bytes.subarray(start, end);
  for (let index = 0; index < START.length && index < seen.length; index++) {
    if (seen[index] !== START.charCodeAt(index)) throw refused('invalid-status-line');
  }
  const found = seen.indexOf(HEAD_END);
  const length = found < 0 ? seen.length : found + HEAD_END.length;
  if (length > MAX_RESPONSE_HEAD_BYTES || (found < 0 && length === MAX_RESPONSE_HEAD_BYTES)) {
    throw refused('head-too-large');
  }
  if (found < 0) {
    checkLineEnds(seen);
    return null;
  }
  const lines = seen.toString('latin1', 0, found).split('\r\n');
  const first = STATUS_LINE.exec(lines[0] as string);
  if (first === null) throw refused(strayIn(lines[0] as string) ?? 'invalid-status-line');
  if (lines.length - 1 > MAX_RESPONSE_FIELDS) throw refused('too-many-fields');
  const fields: string[] = [];
  for (let index = 1; index < lines.length; index++) addField(lines[index] as string, fields);
  const minorVersion = first[1] === '1' ? 1 : 0;
  return framed(minorVersion, Number(first[2]), first[3] ?? '', fields, length, method);
}

const refused = (refusal: ResponseRefusal): ResponseHeadError => new ResponseHeadError(refusal);

/** So that a head without a proper end is not waited for. */
function checkLineEnds(seen: Buffer): void {
  for (let at = seen.indexOf(LF); at >= 0; at = seen.indexOf(LF, at + 1)) {
    if (seen[at - 1] !== CR) throw refused('bare-lf');
  }
}

function strayIn(line: string): ResponseRefusal | null {
  if (line.includes('\n')) return 'bare-lf';
  return line.includes('\r') ? 'bare-cr' : null;
}

function addField(line: string, fields: string[]): void {
  const stray = strayIn(line);
  if (stray !== null) throw refused(stray);
  // RFC 9112, section 5.2: a gateway may also replace it; an upstream that sends it is not to be trusted.
  if (line.startsWith(' ') || line.startsWith('\t')) throw refused('obs-fold');
  const colon = line.indexOf(':');
  if (colon < 0) throw refused('missing-colon');
  const name = line.slice(0, colon);
  if (!FIELD_NAME.test(name)) {
    throw refused(/[ \t]$/.test(name) ? 'space-before-colon' : 'invalid-field-name');
  }
  let from = colon + 1;
  let to = line.length;
  while (from < to && isBlank(line.charCodeAt(from))) from++;
  while (to > from && isBlank(line.charCodeAt(to - 1))) to--;
  const value = line.slice(from, to);
  if (!FIELD_VALUE.test(value)) throw refused('invalid-field-value');
  fields.push(name, value);
}

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09;

function framed(
  minorVersion: 0 | 1,
  status: number,
  reason: string,
  fields: readonly string[],
  bytes: number,
  method: string,
): ResponseHead {
  let contentLength = -1;
  let coding: string | null = null;
  let keepAliveSeconds = -1;
  const connection: string[] = [];
  for (let index = 0; index < fields.length; index += 2) {
    const value = fields[index + 1] as string;
    switch ((fields[index] as string).toLowerCase()) {
      case 'content-length':
        if (!LENGTH.test(value)) throw refused('invalid-content-length');
        // RFC 9112, section 6.3: equal ones may be taken for one; nobody needs to send them.
        if (contentLength >= 0) throw refused('duplicate-content-length');
        contentLength = Number(value);
        break;
      case 'transfer-encoding':
        coding = coding === null ? value : `${coding}, ${value}`;
        break;
      case 'connection':
        for (const option of value.split(',')) {
          const name = option.trim().toLowerCase();
          if (name !== '') connection.push(name);
        }
        break;
      case 'keep-alive':
        keepAliveSeconds = Number(KEEP_ALIVE_TIMEOUT.exec(value)?.[1] ?? -1);
        break;
    }
  }
  if (coding !== null) checkCoding(coding, minorVersion, status, contentLength);
  const keepAlive =
    minorVersion === 1 ? !connection.includes('close') : connection.includes('keep-alive');
  const bodyEnd = endOf(method, status, contentLength, coding !== null);
  return {
    minorVersion,
    status,
    reason,
    fields,
    bodyEnd,
    contentLength,
    keepAlive: keepAlive && !connection.includes('close') && bodyEnd !== BodyEnd.close,
    connection,
    keepAliveSeconds,
    bytes,
  };
}

function checkCoding(
  coding: string,
  minorVersion: 0 | 1,
  status: number,
  contentLength: number,
): void {
  if (minorVersion === 0) throw refused('transfer-encoding-on-http10');
  if (contentLength >= 0) throw refused('transfer-encoding-with-content-length');
  // RFC 9112, section 6.1.
  if (status < 200 || status === 204) throw refused('transfer-encoding-not-allowed');
  const codings = coding.split(',').map((name) => name.trim().toLowerCase());
  if (codings.length === 1 && codings[0] === 'chunked') return;
  // TE is never passed on, so nothing but chunked was offered.
  throw refused(codings.includes('chunked') ? 'chunked-not-last' : 'invalid-transfer-encoding');
}

/** RFC 9112, section 6.3. */
function endOf(method: string, status: number, contentLength: number, chunked: boolean): BodyEnd {
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return BodyEnd.none;
  if (chunked) return BodyEnd.chunked;
  if (contentLength === 0) return BodyEnd.none;
  return contentLength > 0 ? BodyEnd.length : BodyEnd.close;
}
