/**
 * A client that takes a large response at its own pace: nothing until told, then all or so much at a time.
 *
 * Bodies are hashed as they come and not kept. Every wait has a deadline. What the kernel and the
 * socket's own buffer (64 KiB) take in before the first read is part of what a real client has too; a
 * body has to be larger than that for the server to be kept waiting, some 4 MB over loopback.
 */
import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';

export interface SlowBody {
  readonly status: number;
  readonly bytes: number;
  /** Of the body without its framing, hexadecimal. */
  readonly sha256: string;
}

const HEAD_END = Buffer.from('\r\n\r\n');

export class SlowReader {
  readonly socket: Socket;
  #pending: Buffer = Buffer.alloc(0);
  #ended = false;
  #error: Error | null = null;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', (error) => {
      this.#error = error;
    });
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#ended = true;
      });
    }
  }

  /** Connects and sends `text`; reads nothing yet. */
  static async open(port: number, text: string): Promise<SlowReader> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const reader = new SlowReader(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    socket.write(text);
    return reader;
  }

  /**
   * The next response, to its end.
   * @param pause called after about every `stepBytes` of the body; nothing is read until it resolves
   * @throws where the connection ends before the body does, or the deadline passes
   */
  async response(
    deadlineMs = 20_000,
    { stepBytes = Number.POSITIVE_INFINITY, pause = async () => {} } = {},
  ): Promise<SlowBody> {
    const deadline = performance.now() + deadlineMs;
    const head = (await this.#through(HEAD_END, deadline)).toString('latin1');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1]);
    const hash = createHash('sha256');
    let bytes = 0;
    let step = stepBytes;
    const take = async (length: number) => {
      for (let left = length; left > 0; ) {
        const piece = await this.#some(left, deadline);
        hash.update(piece);
        left -= piece.length;
        bytes += piece.length;
        step -= piece.length;
        if (step > 0) continue;
        step = stepBytes;
        await pause();
      }
    };
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1];
    try {
      if (length !== undefined) await take(Number(length));
      else if (/\r\ntransfer-encoding: *chunked\r\n/i.test(head))
        await this.#chunks(take, deadline);
      else throw new Error(`no framing in ${JSON.stringify(head)}`);
    } catch (error) {
      throw new Error(`after ${bytes} bytes of the body`, { cause: error });
    }
    return { status, bytes, sha256: hash.digest('hex') };
  }

  async #chunks(take: (length: number) => Promise<void>, deadline: number): Promise<void> {
    for (;;) {
      const line = (await this.#through(Buffer.from('\r\n'), deadline)).toString('latin1');
      if (!/^[0-9a-f]+\r\n$/i.test(line)) throw new Error(`bad chunk size ${JSON.stringify(line)}`);
      const size = Number.parseInt(line, 16);
      await take(size);
      const end = await this.#through(Buffer.from('\r\n'), deadline);
      if (end.length !== 2)
        throw new Error(`bad chunk end ${JSON.stringify(end.toString('latin1'))}`);
      if (size === 0) return;
    }
  }

  /** Bytes up to and with `mark`. */
  async #through(mark: Buffer, deadline: number): Promise<Buffer> {
    for (;;) {
      const at = this.#pending.indexOf(mark);
      if (at >= 0) return this.#cut(at + mark.length);
      if (this.#pending.length > 16_384) throw new Error('a line without an end');
      this.#pending = Buffer.concat([this.#pending, await this.#read(deadline)]);
    }
  }

  /** From 1 to `most` bytes. */
  async #some(most: number, deadline: number): Promise<Buffer> {
    if (this.#pending.length === 0) this.#pending = await this.#read(deadline);
    return this.#cut(Math.min(most, this.#pending.length));
  }

  #cut(length: number): Buffer {
    const bytes = this.#pending.subarray(0, length);
    this.#pending = this.#pending.subarray(length);
    return bytes;
  }

  /** What has come, or the first that comes. Between two calls the socket reads no further than its buffer. */
  async #read(deadline: number): Promise<Buffer> {
    const { socket } = this;
    for (;;) {
      const piece = socket.read() as Buffer | null;
      if (piece !== null) return piece;
      if (this.#error !== null) throw this.#error;
      if (this.#ended) throw new Error('the connection ended');
      const left = deadline - performance.now();
      if (left <= 0) throw new Error('deadline');
      await new Promise<void>((resolve) => {
        const events = ['readable', 'end', 'close', 'error'];
        const go = () => {
          clearTimeout(timer);
          for (const event of events) socket.off(event, go);
          resolve();
        };
        const timer = setTimeout(go, left);
        for (const event of events) socket.on(event, go);
      });
    }
  }

  close(): void {
    this.socket.destroy();
  }
}
