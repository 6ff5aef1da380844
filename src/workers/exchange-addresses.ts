/**
 * Addresses of the connection that an exchange runs on.
 *
 * Role: the client, whoever sent the bytes, and where they came in, each looked up when it is asked for.
 * Thread: one worker. Made once for each connection object.
 */
import { Region } from '../listener/native.ts';
import { SLOT } from '../scoreboard/layout.ts';
import type { WorkerContext } from './context.ts';
import type { Ownership } from './ownership.ts';
import { formatAddress } from './peer-address.ts';
import { clientAt } from './proxy/trusted-proxies.ts';
import type { ResponseWriter } from './response-writer.ts';

/** Bytes of an address as the native part leaves it: family, port, 16 bytes. */
const NAME_BYTES = 24;

export class ExchangeAddresses {
  readonly #context: WorkerContext;
  readonly #hold: Ownership;
  readonly #writer: ResponseWriter;
  readonly #flush: () => void;

  /** @param flush sends what was put together, since its memory is needed */
  constructor(context: WorkerContext, hold: Ownership, writer: ResponseWriter, flush: () => void) {
    this.#context = context;
    this.#hold = hold;
    this.#writer = writer;
    this.#flush = flush;
  }

  /** The client, as a trusted proxy tells of it. */
  get client(): string {
    const { board, native } = this.#context;
    const { index } = this.#hold;
    return formatAddress(board.bytes, index * 4 + clientAt(board.words, index), native.familyIpv6);
  }

  get clientPort(): number {
    const told = this.#hold.field(SLOT.clientTold) === 1;
    return this.#hold.field(told ? SLOT.clientPort : SLOT.peerPort);
  }

  /** Whoever the connection was accepted from. */
  get peer(): string {
    const { board, native } = this.#context;
    const at = this.#hold.index * 4 + SLOT.peerFamily.offset;
    return formatAddress(board.bytes, at, native.familyIpv6);
  }

  get local(): string {
    const { native } = this.#context;
    return formatAddress(this.#localName(), 0, native.familyIpv6);
  }

  get localPort(): number {
    return this.#localName().readInt32LE(4);
  }

  #localName(): Buffer {
    const context = this.#context;
    context.takeOut(this.#writer);
    this.#flush();
    context.native.localName(this.#hold.fd, Region.out, 0);
    return Buffer.from(context.out.subarray(0, NAME_BYTES));
  }
}
