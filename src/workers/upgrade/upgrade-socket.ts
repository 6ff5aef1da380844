/**
 * The socket that an application gets for an upgraded connection: a net.Socket like any other.
 *
 * Role: besides carrying bytes it notes the status that the application answers with, for the counters
 * and the access log.
 * Thread: a worker. Owns the descriptor that it is given, which is a duplicate: the listener closes the
 * one in the slot after this socket was closed.
 */
import { Socket } from 'node:net';
import type { Native } from '../../listener/native.ts';
import type { FarSide } from './to-listener.ts';

type WriteCallback = (error?: Error | null) => void;

const HEAD_END = '\r\n\r\n';
/** Bytes of the first write in which the head of the response is looked for. */
const HEAD_SCAN_BYTES = 16 * 1024;

export class UpgradeSocket extends Socket {
  #status = 0;
  #headBytes = 0;
  /** Called with the status of the response once its head was written. */
  onAnswered: ((status: number) => void) | null = null;
  /**
   * Has the listener carry what follows between this socket's peer and another socket's; nothing may be unsent
   * or unread here. Closes this socket and returns true; false: it stays, and so does the work.
   */
  toListener: (far: FarSide) => boolean = () => false;

  /**
   * @param fd becomes this socket's
   * @throws a system error where it cannot be taken over; the descriptor stays the caller's then
   */
  constructor(fd: number) {
    // As node:http has its sockets: an end of the client's does not end what is still to be written.
    super({ fd, readable: true, writable: true, allowHalfOpen: true });
    // A client that resets its connection is no reason for the worker to die; `close` follows.
    this.on('error', () => {});
  }

  /** Status of the application's response, 0 before it has begun. */
  get status(): number {
    return this.#status;
  }

  /** Bytes written behind the head of the response. */
  get payloadBytes(): number {
    return Math.max(0, this.bytesWritten - this.#headBytes);
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, callback: WriteCallback): void {
    if (this.#status === 0) this.#note(chunk);
    super._write(chunk, encoding, callback);
  }

  override _writev(
    chunks: { chunk: Buffer | string; encoding: BufferEncoding }[],
    callback: WriteCallback,
  ): void {
    if (this.#status === 0 && chunks[0] !== undefined) this.#note(chunks[0].chunk);
    super._writev?.(chunks, callback);
  }

  #note(chunk: Buffer | string): void {
    const text = typeof chunk === 'string' ? chunk : chunk.toString('latin1', 0, HEAD_SCAN_BYTES);
    // What begins otherwise is no HTTP any more; it counts as switched all the same.
    const status = /^HTTP\/1\.[01] (\d{3})/.exec(text);
    this.#status = status === null ? 101 : Number(status[1]);
    const end = text.indexOf(HEAD_END);
    this.#headBytes = end < 0 ? Buffer.byteLength(text) : end + HEAD_END.length;
    this.onAnswered?.(this.#status);
  }
}

/** A socket on a duplicate of a connection's descriptor; null where there is no room for one. */
export function socketOn(
  native: Pick<Native, 'duplicate' | 'handOver' | 'close'>,
  fd: number,
): UpgradeSocket | null {
  const own = native.duplicate(fd);
  if (own < 0) return null;
  // The socket closes it, also at the end of the thread; twice would close another's.
  native.handOver(own);
  try {
    return new UpgradeSocket(own);
  } catch {
    native.close(own);
    return null;
  }
}
