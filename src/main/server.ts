/**
 * The server as a program sees it: made from directives, listening, drained, closed.
 *
 * Role: puts scoreboard, listener, children and admin thread together and orders start and stop.
 * Thread: main.
 */

import { randomUUID } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import type { ListenAddress } from '../listener/acceptor.ts';
import { Listener } from '../listener/listener.ts';
import { loadNative, type Native, Region } from '../listener/native.ts';
import type { ListenerOptions } from '../listener/options.ts';
import { EpollPoller } from '../listener/poller.ts';
import { monotonicMs } from '../scoreboard/clock.ts';
import { Phase } from '../scoreboard/codes.ts';
import { CHILD, HEADER } from '../scoreboard/layout.ts';
import { Scoreboard } from '../scoreboard/scoreboard.ts';
import { STDOUT } from '../workers/access-log/log-file.ts';
import type { LogSettings } from '../workers/access-log/log-writer.ts';
import type { WorkerOptions } from '../workers/context.ts';
import { type ActionTargets, perform } from './admin/actions.ts';
import { createSharedLimits, storeLimits } from './admin/shared-limits.ts';
import type { WorkerStatus } from './admin/worker-status.ts';
import { startAdmin } from './admin.ts';
import { AdoptedListens } from './adopted-listens.ts';
import { bindAddress } from './bind-address.ts';
import { Children, childSlotsFor } from './children/children.ts';
import type { ChildDeath } from './children/obituary.ts';
import { openFilesFor } from './config/capacity.ts';
import type { Directives } from './config/directives.ts';
import { isSecret, LEAST_SECRET_CHARACTERS } from './config/kinds.ts';
import { thisMachine } from './config/machine.ts';
import { changesBetween, type Reloaded, withOlder } from './config/reload.ts';
import { checkLog, ListenerLog } from './listener-log.ts';
import { SharedBuffers } from './shared-buffers.ts';
import { VERSION } from './version.ts';

export type { ListenAddress } from '../listener/acceptor.ts';
export type { ChildDeath, DeathReason } from './children/obituary.ts';
export type { Reloaded } from './config/reload.ts';

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
  readonly #script: ScriptOptions | null;
  readonly #inherited: readonly InheritedSocket[];
  /** That there are slots for. */
  #mostWorkers = 0;
  /** Servers of one process do not hear each other's children. */
  readonly #metricsChannel = `hybrid-mpm-metrics-${randomUUID()}`;
  #native: Native | null = null;
  #listener: Listener | null = null;
  #children: Children | null = null;
  /** Null: there is no such pool. */
  #lengthy: Children | null = null;
  #admin: Admin | null = null;
  #log: ListenerLog | null = null;
  /** What status pages of workers are made from. */
  readonly #workerStatus: WorkerStatus;
  #closing: Promise<void> | null = null;
  #force: (() => void) | null = null;
  #forced = false;

  constructor({ entry, directives, script, inherited = [] }: ServerOptions) {
    super();
    this.#entry = resolve(entry);
    this.#directives = directives;
    this.#script = script ?? null;
    this.#inherited = inherited;
    this.#workerStatus = {
      version: VERSION,
      limits: createSharedLimits(directives),
      startedMs: monotonicMs(),
    };
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
    this.#mostWorkers = directives.maxRequestWorkers;
    const accessLog = logSettings(directives);
    if (accessLog !== null) checkLog(accessLog.target);
    if (directives.spillFolder !== null) checkSpillFolder(native, directives.spillFolder);
    const board = Scoreboard.create(
      {
        connectionSlots: directives.maxConnections,
        childSlots: childSlotsIn(directives),
        lengthySlots: childSlotsFor(directives.lengthyWorkers),
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
    const poller = new EpollPoller(native, batch);
    const listener = new Listener(board, native, poller, listenerOptions(directives), this.#log);
    this.#listener = listener;
    try {
      if (this.#inherited.length > 0) {
        for (const { fd, name } of this.#inherited) listener.adopt(fd, name);
      } else if (this.#script?.ownAddress !== true) await this.#bind(listener);
      if (directives.admin !== null) await this.#startAdmin(board, directives.admin);
      listener.start();
      const common = {
        ...directives,
        entry: this.#entry,
        script: this.#script === null ? null : this.#script.arguments,
        listens: new AdoptedListens(
          listener,
          listener.addresses.filter(({ protocol }) => protocol === undefined),
        ),
        shared: new SharedBuffers(),
        worker: this.#workerOptions(directives),
        metricsChannel: directives.admin === null ? null : this.#metricsChannel,
      };
      const onDeath = (death: ChildDeath) => this.emit('childDied', death);
      this.#children = new Children(board, listener, native, common);
      this.#children.onDeath = onDeath;
      if (directives.lengthyWorkers > 0) {
        const lengthy = { ...common, ...lengthyLimits(directives), lengthy: true };
        this.#lengthy = new Children(board, listener, native, lengthy);
        this.#lengthy.onDeath = onDeath;
      }
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
    const sessions = sessionsIn(this.#directives);
    for (const { host, port, protocol: name } of this.#directives.listen) {
      const protocol = name === undefined ? null : { name, number: sessions.indexOf(name) + 1 };
      const { address } = await lookup(host).catch(() => {
        throw coded('ERR_MPM_ADDRESS', `listen ${host}:${port}: the host name is unknown`);
      });
      bindAddress(listener, address, port, protocol);
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
      metricsChannel: this.#metricsChannel,
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
      recycle: (slot) =>
        this.#closing === null &&
        [this.#children, this.#lengthy].some((pool) => pool?.recycle(slot) === true),
      hasWorker: (slot) => slot < board.childSlots && board.child(slot, CHILD.life) !== 0,
      close: (slot, incarnation) => this.#listener?.closeConnection(slot, incarnation) ?? 'gone',
    };
  }

  /** What takes effect at once does. */
  #configure(directives: Directives): void {
    this.#directives = directives;
    this.#listener?.configure(listenerOptions(directives));
    this.#children?.configure(directives);
    this.#lengthy?.configure({ ...directives, ...lengthyLimits(directives) });
    this.#admin?.configure(directives);
    storeLimits(this.#workerStatus.limits, directives);
  }

  reopenLogs(): void {
    this.#log?.reopen();
  }

  async reload(directives: Directives = this.#directives): Promise<Reloaded> {
    const { children } = this.#running();
    this.reopenLogs();
    const { accepted, ...changes } = changesBetween(
      this.#directives,
      directives,
      this.#mostWorkers,
    );
    const before = this.#directives;
    this.#configure(accepted);
    if (changes.restarted.length > 0) {
      try {
        await this.#restartAll(this.#workerOptions(accepted));
      } catch (error) {
        // Children that are started from now on are to agree with those that stayed.
        const options = this.#workerOptions(before);
        children.useOptions(options);
        this.#lengthy?.useOptions(options);
        this.#directives = withOlder(accepted, before);
        throw error;
      }
    }
    return changes;
  }

  #workerOptions(directives: Directives): WorkerOptions {
    const options = workerOptions(directives, logSettings(directives), this.#workerStatus);
    // In place of the addresses, and for HTTP.
    return this.#inherited.length > 0 ? { ...options, sessions: [], http: true } : options;
  }

  async restartWorkers(): Promise<void> {
    this.#running();
    await this.#restartAll();
  }

  /** Lengthy workers follow those whose code is known to load. */
  async #restartAll(options?: WorkerOptions): Promise<void> {
    await this.#children?.restartAll(options);
    if (options !== undefined) this.#lengthy?.useOptions(options);
    // One that is at a request ends after it, and nobody waits for that.
    this.#lengthy?.restartAll().catch(() => {});
  }

  adjustWorkers(by: 1 | -1): number {
    return this.#running().children.adjust(by);
  }

  #running(): { listener: Listener; children: Children } {
    const listener = this.#listener;
    const children = this.#children;
    if (listener === null || children === null || this.#closing !== null) {
      throw coded('ERR_MPM_NOT_RUNNING', 'the server does not run');
    }
    return { listener, children };
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
    const running = listener.isOpen;
    listener.announceStop();
    // Whoever sends clients here takes a while to notice; a server that never was ready has none.
    if (running) await elapsed(this.#directives.drainDelayMs, forced);
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
      await Promise.all([this.#children?.retireAll(), this.#lengthy?.retireAll()]);
    };
    await Promise.race([graceful(), forced, expired]);
    if (timer !== null) clearTimeout(timer);
    await this.#end();
  }

  async #end(): Promise<void> {
    await Promise.all([this.#children?.destroy(), this.#lengthy?.destroy()]);
    this.#listener?.stop();
    // No worker is left to write what they have published.
    this.#log?.finish(this.#forced ? LAST_LINES_FORCED_MS : LAST_LINES_MS);
    this.#log = null;
    if (this.#native !== null) {
      this.#children?.closeDescriptors(this.#native);
      this.#lengthy?.closeDescriptors(this.#native);
    }
    await this.#admin?.stop();
    this.#admin = null;
  }
}

/** Resolves after so long, or before with `sooner`. */
async function elapsed(milliseconds: number, sooner: Promise<void>): Promise<void> {
  if (milliseconds === 0) return;
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolveOver) => {
    timer = setTimeout(resolveOver, milliseconds);
  });
  await Promise.race([over, sooner]);
  clearTimeout(timer);
}

function listenerOptions(directives: Directives): ListenerOptions {
  return {
    keepAliveTimeoutMs: directives.keepAliveTimeoutMs,
    timeoutMs: directives.timeoutMs,
    requestHeader: directives.requestReadTimeout.header,
    requestBody: directives.requestReadTimeout.body,
    listenBacklog: directives.listenBacklog,
    reusePort: directives.reusePort,
    queueLimit: directives.queueLimit,
    queueTimeoutMs: directives.queueTimeoutMs,
    lengthyQueueTimeoutMs: directives.lengthyQueueTimeoutMs,
    lengthyCancel: directives.lengthyCancel,
    sessions: sessionsIn(directives).length > 0,
  };
}

/** Session protocols that addresses name, in the order of their numbers. */
const sessionsIn = ({ listen }: Directives): readonly string[] => [
  ...new Set(listen.flatMap(({ protocol }) => protocol ?? [])),
];

/** Child slots of both pools. */
const childSlotsIn = ({ maxRequestWorkers, lengthyWorkers }: Directives): number =>
  childSlotsFor(maxRequestWorkers) + childSlotsFor(lengthyWorkers);

/** What of the limits on workers is another number in the lengthy pool. */
const lengthyLimits = ({ lengthyWorkers }: Directives) => ({
  startServers: 0,
  minSpareThreads: 0,
  maxSpareThreads: 0,
  maxRequestWorkers: lengthyWorkers,
});

function checkSpillFolder(native: Native, folder: string): void {
  const fd = native.temporaryFile(folder);
  if (fd < 0) {
    const [name] = getSystemErrorMap().get(fd) ?? [`errno ${-fd}`];
    throw coded(
      'ERR_MPM_SPILL_FOLDER',
      `spillFolder ${folder}: no file can be made there: ${name}`,
    );
  }
  native.close(fd);
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

function workerOptions(
  directives: Directives,
  accessLog: LogSettings | null,
  workerStatus: WorkerStatus,
): WorkerOptions {
  const { statusPath } = directives;
  return {
    limitRequestLine: directives.limitRequestLineBytes,
    limitRequestFieldSize: directives.limitRequestFieldSizeBytes,
    limitRequestFields: directives.limitRequestFields,
    limitRequestBody: directives.limitRequestBodyBytes,
    limitSpilledKb: Math.floor(directives.limitSpilledBodyBytes / 1024),
    spill:
      directives.spillFolder === null
        ? null
        : {
            folder: directives.spillFolder,
            limitKb: Math.floor(directives.limitSpillFolderBytes / 1024),
          },
    keepAlive: directives.keepAlive,
    maxKeepAliveRequests: directives.maxKeepAliveRequests,
    requestDeadlineMs: directives.requestDeadlineMs,
    server: SERVER_FIELD[directives.serverTokens],
    directPolling: directives.directPolling,
    // With one processor it would only keep the client from it.
    looksBeforeSleep: availableParallelism() > 1 ? LOOKS_BEFORE_SLEEP : 0,
    indexes: directives.indexes,
    sendFileRoot: directives.sendFileRoot,
    proxyProtocol: directives.proxyProtocol,
    trustProxy:
      directives.trustProxy.length === 0
        ? null
        : { networks: directives.trustProxy, header: directives.trustProxyHeader },
    maxOpenFiles: openFilesFor(thisMachine(), directives.maxConnections, childSlotsIn(directives)),
    lengthy:
      directives.lengthyWorkers === 0
        ? null
        : {
            queueLimit: directives.lengthyQueueLimit,
            cancel: directives.lengthyCancel,
            nice: directives.lengthyNice,
          },
    accessLog,
    sessions: sessionsIn(directives),
    http: directives.listen.some(({ protocol }) => protocol === undefined),
    timeoutMs: directives.timeoutMs,
    gracefulShutdownTimeoutMs: directives.gracefulShutdownTimeoutMs,
    proxy: directives.proxy,
    status:
      statusPath === null
        ? null
        : {
            path: statusPath,
            allow: directives.statusAllow,
            proxyTrusted: directives.trustProxy.length > 0,
            renderer: new URL('./admin/worker-status.js', import.meta.url).href,
            source: workerStatus,
          },
  };
}

/** About 40 microseconds: what a sleep and a wake-up cost. */
const LOOKS_BEFORE_SLEEP = 100;

const SERVER_FIELD = { off: '', prod: 'hybrid-mpm', full: `hybrid-mpm/${VERSION}` } as const;

function coded(code: string, message: string): Error & { code: string } {
  return Object.assign(new Error(message), { code });
}
