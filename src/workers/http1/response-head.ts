/**
 * Response heads: status line, Date, fields and framing, from a cache where the shape repeats.
 *
 * Role: bytes of a head up to the number of Content-Length, which alone differs from one response of
 * a shape to the next.
 * Thread: one worker. May not: know connections.
 */
import { STATUS_CODES } from 'node:http';

/** What the head says about the connection. */
export const ConnectionField = { none: 0, close: 1, keepAlive: 2 } as const;
export type ConnectionField = (typeof ConnectionField)[keyof typeof ConnectionField];
/** How the body is framed (RFC 9112, section 6). */
export const Framing = { length: 0, chunked: 1, none: 2 } as const;
export type Framing = (typeof Framing)[keyof typeof Framing];

interface CachedHead {
  readonly headers: readonly string[];
  readonly statusText: string;
  readonly shape: number;
  readonly bytes: Buffer;
}

/** Shapes kept, the newest last; an application has few that repeat. */
const MAX_CACHED = 8;
const DROPPED = /^(?:content-length|transfer-encoding|connection|keep-alive)$/i;
const HAS_DATE = /^date$/i;
const HAS_SERVER = /^server$/i;

export class ResponseHeads {
  readonly #serverField: string;
  #date = '';
  #second = -1;
  #cache: CachedHead[] = [];

  /** @param server value of the Server field, '' for none (serverTokens) */
  constructor(server: string) {
    this.#serverField = server === '' ? '' : `Server: ${server}\r\n`;
  }

  /** Takes the time; heads made before another second are thrown away. */
  tick(nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    if (second === this.#second) return;
    this.#second = second;
    this.#date = new Date(second * 1000).toUTCString();
    this.#cache = [];
  }

  /**
   * The head; with `Framing.length` it ends behind `Content-Length: `, otherwise with the empty line.
   * One that was made in this second is found again by its contents.
   */
  bytes(
    status: number,
    statusText: string,
    headers: readonly string[],
    connection: ConnectionField,
    framing: Framing,
  ): Buffer {
    const shape = (status << 4) | (connection << 2) | framing;
    const cache = this.#cache;
    for (let index = cache.length - 1; index >= 0; index--) {
      const cached = cache[index] as CachedHead;
      if (cached.shape !== shape || cached.statusText !== statusText) continue;
      if (sameList(cached.headers, headers)) return cached.bytes;
    }
    const text = this.text(status, statusText, headers, connection, framing);
    const bytes = Buffer.from(text, 'latin1');
    if (cache.length === MAX_CACHED) cache.shift();
    cache.push({ headers: headers.slice(), statusText, shape, bytes });
    return bytes;
  }

  /** The same as a latin1 string. */
  text(
    status: number,
    statusText: string,
    headers: readonly string[],
    connection: ConnectionField,
    framing: Framing,
  ): string {
    let head = `HTTP/1.1 ${status} ${statusText || (STATUS_CODES[status] ?? '')}\r\n`;
    let hasDate = false;
    let hasServer = false;
    for (let index = 0; index < headers.length; index += 2) {
      const name = headers[index] as string;
      if (DROPPED.test(name)) continue;
      if (HAS_DATE.test(name)) hasDate = true;
      else if (HAS_SERVER.test(name)) hasServer = true;
      head += `${name}: ${headers[index + 1]}\r\n`;
    }
    // RFC 9110, section 6.6.1: an origin server with a clock sends Date.
    if (!hasDate) head += `Date: ${this.#date}\r\n`;
    // One of the application's, or of the upstream that it passes on, stands.
    if (!hasServer) head += this.#serverField;
    if (connection === ConnectionField.close) head += 'Connection: close\r\n';
    else if (connection === ConnectionField.keepAlive) head += 'Connection: keep-alive\r\n';
    if (framing === Framing.chunked) head += 'Transfer-Encoding: chunked\r\n\r\n';
    else if (framing === Framing.length) head += 'Content-Length: ';
    else head += '\r\n';
    return head;
  }
}

function sameList(one: readonly string[], other: readonly string[]): boolean {
  if (one === other) return true;
  if (one.length !== other.length) return false;
  for (let index = one.length - 1; index >= 0; index--) {
    if (one[index] !== other[index]) return false;
  }
  return true;
}
