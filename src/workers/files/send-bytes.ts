/**
 * `sendBytes`: a response of bytes that never change.
 *
 * Role: what handlers call; memory-files.ts keeps what is large.
 * Thread: a worker.
 * May not: copy what is small.
 */
import { LightResponse } from '../fetch/response.ts';
import { keepFixed } from './memory-files.ts';

/**
 * A response whose body is never changed from now on. More than 64 KiB is put once into a memory file,
 * from which the kernel sends it to every client of this worker, however slow, without another copy;
 * so call it with the same bytes, or views of them, again and again. Anything less, and what finds no
 * room (32 buffers, 128 MiB a worker), is sent as an ordinary body.
 *
 * The bytes are not watched: if they are changed all the same, clients get the old ones, the new ones or
 * both. There is no Content-Type unless `init.headers` has one. May be sent more than once.
 * @throws RangeError for a status outside 200..599
 * @throws TypeError for anything but bytes, a status that has no body (204, 205, 304), or an invalid header
 */
export function sendBytes(
  bytes: Uint8Array | ArrayBuffer,
  init?: globalThis.ResponseInit,
): globalThis.Response {
  const view = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes;
  if (!(view instanceof Uint8Array)) {
    throw new TypeError('sendBytes takes a Uint8Array, a Buffer or an ArrayBuffer');
  }
  const response = new LightResponse(view as Uint8Array<ArrayBuffer>, init);
  keepFixed(view);
  return response as unknown as globalThis.Response;
}
