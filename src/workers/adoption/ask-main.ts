/**
 * How a worker has main listen for its application, and waits for the answer.
 *
 * Role: after `server.listen(0)` an application may ask for `server.address()` at once, as with node:net.
 * Thread: a worker. Blocks while its application is being loaded; main never waits for a worker.
 */
import type { AddressInfo } from 'node:net';
import { askMain, type MainLine } from '../main-line.ts';
import type { WantedAddress } from './listen-call.ts';

/** From the worker. */
export interface ListenQuestion extends WantedAddress {
  /** Number of the call in its worker: the same call of every worker is one address. */
  readonly order: number;
}

/** From main. */
export type ListenAnswer =
  | { readonly address: AddressInfo }
  | { readonly error: { readonly code: string; readonly message: string } };

/** @throws an Error with the code of the failure */
export function askToListen(line: MainLine, wanted: WantedAddress, order: number): AddressInfo {
  const answer = askMain<ListenQuestion, ListenAnswer>(line, { ...wanted, order });
  const details = { syscall: 'listen', address: wanted.host || '::', port: wanted.port };
  if (answer === undefined) {
    const error = new Error('ERR_MPM_LISTEN: the main thread did not answer');
    throw Object.assign(error, { code: 'ERR_MPM_LISTEN', ...details });
  }
  if ('address' in answer) return answer.address;
  const { code, message } = answer.error;
  throw Object.assign(new Error(message), { code, ...details });
}
