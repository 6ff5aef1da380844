/**
 * The body of a response by which an upstream refuses an upgrade.
 *
 * Role: finds its end; one in chunks leaves in chunks of the proxy's own.
 * Thread: a worker. Pure.
 */
import { BodyEnd, type ResponseHead } from '../http1/response-parser.ts';
import { ChunkedBody } from './chunked-body.ts';

const NEW_LINE = Buffer.from('\r\n', 'latin1');
const LAST_CHUNK = Buffer.from('0\r\n\r\n', 'latin1');

export interface RefusalBody {
  /** Passes on what belongs to the body; false: it cannot be read. */
  take(data: Buffer, pass: (piece: Buffer) => void): boolean;
  /** All of it was passed on. */
  readonly isComplete: boolean;
  /** The end of the connection is the body's as well. */
  readonly endsHere: boolean;
}

/** One whose end is told by its length, or by the end of the connection. */
export class PlainRefusal implements RefusalBody {
  #left: number;

  constructor({ bodyEnd, contentLength }: ResponseHead) {
    this.#left = bodyEnd === BodyEnd.length ? contentLength : Number.POSITIVE_INFINITY;
  }

  take(data: Buffer, pass: (piece: Buffer) => void): boolean {
    const piece = data.length > this.#left ? data.subarray(0, this.#left) : data;
    this.#left -= piece.length;
    if (piece.length > 0) pass(piece);
    return true;
  }

  get isComplete(): boolean {
    return this.#left === 0;
  }

  get endsHere(): boolean {
    return this.#left === 0 || this.#left === Number.POSITIVE_INFINITY;
  }
}

export class ChunkedRefusal implements RefusalBody {
  readonly #body = new ChunkedBody();

  take(data: Buffer, pass: (piece: Buffer) => void): boolean {
    if (!this.#body.take(data, 0, data.length)) return false;
    const { payload, isComplete } = this.#body;
    const size = Buffer.from(`${payload.length.toString(16)}\r\n`, 'latin1');
    if (payload.length > 0) pass(Buffer.concat([size, payload, NEW_LINE]));
    if (isComplete) pass(LAST_CHUNK);
    return true;
  }

  get isComplete(): boolean {
    return this.#body.isComplete;
  }

  get endsHere(): boolean {
    return this.#body.isComplete;
  }
}
