/**
 * Connections that begin with a PROXY header.
 *
 * Role: knows which ones have to, and takes the header off the first bytes: from then on the client it
 * names is the peer of the connection.
 * Thread: a worker that owns the connection. There is none where `proxyProtocol` is off.
 */
import { SLOT } from '../../scoreboard/layout.ts';
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';
import { formatAddress } from '../peer-address.ts';
import type { RequestReader } from '../request-reader.ts';
import { FAMILY_IPV4, networksOf } from './networks.ts';
import { parseProxyHeader } from './proxy-header.ts';

export const Taken = { header: 0, more: 1, malformed: 2 } as const;
export type Taken = (typeof Taken)[keyof typeof Taken];

export class ProxyHeaders {
  readonly #board: Scoreboard;
  readonly #familyIpv6: number;
  readonly #networks: ReturnType<typeof networksOf>;

  /** @param networks see `isNetwork` */
  constructor(board: Scoreboard, familyIpv6: number, networks: readonly string[]) {
    this.#board = board;
    this.#familyIpv6 = familyIpv6;
    this.#networks = networksOf(networks);
  }

  /** A header has to come first. @param index int32 index of the slot's first word */
  isDue(index: number): boolean {
    const { words, bytes } = this.#board;
    if (words[index + (SLOT.proxyDone.offset >> 2)] === 1) return false;
    const peer = formatAddress(bytes, index * 4 + SLOT.peerFamily.offset, this.#familyIpv6);
    if (this.#networks.check(peer, peer.includes(':') ? 'ipv6' : 'ipv4')) return true;
    words[index + (SLOT.proxyDone.offset >> 2)] = 1;
    return false;
  }

  /** Takes the header out of what was received. */
  take(index: number, reader: Pick<RequestReader, 'received' | 'skip'>): Taken {
    const header = parseProxyHeader(reader.received);
    if (header === 'more') return Taken.more;
    if (header === 'malformed') return Taken.malformed;
    reader.skip(header.length);
    const { words, bytes } = this.#board;
    words[index + (SLOT.proxyDone.offset >> 2)] = 1;
    if (header.source === null) return Taken.header;
    const { address, port } = header.source;
    const at = index * 4 + SLOT.peerAddress.offset;
    bytes.fill(0, at, at + 16);
    bytes.set(address, at);
    words[index + (SLOT.peerPort.offset >> 2)] = port;
    const family = address.length === 4 ? FAMILY_IPV4 : this.#familyIpv6;
    words[index + (SLOT.peerFamily.offset >> 2)] = family;
    return Taken.header;
  }
}
