/**
 * What a line of the access log looks like.
 *
 * Role: two steps. `linePrefix` writes down everything that is known when the request has been read;
 * `completeLine` adds what only its end tells. Between the two a line is plain text that may change
 * threads.
 * Thread: any; pure functions. May not: read a clock or the scoreboard.
 *
 * `common` and `combined` are Apache's `%h %l %u %t "%r" %>s %b` and the same with Referer and
 * User-agent (mod_log_config). What clients send is escaped, so a line is printable ASCII whatever they
 * send, and nobody can forge one.
 */
import { Aborted } from '../../scoreboard/aborted.ts';

/** `logFormat`. */
export type LogFormat = 'common' | 'combined' | 'json';

/** What is known of a request when its head has been read, or when it was given up. */
export interface RequestFacts {
  /** Textual, '' where unknown. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** `%t` as `logTime` or `isoTime` gives it, by the format. */
  readonly time: string;
  /** As sent; of a request that could not be read as far as it could. */
  readonly method: string;
  readonly target: string;
  /** `HTTP/1.1`; '' where the request line ended before it. */
  readonly protocol: string;
  /** Fields of the request, null where it had none. */
  readonly referer: string | null;
  readonly userAgent: string | null;
  readonly host: string | null;
  readonly requestId: string | null;
  /** Child slot that served it, -1: the listener. */
  readonly child: number;
  /** Number of the request on its connection, from 1. */
  readonly connectionRequests: number;
}

/** nginx's "client closed request". */
const CLIENT_CLOSED = 499;

/** Longest fields of a line, in bytes as written; what is longer ends with `CUT`. */
export const MAX_TARGET_BYTES = 16_384;
export const MAX_FIELD_BYTES = 8_192;
export const MAX_NAME_BYTES = 1_024;
const CUT = '...';
/** Everything else of a line: time, address, numbers, keys. */
const MAX_REST_BYTES = 1_024;
/** No line is longer: request line, Referer and User-agent, and three short ones. */
export const MAX_LINE_BYTES =
  MAX_TARGET_BYTES + 2 * MAX_FIELD_BYTES + 4 * (MAX_NAME_BYTES + CUT.length) + MAX_REST_BYTES;

/** Stands where the end goes; nothing that was escaped has one. */
const SEAM = '\n';

// ---- escaping -------------------------------------------------------------------------------------

const hex = (code: number): string => code.toString(16).padStart(2, '0');

/** Apache's ap_escape_logitem, by character code; undefined: as it is. */
const LOG_ESCAPES: readonly (string | undefined)[] = Array.from({ length: 256 }, (_, code) => {
  const letter = { 8: 'b', 9: 't', 10: 'n', 11: 'v', 13: 'r', 34: '"', 92: '\\' }[code];
  if (letter !== undefined) return `\\${letter}`;
  return code < 0x20 || code > 0x7e ? `\\x${hex(code)}` : undefined;
});

/** RFC 8259, section 7; bytes above ASCII are shown as the latin1 characters they are. */
const JSON_ESCAPES: readonly (string | undefined)[] = Array.from({ length: 256 }, (_, code) => {
  const letter = { 8: 'b', 9: 't', 10: 'n', 12: 'f', 13: 'r', 34: '"', 92: '\\' }[code];
  if (letter !== undefined) return `\\${letter}`;
  return code < 0x20 || code > 0x7e ? `\\u00${hex(code)}` : undefined;
});

const UNCLEAN = /[^\x20\x21\x23-\x5b\x5d-\x7e]/;

/** `text` without anything that could end a quoted string; at most `most` bytes and a mark. */
function escaped(text: string, most: number, escapes: readonly (string | undefined)[]): string {
  if (text.length <= most && !UNCLEAN.test(text)) return text;
  let out = '';
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    // A latin1 string has no others; a question mark keeps the promise for any string.
    const piece = code > 0xff ? '?' : (escapes[code] ?? (text[index] as string));
    if (out.length + piece.length > most) return out + CUT;
    out += piece;
  }
  return out;
}

const forLog = (text: string, most: number): string => escaped(text, most, LOG_ESCAPES);
const forJson = (text: string, most: number): string => `"${escaped(text, most, JSON_ESCAPES)}"`;
const quotedField = (text: string | null): string =>
  text === null ? '"-"' : `"${forLog(text, MAX_FIELD_BYTES)}"`;
const jsonField = (text: string | null, most: number): string =>
  text === null ? 'null' : forJson(text, most);

// ---- lines ----------------------------------------------------------------------------------------

/** The line as far as it is known before the end of the response. One line of printable ASCII and a seam. */
export function linePrefix(format: LogFormat, facts: RequestFacts): string {
  if (format === 'json') return jsonPrefix(facts);
  const { method, target, protocol } = facts;
  const line = `${method} ${target}${protocol === '' ? '' : ' '}${protocol}`;
  const request = line === ' ' ? '-' : forLog(line, MAX_TARGET_BYTES);
  const begin = `${facts.remoteAddress || '-'} - - [${facts.time}] "${request}" `;
  if (format === 'common') return begin + SEAM;
  return `${begin}${SEAM} ${quotedField(facts.referer)} ${quotedField(facts.userAgent)}`;
}

function jsonPrefix(facts: RequestFacts): string {
  return `{"time":"${facts.time}","remoteAddr":"${facts.remoteAddress}","remotePort":${
    facts.remotePort
  },"method":${forJson(facts.method, MAX_NAME_BYTES)},"target":${forJson(
    facts.target,
    MAX_TARGET_BYTES,
  )},"protocol":${forJson(facts.protocol, MAX_NAME_BYTES)},${SEAM},"referer":${jsonField(
    facts.referer,
    MAX_FIELD_BYTES,
  )},"userAgent":${jsonField(facts.userAgent, MAX_FIELD_BYTES)},"host":${jsonField(
    facts.host,
    MAX_NAME_BYTES,
  )},"requestId":${jsonField(facts.requestId, MAX_NAME_BYTES)},"child":${
    facts.child
  },"connectionRequests":${facts.connectionRequests}}`;
}

/**
 * The whole line, with its line feed.
 * @param prefix from `linePrefix` of the same format
 * @param status of the response, 0 where none was begun (`-` in common and combined)
 * @param bodyBytes bytes of the body that have left
 */
export function completeLine(
  format: LogFormat,
  prefix: string,
  status: number,
  bodyBytes: number,
  durationMs: number,
  aborted: Aborted,
): string {
  const seam = prefix.indexOf(SEAM);
  const before = prefix.slice(0, seam);
  const behind = prefix.slice(seam + 1);
  if (format === 'json') {
    // Microseconds are enough, and few digits are quick to write.
    const duration = Math.round(durationMs * 1000) / 1000;
    return `${before}"status":${status},"bodyBytes":${bodyBytes},"durationMs":${duration},"aborted":${
      aborted !== Aborted.no
    }${behind}\n`;
  }
  const shown = aborted === Aborted.byClient ? CLIENT_CLOSED : status;
  return `${before}${shown === 0 ? '-' : shown} ${bodyBytes === 0 ? '-' : bodyBytes}${behind}\n`;
}

/** Method, target and protocol of a request line that was not understood, or not read to its end. */
export function requestLineParts(
  line: string,
): Pick<RequestFacts, 'method' | 'target' | 'protocol'> {
  const first = line.indexOf(' ');
  if (first < 0) return { method: line, target: '', protocol: '' };
  const last = line.lastIndexOf(' ');
  const protocol = /^HTTP\/[\d.]*$/.test(line.slice(last + 1)) && last > first;
  return {
    method: line.slice(0, first),
    target: protocol ? line.slice(first + 1, last) : line.slice(first + 1),
    protocol: protocol ? line.slice(last + 1) : '',
  };
}
