/**
 * Requests whose response should have begun by now (requestDeadline).
 *
 * Role: tells a child that still turns, which aborts the request by itself; finds one that does not, for
 * supervision to end. A child is stuck where the very handler that it is in is over its deadline, or
 * where it was told and has made no turn since, outside of any handler that has time left.
 * Thread: the listener's. May not: touch a connection; its owner may be at it.
 *
 * What it reads of a child and a slot may be of two moments. So nothing is concluded from one look: a
 * second one has to find the same child in the same life, at the same turn, with the same request.
 */
import { elapsedTicks, nowTicks } from '../scoreboard/clock.ts';
import { AnswerPhase, ExitReason } from '../scoreboard/codes.ts';
import { CHILD, SLOT } from '../scoreboard/layout.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { incarnationOf, ownerOf } from '../scoreboard/transition.ts';
import { type Signal, wakeChild } from '../scoreboard/wake.ts';

/** Between two looks at a handler that is over its deadline. */
const LOOK_MS = 20;
/** How long a child that was told may take to turn. */
const TOLD_MS = 1_000;

interface Sight {
  readonly life: number;
  readonly progress: number;
  readonly slot: number;
  readonly incarnation: number;
  readonly deadline: number;
  readonly sinceTicks: number;
}

export class DeadlineWatch {
  readonly #board: Scoreboard;
  readonly #signal: Signal;
  readonly #onStuck: (child: number, reason: ExitReason) => void;
  /** By child: what was seen when it was told, or found in an overdue handler. */
  readonly #told = new Map<number, Sight>();
  readonly #looks = new Set<NodeJS.Timeout>();
  #stopped = false;

  constructor(
    board: Scoreboard,
    signal: Signal,
    onStuck: (child: number, reason: ExitReason) => void,
  ) {
    this.#board = board;
    this.#signal = signal;
    this.#onStuck = onStuck;
  }

  /** An owned connection whose deadline is over; `word` is its state word. */
  overdue(slot: number, word: number): void {
    const child = ownerOf(word);
    if (child < 0 || this.#stopped) return;
    const sight = this.#look(child, slot, incarnationOf(word));
    const running = this.#board.child(child, CHILD.currentSlot) - 1;
    if (running === slot) {
      this.#lookAgain(child, sight);
      return;
    }
    if (this.#board.slot(slot, SLOT.answerPhase) !== AnswerPhase.due) return;
    const told = this.#told.get(child);
    if (told !== undefined && told.life === sight.life && told.progress === sight.progress) {
      const waited = elapsedTicks(told.sinceTicks, sight.sinceTicks);
      if (waited >= TOLD_MS && (running < 0 || this.#hasExpired(running))) this.#conclude(child);
      return;
    }
    this.#told.set(child, sight);
    this.#board.setChild(child, CHILD.attention, 1);
    wakeChild(this.#board, child, this.#signal);
  }

  /**
   * A connection of a lengthy worker, which has no other, whose client has left. Told, it aborts the
   * request by itself; one that computes on does not turn.
   */
  abandoned(slot: number, word: number): void {
    const child = ownerOf(word);
    if (child < 0 || this.#stopped) return;
    const sight = this.#look(child, slot, incarnationOf(word));
    const told = this.#told.get(child);
    const same =
      told !== undefined &&
      told.life === sight.life &&
      told.progress === sight.progress &&
      told.slot === slot &&
      told.incarnation === sight.incarnation;
    if (!same) {
      this.#told.set(child, sight);
      this.#board.setChild(child, CHILD.attention, 1);
      wakeChild(this.#board, child, this.#signal);
    } else if (elapsedTicks(told.sinceTicks, sight.sinceTicks) >= TOLD_MS) {
      this.#conclude(child, ExitReason.clientLeft);
    }
  }

  #look(child: number, slot: number, incarnation: number): Sight {
    const board = this.#board;
    return {
      life: board.child(child, CHILD.life),
      progress: board.child(child, CHILD.progress),
      slot,
      incarnation,
      deadline: board.slot(slot, SLOT.deadlineTicks),
      sinceTicks: nowTicks(),
    };
  }

  #hasExpired(slot: number): boolean {
    const deadline = this.#board.slot(slot, SLOT.deadlineTicks);
    return deadline !== 0 && elapsedTicks(deadline, nowTicks()) >= 0;
  }

  #lookAgain(child: number, before: Sight): void {
    const timer = setTimeout(() => {
      this.#looks.delete(timer);
      const word = this.#board.word(before.slot);
      const now = this.#look(child, before.slot, incarnationOf(word));
      const same =
        now.life === before.life &&
        now.progress === before.progress &&
        now.incarnation === before.incarnation &&
        now.deadline === before.deadline &&
        ownerOf(word) === child &&
        this.#board.child(child, CHILD.currentSlot) === before.slot + 1;
      if (same) this.#conclude(child);
    }, LOOK_MS);
    this.#looks.add(timer);
  }

  #conclude(child: number, reason: ExitReason = ExitReason.deadline): void {
    this.#told.delete(child);
    if (!this.#stopped) this.#onStuck(child, reason);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#looks) clearTimeout(timer);
  }
}
