/**
 * Session protocols of an application: what its module exports as `protocols`, looked at once.
 *
 * Role: checks every property by name, so that a mistake is told at the start and not by a client; gets
 * the memory of the sessions' data.
 * Thread: a worker, before its first connection.
 */
import { MAX_SESSION_STATE_LENGTH, MAX_SESSION_STATES } from '../../scoreboard/layout.ts';
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';
import { EntryError } from '../entry-error.ts';
import { shared } from '../shared.ts';
import {
  DEFAULT_IDLE_TIMEOUT_S,
  MAX_IDLE_TIMEOUT_S,
  MAX_SESSION_DATA_BYTES,
  type SessionProtocol,
} from './session-protocol.ts';

/** A protocol with everything filled in. */
export interface LoadedProtocol {
  readonly name: string;
  /** The application's object, whose methods are called on it. */
  readonly calls: SessionProtocol;
  readonly idleTimeoutMs: number;
  /** Bytes; the connection buffer may be smaller, see `withMemory`. */
  readonly inputLimit: number;
  readonly dataBytes: number;
  readonly states: readonly string[];
  readonly sheds: boolean;
  /** `dataBytes` for each connection slot; null: none. */
  readonly data: SharedArrayBuffer | null;
}

const CALLS = ['greeting', 'receive', 'tooLong', 'woken', 'timeout', 'stopping'] as const;
const PROPERTIES = ['idleTimeout', 'inputLimit', 'dataBytes', 'states', 'shed'] as const;

/**
 * The protocols that addresses of `listen` name.
 * @param names in the order of their numbers
 * @throws EntryError with code ERR_MPM_PROTOCOL
 */
export function protocolsOf(
  exported: unknown,
  names: readonly string[],
  entry: string,
): readonly LoadedProtocol[] {
  return names.map((name) => {
    const known = isObject(exported) ? Object.keys(exported) : [];
    // Its own: every object has a `toString`.
    if (!isObject(exported) || !Object.hasOwn(exported, name)) {
      const has = known.length === 0 ? 'exports no protocols' : `has ${known.join(', ')}`;
      throw fault(`listen names the protocol ${name}, and ${entry} ${has}`);
    }
    return loaded(name, exported[name], entry);
  });
}

function loaded(name: string, given: unknown, entry: string): LoadedProtocol {
  const wrong = (what: string): EntryError => fault(`${entry}: protocols.${name}${what}`);
  if (!isObject(given)) throw wrong(' has to be an object');
  const unknown = Object.keys(given).filter(
    (key) => isCall(key) && typeof given[key] !== 'function' && given[key] !== undefined,
  );
  if (unknown.length > 0) throw wrong(`.${unknown[0]} has to be a function`);
  if (typeof given.receive !== 'function') throw wrong('.receive has to be a function');
  const whole = (
    key: (typeof PROPERTIES)[number],
    least: number,
    most: number,
    initial: number,
  ) => {
    const value = given[key] ?? initial;
    if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) {
      return value as number;
    }
    throw wrong(`.${key} has to be a whole number from ${least} to ${most}, not ${String(value)}`);
  };
  const states = given.states ?? [];
  if (!areStates(states)) {
    throw wrong(
      `.states has to be a list of at most ${MAX_SESSION_STATES} different names of 1 to ${MAX_SESSION_STATE_LENGTH} printable ASCII characters`,
    );
  }
  const { shed = true, idleTimeout = DEFAULT_IDLE_TIMEOUT_S } = given;
  if (typeof shed !== 'boolean') throw wrong('.shed has to be true or false');
  let timeoutMs: number;
  try {
    timeoutMs = idleTimeoutMs(idleTimeout);
  } catch (cause) {
    throw wrong(`: ${(cause as Error).message}`);
  }
  return {
    name,
    calls: given as unknown as SessionProtocol,
    idleTimeoutMs: timeoutMs,
    inputLimit: whole('inputLimit', 1, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
    dataBytes: whole('dataBytes', 0, MAX_SESSION_DATA_BYTES, 0),
    states,
    sheds: shed,
    data: null,
  };
}

/** Milliseconds for what an application says. @throws RangeError */
export function idleTimeoutMs(seconds: unknown): number {
  if (typeof seconds === 'number' && seconds >= 0 && seconds <= MAX_IDLE_TIMEOUT_S) {
    return Math.ceil(seconds * 1000);
  }
  throw new RangeError(
    `idleTimeout has to be seconds from 0 to ${MAX_IDLE_TIMEOUT_S}, not ${String(seconds)}`,
  );
}

/**
 * The same protocols with the memory that all workers have in common, and with their names told to
 * whoever shows them.
 * @throws EntryError with code ERR_MPM_PROTOCOL
 */
export function withMemory(
  protocols: readonly LoadedProtocol[],
  board: Scoreboard,
): readonly LoadedProtocol[] {
  return protocols.map((protocol, index) => {
    const { name, dataBytes, states, inputLimit } = protocol;
    board.protocolNames.write(index + 1, name, states);
    return {
      ...protocol,
      inputLimit: Math.min(inputLimit, board.bufferBytes),
      data: dataBytes === 0 ? null : memoryFor(name, dataBytes * board.connectionSlots),
    };
  });
}

function memoryFor(name: string, bytes: number): SharedArrayBuffer {
  try {
    return shared.buffer(`hybrid-mpm: data of ${name} sessions`, bytes);
  } catch (cause) {
    const { code, message } = cause as Error & { code?: string };
    const why =
      code === 'ERR_MPM_SHARED_SIZE' ? 'dataBytes cannot change while the server runs' : message;
    throw fault(`protocols.${name}: ${why}`, { cause });
  }
}

const isCall = (key: string): boolean => (CALLS as readonly string[]).includes(key);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

const STATE = new RegExp(`^[\\x20-\\x7e]{1,${MAX_SESSION_STATE_LENGTH}}$`);

const areStates = (value: unknown): value is readonly string[] =>
  Array.isArray(value) &&
  value.length <= MAX_SESSION_STATES &&
  new Set(value).size === value.length &&
  value.every((name) => typeof name === 'string' && STATE.test(name));

const fault = (message: string, options?: ErrorOptions): EntryError =>
  new EntryError('ERR_MPM_PROTOCOL', message, options);
