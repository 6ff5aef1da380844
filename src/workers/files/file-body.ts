/**
 * The body of a response that is a file, part of one, or several parts.
 *
 * Role: sends itself by the shortest way, or reads itself for those who want the bytes.
 * Thread: a worker.
 * May not: be sent twice; `share` makes another one of the same file.
 */
import type { Exchange } from '../exchange.ts';
import { type Multipart, sendParts } from '../static/multipart.ts';
import { SMALL_FILE_BYTES } from '../static/representation.ts';
import { descriptors, type OpenFile } from './open-file.ts';

/** What is read at a time where the file has to pass through the process. */
const PIECE_BYTES = 64 * 1024;

export class FileBody {
  readonly #file: OpenFile;
  readonly #offset: number;
  readonly #multipart: Multipart | null;
  /** Bytes of the body as it is sent. */
  readonly length: number;
  #released = false;

  /**
   * Takes a holder's part in the file over.
   * @param multipart the parts that are sent instead of `length` bytes from `offset`
   */
  constructor(file: OpenFile, offset: number, length: number, multipart: Multipart | null = null) {
    this.#file = file;
    this.#offset = offset;
    this.#multipart = multipart;
    this.length = multipart === null ? length : multipart.length;
  }

  /** Several ranges: it cannot leave by one call. */
  get isMultipart(): boolean {
    return this.#multipart !== null;
  }

  /** The same once more, for a clone. */
  share(): FileBody {
    return new FileBody(this.#file.hold(), this.#offset, this.length, this.#multipart);
  }

  /** Nobody will get it from here any more. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#file.release();
  }

  /**
   * Answers an exchange with it.
   * @throws FileError where descriptors have run out or the file has shrunk; nothing was sent then
   */
  send(exchange: Exchange, status: number, statusText: string, list: readonly string[]): void {
    try {
      if (exchange.method === 'HEAD') {
        exchange.start(status, statusText, list, this.length);
        exchange.end();
      } else if (this.#multipart !== null) {
        const fd = this.#file.duplicate();
        exchange.start(status, statusText, list, this.length);
        sendParts(exchange, this.#multipart, descriptors(), fd);
      } else if (this.length <= SMALL_FILE_BYTES) {
        exchange.respond(status, statusText, list, this.#file.read(this.#offset, this.length));
      } else {
        const fd = this.#file.duplicate();
        exchange.respondFile(status, statusText, list, fd, this.#offset, this.length);
      }
    } finally {
      this.release();
    }
  }

  /**
   * The same behind a head that somebody else made; of one part only.
   * @param sure called when nothing stands in the way any more, before the exchange is used
   * @throws FileError as `send`
   */
  sendRaw(exchange: Exchange, head: Uint8Array, keepAlive: boolean, sure: () => void): void {
    try {
      if (exchange.method === 'HEAD') {
        sure();
        exchange.writeRaw(head);
        exchange.endRaw(keepAlive);
      } else if (this.length <= SMALL_FILE_BYTES) {
        const bytes = this.#file.read(this.#offset, this.length);
        sure();
        exchange.writeRaw(Buffer.concat([head, bytes]));
        exchange.endRaw(keepAlive);
      } else {
        const fd = this.#file.duplicate();
        sure();
        exchange.endRawFile(head, fd, this.#offset, this.length, keepAlive);
      }
    } finally {
      this.release();
    }
  }

  /** Its bytes, piece by piece; lets go at the end or when the reader has enough. */
  async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      const multipart = this.#multipart;
      if (multipart === null) {
        yield* this.#pieces(this.#offset, this.length);
        return;
      }
      for (const [index, { offset, length }] of multipart.ranges.entries()) {
        yield multipart.heads[index];
        yield* this.#pieces(offset, length);
      }
      yield multipart.end;
    } finally {
      this.release();
    }
  }

  *#pieces(offset: number, length: number): Generator<Uint8Array, void, undefined> {
    for (let done = 0; done < length; done += PIECE_BYTES) {
      yield this.#file.read(offset + done, Math.min(PIECE_BYTES, length - done));
    }
  }
}
