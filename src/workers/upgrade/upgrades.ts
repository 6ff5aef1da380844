/**
 * The upgraded connections of one worker.
 *
 * Role: has each from its upgrade to the end of its socket: counts and logs it, gives it back to the
 * listener, and sees to it that none outlives the worker's retirement. One that becomes a tunnel of the
 * reverse proxy goes to the listener as it is.
 * Thread: one worker. While a connection is here its socket owns a duplicate of the descriptor, and
 * nobody reads or writes the slot's. May not: close that one; the listener does, when it got it back.
 *
 * At retirement, and when the server stops, the application is told once its other requests have
 * ended. One that does not listen has its WebSockets sent a close frame (1001, going away: RFC 6455,
 * section 7.4.1) and its other sockets ended. What is left after half of the time to retire is treated
 * so as well, and destroyed after three quarters of it.
 */
import { performance } from 'node:perf_hooks';
import { Aborted } from '../../scoreboard/aborted.ts';
import { nowTicks } from '../../scoreboard/clock.ts';
import { Phase } from '../../scoreboard/codes.ts';
import { CHILD, SLOT } from '../../scoreboard/layout.ts';
import { countRequest, NO_SERIES } from '../../scoreboard/request-counters.ts';
import { ConnectionEvent } from '../../scoreboard/states.ts';
import { Outcome } from '../../scoreboard/transition.ts';
import type { WorkerContext } from '../context.ts';
import { takesUpgrades } from '../exchange.ts';
import { type FarSide, toListener } from './to-listener.ts';
import type { UpgradeSocket } from './upgrade-socket.ts';

/** How often traffic is counted, and a stop of the server looked for. */
const PERIOD_MS = 250;
/** Time to retire where gracefulShutdownTimeout sets none: as long as ws waits for a close frame. */
const RETIREMENT_MS = 30_000;
/** A last frame from a server: 1001, going away. */
const GOING_AWAY = Buffer.from([0x88, 0x02, 0x03, 0xe9]);

/** A connection that has just become another protocol's. */
export interface Upgraded {
  readonly slot: number;
  /** Its state word, which nobody else moves while this worker lives. */
  readonly word: number;
  readonly socket: UpgradeSocket;
  /** Of its request. */
  readonly method: string;
  /** WebSocket was asked for. */
  readonly websocket: boolean;
  /** When its request began, `performance.now()`. */
  readonly startedMs: number;
  /** What `RequestLog` began for it, '' without an access log. */
  readonly line: string;
  /** False: a session was upgraded, so that no response is waited for and none is counted. */
  readonly isRequest?: boolean;
}

interface Entry extends Upgraded {
  countedRead: number;
  countedWritten: number;
  /** Its end was asked for by this part. */
  ending: boolean;
}

export class Upgrades {
  readonly #context: WorkerContext;
  readonly #onEmpty: () => void;
  readonly #entries = new Set<Entry>();
  #ticker: NodeJS.Timeout | null = null;
  #retiringSinceMs = -1;
  /** The application was told, or there is nobody to tell. */
  #told = false;

  /** @param onEmpty called when the last of them has ended */
  constructor(context: WorkerContext, onEmpty: () => void) {
    this.#context = context;
    this.#onEmpty = onEmpty;
  }

  get size(): number {
    return this.#entries.size;
  }

  add(upgraded: Upgraded): void {
    const entry: Entry = { ...upgraded, countedRead: 0, countedWritten: 0, ending: false };
    this.#entries.add(entry);
    this.#context.setWord(CHILD.upgraded, this.#entries.size);
    const { slot, method, socket, startedMs, isRequest = true } = upgraded;
    if (isRequest)
      socket.onAnswered = (status) => {
        const { board, child } = this.#context;
        const tookMs = performance.now() - startedMs;
        const series = board.series?.seriesOf(method, '', status) ?? NO_SERIES;
        countRequest(board, child, status, tookMs, series);
        board.requests?.end(slot, status, tookMs);
        this.#context.setWord(CHILD.lifeRequests, this.#context.getWord(CHILD.lifeRequests) + 1);
      };
    socket.toListener = (far) => this.#toListener(entry, far);
    socket.once('close', () => this.#closed(entry));
    // Sockets that are idle are no reason to look; a worker has its eventfd to stay alive for.
    this.#ticker ??= setInterval(() => this.#tick(), PERIOD_MS).unref();
  }

  #toListener(entry: Entry, far: FarSide): boolean {
    // One that was asked to end has been told so, or will say nothing more.
    if (entry.ending || !this.#entries.has(entry)) return false;
    this.#countTraffic(entry);
    if (!toListener(this.#context, entry, far)) return false;
    this.#forget(entry);
    return true;
  }

  #closed(entry: Entry): void {
    if (!this.#entries.has(entry)) return;
    const { board, log } = this.#context;
    const { slot, word, socket, line, startedMs, isRequest = true } = entry;
    this.#countTraffic(entry);
    const answered = !isRequest || socket.status !== 0;
    if (!answered) this.#context.add(CHILD.aborted, 1);
    if (line !== '') {
      const durationMs = performance.now() - startedMs;
      const aborted = answered ? Aborted.no : Aborted.byServer;
      log?.end(line, socket.status, socket.payloadBytes, durationMs, aborted);
    }
    board.setSlot(slot, SLOT.sinceTicks, nowTicks());
    // Otherwise the listener has taken it, which it does when it believes this worker to be dead.
    if (board.move(slot, word, ConnectionEvent.close) === Outcome.moved) {
      this.#context.handBack(slot);
    }
    this.#forget(entry);
  }

  #forget(entry: Entry): void {
    this.#entries.delete(entry);
    this.#context.setWord(CHILD.upgraded, this.#entries.size);
    if (this.#entries.size > 0) return;
    if (this.#ticker !== null) clearInterval(this.#ticker);
    this.#ticker = null;
    this.#onEmpty();
  }

  #countTraffic(entry: Entry): void {
    const context = this.#context;
    const { bytesRead, bytesWritten } = entry.socket;
    const received = bytesRead - entry.countedRead;
    const sent = bytesWritten - entry.countedWritten;
    if (received === 0 && sent === 0) return;
    entry.countedRead = bytesRead;
    entry.countedWritten = bytesWritten;
    const slotIndex = context.board.slotIndex(entry.slot);
    context.add(CHILD.receivedBytes, received);
    context.add(CHILD.sentBytes, sent);
    context.addToSlot(slotIndex, SLOT.receivedBytes, received);
    context.addToSlot(slotIndex, SLOT.sentBytes, sent);
  }

  #tick(): void {
    const { phase, options } = this.#context;
    const oldestMs = performance.now() - options.timeoutMs;
    for (const entry of this.#entries) {
      this.#countTraffic(entry);
      // Taken, and never answered.
      if (entry.isRequest === false || entry.socket.status !== 0) continue;
      if (entry.startedMs < oldestMs) entry.socket.destroy();
    }
    if (phase === Phase.draining || this.#retiringSinceMs >= 0) {
      this.retire(this.#context.getWord(CHILD.pinned) > 0);
    }
  }

  /**
   * The worker retires, or the server stops. To be called again as time passes; this part does so by
   * itself every quarter of a second.
   * @param busy other requests are unfinished
   */
  retire(busy: boolean): void {
    if (this.#entries.size === 0) return;
    const { options, handler } = this.#context;
    const now = performance.now();
    if (this.#retiringSinceMs < 0) this.#retiringSinceMs = now;
    const passedMs = now - this.#retiringSinceMs;
    const boundMs = options.gracefulShutdownTimeoutMs || RETIREMENT_MS;
    const late = passedMs >= boundMs / 2;
    let alone = late;
    if (!this.#told && (late || !busy)) {
      this.#told = true;
      alone ||= !takesUpgrades(handler) || !handler.shutDown();
    }
    if (!alone) return;
    const overdue = passedMs >= (boundMs * 3) / 4;
    for (const { socket } of [...this.#entries].filter((entry) => this.#isDue(entry, overdue))) {
      socket.destroy();
    }
  }

  /** Asks a socket to end; true: that was long ago. */
  #isDue(entry: Entry, overdue: boolean): boolean {
    if (!entry.ending) {
      entry.ending = true;
      const { socket, websocket } = entry;
      if (!socket.writable) return overdue;
      // A whole frame between two whole frames, since applications write theirs in one go.
      if (websocket && socket.status === 101) socket.write(GOING_AWAY);
      else socket.end();
    }
    return overdue;
  }
}
