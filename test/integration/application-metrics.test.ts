// The application's own prom-client metrics on /metrics of the built server.
import { afterEach, describe, expect, it } from 'vitest';
import { eventually, fixture, type ServerProcess, startServer } from '../support/server-process.ts';

describe('metrics of the application', () => {
  let server: ServerProcess | null = null;
  afterEach(async () => {
    await server?.stop();
    server = null;
  });

  const get = async (port: number, path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      signal: AbortSignal.timeout(20_000),
    });
    return response.text();
  };
  const value = (text: string, sample: string) => {
    const line = text.split('\n').find((one) => one.startsWith(`${sample} `));
    return line === undefined ? null : Number(line.slice(sample.length + 1));
  };
  const books = 'shop_orders_total{kind="book"}';

  it('appear on /metrics, outlive their children, and yield to the names of the server', async () => {
    const flags = ['--start-servers', '1', '--max-connections-per-child', '5'];
    const { port, adminPort, output } = await start(flags);
    const requests = 23;
    for (let sent = 0; sent < requests; sent++) {
      // A connection each, so that children come to their limit.
      await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } });
    }
    const text = await eventually(
      () => get(adminPort, '/metrics'),
      (found) =>
        value(found, books) === requests &&
        found.includes('_age_seconds{worker=') &&
        Number(value(found, 'mpm_worker_exits_total{reason="max_connections"}')) > 0,
      25_000,
    );
    expect(value(text, 'mpm_worker_exits_total{reason="max_connections"}')).toBeGreaterThan(0);
    expect(value(text, 'shop_price_euros_bucket{le="100"}')).toBe(requests);
    expect(value(text, 'shop_price_euros_sum')).toBe(requests * 20);
    expect(text).toMatch(/^mpm_application_metrics_age_seconds\{worker="\d+"\} \d/m);
    // prom-client's figures of the process would be there once for each worker.
    expect(text.match(/^# TYPE process_cpu_seconds_total/gm)).toHaveLength(1);
    expect(text).not.toContain('process_heap_bytes');
    expect(text).toMatch(/^nodejs_heap_size_used_bytes \d+/m);
    const told = output()
      .split('\n')
      .filter((line) => line.includes('left out of /metrics'));
    expect(told).toHaveLength(1);
    expect(told[0]).toContain('process_cpu_seconds_total');
  });

  it('stand as they were while every worker is stuck', async () => {
    const { port, adminPort } = await start(['--start-servers', '1', '--max-request-workers', '1']);
    await get(port, '/');
    await eventually(
      () => get(adminPort, '/metrics'),
      (found) => value(found, books) === 1,
      15_000,
    );
    const stuck = get(port, '/stuck?ms=3000');
    await eventually(
      () => get(adminPort, '/metrics'),
      (found) => value(found, 'mpm_workers{state="busy"}') === 1,
    );
    const began = performance.now();
    const text = await get(adminPort, '/metrics');
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(value(text, books)).toBe(1);
    expect(value(text, 'mpm_application_metrics_age_seconds{worker="0"}')).toBeGreaterThan(0);
    await stuck;
  });

  async function start(flags: readonly string[]): Promise<ServerProcess> {
    server = await startServer(fixture('instrumented.mjs'), flags);
    return server;
  }
});
