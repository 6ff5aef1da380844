/**
 * One upstream of a proxy, as one worker has it.
 *
 * Role: its addresses and how it does; connections that were read to the end of a response wait here for
 * the next request.
 * Thread: one worker. The pool is the worker's own, since a connection's descriptor, its place in a poll
 * set and what was read ahead of it belong to one thread; a child that ends closes its idle ones.
 */
import { lookup } from 'node:dns';
import { isIP } from 'node:net';
import { TunnelUpstream, type UpstreamTable } from '../../scoreboard/upstreams.ts';
import type { Doorbell } from './doorbell.ts';
import type { ResponseHeadCache } from './head-caches.ts';
import type { ProxySettings, UpstreamAddress } from './options.ts';
import type { SocketOwner, Timed, UpstreamLoop, UpstreamSocket } from './upstream-loop.ts';

/** How long the addresses of a name are kept. */
const ADDRESSES_MS = 30_000;

/** What all proxies of a worker share. */
export interface ProxyRuntime {
  readonly loop: UpstreamLoop;
  readonly table: UpstreamTable;
  readonly child: number;
  readonly heads: ResponseHeadCache;
  readonly doorbell: Doorbell;
  readonly log: (line: string) => void;
}

/** A connection that waits for its next request: whatever its peer says now is its end. */
class IdleConnection implements SocketOwner {
  readonly socket: UpstreamSocket;
  /** `performance.now()` from which on it is not used any more. */
  readonly untilMs: number;
  readonly #upstream: Upstream;

  constructor(socket: UpstreamSocket, untilMs: number, upstream: Upstream) {
    this.socket = socket;
    this.untilMs = untilMs;
    this.#upstream = upstream;
  }

  onReady(readable: boolean): void {
    if (readable) this.#upstream.drop(this);
  }
}

export class Upstream implements Timed {
  readonly address: UpstreamAddress;
  /** Number in the table of upstreams. */
  readonly entry: number;
  readonly #runtime: ProxyRuntime;
  readonly #settings: ProxySettings;
  /** The newest last: it is the least likely to be closed. */
  readonly #idle: IdleConnection[] = [];
  #addresses: readonly string[];
  #resolvedMs = Number.NEGATIVE_INFINITY;
  #turn = 0;
  #waiting: ((addresses: readonly string[]) => void)[] = [];
  /** The first end of an idle connection, or sooner: nothing is done for each that is used again. */
  deadlineMs = Number.POSITIVE_INFINITY;

  constructor(runtime: ProxyRuntime, settings: ProxySettings, address: UpstreamAddress) {
    this.#runtime = runtime;
    this.#settings = settings;
    this.address = address;
    this.entry = runtime.table.indexOf(address.name);
    this.#addresses = isIP(address.host) === 0 ? [] : [address.host];
    if (this.#addresses.length > 0) this.#resolvedMs = Number.POSITIVE_INFINITY;
  }

  // ---- idle connections ---------------------------------------------------------------------------

  /**
   * An idle connection, null: there is none.
   * @param surely it is looked at once more; where a request can be repeated its end is found soon enough
   */
  take(surely: boolean): UpstreamSocket | null {
    for (;;) {
      const idle = this.#idle.pop();
      if (idle === undefined) return null;
      this.#forget();
      idle.socket.owner = null;
      if (!surely || idle.socket.isSilent) return idle.socket;
      idle.socket.close();
    }
  }

  /** @param hintSeconds what the upstream said of how long it keeps it, -1: nothing */
  give(socket: UpstreamSocket, hintSeconds: number): void {
    const { keepAliveConnections, keepAliveTimeoutMs } = this.#settings;
    // A second less than it says: its end and the next request would pass each other.
    const hintMs = hintSeconds < 0 ? Number.POSITIVE_INFINITY : (hintSeconds - 1) * 1000;
    const keptMs = Math.min(keepAliveTimeoutMs, hintMs);
    if (keepAliveConnections === 0 || keptMs <= 0 || socket.closed) {
      socket.close();
      return;
    }
    if (this.#idle.length >= keepAliveConnections) this.drop(this.#idle[0] as IdleConnection);
    const idle = new IdleConnection(socket, performance.now() + keptMs, this);
    socket.owner = idle;
    this.#idle.push(idle);
    if (this.deadlineMs === Number.POSITIVE_INFINITY) this.#runtime.loop.watchDeadline(this);
    if (idle.untilMs < this.deadlineMs) this.deadlineMs = idle.untilMs;
    this.#runtime.table.addIdle(this.entry, this.#runtime.child, 1);
  }

  /** Called by the connection: its peer has ended it, or has said what nobody asked for. */
  drop(idle: IdleConnection): void {
    const at = this.#idle.indexOf(idle);
    if (at < 0) return;
    this.#idle.splice(at, 1);
    this.#forget();
    idle.socket.close();
  }

  #forget(): void {
    this.#runtime.table.addIdle(this.entry, this.#runtime.child, -1);
  }

  onDeadline(): void {
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    for (const idle of [...this.#idle]) {
      if (now >= idle.untilMs) this.drop(idle);
      else next = Math.min(next, idle.untilMs);
    }
    this.deadlineMs = next;
    if (next === Number.POSITIVE_INFINITY) this.#runtime.loop.forgetDeadline(this);
  }

  closeIdle(): void {
    for (const idle of [...this.#idle]) this.drop(idle);
  }

  // ---- its addresses ------------------------------------------------------------------------------

  /** Calls back with one of its addresses, '' where its name has none; at once where it is known. */
  resolve(then: (address: string) => void): void {
    const now = performance.now();
    if (this.#addresses.length > 0 && now - this.#resolvedMs < ADDRESSES_MS) {
      then(this.#next());
      return;
    }
    this.#waiting.push(() => then(this.#next()));
    if (this.#waiting.length > 1) return;
    lookup(this.address.host, { all: true }, (error, found) => {
      // Those of before are better than none.
      if (error === null && found.length > 0) {
        this.#addresses = found.map(({ address }) => address);
        this.#resolvedMs = performance.now();
      }
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const go of waiting) go(this.#addresses);
    });
  }

  #next(): string {
    if (this.#addresses.length === 0) return '';
    return this.#addresses[this.#turn % this.#addresses.length] as string;
  }

  // ---- how it does --------------------------------------------------------------------------------

  /**
   * Takes one of the places that `maxRequests` bounds; false: all are taken. It is given back by `end`,
   * or by `leave` where nothing was begun.
   */
  admit(): boolean {
    const { table, child } = this.#runtime;
    const { maxRequests } = this.#settings;
    return maxRequests === 0 || table.takePlace(this.entry, child, maxRequests);
  }

  /** A request that was admitted begins. */
  begin(): void {
    this.#runtime.table.addActive(this.entry, this.#runtime.child, 1);
    this.#runtime.table.countRequest(this.entry, this.#runtime.child);
  }

  /** The same request on another connection, in the same place. */
  begunAgain(): void {
    this.#runtime.table.countRequest(this.entry, this.#runtime.child);
    this.retried();
  }

  end(): void {
    this.#runtime.table.addActive(this.entry, this.#runtime.child, -1);
    this.leave();
  }

  leave(): void {
    if (this.#settings.maxRequests === 0) return;
    const { table, child, doorbell } = this.#runtime;
    const next = table.givePlace(this.entry, child);
    if (next >= 0) doorbell.ring(next);
  }

  /** What whoever carries a tunnel gives back in the place of `end`, see `TunnelUpstream`. */
  get tunnel(): number {
    return TunnelUpstream.of(this.entry, this.entry >= 0 && this.#settings.maxRequests > 0);
  }

  succeeded(): void {
    this.#runtime.table.succeeded(this.entry);
  }

  failed(reason: string): void {
    const { table, child, log } = this.#runtime;
    const { maxFails, failTimeoutMs } = this.#settings;
    // A name may have several addresses, of which another may do.
    this.#turn++;
    table.countFailure(this.entry, child);
    if (table.failed(this.entry, maxFails, failTimeoutMs)) {
      log(
        `proxy: ${this.address.name} is left out for ${failTimeoutMs} ms after ${maxFails} failures (${reason})`,
      );
    }
  }

  /** Nobody here wants a place that may be free: others are told who do. */
  passOn(): void {
    const { table, child, doorbell } = this.#runtime;
    const next = table.nextWaiting(this.entry, child);
    if (next >= 0 && next !== child) doorbell.ring(next);
  }

  /** It is asked in the place of another one, or once more. */
  retried(): void {
    this.#runtime.table.countRetry(this.entry, this.#runtime.child);
  }

  /** So many requests of this worker wait for a place here. */
  setWaiting(count: number): void {
    this.#runtime.table.setWaiting(this.entry, this.#runtime.child, count);
  }

  waited(): void {
    this.#runtime.table.countWaited(this.entry, this.#runtime.child);
  }

  refused(): void {
    this.#runtime.table.countRefused(this.entry, this.#runtime.child);
  }

  /** Requests that wait for a place here, of all workers. */
  get waiting(): number {
    return this.#runtime.table.waiting(this.entry);
  }

  get isUp(): boolean {
    return this.#runtime.table.isUp(this.entry);
  }

  get active(): number {
    return this.#runtime.table.active(this.entry);
  }
}
