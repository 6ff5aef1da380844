// The dashboards: made from code, complete, and about metrics that exist.
import { describe, expect, it } from 'vitest';
import { dashboards } from '../../../grafana/code/dashboards.ts';
import { createMetrics } from '../../../src/scoreboard/metrics.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { dashboardFiles, panelsOf, readDashboards } from '../../support/dashboards.ts';

describe('grafana/dashboards', () => {
  it('is what the code beside it makes (npm run grafana)', () => {
    expect(Object.fromEntries(dashboardFiles())).toEqual(Object.fromEntries(dashboards()));
  });

  it('has one data source variable, and job and instance to choose several of', () => {
    for (const { templating, title } of readDashboards()) {
      const found = templating.list.map(({ name, type, multi }) => [name, type, multi ?? false]);
      expect(found, title).toEqual([
        ['datasource', 'datasource', false],
        ['job', 'query', true],
        ['instance', 'query', true],
      ]);
    }
  });

  it('has a title, a description, a unit and an id for every panel', () => {
    for (const dashboard of readDashboards()) {
      const panels = panelsOf(dashboard);
      expect(panels.length).toBeGreaterThan(10);
      for (const { title, description, fieldConfig } of panels) {
        expect(title).toMatch(/\S/);
        expect(description, title).toMatch(/\.$/);
        expect(fieldConfig.defaults.unit, title).toMatch(/\S/);
      }
      const ids = dashboard.panels.map(({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
    }
  });

  it('asks only for metrics that there are, of the chosen servers', async () => {
    const board = Scoreboard.create({ connectionSlots: 8, childSlots: 2, bufferBytes: 4096 });
    const text = await createMetrics(board, {
      version: '0.1.0',
      startServers: 1,
      maxRequestWorkers: 2,
      queueLimit: 8,
      maxConnectionsPerChild: 0,
    }).text();
    const known = new Set(['up', 'mpm_application_metrics_age_seconds']);
    for (const [, name, type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
      known.add(name as string);
      if (type !== 'histogram') continue;
      for (const suffix of ['_bucket', '_sum', '_count']) known.add(`${name}${suffix}`);
    }
    for (const dashboard of readDashboards()) {
      const queries = panelsOf(dashboard).flatMap(({ targets }) => targets);
      for (const { expr } of [...queries, ...dashboard.annotations.list]) {
        const selected = [...expr.matchAll(/([a-z_]+)\{([^}]*)\}/g)];
        expect(selected.length, expr).toBeGreaterThan(0);
        for (const [, name, labels] of selected) {
          expect(known, expr).toContain(name);
          expect(labels).toMatch(/^job=~"\$job",instance=~"\$instance"/);
        }
        for (const [, window] of expr.matchAll(/\[([^\]]+)\]/g)) {
          expect(window, expr).toBe('$__rate_interval');
        }
      }
    }
  });
});
