/**
 * Requests of one connection that are answered but whose last byte has not left yet.
 *
 * Role: remembers when each began and what it was answered, until they count as served.
 * Thread: one worker. May not: decide when that is; the connection says so.
 */
import { CHILD } from '../scoreboard/layout.ts';
import { countRequest } from '../scoreboard/request-counters.ts';
import type { WorkerContext } from './context.ts';

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

  get length(): number {
    return this.#since.length;
  }

  /** Status of the first; there must be one. */
  get oldestStatus(): number {
    return this.#status[0] as number;
  }

  /** When the first of them began; there must be one. */
  get oldestMs(): number {
    return this.#since[0] as number;
  }

  /** The last byte has left: only now the requests are over (end-of-request). */
  count(): void {
    const count = this.#since.length;
    if (count === 0) return;
    const context = this.#context;
    const now = performance.now();
    context.now = now;
    for (let index = 0; index < count; index++) {
      const since = this.#since[index] as number;
      countRequest(context.board, context.child, this.#status[index] as number, now - since);
    }
    this.handOver();
  }

  /** Somebody else counts them; they still belong to this child's life. */
  handOver(): void {
    const served = this.#context.getWord(CHILD.lifeRequests);
    this.#context.setWord(CHILD.lifeRequests, served + this.#since.length);
    this.clear();
  }

  /** They were lost with their connection. */
  clear(): void {
    this.#since.length = 0;
    this.#status.length = 0;
  }
}
