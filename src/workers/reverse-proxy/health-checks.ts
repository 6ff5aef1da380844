/**
 * Asks upstreams how they are.
 *
 * Role: one GET after each interval, by one of the workers, on a connection of its own; what it learns all
 * workers go by. 2xx and 3xx are well.
 * Thread: a worker.
 */
import { get } from 'node:http';
import type { UpstreamGroup } from './upstream-group.ts';
import type { ProxyRuntime, Upstream } from './upstreams.ts';

const TICK_MS = 250;
/** An upstream that takes longer than this, or than the interval, is not well. */
const MAX_ANSWER_MS = 5_000;

export class HealthChecks {
  readonly #runtime: ProxyRuntime;
  readonly #groups: UpstreamGroup[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(runtime: ProxyRuntime) {
    this.#runtime = runtime;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  add(group: UpstreamGroup): void {
    this.#groups.push(group);
    this.#tick();
  }

  #tick(): void {
    for (const { settings, members } of this.#groups) {
      for (const upstream of members) {
        const { entry } = upstream;
        if (this.#runtime.table.takeCheck(entry, settings.healthIntervalMs)) {
          this.#ask(upstream, settings.healthPath ?? '/', settings.healthIntervalMs);
        }
      }
    }
  }

  #ask({ address, entry }: Upstream, path: string, intervalMs: number): void {
    let isOver = false;
    const tell = (well: boolean, why: string): void => {
      if (isOver) return;
      isOver = true;
      if (!this.#runtime.table.setWell(entry, well)) return;
      this.#runtime.log(`proxy: ${address.name} is ${well ? 'well again' : 'not well'} (${why})`);
    };
    const request = get(
      {
        host: address.host,
        port: address.port,
        path,
        agent: false,
        headers: { Host: address.name, 'User-Agent': 'hybrid-mpm health check' },
        signal: AbortSignal.timeout(Math.min(MAX_ANSWER_MS, intervalMs)),
      },
      (response) => {
        const status = response.statusCode ?? 0;
        tell(status >= 200 && status < 400, `${path}: ${status}`);
        response.destroy();
      },
    );
    request.on('error', (error) => tell(false, `${path}: ${error.message}`));
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
