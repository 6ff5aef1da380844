/**
 * Reads what arrives at a client and judges each byte.
 *
 * Role: responses come in the order of their requests, whole, with the bytes that belong to them; or the
 * server's own refusals, which end the connection.
 */
import { fits, startOf } from './content.ts';
import { ensure, Violation } from './violation.ts';

const HEAD_END = '\r\n\r\n';
const MAX_HEAD = 4_096;
const State = { head: 0, body: 1, chunkSize: 2, chunk: 3, chunkEnd: 4, last: 5, over: 6 } as const;

export class Responses {
  readonly #connection: number;
  #state: number = State.head;
  #text = '';
  /** Of the present body. */
  #left = 0;
  #offset = 0;
  #start = 0;
  #own = false;
  /** Complete ones. */
  complete = 0;
  /** The last head has said that the connection ends. */
  closing = false;
  /** Of the last complete head. */
  status = 0;
  /** Called with every head that did not come from the application. */
  onRefusal: (status: number) => void = () => {};

  constructor(connection: number) {
    this.#connection = connection;
  }

  /** Something of a response has come, and not all of it. */
  get isPartial(): boolean {
    return this.#state !== State.head ? this.#state !== State.over : this.#text !== '';
  }

  feed(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      switch (this.#state) {
        case State.head:
          at = this.#head(bytes, at);
          break;
        case State.body:
        case State.chunk:
          at = this.#body(bytes, at);
          break;
        case State.over:
          throw new Violation(`client ${this.#connection}: bytes behind the last response`);
        default:
          at = this.#line(bytes, at);
      }
    }
  }

  #head(bytes: Buffer, at: number): number {
    const before = this.#text.length;
    this.#text += bytes.toString('latin1', at, Math.min(bytes.length, at + MAX_HEAD));
    const end = this.#text.indexOf(HEAD_END, Math.max(0, before - 3));
    if (end < 0) {
      ensure(
        this.#text.length < MAX_HEAD,
        () => `client ${this.#connection}: no head: ${this.#text}`,
      );
      return bytes.length;
    }
    const head = this.#text.slice(0, end + 2);
    this.#text = '';
    this.#begin(head);
    return at + end + HEAD_END.length - before;
  }

  #begin(head: string): void {
    const connection = this.#connection;
    const match = /^HTTP\/1\.1 (\d{3}) /.exec(head);
    if (match === null) throw new Violation(`client ${connection}: not a response: ${head}`);
    const status = Number(match[1]);
    if (status === 100) return;
    this.status = status;
    this.closing = /\r\nConnection: close\r\n/.test(head);
    const id = /\r\nX-Id: (\d+)\/(\d+)\r\n/.exec(head);
    this.#own = id !== null;
    this.#offset = 0;
    if (id === null) {
      this.onRefusal(status);
    } else if (Number(id[1]) !== connection || Number(id[2]) !== this.complete) {
      throw new Violation(
        `client ${connection} got response ${id[1]}/${id[2]} as its ${this.complete}.`,
      );
    }
    this.#start = startOf(connection, this.complete);
    const length = /\r\nContent-Length: (\d+)\r\n/.exec(head);
    if (length !== null) {
      this.#left = Number(length[1]);
      this.#state = State.body;
      if (this.#left === 0) this.#end();
    } else {
      const chunked = /\r\nTransfer-Encoding: chunked\r\n/.test(head);
      ensure(chunked, () => `client ${connection}: a response without framing: ${head}`);
      this.#state = State.chunkSize;
    }
  }

  #body(bytes: Buffer, at: number): number {
    const count = Math.min(this.#left, bytes.length - at);
    const piece = bytes.subarray(at, at + count);
    if (this.#own && !fits(piece, this.#start, this.#offset)) {
      const where = `${this.#connection}/${this.complete} at ${this.#offset}`;
      throw new Violation(
        `wrong bytes in response ${where}: ${JSON.stringify(piece.toString('latin1', 0, 80))}`,
      );
    }
    this.#offset += count;
    this.#left -= count;
    if (this.#left === 0) {
      if (this.#state === State.body) this.#end();
      else this.#state = State.chunkEnd;
    }
    return at + count;
  }

  /** Lines of the chunked framing. */
  #line(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(10, at);
    if (end < 0) {
      this.#text += bytes.toString('latin1', at);
      return bytes.length;
    }
    const line = this.#text + bytes.toString('latin1', at, end);
    this.#text = '';
    if (this.#state === State.chunkSize) {
      ensure(/^[\da-f]+\r$/.test(line), () => `client ${this.#connection}: chunk size ${line}`);
      this.#left = Number.parseInt(line, 16);
      this.#state = this.#left === 0 ? State.last : State.chunk;
    } else {
      ensure(line === '\r', () => `client ${this.#connection}: behind a chunk: ${line}`);
      if (this.#state === State.last) this.#end();
      else this.#state = State.chunkSize;
    }
    return end + 1;
  }

  #end(): void {
    this.complete++;
    this.#state = this.closing ? State.over : State.head;
  }
}
