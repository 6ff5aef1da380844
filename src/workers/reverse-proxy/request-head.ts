/**
 * The head of the request that an upstream gets.
 *
 * Role: built anew from the fields that were parsed, so that nothing ambiguous is passed on: one Host, one
 * framing, no field of the hop before.
 * Source: RFC 9110, sections 7.6.1 (Connection), 7.6.3 (Via), 10.1.1 (Expect); RFC 9112, sections 3.2
 * and 6.
 * Thread: a worker. Pure.
 */
import type { Forwarded } from '../exchange.ts';
import type { ProxySettings, UpstreamAddress } from './options.ts';

/** What the head says about the body. */
export const CHUNKED = -2;
export const NO_BODY = -1;

export interface Asked {
  readonly method: string;
  readonly target: string;
  /** Flat list name, value ... of a request that the parser has let pass. */
  readonly fields: readonly string[];
  readonly remoteAddress: string;
  readonly peerAddress: string;
  /** What the peer says of the client in these is passed on; all else was made up by somebody. */
  readonly trustedHeader: 'x-forwarded' | 'forwarded' | null;
  readonly forwarded: Forwarded | null;
}

/** Fields of one hop (RFC 9110, section 7.6.1), and those that are written anew. */
const DROPPED: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'expect',
  'content-length',
  'host',
  'via',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
]);
/** Headers that proxies had before Connection was heeded, and those that are for one proxy alone. */
const PROXY_FIELD = /^proxy-/;

/** Fields of a response that are this hop's. */
const RESPONSE_DROPPED: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-length',
]);

const VIA = '1.1 hybrid-mpm';
/** `scheme://authority` of a target in absolute form (RFC 9112, section 3.2.2). */
const ABSOLUTE = /^[a-zA-Z][a-zA-Z0-9+.-]*:\/\/([^/?]*)/;

/** Everything of a head but the address it goes to and the framing, made once for several tries. */
export interface RequestDraft {
  readonly start: string;
  /** Host as the client asked; the upstream's own is put in where the options say so. */
  readonly host: string;
  readonly fields: string;
  /** The head without a body as it was made last, which is the same for the same upstream. */
  made: { readonly upstream: UpstreamAddress; readonly bytes: Buffer } | null;
}

/**
 * @param prefix of the route, which the settings' path takes the place of
 * @param upgrade protocol that is asked for; null: none
 */
export function draftRequest(
  asked: Asked,
  settings: ProxySettings,
  prefix: string,
  upgrade: string | null = null,
): RequestDraft {
  const { fields } = asked;
  const absolute = ABSOLUTE.exec(asked.target);
  let target = absolute === null ? asked.target : asked.target.slice(absolute[0].length);
  if (absolute !== null && !target.startsWith('/')) target = `/${target}`;
  if (settings.path !== null && target.startsWith('/')) {
    target = joined(settings.path, target.slice(prefix.length));
  }
  const named = connectionOptions(fields);
  let text = '';
  let host = absolute?.[1] ?? '';
  let via = '';
  let forwardedFor = '';
  let forwardedHost = '';
  let forwardedProto = '';
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] as string;
    const value = fields[index + 1] as string;
    const lower = name.toLowerCase();
    switch (lower) {
      case 'host':
        // RFC 9112, section 3.2.2: that of an absolute form comes before it.
        if (absolute === null) host = value;
        continue;
      case 'via':
        via = via === '' ? value : `${via}, ${value}`;
        continue;
      case 'x-forwarded-for':
        forwardedFor = forwardedFor === '' ? value : `${forwardedFor}, ${value}`;
        continue;
      case 'x-forwarded-host':
        forwardedHost = value;
        continue;
      case 'x-forwarded-proto':
        forwardedProto = value;
        continue;
      case 'forwarded':
        if (asked.trustedHeader !== 'forwarded') continue;
    }
    if (DROPPED.has(lower) || PROXY_FIELD.test(lower) || named.has(lower)) continue;
    text += `${name}: ${value}\r\n`;
  }
  const trusted = asked.trustedHeader === 'x-forwarded';
  let chain = trusted && forwardedFor !== '' ? `${forwardedFor}, ` : '';
  if (asked.trustedHeader === 'forwarded' && asked.remoteAddress !== asked.peerAddress) {
    chain = `${asked.remoteAddress}, `;
  }
  text += `Via: ${via === '' ? '' : `${via}, `}${VIA}\r\n`;
  text += `X-Forwarded-For: ${chain}${asked.peerAddress}\r\n`;
  const proto = asked.forwarded?.secure === true ? 'https' : 'http';
  text += `X-Forwarded-Proto: ${trusted && forwardedProto !== '' ? forwardedProto : proto}\r\n`;
  const asHost = trusted && forwardedHost !== '' ? forwardedHost : host;
  if (asHost !== '') text += `X-Forwarded-Host: ${asHost}\r\n`;
  if (upgrade !== null) text += `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n`;
  return { start: `${asked.method} ${target} HTTP/1.1\r\n`, host, fields: text, made: null };
}

/**
 * The head as it goes on the wire.
 * @param contentLength bytes, `CHUNKED` or `NO_BODY`
 */
export function requestHead(
  draft: RequestDraft,
  settings: ProxySettings,
  upstream: UpstreamAddress,
  contentLength: number,
): Buffer {
  const { made } = draft;
  if (contentLength === NO_BODY && made !== null && made.upstream === upstream) return made.bytes;
  let { host } = draft;
  if (settings.host === 'upstream') host = upstream.name;
  else if (settings.host !== 'client') host = settings.host;
  // Only HTTP/1.0 has none.
  if (host === '') host = upstream.name;
  let head = `${draft.start}Host: ${host}\r\n${draft.fields}`;
  if (contentLength === CHUNKED) head += 'Transfer-Encoding: chunked\r\n';
  else if (contentLength >= 0) head += `Content-Length: ${contentLength}\r\n`;
  const bytes = Buffer.from(`${head}\r\n`, 'latin1');
  if (contentLength === NO_BODY) draft.made = { upstream, bytes };
  return bytes;
}

/** Fields of a response as the client gets them; framing and Connection are the connection's to say. */
export function responseFields(fields: readonly string[], connection: readonly string[]): string[] {
  const list: string[] = [];
  for (let index = 0; index < fields.length; index += 2) {
    const lower = (fields[index] as string).toLowerCase();
    if (RESPONSE_DROPPED.has(lower) || lower === 'proxy-connection') continue;
    if (connection.length > 0 && connection.includes(lower)) continue;
    list.push(fields[index] as string, fields[index + 1] as string);
  }
  return list;
}

/** Names in Connection fields (RFC 9110, section 7.6.1), in lower case. */
function connectionOptions(fields: readonly string[]): ReadonlySet<string> {
  let named: Set<string> | null = null;
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] as string;
    if (name.length !== 10 || name.toLowerCase() !== 'connection') continue;
    for (const option of (fields[index + 1] as string).split(',')) {
      named ??= new Set();
      named.add(option.trim().toLowerCase());
    }
  }
  return named ?? NONE;
}
const NONE: ReadonlySet<string> = new Set();

/** A path that ends with a slash or not, and the rest of one that begins with a slash or not. */
function joined(path: string, rest: string): string {
  if (path.endsWith('/') && rest.startsWith('/')) return path + rest.slice(1);
  if (rest === '' || rest.startsWith('/') || rest.startsWith('?') || path.endsWith('/')) {
    return path + rest;
  }
  return `${path}/${rest}`;
}
