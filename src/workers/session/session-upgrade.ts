/**
 * From a session to a socket of the application's own (`session.upgrade()`).
 *
 * Role: the order of it, as `upgrade/take-over.ts` has it for a request: the socket first, since it may
 * not be had; then what was read ahead; then the state word.
 * Thread: a worker that owns the connection; nothing may wait for its client.
 */
import type { WorkerContext } from '../context.ts';
import type { Ownership } from '../ownership.ts';
import type { ServingLoop } from '../protocol.ts';
import type { Tenure } from '../tenure.ts';
import { socketOn, type UpgradeSocket } from '../upgrade/upgrade-socket.ts';
import type { SessionHost } from './session-host.ts';
import type { SessionInput } from './session-input.ts';

/** What is given up with the connection. */
export interface GivenUp {
  readonly hold: Ownership;
  readonly input: SessionInput;
  readonly tenure: Tenure;
}

export const upgradeRefused = (why: string): Error =>
  Object.assign(new Error(`upgrade: ${why}`), { code: 'ERR_MPM_SESSION_UPGRADE' });

/** @throws an Error with code ERR_MPM_SESSION_UPGRADE; the connection is as it was then */
export function upgradeSession(
  context: WorkerContext,
  loop: ServingLoop,
  { protocol }: SessionHost,
  { hold, input, tenure }: GivenUp,
): { socket: UpgradeSocket; head: Buffer } {
  if (!hold.takeBack()) throw upgradeRefused('something waits for its client');
  const socket = socketOn(context.native, hold.fd);
  if (socket === null) throw upgradeRefused('no descriptor is left');
  const { slot } = hold;
  const head = input.takeRest();
  tenure.unpin();
  loop.upgraded({
    slot,
    word: hold.upgrade(),
    socket,
    method: protocol.name,
    websocket: false,
    startedMs: context.now,
    line: '',
    isRequest: false,
  });
  return { socket, head };
}
