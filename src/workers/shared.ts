/**
 * `shared`: what the workers of a server have in common.
 *
 * Role: the application's side. The application may have a copy of this package of its own, so what its
 * worker was given is found by a symbol that is the same in all of them.
 * Thread: a worker, or any other, where it is that thread's alone.
 */
import { BroadcastChannel } from 'node:worker_threads';
import { askMain, type MainLine } from './main-line.ts';

/** Buffers of a server, and bytes of all of them. */
export const MAX_SHARED_BUFFERS = 256;
export const MAX_SHARED_BYTES = 1 << 28;
export const MAX_SHARED_NAME_LENGTH = 128;

/** What a worker is given. */
export interface Sharing {
  readonly line: MainLine;
  /** In front of the names of channels. */
  readonly channelPrefix: string;
}

export interface BufferQuestion {
  readonly name: string;
  readonly bytes: number;
}

export type BufferAnswer =
  | { readonly buffer: SharedArrayBuffer }
  | { readonly error: { readonly code: SharedErrorCode; readonly message: string } };

export type SharedErrorCode =
  /** No name of 1 .. 128 characters, or no whole number of bytes from 1 to 268,435,456. */
  | 'ERR_MPM_SHARED_ARGUMENT'
  /** The buffer is there with another size. */
  | 'ERR_MPM_SHARED_SIZE'
  /** More than 256 buffers, or more than 256 MiB in all. */
  | 'ERR_MPM_SHARED_LIMIT'
  /** The main thread did not answer within 20 s. */
  | 'ERR_MPM_SHARED_TIMEOUT';

export interface Shared {
  /**
   * The buffer of this name, the same in every worker of the server. It is made, all zero, by whoever
   * asks first, and is there until the server ends: through replaced workers, restarts and reloads. The
   * first call of a thread waits for the main thread: make it where the module is loaded.
   * @param name 1 .. 128 characters
   * @param bytes 1 .. 268,435,456; the same in every call
   * @throws an Error with a `SharedErrorCode`
   */
  buffer(name: string, bytes: number): SharedArrayBuffer;
  /**
   * A BroadcastChannel that only the workers of this server have. Each call makes one, which hears the
   * others of its name, also those of its own thread, but not itself.
   * @param name 1 .. 128 characters
   * @throws an Error with code ERR_MPM_SHARED_ARGUMENT
   */
  channel(name: string): BroadcastChannel;
}

const KEY = Symbol.for('hybrid-mpm.sharing.1');
interface Holder {
  [KEY]?: Shared;
}

function fault(code: SharedErrorCode, message: string): Error & { code: SharedErrorCode } {
  return Object.assign(new Error(message), { code });
}

function checkName(name: unknown, call: string): void {
  if (typeof name === 'string' && name !== '' && name.length <= MAX_SHARED_NAME_LENGTH) return;
  const message = `${call}: its name has to be a string of 1 to ${MAX_SHARED_NAME_LENGTH} characters`;
  throw fault('ERR_MPM_SHARED_ARGUMENT', message);
}

class ThreadShared implements Shared {
  readonly #known = new Map<string, SharedArrayBuffer>();
  /** Null: outside of a server. */
  readonly #sharing: Sharing | null;

  constructor(sharing: Sharing | null) {
    this.#sharing = sharing;
  }

  buffer(name: string, bytes: number): SharedArrayBuffer {
    checkName(name, 'shared.buffer');
    if (!Number.isInteger(bytes) || bytes < 1 || bytes > MAX_SHARED_BYTES) {
      const message = `shared.buffer('${name}', ${String(bytes)}): it takes 1 to ${MAX_SHARED_BYTES} bytes`;
      throw fault('ERR_MPM_SHARED_ARGUMENT', message);
    }
    const known = this.#known.get(name);
    if (known?.byteLength === bytes) return known;
    const buffer = this.#ask({ name, bytes });
    this.#known.set(name, buffer);
    return buffer;
  }

  #ask(question: BufferQuestion): SharedArrayBuffer {
    const { name, bytes } = question;
    const call = `shared.buffer('${name}', ${bytes})`;
    if (this.#sharing === null) {
      const known = this.#known.get(name);
      if (known === undefined) return new SharedArrayBuffer(bytes);
      throw fault('ERR_MPM_SHARED_SIZE', `${call}: it has ${known.byteLength} bytes already`);
    }
    const answer = askMain<BufferQuestion, BufferAnswer>(this.#sharing.line, question);
    if (answer === undefined) {
      throw fault('ERR_MPM_SHARED_TIMEOUT', `${call}: the main thread did not answer`);
    }
    if ('buffer' in answer) return answer.buffer;
    throw fault(answer.error.code, answer.error.message);
  }

  channel(name: string): BroadcastChannel {
    checkName(name, 'shared.channel');
    return new BroadcastChannel(`${this.#sharing?.channelPrefix ?? ''}${name}`);
  }
}

/** Called by a worker's entry, before the application is loaded. */
export function installSharing(sharing: Sharing): void {
  (globalThis as Holder)[KEY] = new ThreadShared(sharing);
}

const current = (): Shared => {
  const holder = globalThis as Holder;
  holder[KEY] ??= new ThreadShared(null);
  return holder[KEY];
};

export const shared: Shared = {
  buffer: (name, bytes) => current().buffer(name, bytes),
  channel: (name) => current().channel(name),
};
