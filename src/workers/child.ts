/**
 * One child's life: the Piscina task that a worker thread runs from start to retirement.
 *
 * Role: attaches the scoreboard, loads the application, serves until told to retire.
 * Thread: a worker of the pool. May not: close a descriptor of a connection.
 */
import { parentPort, threadId } from 'node:worker_threads';
import { loadNative, type Native } from '../listener/native.ts';
import { ChildStatus, type ExitReason } from '../scoreboard/codes.ts';
import { CHILD } from '../scoreboard/layout.ts';
import { Scoreboard, type SharedScoreboard } from '../scoreboard/scoreboard.ts';
import { AdoptedServers } from './adoption/adopted-servers.ts';
import { askToListen } from './adoption/ask-main.ts';
import { ApplicationPublisher } from './application-metrics.ts';
import { WorkerContext, type WorkerOptions } from './context.ts';
import { type Handler, takesUpgrades } from './exchange.ts';
import { installGlobals } from './fetch/globals.ts';
import { FileOffload } from './files/offload.ts';
import { EntryError, loadHandler, loadScript } from './handler-loader.ts';
import type { MainLine } from './main-line.ts';
import { installProxy } from './reverse-proxy/proxy-answer.ts';
import { ProxyingHandler } from './reverse-proxy/proxying-handler.ts';
import { ReverseProxy } from './reverse-proxy/reverse-proxy.ts';
import { ServingLoop } from './serving-loop.ts';
import { type LoadedProtocol, withMemory } from './session/load.ts';
import { installWake } from './session/wake.ts';
import { installSharing, type Sharing } from './shared.ts';
import { withStatus } from './status/status-handler.ts';

export interface ChildTask {
  readonly shared: SharedScoreboard;
  /** Child slot. */
  readonly child: number;
  /** Number of this life, unique over the run. */
  readonly life: number;
  /** Module or folder to serve. */
  readonly entry: string;
  /** Arguments of an entry that is run as a script; null: its exports are served. */
  readonly script: readonly string[] | null;
  /** For the `listen` of the application. */
  readonly line: MainLine;
  /** What it has in common with the others. */
  readonly sharing: Sharing;
  readonly options: WorkerOptions;
  /** BroadcastChannel for the application's own metrics; null: nobody listens. */
  readonly metricsChannel: string | null;
}

/** What a child tells main, besides its task's result. */
export type ChildMessage =
  | {
      /** Its thread runs, and nothing of the application has been loaded yet. */
      readonly kind: 'begun';
      readonly child: number;
      readonly life: number;
      readonly thread: number;
    }
  | {
      readonly kind: 'ready';
      readonly child: number;
      readonly life: number;
      readonly handler: string;
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
  const tell = (message: ChildMessage): void => parentPort?.postMessage(message);
  tell({ kind: 'begun', child, life, thread: threadId });
  const native = loadNative();
  const board = Scoreboard.attach(task.shared);
  installGlobals();
  installSharing(task.sharing);
  const proxy = new ReverseProxy(native, board, child, task.options);
  installProxy(proxy);
  let handler: Handler;
  let sessions: readonly LoadedProtocol[];
  let serving: ServingLoop | null = null;
  const retire = () => {
    serving?.retire();
    return serving !== null;
  };
  try {
    handler = await load(task, native, retire);
    sessions = withMemory(handler.sessions ?? [], board);
    const { status } = task.options;
    const { proxy: routes = [] } = task.options;
    if (routes.length > 0) handler = new ProxyingHandler(handler, proxy, routes);
    if (status !== null) handler = await withStatus(handler, board, status);
  } catch (error) {
    const { code = 'ERR_MPM_ENTRY_FAILED', message } = error as Error & { code?: string };
    return { code, message };
  }
  const context = new WorkerContext(board, native, child, task.options, handler, sessions);
  installWake((id) => context.wake(id));
  const publisher = publisherFor(task, context);
  const reason = await new Promise<ExitReason>((resolve) => {
    const loop = new ServingLoop(context, {
      wantsRetire: (why) => tell({ kind: 'retire', child, life, reason: why }),
      ended: (why) => {
        native.unwatch(watch);
        // The slot is this child's until main has its task's result.
        context.storeHeap();
        resolve(why);
      },
      active: () => publisher?.active(),
    });
    const watch = native.watch(board.child(child, CHILD.wakeFd), 0, () => loop.onSignal());
    serving = loop;
    if (watch < 0) throw new Error(`uv_poll: errno ${-watch}`);
    context.storeHeap();
    context.setWord(CHILD.status, ChildStatus.ready);
    tell({ kind: 'ready', child, life, handler: handler.kind });
    // A first turn finds what waits already, or says that this worker is idle.
    context.wakeSelf();
    // So that its counters are there, with 0, before the first request.
    publisher?.active();
  });
  if (takesUpgrades(handler)) handler.shutDown();
  await handler.settled?.();
  proxy.stop();
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

/**
 * Loads what is to be served, with the `listen` of its http.Servers adopted.
 * @param retire the application closed its last server; false: this worker does not serve yet
 * @throws EntryError
 */
async function load(task: ChildTask, native: Native, retire: () => boolean): Promise<Handler> {
  const { entry, script, line } = task;
  const { indexes, maxOpenFiles, sendFileRoot } = task.options;
  const offload = offloadFor(sendFileRoot);
  const adopted = new AdoptedServers(
    (wanted, order) => askToListen(line, wanted, order),
    {
      // A module that is served may have a server of its own in each worker, on any port.
      adopts: (wanted) => script !== null || (wanted !== null && wanted.port !== 0),
      lastClosed: retire,
    },
    offload,
  );
  adopted.install();
  const { sessions = [], http = true } = task.options;
  if (script !== null) {
    if (sessions.length === 0) return loadScript(entry, script, task.child, adopted);
    const message = `listen names the protocol ${sessions[0]}, and a script that is run has none; serve it`;
    throw new EntryError('ERR_MPM_PROTOCOL', message);
  }
  const folder = { descriptors: native, indexes, maxOpenFiles };
  return loadHandler(entry, folder, offload, adopted, { sessions, http });
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
