/**
 * The server as a program sees it: made from directives, listening, drained, closed.
 *
 * Role: puts scoreboard, listener, children and admin thread together and orders start and stop.
 * Thread: main.
 */

import { randomUUID } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { EventEmitter } from 'node:events';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { ListenAddress } from '../listener/acceptor.ts';
import { Listener } from '../listener/listener.ts';
import { loadNative, type Native, Region } from '../listener/native.ts';
import { EpollPoller } from '../listener/poller.ts';
import { monotonicMs } from '../scoreboard/clock.ts';
import { Phase } from '../scoreboard/codes.ts';
import { CHILD, HEADER } from '../scoreboard/layout.ts';
import { Scoreboard } from '../scoreboard/scoreboard.ts';
import type { WorkerOptions } from '../workers/context.ts';
import { type ActionTargets, perform } from './admin/actions.ts';
import { createSharedLimits, storeLimits } from './admin/shared-limits.ts';
import type { WorkerStatus } from './admin/worker-status.ts';
import { startAdmin } from './admin.ts';
import { AdoptedListens } from './adopted-listens.ts';
import { bindAddress } from './bind-address.ts';
import { Children, childSlotsFor } from './children/children.ts';
import type { ChildDeath } from './children/obituary.ts';
import { coded } from './coded.ts';
import type { Directives } from './config/directives.ts';
import { changesBetween, type Reloaded, withOlder } from './config/reload.ts';
import { checkLog, ListenerLog } from './listener-log.ts';
import type {
  CloseOptions,
  InheritedSocket,
  MpmServer,
  ScriptOptions,
  ServerOptions,
} from './mpm-server.ts';
import {
  childSlotsIn,
  lengthyLimits,
  listenerOptions,
  logSettings,
  sessionsIn,
  workerOptions,
} from './part-options.ts';
import { SharedBuffers } from './shared-buffers.ts';
import { checkSpillFolder, readToken } from './start-checks.ts';
import { VERSION } from './version.ts';

export type { ListenAddress } from '../listener/acceptor.ts';
export type { ChildDeath, DeathReason } from './children/obituary.ts';
export type { Reloaded } from './config/reload.ts';
export type {
  CloseOptions,
  InheritedSocket,
  MpmServer,
  ScriptOptions,
  ServerOptions,
} from './mpm-server.ts';

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
