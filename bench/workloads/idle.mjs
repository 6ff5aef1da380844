// What a connection costs that waits: memory for each of 8,000 that have done one request.
import { startClient } from '../lib/clients.mjs';
import { greeting, host } from '../lib/loopback.mjs';
import { treePssBytes } from '../lib/proc-tree.mjs';
import { readServerStatus } from '../lib/server-status.mjs';
import { runWrk } from '../lib/wrk.mjs';
import * as columns from './columns.mjs';

const connections = 8000;
const commandTimeoutMs = 60_000;
const maxSettleMs = 3000;

/** Waits until the memory has stopped moving, for a bounded time; returns it. */
async function settledPss(rootPid) {
  const deadline = Date.now() + maxSettleMs;
  let last = treePssBytes(rootPid);
  while (Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    const now = treePssBytes(rootPid);
    if (Math.abs(now - last) < 64 * 1024) return now;
    last = now;
  }
  return last;
}

export const idle8000 = {
  name: 'idle-8000',
  title: `user memory of ${connections.toLocaleString('en-US')} idle keep-alive connections (PSS)`,
  servers: ['hybrid', 'nginx', 'bun', 'node', 'fastify', 'apache'],
  quickServers: ['hybrid', 'nginx', 'node'],
  settings: { connections },
  columns: [
    { key: 'againBytes', heading: 'bytes each (2nd round)', format: columns.whole },
    { key: 'freshBytes', heading: 'bytes each (1st round)', format: columns.whole },
    { key: 'baseMb', heading: 'MB with none', format: columns.fixed(1) },
    { key: 'heldMb', heading: 'MB with all', format: columns.fixed(1) },
    { ...columns.failed, heading: 'unanswered' },
    { key: 'busyWorkers', heading: 'BusyWorkers', format: columns.whole },
  ],
  ratio: { key: 'freshBytes', what: '1st round' },
  async measure({ url, port, path, adminPort, rootPid, options }) {
    await runWrk({ url, connections: 64, durationMs: options.warmUpMs });
    const client = startClient('idle-client.mjs', { host, port, path, connections, greeting });
    try {
      let failed = 0;
      const round = async () => {
        const none = await settledPss(rootPid);
        failed += (await client.ask('open', commandTimeoutMs)).failed;
        const all = await settledPss(rootPid);
        return { none, all, each: (all - none) / connections };
      };
      const first = await round();
      await client.ask('close', commandTimeoutMs);
      const second = await round();
      const status = adminPort === undefined ? undefined : await readServerStatus(adminPort);
      failed += (await client.ask('check', commandTimeoutMs)).failed;
      await client.ask('close', commandTimeoutMs);
      const mb = 1024 * 1024;
      return {
        againBytes: second.each,
        freshBytes: first.each,
        baseMb: first.none / mb,
        heldMb: second.all / mb,
        failed,
        busyWorkers: status?.BusyWorkers,
        ...(status !== undefined && status.BusyWorkers !== 0
          ? { remark: `BusyWorkers is ${status.BusyWorkers} while every connection idles` }
          : {}),
      };
    } finally {
      await client.stop();
    }
  },
};
