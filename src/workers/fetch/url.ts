/**
 * The URL of a request, from its target and its Host field.
 *
 * Role: makes `request.url` without parsing a URL for ordinary requests.
 * Thread: a worker. One bounded cache of hosts.
 * May not: look at X-Forwarded-* fields; whom to believe them is decided before (src/workers/proxy).
 */

/** Where the exchange arrived, for requests without a Host field (HTTP/1.0). */
export interface LocalEnd {
  readonly localAddress: string;
  readonly localPort: number;
}

/** Characters that the URL standard neither encodes nor rewrites in a path or a query. */
const PLAIN = new Uint8Array(256);
for (const character of '!$&()*+,;=:@/?-._~%') PLAIN[character.charCodeAt(0)] = 1;
for (let code = 0; code < 128; code++) {
  if (/[0-9A-Za-z]/.test(String.fromCharCode(code))) PLAIN[code] = 1;
}
const SLASH = 0x2f;
const DOT = 0x2e;
const PERCENT = 0x25;
const DOT_SEGMENT = /\/\.|%2e/i;
const ABSOLUTE = /^https?:\/\//i;
/** Hosts come from clients; beyond the bound they are parsed each time. */
const MAX_CACHED_HOSTS = 256;
const MAX_CACHED_HOST_LENGTH = 100;

const origins = new Map<string, string>();
/** Mostly the same host asks again, and to compare is cheaper than to look up. */
let lastHost = '';
let lastOrigin = '';

/** Answered with 400, since the client sent it. */
export class BadHostError extends TypeError {
  readonly code = 'ERR_MPM_BAD_HOST';
}

/** The serialised origin of a Host value: lower case, without a default port. */
function originOf(host: string): string {
  if (host === lastHost) return lastOrigin;
  const origin = origins.get(host) ?? newOrigin(host);
  lastHost = host;
  lastOrigin = origin;
  return origin;
}

function newOrigin(host: string): string {
  const origin = parseOrigin(host);
  if (origins.size < MAX_CACHED_HOSTS && host.length <= MAX_CACHED_HOST_LENGTH) {
    origins.set(host, origin);
  }
  return origin;
}

function parseOrigin(host: string): string {
  let url: URL;
  try {
    url = new URL(`http://${host}`);
  } catch (cause) {
    throw new BadHostError(`Invalid Host: ${JSON.stringify(host)}`, { cause });
  }
  // A host may not bring a path, a query or a user along (RFC 9110, section 7.2).
  if (url.href !== `${url.origin}/` || /[/?#@\\]/.test(host)) {
    throw new BadHostError(`Invalid Host: ${JSON.stringify(host)}`);
  }
  return url.origin;
}

function localOrigin(local: LocalEnd | null): string {
  if (local === null || local.localAddress === '') return 'http://localhost';
  const { localAddress: address, localPort: port } = local;
  return originOf(`${address.includes(':') ? `[${address}]` : address}:${port}`);
}

/**
 * Whether a target's serialisation is itself: an absolute path without dot segments and without any
 * character the URL standard would encode or rewrite.
 */
function isPlain(target: string): boolean {
  if (target.charCodeAt(0) !== SLASH) return false;
  let mayHaveDots = false;
  for (let index = 1; index < target.length; index++) {
    const code = target.charCodeAt(index);
    if (PLAIN[code] !== 1) return false;
    if (code === DOT || code === PERCENT) mayHaveDots = true;
  }
  return !mayHaveDots || !DOT_SEGMENT.test(target);
}

/**
 * The target URI of RFC 9112, section 3.3.
 * @param target as sent: origin-form, absolute-form or `*`
 * @param local used where there is no Host; null where it is no longer known
 * @throws BadHostError where host and target make no URL
 */
export function requestUrl(target: string, host: string | null, local: LocalEnd | null): string {
  if (target.charCodeAt(0) !== SLASH && ABSOLUTE.test(target)) {
    try {
      return new URL(target).href;
    } catch (cause) {
      throw new BadHostError('Invalid request target', { cause });
    }
  }
  const origin = host === null || host === '' ? localOrigin(local) : originOf(host);
  if (isPlain(target)) return origin + target;
  if (!target.startsWith('/')) return `${origin}/`;
  // Concatenated, not resolved: `//other.host/` is a path here and must not become an authority.
  return new URL(origin + target).href;
}

/** The same URL by https, for a client that a proxy says came so. */
export function secureUrl(url: string): string {
  if (!url.startsWith('http:')) return url;
  const secure = `https:${url.slice(5)}`;
  // With a port, which may be the default one now.
  return /^https:\/\/[^/?#]*:\d+\//.test(secure) ? new URL(secure).href : secure;
}
