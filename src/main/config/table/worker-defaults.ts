/**
 * How many workers there are where nobody says so.
 *
 * Thread: main; pure functions of the machine and of what else was given.
 */
import type { Directives } from '../directives.ts';
import type { Machine } from '../machine.ts';

/**
 * A retiring child holds a slot beside its successor, and a state word has room for 1,022 owners.
 */
export const MAX_WORKERS = 511;
export const MAX_LENGTHY_WORKERS = 256;

/**
 * Memory for each worker that a default allows. A worker that has served under load takes 23 MB with an
 * application of a few lines, one with a framework some more; the other half is the rest's.
 */
const MEMORY_PER_WORKER = 64 * 2 ** 20;
const roomFor = ({ memoryBytes }: Machine) =>
  Math.max(2, Math.floor(memoryBytes / MEMORY_PER_WORKER));

/** Workers at start, idle ones to keep, idle ones to suffer, and the most at all. */
export const startFor = (machine: Machine) =>
  Math.min(16, Math.max(2, machine.cores), roomFor(machine));
export const spareFor = (machine: Machine) =>
  Math.min(8, Math.max(2, Math.ceil(machine.cores / 2)), roomFor(machine));
const mostFor = (machine: Machine) =>
  Math.min(128, Math.max(16, machine.cores * 4), roomFor(machine));

export const mostWorkers = (machine: Machine, given: Partial<Directives>): number =>
  given.maxRequestWorkers ??
  Math.max(mostFor(machine), given.startServers ?? 0, given.minSpareThreads ?? 0);

export const leastSpare = (machine: Machine, given: Partial<Directives>): number =>
  given.minSpareThreads ??
  Math.min(
    spareFor(machine),
    given.maxRequestWorkers ?? MAX_WORKERS,
    given.maxSpareThreads ?? MAX_WORKERS,
  );

export const mostLengthy = (machine: Machine, given: Partial<Directives>): number =>
  Math.min(
    Math.max(1, Math.floor(machine.cores / 2)),
    MAX_LENGTHY_WORKERS,
    MAX_WORKERS - mostWorkers(machine, given),
  );
