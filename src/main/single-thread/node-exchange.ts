/**
 * An `Exchange` over a request and a response of node:http.
 *
 * Role: lets web-style handlers run where there is no epoll, by the same adapter as everywhere else.
 * Thread: main, in development. One for each request.
 * May not: send files by descriptor; that takes the native part.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AbortReason, Exchange, FieldTable, Forwarded } from '../../workers/exchange.ts';
import { logHandlerError } from '../../workers/handler-error.ts';
import { BodyError } from '../../workers/request-reader.ts';

const WITHOUT_CONTENT = new Set([204, 304]);

export class NodeExchange implements Exchange {
  readonly serial = 1;
  readonly method: string;
  readonly target: string;
  readonly head: string;
  readonly table: FieldTable;
  readonly minorVersion: 0 | 1;
  readonly forwarded: Forwarded | null = null;
  readonly bodyLength: number;
  readonly contentLength: number;
  route = '';
  onDrain: (() => void) | null = null;
  onAbort: ((reason: AbortReason) => void) | null = null;
  onPeerEnd: (() => boolean) | null = null;
  ended = false;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #limitBytes: number;
  #pieces: AsyncIterator<Buffer> | null = null;
  #received = 0;
  #timer: NodeJS.Timeout | null = null;

  /** There is no such pool: one thread does everything. */
  readonly isLengthy = false;

  /** @param limitBytes of a request body, 0: none */
  constructor(request: IncomingMessage, response: ServerResponse, limitBytes: number) {
    this.#request = request;
    this.#response = response;
    this.#limitBytes = limitBytes;
    this.method = request.method ?? 'GET';
    this.target = request.url ?? '/';
    this.minorVersion = request.httpVersionMinor === 0 ? 0 : 1;
    const { head, table } = layOut(this.method, this.target, this.minorVersion, request.rawHeaders);
    this.head = head;
    this.table = table;
    const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
    this.contentLength = length === undefined ? -1 : Number(length);
    this.bodyLength = coding === undefined && this.contentLength <= 0 ? 0 : -1;
    response.on('drain', () => this.onDrain?.());
    response.on('close', () => this.#closed('peer-gone'));
  }

  get keepAlive(): boolean {
    return this.#response.shouldKeepAlive;
  }

  get remoteAddress(): string {
    return plain(this.#request.socket.remoteAddress);
  }

  get peerAddress(): string {
    return this.remoteAddress;
  }

  get trustedHeader(): null {
    return null;
  }

  get remotePort(): number {
    return this.#request.socket.remotePort ?? 0;
  }

  get localAddress(): string {
    return plain(this.#request.socket.localAddress);
  }

  get localPort(): number {
    return this.#request.socket.localPort ?? 0;
  }

  toLengthy(): boolean {
    return false;
  }

  deadline(milliseconds: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (milliseconds === 0 || this.ended || this.headersSent) return;
    this.#timer = setTimeout(() => {
      if (this.ended || this.headersSent) return;
      const { onAbort } = this;
      this.#refuse(504, 'request-deadline');
      onAbort?.('timeout');
    }, milliseconds);
  }

  takeBody(): Uint8Array {
    throw new TypeError('the body has to be streamed');
  }

  /** Only `(req, res)` handlers ask for them, and here those have node:http's own messages. */
  takeTrailers(): readonly string[] {
    return [];
  }

  async readBody(): Promise<Uint8Array | null> {
    this.#pieces ??= this.#request[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    const { done, value } = await this.#pieces.next();
    if (done === true) return null;
    this.#received += value.length;
    if (this.#limitBytes === 0 || this.#received <= this.#limitBytes) return value;
    const error = new BodyError('body-too-large', 413, 'the body is larger than limitRequestBody');
    if (!this.headersSent && !this.ended) this.#refuse(error.status, error.code);
    throw error;
  }

  respond(
    status: number,
    statusText: string,
    headers: readonly string[],
    body: Uint8Array | string | null,
  ): void {
    const bytes = body === null ? 0 : Buffer.byteLength(body);
    // Of a HEAD whose length only the handler knows, its own counts.
    const own = (this.method === 'HEAD' && bytes === 0) || status === 304;
    this.#begin(status, statusText, headers, WITHOUT_CONTENT.has(status) || own ? -1 : bytes, own);
    this.#finish(WITHOUT_CONTENT.has(status) ? null : body);
  }

  respondFile(): never {
    throw unavailable();
  }

  respondSocket(): never {
    throw unavailable();
  }

  start(status: number, text: string, headers: readonly string[], contentLength: number): void {
    this.#begin(status, text, headers, contentLength, false);
    this.#response.flushHeaders();
  }

  write(chunk: Uint8Array): boolean {
    return this.#response.write(chunk);
  }

  writeFile(): never {
    throw unavailable();
  }

  end(): void {
    this.#finish(null);
  }

  writeInterim(): never {
    throw unavailable();
  }

  writeRaw(): never {
    throw unavailable();
  }

  endRaw(): never {
    throw unavailable();
  }

  endRawFile(): never {
    throw unavailable();
  }

  get headersSent(): boolean {
    return this.#response.headersSent;
  }

  fail(error: unknown): void {
    if (this.ended) return;
    if (!(error instanceof BodyError)) logHandlerError(error, this.method, this.target);
    if (this.headersSent) this.abort();
    else
      this.respond(
        500,
        '',
        ['Content-Type', 'text/plain;charset=UTF-8'],
        'Internal Server Error\n',
      );
  }

  abort(): void {
    this.#over();
    this.#response.destroy();
  }

  /** node:http cuts off by itself whoever has shut its side. */
  heedPeerEnd(): void {}

  #begin(
    status: number,
    statusText: string,
    headers: readonly string[],
    length: number,
    ownLength: boolean,
  ): void {
    if (this.ended || this.headersSent) throw new TypeError('the response has been begun already');
    if (this.#timer !== null) clearTimeout(this.#timer);
    const list: string[] = [];
    for (let index = 0; index < headers.length; index += 2) {
      if (!ownLength && headers[index].toLowerCase() === 'content-length') continue;
      list.push(headers[index], headers[index + 1]);
    }
    if (length >= 0) list.push('Content-Length', String(length));
    if (statusText === '') this.#response.writeHead(status, list);
    else this.#response.writeHead(status, statusText, list);
  }

  #refuse(status: number, code: string): void {
    this.#response.shouldKeepAlive = false;
    this.respond(status, '', ['Content-Type', 'text/plain;charset=UTF-8'], `${code}\n`);
  }

  #finish(body: Uint8Array | string | null): void {
    this.#over();
    if (body === null || this.method === 'HEAD') this.#response.end();
    else this.#response.end(body);
    // What nobody has read would be taken for the next request.
    if (this.bodyLength !== 0 && this.#pieces === null) this.#request.resume();
  }

  #over(): void {
    this.ended = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.onAbort = null;
    this.onDrain = null;
  }

  #closed(reason: AbortReason): void {
    if (this.ended) return;
    const { onAbort } = this;
    this.#over();
    onAbort?.(reason);
  }
}

const plain = (address: string | undefined): string => (address ?? '').replace(/^::ffff:/, '');

function unavailable(): Error & { code: string } {
  const error = new Error(
    'files and raw bytes are sent by the native part, which runs on Linux only',
  );
  return Object.assign(error, { code: 'ERR_MPM_NO_EPOLL' });
}

/** The head as it may have been on the wire, with a table of its own. */
function layOut(method: string, target: string, minor: 0 | 1, raw: readonly string[]) {
  let head = `${method} ${target} HTTP/1.${minor}\r\n`;
  const fields = new Int32Array(raw.length * 2);
  for (let index = 0; index < raw.length; index += 2) {
    const start = head.length;
    const nameEnd = start + raw[index].length;
    const valueEnd = nameEnd + 2 + raw[index + 1].length;
    fields.set([start, nameEnd, nameEnd + 2, valueEnd], index * 2);
    head += `${raw[index]}: ${raw[index + 1]}\r\n`;
  }
  const table: FieldTable = { serial: 1, fieldCount: raw.length / 2, fields };
  return { head: `${head}\r\n`, table };
}
