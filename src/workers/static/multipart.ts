/**
 * Several ranges in one response: multipart/byteranges (RFC 9110, section 14.6).
 *
 * Role: lays the parts out, and sends those of a large file one after the other as the peer takes them.
 * Thread: a worker.
 * May not: leave a descriptor open, whatever becomes of the exchange.
 */
import { randomBytes } from 'node:crypto';
import type { Native } from '../../listener/native.ts';
import type { Exchange } from '../exchange.ts';
import { type ByteRange, contentRange } from './range.ts';

/** The calls on descriptors that sending files needs. */
export type Descriptors = Pick<Native, 'duplicate' | 'close'>;

export interface Multipart {
  readonly contentType: string;
  readonly ranges: readonly ByteRange[];
  /** What stands before each range. */
  readonly heads: readonly Buffer[];
  readonly end: Buffer;
  /** Of all of it, bytes. */
  readonly length: number;
}

/** Random, so that no file can be made to hold it. */
const newBoundary = (): string => randomBytes(18).toString('hex');

export function layOut(
  ranges: readonly ByteRange[],
  size: number,
  contentType: string,
  boundary = newBoundary(),
): Multipart {
  const heads = ranges.map((range) =>
    Buffer.from(
      `\r\n--${boundary}\r\nContent-Type: ${contentType}\r\nContent-Range: ${contentRange(range, size)}\r\n\r\n`,
      'latin1',
    ),
  );
  const end = Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1');
  let length = end.length;
  for (const head of heads) length += head.length;
  for (const range of ranges) length += range.length;
  return {
    contentType: `multipart/byteranges; boundary=${boundary}`,
    ranges,
    heads,
    end,
    length,
  };
}

/** The body of a file that is in memory. */
export function joined(multipart: Multipart, bytes: Uint8Array): Buffer {
  const pieces: Uint8Array[] = [];
  for (const [index, { offset, length }] of multipart.ranges.entries()) {
    pieces.push(multipart.heads[index], bytes.subarray(offset, offset + length));
  }
  pieces.push(multipart.end);
  return Buffer.concat(pieces, multipart.length);
}

/** Sends the body of a response begun with `start`, and ends it. Takes the descriptor over. */
export function sendParts(
  exchange: Exchange,
  multipart: Multipart,
  descriptors: Descriptors,
  fd: number,
): void {
  new PartSender(exchange, multipart, descriptors, fd).next();
}

class PartSender {
  readonly #exchange: Exchange;
  readonly #multipart: Multipart;
  readonly #descriptors: Descriptors;
  readonly #fd: number;
  readonly #next = () => this.next();
  #index = 0;
  #closed = false;

  constructor(exchange: Exchange, multipart: Multipart, descriptors: Descriptors, fd: number) {
    this.#exchange = exchange;
    this.#multipart = multipart;
    this.#descriptors = descriptors;
    this.#fd = fd;
    exchange.onAbort = () => this.#close();
  }

  /** The peer takes more. */
  next(): void {
    const exchange = this.#exchange;
    const { ranges, heads, end } = this.#multipart;
    while (this.#index < ranges.length) {
      if (this.#closed) return;
      const { offset, length } = ranges[this.#index];
      const fd = this.#descriptors.duplicate(this.#fd);
      if (fd < 0) {
        this.#close();
        exchange.fail(new Error(`no descriptor for a part: errno ${-fd}`));
        return;
      }
      // Its answer is no matter, since that of the range that follows is heeded.
      exchange.write(heads[this.#index++]);
      if (!exchange.writeFile(fd, offset, length)) {
        exchange.onDrain = this.#next;
        return;
      }
    }
    if (this.#closed) return;
    this.#close();
    exchange.write(end);
    exchange.end();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#descriptors.close(this.#fd);
  }
}
