/**
 * The response of an upstream on its way to the client.
 *
 * Role: takes pieces as they come and passes them on; once the client blocks they go to a file, so that
 * the upstream is done whatever the client does.
 * Thread: a worker. May not: touch the upstream's socket; it says whether it can take more.
 */
import type { Exchange } from '../exchange.ts';
import type { Spill } from './spill.ts';

/** Pieces above this are kept by reference where the client's socket does not take them. */
const COPIED_BYTES = 16 * 1024;

export class Reply {
  readonly #exchange: Exchange;
  readonly #serial: number;
  readonly #makeSpill: () => Spill;
  #spill: Spill | null = null;
  /** The client takes nothing at the moment. */
  #blocked = false;
  /** What found no room in the file; nothing more is taken until it has gone. */
  #held: Uint8Array | null = null;
  /** The upstream's part is done. */
  #ending = false;
  /** Bytes of the body that are still to come, -1: unknown. */
  #left: number;
  readonly #resume: () => void;

  /**
   * Begins the response.
   * @param length of the body, -1: unknown
   * @param resume called when more can be taken again
   */
  constructor(
    exchange: Exchange,
    status: number,
    reason: string,
    fields: readonly string[],
    length: number,
    makeSpill: () => Spill,
    resume: () => void,
  ) {
    this.#exchange = exchange;
    this.#serial = exchange.serial;
    this.#left = length;
    this.#makeSpill = makeSpill;
    this.#resume = resume;
    exchange.onDrain = () => this.#drained();
    exchange.start(status, reason, fields, length);
  }

  /** Another request has taken its place, or its client has gone. */
  get isOver(): boolean {
    return this.#exchange.serial !== this.#serial || this.#exchange.ended;
  }

  /** More can be taken. */
  get takes(): boolean {
    return this.#held === null;
  }

  /** True: the piece's memory is in use from now on, and must not be written to. */
  put(piece: Uint8Array): boolean {
    if (piece.length === 0 || this.isOver) return false;
    const expected = this.#left;
    if (expected >= 0) this.#left -= piece.length;
    if (!this.#blocked) {
      this.#blocked = !this.#exchange.write(piece);
      return this.#blocked && piece.length > COPIED_BYTES;
    }
    this.#spill ??= this.#makeSpill();
    if (!this.#spill.append(piece, expected)) this.#held = Uint8Array.from(piece);
    return false;
  }

  /** All of it has come. */
  end(): void {
    if (this.isOver) return;
    this.#ending = true;
    if (this.#held === null) this.#finish();
  }

  #finish(): void {
    const exchange = this.#exchange;
    exchange.onDrain = null;
    const spill = this.#spill;
    this.#spill = null;
    if (spill !== null && spill.unsent > 0) {
      const part = spill.take(true);
      if (part !== null) {
        exchange.writeFile(part.fd, part.offset, part.length, part.spilledKb);
      }
    }
    spill?.close();
    if (!this.isOver) exchange.end();
  }

  /** The client has taken all that it was given. */
  #drained(): void {
    if (this.isOver) return;
    this.#blocked = false;
    const spill = this.#spill;
    if (spill !== null && spill.unsent > 0) {
      const part = spill.take(false);
      if (part === null) {
        // No descriptor left: what is here cannot be sent any other way.
        this.#exchange.abort();
        return;
      }
      this.#blocked = !this.#exchange.writeFile(part.fd, part.offset, part.length);
      if (this.#blocked || this.isOver) return;
    }
    // All that was in it has left.
    spill?.close();
    const held = this.#held;
    this.#held = null;
    if (held !== null) this.#blocked = !this.#exchange.write(held);
    if (this.isOver) return;
    if (this.#ending) this.#finish();
    else if (held !== null) this.#resume();
  }

  /** The client is gone, or nothing more can be said. */
  close(): void {
    this.#spill?.close();
    this.#spill = null;
    this.#held = null;
  }
}
