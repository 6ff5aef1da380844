/**
 * Tunnels: connections whose upstream has agreed to another protocol, so that bytes go both ways.
 *
 * Role: has each from the moment its worker hands it over to its end: moves the bytes by splice, passes the
 * end of either side on, and gives up where nothing is said. What a tunnel was counted for is given back
 * here, whatever became of the worker that began it.
 * Thread: the listener's. May not: look at what is said.
 *
 * Both sockets are in the listener's set only (edge-triggered), added when the tunnel is adopted: a socket is
 * told at once for what it has by then, so nothing is lost on the way from the worker. A tunnel whose worker
 * died before it could say so is found by the sweep, and with the child's other connections.
 */
import { Aborted } from '../scoreboard/aborted.ts';
import { elapsedTicks, monotonicOf, nowTicks } from '../scoreboard/clock.ts';
import { CloseReason, RestFlag } from '../scoreboard/codes.ts';
import { CHILD, HEADER, SLOT } from '../scoreboard/layout.ts';
import { SOURCE_TOKEN } from '../scoreboard/rest.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../scoreboard/states.ts';
import { incarnationOf, stateOf } from '../scoreboard/transition.ts';
import type { Closer } from './closer.ts';
import type { EventBits } from './event-router.ts';
import type { Native } from './native.ts';
import type { ListenerOptions } from './options.ts';
import { Relay, Relayed } from './relay.ts';

/** Bytes one way in one turn, before others get theirs. */
const TURN_BYTES = 512 * 1024;
/**
 * A WebSocket in which nothing was said for so long is between two frames, so that the server may say its
 * last one when it stops.
 */
const QUIET_MS = 1_000;
/** Time to end with the server where gracefulShutdownTimeout sets none, as for upgraded connections. */
const DRAIN_MS = 30_000;

/** One way: what `source` receives goes to `target`. */
interface Flow {
  /** For the relay. */
  readonly stream: number;
  readonly source: number;
  readonly target: number;
  /** The source has ended, and the target was told. */
  ended: boolean;
  /** Its turn was over before its source was empty. */
  due: boolean;
}

interface Tunnel {
  readonly slot: number;
  readonly fromClient: Flow;
  readonly fromUpstream: Flow;
  /** Bytes sent to the client behind the head of the response. */
  payloadBytes: number;
  /** Its client was sent the server's last frame. */
  told: boolean;
  closed: boolean;
}

export interface TunnelTargets {
  /** The request of a slot is over. */
  ended(slot: number, bodyBytes: number, durationMs: number, aborted: Aborted): void;
  /** A turn that no batch began is over; it began at this `performance.now()`. */
  passed(began: number): void;
}

export class Tunnels {
  readonly #board: Scoreboard;
  readonly #native: Native;
  readonly #bits: EventBits;
  readonly #closer: Closer;
  readonly #options: ListenerOptions;
  readonly #targets: TunnelTargets;
  readonly #relay: Relay;
  readonly #tunnels = new Map<number, Tunnel>();
  #due: Tunnel[] = [];
  #next: NodeJS.Immediate | null = null;
  /** Clock ticks when the server began to stop; null: it does not. */
  #drainingSince: number | null = null;

  constructor(
    board: Scoreboard,
    native: Native,
    bits: EventBits,
    closer: Closer,
    options: ListenerOptions,
    targets: TunnelTargets,
  ) {
    this.#board = board;
    this.#native = native;
    this.#bits = bits;
    this.#closer = closer;
    this.#options = options;
    this.#targets = targets;
    this.#relay = new Relay(native);
  }

  /** A worker has left it; again does no harm. */
  adopt(slot: number): void {
    const board = this.#board;
    const word = board.word(slot);
    if (this.#tunnels.has(slot) || stateOf(word) !== ConnectionState.tunnel) return;
    const client = board.slot(slot, SLOT.fd);
    const upstream = board.slot(slot, SLOT.restFd) - 1;
    const tunnel: Tunnel = {
      slot,
      fromClient: flow(slot * 2, client, upstream),
      fromUpstream: flow(slot * 2 + 1, upstream, client),
      payloadBytes: board.slotDouble(slot, SLOT.restPayload),
      told: false,
      closed: false,
    };
    this.#tunnels.set(slot, tunnel);
    const begunBy = board.slot(slot, SLOT.lastChild) - 1;
    board.upstreams.takeTunnel(board.slot(slot, SLOT.tunnelUpstream), begunBy);
    const incarnation = incarnationOf(word);
    const added =
      this.#watch(client, slot, incarnation) &&
      this.#watch(upstream, slot + SOURCE_TOKEN, incarnation);
    if (!added) this.#close(tunnel, ConnectionEvent.shed, CloseReason.shed);
  }

  #watch(fd: number, token: number, incarnation: number): boolean {
    const native = this.#native;
    const set = this.#board.header(HEADER.listenerSet.offset);
    const events = native.epollIn | native.epollOut | native.epollRdHup | native.epollEdge;
    return native.epollAdd(set, fd, events, token, incarnation) >= 0;
  }

  /** An event of the client's socket; the slot's connection is the one it is of. */
  onClient(slot: number, events: number): void {
    const tunnel = this.#tunnels.get(slot);
    if (tunnel !== undefined) this.#attend(tunnel, tunnel.fromClient, tunnel.fromUpstream, events);
  }

  /** The same of the upstream's. */
  onUpstream(slot: number, events: number): void {
    const tunnel = this.#tunnels.get(slot);
    if (tunnel !== undefined) this.#attend(tunnel, tunnel.fromUpstream, tunnel.fromClient, events);
  }

  /** @param out what comes from the socket that has the event, `into` what goes there */
  #attend(tunnel: Tunnel, out: Flow, into: Flow, events: number): void {
    const { writable, endOfStream, hangup } = this.#bits;
    if ((events & ~writable) !== 0 && !out.ended) {
      this.#carry(tunnel, out, (events & (endOfStream | hangup)) !== 0);
    }
    if ((events & writable) !== 0 && this.#relay.holds(into.stream)) this.#carry(tunnel, into);
    // It had ended in good order, and is reset now: nothing tells of that but this event.
    if ((events & hangup) !== 0 && out.ended) this.#lose(tunnel);
  }

  /** @param toEnd there may be an end behind what there is */
  #carry(tunnel: Tunnel, flow: Flow, toEnd = true): void {
    if (tunnel.closed) return;
    const relay = this.#relay;
    const { stream, source, target } = flow;
    const outcome = relay.pass(stream, source, target, toEnd, TURN_BYTES);
    if (relay.sent > 0) this.#count(tunnel, flow, relay.sent);
    switch (outcome) {
      case Relayed.waits:
        return;
      case Relayed.turn:
        this.#again(tunnel, flow);
        return;
      case Relayed.ended:
        flow.ended = true;
        this.#native.shutdownWrite(target);
        if (!tunnel.fromClient.ended || !tunnel.fromUpstream.ended) return;
        this.#close(tunnel, ConnectionEvent.drained, CloseReason.peer);
        return;
      default:
        this.#lose(tunnel);
        return;
    }
  }

  #count(tunnel: Tunnel, flow: Flow, bytes: number): void {
    const board = this.#board;
    const { slot } = tunnel;
    const isSent = flow === tunnel.fromUpstream;
    if (isSent) tunnel.payloadBytes += bytes;
    const field = isSent ? SLOT.sentBytes : SLOT.receivedBytes;
    board.setSlot(slot, SLOT.sinceTicks, nowTicks());
    board.setSlotDouble(slot, field, board.slotDouble(slot, field) + bytes);
    const counter = isSent ? CHILD.sentBytes : CHILD.receivedBytes;
    board.addToChild(board.listenerCounters, counter, bytes);
  }

  /** Others first. */
  #again(tunnel: Tunnel, flow: Flow): void {
    if (!tunnel.fromClient.due && !tunnel.fromUpstream.due) this.#due.push(tunnel);
    flow.due = true;
    this.#next ??= setImmediate(() => this.#goOn());
  }

  #goOn(): void {
    const began = performance.now();
    this.#board.tick(began);
    const due = this.#due;
    this.#next = null;
    this.#due = [];
    for (const tunnel of due) {
      const flows = [tunnel.fromClient, tunnel.fromUpstream].filter((flow) => flow.due);
      for (const flow of flows) flow.due = false;
      for (const flow of flows) this.#carry(tunnel, flow);
    }
    this.#targets.passed(began);
  }

  /** One side is gone. What it has said before has been passed on, as far as the other one took it. */
  #lose(tunnel: Tunnel): void {
    this.#close(tunnel, ConnectionEvent.peerGone, CloseReason.peer);
  }

  #close(tunnel: Tunnel, event: ConnectionEvent, reason: CloseReason): void {
    if (tunnel.closed) return;
    tunnel.closed = true;
    const { slot } = tunnel;
    if (!this.#closer.close(slot, this.#board.word(slot), event, reason)) {
      throw new Error(`the tunnel of slot ${slot} was moved by somebody else`);
    }
  }

  /** Twice a second. @param waitedMs since the last byte, either way */
  look(slot: number, waitedMs: number): void {
    this.adopt(slot);
    const tunnel = this.#tunnels.get(slot);
    if (tunnel === undefined) return;
    const idleMs = this.#board.slot(slot, SLOT.idleMs);
    if (idleMs > 0 && waitedMs > idleMs) {
      this.#close(tunnel, ConnectionEvent.timeout, CloseReason.tunnelTimeout);
    } else if (this.#drainingSince !== null) this.#windUp(tunnel, waitedMs, this.#drainingSince);
  }

  /** The server begins to stop: tunnels have three quarters of its time, as upgraded connections have. */
  drain(): void {
    this.#drainingSince = nowTicks();
  }

  #windUp(tunnel: Tunnel, waitedMs: number, since: number): void {
    const boundMs = this.#options.gracefulShutdownTimeoutMs || DRAIN_MS;
    if (elapsedTicks(since, nowTicks()) > (boundMs * 3) / 4) {
      this.#close(tunnel, ConnectionEvent.shed, CloseReason.shed);
      return;
    }
    const { slot, told, fromUpstream } = tunnel;
    const isWebSocket = (this.#board.slot(slot, SLOT.restFlags) & RestFlag.webSocket) !== 0;
    if (!isWebSocket || told || fromUpstream.ended || waitedMs < QUIET_MS) return;
    if (this.#relay.holds(fromUpstream.stream)) return;
    // It closes in good order then: its answer goes to the upstream, as any other frame.
    tunnel.told = true;
    this.#closer.sayGoingAway(slot);
  }

  /** The connection is closed, for whatever reason. */
  closed(slot: number): void {
    const tunnel = this.#tunnels.get(slot);
    if (tunnel === undefined) return;
    this.#tunnels.delete(slot);
    tunnel.closed = true;
    this.#relay.close(tunnel.fromClient.stream);
    this.#relay.close(tunnel.fromUpstream.stream);
    const board = this.#board;
    const waiting = board.upstreams.endTunnel(board.slot(slot, SLOT.tunnelUpstream));
    const doorbell = waiting < 0 ? -1 : board.upstreams.doorbell(waiting);
    if (doorbell >= 0) this.#native.eventfdSignal(doorbell);
    const began = board.slotDouble(slot, SLOT.restStartedMs);
    const tookMs = monotonicOf(performance.now()) - began;
    this.#targets.ended(slot, tunnel.payloadBytes, tookMs, Aborted.no);
  }

  stop(): void {
    if (this.#next !== null) clearImmediate(this.#next);
    this.#relay.stop();
  }
}

const flow = (stream: number, source: number, target: number): Flow => ({
  stream,
  source,
  target,
  ended: false,
  due: false,
});
