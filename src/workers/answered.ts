/**
 * Requests of one connection that are answered but whose last byte has not left yet.
 *
 * Role: remembers when each began and what it was answered, until they count as served.
 * Thread: one worker. May not: decide when that is; the connection says so.
 */
import type { WorkerContext } from './context.ts';
import { countRequest } from './counters.ts';

export class Answered {
  readonly #context: WorkerContext;
  readonly #since: number[] = [];
  readonly #status: number[] = [];

  constructor(context: WorkerContext) {
    this.#context = context;
  }

  add(sinceMs: number, status: number): void {
    this.#since.push(sinceMs);
    this.#status.push(status);
  }

  get none(): boolean {
    return this.#since.length === 0;
  }

  /** When the first of them began; there must be one. */
  get oldestMs(): number {
    return this.#since[0] as number;
  }

  /** The last byte has left: only now the requests are over (end-of-request). */
  count(): void {
    const count = this.#since.length;
    if (count === 0) return;
    const now = performance.now();
    this.#context.now = now;
    for (let index = 0; index < count; index++) {
      const since = this.#since[index] as number;
      countRequest(this.#context, this.#status[index] as number, now - since);
    }
    this.clear();
  }

  /** They were lost with their connection. */
  clear(): void {
    this.#since.length = 0;
    this.#status.length = 0;
  }
}
