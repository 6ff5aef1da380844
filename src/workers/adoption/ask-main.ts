/**
 * How a worker has main listen for its application, and waits for the answer.
 *
 * Role: one question at a time over a port of its own, answered before the call returns: after
 * `server.listen(0)` an application may ask for `server.address()` at once, as with node:net.
 * Thread: a worker. Blocks while its application is being loaded; main never waits for a worker.
 */
import type { AddressInfo } from 'node:net';
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { WantedAddress } from './listen-call.ts';

/** Over the port from the worker. */
export interface ListenQuestion extends WantedAddress {
  /** Number of the call in its worker: the same call of every worker is one address. */
  readonly order: number;
}

/** Over the port from main; `bell` is stored after it was posted. */
export type ListenAnswer =
  | { readonly address: AddressInfo }
  | { readonly error: { readonly code: string; readonly message: string } };

/** What a worker is given for its questions. */
export interface ListenLine {
  readonly port: MessagePort;
  /** One int32, 1 once the answer is in the port. */
  readonly bell: Int32Array;
}

/** Main looks names up and binds; neither takes long unless something is wrong. */
const ANSWER_DEADLINE_MS = 20_000;

/** @throws an Error with the code of the failure */
export function askToListen(line: ListenLine, wanted: WantedAddress, order: number): AddressInfo {
  const { port, bell } = line;
  // An answer that came too late belongs to another question.
  while (receiveMessageOnPort(port) !== undefined);
  Atomics.store(bell, 0, 0);
  port.postMessage({ ...wanted, order } satisfies ListenQuestion);
  Atomics.wait(bell, 0, 0, ANSWER_DEADLINE_MS);
  const answer = receiveMessageOnPort(port)?.message as ListenAnswer | undefined;
  const details = { syscall: 'listen', address: wanted.host || '::', port: wanted.port };
  if (answer === undefined) {
    const error = new Error('ERR_MPM_LISTEN: the main thread did not answer');
    throw Object.assign(error, { code: 'ERR_MPM_LISTEN', ...details });
  }
  if ('address' in answer) return answer.address;
  const { code, message } = answer.error;
  throw Object.assign(new Error(message), { code, ...details });
}
