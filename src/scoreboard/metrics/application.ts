/**
 * The application's own prom-client metrics, put together over its children.
 *
 * Role: takes what each child publishes now and then, keeps the last values of each, and adds them up at
 * a scrape without asking anybody. Counters and histograms of children that ended are kept in a sum, so
 * they never fall; gauges are combined over living children by their `aggregator`. Quantiles of a summary
 * are left out: those of several threads cannot be combined.
 * Thread: the admin thread. May not: wait for a child, or trust the shape of what it sends.
 */
import { monotonicMs } from '../clock.ts';
import type { Snapshot } from '../snapshot.ts';
import { bareName } from './exposition.ts';
import { type Family, gauge, type Kind, type Sample } from './family.ts';

/** One metric as prom-client's `getMetricsAsJSON` has it. */
export interface PublishedMetric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly aggregator: string;
  readonly values: readonly Sample[];
}

/** What a child sends. */
export interface Published {
  /** Its slot. */
  readonly child: number;
  readonly life: number;
  /** `monotonicMs()` when the values were read. */
  readonly atMs: number;
  readonly metrics: readonly PublishedMetric[];
}

/** Series kept over all children; what comes beyond is left out. */
const MAX_SERIES = 20_000;
/** A last message of a child may come this long after its slot was seen empty. */
const SETTLE_MS = 10_000;
const AGE = 'mpm_application_metrics_age_seconds';

interface Series {
  readonly labels: Sample['labels'];
  readonly metricName: string | undefined;
  /** A counter or a part of a histogram. */
  readonly rises: boolean;
  /** Sum over children that are gone. */
  ended: number;
}

interface ApplicationFamily {
  readonly name: string;
  readonly help: string;
  readonly kind: Kind;
  readonly aggregator: string;
  readonly series: Map<string, Series>;
}

interface ChildValues {
  readonly slot: number;
  readonly life: number;
  readonly atMs: number;
  readonly series: readonly Series[];
  readonly values: Float64Array;
  /** When another life, or none, was first seen in its slot; null: it lives. */
  endedMs: number | null;
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const KINDS: ReadonlySet<string> = new Set(['counter', 'gauge', 'histogram', 'summary']);

export class ApplicationMetrics {
  readonly #say: (line: string) => void;
  readonly #clock: () => number;
  readonly #families = new Map<string, ApplicationFamily>();
  readonly #children = new Map<number, ChildValues>();
  /** Last life of each slot whose values are in the sums of the ended. */
  readonly #folded = new Map<number, number>();
  readonly #told = new Set<string>();
  #seriesCount = 0;

  /**
   * @param say writes a line for whoever runs the server
   * @param clock milliseconds, the same as the children's
   */
  constructor(say: (line: string) => void, clock: () => number = monotonicMs) {
    this.#say = say;
    this.#clock = clock;
  }

  /** Values of a child instead of its former ones. */
  receive({ child, life, atMs, metrics }: Published): void {
    if (life <= (this.#folded.get(child) ?? 0)) return;
    const series: Series[] = [];
    const values: number[] = [];
    for (const metric of metrics) {
      const family = this.#familyOf(metric);
      if (family === null) continue;
      for (const sample of metric.values) {
        // A summary's own samples, without a name of theirs, are its quantiles.
        if (family.kind === 'summary' && sample.metricName === undefined) continue;
        const one = this.#seriesOf(family, sample);
        if (one === null) continue;
        series.push(one);
        values.push(sample.value);
      }
    }
    const endedMs = this.#children.get(life)?.endedMs ?? null;
    const record = { slot: child, life, atMs, series, endedMs };
    this.#children.set(life, { ...record, values: Float64Array.from(values) });
  }

  /** Families for one scrape, without those whose name is taken. */
  *families(now: Snapshot, reserved: ReadonlySet<string>): Generator<Family> {
    const nowMs = this.#clock();
    this.#noticeEnds(now, nowMs);
    if (this.#families.size === 0) return;
    const living = [...this.#children.values()].filter(({ endedMs }) => endedMs === null);
    living.sort((one, other) => one.slot - other.slot);
    yield gauge(AGE, "Since a worker last gave its application's metrics.", () =>
      living.map(({ slot, atMs }) => ({
        value: Math.max(0, nowMs - atMs) / 1000,
        labels: { worker: String(slot) },
      })),
    );
    const totals = this.#totals(living);
    const clashes: string[] = [];
    for (const family of this.#families.values()) {
      const { name, kind, help } = family;
      if (isTaken(family, reserved)) {
        if (!this.#told.has(name)) clashes.push(name);
        continue;
      }
      yield { name, kind, help, read: () => samplesOf(family, totals) };
    }
    for (const name of clashes) this.#told.add(name);
    if (clashes.length > 0) {
      this.#say(
        `metrics of the application whose names are the server's are left out of /metrics: ${clashes.join(', ')}`,
      );
    }
  }

  #familyOf(metric: PublishedMetric): ApplicationFamily | null {
    const { name, help, type, aggregator } = metric;
    const known = this.#families.get(name);
    if (known !== undefined) return known.kind === type ? known : null;
    if (!KINDS.has(type) || aggregator === 'omit' || !NAME.test(name) || !help) return null;
    const family = { name, help, kind: type as Kind, aggregator, series: new Map() };
    this.#families.set(name, family);
    return family;
  }

  #seriesOf({ kind, series }: ApplicationFamily, sample: Sample): Series | null {
    const { labels, metricName } = sample;
    const key = keyOf(sample);
    const known = series.get(key);
    if (known !== undefined) return known;
    if (this.#seriesCount >= MAX_SERIES) {
      if (!this.#told.has('')) {
        this.#told.add('');
        this.#say(`the application has more than ${MAX_SERIES} series; the rest is left out`);
      }
      return null;
    }
    this.#seriesCount++;
    const made: Series = { labels, metricName, rises: kind !== 'gauge', ended: 0 };
    series.set(key, made);
    return made;
  }

  /** Children whose slot has another life, or none, are ended; a little later they go into the sums. */
  #noticeEnds({ children }: Snapshot, nowMs: number): void {
    let folded = false;
    for (const child of this.#children.values()) {
      const { slot, life, endedMs } = child;
      if (endedMs === null) {
        if (children[slot]?.life !== life) child.endedMs = nowMs;
      } else if (nowMs - endedMs >= SETTLE_MS) {
        child.series.forEach((series, index) => {
          if (series.rises) series.ended += child.values[index] as number;
        });
        this.#folded.set(slot, Math.max(life, this.#folded.get(slot) ?? 0));
        this.#children.delete(life);
        folded = true;
      }
    }
    if (folded) this.#forgetGauges();
  }

  /** Gauges that no child has any more, or labels of theirs would pile up over the lives. */
  #forgetGauges(): void {
    const held = new Set<Series>();
    for (const { series } of this.#children.values()) for (const one of series) held.add(one);
    for (const { kind, series } of this.#families.values()) {
      if (kind !== 'gauge') continue;
      for (const [key, one] of series) {
        if (held.has(one)) continue;
        series.delete(key);
        this.#seriesCount--;
      }
    }
  }

  /** Values of each series over the children, those of ended ones only where they rise. */
  #totals(living: readonly ChildValues[]): Map<Series, number[]> {
    const totals = new Map<Series, number[]>();
    const add = (series: Series, value: number) => {
      const values = totals.get(series);
      if (values === undefined) totals.set(series, [value]);
      else values.push(value);
    };
    for (const { series, values } of living) {
      series.forEach((one, index) => {
        add(one, values[index] as number);
      });
    }
    for (const { series, values, endedMs } of this.#children.values()) {
      if (endedMs === null) continue;
      series.forEach((one, index) => {
        if (one.rises) add(one, values[index] as number);
      });
    }
    return totals;
  }
}

function samplesOf(family: ApplicationFamily, totals: ReadonlyMap<Series, number[]>): Sample[] {
  const samples: Sample[] = [];
  for (const series of family.series.values()) {
    const values = totals.get(series) ?? [];
    if (values.length === 0 && !series.rises) continue;
    const value = series.rises
      ? values.reduce((sum, one) => sum + one, series.ended)
      : combine(values, family.aggregator);
    const { labels, metricName } = series;
    samples.push(metricName === undefined ? { value, labels } : { value, labels, metricName });
  }
  return samples;
}

/** prom-client's aggregators; one of the application's own making counts as `sum`, the default. */
function combine(values: readonly number[], aggregator: string): number {
  const sum = () => values.reduce((total, value) => total + value, 0);
  switch (aggregator) {
    case 'first':
      return values[0] as number;
    case 'average':
      return sum() / values.length;
    case 'min':
      return Math.min(...values);
    case 'max':
      return Math.max(...values);
    default:
      return sum();
  }
}

/** Equal label sets have the same key, in whatever order they were given. */
function keyOf({ labels, metricName = '' }: Sample): string {
  const names = Object.keys(labels).sort();
  return JSON.stringify([metricName, ...names.flatMap((name) => [name, String(labels[name])])]);
}

/**
 * prom-client's figures of the process that the server does not have itself. Each child would say the
 * same, and their sum would be wrong.
 */
const OF_THE_PROCESS: ReadonlySet<string> = new Set(['process_heap_bytes']);

/** The prefix `mpm_` is the server's own altogether. */
function isTaken({ name, kind }: ApplicationFamily, reserved: ReadonlySet<string>): boolean {
  if (name.startsWith('mpm_') || OF_THE_PROCESS.has(name) || reserved.has(bareName(name))) {
    return true;
  }
  if (kind !== 'histogram' && kind !== 'summary') return false;
  return ['_bucket', '_sum', '_count'].some((suffix) => reserved.has(name + suffix));
}
