/**
 * Log lines of responses whose rest is on its way outside of a worker, as far as they are known.
 *
 * Role: one record for each connection slot; the worker that lets go leaves the beginning of the line
 * there, whoever sends the last byte completes it. Untouched records cost address space only.
 * Thread: the connection's owner.
 */

/** Bytes of a record; a longer beginning stays with its worker, and so does the connection. */
const RECORD_BYTES = 1024;
const TEXT_AT = 4;

export class RestLines {
  readonly #lengths: Int32Array;
  readonly #bytes: Buffer;

  private constructor(memory: SharedArrayBuffer) {
    this.#lengths = new Int32Array(memory);
    this.#bytes = Buffer.from(memory);
  }

  static bytes(connectionSlots: number): number {
    return connectionSlots * RECORD_BYTES;
  }

  static attach(memory: SharedArrayBuffer): RestLines {
    return new RestLines(memory);
  }

  /** False: the line is too long. @param line latin1 */
  put(slot: number, line: string): boolean {
    if (line.length > RECORD_BYTES - TEXT_AT) return false;
    const at = slot * RECORD_BYTES;
    this.#lengths[at >> 2] = this.#bytes.write(line, at + TEXT_AT, 'latin1');
    return true;
  }

  get(slot: number): string {
    const at = slot * RECORD_BYTES;
    const length = this.#lengths[at >> 2] as number;
    return this.#bytes.toString('latin1', at + TEXT_AT, at + TEXT_AT + length);
  }
}
