/**
 * What a metric is here: a name, a kind and a way to read its samples from a snapshot.
 *
 * Role: the vocabulary of the files beside this one. Samples are made at each scrape and hold nothing.
 * Thread: any; in the server the admin thread. May not: keep a value between two scrapes.
 */
import type { HistogramName } from '../layout.ts';
import type { HistogramCounts, Snapshot } from '../snapshot.ts';

export type Kind = 'counter' | 'gauge' | 'histogram' | 'summary';

export interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  /** Further labels, one object for many samples: prom-client writes and escapes it once. */
  readonly sharedLabels?: Readonly<Record<string, string>>;
  /** Where it is not the family's: `_bucket`, `_sum`, `_count` are samples of one family. */
  readonly metricName?: string;
  /** In OpenMetrics: one of the values that were observed. */
  readonly exemplar?: {
    readonly labelSet: Readonly<Record<string, string>>;
    readonly value: number;
    /** Seconds since the Unix epoch. */
    readonly timestamp: number;
  };
}

/** One metric with all its label sets, as it stands under one HELP and one TYPE line. */
export interface Family {
  readonly kind: Kind;
  /** As in the text format: of a counter with `_total`. */
  readonly name: string;
  readonly help: string;
  read(now: Snapshot): readonly Sample[];
}

type Read = (now: Snapshot) => readonly Sample[];

const family =
  (kind: Kind) =>
  (name: string, help: string, read: Read): Family => ({ kind, name, help, read });
export const counter = family('counter');
export const gauge = family('gauge');
export const histogram = family('histogram');

/** One sample without labels. */
export const plain = (value: number): Sample[] => [{ value, labels: {} }];

/** One sample for each key, told apart by `label`. */
export function labelled<T extends string>(
  label: string,
  keys: readonly T[],
  value: (key: T) => number,
  text: (key: T) => string = snakeCase,
): Sample[] {
  return keys.map((key) => ({ value: value(key), labels: { [label]: text(key) } }));
}

/** `waitRequest` to `wait_request`. */
export const snakeCase = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/**
 * Cumulative buckets, sum and count of one label set, with an exemplar at the bucket it fell into. The count is the last bucket, so that the two
 * never contradict each other.
 */
export function bucketSamples(
  name: string,
  { counts, bounds, sum }: HistogramCounts,
  sharedLabels: Readonly<Record<string, string>> = {},
  exemplar: NonNullable<Sample['exemplar']> | null = null,
): Sample[] {
  let cumulative = 0;
  const above = exemplar === null ? -1 : bounds.findIndex((bound) => exemplar.value <= bound);
  const bucket = exemplar !== null && above < 0 ? bounds.length : above;
  const samples = counts.map((count, index): Sample => {
    cumulative += count;
    const bound = bounds[index];
    const le = bound === undefined ? '+Inf' : String(bound);
    const sample = {
      value: cumulative,
      labels: { le },
      sharedLabels,
      metricName: `${name}_bucket`,
    };
    return exemplar !== null && index === bucket ? { ...sample, exemplar } : sample;
  });
  const labels = {};
  samples.push({ value: sum, labels, sharedLabels, metricName: `${name}_sum` });
  samples.push({ value: cumulative, labels, sharedLabels, metricName: `${name}_count` });
  return samples;
}

/** A histogram of the snapshot without labels. */
export const kept = (name: string, help: string, which: HistogramName): Family =>
  histogram(name, help, ({ histograms }) => bucketSamples(name, histograms[which]));
