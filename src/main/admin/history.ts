/**
 * The last two minutes, a sample a second: what rates, quantiles and sparklines are made of.
 *
 * Role: keeps samples of the scoreboard's counters and answers with differences between them. Counters
 * only rise, so a difference is what happened in between, whichever children did it.
 * Thread: the one that samples. May not: read a clock or the scoreboard.
 */
import { DURATION_BUCKETS_MS } from '../../scoreboard/layout.ts';
import { EXIT_REASONS, type ExitReasonName, type Snapshot } from '../../scoreboard/snapshot.ts';

export const HISTORY_SECONDS = 120;
/** A timer may be early by so much and its sample still counts as a second old. */
const SLACK_MS = 250;

export interface Sample {
  /** `monotonicMs()`. */
  readonly atMs: number;
  readonly requests: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly accepted: number;
  readonly claims: number;
  readonly queueWaitMs: number;
  /** Requests by duration, not cumulative. */
  readonly durations: readonly number[];
  readonly exits: Readonly<Record<ExitReasonName, number>>;
  readonly connections: number;
  readonly busyWorkers: number;
  readonly queueLength: number;
}

export function sampleOf(snapshot: Snapshot, atMs: number): Sample {
  const { totals } = snapshot;
  return {
    atMs,
    requests: totals.requests,
    receivedBytes: totals.receivedBytes,
    sentBytes: totals.sentBytes,
    accepted: snapshot.accepted,
    claims: totals.claims,
    queueWaitMs: totals.queueWaitMs,
    durations: totals.durations,
    exits: snapshot.childExits,
    connections: snapshot.connectionsTotal,
    busyWorkers: snapshot.workers.busy,
    queueLength: snapshot.queueLength,
  };
}

/** What happened in a window, per second; all 0 before there is anything to compare. */
export interface Rates {
  /** The window that was asked for. */
  readonly seconds: number;
  readonly requestsPerSecond: number;
  readonly receivedBytesPerSecond: number;
  readonly sentBytesPerSecond: number;
  readonly acceptedPerSecond: number;
}

export interface Latency {
  readonly seconds: number;
  /** Requests that ended in the window. */
  readonly requests: number;
  /** Milliseconds, null where no request ended. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

/** One value for each second, the oldest first. */
export interface Series {
  readonly requestsPerSecond: readonly number[];
  readonly sentBytesPerSecond: readonly number[];
  readonly p99Ms: readonly number[];
  readonly connections: readonly number[];
  readonly busyWorkers: readonly number[];
  readonly queueLength: readonly number[];
}

export interface LastExit {
  readonly reason: ExitReasonName;
  readonly atMs: number;
}

/**
 * The duration below which the share `q` of the requests was, by linear interpolation within its bucket
 * as Prometheus' histogram_quantile; the last bound where it was longer. Null without requests.
 */
export function quantile(counts: readonly number[], q: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total <= 0) return null;
  const rank = q * total;
  let below = 0;
  for (const [bucket, upper] of DURATION_BUCKETS_MS.entries()) {
    const count = counts[bucket] ?? 0;
    if (count > 0 && below + count >= rank) {
      const lower = bucket === 0 ? 0 : (DURATION_BUCKETS_MS[bucket - 1] as number);
      return lower + (upper - lower) * ((rank - below) / count);
    }
    below += count;
  }
  return DURATION_BUCKETS_MS.at(-1) as number;
}

const difference = (later: readonly number[], earlier: readonly number[]): number[] =>
  later.map((count, entry) => Math.max(0, count - (earlier[entry] ?? 0)));

export class History {
  #samples: Sample[] = [];
  #lastExit: LastExit | null = null;

  /** One a second. */
  add(sample: Sample): void {
    const previous = this.#samples.at(-1);
    if (previous !== undefined) {
      const ended = EXIT_REASONS.find((reason) => sample.exits[reason] > previous.exits[reason]);
      if (ended !== undefined) this.#lastExit = { reason: ended, atMs: sample.atMs };
    }
    this.#samples.push(sample);
    if (this.#samples.length > HISTORY_SECONDS + 1) this.#samples.shift();
  }

  /** Why a child ended last, to the second; null: none since this thread began to look. */
  get lastExit(): LastExit | null {
    return this.#lastExit;
  }

  /** The sample that a window ending now begins with. */
  #before({ atMs }: Sample, seconds: number): Sample | null {
    const begin = atMs - seconds * 1000 + SLACK_MS;
    return this.#samples.findLast((sample) => sample.atMs <= begin) ?? this.#samples[0] ?? null;
  }

  rates(now: Sample, seconds: number): Rates {
    const before = this.#before(now, seconds) ?? now;
    const elapsed = (now.atMs - before.atMs) / 1000;
    const per = (value: (sample: Sample) => number) =>
      elapsed <= 0 ? 0 : Math.max(0, value(now) - value(before)) / elapsed;
    return {
      seconds,
      requestsPerSecond: per(({ requests }) => requests),
      receivedBytesPerSecond: per(({ receivedBytes }) => receivedBytes),
      sentBytesPerSecond: per(({ sentBytes }) => sentBytes),
      acceptedPerSecond: per(({ accepted }) => accepted),
    };
  }

  latency(now: Sample, seconds: number): Latency {
    const before = this.#before(now, seconds) ?? now;
    const counts = difference(now.durations, before.durations);
    return {
      seconds,
      requests: counts.reduce((sum, count) => sum + count, 0),
      p50Ms: quantile(counts, 0.5),
      p99Ms: quantile(counts, 0.99),
    };
  }

  /** Mean wait in the queue of the connections taken from it in the window; null: none was. */
  meanQueueWaitMs(now: Sample, seconds: number): number | null {
    const before = this.#before(now, seconds) ?? now;
    const claims = now.claims - before.claims;
    return claims > 0 ? Math.max(0, now.queueWaitMs - before.queueWaitMs) / claims : null;
  }

  series(): Series {
    const samples = this.#samples;
    const steps = samples.slice(1).map((sample, index) => ({
      sample,
      before: samples[index] as Sample,
    }));
    const per = (value: (sample: Sample) => number) =>
      steps.map(({ sample, before }) => {
        const seconds = (sample.atMs - before.atMs) / 1000;
        return seconds > 0 ? Math.max(0, value(sample) - value(before)) / seconds : 0;
      });
    const each = (value: (sample: Sample) => number) => steps.map(({ sample }) => value(sample));
    return {
      requestsPerSecond: per(({ requests }) => requests),
      sentBytesPerSecond: per(({ sentBytes }) => sentBytes),
      p99Ms: steps.map(
        ({ sample, before }) => quantile(difference(sample.durations, before.durations), 0.99) ?? 0,
      ),
      connections: each(({ connections }) => connections),
      busyWorkers: each(({ busyWorkers }) => busyWorkers),
      queueLength: each(({ queueLength }) => queueLength),
    };
  }
}
