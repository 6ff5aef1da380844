/**
 * The connections of a dead child.
 *
 * Role: takes each of them back. A request whose answer had not begun gets an honest one, 504 where its
 * deadline is over and 502 otherwise, and the client time to read it; any other connection is closed.
 * Thread: the listener's, and only when the child's thread is gone: nobody else writes these slots then,
 * but a leading worker may still set a flag in their state words.
 */
import { elapsedTicks, nowTicks } from '../scoreboard/clock.ts';
import { AnswerPhase, CloseReason } from '../scoreboard/codes.ts';
import { CHILD, HTTP_PROTOCOL, SLOT } from '../scoreboard/layout.ts';
import { countRequest, NO_SERIES } from '../scoreboard/request-counters.ts';
import { requestLine } from '../scoreboard/request-line.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionEvent } from '../scoreboard/states.ts';
import { ownerOf } from '../scoreboard/transition.ts';
import type { Closer } from './closer.ts';

/** A request that ended with its child. */
export interface LostRequest {
  /** Method and path, without the query, which may hold what no log should; '' where it is unknown. */
  readonly request: string;
  /** Its handler was being called. */
  readonly running: boolean;
  /** What its client was answered, 0: it got a part of the response, or all of it, before. */
  readonly status: 0 | 502 | 504;
}

export interface Orphaned {
  /** Connections taken back. */
  readonly connections: number;
  /** The running one first. */
  readonly requests: readonly LostRequest[];
}

export class Orphans {
  readonly #board: Scoreboard;
  readonly #closer: Closer;
  /** Called for a request that was cut off in its response, while its bytes are there. */
  onCut: (slot: number) => void = () => {};

  constructor(board: Scoreboard, closer: Closer) {
    this.#board = board;
    this.#closer = closer;
  }

  /**
   * @param word the state word, which names the dead child
   * @param departed its client has left, so that nobody is answered
   */
  take(child: number, slot: number, word: number, departed: boolean): LostRequest | null {
    const board = this.#board;
    // No answer of HTTP's is due in another protocol.
    const isHttp = board.slot(slot, SLOT.protocol) === HTTP_PROTOCOL;
    const phase = isHttp ? board.slot(slot, SLOT.answerPhase) : AnswerPhase.none;
    // A part of a response that came from another worker is in the slot itself.
    const due = !departed && phase === AnswerPhase.due && board.slot(slot, SLOT.restFd) === 0;
    const running = board.child(child, CHILD.currentSlot) === slot + 1;
    const line = phase === AnswerPhase.none ? '' : requestLine(board, slot);
    const request = shown(line);
    if (due) {
      const status = this.#isOverdue(slot) ? 504 : 502;
      const { answer } = ConnectionEvent;
      const reason = status === 504 ? CloseReason.deadline : CloseReason.childDied;
      const took = elapsedTicks(board.slot(slot, SLOT.requestSinceTicks), nowTicks());
      const linger = (seen: number) => this.#closer.linger(slot, seen, answer, reason, status);
      if (this.#move(child, slot, word, linger)) {
        this.#count(slot, line, status, Math.max(0, took));
      }
      return { request, running, status };
    }
    if (phase !== AnswerPhase.none) this.onCut(slot);
    const { childDied } = ConnectionEvent;
    const close = (seen: number) =>
      this.#closer.close(slot, seen, childDied, CloseReason.childDied);
    this.#move(child, slot, word, close);
    if (phase === AnswerPhase.none) return null;
    board.addToChild(board.listenerCounters, CHILD.aborted, 1);
    return { request, running, status: 0 };
  }

  /** Tries until no flag comes between; false: somebody has taken it from the child before. */
  #move(child: number, slot: number, word: number, move: (seen: number) => boolean): boolean {
    for (let seen = word; ownerOf(seen) === child; seen = this.#board.word(slot)) {
      if (move(seen)) return true;
    }
    return false;
  }

  #count(slot: number, line: string, status: number, tookMs: number): void {
    const board = this.#board;
    const method = line.slice(0, line.indexOf(' '));
    const series = board.series?.seriesOf(method, '', status) ?? NO_SERIES;
    countRequest(board, board.listenerCounters, status, tookMs, series);
    board.requests?.end(slot, status, tookMs);
  }

  #isOverdue(slot: number): boolean {
    const deadline = this.#board.slot(slot, SLOT.deadlineTicks);
    return deadline !== 0 && elapsedTicks(deadline, nowTicks()) >= 0;
  }
}

const shown = (line: string): string => line.replace(/ HTTP\/\d\.\d$/, '').replace(/\?.*$/s, '');
