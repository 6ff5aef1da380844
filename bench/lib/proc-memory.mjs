// Reads /proc: what the processes of a server hold. It looks and never signals.
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { processTree } from './proc-tree.mjs';

const kilobytes = (text, key) =>
  Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0) * 1024;

/**
 * Of the whole tree, in bytes: `pss`, of which `pssShmem` is shared memory that is mapped and `pssAnon` what
 * no file is behind (the rest, program text, is divided among whatever processes run it at the time); and
 * `unlinked`, the pages behind descriptors of files without a name (memfd, O_TMPFILE, deleted), which
 * count in no memory map unless they are mapped. `descriptors` is a number.
 */
export function treeHoldings(rootPid) {
  const sum = { pss: 0, pssShmem: 0, pssAnon: 0, unlinked: 0, descriptors: 0 };
  const seen = new Set(); // one file may be open in many processes, and as many descriptors
  for (const { pid } of processTree(rootPid)) {
    try {
      const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
      sum.pss += kilobytes(text, 'Pss');
      sum.pssShmem += kilobytes(text, 'Pss_Shmem');
      sum.pssAnon += kilobytes(text, 'Pss_Anon');
    } catch {
      continue; // gone since the tree was read, or a zombie
    }
    for (const fd of descriptorsOf(pid)) {
      sum.descriptors++;
      sum.unlinked += unlinkedBytes(`/proc/${pid}/fd/${fd}`, seen);
    }
  }
  return sum;
}

/** glibc's arenas begin at multiples of this. */
const arenaBytes = 64 * 1024 * 1024;

/**
 * Mappings of one process without a file, of a megabyte and more, but malloc's arenas: range -> bytes in
 * memory. What two readings have in common is memory of a fixed size, which no heap is: the buffers that
 * threads share.
 */
export function largeMappings(pid) {
  const found = new Map();
  let range;
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'latin1').split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0 *$/.exec(line);
    if (head !== null) {
      const bytes = Number.parseInt(head[2], 16) - Number.parseInt(head[1], 16);
      const isArena = Number.parseInt(head[1], 16) % arenaBytes === 0;
      range = bytes < 1024 * 1024 || isArena ? undefined : line;
    } else if (/^[0-9a-f]+-/.test(line)) {
      range = undefined;
    } else if (range !== undefined && line.startsWith('Rss:')) {
      found.set(range, kilobytes(line, 'Rss'));
    }
  }
  return found;
}

function descriptorsOf(pid) {
  try {
    return readdirSync(`/proc/${pid}/fd`);
  } catch {
    return [];
  }
}

function unlinkedBytes(path, seen) {
  try {
    if (!readlinkSync(path).endsWith(' (deleted)')) return 0;
    const { dev, ino, blocks } = statSync(path);
    const file = `${dev}:${ino}`;
    if (seen.has(file)) return 0;
    seen.add(file);
    return blocks * 512;
  } catch {
    return 0; // closed since the folder was read
  }
}

/** Of the whole machine, in bytes: all shared memory, and what TCP sockets hold in their buffers. */
export function machineHoldings() {
  const pageBytes = 4096;
  const tcpPages = /^TCP:.* mem (\d+)/m.exec(readFileSync('/proc/net/sockstat', 'latin1'))?.[1];
  return {
    shmem: kilobytes(readFileSync('/proc/meminfo', 'latin1'), 'Shmem'),
    tcp: Number(tcpPages ?? 0) * pageBytes,
  };
}
