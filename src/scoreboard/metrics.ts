/**
 * Prometheus metrics whose values are read from shared memory at the moment of a scrape.
 *
 * Role: puts the families of src/scoreboard/metrics together: this server's own, the application's where
 * it has some, apache_exporter's where they are asked for. Counters are kept by child slot and outlive
 * children, so they never fall while the server runs.
 * Thread: the admin thread. May not: keep state, or ask another thread for anything.
 */
import { apacheFamilies } from './metrics/apache.ts';
import { connectionFamilies } from './metrics/connections.ts';
import { bareName, CONTENT_TYPE, expose, type Format } from './metrics/exposition.ts';
import type { Family } from './metrics/family.ts';
import { processFamilies } from './metrics/process.ts';
import { queueFamilies } from './metrics/queue.ts';
import { requestFamilies } from './metrics/requests.ts';
import { upstreamFamilies } from './metrics/upstreams.ts';
import { type WorkerLimits, workerFamilies } from './metrics/workers.ts';
import type { Scoreboard } from './scoreboard.ts';
import { readSeries, type Snapshot, takeSnapshot } from './snapshot.ts';
import type { StatusFigures } from './status-auto.ts';

export { formatFor } from './metrics/exposition.ts';

/** Limits that are not in the scoreboard. */
export interface MetricsOptions extends WorkerLimits {
  readonly version: string;
  readonly queueLimit: number;
}

/** Metrics that are not this server's: those of the application, put together over its children. */
export interface FurtherFamilies {
  /** @param reserved names, without `_total`, that are taken */
  families(now: Snapshot, reserved: ReadonlySet<string>): Iterable<Family>;
}

export interface Scrape {
  readonly format?: Format;
  /** Also the names of apache_exporter, with these figures. */
  readonly apache?: (() => StatusFigures) | null;
}

export interface Metrics {
  /** The whole text of one scrape, from one snapshot. */
  text(scrape?: Scrape): Promise<string>;
  contentType(format: Format): string;
}

/** The metrics of one server. */
export function createMetrics(
  board: Scoreboard,
  options: MetricsOptions,
  further: FurtherFamilies | null = null,
): Metrics {
  const own: readonly Family[] = [
    ...connectionFamilies,
    ...workerFamilies(options),
    ...queueFamilies(options.queueLimit),
    ...requestFamilies(() => readSeries(board)),
    ...processFamilies(options.version),
  ];
  // Only where there are any: a family without a sample says nothing.
  const proxied = upstreamFamilies(() => board.upstreams.statuses());
  const unasked = (): never => {
    throw new Error('only the names are wanted');
  };
  const reserved = reservedNames([...own, ...proxied, ...apacheFamilies(unasked)]);
  return {
    contentType: (format) => CONTENT_TYPE[format],
    text: ({ format = 'text', apache = null } = {}) => {
      const now = takeSnapshot(board);
      const families = [...own];
      if (board.upstreams.any) families.push(...proxied);
      if (apache !== null) families.push(...apacheFamilies(apache));
      if (further !== null) families.push(...further.families(now, reserved));
      return expose(families, now, format);
    },
  };
}

/** Names that samples of these families may have; a counter's without `_total`. */
function reservedNames(families: readonly Family[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { name, kind } of families) {
    names.add(bareName(name));
    if (kind !== 'histogram' && kind !== 'summary') continue;
    for (const suffix of ['_bucket', '_sum', '_count']) names.add(name + suffix);
  }
  return names;
}
