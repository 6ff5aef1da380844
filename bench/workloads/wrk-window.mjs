// The workloads that are one wrk against the small response: small-64, small-1, browser,
// pipelined, new-connection.
import { readFileSync } from 'node:fs';
import { treeCpuUs } from '../lib/proc-tree.mjs';
import { runWrk } from '../lib/wrk.mjs';
import { frameworks } from '../servers/frameworks.mjs';
import * as columns from './columns.mjs';

/** Runs a load and adds what the server's processes spent on it. */
export async function withServerCpu(rootPid, load) {
  const before = treeCpuUs(rootPid);
  const figures = await load();
  const cpuUs = treeCpuUs(rootPid) - before;
  return {
    ...figures,
    cpuUs,
    cpuPerRequestUs: figures.requests > 0 ? cpuUs / figures.requests : NaN,
  };
}

function wrkWindow(name, title, load, extra = {}) {
  return {
    name,
    title,
    servers: ['hybrid', 'floor', 'nginx', 'bun', 'node', 'node-cluster-2', 'fastify', 'apache'],
    quickServers: ['hybrid', 'floor', 'nginx', 'bun', 'node-cluster-2'],
    columns: [columns.requestsPerS, columns.p50, columns.p99, columns.failed, columns.cpu],
    ratio: { key: 'cpuPerRequestUs', what: 'CPU/request' },
    async measure({ url, rootPid, options }) {
      const durationMs = Math.min(options.durationMs, extra.maxDurationMs ?? Infinity);
      const warmUpMs = extra.warmUpMs ?? options.warmUpMs;
      await runWrk({ url, ...load, durationMs: warmUpMs, limit: extra.warmUpLimit });
      return withServerCpu(rootPid, () => runWrk({ url, ...load, durationMs }));
    },
    ...extra,
  };
}

// What Chrome sends with a click on a link: twelve fields with Host, which wrk adds.
const browserHeaders = [
  'Connection: keep-alive',
  'sec-ch-ua: "Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"',
  'sec-ch-ua-mobile: ?0',
  'sec-ch-ua-platform: "Linux"',
  'Upgrade-Insecure-Requests: 1',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
  'Referer: http://127.0.0.1/',
  'Accept-Encoding: gzip, deflate, br, zstd',
  'Accept-Language: en-GB,en;q=0.9,de;q=0.8',
  'Cookie: session=3f6c1b0a9e8d4c7fa2b5; theme=dark; consent=1',
];

export const small64 = wrkWindow('small-64', 'small response, 64 keep-alive connections', {
  connections: 64,
});

export const applications = wrkWindow(
  'applications',
  'the same application on hybrid-mpm and on node:http, 64 keep-alive connections',
  { connections: 64 },
  { servers: frameworks.map(({ name }) => name), quickServers: [] },
);

export const small1 = wrkWindow('small-1', 'small response, 1 keep-alive connection', {
  connections: 1,
});

export const browser = wrkWindow(
  'browser',
  '12 request headers as a browser sends them, 64 keep-alive connections',
  { connections: 64, headers: browserHeaders },
);

export const pipelined = wrkWindow(
  'pipelined',
  '16 requests per batch, 64 keep-alive connections (latency of a batch)',
  { connections: 64, pipeline: 16 },
);

// Each connection leaves a pair of ports in TIME_WAIT for a minute, and one server port sees
// 28,000 pairs: the warm-up and the window together stay below that, on a port that is fresh each
// time. The kernel holds only so many such pairs of the whole machine; they are not overrun.
// Most go to the warm-up: a server whose code is compiled as it runs spends more on compiling than on the
// first ten thousand connections.
const warmUpConnections = 18_000;
const maxConnections = 9000;

/** Connections in TIME_WAIT on the whole machine. */
const timeWait = () => Number(/\btw (\d+)/.exec(readFileSync('/proc/net/sockstat', 'latin1'))?.[1]);

export const newConnection = wrkWindow(
  'new-connection',
  'a new connection per request, 64 at a time',
  { connections: 64, headers: ['Connection: close'], limit: maxConnections },
  {
    maxDurationMs: 2000,
    warmUpMs: 8000,
    warmUpLimit: warmUpConnections,
    settings: { closeEach: true },
    async before({ say }) {
      const held = Number(readFileSync('/proc/sys/net/ipv4/tcp_max_tw_buckets', 'latin1'));
      const most = Math.max(held - warmUpConnections - maxConnections, 0);
      const deadline = Date.now() + 60_000;
      if (timeWait() > most) say(`waiting for ${timeWait()} connections in TIME_WAIT`);
      while (timeWait() > most && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
    },
  },
);
