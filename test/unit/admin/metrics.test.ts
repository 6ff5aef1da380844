// The /metrics text, line by line.
import { beforeAll, describe, expect, it } from 'vitest';
import { ChildStatus, ExitReason, SpawnReason } from '../../../src/scoreboard/codes.ts';
import {
  observeChild,
  observeHeader,
  QUEUE_WAIT,
  RESPONSE_SIZE,
} from '../../../src/scoreboard/histograms.ts';
import { CHILD, DURATION_BUCKETS_MS, HEADER } from '../../../src/scoreboard/layout.ts';
import { createMetrics, formatFor } from '../../../src/scoreboard/metrics.ts';
import type { RouteSeries } from '../../../src/scoreboard/route-series.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { ConnectionState } from '../../../src/scoreboard/states.ts';
import type { StatusFigures } from '../../../src/scoreboard/status-auto.ts';

const DIMENSIONS = { connectionSlots: 32, childSlots: 4, bufferBytes: 4096 };
const OPTIONS = {
  version: '0.1.0',
  startServers: 3,
  maxRequestWorkers: 16,
  queueLimit: 100,
  maxConnectionsPerChild: 5000,
};

const FIGURES: StatusFigures = {
  serverName: 'web-1',
  version: '1.2.3',
  nodeVersion: '20.20.2',
  platform: 'Linux',
  builtAt: new Date(0),
  now: new Date(0),
  uptimeMs: 100_000,
  loadAverages: [0.5, 1.25, 2],
  cpuUserSeconds: 30,
  cpuSystemSeconds: 20,
};

interface Family {
  type: string;
  help: string;
  samples: Map<string, number>;
}

/** The text format: HELP, TYPE, then samples whose names belong to the family. */
function parse(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  let name = '';
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const comment = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (comment !== null) {
      const [, kind, of, rest] = comment as unknown as [string, string, string, string];
      if (kind === 'HELP') {
        expect(families.has(of), `${of} twice`).toBe(false);
        families.set(of, { type: '', help: rest, samples: new Map() });
        name = of;
      } else {
        expect(of).toBe(name);
        (families.get(of) as Family).type = rest;
      }
      continue;
    }
    const sample = /^([a-zA-Z_:][\w:]*)((?:\{[^{}]*\})?) (\S+)$/.exec(line);
    expect(sample, line).not.toBeNull();
    const [, of, labels, value] = sample as unknown as [string, string, string, string];
    if (labels !== '') expect(labels).toMatch(/^\{\w+="[^"]*"(,\w+="[^"]*")*\}$/);
    const family = families.get(name) as Family;
    const suffix = of.slice(name.length);
    expect(of.startsWith(name), of).toBe(true);
    if (family.type === 'histogram') expect(suffix).toMatch(/^_(bucket|sum|count)$/);
    else expect(suffix).toBe('');
    expect(Number.isFinite(Number(value)), line).toBe(true);
    expect(family.samples.has(of + labels), line).toBe(false);
    family.samples.set(of + labels, Number(value));
  }
  return families;
}

function board(): Scoreboard {
  const made = Scoreboard.create(DIMENSIONS);
  made.setHeader(HEADER.phase.offset, 1);
  made.setHeader(HEADER.slotWatermark.offset, 3);
  made.words[made.slotIndex(0)] = ConnectionState.keepalive;
  made.words[made.slotIndex(2)] = ConnectionState.waitRequest;
  made.setChild(1, CHILD.status, ChildStatus.ready);
  made.setChild(1, CHILD.life, 9);
  made.setChild(1, CHILD.heapUsedKb, 2048);
  made.count(HEADER.childExits, 4, ExitReason.outOfMemory);
  for (const child of [1, 3]) {
    const at = made.childIndex(child) >> 1;
    const set = (field: { offset: number }, entry: number, value: number) => {
      made.doubles[at + (field.offset >> 3) + entry] = value;
    };
    set(CHILD.requests, 0, 10);
    set(CHILD.durationMs, 0, 12_000);
    set(CHILD.durations, 0, 6);
    set(CHILD.durations, 3, 3);
    set(CHILD.durations, 14, 1);
    set(CHILD.statuses, 1, 10);
  }
  observeChild(made, 1, QUEUE_WAIT, 0.002);
  observeChild(made, 3, QUEUE_WAIT, 0.002);
  observeChild(made, 3, QUEUE_WAIT, 10);
  observeHeader(made, 'connectionDuration', 2);
  observeHeader(made, 'connectionRequests', 3);
  observeHeader(made, 'workerConnectionsAtExit', 5_000);
  observeHeader(made, 'workerHeapAtExit', 5e7);
  observeHeader(made, 'listenerTurn', 0.25);
  observeChild(made, 1, RESPONSE_SIZE, 300);
  made.count(HEADER.acceptErrnos, 2, 0);
  made.count(HEADER.startFailures, 3);
  made.count(HEADER.spawns, 5, SpawnReason.demand);
  made.setHeader(HEADER.spilledKb.offset, 2);
  made.setHeader(HEADER.spilledFileKb.offset, 3);
  made.addToChild(1, CHILD.lostMoves, 4);
  made.addToChild(made.listenerCounters, CHILD.lostMoves, 6);
  made.addToChild(1, CHILD.reuses, 7);
  return made;
}

describe('metrics', () => {
  let families = new Map<string, Family>();
  const made = board();
  const metrics = createMetrics(made, OPTIONS);
  const value = (sample: string) => families.get(sample.replace(/\{.*/, ''))?.samples.get(sample);
  beforeAll(async () => {
    families = parse(await metrics.text());
  });

  it('follows the naming rules', () => {
    for (const [name, { type, help }] of families) {
      expect(name).toMatch(/^(mpm|http|process)_[a-z_]+$/);
      expect(help).toMatch(/\S/);
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      expect(name).not.toMatch(/_(ms|milliseconds|kilobytes|kb)(_|$)/);
    }
  });

  it('has connections by state, zeros included', () => {
    expect(value('mpm_connections{state="keepalive"}')).toBe(1);
    expect(value('mpm_connections{state="wait_request"}')).toBe(1);
    expect(value('mpm_connections{state="linger_short"}')).toBe(0);
    expect(value('mpm_connections{state="free"}')).toBeUndefined();
    expect(value('mpm_connections_max')).toBe(32);
  });

  it('has workers and their limits', () => {
    expect(value('mpm_workers{state="busy"}')).toBe(1);
    expect(value('mpm_workers_max')).toBe(16);
    expect(value('mpm_worker_connections_limit')).toBe(5000);
    expect(value('mpm_worker_heap_used_bytes{worker="1"}')).toBe(2048 * 1024);
    expect(value('mpm_worker_exits_total{reason="oom"}')).toBe(4);
    expect(value('mpm_worker_exits_total{reason="max_connections"}')).toBe(0);
    expect(value('mpm_responses_total{class="2xx"}')).toBe(20);
    expect(value('mpm_accept_paused')).toBe(1);
  });

  it('has what explains them', () => {
    expect(value('mpm_accept_errors_total{errno="EMFILE"}')).toBe(2);
    expect(value('mpm_accept_errors_total{errno="other"}')).toBe(0);
    expect(value('mpm_worker_start_failures_total')).toBe(3);
    expect(value('mpm_worker_spawns_total{reason="demand"}')).toBe(5);
    expect(value('mpm_worker_spawns_total{reason="none"}')).toBeUndefined();
    expect(value('mpm_spilled_bytes{place="memory"}')).toBe(2048);
    expect(value('mpm_spilled_bytes{place="folder"}')).toBe(3072);
    expect(value('mpm_scoreboard_cas_retries_total{by="worker"}')).toBe(4);
    expect(value('mpm_scoreboard_cas_retries_total{by="listener"}')).toBe(6);
    expect(value('mpm_keepalive_reuses_total')).toBe(7);
    expect(value('mpm_buffer_misses_total')).toBe(0);
    const sizes = families.get('http_response_size_bytes')?.samples;
    expect(sizes?.get('http_response_size_bytes_bucket{le="256"}')).toBe(0);
    expect(sizes?.get('http_response_size_bytes_bucket{le="1024"}')).toBe(1);
  });

  it('has a histogram with cumulative buckets', () => {
    const { type, samples } = families.get('http_request_duration_seconds') as Family;
    expect(type).toBe('histogram');
    const bucket = (le: string) => samples.get(`http_request_duration_seconds_bucket{le="${le}"}`);
    expect(samples.size).toBe(DURATION_BUCKETS_MS.length + 3);
    expect([bucket('0.0005'), bucket('0.0025'), bucket('0.005'), bucket('10')]).toEqual([
      12, 12, 18, 18,
    ]);
    expect(bucket('+Inf')).toBe(20);
    expect(samples.get('http_request_duration_seconds_count')).toBe(20);
    expect(samples.get('http_request_duration_seconds_sum')).toBe(24);
    const counts = [...samples].filter(([name]) => name.includes('_bucket')).map(([, at]) => at);
    expect(counts).toEqual(counts.toSorted((one, other) => one - other));
  });

  it('has the histograms of the snapshot, those of children summed', () => {
    const { type, samples } = families.get('mpm_queue_wait_seconds') as Family;
    expect(type).toBe('histogram');
    expect(samples.get('mpm_queue_wait_seconds_bucket{le="0.001"}')).toBe(0);
    expect(samples.get('mpm_queue_wait_seconds_bucket{le="0.0025"}')).toBe(2);
    expect(samples.get('mpm_queue_wait_seconds_count')).toBe(3);
    expect(samples.get('mpm_queue_wait_seconds_sum')).toBeCloseTo(10.004);
    for (const [name, observed] of [
      ['mpm_connection_duration_seconds', 2],
      ['mpm_connection_requests', 3],
      ['mpm_worker_connections_at_exit', 5_000],
      ['mpm_worker_heap_at_exit_bytes', 5e7],
      ['mpm_listener_loop_duration_seconds', 0.25],
    ] as const) {
      expect(families.get(name)?.samples.get(`${name}_sum`), name).toBe(observed);
      expect(families.get(name)?.samples.get(`${name}_count`), name).toBe(1);
    }
  });

  it('has durations by method, route and status class where they are recorded', async () => {
    const extended = Scoreboard.create(DIMENSIONS, false, true);
    extended.setChild(0, CHILD.life, 1);
    extended.count(HEADER.accepted);
    extended.doubles[(extended.childIndex(0) + (CHILD.turns.offset >> 2)) >> 1] = 1;
    const recorded = extended.series as RouteSeries;
    const hostile = '/"}\n\\';
    for (const [route, status] of [
      ['/users/:id', 200],
      ['/users/:id', 201],
      ['/users/:id', 404],
      [hostile, 200],
    ] as const) {
      recorded.count(0, recorded.seriesOf('GET', route, status), 3, 4);
    }
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    recorded.exemplify(0, recorded.seriesOf('GET', '/users/:id', 404), 4, traceId, 1_500_250);
    const found = await createMetrics(extended, OPTIONS).text();
    const line = (labels: string) => `\nhttp_request_duration_seconds_count{${labels}} `;
    expect(found).toContain(`${line('method="GET",route="/users/:id",status_code="2xx"')}2\n`);
    expect(found).toContain(`${line('method="GET",route="/users/:id",status_code="4xx"')}1\n`);
    expect(found).not.toContain(traceId);
    const open = await createMetrics(extended, OPTIONS).text({ format: 'openmetrics' });
    const bucket =
      'http_request_duration_seconds_bucket{le="0.005",method="GET",route="/users/:id"';
    expect(open.split('\n').filter((sample) => sample.includes(traceId))).toEqual([
      `${bucket},status_code="4xx"} 1 # {trace_id="${traceId}"} 0.004 1500.25`,
    ]);
    expect(found).toContain(`${line('method="GET",route="/\\"}\\n\\\\",status_code="2xx"')}1\n`);
  });

  it('has the figures of the process', () => {
    expect(value('process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(value('process_resident_memory_bytes')).toBeGreaterThan(1e6);
    expect(value('process_open_fds')).toBeGreaterThan(0);
    expect(value('process_max_fds')).toBeGreaterThan(0);
    expect(value('process_start_time_seconds')).toBeLessThanOrEqual(Date.now() / 1000);
    const node = process.versions.node;
    expect(value(`mpm_build_info{version="0.1.0",node="${node}"}`)).toBe(1);
  });

  it('reads the memory anew at each scrape, and counters outlive children', async () => {
    made.setChild(1, CHILD.life, 0);
    made.setChild(1, CHILD.status, ChildStatus.empty);
    made.doubles[(made.childIndex(1) + (CHILD.requests.offset >> 2)) >> 1] = 11;
    const [now, again] = await Promise.all([metrics.text(), metrics.text()]);
    const later = parse(now);
    expect(later.get('mpm_requests_total')?.samples.get('mpm_requests_total')).toBe(21);
    expect(later.get('mpm_worker_heap_used_bytes')?.samples.size).toBe(0);
    expect(later.get('mpm_workers')?.samples.get('mpm_workers{state="busy"}')).toBe(0);
    expect(parse(again).size).toBe(later.size);
  });

  it('writes OpenMetrics, where counters lose their suffix and the text has an end', async () => {
    const text = await metrics.text({ format: 'openmetrics' });
    expect(metrics.contentType('openmetrics')).toMatch(/^application\/openmetrics-text; version=1/);
    expect(text.endsWith('\n# EOF\n')).toBe(true);
    expect(text.match(/# EOF/g)).toHaveLength(1);
    expect(text).not.toContain('\n\n');
    expect(text).toContain('\n# TYPE mpm_requests counter\nmpm_requests_total 2');
    expect(text).not.toContain('_total_total');
    expect(text).toContain('\n# TYPE mpm_workers gauge\nmpm_workers{state="starting"} ');
    expect(text).toContain('\nhttp_request_duration_seconds_bucket{le="+Inf"} 20\n');
    const families = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name);
    // A gauge may not be called as a counter is without its suffix.
    expect(families.filter((name, index) => families.indexOf(name) !== index)).toEqual([]);
    const types = [...text.matchAll(/^# TYPE (\S+) counter$/gm)].map(([, name]) => name);
    expect(types.length).toBeGreaterThan(10);
    for (const name of types) {
      const samples = text.split('\n').filter((line) => line.startsWith(`${name}_total`));
      expect(samples.length, name).toBeGreaterThan(0);
    }
  });

  it("adds apache_exporter's names where they are asked for", async () => {
    expect(await metrics.text()).not.toContain('apache_');
    const compat = parse(await metrics.text({ apache: () => FIGURES }));
    const apache = (sample: string) => compat.get(sample.replace(/\{.*/, ''))?.samples.get(sample);
    expect(apache('apache_up')).toBe(1);
    expect(apache('apache_version')).toBe(1.02003);
    const version = 'hybrid-mpm/1.2.3 (Linux) Node/20.20.2';
    expect(apache(`apache_info{version="${version}",mpm="event"}`)).toBe(1);
    expect(apache('apache_generation{type="config"}')).toBe(1);
    expect(apache('apache_generation{type="mpm"}')).toBe(0);
    expect(apache('apache_load{interval="5min"}')).toBe(1.25);
    expect(apache('apache_accesses_total')).toBe(21);
    expect(apache('apache_duration_ms_total')).toBe(24_000);
    expect(apache('apache_cpu_time_ms_total{type="user"}')).toBe(30_000);
    expect(apache('apache_cpu_time_ms_total{type="system"}')).toBe(20_000);
    expect(apache('apache_cpuload')).toBe(50);
    expect(apache('apache_uptime_seconds_total')).toBe(100);
    expect(apache('apache_processes{state="all"}')).toBe(1);
    expect(apache('apache_connections{state="total"}')).toBe(2);
    expect(apache('apache_connections{state="keepalive"}')).toBe(1);
    const states = [...(compat.get('apache_scoreboard')?.samples ?? [])];
    expect(states).toHaveLength(11);
    expect(states.reduce((sum, [, value]) => sum + value, 0)).toBe(made.childSlots);
    expect(apache('apache_scoreboard{state="open_slot"}')).toBe(4);
  });
});

describe('the format of an answer', () => {
  it.each([
    [undefined, 'text'],
    ['*/*', 'text'],
    ['text/plain', 'text'],
    ['application/openmetrics-text; version=1.0.0', 'openmetrics'],
    // What Prometheus 2.42 sends.
    [
      'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
      'openmetrics',
    ],
    ['application/openmetrics-text;q=0.2, text/plain;q=0.9', 'text'],
    ['application/openmetrics-text;q=0', 'text'],
  ])('for Accept: %s is %s', (accept, format) => {
    expect(formatFor(accept)).toBe(format);
  });
});
