/**
 * Publishes the application's own prom-client metrics for the admin thread.
 *
 * Role: finds the copy of prom-client that the application loaded, if any, and broadcasts the values of
 * its default register: a while after the worker was active, and once more at the end of its life.
 * Nobody asks and nobody waits, so a busy worker costs a scrape nothing: its last values stand.
 * Thread: one worker, outside of requests. May not: load prom-client, keep the thread alive, or wake a
 * worker that is idle.
 */
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { BroadcastChannel } from 'node:worker_threads';
import { monotonicMs } from '../scoreboard/clock.ts';
import type { Published, PublishedMetric } from '../scoreboard/metrics/application.ts';

/** Between two publications of a worker that is active; and from activity to the first one. */
const PUBLISH_MS = 5_000;
const FIRST_MS = 250;
/** Publishing takes at most one part in so many of a worker's time. */
const SHARE = 100;
/** More samples than this are not published; a scrape would be all too long. */
const MAX_SAMPLES = 10_000;
/** A `collect` function of the application may take this long at the end. */
const LAST_MS = 1_000;

/** What is used of a prom-client Registry, of any version. */
interface Register {
  getMetricsAsJSON(): Promise<readonly PublishedMetric[]> | readonly PublishedMetric[];
}

export interface PublisherOptions {
  /** Path or file: URL of the application. */
  readonly entry: string;
  /** Name of the BroadcastChannel. */
  readonly channel: string;
  readonly child: number;
  readonly life: number;
  /** Rises with the worker's turns. */
  readonly progress: () => number;
  readonly say: (line: string) => void;
}

export class ApplicationPublisher {
  readonly #options: PublisherOptions;
  readonly #require: NodeJS.Require;
  readonly #path: string | null;
  #timer: NodeJS.Timeout | null = null;
  /** Progress that the last publication covers. */
  #progress = -1;
  #sentMs = Number.NEGATIVE_INFINITY;
  #pauseMs = PUBLISH_MS;
  #told = false;
  #ended = false;

  constructor(options: PublisherOptions) {
    this.#options = options;
    const { entry } = options;
    this.#require = createRequire(entry.startsWith('file:') ? entry : resolve(entry));
    this.#path = resolved(this.#require, 'prom-client');
  }

  /** The worker is active: its metrics are published a while later. Costs next to nothing. */
  active(): void {
    if (this.#path === null || this.#timer !== null || this.#ended) return;
    const waitMs = Math.max(FIRST_MS, this.#sentMs + this.#pauseMs - performance.now());
    this.#timer = setTimeout(() => void this.#due(), waitMs).unref();
  }

  /** The last values of this life; resolves in any case. */
  async last(): Promise<void> {
    this.#ended = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const late = new Promise<void>((done) => {
      setTimeout(done, LAST_MS).unref();
    });
    await Promise.race([this.#publish(), late]);
  }

  async #due(): Promise<void> {
    const progress = this.#options.progress();
    await this.#publish();
    this.#timer = null;
    // The loop shows itself once a second at most; what came after that is found by one look more.
    const moved = progress !== this.#progress;
    this.#progress = progress;
    if (moved) this.active();
  }

  async #publish(): Promise<void> {
    const register = this.#register();
    if (register === null) return;
    try {
      const metrics = await register.getMetricsAsJSON();
      const began = performance.now();
      this.#send(metrics);
      this.#sentMs = performance.now();
      this.#pauseMs = Math.max(PUBLISH_MS, (this.#sentMs - began) * SHARE);
    } catch (error) {
      this.#tell(`the application's metrics cannot be read: ${(error as Error).message}`);
    }
  }

  #send(metrics: readonly PublishedMetric[]): void {
    const { channel: name, child, life } = this.#options;
    const samples = metrics.reduce((count, { values }) => count + values.length, 0);
    if (samples > MAX_SAMPLES) {
      this.#tell(
        `the application has ${samples} samples of metrics, more than ${MAX_SAMPLES} are not shown`,
      );
      return;
    }
    const published: Published = {
      child,
      life,
      atMs: monotonicMs(),
      metrics: metrics.map(plainMetric),
    };
    // Opened for one message: an open one would get, and wake up for, those of all other workers.
    const channel = new BroadcastChannel(name);
    channel.postMessage(published);
    channel.close();
  }

  /** The default register, once the application has loaded it. */
  #register(): Register | null {
    if (this.#path === null) return null;
    const exported = this.#require.cache[this.#path]?.exports as
      | { register?: Register }
      | undefined;
    return typeof exported?.register?.getMetricsAsJSON === 'function' ? exported.register : null;
  }

  #tell(line: string): void {
    if (!this.#told) this.#options.say(line);
    this.#told = true;
  }
}

function resolved(require: NodeJS.Require, name: string): string | null {
  try {
    return require.resolve(name);
  } catch {
    return null;
  }
}

/** Only what is used, so that nothing in it refuses to be cloned. */
function plainMetric({ name, help, type, aggregator, values }: PublishedMetric): PublishedMetric {
  return {
    name,
    help,
    type,
    aggregator,
    values: values.map(({ value, labels, metricName }) =>
      metricName === undefined
        ? { value, labels: { ...labels } }
        : { value, labels: { ...labels }, metricName },
    ),
  };
}
