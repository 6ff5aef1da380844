/**
 * Tells when a source file in a folder, or in one below it, has changed.
 *
 * Role: for development only. One watch of the kernel for each folder; `recursive` of node:fs would go
 * through node_modules as well.
 * Thread: main. May not: read a file.
 */
import { type FSWatcher, watch } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';

/** What Node loads; an application's own data and logs must not restart it. */
const SOURCE = /\.(?:[cm]?[jt]s|[jt]sx|json|wasm|node)$/;
const SKIPPED = /^(?:\.|node_modules$)/;
/** Folders that are watched; Linux allows a user 8,192 files and folders at least. */
export const MAX_WATCHED_FOLDERS = 2_000;
/** So long nothing may happen before a change is told: an editor or a compiler writes several files. */
const QUIET_MS = 100;
/** A change is told after this long whatever happens. */
const LONGEST_MS = 2_000;

export interface WatchEvents {
  /** @param files that have changed, relative to the folder, sorted */
  changed(files: readonly string[]): void;
  /** A part of the tree is no longer watched. */
  failed(error: Error & { readonly code: string }): void;
}

export class SourceWatch {
  readonly #root: string;
  readonly #events: WatchEvents;
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #changed = new Set<string>();
  #timer: NodeJS.Timeout | null = null;
  #firstMs = 0;
  #closed = false;

  constructor(root: string, events: WatchEvents) {
    this.#root = root;
    this.#events = events;
  }

  /**
   * Resolves when everything is watched.
   * @throws an Error with code ERR_MPM_WATCH: too many folders, or the kernel refuses
   */
  async start(): Promise<void> {
    try {
      await this.#add(this.#root, false);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get folders(): number {
    return this.#watchers.size;
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  /** @param tells what is found there counts as changed: the folder is new */
  async #add(folder: string, tells: boolean): Promise<void> {
    if (this.#closed || this.#watchers.has(folder)) return;
    if (this.#watchers.size >= MAX_WATCHED_FOLDERS) {
      throw fault(`more than ${MAX_WATCHED_FOLDERS} folders in ${this.#root}`);
    }
    let watcher: FSWatcher;
    try {
      watcher = watch(folder);
    } catch (error) {
      const { code = '', message } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return;
      const hint = code === 'ENOSPC' ? ' (see fs.inotify.max_user_watches)' : '';
      throw fault(`${message}${hint}`);
    }
    this.#watchers.set(folder, watcher);
    watcher.on('change', (_type, name) => this.#onEvent(folder, String(name)));
    watcher.on('error', () => this.#drop(folder));
    // Behind the watch, so that nothing is made unseen in between.
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (SKIPPED.test(entry.name)) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) await this.#add(path, tells);
      else if (tells && SOURCE.test(entry.name)) this.#note(path);
    }
  }

  #drop(folder: string): void {
    this.#watchers.get(folder)?.close();
    this.#watchers.delete(folder);
  }

  #onEvent(folder: string, name: string): void {
    if (this.#closed || SKIPPED.test(name)) return;
    const path = join(folder, name);
    if (SOURCE.test(name)) this.#note(path);
    else void this.#look(path);
  }

  /** A folder may have come, gone, or been replaced by another one. */
  async #look(path: string): Promise<void> {
    try {
      const found = await stat(path).catch(() => null);
      if (found?.isDirectory() === true && this.#watchers.has(path)) return;
      this.#drop(path);
      if (found?.isDirectory() === true) await this.#add(path, true);
    } catch (error) {
      this.#events.failed(error as Error & { code: string });
    }
  }

  #note(path: string): void {
    if (this.#closed) return;
    this.#changed.add(relative(this.#root, path));
    const now = performance.now();
    if (this.#timer === null) this.#firstMs = now;
    else clearTimeout(this.#timer);
    const waitMs = Math.max(0, Math.min(QUIET_MS, this.#firstMs + LONGEST_MS - now));
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const files = [...this.#changed].sort();
      this.#changed.clear();
      this.#events.changed(files);
    }, waitMs).unref();
  }
}

function fault(message: string): Error & { readonly code: string } {
  return Object.assign(new Error(`cannot watch: ${message}`), { code: 'ERR_MPM_WATCH' });
}
