/**
 * A request body that its handler reads in pieces.
 *
 * Role: the one pending read and what satisfies it; says 100 Continue to a client that waits for it.
 * Thread: one worker. May not: move the state word; it asks its `Course` to wait for more bytes.
 */

import { Received } from './connection-input.ts';
import type { AbortReason } from './exchange.ts';
import { BodyError, type RequestReader } from './request-reader.ts';

/** What a streamed body asks of the connection it comes from. */
export interface BodyCourse {
  /** Sends 100 Continue unless the response has begun. */
  sayContinue(): void;
  /** Suspends until bytes come. */
  awaitBytes(): void;
  /** The body is malformed or too large; answers so unless the response has begun. */
  refuseBody(error: BodyError): void;
  abort(reason: AbortReason): void;
}

interface PendingRead {
  resolve(piece: Uint8Array | null): void;
  reject(error: unknown): void;
}

export class RequestBody {
  readonly #reader: RequestReader;
  readonly #course: BodyCourse;
  #pending: PendingRead | null = null;
  #continueDue = false;

  constructor(reader: RequestReader, course: BodyCourse) {
    this.#reader = reader;
    this.#course = course;
  }

  /** @param expectsContinue the client holds the body back until it is told to go on */
  begin(expectsContinue: boolean): void {
    this.#continueDue = expectsContinue;
  }

  /** A read waits for bytes. */
  get waiting(): boolean {
    return this.#pending !== null;
  }

  /** The next piece, null at the end; the exchange must not have ended. */
  read(): Promise<Uint8Array | null> {
    if (this.#pending !== null) return Promise.reject(new TypeError('one read at a time'));
    if (this.#continueDue) {
      this.#continueDue = false;
      this.#course.sayContinue();
    }
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
      this.feed();
    });
  }

  /** Satisfies the waiting read, or suspends until bytes come. */
  feed(): void {
    const reader = this.#reader;
    try {
      for (;;) {
        const piece = reader.nextPiece();
        if (piece !== undefined) {
          this.#take()?.resolve(piece);
          return;
        }
        const received = reader.dry ? Received.nothing : reader.receive();
        if (received > 0) continue;
        if (received === Received.nothing) this.#course.awaitBytes();
        else this.#course.abort('peer-gone');
        return;
      }
    } catch (error) {
      if (!(error instanceof BodyError)) throw error;
      // Taken first: to refuse ends the exchange, which rejects what still waits.
      const read = this.#take();
      this.#course.refuseBody(error);
      read?.reject(error);
    }
  }

  /** The client was too slow, while a handler waited and nothing was answered. */
  expire(): void {
    const read = this.#take();
    const error = new BodyError('request-timeout', 408, 'the body came too slowly');
    this.#course.refuseBody(error);
    read?.reject(error);
  }

  /** The exchange is over; nothing will satisfy a read that still waits. */
  reject(code: string, message: string): void {
    this.#take()?.reject(new BodyError(code, 400, message));
  }

  #take(): PendingRead | null {
    const read = this.#pending;
    this.#pending = null;
    return read;
  }
}
