/**
 * A request for another protocol through the proxy, and the connection after it.
 *
 * Role: passes the request on with its Upgrade field (RFC 9110, section 7.8) and, where the upstream
 * answers 101, bytes both ways until either side ends.
 * Thread: a worker; both sockets are in its loop, which nobody waits in.
 */
import { connect, type Socket } from 'node:net';
import {
  BodyEnd,
  MAX_RESPONSE_HEAD_BYTES,
  parseResponseHead,
  type ResponseHead,
  ResponseHeadError,
} from '../http1/response-parser.ts';
import { bad, failureText, late, type ProxyFailure } from './failure.ts';
import type { ProxySettings } from './options.ts';
import { type Asked, draftRequest, NO_BODY, requestHead, responseFields } from './request-head.ts';
import type { Upstream, UpstreamGroup } from './upstreams.ts';

/** @param refusal what is answered where there is no group */
export function tunnel(
  group: UpstreamGroup | null,
  refusal: ProxyFailure,
  asked: Asked,
  settings: ProxySettings,
  prefix: string,
  client: Socket,
  sent: Buffer,
): void {
  const upstream = group?.choose([]) ?? null;
  const protocol = protocolOf(asked.fields);
  if (group === null || upstream === null || protocol === '') {
    const failure = group === null ? refusal : bad('no upstream');
    client.end(answer(protocol === '' ? { status: 400, reason: 'no protocol' } : failure));
    return;
  }
  const draft = draftRequest(asked, settings, prefix, protocol);
  const head = requestHead(draft, settings, upstream.address, NO_BODY);
  new Tunnel(group, upstream, asked, client).open(head, sent);
}

const protocolOf = (fields: readonly string[]): string => {
  const values: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    if ((fields[i] as string).toLowerCase() === 'upgrade') values.push(fields[i + 1] as string);
  }
  return values.join(', ');
};

function answer(failure: ProxyFailure): string {
  const text = failureText(failure);
  const [line] = text.split(':', 1);
  return `HTTP/1.1 ${failure.status} ${line}\r\nConnection: close\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
}

class Tunnel {
  readonly #group: UpstreamGroup;
  readonly #upstream: Upstream;
  readonly #asked: Asked;
  readonly #client: Socket;
  #part: Buffer = Buffer.alloc(0);
  #isOver = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(group: UpstreamGroup, upstream: Upstream, asked: Asked, client: Socket) {
    this.#group = group;
    this.#upstream = upstream;
    this.#asked = asked;
    this.#client = client;
  }

  open(head: Buffer, sent: Buffer): void {
    const { connectTimeoutMs, responseTimeoutMs } = this.#group.settings;
    const { host, port } = this.#upstream.address;
    this.#upstream.begin();
    const server = connect({ host, port, noDelay: true, allowHalfOpen: true });
    const client = this.#client;
    this.#within(connectTimeoutMs, () =>
      this.#fail(server, late(`connect timeout (${connectTimeoutMs} ms)`)),
    );
    server.once('connect', () => {
      this.#within(responseTimeoutMs, () =>
        this.#fail(server, late(`response timeout (${responseTimeoutMs} ms)`)),
      );
      server.write(head);
      if (sent.length > 0) server.write(sent);
    });
    server.on('error', (error: NodeJS.ErrnoException) => {
      this.#fail(server, bad(error.code ?? error.message));
    });
    server.on('end', () => this.#fail(server, bad('connection closed without a response')));
    server.on('data', (data: Buffer) => this.#read(server, data));
    client.once('close', () => {
      server.destroy();
      this.#end();
    });
    // Nothing may be said before the answer (RFC 6455, section 4.1).
    client.pause();
  }

  #within(milliseconds: number, late: () => void): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = milliseconds === 0 ? null : setTimeout(late, milliseconds);
  }

  #read(server: Socket, data: Buffer): void {
    this.#part = this.#part.length === 0 ? data : Buffer.concat([this.#part, data]);
    let head: ResponseHead | null;
    try {
      head = parseResponseHead(this.#part, 0, this.#part.length, this.#asked.method);
    } catch (error) {
      if (!(error instanceof ResponseHeadError)) throw error;
      this.#fail(server, bad(`invalid response (${error.refusal})`));
      return;
    }
    if (head === null) {
      if (this.#part.length >= MAX_RESPONSE_HEAD_BYTES) {
        this.#fail(server, bad('invalid response (head-too-large)'));
      }
      return;
    }
    const rest = this.#part.subarray(head.bytes);
    if (head.status < 200 && head.status !== 101) {
      this.#part = Buffer.alloc(0);
      if (rest.length > 0) this.#read(server, Buffer.from(rest));
      return;
    }
    server.removeAllListeners('data');
    server.removeAllListeners('end');
    if (head.status === 101) this.#join(server, head, rest);
    else this.#decline(server, head, rest);
  }

  #join(server: Socket, head: ResponseHead, rest: Buffer): void {
    const client = this.#client;
    this.#upstream.succeeded();
    let protocol = '';
    for (let i = 0; i < head.fields.length; i += 2) {
      if ((head.fields[i] as string).toLowerCase() === 'upgrade')
        protocol = head.fields[i + 1] as string;
    }
    client.write(`${headText(head)}Connection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`, 'latin1');
    if (rest.length > 0) client.write(rest);
    if (this.#timer !== null) clearTimeout(this.#timer);
    const { idleTimeoutMs } = this.#group.settings;
    for (const socket of [client, server]) {
      socket.setTimeout(idleTimeoutMs);
      // What comes from one is written to the other, so each of them sees the traffic of both ways.
      socket.on('timeout', () => {
        client.destroy();
        server.destroy();
      });
    }
    server.removeAllListeners('error');
    server.on('error', () => client.destroy());
    server.once('close', () => {
      client.end();
      this.#end();
    });
    client.pipe(server);
    server.pipe(client);
  }

  /** The upstream answers something else: its response, and then the end of the connection. */
  #decline(server: Socket, head: ResponseHead, rest: Buffer): void {
    const client = this.#client;
    this.#upstream.succeeded();
    const length = head.contentLength >= 0 ? `Content-Length: ${head.contentLength}\r\n` : '';
    // Only a body whose end is told by length or by the end goes through untouched.
    if (head.bodyEnd === BodyEnd.chunked) {
      client.end(`${headText(head)}Connection: close\r\nContent-Length: 0\r\n\r\n`, 'latin1');
      server.destroy();
      return;
    }
    client.write(`${headText(head)}Connection: close\r\n${length}\r\n`, 'latin1');
    if (head.bodyEnd === BodyEnd.none) {
      client.end();
      server.destroy();
      return;
    }
    const counted = head.bodyEnd === BodyEnd.length;
    let left = counted ? head.contentLength : Number.POSITIVE_INFINITY;
    const pass = (data: Buffer): void => {
      const piece = data.length > left ? data.subarray(0, left) : data;
      left -= piece.length;
      if (!client.write(piece)) {
        server.pause();
        client.once('drain', () => server.resume());
      }
      if (left === 0) {
        client.end();
        server.destroy();
      }
    };
    server.on('data', pass);
    server.once('end', () => (left > 0 && counted ? client.destroy() : client.end()));
    if (rest.length > 0) pass(rest);
  }

  #fail(server: Socket, failure: ProxyFailure): void {
    if (this.#isOver) return;
    server.destroy();
    this.#upstream.failed(failure.reason);
    const [path] = this.#asked.target.split('?', 1);
    const { name } = this.#upstream.address;
    this.#group.runtime.log(
      `proxy: ${this.#asked.method} ${path} to ${name}: ${failure.status} ${failure.reason}`,
    );
    if (!this.#client.destroyed) this.#client.end(answer(failure));
    this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#upstream.end();
  }
}

function headText(head: ResponseHead): string {
  let text = `HTTP/1.1 ${head.status} ${head.reason}\r\n`;
  const fields = responseFields(head.fields, head.connection);
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return text;
}
