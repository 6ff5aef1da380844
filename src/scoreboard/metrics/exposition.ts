/**
 * Families and a snapshot in, text out: Prometheus text format 0.0.4 or OpenMetrics 1.0.
 *
 * Role: hands samples to prom-client's registry, which escapes labels and writes both formats. The
 * library's own classes count and observe, but take no buckets or sums from elsewhere; so a metric here
 * is a Gauge that answers with another kind.
 * Thread: any; in the server the admin thread. May not: know a metric by its name.
 */
import {
  Gauge,
  type MetricObjectWithValues,
  type MetricType,
  type OpenMetricsContentType,
  type PrometheusContentType,
  Registry,
} from 'prom-client';
import type { Snapshot } from '../snapshot.ts';
import type { Family, Sample } from './family.ts';

export type Format = 'text' | 'openmetrics';

export const CONTENT_TYPE = {
  text: Registry.PROMETHEUS_CONTENT_TYPE,
  openmetrics: Registry.OPENMETRICS_CONTENT_TYPE,
} as const satisfies Record<Format, string>;

/** A registry asks its metrics only for `name` and `get`, and writes the type that `get` names. */
class FamilyMetric extends Gauge {
  readonly #family: Family;
  readonly #format: Format;
  readonly #now: Snapshot;

  constructor(family: Family, format: Format, now: Snapshot) {
    super({ name: family.name, help: family.help, registers: [] });
    this.#family = family;
    this.#format = format;
    this.#now = now;
  }

  override async get(): Promise<MetricObjectWithValues<Sample>> {
    const { name, help, kind } = this.#family;
    return {
      // OpenMetrics names a counter without its suffix, and the registry puts it behind each sample.
      name: this.#format === 'openmetrics' && kind === 'counter' ? bareName(name) : name,
      help,
      // Declared as an enum, a string in fact.
      type: kind as unknown as MetricType,
      aggregator: 'sum',
      collect: () => {},
      values: [...this.#family.read(this.#now)],
    };
  }
}

/** A counter's name without `_total`. */
export const bareName = (name: string): string => name.replace(/_total$/, '');

/** The whole text; all of it is read from the one snapshot. */
export function expose(
  families: Iterable<Family>,
  now: Snapshot,
  format: Format = 'text',
): Promise<string> {
  const registry = new Registry<PrometheusContentType | OpenMetricsContentType>();
  registry.setContentType(CONTENT_TYPE[format]);
  for (const family of families) registry.registerMetric(new FamilyMetric(family, format, now));
  return registry.metrics();
}

/**
 * Whether an Accept header asks for OpenMetrics at least as much as for plain text (RFC 9110, 12.5.1).
 * Without a header, and for clients that take anything, it is the text format.
 */
export function formatFor(accept: string | undefined): Format {
  let openMetrics = 0;
  let text = 0;
  for (const part of (accept ?? '').toLowerCase().split(',')) {
    const [type = '', ...parameters] = part.split(';').map((piece) => piece.trim());
    const weight = /^q=([\d.]+)$/.exec(parameters.find((piece) => piece.startsWith('q=')) ?? '');
    const quality = weight === null ? 1 : Number(weight[1]);
    if (type === 'application/openmetrics-text') openMetrics = Math.max(openMetrics, quality);
    if (type === 'text/plain') text = Math.max(text, quality);
  }
  return openMetrics > 0 && openMetrics >= text ? 'openmetrics' : 'text';
}
