/**
 * Main's side of applications that call `listen`: binds what they ask for and tells them what it is.
 *
 * Role: every worker runs the same application and makes the same calls, so each address is bound once
 * and then given to all of them.
 * Thread: main. May not: let a worker wait without an answer.
 */
import { lookup } from 'node:dns/promises';
import type { AddressInfo } from 'node:net';
import type { ListenAddress } from '../listener/acceptor.ts';
import type { ListenAnswer, ListenQuestion } from '../workers/adoption/ask-main.ts';
import { bindAddress } from './bind-address.ts';
import { type OpenLine, openLine } from './main-line.ts';

/** What of the listener is used. */
export interface Binder {
  listen(host: string, port: number, v6Only: boolean): ListenAddress;
  readonly addresses: readonly ListenAddress[];
}

/** As node:net calls them. */
const NODE_CODES: Readonly<Record<string, string>> = {
  ERR_MPM_ADDRESS_IN_USE: 'EADDRINUSE',
  ERR_MPM_ADDRESS_FORBIDDEN: 'EACCES',
  ERR_MPM_ADDRESS: 'EADDRNOTAVAIL',
};

export class AdoptedListens {
  readonly #binder: Binder;
  /** The first call of each worker means these; empty: what it asks for is bound. */
  readonly #configured: readonly ListenAddress[];
  readonly #bound = new Map<string, Promise<ListenAnswer>>();

  constructor(binder: Binder, configured: readonly ListenAddress[]) {
    this.#binder = binder;
    this.#configured = configured;
  }

  /** A line for a new child. */
  open(): OpenLine {
    return openLine<ListenQuestion, ListenAnswer>((question) => this.#addressFor(question));
  }

  #addressFor({ host, port, order }: ListenQuestion): Promise<ListenAnswer> {
    const [first] = this.#configured;
    if (order === 0 && first !== undefined) return Promise.resolve({ address: infoOf(first) });
    const key = port === 0 ? `call ${order}` : `${host}:${port}`;
    const known = this.#bound.get(key);
    if (known !== undefined) return known;
    const answer = this.#bind(host, port);
    this.#bound.set(key, answer);
    // What failed may succeed later, when the port is free.
    void answer.then((result) => {
      if ('error' in result) this.#bound.delete(key);
    });
    return answer;
  }

  async #bind(host: string, port: number): Promise<ListenAnswer> {
    const where = `${host || '::'}:${port}`;
    let numeric = host || '::';
    try {
      if (numeric !== '::') numeric = (await lookup(host)).address;
    } catch {
      return {
        error: { code: 'ENOTFOUND', message: `getaddrinfo ENOTFOUND ${host} (listen ${where})` },
      };
    }
    try {
      return { address: infoOf(bindAddress(this.#binder, numeric, port)) };
    } catch (error) {
      return { error: asNodeError(error as Error & { code?: string }) };
    }
  }
}

/** An error of the listener as node:net would have it. */
export function asNodeError(error: Error & { code?: string }): { code: string; message: string } {
  const { code = 'ERR_MPM_LISTEN', message } = error;
  const known = NODE_CODES[code];
  return known === undefined ? { code, message } : { code: known, message: `${known}: ${message}` };
}

const infoOf = ({ host, port, family }: ListenAddress): AddressInfo => ({
  address: host,
  family: `IPv${family}`,
  port,
});
