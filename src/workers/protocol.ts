/**
 * What the core needs of a protocol: the seam between the serving loop and whatever serves a connection.
 *
 * Role: a claimed connection belongs to a protocol by the number in its slot, which the listener writes
 * when it accepts: 0 is HTTP/1.1, the others are session protocols of the application. The loop knows
 * none of them; it takes an object of the protocol, and tells it of its connection's events.
 * Thread: one worker.
 */
import type { Upgraded } from './upgrade/upgrades.ts';

/** One connection while a worker owns it. Objects are reused for one connection after another. */
export interface Served {
  /** Its slot, -1 after it was let go. */
  readonly slot: number;
  /**
   * Serves a connection this worker has just claimed.
   * @param word what the claim made of its state
   * @param reset its client has reset it since it was queued
   */
  open(slot: number, word: number, reset: boolean): void;
  /**
   * Out of the inbox: the socket is ready, or was not for too long.
   * @param word what the claim made of the state; `flags` stood in it before
   */
  resume(word: number, flags: number): void;
  /** The socket may be readable or writable. */
  onEvent(): void;
  /** A hang-up or an end of the peer's stream was noticed while something is unfinished. */
  checkHangup(): void;
  /** The listener has found that the response should have begun. */
  checkDeadline(): void;
}

/** Where a worker takes the objects of one protocol from; they go back there when they are free. */
export interface Protocol {
  /** One that serves nothing at present. */
  take(): Served;
}

/** What a served connection needs from the loop. */
export interface ServingLoop {
  /** It has an unfinished handler, body or write in this child. */
  pin(connection: Served): void;
  unpin(connection: Served): void;
  /** Calls `connection.onEvent` in the next turn. */
  soon(connection: Served): void;
  requeue(slot: number): void;
  /** Number of a request's route, for what follows. */
  routeOf(method: string, target: string): number;
  /**
   * The worker that is to run this route's handler instead, by a call of `delegate`, which must follow:
   * an idle one, taken out of the idle set, or this one after the promise jobs of handlers that it has
   * just begun. -1: this worker runs it at once.
   */
  heirFor(route: number): number;
  /** As `heirFor`, of an upgrade: one that has fewer upgraded connections. */
  heirForUpgrade(): number;
  /** This worker has a connection for another protocol. */
  upgraded(upgraded: Upgraded): void;
  /** Gives a connection that was moved to queued to that worker. */
  delegate(heir: number, slot: number): void;
  /** A connection that was moved to lengthyQueued is for the lengthy pool. */
  toLengthy(slot: number): void;
  beforeHandler(route: number): void;
  /** @param milliseconds for which the handler held this worker */
  afterHandler(route: number, milliseconds: number): void;
}
