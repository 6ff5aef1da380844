/**
 * An upstream that keeps every byte it is sent, and holds it to a grammar of its own: whatever is not one
 * request after another, each with exactly one meaning, is a fault.
 *
 * It answers what it is told to; by default 200 with the method and target.
 */
import { createServer, type Server, type Socket } from 'node:net';

export interface Recorded {
  readonly method: string;
  readonly target: string;
  /** Names in lower case, in order. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: Buffer;
  /** Number of the connection, from 0, and of the request on it. */
  readonly connection: number;
  readonly turn: number;
}

export type Answer = (request: Recorded, socket: Socket) => string | Buffer | null;

const plain: Answer = ({ method, target }) => {
  const text = `${method} ${target}\n`;
  return `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${method === 'HEAD' ? '' : text}`;
};

const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP\/1\.1$/;
const FIELD = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t\x20-\x7e\x80-\xff]*)$/;

export class RecordingUpstream {
  readonly requests: Recorded[] = [];
  readonly faults: string[] = [];
  readonly sockets = new Set<Socket>();
  readonly #server: Server;
  connections = 0;
  answer: Answer = plain;
  #changed: () => void = () => {};

  private constructor(server: Server) {
    this.#server = server;
  }

  static async listen(answer: Answer = plain, port = 0): Promise<RecordingUpstream> {
    const server = createServer({ allowHalfOpen: false, noDelay: true });
    const upstream = new RecordingUpstream(server);
    upstream.answer = answer;
    server.on('connection', (socket) => upstream.#serve(socket));
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return upstream;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  #serve(socket: Socket): void {
    const connection = this.connections++;
    let received: Buffer = Buffer.alloc(0);
    let turn = 0;
    this.sockets.add(socket);
    socket.on('close', () => {
      this.sockets.delete(socket);
      this.#changed();
    });
    socket.on('error', () => {});
    socket.on('data', (data) => {
      received = Buffer.concat([received, data]);
      for (;;) {
        let taken: { request: Recorded; bytes: number } | null;
        try {
          taken = take(received, connection, turn);
        } catch (error) {
          this.faults.push(
            `${(error as Error).message} in ${JSON.stringify(received.toString('latin1'))}`,
          );
          socket.destroy();
          return;
        }
        if (taken === null) return;
        received = received.subarray(taken.bytes);
        turn++;
        this.requests.push(taken.request);
        this.#changed();
        const answer = this.answer(taken.request, socket);
        if (answer !== null) socket.write(answer, 'latin1');
      }
    });
  }

  /** Waits until `holds`, looked at after every request and every end of a connection. */
  async until(what: string, holds: () => boolean, deadlineMs = 15_000): Promise<void> {
    const end = performance.now() + deadlineMs;
    while (!holds()) {
      const left = end - performance.now();
      if (left <= 0) throw new Error(`upstream: ${what}: deadline`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 200));
        this.#changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** @throws where the bytes can be read in more than one way */
function take(
  bytes: Buffer,
  connection: number,
  turn: number,
): { request: Recorded; bytes: number } | null {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const line = REQUEST_LINE.exec(first);
  if (line === null) throw new Error('request line');
  const fields = lines.map((text) => {
    const field = FIELD.exec(text);
    if (field === null) throw new Error(`field ${JSON.stringify(text)}`);
    return [(field[1] as string).toLowerCase(), field[2] as string] as const;
  });
  const valuesOf = (name: string) =>
    fields.filter(([one]) => one === name).map(([, value]) => value);
  if (valuesOf('host').length !== 1) throw new Error('not one host');
  const lengths = valuesOf('content-length');
  const codings = valuesOf('transfer-encoding');
  if (lengths.length + codings.length > 1) throw new Error('more than one framing');
  const [option, ...further] = valuesOf('connection');
  // What is this hop's own: an upgrade that is passed on, and a health check's last word.
  const isUpgrade = option === 'Upgrade' && valuesOf('upgrade').length === 1;
  if (further.length > 0) throw new Error('more than one Connection field');
  if (option !== undefined && option !== 'close' && !isUpgrade) {
    throw new Error(`Connection of the hop before: ${option}`);
  }
  for (const name of ['keep-alive', 'te', 'trailer', isUpgrade ? 'te' : 'upgrade', 'expect']) {
    if (valuesOf(name).length > 0) throw new Error(`field of the hop before: ${name}`);
  }
  if (codings.length === 1 && codings[0] !== 'chunked') throw new Error('coding');
  if (lengths.length === 1 && !/^\d{1,15}$/.test(lengths[0] as string)) throw new Error('length');
  let at = end + 4;
  let body = Buffer.alloc(0);
  if (lengths.length === 1) {
    const length = Number(lengths[0]);
    if (bytes.length < at + length) return null;
    body = Buffer.from(bytes.subarray(at, at + length));
    at += length;
  } else if (codings.length === 1) {
    const parts: Buffer[] = [];
    for (;;) {
      const lineEnd = bytes.indexOf('\r\n', at);
      if (lineEnd < 0) return null;
      const size = bytes.toString('latin1', at, lineEnd);
      if (!/^[0-9a-f]+$/.test(size)) throw new Error(`chunk size ${JSON.stringify(size)}`);
      const length = Number.parseInt(size, 16);
      if (bytes.length < lineEnd + 4 + length) return null;
      parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + length));
      at = lineEnd + 4 + length;
      if (bytes.toString('latin1', at - 2, at) !== '\r\n') throw new Error('chunk end');
      if (length === 0) break;
    }
    body = Buffer.concat(parts);
  }
  const [, method = '', target = ''] = line;
  return { request: { method, target, fields, body, connection, turn }, bytes: at };
}
