/**
 * One call of a session's application: on the books while it runs, and what it has answered.
 *
 * Role: the accounts around a call (which slot is being handled and since when, what its route takes,
 * the time afterwards) and the judgement of how many bytes it says it has consumed.
 * Thread: one worker. May not: send, or let a connection go; what the application throws is kept, not
 * thrown on.
 */
import { performance } from 'node:perf_hooks';
import { ticksOf } from '../../scoreboard/clock.ts';
import { CHILD } from '../../scoreboard/layout.ts';
import type { WorkerContext } from '../context.ts';
import type { ServingLoop } from '../protocol.ts';
import type { OpenSession } from './open-session.ts';
import type { SessionHost } from './session-host.ts';

/** The application's functions; `receive` and `tooLong` say how many bytes they have consumed. */
export type CallName = 'greeting' | 'receive' | 'tooLong' | 'woken' | 'timeout' | 'stopping';

/** Any of them; `bytes` is only for `receive` and `tooLong`. */
export type SessionFunction = (session: OpenSession, bytes?: Buffer) => unknown;

export class SessionCaller {
  readonly #context: WorkerContext;
  readonly #loop: ServingLoop;
  readonly #host: SessionHost;
  /** What the last call has thrown; null: nothing. */
  failure: { readonly error: unknown } | null = null;

  constructor(context: WorkerContext, loop: ServingLoop, host: SessionHost) {
    this.#context = context;
    this.#loop = loop;
    this.#host = host;
  }

  /**
   * Returns what the application does, undefined where it throws.
   * @param slot of the connection that it is called for
   * @param bytes null: it is called without
   */
  call(
    application: SessionFunction,
    slot: number,
    session: OpenSession,
    bytes: Buffer | null,
  ): unknown {
    const context = this.#context;
    const { route, protocol } = this.#host;
    this.#loop.beforeHandler(route);
    const startedMs = context.now;
    context.setWord(CHILD.handlingTicks, ticksOf(startedMs));
    context.setWord(CHILD.currentSlot, slot + 1);
    context.handling = true;
    this.failure = null;
    let result: unknown;
    try {
      const { calls } = protocol;
      result =
        bytes === null ? application.call(calls, session) : application.call(calls, session, bytes);
    } catch (error) {
      this.failure = { error };
    }
    context.handling = false;
    context.setWord(CHILD.currentSlot, 0);
    context.now = performance.now();
    context.board.tick(context.now);
    this.#loop.afterHandler(route, context.now - startedMs);
    return result;
  }
}

/** Bytes that `receive` or `tooLong` has consumed of so many; an error where it names no such number. */
export function consumedBy(
  name: 'receive' | 'tooLong',
  result: unknown,
  length: number,
): number | TypeError {
  const count = result ?? (name === 'tooLong' ? 0 : result);
  if (Number.isInteger(count) && (count as number) >= 0 && (count as number) <= length) {
    return count as number;
  }
  const range = `0 .. ${length}`;
  return new TypeError(
    `${name} has to return how many bytes it has consumed, ${range}, not ${String(result)}`,
  );
}

export const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
