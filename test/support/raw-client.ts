/**
 * A client that says exactly the bytes it is given and reads responses strictly.
 *
 * Every wait has a deadline, so that a server that keeps silent fails a test instead of hanging it.
 */
import { connect, type Socket } from 'node:net';

export interface RawResponse {
  readonly status: number;
  readonly statusLine: string;
  /** Names in lower case; repeated fields joined by `, `. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

export class RawClient {
  readonly socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #ended = false;
  #error: Error | null = null;
  #changed: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (data) => {
      this.#received = Buffer.concat([this.#received, data]);
      this.#changed();
    });
    socket.on('end', () => {
      this.#ended = true;
      this.#changed();
    });
    socket.on('error', (error) => {
      this.#error = error;
      this.#changed();
    });
    socket.on('close', () => {
      this.#ended = true;
      this.#changed();
    });
  }

  /** @param allowHalfOpen true: the client keeps its write side when the server shuts its own */
  static async open(port: number, host = '127.0.0.1', allowHalfOpen = true): Promise<RawClient> {
    const socket = connect({ port, host, allowHalfOpen, noDelay: true });
    const client = new RawClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return client;
  }

  send(text: string | Uint8Array): void {
    this.socket.write(text);
  }

  /** One byte a write, each on the wire before the next. */
  async dribble(text: string): Promise<void> {
    for (const byte of Buffer.from(text, 'latin1')) {
      await new Promise<void>((resolve) => {
        this.socket.write(Buffer.of(byte), () => setImmediate(resolve));
      });
    }
  }

  /** Waits until `test` answers something other than undefined. */
  async #until<T>(what: string, test: () => T | undefined, deadlineMs: number): Promise<T> {
    const end = performance.now() + deadlineMs;
    for (;;) {
      const result = test();
      if (result !== undefined) return result;
      if (this.#error !== null) throw this.#error;
      const left = end - performance.now();
      if (left <= 0 || this.#ended) {
        const seen = JSON.stringify(this.#received.subarray(0, 300).toString('latin1'));
        throw new Error(`${what}: ${this.#ended ? 'connection ended' : 'deadline'}; had ${seen}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** The next response; `request` HEAD has no body. */
  async response(method = 'GET', deadlineMs = 5_000): Promise<RawResponse> {
    return this.#until('no response', () => this.#takeResponse(method), deadlineMs);
  }

  #takeResponse(method: string): RawResponse | undefined {
    const headEnd = this.#received.indexOf('\r\n\r\n');
    if (headEnd < 0) return undefined;
    const [statusLine = '', ...lines] = this.#received
      .subarray(0, headEnd)
      .toString('latin1')
      .split('\r\n');
    const headers = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(':');
      const name = line.slice(0, colon).toLowerCase();
      const value = line.slice(colon + 1).trim();
      headers.set(name, headers.has(name) ? `${headers.get(name)}, ${value}` : value);
    }
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1]);
    const rest = this.#received.subarray(headEnd + 4);
    const taken = this.#takeBody(method, status, headers, rest);
    if (taken === undefined) return undefined;
    this.#received = taken.rest;
    return { status, statusLine, headers, body: taken.body };
  }

  #takeBody(
    method: string,
    status: number,
    headers: ReadonlyMap<string, string>,
    rest: Buffer,
  ): { body: Buffer; rest: Buffer } | undefined {
    if (method === 'HEAD' || status < 200 || status === 204 || status === 304) {
      return { body: Buffer.alloc(0), rest };
    }
    if (headers.get('transfer-encoding') === 'chunked') return takeChunked(rest);
    const length = headers.get('content-length');
    if (length === undefined) {
      return this.#ended ? { body: rest, rest: Buffer.alloc(0) } : undefined;
    }
    const bytes = Number(length);
    if (rest.length < bytes) return undefined;
    return { body: rest.subarray(0, bytes), rest: rest.subarray(bytes) };
  }

  /** Resolves when the server has shut its side; fails if it does not. */
  async ended(deadlineMs = 5_000): Promise<Buffer> {
    await this.#until('still open', () => (this.#ended ? true : undefined), deadlineMs);
    return this.#received;
  }

  /** Takes these bytes, as latin1; fails where others come or the deadline passes. */
  async bytes(text: string, deadlineMs = 5_000): Promise<void> {
    const come = () => (this.#received.length >= text.length ? true : undefined);
    await this.#until(`no ${JSON.stringify(text)}`, come, deadlineMs);
    const seen = this.#received.subarray(0, text.length).toString('latin1');
    if (seen !== text) throw new Error(`${JSON.stringify(seen)} for ${JSON.stringify(text)}`);
    this.#received = this.#received.subarray(text.length);
  }

  /** Bytes received and not taken yet. */
  get received(): Buffer {
    return this.#received;
  }

  close(): void {
    this.socket.destroy();
  }
}

function takeChunked(rest: Buffer): { body: Buffer; rest: Buffer } | undefined {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const lineEnd = rest.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const line = rest.subarray(at, lineEnd).toString('latin1');
    if (!/^[0-9a-f]+$/i.test(line)) throw new Error(`bad chunk size ${JSON.stringify(line)}`);
    const size = Number.parseInt(line, 16);
    const end = lineEnd + 2 + size;
    if (rest.length < end + 2) return undefined;
    if (rest.subarray(end, end + 2).toString('latin1') !== '\r\n') throw new Error('bad chunk end');
    if (size === 0) return { body: Buffer.concat(parts), rest: rest.subarray(end + 2) };
    parts.push(rest.subarray(lineEnd + 2, end));
    at = end + 2;
  }
}
