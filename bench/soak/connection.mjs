// One client connection, at the level of bytes: what it sends is what it is given, what it receives is
// read strictly. A body is hashed as it comes, so that slow readers and large bodies cost no memory.
import { connect } from 'node:net';
import { host } from '../lib/loopback.mjs';
import { newHash } from './payload.mjs';

const deadlineMs = 30_000;
const maxHeadBytes = 64 * 1024;
const keptBytes = 4096;
const noBytes = Buffer.alloc(0);

/**
 * What went wrong, by kind: `reset`, `refused`, `ended` (before the response was whole), `deadline`,
 * `framing` (no HTTP), `status`, `length`, `body`, `echo`.
 */
export class Failure extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

const kinds = { ECONNRESET: 'reset', EPIPE: 'reset', ECONNREFUSED: 'refused' };
const failureOf = (error) => new Failure(kinds[error.code] ?? 'socket', error.message);

export class Connection {
  /** Responses read on it. */
  responses = 0;
  #socket;
  #rest = noBytes;
  #ended = false;
  #error = null;
  #wake = () => {};
  #deadline = 0;

  constructor(socket) {
    this.#socket = socket;
    const wake = () => this.#wake();
    socket.on('connect', wake);
    socket.on('readable', wake);
    socket.on('end', () => {
      this.#ended = true;
      wake();
    });
    socket.on('close', () => {
      this.#ended = true;
      wake();
    });
    socket.on('error', (error) => {
      this.#error ??= failureOf(error);
      wake();
    });
  }

  /** @param receiveBytes bound on what is received ahead of the reader, for one that is slow */
  static async open(port, { receiveBytes = 64 * 1024 } = {}) {
    const socket = connect({ host, port, noDelay: true, highWaterMark: receiveBytes });
    const connection = new Connection(socket);
    const end = performance.now() + deadlineMs;
    while (socket.connecting && connection.#error === null) await connection.#event(end, 'connect');
    if (connection.#error !== null) throw connection.#error;
    return connection;
  }

  get usable() {
    return this.#error === null && !this.#ended && !this.#socket.destroyed;
  }

  /** Settles when the kernel, or the socket's own buffer, has taken it. */
  async send(bytes) {
    if (this.#socket.write(bytes)) return;
    const end = performance.now() + deadlineMs;
    const drained = () => this.#wake();
    this.#socket.once('drain', drained);
    while (this.#socket.writableNeedDrain && this.usable) await this.#event(end, 'write');
    this.#socket.off('drain', drained);
  }

  #event(end, what) {
    const left = end - performance.now();
    if (left <= 0) throw new Failure('deadline', `no ${what} within its deadline`);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, left);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = () => {};
        resolve();
      };
    });
  }

  /** What has come, or null at the end of the stream. */
  async #more() {
    for (;;) {
      const bytes = this.#socket.read();
      if (bytes !== null) return bytes;
      if (this.#error !== null) throw this.#error;
      if (this.#ended) return null;
      await this.#event(this.#deadline, 'response');
    }
  }

  async #fill(what) {
    const bytes = await this.#more();
    if (bytes === null) throw new Failure('ended', `the connection ended: ${what}`);
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
  }

  async #line(what, limit) {
    for (;;) {
      const end = this.#rest.indexOf('\r\n');
      if (end >= 0) {
        const text = this.#rest.latin1Slice(0, end);
        this.#rest = this.#rest.subarray(end + 2);
        return text;
      }
      if (this.#rest.length > limit) throw new Failure('framing', `${what} without an end`);
      await this.#fill(what);
    }
  }

  async #body(length, into) {
    let left = length;
    while (left > 0) {
      if (this.#rest.length === 0) await this.#fill(`${left} bytes of the body are missing`);
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      await into(piece);
    }
  }

  async #chunks(into) {
    for (;;) {
      const line = await this.#line('a chunk', 100);
      if (!/^[0-9a-f]{1,8}$/i.test(line)) throw new Failure('framing', `chunk size ${line}`);
      const size = Number.parseInt(line, 16);
      await this.#body(size, into);
      const end = await this.#line('the end of a chunk', 100);
      if (end !== '') throw new Failure('framing', 'a chunk is longer than its size');
      if (size === 0) return;
    }
  }

  /**
   * The next response: status, fields (names in lower case), bytes, SHA-1 and the beginning of the body.
   * @param pace called with each piece of the body; the next one is read when it settles
   */
  async response({ method = 'GET', pace, limitMs = deadlineMs } = {}) {
    this.#deadline = performance.now() + limitMs;
    for (;;) {
      const first = await this.#line(`no response, ${this.responses} before`, maxHeadBytes);
      const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1]);
      if (!(status >= 100)) throw new Failure('framing', `status line ${JSON.stringify(first)}`);
      const fields = new Map();
      for (;;) {
        const line = await this.#line('a head', maxHeadBytes);
        if (line === '') break;
        const colon = line.indexOf(':');
        fields.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
      }
      if (status >= 200 || status === 101) {
        const body = await this.#responseBody(method, status, fields, pace);
        this.responses++;
        return { status, fields, ...body };
      }
    }
  }

  async #responseBody(method, status, fields, pace) {
    const hash = newHash();
    let bytes = 0;
    let beginning = noBytes;
    const into = async (piece) => {
      hash.update(piece);
      bytes += piece.length;
      if (beginning.length < keptBytes) beginning = Buffer.concat([beginning, piece]);
      // Whoever reads slowly, and goes on, is not late.
      if (pace === undefined) return;
      await pace(piece.length);
      this.#deadline = performance.now() + deadlineMs;
    };
    const length = fields.get('content-length');
    if (method === 'HEAD' || status === 204 || status === 304 || status === 101) {
      // No body, whatever the fields say (RFC 9112, section 6.3).
    } else if (fields.get('transfer-encoding') === 'chunked') {
      await this.#chunks(into);
    } else if (length !== undefined) {
      await this.#body(Number(length), into);
    } else {
      for (let piece = this.#rest; piece !== null; piece = await this.#more()) await into(piece);
      this.#rest = noBytes;
    }
    return { bytes, hash: hash.digest('hex'), text: beginning.toString('latin1') };
  }

  /** Exactly so many bytes, behind a response. */
  async take(length) {
    this.#deadline = performance.now() + deadlineMs;
    while (this.#rest.length < length) await this.#fill(`${length} bytes`);
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return taken;
  }

  /** Waits for the server's end of the stream; fails where more comes. */
  async end(limitMs = deadlineMs) {
    this.#deadline = performance.now() + limitMs;
    const bytes = this.#rest.length > 0 ? this.#rest : await this.#more();
    if (bytes !== null) throw new Failure('framing', `${bytes.length} bytes behind the response`);
  }

  close() {
    this.#socket.destroy();
  }

  /** As a client that crashes: the kernel tells the server by RST. */
  reset() {
    this.#socket.resetAndDestroy();
  }
}
