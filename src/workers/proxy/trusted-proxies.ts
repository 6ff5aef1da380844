/**
 * Who the client of a request is, where it came through trusted proxies.
 *
 * Role: writes what they say into the connection's slot, for handlers, the access log and the status
 * page; the peer's own address stays beside it, since it is what trust goes by.
 * Thread: a worker that owns the connection. There is none where `trustProxy` is off.
 */
import { SLOT } from '../../scoreboard/layout.ts';
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';
import type { FieldTable, Forwarded } from '../exchange.ts';
import { AddressTexts } from '../peer-address.ts';
import { type Client, clientOfForwarded, clientOfXForwarded } from './forwarded.ts';
import { addressBytes, FAMILY_IPV4, networksOf } from './networks.ts';

export interface TrustSettings {
  /** See `isNetwork`. */
  readonly networks: readonly string[];
  /** The fields that the proxies write; those of the other kind are the client's. */
  readonly header: 'x-forwarded' | 'forwarded';
}

/** Addresses whose trust is remembered; then it is found out anew. */
const MAX_REMEMBERED = 1024;

export class TrustedProxies {
  readonly #board: Scoreboard;
  readonly #familyIpv6: number;
  readonly header: TrustSettings['header'];
  readonly #networks: ReturnType<typeof networksOf>;
  readonly #texts: AddressTexts;
  readonly #remembered = new Map<string, boolean>();

  constructor(board: Scoreboard, familyIpv6: number, { networks, header }: TrustSettings) {
    this.#board = board;
    this.#familyIpv6 = familyIpv6;
    this.header = header;
    this.#networks = networksOf(networks);
    this.#texts = new AddressTexts(familyIpv6);
  }

  /** Whether an address is one of the networks. */
  readonly trusts = (address: string): boolean => {
    const known = this.#remembered.get(address);
    if (known !== undefined) return known;
    const family = address.includes(':') ? 'ipv6' : 'ipv4';
    const trusted = address !== '' && this.#networks.check(address, family);
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
    this.#remembered.set(address, trusted);
    return trusted;
  };

  /**
   * The request that was just parsed, on the connection of this slot; null: the peer is not trusted, or
   * says nothing.
   * @param index int32 index of the slot's first word
   */
  look(index: number, head: string, table: FieldTable): Forwarded | null {
    const { words, bytes } = this.#board;
    words[index + (SLOT.clientTold.offset >> 2)] = 0;
    const peer = this.#texts.text(words, bytes, index * 4 + SLOT.peerFamily.offset);
    if (!this.trusts(peer)) return null;
    const client = this.#clientIn(head, table);
    if (client.address !== '') this.#store(index, client);
    return client.secure || client.host !== '' ? client : null;
  }

  #clientIn(head: string, table: FieldTable): Client {
    if (this.header === 'forwarded') {
      return clientOfForwarded(valuesOf(head, table, 'forwarded'), this.trusts);
    }
    return clientOfXForwarded(
      valuesOf(head, table, 'x-forwarded-for'),
      valuesOf(head, table, 'x-forwarded-proto'),
      valuesOf(head, table, 'x-forwarded-host'),
      this.trusts,
    );
  }

  #store(index: number, { address, port }: Client): void {
    const value = addressBytes(address);
    if (value === null) return;
    const { words, bytes } = this.#board;
    const at = index * 4 + SLOT.clientAddress.offset;
    bytes.fill(0, at, at + 16);
    bytes.set(value, at);
    words[index + (SLOT.clientPort.offset >> 2)] = port;
    words[index + (SLOT.clientFamily.offset >> 2)] =
      value.length === 4 ? FAMILY_IPV4 : this.#familyIpv6;
    words[index + (SLOT.clientTold.offset >> 2)] = 1;
  }
}

/** Offset of the address that stands for the client of a connection, in its slot. */
export function clientAt(words: Int32Array, index: number): number {
  const told = words[index + (SLOT.clientTold.offset >> 2)] === 1;
  return told ? SLOT.clientFamily.offset : SLOT.peerFamily.offset;
}

/** Values of a field, in the order of the message. @param name in lower case */
function valuesOf(head: string, { fields, fieldCount }: FieldTable, name: string): string[] {
  const values: string[] = [];
  for (let at = 0; at < fieldCount * 4; at += 4) {
    const start = fields[at] as number;
    const end = fields[at + 1] as number;
    if (end - start !== name.length || head.slice(start, end).toLowerCase() !== name) continue;
    values.push(head.slice(fields[at + 2] as number, fields[at + 3] as number));
  }
  return values;
}
