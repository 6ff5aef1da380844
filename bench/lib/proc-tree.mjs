// Reads /proc: which processes belong to a server, and the CPU time and memory of all of them.
// It looks and never signals.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** One line of /proc/PID/stat, or undefined for a process that has gone meanwhile. */
export function readStat(pid) {
  let text;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The command, in parentheses, may itself hold spaces and parentheses: count from the last one.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    pid: Number(pid),
    state: fields[0],
    parent: Number(fields[1]),
    // utime, stime, cutime, cstime: proc(5) fields 14 to 17, the first here being field 3.
    ownTicks: Number(fields[11]) + Number(fields[12]),
    cpuTicks: Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14]),
    startTime: fields[19],
  };
}

/** The process and all its living descendants. */
export function processTree(rootPid) {
  const children = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readStat(name);
    if (stat === undefined) continue;
    const siblings = children.get(stat.parent);
    if (siblings === undefined) children.set(stat.parent, [stat]);
    else siblings.push(stat);
  }
  const root = readStat(rootPid);
  if (root === undefined) return [];
  const found = [root];
  for (let index = 0; index < found.length; index++) {
    found.push(...(children.get(found[index].pid) ?? []));
  }
  return found;
}

/**
 * User and system time of the whole tree so far, in microseconds. A child that has died since is
 * still counted: its parent's cutime and cstime took over what its own line showed before.
 */
export function treeCpuUs(rootPid) {
  const ticks = processTree(rootPid).reduce((sum, stat) => sum + stat.cpuTicks, 0);
  return (ticks / ticksPerSecond) * 1e6;
}

/** Proportional set size of the whole tree in bytes: pages that processes share count once. */
export function treePssBytes(rootPid) {
  let kilobytes = 0;
  for (const { pid } of processTree(rootPid)) {
    try {
      const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
      kilobytes += Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0);
    } catch {
      // Gone since the tree was read; a zombie has no memory map either.
    }
  }
  return kilobytes * 1024;
}

/** The same of one process, of its first thread and of all others. */
export function threadCpuUs(pid) {
  const [first, rest] = [{ us: 0 }, { us: 0 }];
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const stat = readStat(`${pid}/task/${thread}`);
    if (stat !== undefined) (thread === String(pid) ? first : rest).us += stat.ownTicks;
  }
  return { firstUs: (first.us / ticksPerSecond) * 1e6, restUs: (rest.us / ticksPerSecond) * 1e6 };
}
