// A real Prometheus scrapes the built server under light load: formats, names, rules, every panel.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { panelsOf, readDashboards } from '../support/dashboards.ts';
import {
  hasPrometheus,
  type PrometheusProcess,
  promtool,
  type Series,
  SKIPPED,
  startPrometheus,
} from '../support/prometheus.ts';
import { eventually, fixture, type ServerProcess, startServer } from '../support/server-process.ts';

/** Scrapes, one a second, before the panels are looked at; `SCRAPES=60` for a longer look. */
const SCRAPES = Number(process.env.SCRAPES ?? 15);
const WINDOW = '10s';

if (!hasPrometheus) console.warn(`test/integration/prometheus.test.ts ${SKIPPED}`);

describe.skipIf(!hasPrometheus)('rules and configuration', () => {
  it.each([
    ['check rules', ['check', 'rules', 'rules/alerts.yml'], '11 rules found'],
    ['test rules', ['test', 'rules', 'rules/alerts.test.yml'], 'SUCCESS'],
    ['check config', ['check', 'config', 'prometheus.yml'], 'is valid prometheus config'],
  ])('pass promtool %s', (_name, args, expected) => {
    const { status, output } = promtool(args);
    expect(status, output).toBe(0);
    expect(output).toContain(expected);
  });
});

describe.skipIf(!hasPrometheus)('a server that Prometheus scrapes', () => {
  let server: ServerProcess;
  let prometheus: PrometheusProcess;
  let loading: Promise<void>;
  let stopLoad = () => {};

  beforeAll(
    async () => {
      // Children come to their limit every few seconds, so that exits and starts are seen.
      server = await startServer(fixture('instrumented.mjs'), [
        '--start-servers',
        '2',
        '--max-request-workers',
        '4',
        '--max-connections-per-child',
        '25',
      ]);
      const target = `127.0.0.1:${server.adminPort}`;
      prometheus = await startPrometheus({
        'hybrid-mpm': { target },
        apache: { target, params: { compat: ['apache'] } },
      });
      loading = load(`http://127.0.0.1:${server.port}`);
      await eventually(
        () => instant('count_over_time(mpm_build_info{job="hybrid-mpm"}[10m])'),
        (values) => (values[0] ?? 0) >= SCRAPES,
        60_000 + SCRAPES * 1_000,
      );
    },
    90_000 + SCRAPES * 1_000,
  );
  afterAll(async () => {
    stopLoad();
    await loading;
    await prometheus?.stop();
    await server?.stop();
  }, 20_000);

  /** A few requests at a time: kept connections and new ones, errors, a slow one now and then. */
  async function load(url: string): Promise<void> {
    let stopped = false;
    stopLoad = () => {
      stopped = true;
    };
    for (let round = 0; !stopped; round++) {
      const paths = ['/', '/books/1', round % 5 === 0 ? '/fault' : '/', `/stuck?ms=${round % 20}`];
      await Promise.all(
        paths.map(async (path, index) => {
          const headers = index < 2 ? { connection: 'close' } : {};
          const response = await fetch(url + path, {
            headers,
            signal: AbortSignal.timeout(10_000),
          });
          await response.arrayBuffer();
        }),
      );
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  const instant = async (query: string): Promise<number[]> => {
    const { result } = await prometheus.api<{ result: { value: [number, string] }[] }>('query', {
      query,
    });
    return result.map(({ value }) => Number(value[1]));
  };

  it('is up in its own format and with the names of apache_exporter', async () => {
    interface Target {
      readonly labels: { readonly job: string };
      readonly health: string;
      readonly lastError: string;
    }
    const { activeTargets } = await prometheus.api<{ activeTargets: Target[] }>('targets');
    expect(
      activeTargets.map(({ labels, health, lastError }) => [labels.job, health, lastError]).sort(),
    ).toEqual([
      ['apache', 'up', ''],
      ['hybrid-mpm', 'up', ''],
    ]);
    expect(await instant('apache_accesses_total{job="apache"} > 0')).toHaveLength(1);
    expect(await instant('up == 0')).toEqual([]);
    // Samples it had to leave out, such as duplicates, are told here.
    expect(prometheus.output()).not.toMatch(/level=(warn|error).*(scrape|sample)/);
  });

  it('passes promtool check metrics', async () => {
    const response = await fetch(`http://127.0.0.1:${server.adminPort}/metrics`);
    const all = await response.text();
    expect(all).toContain('\nshop_orders_total{');
    const { status, output } = promtool(['check', 'metrics'], all);
    // prom-client's own default metrics, which the application collects, are not ours to name.
    const complaints = output.split('\n').filter((line) => line !== '' && !/^nodejs_/.test(line));
    expect(complaints).toEqual([]);
    expect(status === 0 || status === 3, output).toBe(true);
  });

  it('has data for every query of every panel, and for the variables', async () => {
    const end = Date.now() / 1000;
    const without: string[] = [];
    for (const dashboard of readDashboards()) {
      const queries = panelsOf(dashboard).flatMap(({ title, targets }) =>
        targets.map(({ expr }) => ({ title, expr })),
      );
      expect(queries.length).toBeGreaterThan(10);
      const lines = dashboard.annotations.list.map(({ name, expr }) => ({ title: name, expr }));
      for (const { title, expr } of [...queries, ...lines]) {
        const query = expr
          .replaceAll('$__rate_interval', WINDOW)
          .replaceAll('$job', 'hybrid-mpm')
          .replaceAll('$instance', '.+');
        const { result } = await prometheus.api<{ result: Series[] }>('query_range', {
          query,
          start: String(end - SCRAPES),
          end: String(end),
          step: '1',
        });
        const finite = result.some(({ values }) =>
          values.some(([, value]) => Number.isFinite(Number(value))),
        );
        if (!finite) without.push(`${dashboard.title} / ${title}: ${query}`);
      }
    }
    expect(without).toEqual([]);
    const match = { 'match[]': 'mpm_build_info{job=~"hybrid-mpm"}' };
    expect(await prometheus.api('label/job/values', match)).toEqual(['hybrid-mpm']);
    expect(await prometheus.api('label/instance/values', match)).toHaveLength(1);
  }, 60_000);

  it('evaluates every alert without a fault', async () => {
    interface Group {
      readonly rules: readonly { readonly name: string; readonly health: string }[];
    }
    const { groups } = await prometheus.api<{ groups: Group[] }>('rules');
    const rules = groups.flatMap((group) => group.rules);
    expect(rules).toHaveLength(11);
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
  });
});
