// Starts and ends every process of the bench: servers and load generators alike. A process is
// ended by its id, with its descendants, also when the bench fails or is interrupted. No other
// file spawns or signals, but for short version look-ups and the compiler.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { processTree, readStat } from './proc-tree.mjs';

const live = new Set();
const tailBytes = 8192;

// prctl(PR_SET_PDEATHSIG) through util-linux: the kernel ends the process even when the bench
// itself is killed with SIGKILL and no handler here can run.
const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find((path) => existsSync(path));

/** A running process: `exited` settles with {code, signal}, `output()` is the end of its output. */
export function start(
  file,
  args,
  { cwd, env, ipc = false, keepAllOutput = false, inheritOutput = false, ownGroup = false } = {},
) {
  const [command, commandArgs] =
    setpriv === undefined ? [file, args] : [setpriv, ['--pdeathsig', 'TERM', '--', file, ...args]];
  const child = spawn(command, commandArgs, {
    cwd,
    env: { ...process.env, ...env },
    stdio: [
      'ignore',
      ...(inheritOutput ? ['inherit', 'inherit'] : ['pipe', 'pipe']),
      ...(ipc ? ['ipc'] : []),
    ],
    serialization: 'json',
    // Ctrl-C goes to all of a group.
    detached: ownGroup,
  });
  let output = '';
  for (const stream of inheritOutput ? [] : [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text) => {
      output += text;
      if (!keepAllOutput && output.length > 2 * tailBytes) output = output.slice(-tailBytes);
    });
  }
  const running = { child, pid: child.pid, ended: undefined, output: () => output };
  live.add(running);
  running.exited = new Promise((resolve) => {
    const end = (outcome) => {
      running.ended ??= outcome;
      live.delete(running);
      resolve(running.ended);
    };
    // 'close' rather than 'exit', so that the output is whole; but a surviving descendant may
    // hold the pipes open, so that 'exit' is enough after a moment.
    child.once('error', (error) => {
      output += error.message;
      end({ code: undefined, signal: undefined });
    });
    child.once('exit', (code, signal) => setTimeout(end, 300, { code, signal }).unref());
    child.once('close', (code, signal) => end({ code, signal }));
  });
  return running;
}

function signalSame(stat, signal) {
  // The start time tells a process from a later one that was given the same id.
  if (readStat(stat.pid)?.startTime !== stat.startTime) return;
  try {
    process.kill(stat.pid, signal);
  } catch {
    // It ended in between.
  }
}

const alive = (stat) => {
  const now = readStat(stat.pid);
  return now?.startTime === stat.startTime && now.state !== 'Z';
};

/** Ends a process and its descendants: SIGTERM to the root, SIGKILL to whatever is left. */
export async function stop(running, graceMs = 5000) {
  // Descendants are noted first: once their parent is gone nothing links them to it any more.
  const family = running.ended === undefined ? processTree(running.pid) : [];
  if (family.length > 0) signalSame(family[0], 'SIGTERM');
  const deadline = Date.now() + graceMs;
  while (family.some(alive) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const survivors = family.filter(alive);
  for (const stat of survivors) signalSame(stat, 'SIGKILL');
  if (running.pid !== undefined) await running.exited;
  return { killed: survivors.length };
}

/** For the ways out that cannot wait: exit handlers and signals. */
export function killAllNow() {
  for (const running of live) {
    if (running.pid === undefined) continue;
    for (const stat of processTree(running.pid)) signalSame(stat, 'SIGKILL');
  }
}
