/**
 * The seam between a connection and whoever handles its requests.
 *
 * Role: what a handler adapter (fetch, node:http, static files) sees of one request and how it answers.
 * Thread: a worker. The connection code implements `Exchange`; adapters only use it.
 * May not: touch a descriptor, the scoreboard or a connection buffer; those stay behind this seam.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { LengthyRoutes } from './lengthy/lengthy-routes.ts';
import type { RouteDeadlines } from './route-deadlines.ts';
import type { LoadedProtocol } from './session/load.ts';
import type { UpgradeSocket } from './upgrade/upgrade-socket.ts';

/** The parsed head of the request that is current on a worker; overwritten by the next parse. */
export interface FieldTable {
  /** Rises with every parse; a table is valid only while this equals the value captured with it. */
  readonly serial: number;
  /** Number of header fields in the current head. */
  readonly fieldCount: number;
  /**
   * Four offsets a field, relative to the first byte of the head: name start, name end, value start,
   * value end (value without the white space around it).
   */
  readonly fields: Int32Array;
}

/**
 * Why an exchange ended before its response was complete. `handed-over`: a lengthy worker serves the
 * request anew.
 */
export type AbortReason = 'peer-gone' | 'timeout' | 'shutdown' | 'handed-over';

/** What a trusted proxy says of how the client asked, see the directive trustProxy. */
export interface Forwarded {
  /** By https. */
  readonly secure: boolean;
  /** The host that was asked, '' where it is the Host field's. */
  readonly host: string;
}

export interface Exchange {
  /** Objects are reused once their request ended; compare before a late use. Rises with every request. */
  readonly serial: number;
  /** As sent, e.g. `GET`. */
  readonly method: string;
  /** The request-target as sent (RFC 9112, section 3.2): `/path?query`, an absolute URI, or `*`. */
  readonly target: string;
  /** The whole head as latin1, first byte of the method to the empty line; already validated. */
  readonly head: string;
  /** Offsets into `head`, see `FieldTable`. */
  readonly table: FieldTable;
  /** 0 for HTTP/1.0, 1 for HTTP/1.1. */
  readonly minorVersion: 0 | 1;
  /** False when the connection closes after this response. */
  readonly keepAlive: boolean;
  /** The connection's peer itself, which may be a proxy. */
  readonly peerAddress: string;
  /** The fields in which the peer, being one of `trustProxy`, tells of the client; null: it is none. */
  readonly trustedHeader: 'x-forwarded' | 'forwarded' | null;
  /** The client's: the peer's, or that of the client that a trusted proxy has told of. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;

  /**
   * Bounds the time until the response begins, from now on; what the directive `requestDeadline` or the
   * route says no longer counts. Past it the request is answered by 504.
   * @param milliseconds 0: no bound
   */
  deadline(milliseconds: number): void;
  /** This is a lengthy worker. */
  readonly isLengthy: boolean;
  /**
   * Has a lengthy worker serve this request anew, from its beginning. False: this is one, or there are
   * none, so go on here. True: the exchange has ended here, handed over or (as many wait as may)
   * answered 503.
   * @throws Error with code ERR_MPM_TOO_LATE where the response has begun or ended, or a part of a
   *   streamed body was read
   */
  toLengthy(): boolean;
  /** Null: there is no trusted proxy, or it says nothing. */
  readonly forwarded: Forwarded | null;

  /** Bytes of a body that has wholly arrived (0: there is none); -1: it has to be streamed. */
  readonly bodyLength: number;
  /** Declared Content-Length, or -1 where the body is chunked or absent. */
  readonly contentLength: number;
  /** A private copy of a body that has wholly arrived. Valid until the exchange ended. */
  takeBody(): Uint8Array;
  /**
   * The next piece of a streamed body, null at its end. One call at a time. Rejects when the peer
   * leaves, is too slow, sends a malformed chunk or more than limitRequestBody.
   */
  readBody(): Promise<Uint8Array | null>;
  /**
   * Trailer fields of a chunked body that was read to its end, valid until the exchange ended: name, value,
   * name, value ... Without those that mean nothing behind the content (RFC 9110, section 6.5.1).
   */
  takeTrailers(): readonly string[];

  /**
   * Answers with a complete response; the exchange has ended after it. The connection adds Date,
   * Content-Length and Connection, and applies the rules for HEAD, 1xx, 204 and 304.
   * @param statusText reason phrase, '' for the standard one
   * @param headers flat list name, value, name, value ...; validated by the caller; without
   *   Content-Length, Transfer-Encoding, Connection and Keep-Alive (a caller's Content-Length is
   *   dropped, except for HEAD and 304). A shared (same identity) list is served from a cache.
   */
  respond(
    status: number,
    statusText: string,
    headers: readonly string[],
    body: Uint8Array | string | null,
  ): void;

  /**
   * Answers with bytes of a file. What the socket does not take at once the listener sends, so no
   * worker waits for the client.
   * @param fd becomes the exchange's, whatever happens; one that no thread's runtime keeps account of
   *   (`native.duplicate`), since another thread closes it
   * @param length bytes from `offset`; a file that has shrunk since closes the connection
   */
  respondFile(
    status: number,
    statusText: string,
    headers: readonly string[],
    fd: number,
    offset: number,
    length: number,
  ): void;

  /**
   * Answers with what another socket receives, moved by the listener (splice).
   * @param fd as with `respondFile`
   * @param length bytes; -1: until that socket ends, and the connection with it
   * @param first bytes of the body that were read from it before; null: none
   */
  respondSocket(
    status: number,
    statusText: string,
    headers: readonly string[],
    fd: number,
    length: number,
    first: Uint8Array | null,
  ): void;

  /**
   * Starts a response whose body follows by `write` and `end`. With `contentLength` -1 it is chunked
   * on HTTP/1.1 and ended by closing on HTTP/1.0.
   */
  start(
    status: number,
    statusText: string,
    headers: readonly string[],
    contentLength: number,
  ): void;
  /** Sends part of the body; false: wait for `onDrain`. The chunk must not be changed before it has drained. */
  write(chunk: Uint8Array): boolean;
  /**
   * Sends part of the body from a file, see `respondFile`; otherwise as `write`.
   * @param spilledKb not 0: the room that was reserved for the file (`reserveSpill`), which is given
   *   back with its descriptor; what comes before `offset` in it may be written over
   */
  writeFile(fd: number, offset: number, length: number, spilledKb?: number): boolean;
  /** Ends a response begun with `start`. */
  end(): void;

  /**
   * An informational response (RFC 9110, section 15.2) before the final one, which it does not begin.
   * An HTTP/1.0 client, which knows none, is sent nothing.
   * @param head as it goes on the wire, the empty line included
   */
  writeInterim(head: Uint8Array): void;

  /**
   * For adapters that frame the message themselves (node:http's ServerResponse): bytes as they go on
   * the wire, head included. False: wait for `onDrain`.
   */
  writeRaw(chunk: Uint8Array): boolean;
  /**
   * Ends such a response; `keepAlive` false closes the connection once all has left.
   * @param framingBytes of what was written behind its head: those that only frame the body (chunk sizes), which
   *   the access log leaves out
   */
  endRaw(keepAlive: boolean, framingBytes?: number): void;

  /**
   * A whole such response whose body is bytes of a file, see `respondFile`.
   * @param head as it goes on the wire; its Content-Length is `length`
   */
  endRawFile(
    head: Uint8Array,
    fd: number,
    offset: number,
    length: number,
    keepAlive: boolean,
  ): void;

  /** Set by who passes the request on to an upstream: its handler computes nothing, however long the call was. */
  passedOn?: boolean;

  /** True once a byte of the final response was handed over. */
  readonly headersSent: boolean;
  /** True once the response ended or was aborted. */
  readonly ended: boolean;

  /**
   * The handler failed: 500 without detail where nothing was sent, otherwise the connection closes.
   * The error is logged once, with method and target.
   */
  fail(error: unknown): void;
  /** Closes the connection at once without answering (res.destroy(), a stream that broke half way). */
  abort(): void;

  /** Path pattern of the route that answers, for metrics; set before the end, '' where unknown. */
  route: string;
  /** Called when all that was written has left after `write` or `writeRaw` answered false. */
  onDrain: (() => void) | null;
  /** Called once if the exchange is aborted from outside; never after it has ended. */
  onAbort: ((reason: AbortReason) => void) | null;
  /**
   * Called when the peer has shut its side while the response is unfinished and the request was read
   * whole. It may still read, so nothing happens by itself. True: it counts as gone, and the exchange
   * is aborted.
   */
  onPeerEnd: (() => boolean) | null;
  /**
   * A peer that has shut its side counts as gone from now on, whatever `onPeerEnd` would say; one that
   * has done so before is found in the next turn.
   */
  heedPeerEnd(): void;
}

/** What a loaded entry is to the connection code. May answer before it returns, or later. */
export interface Handler {
  /** `fetch`, `node`, `static`, or `sessions` where nothing is for HTTP; shown at start. */
  readonly kind: 'fetch' | 'node' | 'static' | 'sessions';
  handle(exchange: Exchange): void;
  /** Of routes that have a deadline of their own. */
  deadlines?: RouteDeadlines | null;
  /** Routes whose requests are for lengthy workers. */
  lengthy?: LengthyRoutes | null;
  /** Session protocols of the same application, in the order of their numbers. */
  sessions?: readonly LoadedProtocol[];
  /** Resolves when the application has finished what it went on with after its responses. */
  settled?(): Promise<void>;
  /** A `(req, res)` application as such, for a server of node:http itself. */
  readonly direct?: ((request: IncomingMessage, response: ServerResponse) => unknown) | null;
}

/** A handler that also takes connections over for another protocol (RFC 9110, section 7.8). */
export interface UpgradeTaker extends Handler {
  /**
   * Somebody would take one now; otherwise `handle` is called as if none had been asked for.
   * @param method `CONNECT` asks for a tunnel (RFC 9110, section 9.3.6), without an Upgrade field
   * @param target the request-target as sent
   */
  wantsUpgrade(method: string, target?: string): boolean;
  /**
   * Instead of `handle`, for a request without a body.
   * @param exchange says what was asked; it cannot be answered, and is valid until this has returned
   * @param socket has the connection from now on
   * @param head what the client has sent behind the request
   */
  upgrade(exchange: Exchange, socket: UpgradeSocket, head: Buffer): void;
  /** The worker is about to end, told once; false: nobody heard, so its sockets are ended for it. */
  shutDown(): boolean;
}

export const takesUpgrades = (handler: Handler): handler is UpgradeTaker => 'upgrade' in handler;
