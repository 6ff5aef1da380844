/**
 * Addresses as the native part leaves them: family, port (int32 each), then 4 or 16 bytes.
 */

/** Textual form, RFC 5952 as far as it matters for logs; IPv4 within IPv6 is shown as IPv4. */
export function formatAddress(bytes: Uint8Array, at: number, familyIpv6: number): string {
  const family = (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
  if (family === 0) return '';
  if (family !== familyIpv6) return ipv4Text(bytes, at + 8);
  const address = bytes.subarray(at + 8, at + 24);
  const mapped =
    address.subarray(0, 10).every((byte) => byte === 0) &&
    address[10] === 255 &&
    address[11] === 255;
  if (mapped) return ipv4Text(address, 12);
  const groups: number[] = [];
  for (let index = 0; index < 16; index += 2) {
    groups.push(((address[index] as number) << 8) | (address[index + 1] as number));
  }
  return compress(groups);
}

const ipv4Text = (bytes: Uint8Array, at: number): string =>
  `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;

/**
 * Addresses as text, the latest few hundred of them kept: a client mostly comes again.
 */
export class AddressTexts {
  static readonly #entries = 256;
  /** Family and 16 bytes, as five words, of each text. */
  readonly #keys = new Int32Array(AddressTexts.#entries * 5);
  readonly #texts: string[] = new Array(AddressTexts.#entries).fill('');
  readonly #familyIpv6: number;

  constructor(familyIpv6: number) {
    this.#familyIpv6 = familyIpv6;
  }

  /** @param at where the address begins in `bytes`; `words` are the same memory */
  text(words: Int32Array, bytes: Uint8Array, at: number): string {
    const keys = this.#keys;
    const family = words[at >> 2] as number;
    const first = (at + 8) >> 2;
    const a = words[first] as number;
    const b = words[first + 1] as number;
    const c = words[first + 2] as number;
    const d = words[first + 3] as number;
    const hash = Math.imul(
      a ^ Math.imul(b, 31) ^ Math.imul(c, 127) ^ Math.imul(d, 8191),
      0x9e3779b1,
    );
    const entry = (hash >>> 24) & (AddressTexts.#entries - 1);
    const key = entry * 5;
    if (
      keys[key] !== family ||
      keys[key + 1] !== a ||
      keys[key + 2] !== b ||
      keys[key + 3] !== c ||
      keys[key + 4] !== d
    ) {
      keys.set([family, a, b, c, d], key);
      this.#texts[entry] = formatAddress(bytes, at, this.#familyIpv6);
    }
    return this.#texts[entry] as string;
  }
}

/** Replaces the longest run of zero groups (two or more) by `::`. */
function compress(groups: readonly number[]): string {
  let bestAt = -1;
  let bestLength = 1;
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && groups[at + length] === 0) length++;
    if (length > bestLength) {
      bestAt = at;
      bestLength = length;
    }
  }
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  if (bestAt < 0) return hex(groups);
  return `${hex(groups.slice(0, bestAt))}::${hex(groups.slice(bestAt + bestLength))}`;
}
