/**
 * What defaults depend on: cores, memory and descriptors.
 *
 * Role: read once at start and passed on as an argument, so that tests choose their machine.
 * Thread: main.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { ownCgroup } from './cgroup.ts';

export interface Machine {
  /**
   * Threads that can run at the same time, >= 1; heeds the process's CPU affinity and the quota of its
   * cgroup, rounded up.
   */
  readonly cores: number;
  /** Memory the process may use, bytes: the machine's, or less where its cgroup has a limit. */
  readonly memoryBytes: number;
  /** Soft limit of open descriptors (RLIMIT_NOFILE); Infinity where there is none. */
  readonly softDescriptors: number;
}

/** Where /proc cannot be read: the limit that Linux distributions have shipped for decades. */
const CUSTOMARY_DESCRIPTORS = 1024;

/** Soft limit of open descriptors out of the text of /proc/self/limits. */
export function softDescriptorsIn(limits: string): number {
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  if (soft === 'unlimited') return Number.POSITIVE_INFINITY;
  const count = Number(soft);
  return Number.isInteger(count) && count > 0 ? count : CUSTOMARY_DESCRIPTORS;
}

/** The machine this process runs on. Node has raised the soft limit to the hard one by then. */
export function thisMachine(): Machine {
  let limits = '';
  try {
    limits = readFileSync('/proc/self/limits', 'latin1');
  } catch {
    // No /proc, as in some sandboxes: the customary limit is a safe guess.
  }
  const group = ownCgroup();
  return {
    cores: Math.max(1, Math.min(availableParallelism(), Math.ceil(group.cores))),
    memoryBytes: Math.min(totalmem(), group.memoryBytes),
    softDescriptors: softDescriptorsIn(limits),
  };
}
