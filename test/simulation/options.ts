/**
 * What a world is like, made by its seed: sizes, speeds, limits, and which faults it has.
 */
import type { ListenerOptions } from '../../src/listener/options.ts';
import type { Random } from './random.ts';

/** Probabilities, each at its own occasion. */
export interface Faults {
  /** A write takes less than there is room for. */
  readonly shortWrites: number;
  /** A connection cannot be polled (ENOSPC). */
  readonly noWatches: number;
  /** EMFILE for a file in memory. */
  readonly noMemoryFiles: number;
  /** A file's bytes would have to be waited for. */
  readonly uncached: number;
  /** EMFILE, ENFILE, ENOBUFS or ENOMEM of an accept. */
  readonly acceptErrors: number;
  /** A poll set tells of a descriptor without a reason, each step. */
  readonly spurious: number;
  /** A worker dies at an operation that is looked at. */
  readonly deaths: number;
  /** Everybody stands still for a while, each step. */
  readonly stalls: number;
}

export interface WorldOptions {
  readonly connectionSlots: number;
  readonly workers: number;
  /** Clients at the same time. */
  readonly clients: number;
  readonly bufferBytes: number;
  readonly directPolling: boolean;
  readonly looksBeforeSleep: number;
  readonly requestDeadlineMs: number;
  readonly queueTimeoutMs: number;
  readonly limitSpilledKb: number;
  readonly maxKeepAliveRequests: number;
  /** A life's, 0: none. */
  readonly maxConnectionsPerChild: number;
  readonly listener: ListenerOptions;
  /** Operations between two looks, on average. */
  readonly operationGap: number;
  /** Steps that others make before a thread goes on, at most. */
  readonly preemptions: number;
  /** Share of interruptions after which a thread has no processor for a while. */
  readonly pauses: number;
  /** What a step takes, milliseconds, at most. */
  readonly stepMs: number;
  /** Share of requests that are answered after their handler has returned. */
  readonly late: number;
  /** Share of clients that never misbehave. */
  readonly faultless: number;
  /** Clients that misbehave do so within their first acts. */
  readonly hasty: boolean;
  /** A thread that gets its turn seldom, -1: none. */
  readonly slowThread: number;
  readonly faults: Faults;
}

export const NO_FAULTS: Faults = {
  shortWrites: 0,
  noWatches: 0,
  noMemoryFiles: 0,
  uncached: 0,
  acceptErrors: 0,
  spurious: 0,
  deaths: 0,
  stalls: 0,
};

export function optionsFrom(random: Random): WorldOptions {
  const sometimes = (share: number, probability: number) =>
    random.chance(share) ? probability : 0;
  const queueTimeoutMs = random.pick([0, 0, 0, 1_500]);
  const slots = random.pick([2, 4, 8, 12, 32]);
  const faults: Faults = random.chance(0.3)
    ? NO_FAULTS
    : {
        shortWrites: sometimes(0.5, 0.2),
        noWatches: sometimes(0.2, 0.02),
        noMemoryFiles: sometimes(0.3, 0.3),
        uncached: sometimes(0.3, 0.3),
        acceptErrors: sometimes(0.3, 0.05),
        spurious: sometimes(0.4, 0.02),
        deaths: sometimes(0.4, random.pick([0.002, 0.01, 0.04])),
        stalls: sometimes(0.15, 0.0005),
      };
  return {
    connectionSlots: slots,
    workers: random.between(1, 4),
    clients: random.pick([1, 3, slots, slots, slots + 8]),
    bufferBytes: random.pick([1_024, 4_096, 16_384]),
    directPolling: random.chance(0.8),
    looksBeforeSleep: random.pick([0, 0, 3]),
    requestDeadlineMs: random.pick([0, 3_000]),
    queueTimeoutMs,
    limitSpilledKb: random.pick([0, 64, 4_096]),
    maxKeepAliveRequests: random.pick([0, 0, 3]),
    maxConnectionsPerChild: random.pick([0, 0, 0, 5, 20]),
    listener: {
      keepAliveTimeoutMs: random.pick([500, 3_000]),
      timeoutMs: random.pick([2_000, 6_000]),
      requestHeader: { timeoutMs: 2_000, maxTimeoutMs: 6_000, minRateBytesPerSecond: 500 },
      requestBody: { timeoutMs: 2_000, maxTimeoutMs: 0, minRateBytesPerSecond: 500 },
      listenBacklog: 128,
      reusePort: false,
      queueLimit: random.pick([2, 1_000]),
      queueTimeoutMs,
    },
    operationGap: random.pick([5, 15, 60, 60, 300]),
    late: random.pick([0, 0.2, 0.8]),
    preemptions: random.pick([1, 3, 8]),
    pauses: random.pick([0, 0.002, 0.02]),
    stepMs: random.pick([0.002, 0.02, 0.2]),
    faultless: random.pick([0, 0.5, 0.8, 1]),
    hasty: random.chance(0.3),
    slowThread: random.chance(0.3) ? random.between(0, 4) : -1,
    faults,
  };
}
