/**
 * Metrics of the whole process, once, whatever the number of threads.
 *
 * Of prom-client's default metrics only figures of the process are here; its event loop, garbage
 * collection and heap figures are those of the thread they are read in, so of nobody's interest. Its CPU
 * counters begin at 0 with their registration; these are the process's own and survive a restart of the
 * admin thread.
 * Thread: the admin thread. May not: use the thread pool, which the application may have filled.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { counter, type Family, gauge, plain, type Sample } from './family.ts';

export function processFamilies(version: string): readonly Family[] {
  const cpu = (kind: 'user' | 'system') => process.cpuUsage()[kind] / 1e6;
  // Down: rounded up, a young process would have started in the future.
  const startedSeconds = Math.floor(Date.now() / 1000 - process.uptime());
  return [
    gauge('mpm_build_info', 'Version of the server and of Node.', () => [
      { value: 1, labels: { version, node: process.versions.node } },
    ]),
    counter('process_cpu_user_seconds_total', 'User CPU time of all threads.', () =>
      plain(cpu('user')),
    ),
    counter('process_cpu_system_seconds_total', 'System CPU time of all threads.', () =>
      plain(cpu('system')),
    ),
    counter('process_cpu_seconds_total', 'User and system CPU time of all threads.', () =>
      plain(cpu('user') + cpu('system')),
    ),
    gauge('process_start_time_seconds', 'Start of the process since the Unix epoch.', () =>
      plain(startedSeconds),
    ),
    gauge('process_resident_memory_bytes', 'Resident memory.', () => memory('VmRSS')),
    gauge('process_virtual_memory_bytes', 'Virtual memory.', () => memory('VmSize')),
    gauge('process_open_fds', 'Open file descriptors.', openDescriptors),
    gauge('process_max_fds', 'Most file descriptors that can be open.', () =>
      procNumber('limits', /^Max open files\s+(\d+)/m, 1),
    ),
    gauge('process_threads', 'Threads of the process.', () =>
      procNumber('status', /^Threads:\s+(\d+)/m, 1),
    ),
  ];
}

const memory = (field: string): Sample[] =>
  procNumber('status', new RegExp(`^${field}:\\s+(\\d+) kB`, 'm'), 1024);

/** A number out of /proc/self; no sample where it cannot be read. */
function procNumber(file: string, line: RegExp, unit: number): Sample[] {
  try {
    // Not through the thread pool; these reads never block.
    const match = line.exec(readFileSync(`/proc/self/${file}`, 'utf8'));
    return match === null ? [] : plain(Number(match[1]) * unit);
  } catch {
    return [];
  }
}

function openDescriptors(): Sample[] {
  try {
    // Linux 6.2 and later say how many as the size of the folder; before, it is 0. Reading the folder
    // takes milliseconds where there are thousands.
    const { size } = statSync('/proc/self/fd');
    if (size > 0) return plain(size);
    // Less the one that reads the folder.
    return plain(readdirSync('/proc/self/fd').length - 1);
  } catch {
    return [];
  }
}
