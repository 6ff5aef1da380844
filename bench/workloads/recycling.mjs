// Workers that end after so many requests and are replaced under load: what its clients notice.
import { fetchText, host } from '../lib/loopback.mjs';
import { runWrk } from '../lib/wrk.mjs';
import * as columns from './columns.mjs';
import { withServerCpu } from './wrk-window.mjs';

const connections = 64;
const requestsPerLife = 200;

/** Lives that have ended for their number of requests. */
async function recycled(adminPort) {
  const { body } = await fetchText(`http://${host}:${adminPort}/server-status?auto`);
  const ended = /^(?:Recycled|MpmChildExitsMaxRequests): (\d+)$/m.exec(body)?.[1];
  if (ended === undefined) throw new Error('the admin page does not say how many were recycled');
  return Number(ended);
}

export const recycling = {
  name: 'recycling',
  title: `small response, ${connections} keep-alive connections, a worker ends after ${requestsPerLife} requests`,
  servers: ['hybrid', 'node-cluster-recycling'],
  quickServers: [],
  settings: { requestsPerLife },
  columns: [
    columns.requestsPerS,
    columns.p50,
    columns.p99,
    { key: 'maxMs', heading: 'longest ms', format: columns.ms },
    columns.failed,
    { key: 'livesPerS', heading: 'workers ended/s', format: columns.fixed(1) },
    { key: 'requestsPerLife', heading: 'requests each', format: columns.whole },
    columns.cpu,
  ],
  ratio: { key: 'p99Ms', what: 'p99', fallback: 'node-cluster-recycling' },
  async measure({ url, adminPort, rootPid, options }) {
    const load = (durationMs) => runWrk({ url, connections, durationMs });
    await load(options.warmUpMs);
    const before = await recycled(adminPort);
    const figures = await withServerCpu(rootPid, () => load(Math.max(options.durationMs, 2000)));
    const lives = (await recycled(adminPort)) - before;
    return {
      ...figures,
      livesPerS: lives / figures.durationS,
      // Replacing takes its time, during which the old one serves on.
      requestsPerLife: lives > 0 ? figures.requests / lives : NaN,
    };
  },
};
