/**
 * How far a response is, and what an exchange asks of the connection it runs on.
 *
 * Role: the seam between `HttpExchange`, which knows what is said, and `Connection`, which knows what comes next.
 * Thread: one worker.
 */
import type { AbortReason } from './exchange.ts';

/** How far the response is. */
export const Response = { none: 0, streaming: 1, raw: 2, ended: 3 } as const;
export type Response = (typeof Response)[keyof typeof Response];

/** What an exchange asks of the connection it runs on. */
export interface ResponseCourse {
  /** The handler is being called; what it does takes effect when it returns. */
  readonly invoking: boolean;
  /** Sends what was put together without more ado. */
  flush(): void;
  /** Sends what was put together for an unfinished response; false: wait for `onDrain`. */
  push(): boolean;
  responseEnded(): void;
  abort(reason: AbortReason | null): void;
  /** The peer has shut its side; `onPeerEnd` is asked once the present turn is over. */
  checkPeerEndLater(): void;
  /** The request goes to a lengthy worker, as soon as its handler has returned. */
  handOver(): void;
}
