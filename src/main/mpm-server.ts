/**
 * What a program sees of a server: how it is made, and what it can be asked for.
 *
 * Thread: main; types only.
 */
import type { EventEmitter } from 'node:events';
import type { ListenAddress } from '../listener/acceptor.ts';
import type { Directives } from './config/directives.ts';
import type { Reloaded } from './config/reload.ts';

export interface ServerOptions {
  /** Module or folder to serve. */
  readonly entry: string;
  readonly directives: Directives;
  /**
   * The entry is a script that makes http.Servers and has them listen; what it exports is of no
   * interest.
   */
  readonly script?: ScriptOptions;
  /** Sockets that listen already; they are served in place of `directives.listen`. */
  readonly inherited?: readonly InheritedSocket[];
}

/** A listening TCP socket that this process was started with; the server owns it from `listen` on. */
export interface InheritedSocket {
  readonly fd: number;
  /** What messages call it. */
  readonly name: string;
}

export interface ScriptOptions {
  /** What the script finds in process.argv behind its own path. */
  readonly arguments: readonly string[];
  /** True: it listens where it says, and `directives.listen` means nothing. */
  readonly ownAddress: boolean;
}

export interface CloseOptions {
  /** End at once: what is unfinished is lost. */
  readonly force?: boolean;
}

/**
 * Emits `error` with an Error that has a `code` when it cannot go on, and `childDied` with a ChildDeath
 * when a worker died of a fault, after it was replaced.
 */
export interface MpmServer extends EventEmitter {
  /**
   * Resolves when the sockets listen and the first child is ready.
   * @throws an Error with code ERR_MPM_ADDRESS_IN_USE, ERR_MPM_ADDRESS, ERR_MPM_INHERITED, ERR_MPM_ENTRY_NOT_FOUND,
   *   ERR_MPM_ENTRY_FAILED, ERR_MPM_ENTRY_SHAPE, ERR_MPM_ENTRY_TYPESCRIPT, ERR_MPM_PROTOCOL, ERR_MPM_NO_LISTEN,
   *   ERR_MPM_NO_EPOLL, ERR_MPM_ADMIN_IN_USE, ERR_MPM_ADMIN_TOKEN, ERR_MPM_ACCESS_LOG or
   *   ERR_MPM_SPILL_FOLDER
   */
  listen(): Promise<readonly ListenAddress[]>;
  readonly addresses: readonly ListenAddress[];
  readonly adminAddress: ListenAddress | null;
  /**
   * Drains: it is not ready any more, new clients are served for another drainDelay; then no new
   * clients, idle ones are let go, requests finish, within gracefulShutdownTimeout.
   * A further call with `force` ends at once.
   */
  close(options?: CloseOptions): Promise<void>;
  /**
   * Takes over other directives and opens the access log anew. What can change while the server runs
   * does so at once; what workers read at their start comes with a new generation of them, for which
   * this waits; what belongs to sockets and memory stays as it is and is named in the result. Without an
   * argument only the log is opened anew.
   * @param directives complete, as `resolveDirectives` gives them
   * @throws what kept the new generation from loading; the older one goes on with the older directives
   */
  reload(directives?: Directives): Promise<Reloaded>;
  /**
   * A new generation of workers with fresh application code. Old ones retire when the new are ready; no
   * connection is closed. Resolves when no old one takes requests any more.
   * @throws an Error with code ERR_MPM_ENTRY_FAILED or another that `listen` knows; the old ones go on
   */
  restartWorkers(): Promise<void>;
  /** One worker more (1) or fewer (-1) than the load asks for; returns how many serve. */
  adjustWorkers(by: 1 | -1): number;
  /** Lines of the access log go into a newly opened file from their next write on. For rotation. */
  reopenLogs(): void;
}
