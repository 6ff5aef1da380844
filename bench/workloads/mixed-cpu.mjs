// Light requests while others keep asking for CPU: what a busy handler costs its neighbours.
import { runWrk, startWrk } from '../lib/wrk.mjs';
import * as columns from './columns.mjs';
import { withServerCpu } from './wrk-window.mjs';

const burnMs = 20;
const lightConnections = 32;
const heavyConnections = 4;
const marginMs = 3000;
// Every server that runs JavaScript compiles the burn in each of its isolates first, on the same cores.
const warmUpMs = 6000;

export const mixedCpu = {
  name: 'mixed-cpu',
  title: `light requests (${lightConnections} connections) beside ${heavyConnections} that keep asking for ${burnMs} ms of CPU`,
  servers: ['hybrid', 'bun', 'node-cluster-2', 'node-cluster-8'],
  quickServers: ['hybrid', 'bun', 'node-cluster-2'],
  needsBurn: true,
  settings: { workers: { start: 16, minSpare: 1, maxSpare: 16, max: 16 } },
  columns: [
    { ...columns.requestsPerS, heading: 'light requests/s' },
    columns.p50,
    columns.p99,
    { key: 'p999Ms', heading: 'p99.9 ms', format: columns.ms },
    columns.failed,
    { key: 'burnsPerS', heading: 'burns/s', format: columns.fixed(1) },
    { key: 'burnP99Ms', heading: 'burn p99 ms', format: columns.ms },
    { key: 'coresUsed', heading: 'server cores', format: columns.fixed(2) },
  ],
  ratio: { key: 'p99Ms', what: 'p99', fallback: 'node-cluster-2' },
  async measure({ url, base, rootPid, options }) {
    // Long enough for a p99 of a second to show, however short the other windows are.
    const durationMs = Math.max(options.durationMs, 2000);
    const light = (lightMs) => ({ url, connections: lightConnections, durationMs: lightMs });
    const heavy = startWrk({
      url: `${base}/burn?ms=${burnMs}`,
      connections: heavyConnections,
      durationMs: warmUpMs + durationMs + marginMs,
    });
    try {
      await runWrk(light(warmUpMs));
      const figures = await withServerCpu(rootPid, () => runWrk(light(durationMs)));
      heavy.interrupt();
      const burns = await heavy.result;
      return {
        ...figures,
        // The CPU goes into the burns: per light request it would mean nothing.
        cpuPerRequestUs: undefined,
        coresUsed: figures.cpuUs / 1e6 / figures.durationS,
        failed: figures.failed + burns.failed,
        burnsPerS: burns.requestsPerS,
        burnP99Ms: burns.p99Ms,
      };
    } finally {
      heavy.interrupt();
    }
  },
};
