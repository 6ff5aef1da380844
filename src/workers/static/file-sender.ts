/**
 * Sends a file piece by piece.
 *
 * Role: reads as fast as the peer takes; sendfile will replace it for what a worker need not see.
 * Thread: a worker; reads go through libuv's pool, so the worker serves others meanwhile.
 * May not: hold more than one piece, nor leave a descriptor open.
 */
import { close, read } from 'node:fs';
import type { Exchange } from '../exchange.ts';

const PIECE_SIZE = 64 * 1024;

/**
 * Sends the body of a response already begun with `start`, and closes the descriptor in any case.
 * @param size bytes to send; a file that has shrunk since fails the exchange
 */
export function sendFile(exchange: Exchange, fd: number, size: number): void {
  new FileSender(exchange, fd, size).next();
}

class FileSender {
  readonly #exchange: Exchange;
  readonly #fd: number;
  readonly #size: number;
  #position = 0;
  #reading = false;
  #over = false;

  constructor(exchange: Exchange, fd: number, size: number) {
    this.#exchange = exchange;
    this.#fd = fd;
    this.#size = size;
    exchange.onAbort = () => this.#leave();
  }

  next(): void {
    const length = Math.min(PIECE_SIZE, this.#size - this.#position);
    // A new buffer each time: the connection may still hold the one before.
    const piece = Buffer.allocUnsafeSlow(length);
    this.#reading = true;
    read(this.#fd, piece, 0, length, this.#position, (error, count) => {
      this.#reading = false;
      if (this.#over) this.#close();
      else if (error) this.#fail(error);
      else if (count === 0) this.#fail(new Error('The file has shrunk while it was sent'));
      else this.#send(count === length ? piece : piece.subarray(0, count));
    });
  }

  #send(piece: Uint8Array): void {
    const exchange = this.#exchange;
    this.#position += piece.byteLength;
    const goesOn = exchange.write(piece);
    if (this.#over) return;
    if (this.#position === this.#size) {
      this.#leave();
      exchange.end();
    } else if (goesOn) {
      this.next();
    } else {
      exchange.onDrain = () => {
        exchange.onDrain = null;
        if (!this.#over) this.next();
      };
    }
  }

  #fail(error: Error): void {
    this.#leave();
    this.#exchange.fail(error);
  }

  /** The exchange is no longer ours; a read under way closes the descriptor when it returns. */
  #leave(): void {
    this.#over = true;
    if (!this.#reading) this.#close();
  }

  #close(): void {
    close(this.#fd, () => {});
  }
}
