// Many clients that mostly think: how few workers they keep busy.
import { startClient } from '../lib/clients.mjs';
import { greeting, host } from '../lib/loopback.mjs';
import { sampleWorkers } from '../lib/server-status.mjs';
import * as columns from './columns.mjs';
import { withServerCpu } from './wrk-window.mjs';

const clients = 170;
const meanThinkMs = 100; // 1,700 requests a second: a few per cent of what the servers can do
const seed = 20_260_101;
const commandTimeoutMs = 10_000;
const sampleEveryMs = 50;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export const thinkTime = {
  name: 'think-time',
  title: `${clients} clients that think for ${meanThinkMs} ms on average between requests`,
  servers: ['hybrid', 'nginx', 'bun', 'node-cluster-2', 'apache'],
  quickServers: ['hybrid', 'nginx', 'node-cluster-2'],
  settings: { workers: { start: 5, minSpare: 2, maxSpare: 10, max: 20 } },
  columns: [
    columns.requestsPerS,
    columns.p50,
    columns.p99,
    columns.failed,
    columns.cpu,
    { key: 'busyMean', heading: 'busy workers, mean', format: columns.fixed(2) },
    { key: 'busyMax', heading: 'most', format: columns.whole },
    { key: 'idleMean', heading: 'idle workers, mean', format: columns.fixed(1) },
  ],
  ratio: { key: 'cpuPerRequestUs', what: 'CPU/request' },
  async measure({ port, path, adminPort, rootPid, options }) {
    const client = startClient('think-client.mjs', {
      ...{ host, port, path, clients, meanThinkMs, seed, greeting },
    });
    try {
      await client.ask('connect', commandTimeoutMs);
      await pause(options.warmUpMs + 5 * meanThinkMs);
      const figures = await withServerCpu(rootPid, async () => {
        await client.ask('begin', commandTimeoutMs);
        await pause(options.durationMs);
        return client.ask('end', commandTimeoutMs);
      });
      // In a window of its own, for rendering the page costs the server CPU too.
      const workers =
        adminPort === undefined
          ? {}
          : await sampleWorkers(adminPort, Math.min(options.durationMs, 3000), sampleEveryMs);
      return { ...figures, ...workers };
    } finally {
      await client.stop();
    }
  },
};
