/**
 * A tunnel leaves its worker: both of its sockets are the listener's from then on.
 *
 * Role: writes into the connection's slot what the listener has to know: the other socket, how long nothing
 * may be said, what the upstream gets back at the end, and the line of the access log.
 * Thread: the worker that has the connection upgraded. May not: leave anything unsent; what was read has to
 * have left before.
 */
import { monotonicOf, nowTicks } from '../../scoreboard/clock.ts';
import { RestFlag } from '../../scoreboard/codes.ts';
import { SLOT } from '../../scoreboard/layout.ts';
import { FilePart } from '../../scoreboard/rest.ts';
import { ConnectionEvent } from '../../scoreboard/states.ts';
import { Outcome } from '../../scoreboard/transition.ts';
import type { WorkerContext } from '../context.ts';
import type { UpgradeSocket } from './upgrade-socket.ts';

/** The other side of a tunnel. */
export interface FarSide {
  /** Of its socket; the tunnel has a duplicate, so that the caller may close its own. */
  readonly descriptor: number;
  /** Nothing may be said for so long, 0: for ever. */
  readonly idleTimeoutMs: number;
  /** See `TunnelUpstream`. */
  readonly upstream: number;
}

/** The connection that is to become a tunnel. */
export interface NearSide {
  readonly slot: number;
  /** Its state word, `upgraded`. */
  readonly word: number;
  readonly socket: UpgradeSocket;
  readonly websocket: boolean;
  /** When its request began, `performance.now()`. */
  readonly startedMs: number;
  readonly line: string;
}

/**
 * The listener carries the tunnel from now on, and the near socket is closed here. False: it stays as it
 * was, since no descriptor is left or the line of the log is too long to be kept in the slot.
 */
export function toListener(context: WorkerContext, near: NearSide, far: FarSide): boolean {
  const { board, native } = context;
  const { slot, word, socket, line } = near;
  const slotIndex = board.slotIndex(slot);
  if (!FilePart.mayEnter(board, slotIndex)) return false;
  const { restLines } = board;
  if (restLines !== null && (line === '' || !restLines.put(slot, line))) return false;
  const descriptor = native.duplicate(far.descriptor);
  if (descriptor < 0) return false;
  // Closed with the slot from here on, should this thread be ended before the move.
  const other = new FilePart(descriptor, 0, Number.POSITIVE_INFINITY, 0, true);
  other.enter(board, slotIndex, native);
  board.setSlot(slot, SLOT.restFlags, RestFlag.socket | (near.websocket ? RestFlag.webSocket : 0));
  board.setSlot(slot, SLOT.restStatus, socket.status);
  board.setSlotDouble(slot, SLOT.restStartedMs, monotonicOf(near.startedMs));
  board.setSlotDouble(slot, SLOT.restPayload, socket.payloadBytes);
  board.setSlot(slot, SLOT.idleMs, far.idleTimeoutMs);
  board.setSlot(slot, SLOT.tunnelUpstream, far.upstream);
  board.setSlot(slot, SLOT.sinceTicks, nowTicks());
  // The duplicate alone: what is between the sockets goes on.
  socket.destroy();
  // Otherwise the listener has taken it, which it does when it believes this worker to be dead.
  if (board.move(slot, word, ConnectionEvent.handOver) === Outcome.moved) context.handBack(slot);
  return true;
}
