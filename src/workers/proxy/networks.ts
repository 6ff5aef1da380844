/**
 * Networks of proxies: how they are written, and whether an address is in one.
 *
 * Role: `loopback`, `private`, addresses and prefixes to a node:net BlockList; addresses to bytes.
 * Thread: any; main checks what is configured, workers look peers up.
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net';

/** Names for networks that most proxies are in. */
export const NAMED_NETWORKS: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1/128'],
  // RFC 1918 and RFC 4193.
  private: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
};

/** How the native part has addresses: family, port (int32 each), 16 bytes. */
export const FAMILY_IPV4 = 2;

/** True: a name, an address or a prefix (RFC 4632, RFC 4291 section 2.3) that `networksOf` takes. */
export function isNetwork(text: string): boolean {
  if (Object.hasOwn(NAMED_NETWORKS, text)) return true;
  const [address = '', bits, more] = text.split('/');
  if (more !== undefined || addressBytes(address) === null) return false;
  if (bits === undefined) return true;
  return /^\d{1,3}$/.test(bits) && Number(bits) <= (isIPv4(address) ? 32 : 128);
}

/** @param texts each one for which `isNetwork` holds */
export function networksOf(texts: readonly string[]): BlockList {
  const list = new BlockList();
  for (const text of texts.flatMap((name) => NAMED_NETWORKS[name] ?? [name])) {
    const [address, bits] = text.split('/') as [string, string?];
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}

/**
 * 4 or 16 bytes of an address as text, IPv4 within IPv6 as IPv4; null where it is none. An IPv6 zone is
 * none either: it means something on its own machine alone.
 */
export function addressBytes(text: string): Uint8Array | null {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  if (!isIPv6(text) || text.includes('%')) return null;
  const [left = '', right] = text.split('::') as [string, string?];
  const head = groupsOf(left);
  const tail = right === undefined ? [] : groupsOf(right);
  const bytes = new Uint8Array(16);
  bytes.set(head);
  bytes.set(tail, 16 - tail.length);
  const mapped = bytes.subarray(0, 10).every((byte) => byte === 0);
  if (mapped && bytes[10] === 255 && bytes[11] === 255) return bytes.slice(12);
  return bytes;
}

function groupsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 255];
  });
}
