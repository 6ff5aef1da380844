/**
 * The service manager that started the process, as far as it is one: sockets it passes, what it is told.
 *
 * Role: reads the environment of the protocols of systemd: socket activation (sd_listen_fds(3)) and
 * notification (sd_notify(3)). Without their variables everything here does nothing.
 * Thread: main, the listener's: the watchdog's timer stands still where that thread does, and so its
 * being stuck is noticed.
 */
import type { Native } from '../listener/native.ts';
import type { InheritedSocket } from './server.ts';

/** SD_LISTEN_FDS_START. */
const FIRST_FD = 3;
/** What nobody passes, so that a mistake is not tried out one by one. */
const MAX_SOCKETS = 1_024;

const invalid = (variable: string, value: string, what: string): Error =>
  Object.assign(new Error(`${variable}=${value}: ${what}`), { code: 'ERR_MPM_INHERITED' });

/**
 * The sockets that were passed to this very process; takes the variables out of the environment, so
 * that nobody below takes them for his.
 * @throws an Error with code ERR_MPM_INHERITED where the variables make no sense
 */
export function takeInheritedSockets(
  environment: NodeJS.ProcessEnv,
  pid: number,
): readonly InheritedSocket[] {
  const { LISTEN_FDS: count, LISTEN_PID: addressee, LISTEN_FDNAMES: names } = environment;
  // Those of a parent are left to whom they are for.
  if (count === undefined || addressee !== String(pid)) return [];
  for (const name of ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES']) delete environment[name];
  const sockets = Number(count);
  if (!/^\d+$/.test(count) || sockets > MAX_SOCKETS) {
    throw invalid('LISTEN_FDS', count, `not a number of sockets, 0 .. ${MAX_SOCKETS}`);
  }
  const given = names === undefined || names === '' ? [] : names.split(':');
  if (given.length > 0 && given.length !== sockets) {
    throw invalid('LISTEN_FDNAMES', names as string, `not ${sockets} names`);
  }
  return Array.from({ length: sockets }, (_, index) => ({
    fd: FIRST_FD + index,
    name: given[index] ?? 'unknown',
  }));
}

/** What of the native part is used. */
export type Notifying = Pick<Native, 'notify'>;

export class ServiceManager {
  readonly #native: Notifying;
  readonly #address: string | null;
  readonly #watchdogMs: number;
  readonly #complain: (line: string) => void;
  #watchdog: NodeJS.Timeout | null = null;
  #failed = false;

  /** @param complain called once, for a notification that could not be sent */
  constructor(
    native: Notifying,
    environment: NodeJS.ProcessEnv,
    pid: number,
    complain: (line: string) => void,
  ) {
    const { NOTIFY_SOCKET: address = '', WATCHDOG_USEC, WATCHDOG_PID } = environment;
    this.#native = native;
    // Other kinds (vsock) are for virtual machines as a whole.
    this.#address = /^[/@]./.test(address) ? address : null;
    const isWatched = WATCHDOG_PID === undefined || WATCHDOG_PID === String(pid);
    const microseconds = Number(WATCHDOG_USEC ?? 0);
    this.#watchdogMs = isWatched && microseconds > 0 ? microseconds / 1000 : 0;
    this.#complain = complain;
  }

  /** The server serves; from now on it also says so at half of the watchdog's time. */
  ready(status: string): void {
    this.#tell('READY=1', `STATUS=${status}`);
    if (this.#address === null || this.#watchdogMs === 0 || this.#watchdog !== null) return;
    const period = Math.max(1, Math.floor(this.#watchdogMs / 2));
    this.#watchdog = setInterval(() => this.#tell('WATCHDOG=1'), period).unref();
    this.#tell('WATCHDOG=1');
  }

  /** A reload begins; `ready` ends it. */
  reloading(): void {
    // CLOCK_MONOTONIC, by which the manager tells this reload from an earlier one.
    const now = process.hrtime.bigint() / 1000n;
    this.#tell('RELOADING=1', `MONOTONIC_USEC=${now}`, 'STATUS=reading the configuration again');
  }

  /** The end has begun; the watchdog is still fed. */
  stopping(status: string): void {
    this.#tell('STOPPING=1', `STATUS=${status}`);
  }

  #tell(...lines: string[]): void {
    if (this.#address === null) return;
    const result = this.#native.notify(this.#address, lines.join('\n'));
    if (result >= 0 || this.#failed) return;
    this.#failed = true;
    this.#complain(`NOTIFY_SOCKET ${this.#address}: errno ${-result}`);
  }
}
