/**
 * A pool of workers in the scoreboard: where they find work, and which of them sleep.
 *
 * Role: tells the workers that serve any request from the lengthy ones. Neither takes from the queue of
 * the other, so that one pool may be full and the other not notice.
 * Thread: any.
 */
import type { Bitmap } from './bitmap.ts';
import type { TicketRing } from './ticket-ring.ts';

export interface Pool {
  readonly queue: TicketRing;
  /** Of its children, those that sleep and have nothing to do. */
  readonly idle: Bitmap;
  /** Its child slots: `first` .. `end - 1`. */
  readonly first: number;
  readonly end: number;
}
