// The application's own timers under a full load of short requests: how late a timer of 10 ms is.
import { fetchText } from '../lib/loopback.mjs';
import { runWrk } from '../lib/wrk.mjs';
import * as columns from './columns.mjs';
import { withServerCpu } from './wrk-window.mjs';

const connections = 64;

export const timer = {
  name: 'timer',
  title: `a timer of 10 ms in the application, ${connections} connections of short requests`,
  servers: ['hybrid', 'node'],
  quickServers: [],
  needsTimer: true,
  settings: { workers: { start: 1, minSpare: 1, maxSpare: 1, max: 1 } },
  columns: [
    columns.requestsPerS,
    { key: 'lateP50Ms', heading: 'late p50 ms', format: columns.ms },
    { key: 'lateP99Ms', heading: 'late p99 ms', format: columns.ms },
    { key: 'lateMaxMs', heading: 'latest ms', format: columns.ms },
    { key: 'ticks', heading: 'ticks', format: columns.whole },
    columns.failed,
  ],
  ratio: { key: 'lateP99Ms', what: 'late p99', fallback: 'node' },
  async measure({ url, base, rootPid, options }) {
    const load = (durationMs) => runWrk({ url, connections, durationMs });
    await load(options.warmUpMs);
    await fetchText(`${base}/timer`); // begins anew
    const figures = await withServerCpu(rootPid, () => load(Math.max(options.durationMs, 2000)));
    return { ...figures, ...JSON.parse((await fetchText(`${base}/timer`)).body) };
  },
};
