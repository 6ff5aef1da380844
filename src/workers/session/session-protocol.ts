/**
 * Session protocols: what an application gives and gets, as types.
 *
 * Role: a protocol of the application's own (SMTP, IMAP, a line protocol) whose connections are mostly
 * idle. `export const protocols = { smtp: {...} }` in the entry, `listen: '127.0.0.1:2525 smtp'`.
 * Thread: a worker; each call may be in another one, so what a session has to remember stands in its
 * `data`, in its `state`, or in memory that the workers share.
 */

import type { FileTarget } from '../files/open-file.ts';
import type { UpgradeSocket } from '../upgrade/upgrade-socket.ts';

/** Bytes of `Session.data` a protocol may have. */
export const MAX_SESSION_DATA_BYTES = 256;
export const DEFAULT_IDLE_TIMEOUT_S = 300;
/** Longest idle timeout, seconds: a day. */
export const MAX_IDLE_TIMEOUT_S = 86_400;

type Awaitable<T> = T | Promise<T>;

/**
 * A protocol as the application writes it: linear code, which may block its worker as an HTTP handler
 * may. The calls of one session come one after another, never two at a time. A call that returns a
 * promise keeps the session in its worker until the promise has settled; a call that returns leaves it to
 * the listener, where an idle session costs its slot and its data, and no worker. An error that a call
 * throws is logged and ends the session.
 */
export interface SessionProtocol {
  /**
   * Called once, when the client has connected and before it has sent anything; behind a proxy
   * (`proxyProtocol`) when the header with the client's address has come.
   */
  greeting?(session: Session): Awaitable<void>;
  /**
   * Bytes have come. Called again with what is left as long as something is consumed and something is
   * left. What is not consumed stays with the connection, also from worker to worker, and comes again
   * with the bytes behind it.
   * @param bytes a copy: parts of it may be kept
   * @returns how many of them, from the first on, were consumed: 0 .. bytes.length; 0: wait for more
   */
  receive(session: Session, bytes: Buffer): Awaitable<number>;
  /**
   * `inputLimit` bytes have come and `receive` consumes none of them. Whoever returns how many are to be
   * thrown away (1 .. bytes.length) goes on; otherwise, and where this is missing, the session ends with
   * what was written.
   */
  tooLong?(session: Session, bytes: Buffer): Awaitable<number | undefined>;
  /** Somebody called `wake` with the session's id. Several wakes before the call are one. */
  woken?(session: Session): Awaitable<void>;
  /** Nothing was heard for `idleTimeout`: last words. The session ends behind them. */
  timeout?(session: Session): Awaitable<void>;
  /** The server stops (SMTP's 421): last words. The session ends behind them. */
  stopping?(session: Session): Awaitable<void>;
  /**
   * Seconds that a session may wait for its client, 0 .. 86,400, 300 unless it says otherwise; 0: for
   * ever. What has begun and is not consumed (half a line) has to be complete within the same time.
   */
  readonly idleTimeout?: number;
  /**
   * Bytes that may wait unconsumed, at least 1; at most, and unless it says otherwise, the connection
   * buffer (see limitRequestLine, limitRequestFieldSize: 16 KiB with their defaults).
   */
  readonly inputLimit?: number;
  /** Bytes of `Session.data`, 0 .. 256, 0 unless it says otherwise. The same in every worker. */
  readonly dataBytes?: number;
  /** Names of the session's own states for the status page: at most 15, 1 .. 24 characters each. */
  readonly states?: readonly string[];
  /**
   * False: an idle session is not let go when slots are needed for new clients. Unless it says so, those
   * that have waited for longest between two commands are, as idle HTTP connections are.
   */
  readonly shed?: boolean;
}

/**
 * One session, for the time of a call: valid until the call has returned or its promise has settled.
 * Later every use throws an Error with code ERR_MPM_SESSION_OVER.
 */
export interface Session {
  /** For `wake`: a whole number that fits an int32 and is never 0, and no other session's for long. */
  readonly id: number;
  /** Name of the protocol. */
  readonly protocol: string;
  /** Address and port of the client; by the PROXY header where there is one. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** The connection is not encrypted by this server. */
  readonly secure: false;
  /**
   * What the session remembers from call to call: `dataBytes` bytes of shared memory that go with it, all
   * zero at first. Not to be used after the call: the memory will be another session's.
   */
  readonly data: Buffer;
  /** One of `states`, '' at first. @throws RangeError when set to any other */
  state: string;
  /** Seconds, as `SessionProtocol.idleTimeout`, for this session from now on. @throws RangeError */
  idleTimeout: number;
  /** The session has ended, by `end` or since its client has left: what is written goes nowhere. */
  readonly ended: boolean;
  /**
   * Sends; what the socket does not take waits, and no further input is read until it has left. Strings
   * go as UTF-8.
   * @param bytes more than 16 KiB are not copied and must not be changed until they have left
   * @returns false: something waits for the client, so a call that has much more should await `drained`
   */
  write(bytes: Uint8Array | string): boolean;
  /** Resolves when all that was written has left; rejects, with ERR_MPM_SESSION_OVER, if the client has. */
  drained(): Promise<void>;
  /**
   * Sends a regular file, or a part of it, without its bytes passing through this process.
   * @returns as `write`
   * @throws FileError where it cannot be read, RangeError where the part is not in it
   */
  sendFile(target: FileTarget, part?: SessionFilePart): boolean;
  /** Ends the session once all that was written has left. */
  end(): void;
  /**
   * Gives the connection to a socket of this worker's, for the rest of its life; only when all that was
   * written has left. Unconsumed input is in `head`. The session is over.
   * @throws an Error with code ERR_MPM_SESSION_UPGRADE where there is no descriptor left, or something
   *   waits for the client
   */
  upgrade(): { readonly socket: UpgradeSocket; readonly head: Buffer };
  /** As the function `wake`. */
  wake(id: number): boolean;
}

export interface SessionFilePart {
  /** First byte, 0 unless it says otherwise. */
  readonly offset?: number;
  /** To the end of the file unless it says otherwise. */
  readonly length?: number;
  /** The path is confined below this folder, as with `sendFile` of HTTP. */
  readonly root?: string;
}
