/**
 * From a request for another protocol to a socket of the application's own.
 *
 * Role: the order of it: the socket first, since it may not be had; then what was read ahead; then the
 * state word; then the application.
 * Thread: a worker that owns the connection, within the call of its handler; nothing of an earlier
 * response may be unsent.
 */
import { Phase } from '../../scoreboard/codes.ts';
import { SLOT } from '../../scoreboard/layout.ts';
import type { WorkerContext } from '../context.ts';
import { takesUpgrades } from '../exchange.ts';
import type { HttpExchange } from '../http-exchange.ts';
import type { Ownership } from '../ownership.ts';
import type { RequestReader } from '../request-reader.ts';
import { socketOn } from './upgrade-socket.ts';
import type { Upgraded } from './upgrades.ts';

const PLAIN_TEXT = Object.freeze(['Content-Type', 'text/plain;charset=UTF-8']);
const WEBSOCKET = /\r\nupgrade:[ \t]*websocket[ \t]*\r\n/i;

/** What is given up with the connection. */
export interface TakenOver {
  readonly hold: Ownership;
  readonly reader: RequestReader;
  readonly exchange: HttpExchange;
  readonly startedMs: number;
  readonly line: string;
  /** Where upgraded connections of this worker are kept. */
  keep(upgraded: Upgraded): void;
}

/** The request that was read asks for another protocol, and the application takes such requests. */
export function wantsUpgrade({ parser, handler }: WorkerContext, reader: RequestReader): boolean {
  // RFC 9110, section 7.8: it may be ignored; a body would have to be read to its end first.
  const { upgrade, method } = parser;
  if ((!upgrade && method !== 'CONNECT') || reader.bodyLength !== 0) return false;
  if (!takesUpgrades(handler)) return false;
  const { targetStart, targetEnd } = parser;
  return handler.wantsUpgrade(method, reader.headText().slice(targetStart, targetEnd));
}

/** False: the server stops, or has no descriptor left, and it was answered so. */
export function takeOver(context: WorkerContext, taken: TakenOver): boolean {
  const { handler, native } = context;
  const { hold, reader, exchange, startedMs, line } = taken;
  const stopping = context.phase === Phase.draining;
  const socket = stopping ? null : socketOn(native, hold.fd);
  if (socket === null || !takesUpgrades(handler)) {
    socket?.destroy();
    exchange.keepAlive = false;
    exchange.respond(503, '', PLAIN_TEXT, 'Service Unavailable\n');
    return false;
  }
  const { slot } = hold;
  if (hold.field(SLOT.clientTold) === 1) {
    const { remoteAddress, remotePort } = exchange;
    const remoteFamily = remoteAddress.includes(':') ? 'IPv6' : 'IPv4';
    for (const [name, value] of Object.entries({ remoteAddress, remotePort, remoteFamily })) {
      Object.defineProperty(socket, name, { value, configurable: true });
    }
  }
  const head = reader.takeRest();
  hold.setField(SLOT.requests, hold.field(SLOT.requests) + 1);
  const word = hold.upgrade();
  const websocket = WEBSOCKET.test(exchange.head);
  const { method } = exchange;
  taken.keep({ slot, word, socket, method, websocket, startedMs, line });
  handler.upgrade(exchange, socket, head);
  return true;
}
