/**
 * A request for another protocol through the proxy, and the connection after it.
 *
 * Role: passes the request on with its Upgrade field (RFC 9110, section 7.8). Where the upstream answers 101,
 * what was read goes first, and then the listener has both sockets and carries the bytes. It stays here only
 * where the listener cannot have it (see `toListener`).
 * Thread: a worker; until then both sockets are in its loop, which nobody waits in.
 */
import { connect, Socket } from 'node:net';
import {
  BodyEnd,
  MAX_RESPONSE_HEAD_BYTES,
  parseResponseHead,
  type ResponseHead,
  ResponseHeadError,
} from '../http1/response-parser.ts';
import type { UpgradeSocket } from '../upgrade/upgrade-socket.ts';
import { bad, connectError, crowded, failureText, late, type ProxyFailure } from './failure.ts';
import type { ProxySettings } from './options.ts';
import { ChunkedRefusal, PlainRefusal } from './refusal-body.ts';
import {
  type Asked,
  draftRequest,
  NO_BODY,
  type RequestDraft,
  requestHead,
  responseFields,
} from './request-head.ts';
import type { Asker, UpstreamGroup } from './upstream-group.ts';
import type { Upstream } from './upstreams.ts';

/** @param refusal what is answered where there is no group */
export function tunnel(
  group: UpstreamGroup | null,
  refusal: ProxyFailure,
  asked: Asked,
  settings: ProxySettings,
  prefix: string,
  client: UpgradeSocket,
  sent: Buffer,
): void {
  const protocol = protocolOf(asked.fields);
  if (protocol === '') client.end(answer({ status: 400, reason: 'no protocol' }));
  else if (group === null) client.end(answer(refusal));
  else
    new Tunnel(group, asked, draftRequest(asked, settings, prefix, protocol), client, sent).start();
}

/** Not documented, so nothing is relied on; -1: it has none. */
const descriptorOf = (socket: Socket): number =>
  (socket as unknown as { _handle: { fd?: number } | null })._handle?.fd ?? -1;

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

class Tunnel implements Asker {
  readonly #group: UpstreamGroup;
  readonly #asked: Asked;
  readonly #draft: RequestDraft;
  readonly #client: UpgradeSocket;
  /** What the client has sent behind its request. */
  readonly #sent: Buffer;
  /** Those that no connection could be made to. */
  tried: readonly Upstream[] = [];
  /** The one whose place it has. */
  #upstream: Upstream | null = null;
  #server: Socket | null = null;
  /** Both sides have agreed, and what was read of either is on its way. */
  #isAgreed = false;
  /** Called for what is written of that. */
  readonly #hasLeft = (): void => {
    if (this.#isAgreed) this.#handOver();
  };
  #part: Buffer = Buffer.alloc(0);
  #isOver = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(
    group: UpstreamGroup,
    asked: Asked,
    draft: RequestDraft,
    client: UpgradeSocket,
    sent: Buffer,
  ) {
    this.#group = group;
    this.#asked = asked;
    this.#draft = draft;
    this.#client = client;
    this.#sent = sent;
  }

  start(): void {
    this.#client.once('close', () => {
      this.#group.forget(this, false);
      this.#server?.destroy();
      this.#end();
    });
    // Nothing may be said before the answer (RFC 6455, section 4.1).
    this.#client.pause();
    this.#take(bad('no upstream'), null);
  }

  /** @param before how the last one tried has failed, and which that was */
  #take(before: ProxyFailure, last: Upstream | null): void {
    const { queueTimeoutMs } = this.#group.settings;
    const chosen = this.#group.choose(this);
    if (chosen === 'none') this.#refuse(before, last);
    else if (chosen === 'full') this.#refuse(crowded('too many requests wait'), null);
    else if (chosen === 'waits') {
      this.#within(queueTimeoutMs, () => {
        this.#group.forget(this, true);
        this.#refuse(crowded(`queue timeout (${queueTimeoutMs} ms)`), null);
      });
    } else this.admitted(chosen);
  }

  admitted(upstream: Upstream): void {
    const { connectTimeoutMs, responseTimeoutMs } = this.#group.settings;
    const { host, port } = upstream.address;
    this.#upstream = upstream;
    upstream.begin();
    if (this.tried.length > 0) upstream.retried();
    const server = connect({ host, port, noDelay: true, allowHalfOpen: true });
    this.#server = server;
    this.#within(connectTimeoutMs, () =>
      this.#notConnected(server, late(`connect timeout (${connectTimeoutMs} ms)`)),
    );
    let isConnected = false;
    server.once('connect', () => {
      isConnected = true;
      this.#within(responseTimeoutMs, () =>
        this.#fail(server, late(`response timeout (${responseTimeoutMs} ms)`)),
      );
      server.write(requestHead(this.#draft, this.#group.settings, upstream.address, NO_BODY));
      if (this.#sent.length > 0) server.write(this.#sent, this.#hasLeft);
    });
    server.on('error', (error: NodeJS.ErrnoException) => {
      const failure = connectError(error);
      if (isConnected) this.#fail(server, failure);
      else this.#notConnected(server, failure);
    });
    server.on('end', () => this.#fail(server, bad('connection closed without a response')));
    server.on('data', (data: Buffer) => this.#read(server, data));
  }

  /** Nothing was sent, so another upstream may be asked. */
  #notConnected(server: Socket, failure: ProxyFailure): void {
    server.destroy();
    const upstream = this.#upstream;
    if (this.#isOver || upstream === null) return;
    upstream.failed(failure.reason);
    this.#leave();
    this.tried = [...this.tried, upstream];
    this.#take(failure, upstream);
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
    for (const event of ['data', 'end', 'error']) server.removeAllListeners(event);
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (head.status === 101) this.#join(server, head, rest);
    else this.#decline(server, head, rest);
  }

  #join(server: Socket, head: ResponseHead, rest: Buffer): void {
    const client = this.#client;
    this.#upstream?.succeeded();
    let protocol = '';
    for (let i = 0; i < head.fields.length; i += 2) {
      if ((head.fields[i] as string).toLowerCase() === 'upgrade')
        protocol = head.fields[i + 1] as string;
    }
    const agreed = `${headText(head)}Connection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;
    client.write(agreed, 'latin1', this.#hasLeft);
    if (rest.length > 0) client.write(rest, this.#hasLeft);
    const { idleTimeoutMs } = this.#group.settings;
    for (const socket of [client, server]) {
      socket.setTimeout(idleTimeoutMs);
      // What comes from one is written to the other, so each of them sees the traffic of both ways.
      socket.on('timeout', () => {
        client.destroy();
        server.destroy();
      });
    }
    server.on('error', () => client.destroy());
    server.once('close', () => {
      if (!this.#isOver) client.end();
      this.#end();
    });
    server.pause();
    // Nothing more is asked for; so what has been read comes to an end, however fast either side sends.
    for (const socket of [client, server]) socket._read = () => {};
    this.#isAgreed = true;
    this.#handOver();
  }

  /** As soon as nothing of what was read here is left, the listener carries the rest. */
  #handOver(): void {
    const client = this.#client;
    const server = this.#server;
    const upstream = this.#upstream;
    if (server === null || upstream === null || client.destroyed || server.destroyed) return;
    const isUnsent = () => client.writableLength > 0 || server.writableLength > 0;
    if (isUnsent()) return;
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      const data = from.read() as Buffer | null;
      if (data !== null) to.write(data, this.#hasLeft);
    }
    if (isUnsent()) return;
    this.#isAgreed = false;
    const descriptor = descriptorOf(server);
    const { idleTimeoutMs } = this.#group.settings;
    const far = { descriptor, idleTimeoutMs, upstream: upstream.tunnel };
    if (descriptor >= 0 && client.toListener(far)) {
      // What the upstream is to get back goes along.
      this.#upstream = null;
      this.#isOver = true;
      server.destroy();
      return;
    }
    for (const socket of [client, server]) socket._read = Socket.prototype._read;
    client.pipe(server);
    server.pipe(client);
  }

  /** The upstream answers something else: its response, and then the end of the connection. */
  #decline(server: Socket, head: ResponseHead, rest: Buffer): void {
    const client = this.#client;
    this.#upstream?.succeeded();
    const isChunked = head.bodyEnd === BodyEnd.chunked;
    let length = head.contentLength >= 0 ? `Content-Length: ${head.contentLength}\r\n` : '';
    if (isChunked) length = 'Transfer-Encoding: chunked\r\n';
    client.write(`${headText(head)}Connection: close\r\n${length}\r\n`, 'latin1');
    server.on('error', () => client.destroy());
    server.once('close', () => this.#leave());
    if (head.bodyEnd === BodyEnd.none) {
      client.end();
      server.destroy();
      return;
    }
    const body = isChunked ? new ChunkedRefusal() : new PlainRefusal(head);
    const pass = (data: Buffer): void => {
      if (!body.take(data, (piece) => this.#write(server, piece))) client.destroy();
      else if (body.isComplete) client.end();
      else return;
      server.destroy();
    };
    server.on('data', pass);
    server.setTimeout(this.#group.settings.idleTimeoutMs, () => {
      client.destroy();
      server.destroy();
    });
    server.once('end', () => (body.endsHere ? client.end() : client.destroy()));
    if (rest.length > 0) pass(rest);
  }

  /** At the client's pace. */
  #write(server: Socket, piece: Buffer): void {
    if (this.#client.write(piece)) return;
    server.pause();
    this.#client.once('drain', () => server.resume());
  }

  #fail(server: Socket, failure: ProxyFailure): void {
    server.destroy();
    if (this.#isOver) return;
    const upstream = this.#upstream;
    upstream?.failed(failure.reason);
    this.#refuse(failure, upstream);
  }

  #refuse(failure: ProxyFailure, upstream: Upstream | null): void {
    const [path] = this.#asked.target.split('?', 1);
    const to = upstream === null ? '' : ` to ${upstream.address.name}`;
    this.#group.runtime.log(
      `proxy: ${this.#asked.method} ${path}${to}: ${failure.status} ${failure.reason}`,
    );
    if (!this.#client.destroyed) this.#client.end(answer(failure));
    this.#end();
  }

  #end(): void {
    this.#isOver = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#leave();
  }

  #leave(): void {
    this.#upstream?.end();
    this.#upstream = null;
  }
}

function headText(head: ResponseHead): string {
  let text = `HTTP/1.1 ${head.status} ${head.reason}\r\n`;
  const fields = responseFields(head.fields, head.connection);
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return text;
}
