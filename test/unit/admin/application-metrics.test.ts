// The application's own metrics: values of several children in, one set of series out.
import { Counter, Gauge, Histogram, Registry, Summary } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { CHILD } from '../../../src/scoreboard/layout.ts';
import {
  ApplicationMetrics,
  type PublishedMetric,
} from '../../../src/scoreboard/metrics/application.ts';
import { createMetrics } from '../../../src/scoreboard/metrics.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';

const OPTIONS = {
  version: '0.1.0',
  startServers: 1,
  maxRequestWorkers: 4,
  queueLimit: 10,
  maxConnectionsPerChild: 0,
};

/** One child's register, as an application would fill it. */
function application() {
  const register = new Registry();
  const registers = [register];
  const common = { help: 'of the application', registers };
  return {
    register,
    orders: new Counter({ ...common, name: 'orders_total', labelNames: ['kind', 'shop'] }),
    pool: new Gauge({ ...common, name: 'pool_size' }),
    oldest: new Gauge({ ...common, name: 'oldest_job_seconds', aggregator: 'max' }),
    wait: new Histogram({ ...common, name: 'job_seconds', buckets: [1, 2] }),
    size: new Summary({ ...common, name: 'job_size', percentiles: [0.5] }),
  };
}

function setUp() {
  const board = Scoreboard.create({ connectionSlots: 8, childSlots: 4, bufferBytes: 4096 });
  const said: string[] = [];
  let nowMs = 1_000;
  const merged = new ApplicationMetrics(
    (line) => said.push(line),
    () => nowMs,
  );
  const metrics = createMetrics(board, OPTIONS, merged);
  return {
    said,
    merged,
    live: (child: number, life: number) => board.setChild(child, CHILD.life, life),
    pass: (ms: number) => {
      nowMs += ms;
    },
    publish: async (child: number, life: number, register: Registry) => {
      const found = (await register.getMetricsAsJSON()) as unknown as PublishedMetric[];
      merged.receive({ child, life, atMs: nowMs, metrics: structuredClone(found) });
    },
    lines: async () => new Set((await metrics.text()).split('\n')),
  };
}

describe('metrics of the application', () => {
  it('are summed over children; gauges by their aggregator', async () => {
    const { live, publish, lines } = setUp();
    for (const child of [0, 1]) {
      live(child, child + 1);
      const { register, orders, pool, oldest, wait, size } = application();
      orders.inc({ kind: 'a', shop: 'x' }, 2);
      // The same labels in another order are the same series.
      orders.inc({ shop: 'y', kind: 'b' }, child);
      pool.set(5);
      oldest.set(child * 10);
      wait.observe(1.5);
      size.observe(7);
      await publish(child, child + 1, register);
    }
    const found = await lines();
    expect(found).toContain('# TYPE orders_total counter');
    expect(found).toContain('# HELP orders_total of the application');
    expect(found).toContain('orders_total{kind="a",shop="x"} 4');
    expect(found).toContain('orders_total{shop="y",kind="b"} 1');
    expect(found).toContain('pool_size 10');
    expect(found).toContain('oldest_job_seconds 10');
    expect(found).toContain('job_seconds_bucket{le="1"} 0');
    expect(found).toContain('job_seconds_bucket{le="2"} 2');
    expect(found).toContain('job_seconds_bucket{le="+Inf"} 2');
    expect(found).toContain('job_seconds_sum 3');
    expect(found).toContain('job_size_count 2');
    // Medians of two threads make no median.
    expect([...found].filter((line) => line.includes('quantile'))).toEqual([]);
  });

  it('keep the last value of a busy child, with its age', async () => {
    const { live, publish, pass, lines } = setUp();
    live(2, 1);
    const { register, orders } = application();
    orders.inc({ kind: 'a', shop: 'x' });
    await publish(2, 1, register);
    pass(30_500);
    const found = await lines();
    expect(found).toContain('orders_total{kind="a",shop="x"} 1');
    expect(found).toContain('mpm_application_metrics_age_seconds{worker="2"} 30.5');
  });

  it('never fall when children end, and gauges go with them', async () => {
    const { live, publish, pass, lines } = setUp();
    live(0, 1);
    const first = application();
    first.orders.inc({ kind: 'a', shop: 'x' }, 5);
    first.wait.observe(0.5);
    first.pool.set(3);
    await publish(0, 1, first.register);
    // Its slot is seen with the next life before its last message arrives.
    live(0, 2);
    expect(await lines()).toContain('orders_total{kind="a",shop="x"} 5');
    expect(await lines()).not.toContain('pool_size 3');
    first.orders.inc({ kind: 'a', shop: 'x' });
    await publish(0, 1, first.register);
    expect(await lines()).toContain('orders_total{kind="a",shop="x"} 6');
    pass(60_000);
    const second = application();
    second.orders.inc({ kind: 'a', shop: 'x' }, 10);
    second.pool.set(4);
    await publish(0, 2, second.register);
    for (let scrape = 0; scrape < 3; scrape++) {
      const found = await lines();
      expect(found).toContain('orders_total{kind="a",shop="x"} 16');
      expect(found).toContain('job_seconds_bucket{le="1"} 1');
      expect(found).toContain('pool_size 4');
    }
    // A message of a life whose values are in the sum already changes nothing.
    await publish(0, 1, first.register);
    expect(await lines()).toContain('orders_total{kind="a",shop="x"} 16');
  });

  it("yield to the server's own names, said once", async () => {
    const { live, publish, lines, said } = setUp();
    live(0, 1);
    const register = new Registry();
    const common = { help: 'of the application', registers: [register] };
    new Counter({ ...common, name: 'mpm_mine_total' });
    new Histogram({ ...common, name: 'http_request_duration_seconds' });
    new Gauge({ ...common, name: 'http_request_duration_seconds_count' });
    new Gauge({ ...common, name: 'process_cpu_seconds' });
    new Counter({ ...common, name: 'apache_accesses_total' });
    new Counter({ ...common, name: 'fine_total' });
    await publish(0, 1, register);
    for (let scrape = 0; scrape < 2; scrape++) {
      const found = [...(await lines())];
      expect(found.filter((line) => line.includes('of the application'))).toEqual([
        '# HELP fine_total of the application',
      ]);
    }
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(
      /mpm_mine_total, http_request_duration_seconds, http_request_duration_seconds_count, process_cpu_seconds, apache_accesses_total$/,
    );
  });

  it('have their labels escaped', async () => {
    const { live, publish, lines } = setUp();
    live(0, 1);
    const { register, orders } = application();
    orders.inc({ kind: 'a"} 1\nup{x="', shop: '\\' });
    await publish(0, 1, register);
    expect(await lines()).toContain('orders_total{kind="a\\"} 1\\nup{x=\\"",shop="\\\\"} 1');
  });

  it('are left out where they are no metrics, so that the others can be read', async () => {
    const { live, lines, merged } = setUp();
    live(0, 1);
    const values = [{ value: 1, labels: {} }];
    const metric = { help: 'h', type: 'gauge', aggregator: 'sum', values };
    merged.receive({
      child: 0,
      life: 1,
      atMs: 0,
      metrics: [
        { ...metric, name: 'no name' },
        { ...metric, name: 'no_kind', type: 'untyped' },
        { ...metric, name: 'no_help', help: '' },
        { ...metric, name: 'omitted', aggregator: 'omit' },
        { ...metric, name: 'fine' },
      ],
    });
    const found = [...(await lines())];
    expect(found.filter((line) => line.endsWith(' 1') && !line.startsWith('mpm_'))).toEqual([
      'fine 1',
    ]);
  });

  it('are bounded', async () => {
    const { live, lines, said, merged } = setUp();
    for (const child of [0, 1, 2]) {
      live(child, child + 1);
      const values = Array.from({ length: 9_000 }, (_, id) => ({
        value: 1,
        labels: { id: `${child}-${id}` },
      }));
      merged.receive({
        child,
        life: child + 1,
        atMs: 0,
        metrics: [{ name: 'many_total', help: 'h', type: 'counter', aggregator: 'sum', values }],
      });
    }
    const found = [...(await lines())].filter((line) => line.startsWith('many_total{'));
    expect(found).toHaveLength(20_000);
    expect(said).toHaveLength(1);
  });
});
