/**
 * Trailer fields, the fields behind a chunked body (RFC 9110, section 6.5).
 *
 * Role: makes a list of a section that the chunked decoder has checked, without those that mean nothing
 * there.
 * Thread: a worker; pure functions.
 */

/**
 * Fields that have to be known before the content is (RFC 9110, section 6.5.1): of framing, routing,
 * authentication, request modifiers and content format. Whoever sends one behind the content is wrong, or
 * wants somebody to believe that it stood in the head.
 */
const FORBIDDEN: ReadonlySet<string> = new Set([
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'expect',
  'forwarded',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'keep-alive',
  'max-forwards',
  'pragma',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
]);

/**
 * @param section field lines, each with its CRLF, and the empty line; latin1
 * @returns name, value, name, value ...; names as they were sent
 */
export function trailerFields(section: string): string[] {
  const list: string[] = [];
  for (let start = 0; ; ) {
    const end = section.indexOf('\r\n', start);
    if (end <= start) return list;
    const colon = section.indexOf(':', start);
    const name = section.slice(start, colon);
    if (!FORBIDDEN.has(name.toLowerCase())) list.push(name, trimmed(section, colon + 1, end));
    start = end + 2;
  }
}

/** Without the white space around it; `trim` would also take a no-break space, which is a byte of a value. */
function trimmed(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isSpace(text.charCodeAt(start))) start++;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

const isSpace = (code: number): boolean => code === 0x20 || code === 0x09;
