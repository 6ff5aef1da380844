/** A client of a line protocol: says bytes, and waits for a line that it expects. */
import { connect, type Socket } from 'node:net';

const DEADLINE_MS = 10_000;

export class LineClient {
  readonly socket: Socket;
  /** All that came. */
  heard = '';
  ended = false;
  #taken = 0;
  #changed: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      this.heard += text;
      this.#changed();
    });
    const end = () => {
      this.ended = true;
      this.#changed();
    };
    socket.on('end', end).on('close', end).on('error', end);
  }

  static async open(port: number): Promise<LineClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const client = new LineClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return client;
  }

  say(text: string): void {
    this.socket.write(text, 'latin1');
  }

  /** One byte a write, each on the wire before the next. */
  async sayEach(text: string): Promise<void> {
    for (const character of text) {
      await new Promise<void>((resolve) => {
        this.socket.write(character, 'latin1', () => setImmediate(resolve));
      });
    }
  }

  /** Waits for what comes next and matches; takes it, with all before it. */
  async hears(pattern: RegExp, deadlineMs = DEADLINE_MS): Promise<string> {
    const end = performance.now() + deadlineMs;
    for (;;) {
      const found = pattern.exec(this.heard.slice(this.#taken));
      if (found !== null) {
        const text = this.heard.slice(this.#taken, this.#taken + found.index + found[0].length);
        this.#taken += text.length;
        return text;
      }
      const left = end - performance.now();
      if (left <= 0 || this.ended) {
        const seen = JSON.stringify(this.heard.slice(this.#taken).slice(-300));
        throw new Error(`no ${pattern}: ${this.ended ? 'ended' : 'deadline'}; had ${seen}`);
      }
      await this.#change(left);
    }
  }

  /** Waits until the server has ended the connection. */
  async end(deadlineMs = DEADLINE_MS): Promise<void> {
    const end = performance.now() + deadlineMs;
    while (!this.ended) {
      const left = end - performance.now();
      if (left <= 0) throw new Error(`still open; had ${JSON.stringify(this.heard.slice(-300))}`);
      await this.#change(left);
    }
  }

  #change(deadlineMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, deadlineMs);
      this.#changed = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  close(): void {
    this.socket.destroy();
  }
}
