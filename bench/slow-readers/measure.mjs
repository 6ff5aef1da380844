// One server under slow readers once, from start to stop: light requests before and during, what the
// server holds meanwhile, and whether anything is left afterwards.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { lastLines, StartError } from '../lib/cell.mjs';
import { startClient } from '../lib/clients.mjs';
import { freePort, greeting, host, untilReady } from '../lib/loopback.mjs';
import { machineHoldings, treeHoldings } from '../lib/proc-memory.mjs';
import { threadCpuUs, treeCpuUs } from '../lib/proc-tree.mjs';
import { start, stop } from '../lib/processes.mjs';
import { readServerStatus } from '../lib/server-status.mjs';
import { mean } from '../lib/stats.mjs';
import { startSlowClients } from './client.mjs';
import { startUpstream } from './upstream-process.mjs';

const lightClients = 4;
const meanThinkMs = 20;
const seed = 20_260_103;
const commandTimeoutMs = 10_000;
const statusEveryMs = 250;
const holdingsEveryMs = 2000; // reading the maps of a large process costs milliseconds
const maxSettleMs = 5000;
const maxFreeingMs = 30_000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Calls `look` now and every so often until stopped; a look that fails counts and ends nothing. */
function every(ms, look) {
  let stopped = false;
  let failed = 0;
  const loop = (async () => {
    while (!stopped) {
      try {
        await look();
      } catch {
        failed++;
      }
      await pause(ms);
    }
  })();
  return async () => {
    stopped = true;
    await loop;
    return { failed };
  };
}

/** Waits until the descriptors are back, for a bounded time; what is held then. */
async function settled(rootPid, descriptors) {
  const deadline = Date.now() + maxSettleMs;
  for (;;) {
    const now = treeHoldings(rootPid);
    if (now.descriptors <= descriptors || Date.now() > deadline) return now;
    await pause(100);
  }
}

const most = (samples, key) => Math.max(...samples.map((sample) => sample[key]));

/** What an upstream has seen when the slow clients' responses are in the proxy's hands, and light requests meanwhile. */
async function freed({ upstream, clients, light }) {
  const { underWay, cutOff, ...seen } = await upstream.freed(clients, maxFreeingMs);
  if (underWay > 0) seen.freeAfterMs = Number.POSITIVE_INFINITY;
  const { p50Ms, p99Ms, maxMs, failed } = await light.ask('end', commandTimeoutMs);
  return {
    ...seen,
    upstreamCutOff: cutOff,
    ...{ p50FreeingMs: p50Ms, p99FreeingMs: p99Ms, maxFreeingMs: maxMs, failedFreeing: failed },
  };
}

/** Cores that a server uses from now on; where its first thread is the listener, that and its workers apart. */
function processorUse(rootPid, hasListener) {
  const began = performance.now();
  const before = { tree: treeCpuUs(rootPid), ...threadCpuUs(rootPid) };
  return () => {
    const us = (performance.now() - began) * 1000;
    const { firstUs, restUs } = threadCpuUs(rootPid);
    if (!hasListener) return { coresDuring: (treeCpuUs(rootPid) - before.tree) / us };
    return {
      coresDuring: (treeCpuUs(rootPid) - before.tree) / us,
      listenerCores: (firstUs - before.firstUs) / us,
      workerCores: (restUs - before.restUs) / us,
    };
  };
}

/** Bytes that still count as spilled, when that has had its time to go. */
async function spilled(adminPort) {
  const deadline = Date.now() + maxSettleMs;
  for (;;) {
    const status = await readServerStatus(adminPort);
    const bytes = status.MpmSpilledBytes + status.MpmSpilledFolderBytes;
    if (bytes === 0 || Date.now() > deadline) return bytes;
    await pause(100);
  }
}

/** The slow part: everything that is seen between two looks at an otherwise quiet server. */
async function underSlowClients({ rootPid, adminPort, light, startSlow, clients, upstream }) {
  const before = { ...treeHoldings(rootPid), ...machineHoldings() };
  const cpuBefore = treeCpuUs(rootPid);
  const samples = [];
  const statuses = [];
  const stops = [
    every(holdingsEveryMs, () => samples.push({ ...treeHoldings(rootPid), ...machineHoldings() })),
  ];
  if (adminPort !== undefined) {
    stops.push(every(statusEveryMs, async () => statuses.push(await readServerStatus(adminPort))));
  }
  if (upstream !== undefined) await light.ask('begin', commandTimeoutMs);
  const slow = startSlow();
  try {
    const behind = upstream === undefined ? {} : await freed({ upstream, clients, light });
    await slow.begun;
    await light.ask('begin', commandTimeoutMs);
    const usedSince = processorUse(rootPid, adminPort !== undefined);
    await slow.ending;
    const used = usedSince();
    const during = await light.ask('end', commandTimeoutMs);
    const summary = await slow.done;
    const cpuUs = treeCpuUs(rootPid) - cpuBefore;
    for (const end of stops) await end();
    const after = await settled(rootPid, before.descriptors);
    const growth = (key) => (most(samples, key) - before[key]) / clients;
    const busy = statuses.map(({ BusyWorkers }) => BusyWorkers);
    return {
      during,
      summary,
      cpuUs,
      ...behind,
      ...used,
      pssBefore: before.pss,
      pssPeak: most(samples, 'pss'),
      pssAfter: after.pss,
      pssEach: growth('pss'),
      pssShmemEach: growth('pssShmem'),
      unlinkedEach: growth('unlinked'),
      machineShmemEach: growth('shmem'),
      machineTcpEach: growth('tcp'),
      descriptorsBefore: before.descriptors,
      descriptorsPeak: most(samples, 'descriptors'),
      descriptorsAfter: after.descriptors,
      ...(statuses.length === 0
        ? {}
        : {
            busyMean: mean(busy),
            busyMax: Math.max(...busy),
            writingMax: most(statuses, 'ConnsAsyncWriting'),
            spilledMax: most(statuses, 'MpmSpilledBytes') + most(statuses, 'MpmSpilledFolderBytes'),
            spilledAfter: await spilled(adminPort),
            statusSamples: statuses.length,
          }),
    };
  } finally {
    for (const end of stops) await end();
    await slow.stop();
  }
}

/** Figures of one server and one kind. Throws where it cannot be measured. */
export async function measure({ target, kind, options, tempDir, folder, bodyFile, program }) {
  const upstream = kind === 'proxied' ? await startUpstream(bodyFile) : undefined;
  try {
    return await measureBefore({
      upstream,
      target,
      kind,
      options,
      tempDir,
      folder,
      bodyFile,
      program,
    });
  } finally {
    await upstream?.stop();
  }
}

async function measureBefore({
  upstream,
  target,
  kind,
  options,
  tempDir,
  folder,
  bodyFile,
  program,
}) {
  const { limitSpilledBody } = options;
  const given = { upstreamPort: upstream?.port, limitSpilledBody };
  const { path, lightPath, settings } = target.context(kind, folder, given);
  const dir = mkdtempSync(join(tempDir, `${target.name}-`));
  // Its processes may run as another user, and have temporary files there.
  chmodSync(dir, 0o755);
  const port = await freePort();
  const adminPort = target.hasAdmin ? await freePort() : undefined;
  const { file, args } = target.command({ port, adminPort, dir, settings });
  const running = start(file, args, { cwd: dir, env: { BENCH_BODY: bodyFile } });
  let light;
  try {
    try {
      await untilReady(running, `http://${host}:${port}${lightPath}`);
    } catch (error) {
      throw new StartError(
        `${target.name} did not start: ${error.message}; it said: ${lastLines(running.output()) || 'nothing'}`,
      );
    }
    light = startClient('think-client.mjs', {
      ...{ host, port, path: lightPath, clients: lightClients, meanThinkMs, seed, greeting },
    });
    await light.ask('connect', commandTimeoutMs);
    await pause(options.warmUpMs);
    await light.ask('begin', commandTimeoutMs);
    await pause(options.unloadedMs);
    const unloaded = await light.ask('end', commandTimeoutMs);
    const { during, summary, cpuUs, ...held } = await underSlowClients({
      ...{ rootPid: running.pid, adminPort, light, clients: options.clients, upstream },
      startSlow: () => startSlowClients(program, { port, path, bodyFile, ...options }),
    });
    if (running.ended !== undefined) {
      throw new Error(`${target.name} ended by itself: ${lastLines(running.output())}`);
    }
    const { seconds, receivedBytes, right, event: _event, ...wrong } = summary;
    const kindsWrong = Object.entries(wrong).filter(([, count]) => count > 0);
    return {
      right,
      wrong: kindsWrong.reduce((sum, [, count]) => sum + count, 0),
      wrongBy: Object.fromEntries(kindsWrong),
      seconds,
      ...{ p50BeforeMs: unloaded.p50Ms, p99BeforeMs: unloaded.p99Ms },
      ...{ p50Ms: during.p50Ms, p99Ms: during.p99Ms, maxMs: during.maxMs },
      lightRequests: during.requests,
      lightFailed: unloaded.failed + during.failed,
      lightWaiting: during.waiting, // unanswered when the window ended
      cpuS: cpuUs / 1e6,
      cpuPerMbUs: receivedBytes > 0 ? cpuUs / (receivedBytes / 1024 / 1024) : undefined,
      ...held,
    };
  } finally {
    await light?.stop();
    await stop(running);
    rmSync(dir, { recursive: true, force: true });
  }
}
