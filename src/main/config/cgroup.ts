/**
 * What the control group of this process may use: processors and memory.
 *
 * Role: reads the limits of version 2 (cpu.max, memory.max) and of version 1 (cpu.cfs_quota_us,
 * memory.limit_in_bytes), of the group and of all above it, since the tightest counts.
 * Thread: main, at the start. A container sees its own group as the root, which is read as well.
 *
 * Sources: Linux, Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface CgroupLimits {
  /** Processors, may be a fraction; Infinity: no quota. */
  readonly cores: number;
  /** Infinity: no limit. */
  readonly memoryBytes: number;
}

/** The text of a file, null where it cannot be read. */
export type Read = (path: string) => string | null;

const ROOT = '/sys/fs/cgroup';

const positive = (text: string | null | undefined): number => {
  const number = Number(text?.trim());
  return text != null && text.trim() !== '' && number > 0 ? number : Number.POSITIVE_INFINITY;
};

/** `100000 50000` or `max 100000`: quota and period in microseconds. */
function quotaV2(text: string | null): number {
  const [quota, period] = (text ?? '').trim().split(/\s+/);
  const cores = positive(quota) / positive(period);
  return Number.isNaN(cores) || cores === 0 ? Number.POSITIVE_INFINITY : cores;
}

function quotaV1(quota: string | null, period: string | null): number {
  // -1: no quota.
  const cores = positive(quota) / positive(period);
  return Number.isNaN(cores) || cores === 0 ? Number.POSITIVE_INFINITY : cores;
}

/** A group and all above it, as folders below `mount`. */
function* ancestry(mount: string, group: string): Generator<string> {
  for (let path = group; ; path = dirname(path)) {
    yield join(mount, path).replace(/\/$/, '');
    if (path === '/' || path === '.') return;
  }
}

/**
 * @param groups text of /proc/self/cgroup: lines `id:controllers:path`; version 2 is `0::path`
 * @param read an argument, so that tests bring their own files
 */
export function cgroupLimits(groups: string, read: Read): CgroupLimits {
  let cores = Number.POSITIVE_INFINITY;
  let memoryBytes = Number.POSITIVE_INFINITY;
  for (const line of groups.split('\n')) {
    const [, names, group] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (names === undefined || group === undefined) continue;
    const controllers = names.split(',');
    if (names === '') {
      for (const folder of ancestry(ROOT, group)) {
        cores = Math.min(cores, quotaV2(read(`${folder}/cpu.max`)));
        memoryBytes = Math.min(memoryBytes, positive(read(`${folder}/memory.max`)));
      }
    }
    if (controllers.includes('cpu')) {
      for (const folder of ancestry(`${ROOT}/cpu`, group)) {
        const quota = read(`${folder}/cpu.cfs_quota_us`);
        cores = Math.min(cores, quotaV1(quota, read(`${folder}/cpu.cfs_period_us`)));
      }
    }
    if (controllers.includes('memory')) {
      for (const folder of ancestry(`${ROOT}/memory`, group)) {
        memoryBytes = Math.min(memoryBytes, positive(read(`${folder}/memory.limit_in_bytes`)));
      }
    }
  }
  return { cores, memoryBytes };
}

const readText: Read = (path) => {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
};

export const ownCgroup = (): CgroupLimits =>
  cgroupLimits(readText('/proc/self/cgroup') ?? '', readText);
