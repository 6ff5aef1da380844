/**
 * An `Exchange` without a connection: records what is sent and can play a slow or a leaving peer.
 *
 * Role: what handler tests run against. Framing is left to the real connection; this one only keeps
 * the calls and asserts that they come in an order the seam allows.
 */
import { closeSync, readSync } from 'node:fs';
import type { AbortReason, Exchange, FieldTable, Forwarded } from '../../src/workers/exchange.ts';

export interface FakeRequest {
  method?: string;
  target?: string;
  /** Name and value pairs, as sent. */
  headers?: readonly (readonly [string, string])[];
  minorVersion?: 0 | 1;
  keepAlive?: boolean;
  /** A body that has arrived whole; or pieces, which are streamed. */
  body?: string | Uint8Array | readonly (string | Uint8Array)[];
  contentLength?: number;
  /** Bytes the peer takes before it has to be waited for. */
  window?: number;
}

export interface Sent {
  status: number;
  statusText: string;
  headers: readonly string[];
  /** -1: unknown. Of `respond`: the length of the body. */
  contentLength: number;
  whole: boolean;
}

class FakeTable implements FieldTable {
  serial = 1;
  fieldCount = 0;
  fields = new Int32Array(4 * 64);
}

function bytesOf(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value) : value;
}

export class FakeExchange implements Exchange {
  serial = 1;
  method: string;
  target: string;
  head: string;
  readonly table = new FakeTable();
  minorVersion: 0 | 1;
  keepAlive: boolean;
  remoteAddress = '192.0.2.7';
  peerAddress = '192.0.2.7';
  trustedHeader: 'x-forwarded' | 'forwarded' | null = null;
  forwarded: Forwarded | null = null;
  remotePort = 40000;
  localAddress = '127.0.0.1';
  localPort = 8080;
  bodyLength: number;
  contentLength: number;
  headersSent = false;
  ended = false;
  route = '';
  onDrain: (() => void) | null = null;
  onAbort: ((reason: AbortReason) => void) | null = null;
  onPeerEnd: (() => boolean) | null = null;
  isLengthy = false;
  /** What `toLengthy` says; calls of it. */
  handsOver = false;
  handedOver = 0;

  /** What was sent, by `respond` or `start`. */
  sent: Sent | null = null;
  /** Body chunks (or raw bytes, head included). */
  readonly chunks: Buffer[] = [];
  readonly errors: unknown[] = [];
  aborted = false;
  /** What `endRaw` was told. */
  rawKeepAlive: boolean | null = null;
  rawWrites = 0;
  /** Parts sent from descriptors. */
  fileParts = 0;
  /** Bytes not taken by the peer yet. */
  unsent = 0;
  /** How often the body was asked for. */
  reads = 0;
  window: number;
  readonly #body: Uint8Array;
  readonly #pieces: Uint8Array[];
  #rejectRead: ((error: Error) => void) | null = null;
  #started = false;
  #finished: (() => void)[] = [];

  constructor(request: FakeRequest = {}) {
    this.method = request.method ?? 'GET';
    this.target = request.target ?? '/';
    this.minorVersion = request.minorVersion ?? 1;
    this.keepAlive = request.keepAlive ?? this.minorVersion === 1;
    this.window = request.window ?? Number.POSITIVE_INFINITY;
    const streamed = Array.isArray(request.body);
    this.#pieces = streamed ? (request.body as string[]).map(bytesOf) : [];
    this.#body = streamed ? new Uint8Array(0) : bytesOf((request.body as string) ?? '');
    this.bodyLength = streamed ? -1 : this.#body.byteLength;
    this.contentLength = request.contentLength ?? (streamed ? -1 : this.bodyLength || -1);
    this.head = this.#layOut(request.headers ?? [['Host', 'example.test']]);
  }

  #layOut(headers: readonly (readonly [string, string])[]): string {
    let head = `${this.method} ${this.target} HTTP/1.${this.minorVersion}\r\n`;
    for (const [name, value] of headers) {
      const at = this.table.fieldCount++ * 4;
      const valueStart = head.length + name.length + 2;
      this.table.fields.set(
        [head.length, head.length + name.length, valueStart, valueStart + value.length],
        at,
      );
      head += `${name}: ${value}\r\n`;
    }
    return `${head}\r\n`;
  }

  /** Plays the next parse on this worker: the table now describes another head. */
  overwriteTable(): void {
    this.table.serial++;
    this.table.fieldCount = 0;
    this.table.fields.fill(0);
  }

  /** Plays the reuse of this object for another request. */
  reuse(): void {
    this.serial++;
    this.overwriteTable();
    this.ended = false;
    this.headersSent = false;
    this.onAbort = null;
    this.onDrain = null;
    this.remoteAddress = '198.51.100.1';
  }

  takeBody(): Uint8Array {
    this.#live();
    return Buffer.from(this.#body);
  }

  /** What the handler bounded itself to, milliseconds. */
  readonly deadlines: number[] = [];
  deadline(milliseconds: number): void {
    this.deadlines.push(milliseconds);
  }

  toLengthy(): boolean {
    this.handedOver++;
    return this.handsOver;
  }

  takeTrailers(): readonly string[] {
    return [];
  }

  async readBody(): Promise<Uint8Array | null> {
    this.#live();
    this.reads++;
    const piece = this.#pieces.shift();
    if (piece !== undefined) return piece;
    if (this.holdBody) {
      return new Promise((_resolve, reject) => {
        this.#rejectRead = reject;
      });
    }
    return null;
  }

  /** True: the body's end does not come by itself. */
  holdBody = false;

  respond(
    status: number,
    statusText: string,
    headers: readonly string[],
    body: Uint8Array | string | null,
  ): void {
    this.#begin();
    const bytes = body === null ? Buffer.alloc(0) : Buffer.from(bytesOf(body));
    this.sent = { status, statusText, headers, contentLength: bytes.length, whole: true };
    if (this.method !== 'HEAD') this.chunks.push(bytes);
    this.#finish();
  }

  respondFile(
    status: number,
    statusText: string,
    headers: readonly string[],
    fd: number,
    offset: number,
    length: number,
  ): void {
    this.start(status, statusText, headers, length);
    this.writeFile(fd, offset, length);
    this.end();
  }

  respondSocket(): void {
    throw new Error('not played here');
  }

  writeFile(fd: number, offset: number, length: number): boolean {
    this.#live();
    if (!this.#started) throw new Error('writeFile before start');
    this.#putFile(fd, offset, length);
    return this.#take(length);
  }

  #putFile(fd: number, offset: number, length: number): void {
    const part = Buffer.alloc(length);
    const count = readSync(fd, part, 0, length, offset);
    closeSync(fd);
    if (count !== length) throw new Error(`the file has ${count} bytes of ${length}`);
    this.fileParts++;
    this.chunks.push(part);
  }

  start(
    status: number,
    statusText: string,
    headers: readonly string[],
    contentLength: number,
  ): void {
    this.#begin();
    this.#started = true;
    this.sent = { status, statusText, headers, contentLength, whole: false };
  }

  write(chunk: Uint8Array): boolean {
    this.#live();
    if (!this.#started) throw new Error('write before start');
    this.chunks.push(Buffer.from(chunk));
    return this.#take(chunk.byteLength);
  }

  end(): void {
    this.#live();
    if (!this.#started) throw new Error('end before start');
    this.#finish();
  }

  /** Heads of informational responses. */
  readonly interim: string[] = [];

  writeInterim(head: Uint8Array): void {
    this.#live();
    if (this.headersSent) throw new Error('writeInterim after the response was begun');
    this.interim.push(Buffer.from(head).toString('latin1'));
  }

  writeRaw(chunk: Uint8Array): boolean {
    this.#live();
    this.headersSent = true;
    this.rawWrites++;
    this.chunks.push(Buffer.from(chunk));
    return this.#take(chunk.byteLength);
  }

  endRaw(keepAlive: boolean): void {
    this.#live();
    this.rawKeepAlive = keepAlive;
    this.#finish();
  }

  endRawFile(
    head: Uint8Array,
    fd: number,
    offset: number,
    length: number,
    keepAlive: boolean,
  ): void {
    this.writeRaw(head);
    this.#putFile(fd, offset, length);
    this.endRaw(keepAlive);
  }

  fail(error: unknown): void {
    this.#live();
    this.errors.push(error);
    if (!this.headersSent) {
      this.sent = { status: 500, statusText: '', headers: [], contentLength: 0, whole: true };
    }
    this.#finish();
  }

  abort(): void {
    this.#live();
    this.aborted = true;
    this.#finish();
  }

  #take(length: number): boolean {
    this.unsent += length;
    return this.unsent <= this.window;
  }

  #live(): void {
    if (this.ended) throw new Error('the exchange has ended already');
  }

  #begin(): void {
    this.#live();
    if (this.headersSent) throw new Error('a response was begun already');
    this.headersSent = true;
  }

  #finish(): void {
    this.ended = true;
    this.onAbort = null;
    this.onDrain = null;
    for (const resolve of this.#finished.splice(0)) resolve();
  }

  /** The peer has taken everything. */
  drain(): void {
    this.unsent = 0;
    const { onDrain } = this;
    this.onDrain = null;
    onDrain?.();
  }

  /** How often a shut peer was said to count as gone. */
  heeds = 0;
  heedPeerEnd(): void {
    this.heeds++;
    this.onPeerEnd = () => true;
  }

  /** The peer leaves. */
  leave(reason: AbortReason = 'peer-gone'): void {
    const { onAbort } = this;
    this.ended = true;
    this.onAbort = null;
    this.onDrain = null;
    this.#rejectRead?.(new Error('peer gone'));
    onAbort?.(reason);
    for (const resolve of this.#finished.splice(0)) resolve();
  }

  /** Resolves once the exchange has ended. */
  finished(): Promise<void> {
    if (this.ended) return Promise.resolve();
    return new Promise((resolve) => this.#finished.push(resolve));
  }

  get body(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }

  get bodyText(): string {
    return Buffer.concat(this.chunks).toString('utf8');
  }

  /** The value of a response header, null where absent. */
  header(name: string): string | null {
    const headers = this.sent?.headers ?? [];
    for (let i = 0; i < headers.length; i += 2) {
      if (headers[i].toLowerCase() === name) return headers[i + 1];
    }
    return null;
  }
}
