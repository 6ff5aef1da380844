/**
 * Durations of requests by method, route and status class.
 *
 * Role: a bounded table of label sets that all threads share, and for each thread a histogram of each.
 * A set is entered once, by whoever needs it first, and stays. Two threads may enter the same labels at
 * the same time; a reader adds such sets up. What finds no room counts in a last set of its status class.
 * Thread: workers and the listener count, each in a record of its own; any thread reads. One object each.
 */
import { SeriesState } from './codes.ts';
import {
  type Dimensions,
  DURATION_BUCKETS_MS,
  EXEMPLAR,
  EXEMPLAR_BYTES,
  extendedSectionsFor,
  MAX_ROUTE_UNITS,
  MAX_SERIES,
  OTHER_SERIES,
  SERIES,
  SERIES_BYTES,
  SERIES_COUNTS,
  SERIES_COUNTS_BYTES,
} from './layout.ts';

/** Methods that are told apart; the others are `other`. RFC 9110, section 9.3, and RFC 5789. */
export const SERIES_METHODS = [
  'other',
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
] as const;
export type SeriesMethod = (typeof SERIES_METHODS)[number];

/** Route of a request whose handler named none. */
export const UNKNOWN_ROUTE = '__unknown__';
/** Route of what found no room among the label sets. */
export const OTHER_ROUTE = '__other__';

/** `unknown`: a response of a handler that writes its own head, without a status one could read. */
export const STATUS_CLASSES = ['unknown', '1xx', '2xx', '3xx', '4xx', '5xx'] as const;
export type StatusClass = (typeof STATUS_CLASSES)[number];

/** One request that came with a trace id. */
export interface Exemplar {
  /** W3C Trace Context: 32 hexadecimal digits. */
  readonly traceId: string;
  readonly durationMs: number;
  /** When it was over, seconds since the Unix epoch. */
  readonly atSeconds: number;
}

/** Durations of all requests with these labels, since the start, of all children that there were. */
export interface SeriesRow {
  readonly method: SeriesMethod;
  /** As the handler named it; UNKNOWN_ROUTE, OTHER_ROUTE. At most MAX_ROUTE_UNITS long. */
  readonly route: string;
  readonly statusClass: StatusClass;
  /** By DURATION_BUCKETS_MS, not cumulative; the last is above all of them. */
  readonly durations: readonly number[];
  /** Sum, milliseconds. */
  readonly durationMs: number;
  /** The last one with a trace id; null: none was. */
  readonly exemplar: Exemplar | null;
}

const BUCKETS = DURATION_BUCKETS_MS.length + 1;
const CLASSES = STATUS_CLASSES.length;
const METHOD_NUMBERS = new Map<string, number>(SERIES_METHODS.map((name, index) => [name, index]));
const NOT_ENTERED = -1;

const methodNumber = (method: string): number =>
  method === 'GET' ? 1 : (METHOD_NUMBERS.get(method) ?? 0);
const classOf = (status: number): number =>
  status >= 100 && status < 600 ? Math.floor(status / 100) : 0;

export class RouteSeries {
  readonly #words: Int32Array;
  readonly #units: Uint16Array;
  readonly #counts: Float64Array;
  readonly #countsStride: number;
  readonly #exemplars: Int32Array;
  readonly #exemplarsStride: number;
  readonly #records: number;
  /** By route: the series of each method and class. */
  readonly #known = new Map<string, Int16Array>();
  readonly #unknown: Int16Array;
  /** Label sets below this one are in `#known`. */
  #seen = 0;

  constructor(memory: SharedArrayBuffer, dimensions: Dimensions) {
    const sections = extendedSectionsFor(dimensions);
    const bytes = MAX_SERIES * SERIES_BYTES;
    const countsBytes = sections.exemplars - sections.counts;
    const exemplarsBytes = sections.totalBytes - sections.exemplars;
    this.#words = new Int32Array(memory, sections.series, bytes >> 2);
    this.#units = new Uint16Array(memory, sections.series, bytes >> 1);
    this.#counts = new Float64Array(memory, sections.counts, countsBytes >> 3);
    this.#countsStride = sections.countsStride >> 3;
    this.#exemplars = new Int32Array(memory, sections.exemplars, exemplarsBytes >> 2);
    this.#exemplarsStride = sections.exemplarsStride >> 2;
    this.#records = dimensions.childSlots + 1;
    this.#unknown = this.#ofRoute(UNKNOWN_ROUTE);
  }

  /** Number of the series of a request; `route` is '' where its handler named none. */
  seriesOf(method: string, route: string, status: number): number {
    const key = methodNumber(method) * CLASSES + classOf(status);
    const known = route === '' ? this.#unknown : this.#known.get(cut(route));
    const series = known === undefined ? NOT_ENTERED : (known[key] as number);
    return series === NOT_ENTERED
      ? this.#enter(key, route === '' ? UNKNOWN_ROUTE : cut(route))
      : series;
  }

  #ofRoute(route: string): Int16Array {
    let series = this.#known.get(route);
    if (series === undefined) {
      series = new Int16Array(SERIES_METHODS.length * CLASSES).fill(NOT_ENTERED);
      this.#known.set(route, series);
    }
    return series;
  }

  #enter(key: number, route: string): number {
    const words = this.#words;
    for (; this.#seen < MAX_SERIES; this.#seen++) {
      const at = (this.#seen * SERIES_BYTES) >> 2;
      const state = Atomics.load(words, at);
      if (state === SeriesState.published) {
        this.#learn(this.#seen);
        const found = this.#known.get(route)?.[key] ?? NOT_ENTERED;
        if (found === NOT_ENTERED) continue;
        this.#seen++;
        return found;
      }
      // One that another thread is about to publish may say the same; a reader adds the two up.
      const { free, claimed } = SeriesState;
      if (state !== free || Atomics.compareExchange(words, at, free, claimed) !== free) continue;
      this.#publish(at, key, route);
      this.#learn(this.#seen);
      return this.#seen++;
    }
    return MAX_SERIES + (key % CLASSES);
  }

  #publish(at: number, key: number, route: string): void {
    const words = this.#words;
    words[at + (SERIES.method.offset >> 2)] = Math.floor(key / CLASSES);
    words[at + (SERIES.statusClass.offset >> 2)] = key % CLASSES;
    words[at + (SERIES.routeUnits.offset >> 2)] = route.length;
    const units = at * 2 + (SERIES.route.offset >> 1);
    for (let index = 0; index < route.length; index++) {
      this.#units[units + index] = route.charCodeAt(index);
    }
    Atomics.store(words, at, SeriesState.published);
  }

  #labels(series: number) {
    const words = this.#words;
    const at = (series * SERIES_BYTES) >> 2;
    const units = at * 2 + (SERIES.route.offset >> 1);
    const length = words[at + (SERIES.routeUnits.offset >> 2)] as number;
    return {
      method: words[at + (SERIES.method.offset >> 2)] as number,
      statusClass: words[at + (SERIES.statusClass.offset >> 2)] as number,
      route: String.fromCharCode(...this.#units.subarray(units, units + length)),
    };
  }

  /** Published before: enters it among the known ones. */
  #learn(series: number): void {
    const { method, statusClass, route } = this.#labels(series);
    this.#ofRoute(route)[method * CLASSES + statusClass] = series;
  }

  /**
   * Counts a request; the record's writer only.
   * @param child record of the writer: a child slot, or `listenerCounters`
   * @param bucket see `bucketOf`
   */
  count(child: number, series: number, bucket: number, durationMs: number): void {
    const counts = this.#counts;
    const at = child * this.#countsStride + series * (SERIES_COUNTS_BYTES >> 3);
    counts[at + bucket] = (counts[at + bucket] as number) + 1;
    const sum = at + (SERIES_COUNTS.durationMs.offset >> 3);
    counts[sum] = (counts[sum] as number) + durationMs;
  }

  /**
   * Keeps a request as the last one of its series with a trace id; the record's writer only.
   * @param traceId 32 hexadecimal digits
   * @param nowMs since the Unix epoch
   */
  exemplify(
    child: number,
    series: number,
    durationMs: number,
    traceId: string,
    nowMs: number,
  ): void {
    const words = this.#exemplars;
    const at = this.#exemplarAt(child, series);
    const store = ({ offset }: { readonly offset: number }, value: number) =>
      Atomics.store(words, at + (offset >> 2), value);
    const sequence = (words[at] as number) | 1;
    store(EXEMPLAR.sequence, sequence);
    store(EXEMPLAR.durationUs, Math.min(2 ** 31 - 1, Math.round(durationMs * 1000)));
    store(EXEMPLAR.seconds, Math.floor(nowMs / 1000));
    store(EXEMPLAR.millis, Math.floor(nowMs % 1000));
    for (let word = 0; word < EXEMPLAR.traceId.count; word++) {
      const digits = Number.parseInt(traceId.slice(word * 8, word * 8 + 8), 16);
      Atomics.store(words, at + (EXEMPLAR.traceId.offset >> 2) + word, digits);
    }
    store(EXEMPLAR.sequence, (sequence + 1) | 0);
  }

  #exemplarAt(record: number, series: number): number {
    return record * this.#exemplarsStride + series * (EXEMPLAR_BYTES >> 2);
  }

  /** Null: there is none, or one is being written just now. */
  #exemplar(record: number, series: number): Exemplar | null {
    const words = this.#exemplars;
    const at = this.#exemplarAt(record, series);
    const load = (field: { readonly offset: number }, word = 0) =>
      Atomics.load(words, at + (field.offset >> 2) + word);
    const sequence = load(EXEMPLAR.sequence);
    if (sequence === 0 || (sequence & 1) !== 0) return null;
    const atSeconds = load(EXEMPLAR.seconds) + load(EXEMPLAR.millis) / 1000;
    const durationMs = load(EXEMPLAR.durationUs) / 1000;
    let traceId = '';
    for (let word = 0; word < EXEMPLAR.traceId.count; word++) {
      traceId += (load(EXEMPLAR.traceId, word) >>> 0).toString(16).padStart(8, '0');
    }
    return load(EXEMPLAR.sequence) === sequence ? { traceId, durationMs, atSeconds } : null;
  }

  /**
   * All series that have counted a request, in the order in which they were entered.
   * @param ran whether a record (a child slot, or `listenerCounters`) was ever used
   */
  rows(ran: (record: number) => boolean): SeriesRow[] {
    const records = Array.from({ length: this.#records }, (_, record) => record).filter(ran);
    const byLabels = new Map<string, { -readonly [Key in keyof SeriesRow]: SeriesRow[Key] }>();
    for (let series = 0; series < MAX_SERIES + OTHER_SERIES; series++) {
      const labels = this.#labelsToShow(series);
      if (labels === null) continue;
      const durations: number[] = new Array(BUCKETS).fill(0);
      let durationMs = 0;
      let exemplar: Exemplar | null = null;
      for (const record of records) {
        const at = record * this.#countsStride + series * (SERIES_COUNTS_BYTES >> 3);
        for (let bucket = 0; bucket < BUCKETS; bucket++) {
          durations[bucket] = (durations[bucket] as number) + (this.#counts[at + bucket] as number);
        }
        durationMs += this.#counts[at + BUCKETS] as number;
        exemplar = later(exemplar, this.#exemplar(record, series));
      }
      if (durations.every((count) => count === 0)) continue;
      const key = `${labels.method} ${labels.statusClass} ${labels.route}`;
      const same = byLabels.get(key);
      if (same === undefined) {
        byLabels.set(key, { ...labels, durations, durationMs, exemplar });
        continue;
      }
      same.durations = same.durations.map((count, index) => count + (durations[index] as number));
      same.durationMs += durationMs;
      same.exemplar = later(same.exemplar, exemplar);
    }
    return [...byLabels.values()];
  }

  #labelsToShow(series: number): Pick<SeriesRow, 'method' | 'route' | 'statusClass'> | null {
    if (series >= MAX_SERIES) {
      const statusClass = STATUS_CLASSES[series - MAX_SERIES] as StatusClass;
      return { method: 'other', route: OTHER_ROUTE, statusClass };
    }
    const state = Atomics.load(this.#words, (series * SERIES_BYTES) >> 2);
    if (state !== SeriesState.published) return null;
    const { method, statusClass, route } = this.#labels(series);
    return {
      method: SERIES_METHODS[method] as SeriesMethod,
      route,
      statusClass: STATUS_CLASSES[statusClass] as StatusClass,
    };
  }
}

const later = (one: Exemplar | null, other: Exemplar | null): Exemplar | null =>
  one === null || (other !== null && other.atSeconds > one.atSeconds) ? other : one;

const cut = (route: string): string =>
  route.length > MAX_ROUTE_UNITS ? route.slice(0, MAX_ROUTE_UNITS) : route;
