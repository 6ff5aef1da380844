/**
 * Threads for children: the only part that talks to Piscina.
 *
 * Role: one task is one child's life, each on a thread that has had none before.
 * Thread: main. May not: know what a child is for.
 */
import type { EventLoopUtilization } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { Piscina } from 'piscina';
import type { ExitReason } from '../../scoreboard/codes.ts';
import type { ChildMessage, ChildTask, LoadFailure } from '../../workers/child.ts';

/** How busy a thread's event loop is. Asked from outside: one that is stuck or asleep would not tell. */
export class ThreadLoad {
  readonly #thread: Worker;
  #until: EventLoopUtilization;

  constructor(thread: Worker) {
    this.#thread = thread;
    this.#until = thread.performance.eventLoopUtilization();
  }

  /** Share of the time since the last call in which it was not idle, 0 .. 1. */
  sample(): number {
    const { performance } = this.#thread;
    const until = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(until, this.#until);
    this.#until = until;
    return utilization;
  }
}

export class Threads {
  readonly #pool: Piscina;
  readonly #used = new Set<number>();

  /**
   * @param lives that may go on at the same time
   * @param maxHeapMb bound on the V8 heap of each, 0: V8's own
   */
  constructor(lives: number, maxHeapMb: number, onMessage: (message: ChildMessage) => void) {
    this.#pool = new Piscina({
      filename: fileURLToPath(new URL('../../workers/child.js', import.meta.url)),
      minThreads: 0,
      // A thread whose life is over may take a while to go.
      maxThreads: lives * 2,
      // A thread that has had its life is not kept.
      idleTimeout: 0,
      // The default would freeze the application's timers and sockets between two tasks.
      atomics: 'disabled',
      concurrentTasksPerWorker: 1,
      recordTiming: false,
      ...(maxHeapMb > 0 ? { resourceLimits: { maxOldGenerationSizeMb: maxHeapMb } } : {}),
      // Every child starts on a fresh thread: a used one still holds the old modules and their leaks.
      loadBalancer: (_task, workers) => {
        const fresh = workers.find(
          (worker) => worker.currentUsage === 0 && !this.#used.has(worker.id),
        );
        if (fresh !== undefined) this.#used.add(fresh.id);
        return fresh ?? null;
      },
    });
    this.#pool.on('message', onMessage);
    // Faults of tasks reach their promise; what is left concerns threads without one.
    this.#pool.on('error', () => {});
  }

  /** Lives a life; rejects with what the thread died of. */
  run(task: ChildTask, signal: AbortSignal): Promise<ExitReason | LoadFailure> {
    return this.#pool.run(task, { signal, transferList: [task.line.port, task.sharing.line.port] });
  }

  /** Resolves when this thread is gone: nothing in it runs any more, and its descriptors are closed. */
  gone(id: number): Promise<void> {
    const thread = this.#pool.threads.find(({ threadId }) => threadId === id);
    if (thread === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      thread.once('exit', () => {
        // Until here it stays used, or it would be given a second life.
        this.#used.delete(id);
        resolve();
      });
    });
  }

  /** This thread's busyness; null: it is gone. */
  load(id: number): ThreadLoad | null {
    const thread = this.#pool.threads.find(({ threadId }) => threadId === id);
    return thread === undefined ? null : new ThreadLoad(thread);
  }

  /** Ends all at once. */
  async destroy(): Promise<void> {
    await this.#pool.destroy();
  }
}
