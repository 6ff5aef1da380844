/**
 * The limits that status pages of workers show, where a change of them is seen at once.
 *
 * Role: a few doubles in memory of their own, so that a worker needs no message to know them.
 * Thread: main writes; workers read.
 */
import type { AdminLimits } from './document.ts';

const NUMBERS = [
  'startServers',
  'minSpareThreads',
  'maxSpareThreads',
  'maxRequestWorkers',
  'queueLimit',
  'maxConnectionsPerChild',
  'keepAliveTimeoutMs',
] as const satisfies readonly (keyof AdminLimits)[];

export function createSharedLimits(limits: AdminLimits): SharedArrayBuffer {
  const memory = new SharedArrayBuffer((NUMBERS.length + 1) * Float64Array.BYTES_PER_ELEMENT);
  storeLimits(memory, limits);
  return memory;
}

export function storeLimits(memory: SharedArrayBuffer, limits: AdminLimits): void {
  const values = NUMBERS.map((name) => limits[name]);
  new Float64Array(memory).set([...values, limits.extendedStatus ? 1 : 0]);
}

export function readLimits(memory: SharedArrayBuffer): AdminLimits {
  const values = new Float64Array(memory);
  const numbers = Object.fromEntries(NUMBERS.map((name, index) => [name, values[index]]));
  const extendedStatus = values[NUMBERS.length] === 1;
  return { ...(numbers as Record<(typeof NUMBERS)[number], number>), extendedStatus };
}
