/**
 * What all connections of one worker share.
 *
 * Role: the worker's views, limits, scratch memory and counters, in one object made once.
 * Thread: one worker.
 */
import { performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';

import { type Native, Region } from '../listener/native.ts';
import { CHILD, HEADER } from '../scoreboard/layout.ts';
import { Call, Notified, notify } from '../scoreboard/notices.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { FLAG_END, FLAG_HANGUP } from '../scoreboard/transition.ts';
import { handBack, handBackLater, wakeLowestIdle } from '../scoreboard/wake.ts';
import type { LogSettings } from './access-log/log-writer.ts';
import { BlockPool } from './block-pool.ts';
import { BufferStore } from './buffer-store.ts';
import type { Handler } from './exchange.ts';
import { logHandlerError } from './handler-error.ts';
import { RequestParser } from './http1/request-parser.ts';
import { ResponseHeads } from './http1/response-head.ts';
import type { LengthyRoutes } from './lengthy/lengthy-routes.ts';
import { ProxyHeaders } from './proxy/proxy-headers.ts';
import { TrustedProxies, type TrustSettings } from './proxy/trusted-proxies.ts';
import type { RawBuffer } from './raw-buffer.ts';
import { RequestLog } from './request-log.ts';
import { RequestRecorder } from './request-recorder.ts';
import type { ProxyRoute } from './reverse-proxy/options.ts';
import type { LoadedProtocol } from './session/load.ts';
import { incarnationOfSession, slotOfSession } from './session/session-id.ts';
import type { StatusSettings } from './status/status-handler.ts';

/** Limits and switches a worker needs; from the directives. */
export interface WorkerOptions {
  readonly limitRequestLine: number;
  readonly limitRequestFieldSize: number;
  readonly limitRequestFields: number;
  /** Bytes, 0: unlimited. */
  readonly limitRequestBody: number;
  /** KiB of response bodies in memory files, all workers together. */
  readonly limitSpilledKb: number;
  /** The folder that takes what has no room there, and how much of it; null: none. */
  readonly spill: { readonly folder: string; readonly limitKb: number } | null;
  readonly keepAlive: boolean;
  /** Requests on one connection, 0: unlimited. */
  readonly maxKeepAliveRequests: number;
  /** Milliseconds until a response must have begun, 0: unlimited. */
  readonly requestDeadlineMs: number;
  /** Value of the Server field, '' for none. */
  readonly server: string;
  /** A free worker polls for itself. */
  readonly directPolling: boolean;
  /** How often a leading worker polls in vain before it sleeps, about half a microsecond each. */
  readonly looksBeforeSleep: number;
  /** A folder without an index file is listed. */
  readonly indexes: boolean;
  /** Descriptors of static files that one worker may keep open between requests. */
  readonly maxOpenFiles: number;
  /** Null: no access log. */
  readonly accessLog: LogSettings | null;
  /** Folder of the files that X-Sendfile and its like may name; null: such fields mean nothing. */
  readonly sendFileRoot: string | null;
  /** Null: what proxies say is not heeded. */
  readonly trustProxy: TrustSettings | null;
  /** Networks whose connections begin with a PROXY header; none: nobody's do. */
  readonly proxyProtocol: readonly string[];
  /** Longest time without progress, milliseconds (Apache's Timeout). */
  readonly timeoutMs: number;
  /** Added to the nice value of a worker while its handler is known to be long, 0 .. 19. */
  readonly longHandlerNice: number;
  /** Null or none: there are no lengthy workers. */
  readonly lengthy?: LengthyOptions | null;
  /** Within which a worker retires, milliseconds, 0: no bound. */
  readonly gracefulShutdownTimeoutMs: number;
  /** Null: there is no status page among the application's paths. */
  readonly status: StatusSettings | null;
  /** Names of session protocols in the order of their numbers; none: HTTP/1.1 alone. */
  readonly sessions?: readonly string[];
  /** False: no address is for HTTP/1.1, so that the application needs no handler for it. */
  readonly http?: boolean;
  /** Paths that belong to upstreams. */
  readonly proxy?: readonly ProxyRoute[];
}

export interface LengthyOptions {
  /** Requests that may wait for a lengthy worker. */
  readonly queueLimit: number;
  /** One whose client shuts its side of the connection is cancelled. */
  readonly cancel: boolean;
  /** By how much these workers are nicer than the others, 0 .. 19. */
  readonly nice: number;
}

/** Scratch memory that responses are put together in. */
export const OUT_BYTES = 64 * 1024;

/** A connection as its worker's shared parts see it. */
export interface Corked {
  /** Sends what of this connection stands in the scratch memory. */
  flush(): void;
}

export class WorkerContext {
  readonly board: Scoreboard;
  readonly native: Native;
  readonly child: number;
  readonly options: WorkerOptions;
  readonly handler: Handler;
  /** In the order of their numbers. */
  readonly sessions: readonly LoadedProtocol[];
  readonly parser: RequestParser;
  readonly heads: ResponseHeads;
  readonly buffers: BufferStore;
  readonly blocks = new BlockPool();
  /** Null: no access log. */
  readonly log: RequestLog | null;
  /** Null: extendedStatus is off. */
  readonly recorder: RequestRecorder | null;
  /** Null: no proxy is trusted. */
  readonly proxies: TrustedProxies | null;
  /** Null: no connection begins with a PROXY header. */
  readonly proxyHeaders: ProxyHeaders | null;
  /** Null: no route is for other workers than this one. */
  readonly lengthyRoutes: LengthyRoutes | null;
  readonly out = Buffer.allocUnsafeSlow(OUT_BYTES) as RawBuffer;
  /** Bytes of `out` in use, and by whom. */
  outLength = 0;
  outOwner: Corked | null = null;
  /** A handler is being called. */
  handling = false;
  /** Milliseconds of `performance.now()`, taken at the last flush. */
  now = performance.now();
  /** int32 index of the child slot, and the same for its doubles. */
  readonly childIndex: number;
  readonly childDoubles: number;

  constructor(
    board: Scoreboard,
    native: Native,
    child: number,
    options: WorkerOptions,
    handler: Handler,
    sessions: readonly LoadedProtocol[] = [],
  ) {
    this.sessions = sessions;
    this.board = board;
    board.record = child;
    this.native = native;
    this.child = child;
    this.options = options;
    this.handler = handler;
    this.parser = new RequestParser({
      requestLine: options.limitRequestLine,
      fieldSize: options.limitRequestFieldSize,
      fields: options.limitRequestFields,
    });
    this.heads = new ResponseHeads(options.server);
    this.buffers = new BufferStore(board, child);
    this.childIndex = board.childIndex(child);
    this.childDoubles = this.childIndex >> 1;
    const { accessLog } = options;
    this.log =
      accessLog === null || board.log === null ? null : new RequestLog(this, board.log, accessLog);
    const { requests } = board;
    this.recorder = requests === null ? null : new RequestRecorder(board, requests, this.parser);
    const { trustProxy, proxyProtocol } = options;
    this.proxyHeaders =
      proxyProtocol.length === 0 ? null : new ProxyHeaders(board, native.familyIpv6, proxyProtocol);
    this.proxies =
      trustProxy === null ? null : new TrustedProxies(board, native.familyIpv6, trustProxy);
    this.lengthyRoutes = this.hasLengthy && !this.isLengthy ? (handler.lengthy ?? null) : null;
    native.attach(Region.board, board.bytes);
    native.attach(Region.buffers, board.buffers);
    native.attach(Region.out, this.out);
  }

  /** This is a worker of the lengthy pool: one connection at a time, and no part in polling. */
  get isLengthy(): boolean {
    return this.child >= this.board.lengthy.first;
  }

  get hasLengthy(): boolean {
    return (this.options.lengthy ?? null) !== null;
  }

  /** As many wait as may; others may just be adding theirs, so a few more can come in. */
  get lengthyIsFull(): boolean {
    return this.board.lengthy.queue.length >= (this.options.lengthy?.queueLimit ?? 0);
  }

  /** A lengthy request with these flags in its state word has lost its client. */
  isDeparted(flags: number): boolean {
    return (
      (flags & (this.options.lengthy?.cancel === true ? FLAG_HANGUP | FLAG_END : FLAG_HANGUP)) !== 0
    );
  }

  /** Scratch memory for `owner`; another connection's bytes leave first. */
  takeOut(owner: Corked): void {
    if (this.outOwner === owner) return;
    if (this.outOwner !== null && this.outLength > 0) this.outOwner.flush();
    this.outOwner = owner;
    this.outLength = 0;
  }

  /** Adds to one of this child's counters. */
  add(field: { readonly offset: number }, amount: number): void {
    const index = this.childDoubles + (field.offset >> 3);
    const { doubles } = this.board;
    doubles[index] = (doubles[index] as number) + amount;
  }

  /** Adds to a double of a connection slot that this worker owns. */
  addToSlot(slotIndex: number, field: { readonly offset: number }, amount: number): void {
    const index = (slotIndex >> 1) + (field.offset >> 3);
    const { doubles } = this.board;
    doubles[index] = (doubles[index] as number) + amount;
  }

  /** Milliseconds until the response to this request must have begun, 0: whenever. */
  deadlineMs(target: string): number {
    return this.handler.deadlines?.of(target) ?? this.options.requestDeadlineMs;
  }

  setWord(field: { readonly offset: number }, value: number): void {
    this.board.words[this.childIndex + (field.offset >> 2)] = value;
  }

  getWord(field: { readonly offset: number }): number {
    return this.board.words[this.childIndex + (field.offset >> 2)] as number;
  }

  /** Says how much memory this worker's JavaScript has. */
  storeHeap(): void {
    const { used_heap_size: used, external_memory: external } = getHeapStatistics();
    this.setWord(CHILD.heapUsedKb, used / 1024);
    this.setWord(CHILD.externalKb, external / 1024);
  }

  get phase(): number {
    return this.board.header(HEADER.phase.offset);
  }

  /** Gives a connection in closing to the listener. */
  handBack(slot: number): void {
    handBack(this.board, slot, (fd) => this.native.eventfdSignal(fd));
  }

  /** The same of one whose client has the end already. */
  handBackLater(slot: number): void {
    handBackLater(this.board, slot, (fd) => this.native.eventfdSignal(fd));
  }

  /** See `wake` in session/wake.ts. */
  wake(id: number): boolean {
    const { board, native } = this;
    const slot = slotOfSession(id);
    if (slot < 0 || slot >= board.connectionSlots) return false;
    const outcome = notify(board, slot, incarnationOfSession(id), Call.woken, performance.now());
    if (outcome === Notified.queued) {
      // Twice as many cells as slots; the listener finds it again should it ever be full.
      board.queue.push(slot);
      wakeLowestIdle(board, (fd) => native.eventfdSignal(fd));
    }
    return outcome !== Notified.stale;
  }

  /** So that the serving loop comes back although nobody signalled. */
  wakeSelf(): void {
    this.native.eventfdSignal(this.getWord(CHILD.wakeFd));
  }

  logError(error: unknown, method: string, target: string): void {
    logHandlerError(error, method, target);
  }
}
