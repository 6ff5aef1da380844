/**
 * `--watch`: workers with fresh code whenever a source file changes.
 *
 * Role: one restart at a time, and a line for each. Where the application does not load at the start,
 * the next change is waited for.
 * Thread: main. For development.
 */
import { basename, dirname, join } from 'node:path';
import type { MpmServer } from '../server.ts';
import { SourceWatch } from '../source-watch.ts';
import { syntaxErrorIn } from './syntax-check.ts';

/** What is told to whoever develops. */
export interface WatchLines {
  readonly print: (line: string) => void;
  readonly complain: (line: string) => void;
  /** Lines of an error. */
  readonly linesOf: (error: unknown) => readonly string[];
}

const MAX_NAMED_FILES = 3;

const named = (files: readonly string[]): string => {
  const some = files.slice(0, MAX_NAMED_FILES).join(', ');
  const more = files.length - MAX_NAMED_FILES;
  return more > 0 ? `${some} and ${more} more` : some;
};

export class WatchMode {
  readonly #lines: WatchLines;
  readonly #entry: string;
  readonly #folder: string;
  readonly #watch: SourceWatch;
  #server: MpmServer | null = null;
  /** Told of the next change, while nothing serves. */
  #waiting: (() => void)[] = [];
  #files = new Set<string>();
  #busy = false;

  /** @param entry absolute path of the module; its folder is watched */
  constructor(entry: string, lines: WatchLines) {
    this.#lines = lines;
    this.#entry = basename(entry);
    this.#folder = dirname(entry);
    this.#watch = new SourceWatch(this.#folder, {
      changed: (files) => this.#changed(files),
      failed: (error) => this.#complain('watch', error),
    });
  }

  /** @throws an Error with code ERR_MPM_WATCH */
  async start(): Promise<void> {
    await this.#watch.start();
    const { folders } = this.#watch;
    const count = folders === 1 ? '1 folder' : `${folders} folders`;
    this.#lines.print(`watch: source files in ${this.#folder} (${count})`);
  }

  stop(): void {
    this.#watch.close();
  }

  /** The application did not load; resolves when a file has changed. */
  changeAfter(error: unknown): Promise<void> {
    this.#complain('watch: waiting for a change, since the application does not load', error);
    const changed = new Promise<void>((resolve) => this.#waiting.push(resolve));
    void this.#point([this.#entry, ...this.#files]);
    return changed;
  }

  /** From now on changes restart the workers of this server. */
  restarts(server: MpmServer): void {
    this.#server = server;
    void this.#restart();
  }

  #changed(files: readonly string[]): void {
    for (const file of files) this.#files.add(file);
    for (const resolve of this.#waiting.splice(0)) resolve();
    void this.#restart();
  }

  async #restart(): Promise<void> {
    const server = this.#server;
    if (server === null || this.#busy) return;
    this.#busy = true;
    while (this.#files.size > 0) {
      const changed = [...this.#files];
      const files = named(changed);
      this.#files.clear();
      const startedMs = performance.now();
      try {
        await server.restartWorkers();
        const tookMs = Math.round(performance.now() - startedMs);
        this.#lines.print(`watch: ${files} changed, the workers are new (${tookMs} ms)`);
      } catch (error) {
        if ((error as { code?: unknown }).code === 'ERR_MPM_NOT_RUNNING') return;
        this.#complain(`watch: ${files} changed, the old workers go on`, error);
        await this.#point(changed);
      }
    }
    this.#busy = false;
  }

  /** Called when a server begins to load: what has changed before is in it. */
  forget(): void {
    this.#files.clear();
  }

  /** Shows the place of a syntax error. */
  async #point(files: readonly string[]): Promise<void> {
    const paths = files.map((file) => join(this.#folder, file));
    for (const line of await syntaxErrorIn(paths)) this.#lines.complain(`watch: ${line}`);
  }

  #complain(what: string, error: unknown): void {
    for (const line of this.#lines.linesOf(error)) this.#lines.complain(`${what}: ${line}`);
  }
}
