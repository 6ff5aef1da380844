/**
 * What proxies say of the client: X-Forwarded-For, -Proto and -Host, or Forwarded (RFC 7239).
 *
 * Role: from the fields to the client, going from the nearest hop to the farthest and no further than
 * the first that is not trusted: whoever is behind it may have written anything. What cannot be read
 * ends the way, and the hop before it is the client.
 * Thread: any; pure functions.
 */
import { isIPv4 } from 'node:net';
import { addressBytes } from './networks.ts';

export interface Client {
  /** '' : the peer itself. */
  readonly address: string;
  /** 0 where it is not told. */
  readonly port: number;
  readonly secure: boolean;
  /** '' where it is not told. */
  readonly host: string;
}

type Trusts = (address: string) => boolean;

/** Hops looked at; more are none that a real chain has. */
const MAX_HOPS = 32;
const HOST = /^(?:[a-z0-9_](?:[a-z0-9._-]{0,252}[a-z0-9_.])?|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/i;

interface Hop {
  readonly address: string;
  readonly port: number;
}

/** How far the fields are to be believed: the hop that a trusted one has told of, its number from the right. */
function walk(
  count: number,
  hopAt: (fromRight: number) => Hop | null,
  trusts: Trusts,
): { hop: Hop; index: number } | null {
  let found: { hop: Hop; index: number } | null = null;
  for (let index = 0; index < Math.min(count, MAX_HOPS); index++) {
    const hop = hopAt(index);
    if (hop === null) return found;
    found = { hop, index };
    if (!trusts(hop.address)) return found;
  }
  return found;
}

/**
 * @param forwardedFor values of X-Forwarded-For in the order of the message; so the others
 * @param trusts whether an address is a trusted proxy's
 */
export function clientOfXForwarded(
  forwardedFor: readonly string[],
  proto: readonly string[],
  host: readonly string[],
  trusts: Trusts,
): Client {
  const hops = listOf(forwardedFor);
  const found = walk(
    hops.length,
    (index) => hopOf(hops[hops.length - 1 - index] as string),
    trusts,
  );
  const beside = (values: readonly string[]): string => {
    const list = listOf(values);
    // One for each hop, or one that the nearest proxy says of all.
    const fromRight = found !== null && list.length === hops.length ? found.index : 0;
    return list[list.length - 1 - fromRight] ?? '';
  };
  return {
    address: found?.hop.address ?? '',
    port: found?.hop.port ?? 0,
    secure: beside(proto).toLowerCase() === 'https',
    host: hostOf(beside(host)),
  };
}

/** RFC 7239, section 4. A field that is malformed anywhere says nothing. */
export function clientOfForwarded(values: readonly string[], trusts: Trusts): Client {
  const elements = elementsOf(values.join(','));
  const at = (index: number) => elements[elements.length - 1 - index];
  const found = walk(elements.length, (index) => nodeOf(at(index)?.get('for')), trusts);
  const element = at(found?.index ?? 0);
  return {
    address: found?.hop.address ?? '',
    port: found?.hop.port ?? 0,
    secure: element?.get('proto')?.toLowerCase() === 'https',
    host: hostOf(element?.get('host') ?? ''),
  };
}

const listOf = (values: readonly string[]): string[] =>
  values
    .flatMap((value) => value.split(','))
    .map((text) => text.trim())
    .filter((text) => text !== '');

const hostOf = (text: string): string => (HOST.test(text) ? text : '');

/** `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`. */
function hopOf(text: string): Hop | null {
  const bracketed = /^\[([0-9a-f:.]+)\](?::(\d{1,5}))?$/i.exec(text);
  if (bracketed !== null) return made(bracketed[1] as string, bracketed[2]);
  const [address = '', port, more] = text.split(':');
  if (more === undefined && isIPv4(address)) {
    return port === undefined || /^\d{1,5}$/.test(port) ? made(address, port) : null;
  }
  return made(text, undefined);
}

/** Of `for`: an IPv6 address has brackets; `unknown` and `_hidden` are no addresses (section 6). */
function nodeOf(text: string | undefined): Hop | null {
  if (text === undefined) return null;
  // An obfuscated port (`_port`) says nothing.
  return hopOf(text.replace(/:_[\w.-]+$/, ''));
}

function made(address: string, port: string | undefined): Hop | null {
  const bytes = addressBytes(address);
  const number = Number(port ?? 0);
  if (bytes === null || number > 65_535) return null;
  return { address: bytes.length === 4 ? bytes.join('.') : address.toLowerCase(), port: number };
}

/** Elements in the order of the message, names in lower case; none where one is malformed. */
function elementsOf(text: string): ReadonlyMap<string, string>[] {
  const elements: ReadonlyMap<string, string>[] = [];
  let element = new Map<string, string>();
  PAIR.lastIndex = 0;
  for (let at = 0; at < text.length; at = PAIR.lastIndex) {
    const match = PAIR.exec(text);
    if (match === null) return [];
    const [, name, token, quoted, separator] = match;
    if (name !== undefined) {
      const key = name.toLowerCase();
      // Section 4: a parameter at most once for each element.
      if (element.has(key)) return [];
      element.set(key, token ?? (quoted as string).replace(/\\(.)/g, '$1'));
    }
    if (separator === ';') continue;
    if (element.size > 0) elements.push(element);
    element = new Map();
  }
  if (element.size > 0) elements.push(element);
  return elements;
}

/**
 * One pair, or none (empty elements are ignored: RFC 9110, section 5.6.1), and what follows it. The blanks
 * behind a pair belong to it: two runs of blanks side by side could be divided in as many ways as they
 * are long, and all of them would be tried.
 */
const PAIR =
  /[ \t]*(?:([!#$%&'*+.^_`|~0-9a-z-]+)=(?:([!#$%&'*+.^_`|~0-9a-z-]+)|"((?:[^"\\]|\\.)*)")[ \t]*)?([;,]|$)/iy;
