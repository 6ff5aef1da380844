// Looks at the server once a second, from outside: admin page, metrics and /proc. Never signals.
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { treeHoldings } from '../lib/proc-memory.mjs';
import { percentile } from '../lib/stats.mjs';

const turnBucket = /^mpm_listener_loop_duration_seconds_bucket\{le="([^"]+)"\} (\d+)/gm;

/** Cumulative buckets of the listener's turns, ascending. */
const turnBuckets = (metrics) =>
  [...metrics.matchAll(turnBucket)].map(([, bound, count]) => ({
    bound: bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound),
    count: Number(count),
  }));

/** The bound, in ms, below which 99 % of the turns since `before` stayed; undefined without any. */
function turnP99Ms(before, now) {
  const counts = now.map(({ count }, index) => count - (before[index]?.count ?? 0));
  const all = counts.at(-1) ?? 0;
  if (all === 0) return undefined;
  const index = counts.findIndex((count) => count >= 0.99 * all);
  const { bound } = now[index];
  return 1000 * (Number.isFinite(bound) ? bound : now[index - 1].bound);
}

const rss = (pid) =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) * 1024;

export class Sampler {
  samples = [];
  #server;
  #tally;
  #delay = monitorEventLoopDelay({ resolution: 5 });
  #turns = [];
  #requests = 0;
  #atMs = 0;

  constructor(server, tally) {
    this.#server = server;
    this.#tally = tally;
    this.#delay.enable();
  }

  /** One sample; an admin page that does not answer is a failure like any other. */
  async sample() {
    const beganMs = this.#tally.now();
    try {
      const [json, status, metrics] = await Promise.all([
        this.#server.json(),
        this.#server.status(),
        this.#server.metrics(),
      ]);
      this.samples.push(this.#row(beganMs, json, status, metrics));
    } catch (error) {
      this.#tally.failure('admin', Object.assign(error, { kind: 'admin' }), beganMs);
    }
  }

  #row(atMs, json, status, metrics) {
    const { pss, descriptors } = treeHoldings(this.#server.pid);
    const turns = turnBuckets(metrics);
    const listenerTurnP99Ms = turnP99Ms(this.#turns, turns);
    this.#turns = turns;
    const { requests } = json.totals;
    const seconds = (atMs - this.#atMs) / 1000;
    const requestsPerSecond = seconds > 0 ? (requests - this.#requests) / seconds : 0;
    this.#requests = requests;
    this.#atMs = atMs;
    const light = this.#tally.takeRecent('light');
    const clientDelayMs = this.#delay.percentile(99) / 1e6;
    this.#delay.reset();
    const { starting, idle, busy, draining } = json.workers;
    return {
      atMs: Math.round(atMs),
      requestsPerSecond,
      lightP50Ms: percentile(light, 50),
      lightP99Ms: percentile(light, 99),
      serverP50Ms: json.latency[0].p50Ms ?? undefined,
      serverP99Ms: json.latency[0].p99Ms ?? undefined,
      rssBytes: rss(this.#server.pid),
      pssBytes: pss,
      descriptors,
      connections: json.connections.open,
      buffersUsed: status.MpmBuffersUsed,
      spilledBytes: json.spilled.memoryBytes + json.spilled.folderBytes,
      queue: json.queue.length,
      workers: starting + idle + busy + draining,
      busy,
      lengthyWorkers: json.lengthy.starting + json.lengthy.idle + json.lengthy.busy,
      childrenStarted: json.children.started,
      generation: json.server.generation,
      listenerTurnP99Ms,
      clientDelayMs,
    };
  }
}

/** What must come back: exact counts of everything that is taken for a connection or a child. */
export async function holdings(server) {
  const [json, status] = await Promise.all([server.json(), server.status()]);
  const { starting, idle, busy, draining } = json.workers;
  return {
    descriptors: treeHoldings(server.pid).descriptors,
    connections: json.connections.open,
    buffers: status.MpmBuffersUsed,
    spilledBytes: json.spilled.memoryBytes + json.spilled.folderBytes,
    queued: json.queue.length + json.lengthy.queueLength,
    children: starting + idle + busy + draining,
    unsettled: starting + busy + draining,
    lengthyWorkers:
      json.lengthy.starting + json.lengthy.idle + json.lengthy.busy + json.lengthy.draining,
  };
}
