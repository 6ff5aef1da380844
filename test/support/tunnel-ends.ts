/**
 * Both ends of a tunnel through the proxy: a client, and an upstream that agrees to whatever it is asked and
 * then leaves the socket to the test.
 *
 * Every wait has a deadline.
 */
import { createHash } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';

const DEADLINE_MS = 15_000;

/** One side of the tunnel, behind the heads. */
export class TunnelEnd {
  readonly socket: Socket;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #changed: () => void = () => {};
  /** The other side's end has come. */
  ended = false;
  /** Closed, whoever did it. */
  closed = false;
  error: NodeJS.ErrnoException | null = null;

  /** @param first what was read behind the head */
  constructor(socket: Socket, first: Buffer = Buffer.alloc(0)) {
    this.socket = socket;
    if (first.length > 0) this.#take(first);
    socket.on('data', (data: Buffer) => this.#take(data));
    socket.on('end', () => {
      this.ended = true;
      this.#changed();
    });
    socket.on('error', (error) => {
      this.error = error;
    });
    socket.on('close', () => {
      this.closed = true;
      this.#changed();
    });
    // It was paused behind the head.
    socket.resume();
  }

  #take(data: Buffer): void {
    this.#chunks.push(data);
    this.#bytes += data.length;
    this.#changed();
  }

  get bytes(): number {
    return this.#bytes;
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString('latin1');
  }

  get sha256(): string {
    const hash = createHash('sha256');
    for (const chunk of this.#chunks) hash.update(chunk);
    return hash.digest('hex');
  }

  send(data: string | Uint8Array): void {
    this.socket.write(data);
  }

  async until(what: string, holds: () => boolean, deadlineMs = DEADLINE_MS): Promise<void> {
    const end = performance.now() + deadlineMs;
    while (!holds()) {
      const left = end - performance.now();
      if (left <= 0) {
        const { bytes, ended, closed, error } = this;
        const seen = { bytes, ended, closed, error: error?.code };
        throw new Error(`${what}: deadline; ${JSON.stringify(seen)}`);
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

  /** Waits for exactly this, from the beginning. */
  async has(text: string, deadlineMs = DEADLINE_MS): Promise<void> {
    const until = () => this.#bytes >= text.length || this.closed;
    await this.until(`no ${JSON.stringify(text)}`, until, deadlineMs);
    if (this.text !== text) {
      throw new Error(`${JSON.stringify(this.text)} for ${JSON.stringify(text)}`);
    }
  }

  /** One message there and back to a side that echoes; how long it took, milliseconds. */
  async echo(text: string, deadlineMs = DEADLINE_MS): Promise<number> {
    const began = performance.now();
    const before = this.#bytes;
    this.send(text);
    await this.until(`no echo of ${text}`, () => this.#bytes >= before + text.length, deadlineMs);
    const tail = this.text.slice(before);
    if (tail !== text) throw new Error(`${JSON.stringify(tail)} for ${JSON.stringify(text)}`);
    return performance.now() - began;
  }

  /** The connection is over for this side, in whatever way. */
  async over(): Promise<void> {
    await this.until('still open', () => this.ended || this.closed);
  }

  close(): void {
    this.socket.destroy();
  }
}

const HEAD_END = '\r\n\r\n';

/** Reads a head; what is behind it comes along. */
function headOf(socket: Socket): Promise<{ head: string; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let read = Buffer.alloc(0);
    const timer = setTimeout(() => reject(new Error('no head: deadline')), DEADLINE_MS);
    const failed = () => {
      clearTimeout(timer);
      reject(new Error(`no head, but ${JSON.stringify(read.toString('latin1'))}`));
    };
    const onData = (data: Buffer) => {
      read = Buffer.concat([read, data]);
      const end = read.indexOf(HEAD_END);
      if (end < 0) return;
      clearTimeout(timer);
      socket.off('data', onData).off('close', failed).pause();
      const head = read.toString('latin1', 0, end);
      resolve({ head, rest: read.subarray(end + HEAD_END.length) });
    };
    socket.on('data', onData).on('close', failed);
  });
}

/** Agrees to every request for another protocol. */
export class TunnelUpstream {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #arrived: TunnelEnd[] = [];
  readonly #awaited: ((end: TunnelEnd) => void)[] = [];
  /** What is sent behind the 101, in one piece with it. */
  greeting = '';
  /** What comes goes back. */
  echoes = false;
  /** Requests that came. */
  asked = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async listen(): Promise<TunnelUpstream> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const upstream = new TunnelUpstream(server);
    server.on('connection', (socket) => {
      upstream.#serve(socket).catch(() => socket.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return upstream;
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    const { head, rest } = await headOf(socket);
    this.asked++;
    const protocol = /^upgrade: (.*)$/im.exec(head)?.[1] ?? 'none';
    const switched = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;
    socket.write(switched + this.greeting);
    if (this.echoes) {
      socket.write(rest);
      socket.pipe(socket);
      return;
    }
    const end = new TunnelEnd(socket, rest);
    const awaited = this.#awaited.shift();
    if (awaited === undefined) this.#arrived.push(end);
    else awaited(end);
  }

  /** The next tunnel's far end. */
  async next(): Promise<TunnelEnd> {
    const arrived = this.#arrived.shift();
    if (arrived !== undefined) return arrived;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('nobody came: deadline')), DEADLINE_MS);
      this.#awaited.push((end) => {
        clearTimeout(timer);
        resolve(end);
      });
    });
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Connections that are open. */
  get open(): number {
    return this.#sockets.size;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/**
 * Asks for a tunnel; the client's end of it.
 * @param more what is sent behind the request, in one piece with it
 * @throws where the answer is not 101
 */
export async function openTunnel(port: number, path: string, more = ''): Promise<TunnelEnd> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  const reply = headOf(socket);
  socket.on('error', () => {});
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n${more}`,
  );
  const { head, rest } = await reply;
  if (!head.startsWith('HTTP/1.1 101 ')) {
    socket.destroy();
    throw new Error(head);
  }
  return new TunnelEnd(socket, rest);
}
