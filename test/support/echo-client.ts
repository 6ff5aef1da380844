/**
 * A WebSocket client that goes on echoing, and comes back when it is told that the server goes away.
 *
 * Keeps what it was told at each end, so that a test can say which ends are allowed.
 */
import WebSocket from 'ws';

const DEADLINE_MS = 10_000;

export class EchoClient {
  readonly #url: string;
  #socket: WebSocket;
  #echoes = 0;
  #stopped = false;
  #waiting: { text: string; resolve: () => void } | null = null;
  #opened: Promise<void>;
  #closed: Promise<void> = Promise.resolve();
  /** Close code of every end. */
  readonly ends: number[] = [];
  /** What went wrong besides. */
  readonly errors: string[] = [];

  constructor(url: string) {
    this.#url = url;
    [this.#socket, this.#opened] = this.#connect();
  }

  get echoes(): number {
    return this.#echoes;
  }

  get socket(): WebSocket {
    return this.#socket;
  }

  /** Resolves when it is connected. */
  get opened(): Promise<void> {
    return this.#opened;
  }

  #connect(): [WebSocket, Promise<void>] {
    const socket = new WebSocket(this.#url, { perMessageDeflate: false });
    const opened = new Promise<void>((resolve) => socket.once('open', resolve));
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', (error) => this.errors.push(error.message));
    socket.on('message', (data) => {
      const waiting = this.#waiting;
      this.#waiting = null;
      if (waiting === null || waiting.text !== String(data)) {
        this.errors.push(`${String(data)} instead of ${waiting?.text}`);
      } else {
        this.#echoes++;
        waiting.resolve();
      }
    });
    socket.on('close', (code) => {
      this.ends.push(code);
      // What it waited for went with the connection.
      this.#waiting?.resolve();
      this.#waiting = null;
      if (!this.#stopped) [this.#socket, this.#opened] = this.#connect();
    });
    return [socket, opened];
  }

  /** One message there and back, or the end of the connection. */
  async echo(text: string): Promise<void> {
    await within(this.#opened, 'no connection');
    if (this.#socket.readyState !== WebSocket.OPEN) {
      await within(this.#closed, 'no end');
      return;
    }
    const done = new Promise<void>((resolve) => {
      this.#waiting = { text, resolve };
    });
    this.#socket.send(text);
    await within(done, `no echo of ${text}`);
  }

  /** Does not come back any more. */
  stay(): void {
    this.#stopped = true;
  }

  async close(): Promise<void> {
    this.#stopped = true;
    if (this.#socket.readyState === WebSocket.CLOSED) return;
    const closed = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
    this.#socket.close(1000);
    await within(closed, 'no close');
  }
}

async function within(promise: Promise<void>, message: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((_, reject) => {
    timer = setTimeout(() => reject(new Error(message)), DEADLINE_MS);
  });
  await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
