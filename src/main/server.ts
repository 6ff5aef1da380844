/**
 * The server as a program sees it: made from directives, listening, drained, closed.
 *
 * Role: puts scoreboard, listener, children and admin thread together and orders start and stop.
 * Thread: main.
 */

import { lookup } from 'node:dns/promises';
import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import type { ListenAddress } from '../listener/acceptor.ts';
import { Listener } from '../listener/listener.ts';
import { loadNative, type Native, Region } from '../listener/native.ts';
import { EpollPoller } from '../listener/poller.ts';
import { CHILD, HEADER, Phase } from '../scoreboard/layout.ts';
import { Scoreboard } from '../scoreboard/scoreboard.ts';
import { STDOUT } from '../workers/access-log/log-file.ts';
import type { LogSettings } from '../workers/access-log/log-writer.ts';
import type { WorkerOptions } from '../workers/context.ts';
import { type ActionTargets, perform } from './admin/actions.ts';
import { startAdmin } from './admin.ts';
import { Children, childSlotsFor } from './children.ts';
import { openFilesFor } from './config/capacity.ts';
import type { Directives } from './config/directives.ts';
import { isSecret, LEAST_SECRET_CHARACTERS } from './config/kinds.ts';
import { thisMachine } from './config/machine.ts';
import { checkLog, ListenerLog } from './listener-log.ts';
import { VERSION } from './version.ts';

export type { ListenAddress } from '../listener/acceptor.ts';

export interface ServerOptions {
  /** Module or folder to serve. */
  readonly entry: string;
  readonly directives: Directives;
}

export interface CloseOptions {
  /** End at once: what is unfinished is lost. */
  readonly force?: boolean;
}

/** Emits `error` with an Error that has a `code` when it cannot go on. */
export interface MpmServer extends EventEmitter {
  /**
   * Resolves when the sockets listen and the first child is ready.
   * @throws an Error with code ERR_MPM_ADDRESS_IN_USE, ERR_MPM_ADDRESS, ERR_MPM_ENTRY_NOT_FOUND,
   *   ERR_MPM_ENTRY_FAILED, ERR_MPM_ENTRY_SHAPE, ERR_MPM_NO_EPOLL, ERR_MPM_ADMIN_IN_USE,
   *   ERR_MPM_ADMIN_TOKEN or ERR_MPM_ACCESS_LOG
   */
  listen(): Promise<readonly ListenAddress[]>;
  readonly addresses: readonly ListenAddress[];
  readonly adminAddress: ListenAddress | null;
  /**
   * Drains: no new clients, idle ones are let go, requests finish, within gracefulShutdownTimeout.
   * A further call with `force` ends at once.
   */
  close(options?: CloseOptions): Promise<void>;
  /** Lines of the access log go into a newly opened file from their next write on. For rotation. */
  reopenLogs(): void;
}

/** A new server; nothing happens before `listen`. */
export function createServer(options: ServerOptions): MpmServer {
  return new Server(options);
}

/** How long the last lines may take when the server has ended: drained, or by force. */
const LAST_LINES_MS = 5_000;
const LAST_LINES_FORCED_MS = 1_000;

type Admin = Awaited<ReturnType<typeof startAdmin>>;

class Server extends EventEmitter implements MpmServer {
  readonly #entry: string;
  #directives: Directives;
  #native: Native | null = null;
  #listener: Listener | null = null;
  #children: Children | null = null;
  #admin: Admin | null = null;
  #log: ListenerLog | null = null;
  #closing: Promise<void> | null = null;
  #force: (() => void) | null = null;
  #forced = false;

  constructor({ entry, directives }: ServerOptions) {
    super();
    this.#entry = resolve(entry);
    this.#directives = directives;
  }

  get addresses(): readonly ListenAddress[] {
    return this.#listener?.addresses ?? [];
  }

  get adminAddress(): ListenAddress | null {
    return this.#admin?.address ?? null;
  }

  async listen(): Promise<readonly ListenAddress[]> {
    if (this.#native !== null) throw new Error('listen was called before');
    const directives = this.#directives;
    const native = loadNative();
    this.#native = native;
    if ((await stat(this.#entry).catch(() => null)) === null) {
      throw coded('ERR_MPM_ENTRY_NOT_FOUND', `${this.#entry} does not exist`);
    }
    const accessLog = logSettings(directives);
    if (accessLog !== null) checkLog(accessLog.target);
    const board = Scoreboard.create(
      {
        connectionSlots: directives.maxConnections,
        childSlots: childSlotsFor(directives.maxRequestWorkers),
        bufferBytes: directives.connectionBufferBytes,
      },
      accessLog !== null,
      directives.extendedStatus,
    );
    if (accessLog !== null && board.log !== null) {
      this.#log = new ListenerLog(board, board.log, accessLog, native.familyIpv6);
    }
    const batch = new Int32Array(native.ticketWords * native.maxBatch);
    native.attach(Region.board, board.bytes);
    native.attach(Region.batch, new Uint8Array(batch.buffer));
    const listenerOptions = {
      keepAliveTimeoutMs: directives.keepAliveTimeoutMs,
      timeoutMs: directives.timeoutMs,
      requestHeader: directives.requestReadTimeout.header,
      requestBody: directives.requestReadTimeout.body,
      listenBacklog: directives.listenBacklog,
      reusePort: directives.reusePort,
      queueLimit: directives.queueLimit,
    };
    const poller = new EpollPoller(native, batch);
    const listener = new Listener(board, native, poller, listenerOptions, this.#log);
    this.#listener = listener;
    try {
      await this.#bind(listener);
      if (directives.admin !== null) await this.#startAdmin(board, directives.admin);
      listener.start();
      this.#children = new Children(board, listener, native, {
        ...directives,
        entry: this.#entry,
        worker: workerOptions(directives, accessLog),
      });
      await this.#children.start();
    } catch (error) {
      await this.#end();
      throw error;
    }
    // A stop may have begun meanwhile.
    if (this.#closing === null) {
      board.setHeader(HEADER.phase.offset, Phase.running);
      listener.open();
    }
    return this.addresses;
  }

  async #bind(listener: Listener): Promise<void> {
    for (const { host, port } of this.#directives.listen) {
      if (host === '::') {
        bindEverywhere(listener, port);
        continue;
      }
      const { address } = await lookup(host).catch(() => {
        throw coded('ERR_MPM_ADDRESS', `listen ${host}:${port}: the host name is unknown`);
      });
      listener.listen(address, port, true);
    }
  }

  async #startAdmin(board: Scoreboard, { host, port }: { host: string; port: number }) {
    const directives = this.#directives;
    this.#admin = await startAdmin({
      shared: board.shared,
      host,
      port,
      version: VERSION,
      limits: directives,
      token: readToken(directives.adminToken),
      act: (action) => perform(action, this.#actionTargets(board)),
      onError: (error: Error) => process.stderr.write(`hybrid-mpm: admin: ${error.message}\n`),
    });
  }

  /** Before the server serves and while it ends there is nothing to act upon. */
  #actionTargets(board: Scoreboard): ActionTargets {
    return {
      directives: () => this.#directives,
      apply: async (directives) => this.#configure(directives),
      recycle: (slot) => this.#closing === null && this.#children?.recycle(slot) === true,
      hasWorker: (slot) => slot < board.childSlots && board.child(slot, CHILD.life) !== 0,
      close: (slot, incarnation) => this.#listener?.closeConnection(slot, incarnation) ?? 'gone',
    };
  }

  #configure(directives: Directives): void {
    this.#directives = directives;
    const { keepAliveTimeoutMs } = directives;
    this.#listener?.configure({ keepAliveTimeoutMs });
    const { minSpareThreads, maxSpareThreads, maxConnectionsPerChild } = directives;
    this.#children?.configure({ minSpareThreads, maxSpareThreads, maxConnectionsPerChild });
    this.#admin?.configure(directives);
  }

  reopenLogs(): void {
    this.#log?.reopen();
  }

  close({ force = false }: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#drain();
    if (force) {
      this.#forced = true;
      this.#force?.();
    }
    return this.#closing;
  }

  async #drain(): Promise<void> {
    const listener = this.#listener;
    if (listener === null || this.#native === null) return;
    const forced = new Promise<void>((resolveForced) => {
      this.#force = resolveForced;
    });
    const bound = this.#directives.gracefulShutdownTimeoutMs;
    let timer: NodeJS.Timeout | null = null;
    const expired =
      bound === 0
        ? forced
        : new Promise<void>((resolveExpired) => {
            timer = setTimeout(resolveExpired, bound);
          });
    const graceful = async () => {
      await listener.drain();
      await this.#children?.retireAll();
    };
    await Promise.race([graceful(), forced, expired]);
    if (timer !== null) clearTimeout(timer);
    await this.#end();
  }

  async #end(): Promise<void> {
    await this.#children?.destroy();
    this.#listener?.stop();
    // No worker is left to write what they have published.
    this.#log?.finish(this.#forced ? LAST_LINES_FORCED_MS : LAST_LINES_MS);
    this.#log = null;
    if (this.#native !== null) this.#children?.closeDescriptors(this.#native);
    await this.#admin?.stop();
    this.#admin = null;
  }
}

/** A dual-stack socket, or IPv4 alone where the machine has no IPv6. */
function bindEverywhere(listener: Listener, port: number): void {
  try {
    listener.listen('::', port, false);
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_MPM_ADDRESS') throw error;
    listener.listen('0.0.0.0', port, false);
  }
}

/** @throws an Error with code ERR_MPM_ADMIN_TOKEN */
function readToken(given: string | null): string | null {
  if (given === null || !given.startsWith('@')) return given;
  const file = resolve(given.slice(1));
  let first: string;
  try {
    first = (readFileSync(file, 'utf8').split('\n', 1)[0] as string).trim();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw coded('ERR_MPM_ADMIN_TOKEN', `adminToken: ${file}: ${code ?? message}`);
  }
  if (isSecret(first)) return first;
  throw coded(
    'ERR_MPM_ADMIN_TOKEN',
    `adminToken: the first line of ${file} must have at least ${LEAST_SECRET_CHARACTERS} printable ASCII characters, without blanks`,
  );
}

function logSettings({ accessLog, logFormat }: Directives): LogSettings | null {
  if (accessLog === null) return null;
  // A worker may see another working directory; `stdout` is no path.
  return { target: accessLog === STDOUT ? STDOUT : resolve(accessLog), format: logFormat };
}

function workerOptions(directives: Directives, accessLog: LogSettings | null): WorkerOptions {
  return {
    limitRequestLine: directives.limitRequestLineBytes,
    limitRequestFieldSize: directives.limitRequestFieldSizeBytes,
    limitRequestFields: directives.limitRequestFields,
    limitRequestBody: directives.limitRequestBodyBytes,
    limitSpilledKb: Math.floor(directives.limitSpilledBodyBytes / 1024),
    keepAlive: directives.keepAlive,
    maxKeepAliveRequests: directives.maxKeepAliveRequests,
    maxConnectionsPerChild: directives.maxConnectionsPerChild,
    maxRequestsPerChild: directives.maxRequestsPerChild,
    server: SERVER_FIELD[directives.serverTokens],
    directPolling: directives.directPolling,
    // With one processor it would only keep the client from it.
    looksBeforeSleep: availableParallelism() > 1 ? LOOKS_BEFORE_SLEEP : 0,
    indexes: directives.indexes,
    sendFileRoot: directives.sendFileRoot,
    maxOpenFiles: openFilesFor(
      thisMachine(),
      directives.maxConnections,
      childSlotsFor(directives.maxRequestWorkers),
    ),
    accessLog,
  };
}

/** About 40 microseconds: what a sleep and a wake-up cost. */
const LOOKS_BEFORE_SLEEP = 100;

const SERVER_FIELD = { off: '', prod: 'hybrid-mpm', full: `hybrid-mpm/${VERSION}` } as const;

function coded(code: string, message: string): Error & { code: string } {
  return Object.assign(new Error(message), { code });
}
