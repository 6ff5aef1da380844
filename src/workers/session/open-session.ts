/**
 * A session as the application sees it: good for the calls of one tenure, then it refuses.
 *
 * Role: `Session` over a connection object that serves somebody else next.
 * Thread: a worker.
 */
import { SLOT } from '../../scoreboard/layout.ts';
import { type FileTarget, openFile } from '../files/open-file.ts';
import { sliceOf } from '../files/send-file.ts';
import { formatAddress } from '../peer-address.ts';
import { idleTimeoutMs } from './load.ts';
import type { SessionConnection } from './session-connection.ts';
import { sessionId } from './session-id.ts';
import type { Session, SessionFilePart } from './session-protocol.ts';

export const sessionOver = (): Error =>
  Object.assign(new Error('the session is over, or was handed back when its call returned'), {
    code: 'ERR_MPM_SESSION_OVER',
  });

export class OpenSession implements Session {
  #connection: SessionConnection | null;
  readonly secure = false;

  constructor(connection: SessionConnection) {
    this.#connection = connection;
  }

  /** The connection was let go. */
  detach(): void {
    this.#connection = null;
  }

  get #served(): SessionConnection {
    if (this.#connection === null) throw sessionOver();
    return this.#connection;
  }

  get id(): number {
    const { hold } = this.#served;
    return sessionId(hold.slot, hold.incarnation);
  }

  get protocol(): string {
    return this.#served.protocol.name;
  }

  get remoteAddress(): string {
    const { context, hold } = this.#served;
    const at = hold.index * 4 + SLOT.peerFamily.offset;
    return formatAddress(context.board.bytes, at, context.native.familyIpv6);
  }

  get remotePort(): number {
    return this.#served.hold.field(SLOT.peerPort);
  }

  get data(): Buffer {
    return this.#served.data;
  }

  get state(): string {
    const { hold, protocol } = this.#served;
    return protocol.states[hold.field(SLOT.sessionState) - 1] ?? '';
  }

  set state(name: string) {
    const { hold, protocol } = this.#served;
    const number = name === '' ? 0 : protocol.states.indexOf(name) + 1;
    if (number === 0 && name !== '') {
      throw new RangeError(`${protocol.name} has no state ${String(name)} among its states`);
    }
    hold.setField(SLOT.sessionState, number);
  }

  get idleTimeout(): number {
    return this.#served.hold.field(SLOT.idleMs) / 1000;
  }

  set idleTimeout(seconds: number) {
    this.#served.hold.setField(SLOT.idleMs, idleTimeoutMs(seconds));
  }

  get ended(): boolean {
    return this.#connection === null || this.#connection.ended;
  }

  write(bytes: Uint8Array | string): boolean {
    const served = this.#served;
    if (typeof bytes === 'string') return served.write(Buffer.from(bytes, 'utf8'));
    if (bytes instanceof Uint8Array) return served.write(bytes);
    throw new TypeError('write takes a string or a Uint8Array');
  }

  drained(): Promise<void> {
    return this.#connection === null ? Promise.reject(sessionOver()) : this.#connection.drained();
  }

  sendFile(target: FileTarget, part: SessionFilePart = {}): boolean {
    const served = this.#served;
    const file = openFile(target, part.root);
    let slice: { offset: number; length: number };
    try {
      slice = sliceOf(file, part);
    } catch (error) {
      file.release();
      throw error;
    }
    return served.sendFile(file, slice.offset, slice.length);
  }

  end(): void {
    this.#served.end();
  }

  upgrade() {
    return this.#served.upgrade();
  }

  wake(id: number): boolean {
    return this.#served.context.wake(id);
  }
}
