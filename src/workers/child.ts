/**
 * One child's life: the Piscina task that a worker thread runs from start to retirement.
 *
 * Role: attaches the scoreboard, loads the application, serves until told to retire.
 * Thread: a worker of the pool. May not: close a descriptor of a connection.
 */
import { parentPort, threadId } from 'node:worker_threads';
import { loadNative } from '../listener/native.ts';
import { CHILD, ChildStatus, type ExitReason } from '../scoreboard/layout.ts';
import { Scoreboard, type SharedScoreboard } from '../scoreboard/scoreboard.ts';
import { ApplicationPublisher } from './application-metrics.ts';
import { WorkerContext, type WorkerOptions } from './context.ts';
import type { Handler } from './exchange.ts';
import { installGlobals } from './fetch/globals.ts';
import { FileOffload } from './files/offload.ts';
import { EntryError, loadHandler } from './handler-loader.ts';
import { ServingLoop } from './serving-loop.ts';

export interface ChildTask {
  readonly shared: SharedScoreboard;
  /** Child slot. */
  readonly child: number;
  /** Number of this life, unique over the run. */
  readonly life: number;
  /** Module or folder to serve. */
  readonly entry: string;
  readonly options: WorkerOptions;
  /** BroadcastChannel for the application's own metrics; null: nobody listens. */
  readonly metricsChannel: string | null;
}

/** What a child tells main, besides its task's result. */
export type ChildMessage =
  | {
      readonly kind: 'ready';
      readonly child: number;
      readonly life: number;
      readonly handler: string;
      readonly thread: number;
    }
  | {
      readonly kind: 'retire';
      readonly child: number;
      readonly life: number;
      readonly reason: ExitReason;
    };

/** An application that did not load; as data, since an error loses its code between threads. */
export interface LoadFailure {
  readonly code: string;
  readonly message: string;
}

/** Lives one life; resolves with the reason for its end when nothing is unfinished. */
export default async function live(task: ChildTask): Promise<ExitReason | LoadFailure> {
  const { child, life } = task;
  const native = loadNative();
  const board = Scoreboard.attach(task.shared);
  installGlobals();
  let handler: Handler;
  try {
    const { indexes, maxOpenFiles, sendFileRoot } = task.options;
    const folder = { descriptors: native, indexes, maxOpenFiles };
    handler = await loadHandler(task.entry, folder, offloadFor(sendFileRoot));
  } catch (error) {
    const { code = 'ERR_MPM_ENTRY_FAILED', message } = error as Error & { code?: string };
    return { code, message };
  }
  const tell = (message: ChildMessage): void => parentPort?.postMessage(message);
  const context = new WorkerContext(board, native, child, task.options, handler);
  const publisher = publisherFor(task, context);
  const reason = await new Promise<ExitReason>((resolve) => {
    const serving = new ServingLoop(context, {
      wantsRetire: (why) => tell({ kind: 'retire', child, life, reason: why }),
      ended: (why) => {
        native.unwatch(watch);
        // The slot is this child's until main has its task's result.
        context.storeHeap();
        resolve(why);
      },
      active: () => publisher?.active(),
    });
    const watch = native.watch(board.child(child, CHILD.wakeFd), 0, () => serving.onSignal());
    if (watch < 0) throw new Error(`uv_poll: errno ${-watch}`);
    context.storeHeap();
    context.setWord(CHILD.status, ChildStatus.ready);
    tell({ kind: 'ready', child, life, handler: handler.kind, thread: threadId });
    // A first turn finds what waits already, or says that this worker is idle.
    context.wakeSelf();
    // So that its counters are there, with 0, before the first request.
    publisher?.active();
  });
  await handler.settled?.();
  await publisher?.last();
  // The thread has had one life and ends by itself once Piscina has the result; `exit` handlers of
  // the application run. A terminated thread would skip them.
  setImmediate(() => process.exit(0));
  return reason;
}

function publisherFor(task: ChildTask, context: WorkerContext): ApplicationPublisher | null {
  const { entry, metricsChannel: channel, child, life } = task;
  if (channel === null) return null;
  return new ApplicationPublisher({
    entry,
    channel,
    child,
    life,
    progress: () => context.getWord(CHILD.progress),
    say: (line) => process.stderr.write(`hybrid-mpm: ${line}\n`),
  });
}

/** @throws EntryError where the folder cannot be used */
function offloadFor(root: string | null): FileOffload | null {
  if (root === null) return null;
  try {
    return new FileOffload(root, (line) => process.stderr.write(`hybrid-mpm: ${line}\n`));
  } catch (cause) {
    const { message } = cause as Error;
    throw new EntryError('ERR_MPM_SENDFILE_ROOT', `sendFileRoot ${root}: ${message}`, { cause });
  }
}
