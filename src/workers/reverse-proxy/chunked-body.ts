/**
 * The payload of a chunked body that comes in pieces, each in memory that is used again.
 *
 * Role: keeps what the decoder wants to find again with the next piece: the part of a trailer section that
 * has come, which it writes behind the payload.
 * Thread: a worker. Pure.
 */
import { ChunkedDecoder } from '../http1/chunked-decoder.ts';

const NOTHING = Buffer.alloc(0);

export class ChunkedBody {
  readonly #decoder = new ChunkedDecoder();
  #trailers: Buffer = NOTHING;
  /** Of the bytes taken last; stands in their place, or in memory of its own. */
  payload: Buffer = NOTHING;
  /** The last chunk and the trailer section have come. */
  isComplete = false;
  /** Bytes came behind them. */
  hasMore = false;

  /** Why it was refused, a code. */
  get error(): string {
    return this.#decoder.error;
  }

  /** Takes bytes[from, to), which are written over; false: they are no chunked body. */
  take(bytes: Buffer, from: number, to: number): boolean {
    const decoder = this.#decoder;
    const kept = this.#trailers.length;
    if (kept > 0) {
      bytes = Buffer.concat([this.#trailers, bytes.subarray(from, to)]);
      from = kept;
      to = bytes.length;
    }
    const result = decoder.decode(bytes, from, to, from - kept);
    this.payload = bytes.subarray(from - kept, decoder.written);
    if (result < 0) return false;
    this.isComplete = result === 1;
    this.hasMore = decoder.consumed < to;
    const { written, trailerLength } = decoder;
    const isInTrailers = trailerLength > 0 && !this.isComplete;
    this.#trailers = isInTrailers
      ? Buffer.from(bytes.subarray(written, written + trailerLength))
      : NOTHING;
    return true;
  }
}
