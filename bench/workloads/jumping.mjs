// One route whose handler takes microseconds or 50 ms, at random: no forecast tells which. What it
// costs the short ones, while there are always workers free.
import { startClient } from '../lib/clients.mjs';
import { greeting, host } from '../lib/loopback.mjs';
import * as columns from './columns.mjs';
import { withServerCpu } from './wrk-window.mjs';

const clients = 200;
const meanThinkMs = 500;
const longMs = 50;
const longShare = 0.04; // 400 requests a second, of which 16 take 50 ms: 0.8 of a core
const seed = 20_260_102;
const commandTimeoutMs = 10_000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export const jumping = {
  name: 'jumping',
  title: `${clients} clients of a handler that takes ${longMs} ms in ${longShare * 100} % of the requests and no time in the others`,
  servers: ['hybrid', 'bun', 'node-cluster-2', 'node-cluster-8'],
  quickServers: [],
  needsBurn: true,
  settings: { workers: { start: 16, minSpare: 1, maxSpare: 16, max: 16 } },
  columns: [
    columns.requestsPerS,
    { key: 'quietP99Ms', heading: 'quiet p99 ms', format: columns.ms },
    columns.p50,
    { ...columns.p99, heading: 'p99 of the short ms' },
    { key: 'maxMs', heading: 'longest of the short ms', format: columns.ms },
    { key: 'longPerS', heading: 'long/s', format: columns.fixed(1) },
    columns.failed,
  ],
  ratio: { key: 'p99Ms', what: 'p99', fallback: 'node-cluster-2' },
  async measure({ port, rootPid, options }) {
    const client = startClient('think-client.mjs', {
      ...{ host, port, path: '/burn?ms=0', clients, meanThinkMs, seed, greeting },
      long: { path: `/burn?ms=${longMs}`, share: longShare },
    });
    const window = async (durationMs) => {
      await client.ask('begin', commandTimeoutMs);
      await pause(durationMs);
      return client.ask('end', commandTimeoutMs);
    };
    try {
      await client.ask('connect', commandTimeoutMs);
      await pause(options.warmUpMs + 2 * meanThinkMs);
      const durationMs = Math.max(options.durationMs, 3000);
      const quiet = await window(durationMs);
      await client.ask('mix', commandTimeoutMs);
      await pause(options.warmUpMs + 2 * meanThinkMs);
      const figures = await withServerCpu(rootPid, () => window(durationMs));
      return { ...figures, quietP99Ms: quiet.p99Ms };
    } finally {
      await client.stop();
    }
  },
};
