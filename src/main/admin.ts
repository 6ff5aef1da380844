/**
 * Starts, supervises and stops the admin thread.
 *
 * Role: the other side of admin-thread.ts. A thread that dies unexpectedly is reported and replaced
 * after a pause that doubles, on the same address; serving goes on meanwhile.
 * Thread: main. May not: answer for the thread or give it anything but memory and limits.
 */
import { Worker } from 'node:worker_threads';
import { monotonicMs } from '../scoreboard/clock.ts';
import type { SharedScoreboard } from '../scoreboard/scoreboard.ts';
import type { Action, ActionResult } from './admin/action.ts';
import { type ActionRequest, tokenDigest } from './admin/action-endpoint.ts';
import type { AdminLimits } from './admin/document.ts';
import type { AdminMessage, AdminOrder, AdminTask } from './admin-thread.ts';
import { formatHostPort } from './config/kinds.ts';

/** A thread that ends later than this is ended. */
const STOP_MS = 2000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;
/** After this time of service the pause begins anew. */
const SETTLED_MS = 60_000;
/** It renders pages; what needs more is a leak and better ends here than in the whole process. */
const HEAP_MB = 64;

export interface AdminAddress {
  readonly host: string;
  readonly port: number;
  readonly family: 4 | 6;
}

export interface AdminOptions {
  readonly shared: SharedScoreboard;
  readonly host: string;
  /** 0: one that the kernel chooses. */
  readonly port: number;
  readonly version: string;
  readonly limits: AdminLimits;
  /** BroadcastChannel on which children give the application's own metrics. */
  readonly metricsChannel: string;
  /** Secret for actions; null or left out: there are none. */
  readonly token?: string | null;
  /** Does what an operator asked for. */
  readonly act?: (action: Action) => Promise<ActionResult>;
  /** The thread died and will be replaced, or its replacement could not start. */
  readonly onError?: (error: Error) => void;
}

export interface Admin {
  readonly address: AdminAddress;
  /** Limits to show from now on. */
  configure(limits: AdminLimits): void;
  /** Resolves when the thread is gone. */
  stop(): Promise<void>;
}

/**
 * Resolves when the thread listens.
 * @throws an Error with code ERR_MPM_ADMIN_IN_USE, ERR_MPM_ADMIN_FORBIDDEN or ERR_MPM_ADMIN
 */
export async function startAdmin(options: AdminOptions): Promise<Admin> {
  const supervisor = new Supervisor(options);
  const address = await supervisor.start();
  return {
    address,
    configure: (limits) => supervisor.configure(limits),
    stop: () => supervisor.stop(),
  };
}

class Supervisor {
  readonly #options: AdminOptions;
  #task: AdminTask;
  /** Where it listens from the first time on, so that a port once chosen stays. */
  #address: AdminAddress | null = null;
  #worker: Worker | null = null;
  #retry: NodeJS.Timeout | null = null;
  #pauseMs = FIRST_PAUSE_MS;
  #stopping = false;

  constructor(options: AdminOptions) {
    this.#options = options;
    const { shared, host, port, version, limits, metricsChannel, token = null } = options;
    this.#task = {
      shared,
      host,
      port,
      version,
      limits: plainLimits(limits),
      metricsChannel,
      startedMs: monotonicMs(),
      tokenDigest: token === null ? null : tokenDigest(token),
    };
  }

  /** One thread; resolves when it listens and looks after it from then on. */
  start(): Promise<AdminAddress> {
    const task = { ...this.#task, port: this.#address?.port ?? this.#task.port };
    const worker = new Worker(new URL('./admin-thread.js', import.meta.url), {
      workerData: task,
      name: 'mpm-admin',
      // Hooks that the command line loads into the application have no business here.
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
    this.#worker = worker;
    return new Promise((resolve, reject) => {
      let listening = false;
      let sinceMs = 0;
      let fault: Error | null = null;
      worker.on('message', (message: AdminMessage) => {
        if (message.kind === 'failed') {
          fault = listenFault(message, task);
          return;
        }
        if (message.kind === 'action') {
          this.#act(worker, message);
          return;
        }
        listening = true;
        this.#address = message.address;
        sinceMs = monotonicMs();
        resolve(message.address);
      });
      worker.on('error', (error: Error) => {
        fault = error;
      });
      worker.on('exit', (code) => {
        this.#worker = null;
        const error = fault ?? new Error(`the admin thread ended with code ${code}`);
        if (!listening) {
          reject(error);
          return;
        }
        if (monotonicMs() - sinceMs >= SETTLED_MS) this.#pauseMs = FIRST_PAUSE_MS;
        if (!this.#stopping) this.#replace(error);
      });
    });
  }

  #act(worker: Worker, { id, action }: ActionRequest): void {
    const { act } = this.#options;
    const refused: ActionResult = { status: 409, message: 'nobody takes actions' };
    const failed = (error: unknown): ActionResult => ({ status: 409, message: String(error) });
    (act?.(action) ?? Promise.resolve(refused)).catch(failed).then((result) => {
      worker.postMessage({ kind: 'done', id, result } satisfies AdminOrder);
    });
  }

  configure(limits: AdminLimits): void {
    this.#task = { ...this.#task, limits: plainLimits(limits) };
    this.#worker?.postMessage({ kind: 'limits', limits: this.#task.limits } satisfies AdminOrder);
  }

  #replace(error: Error): void {
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.start().catch((failure: Error) => {
        if (!this.#stopping) this.#replace(failure);
      });
    }, pauseMs);
    this.#options.onError?.(error);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    const worker = this.#worker;
    if (worker === null) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => void worker.terminate(), STOP_MS);
      worker.once('exit', () => {
        clearTimeout(timer);
        resolve();
      });
      worker.postMessage({ kind: 'stop' } satisfies AdminOrder);
    });
  }
}

/** Only what is to be shown: whatever else the caller's object holds might not be clonable. */
const plainLimits = (limits: AdminLimits): AdminLimits => ({
  startServers: limits.startServers,
  minSpareThreads: limits.minSpareThreads,
  maxSpareThreads: limits.maxSpareThreads,
  maxRequestWorkers: limits.maxRequestWorkers,
  queueLimit: limits.queueLimit,
  maxConnectionsPerChild: limits.maxConnectionsPerChild,
  keepAliveTimeoutMs: limits.keepAliveTimeoutMs,
  extendedStatus: limits.extendedStatus,
});

function listenFault(
  { code, message }: { readonly code: string; readonly message: string },
  { host, port }: { readonly host: string; readonly port: number },
): Error {
  const where = `admin ${formatHostPort({ host, port })}`;
  const [ours, why] =
    code === 'EADDRINUSE'
      ? ['ERR_MPM_ADMIN_IN_USE', 'the address is in use']
      : code === 'EACCES'
        ? ['ERR_MPM_ADMIN_FORBIDDEN', 'permission denied']
        : ['ERR_MPM_ADMIN', message];
  return Object.assign(new Error(`${where}: ${why}`), { code: ours });
}
