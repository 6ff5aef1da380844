/**
 * PromQL as the panels write it.
 *
 * Role: every query selects by the dashboard's job and instance, and every rate is over Grafana's
 * `$__rate_interval`. Sums are divided, ratios are never averaged.
 */

const SELECTOR = 'job=~"$job",instance=~"$instance"';

/** A metric of the chosen servers; `labels` as in `state="idle"`. */
export const of = (metric: string, labels = ''): string =>
  `${metric}{${SELECTOR}${labels === '' ? '' : `,${labels}`}}`;

/** Per second, over all chosen servers or by some labels. */
export const rate = (metric: string, by = '', labels = ''): string =>
  `${sumBy(by)}(rate(${of(metric, labels)}[$__rate_interval]))`;

/** Now, over all chosen servers or by some labels. */
export const sum = (metric: string, by = '', labels = ''): string =>
  `${sumBy(by)}(${of(metric, labels)})`;

/** What happened within the interval of a point. */
export const increase = (metric: string, by = '', labels = ''): string =>
  `${sumBy(by)}(increase(${of(metric, labels)}[$__rate_interval]))`;

/** A quantile of a histogram, 0 .. 1. */
export const quantile = (q: number, metric: string, by = ''): string =>
  `histogram_quantile(${q}, ${rate(`${metric}_bucket`, by === '' ? 'le' : `le, ${by}`)})`;

/** Mean of what a histogram or summary observed. */
export const mean = (metric: string): string =>
  `${rate(`${metric}_sum`)} / ${rate(`${metric}_count`)}`;

const sumBy = (by: string) => (by === '' ? 'sum' : `sum by (${by})`);
