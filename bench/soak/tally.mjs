// Counts what the clients saw. A failure is kept with its time and kind; one that a fault on purpose may
// have caused, by an honest answer or a cut, is counted apart as `beside`.
import { percentile } from '../lib/stats.mjs';

const keptFailures = 200;
const keptTimes = 4096;

/** What is left to a request whose worker a fault of another took with it: 502, or the end. */
const honest = new Set(['reset', 'ended']);
const honestStatuses = new Set([502, 504]);

class KindTally {
  rounds = 0;
  failed = 0;
  beside = 0;
  /** A sample of all times, evenly (Vitter's algorithm R). */
  times = [];
  slowestMs = 0;
  recent = [];
  #random;

  constructor(random) {
    this.#random = random;
  }

  took(ms) {
    this.rounds++;
    this.recent.push(ms);
    this.slowestMs = Math.max(this.slowestMs, ms);
    if (this.times.length < keptTimes) this.times.push(ms);
    else {
      const place = Math.floor(this.#random() * this.rounds);
      if (place < keptTimes) this.times[place] = ms;
    }
  }

  summary() {
    const sorted = this.times.toSorted((a, b) => a - b);
    const { rounds, failed, beside, slowestMs } = this;
    const p50Ms = percentile(sorted, 50);
    const p99Ms = percentile(sorted, 99);
    return { rounds, failed, beside, p50Ms, p99Ms, slowestMs };
  }
}

export class Tally {
  /** The first ones: { atMs, kind, what, message }. */
  failures = [];
  failed = 0;
  #kinds = new Map();
  #faultsUnderWay = 0;
  #lastFaultEndedMs = Number.NEGATIVE_INFINITY;
  #beganMs = performance.now();
  #random;

  constructor(random) {
    this.#random = random;
  }

  /** Milliseconds since the run began. */
  now() {
    return performance.now() - this.#beganMs;
  }

  of(kind) {
    let tally = this.#kinds.get(kind);
    if (tally === undefined) {
      tally = new KindTally(this.#random);
      this.#kinds.set(kind, tally);
    }
    return tally;
  }

  /** A fault on purpose, from its request until its answer. */
  faultBegins() {
    this.#faultsUnderWay++;
  }
  faultEnds() {
    this.#faultsUnderWay--;
    this.#lastFaultEndedMs = this.now();
  }
  #besideFault(beganMs) {
    return this.#faultsUnderWay > 0 || this.#lastFaultEndedMs >= beganMs;
  }

  /**
   * @param error a Failure, or a defect of the soak itself
   * @param shares a round that is in a worker for longer than its own computing, and so goes with it
   */
  failure(kind, error, beganMs, shares = false) {
    const what = error.kind ?? 'defect';
    const excused =
      shares &&
      (honest.has(what) || (what === 'status' && honestStatuses.has(error.status))) &&
      this.#besideFault(beganMs);
    if (excused) {
      this.of(kind).beside++;
      return;
    }
    this.of(kind).failed++;
    this.failed++;
    if (this.failures.length >= keptFailures) return;
    const message = error.kind === undefined ? (error.stack ?? String(error)) : error.message;
    this.failures.push({ atMs: Math.round(this.now()), kind, what, message });
  }

  /** Times of one kind since it was asked last, ascending; those of the others are let go. */
  takeRecent(kind) {
    const times = this.of(kind).recent.sort((a, b) => a - b);
    for (const tally of this.#kinds.values()) tally.recent = [];
    return times;
  }

  summary() {
    return Object.fromEntries([...this.#kinds].map(([kind, tally]) => [kind, tally.summary()]));
  }
}
