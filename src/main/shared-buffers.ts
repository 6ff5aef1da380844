/**
 * The buffers that all workers of a server have in common.
 *
 * Role: makes each once, and hands the same one to whoever asks for its name, as long as the server runs.
 * Thread: main. May not: look into one.
 */
import { randomUUID } from 'node:crypto';
import {
  type BufferAnswer,
  type BufferQuestion,
  MAX_SHARED_BUFFERS,
  MAX_SHARED_BYTES,
  type Sharing,
} from '../workers/shared.ts';
import { openLine } from './main-line.ts';

export class SharedBuffers {
  readonly #buffers = new Map<string, SharedArrayBuffer>();
  /** Servers of one process do not hear each other. */
  readonly #channelPrefix = `hybrid-mpm-shared-${randomUUID()}-`;
  #bytes = 0;

  /** For a new child. */
  open(): { readonly sharing: Sharing; hangUp(): void } {
    const { line, hangUp } = openLine<BufferQuestion, BufferAnswer>((question) =>
      this.answer(question),
    );
    return { sharing: { line, channelPrefix: this.#channelPrefix }, hangUp };
  }

  answer({ name, bytes }: BufferQuestion): BufferAnswer {
    const known = this.#buffers.get(name);
    if (known?.byteLength === bytes) return { buffer: known };
    if (known !== undefined) {
      const message = `shared.buffer('${name}', ${bytes}): it has ${known.byteLength} bytes already; take another name, or start the server anew`;
      return { error: { code: 'ERR_MPM_SHARED_SIZE', message } };
    }
    if (this.#buffers.size >= MAX_SHARED_BUFFERS || this.#bytes + bytes > MAX_SHARED_BYTES) {
      const message = `shared.buffer('${name}', ${bytes}): the server has ${this.#buffers.size} buffers of ${this.#bytes} bytes, and may have ${MAX_SHARED_BUFFERS} of ${MAX_SHARED_BYTES}`;
      return { error: { code: 'ERR_MPM_SHARED_LIMIT', message } };
    }
    const buffer = new SharedArrayBuffer(bytes);
    this.#buffers.set(name, buffer);
    this.#bytes += bytes;
    return { buffer };
  }
}
