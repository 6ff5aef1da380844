/**
 * The listener's part in the lengthy pool: what waits for it, and whose client has left.
 *
 * Role: closes queued connections whose clients left, answers 503 to those that waited for too long, puts
 * lost tickets back, and has workers started while something waits and nobody is idle.
 * Thread: the listener's.
 */
import { elapsedTicks, nowTicks } from '../scoreboard/clock.ts';
import { CloseReason } from '../scoreboard/codes.ts';
import { CHILD, SLOT } from '../scoreboard/layout.ts';
import { countRequest, NO_SERIES } from '../scoreboard/request-counters.ts';
import { requestLine } from '../scoreboard/request-line.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../scoreboard/states.ts';
import { FLAG_END, FLAG_HANGUP, flagsOf, ownerOf, stateOf } from '../scoreboard/transition.ts';
import { type Signal, wakeLowestIdle } from '../scoreboard/wake.ts';
import type { Closer } from './closer.ts';
import type { ListenerOptions } from './options.ts';

/** A ticket that is not in the ring after so long was lost with a worker. */
const UNTAKEN_MS = 500;

export class LengthyWatch {
  readonly #board: Scoreboard;
  readonly #closer: Closer;
  readonly #options: ListenerOptions;
  readonly #signal: Signal;
  readonly #onBacklog: () => void;
  /** Tickets of connections that wait no more may be in the ring. */
  #hasStale = false;

  /** @param onBacklog called while something waits and no lengthy worker is idle; often */
  constructor(
    board: Scoreboard,
    closer: Closer,
    options: ListenerOptions,
    signal: Signal,
    onBacklog: () => void,
  ) {
    this.#board = board;
    this.#closer = closer;
    this.#options = options;
    this.#signal = signal;
    this.#onBacklog = onBacklog;
  }

  /** Workers have put tickets into the ring, or time has passed. */
  look(): void {
    if (this.#hasStale) this.#prune();
    const { lengthy } = this.#board;
    // Whoever was woken for a ticket may have died of something else, and one that looked while tickets
    // were taken out has found fewer than there are.
    for (let left = lengthy.queue.length; left > 0; left--) {
      if (wakeLowestIdle(this.#board, this.#signal, lengthy)) continue;
      this.#onBacklog();
      return;
    }
  }

  /** They would count as waiting, and have workers started that find nothing. */
  #prune(): void {
    this.#hasStale = false;
    const board = this.#board;
    const { queue } = board.lengthy;
    for (let left = queue.length; left > 0; left--) {
      const slot = queue.pop();
      if (slot < 0) break;
      if (stateOf(board.word(slot)) === ConnectionState.lengthyQueued) queue.push(slot);
    }
  }

  /** Nobody is there to be answered: as workers see it, see `WorkerContext.isDeparted`. */
  #isDeparted(word: number): boolean {
    const { lengthyCancel = false } = this.#options;
    return (flagsOf(word) & (lengthyCancel ? FLAG_HANGUP | FLAG_END : FLAG_HANGUP)) !== 0;
  }

  /** A lengthy worker owns this connection, and its client has left. */
  isAbandoned(word: number): boolean {
    return ownerOf(word) >= this.#board.lengthy.first && this.#isDeparted(word);
  }

  /** An event of a queued one: closes it where its client has left. */
  departed(slot: number): void {
    const board = this.#board;
    for (;;) {
      const word = board.word(slot);
      if (stateOf(word) !== ConnectionState.lengthyQueued || !this.#isDeparted(word)) return;
      const line = requestLine(board, slot);
      if (!this.#closer.close(slot, word, ConnectionEvent.peerGone, CloseReason.peer)) continue;
      if (line !== '') board.addToChild(board.listenerCounters, CHILD.aborted, 1);
      this.#hasStale = true;
      this.onCut(slot);
      return;
    }
  }

  /** Called for a request that got no answer, while its bytes are there. */
  onCut: (slot: number) => void = () => {};

  /** Twice a second, for each that is queued. */
  sweep(slot: number, word: number, waitedMs: number): void {
    const { lengthyQueueTimeoutMs: bound = 0 } = this.#options;
    if (this.#isDeparted(word)) this.departed(slot);
    else if (bound > 0 && waitedMs > bound) this.#expire(slot, word);
    else if (waitedMs > UNTAKEN_MS && this.#board.lengthy.queue.length === 0) this.#requeue(slot);
  }

  #expire(slot: number, word: number): void {
    const board = this.#board;
    const line = requestLine(board, slot);
    const took = elapsedTicks(board.slot(slot, SLOT.requestSinceTicks), nowTicks());
    const { answer } = ConnectionEvent;
    if (!this.#closer.linger(slot, word, answer, CloseReason.requestTimeout, 503)) return;
    this.#hasStale = true;
    const method = line.slice(0, line.indexOf(' '));
    const series = board.series?.seriesOf(method, '', 503) ?? NO_SERIES;
    countRequest(board, board.listenerCounters, 503, Math.max(0, took), series);
    board.requests?.end(slot, 503, Math.max(0, took));
  }

  #requeue(slot: number): void {
    const { lengthy } = this.#board;
    lengthy.queue.push(slot);
    if (!wakeLowestIdle(this.#board, this.#signal, lengthy)) this.#onBacklog();
  }
}
