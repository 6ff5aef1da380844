/**
 * Names of session protocols and of their states, for whoever shows them.
 *
 * Thread: workers write when they have loaded the application, all the same; any thread reads.
 */
import { MAX_SESSION_STATES, PROTOCOL_BYTES, PROTOCOL_NAME_BYTES } from './layout.ts';

export class ProtocolNames {
  readonly #bytes: Uint8Array;
  readonly #at: number;

  /** @param at where the records begin */
  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  /** @param protocol 1 .. MAX_SESSION_PROTOCOLS, as SLOT.protocol has it */
  write(protocol: number, name: string, states: readonly string[]): void {
    for (let entry = 0; entry <= MAX_SESSION_STATES; entry++) {
      const text = (entry === 0 ? name : (states[entry - 1] ?? '')).padEnd(
        PROTOCOL_NAME_BYTES,
        '\0',
      );
      const at = this.#entryAt(protocol, entry);
      for (let index = 0; index < PROTOCOL_NAME_BYTES; index++) {
        this.#bytes[at + index] = text.charCodeAt(index);
      }
    }
  }

  /** '' for 0, and where no worker has loaded it yet. */
  nameOf(protocol: number): string {
    return protocol === 0 ? '' : this.#read(protocol, 0);
  }

  /** @param state as SLOT.sessionState has it; '' for 0 */
  stateOf(protocol: number, state: number): string {
    if (protocol === 0 || state < 1 || state > MAX_SESSION_STATES) return '';
    return this.#read(protocol, state);
  }

  #entryAt(protocol: number, entry: number): number {
    return this.#at + (protocol - 1) * PROTOCOL_BYTES + entry * PROTOCOL_NAME_BYTES;
  }

  #read(protocol: number, entry: number): string {
    const at = this.#entryAt(protocol, entry);
    let text = '';
    for (let index = at; index < at + PROTOCOL_NAME_BYTES; index++) {
      const code = this.#bytes[index] as number;
      if (code === 0) break;
      text += String.fromCharCode(code);
    }
    return text;
  }
}
