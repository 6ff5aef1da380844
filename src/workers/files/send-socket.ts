/**
 * `sendSocket`: a response whose body is what another socket receives.
 *
 * Role: what handlers call. Where it can, the socket's descriptor goes to the listener, which moves the
 * bytes from socket to socket inside the kernel; otherwise the socket is a stream as any other.
 * Thread: a worker.
 */
import { Socket } from 'node:net';
import type { Exchange } from '../exchange.ts';
import { LightResponse } from '../fetch/response.ts';
import { descriptors } from './open-file.ts';

export interface SendSocketInit extends globalThis.ResponseInit {
  /**
   * Bytes of the body. Without it the body ends with the socket, and the client's connection with the
   * body.
   */
  readonly length?: number | undefined;
}

/** What a socket that was given to `sendSocket` is to send. */
const lengths = new WeakMap<Socket, number>();

/**
 * A response whose body is what `socket` receives from now on, and what it has received and nobody
 * has read. The socket is the response's from then on: do not read it, and do not write to it once the
 * response was returned. May be sent once.
 * @param socket connected, TCP or Unix; one with TLS, or that has an encoding, is sent as a stream
 * @throws RangeError for a status outside 200..599 or a length that is no whole number from 0
 * @throws TypeError for anything but a socket, a status that has no body, or an invalid header
 */
export function sendSocket(socket: Socket, init: SendSocketInit = {}): globalThis.Response {
  if (!(socket instanceof Socket)) throw new TypeError('sendSocket takes a net.Socket');
  const { length } = init;
  if (length !== undefined && !(Number.isSafeInteger(length) && length >= 0)) {
    throw new RangeError(`The length of a response is no ${length}`);
  }
  const headers = new Headers(init.headers);
  if (length !== undefined) headers.set('content-length', String(length));
  const response = new LightResponse(socket as never, { ...init, headers });
  lengths.set(socket, length ?? -1);
  return response as unknown as globalThis.Response;
}

/** What of `net.Socket` says where its bytes come from; not documented, so nothing is relied on. */
interface Handle {
  readonly fd?: number;
  readStop?(): number;
}

/**
 * Answers with such a socket; false where it has to be sent as a stream.
 */
export function relaySocket(
  exchange: Exchange,
  body: unknown,
  status: number,
  statusText: string,
  list: readonly string[],
): boolean {
  if (!(body instanceof Socket) || exchange.method === 'HEAD') return false;
  const length = lengths.get(body);
  if (length === undefined || !isPlain(body)) return false;
  const handle = (body as unknown as { _handle: Handle | null })._handle;
  const fd = handle?.fd ?? -1;
  if (fd < 0 || handle?.readStop === undefined) return false;
  const copy = descriptors().duplicate(fd);
  if (copy < 0) return false;
  // From here on nobody else reads it; what was read before goes first.
  handle.readStop();
  const read = body.read() as Buffer | null;
  body.destroy();
  exchange.respondSocket(status, statusText, list, copy, length, read);
  return true;
}

/** Its bytes are those of the descriptor. */
function isPlain(socket: Socket): boolean {
  const { encrypted } = socket as { encrypted?: boolean };
  if (encrypted === true || socket.connecting || socket.destroyed) return false;
  return socket.readableEncoding === null && !socket.readableEnded;
}
