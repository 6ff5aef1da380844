/**
 * Where status documents come from: the scoreboard, looked at once for whoever asks in the same moment.
 *
 * Role: samples the history once a second, takes snapshots, adds the figures of the process.
 * Thread: the admin thread, or a worker that answers at statusPath. May not: write the scoreboard, wait
 * for another thread, or use the process's thread pool.
 */
import { statSync } from 'node:fs';
import { hostname, loadavg, type as osType } from 'node:os';
import { fileURLToPath } from 'node:url';
import { monotonicMs } from '../../scoreboard/clock.ts';
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';
import { type Snapshot, takeSnapshot } from '../../scoreboard/snapshot.ts';
import type { StatusFigures } from '../../scoreboard/status-auto.ts';
import { connectionGrid, oneConnection, selectConnections } from './connections.ts';
import { type AdminLimits, type Moment, statusDocument } from './document.ts';
import { History, sampleOf } from './history.ts';
import type { StatusQuery } from './query.ts';
import type { StatusDocument } from './schema.ts';

export const SAMPLE_MS = 1_000;
/** Connections that the grid shows. */
export const GRID_CONNECTIONS = 1_000;

export interface SourceOptions {
  readonly version: string;
  readonly limits: AdminLimits;
  /** `monotonicMs()` at the start of the server. */
  readonly startedMs: number;
}

export class StatusSource {
  readonly #board: Scoreboard;
  readonly #options: SourceOptions;
  readonly #history = new History();
  readonly #builtAt: Date;
  #limits: AdminLimits;

  constructor(board: Scoreboard, options: SourceOptions) {
    this.#board = board;
    this.#options = options;
    this.#limits = options.limits;
    this.#builtAt = statSync(fileURLToPath(import.meta.url)).mtime;
  }

  /** Limits to show from now on. */
  configure(limits: AdminLimits): void {
    this.#limits = limits;
  }

  /** To be called once a second. */
  sample(): void {
    this.#history.add(sampleOf(takeSnapshot(this.#board), monotonicMs()));
  }

  snapshot(): Snapshot {
    return takeSnapshot(this.#board);
  }

  figures(): StatusFigures {
    const { user, system } = process.cpuUsage();
    return {
      serverName: hostname(),
      version: this.#options.version,
      nodeVersion: process.versions.node,
      platform: osType(),
      builtAt: this.#builtAt,
      now: new Date(),
      uptimeMs: Math.max(0, monotonicMs() - this.#options.startedMs),
      loadAverages: loadavg(),
      cpuUserSeconds: user / 1e6,
      cpuSystemSeconds: system / 1e6,
    };
  }

  /** One look at everything; several documents may be made from it. */
  moment(): Moment {
    const board = this.#board;
    return {
      snapshot: takeSnapshot(board),
      grid: connectionGrid(board, GRID_CONNECTIONS),
      figures: this.figures(),
      history: this.#history,
      nowMs: monotonicMs(),
      limits: this.#limits,
      pid: process.pid,
    };
  }

  document(query: StatusQuery, moment: Moment = this.moment()): StatusDocument {
    const { connection, showQueries } = query;
    const shown = this.#limits.extendedStatus;
    return statusDocument(moment, query, {
      selection: shown ? selectConnections(this.#board, query) : null,
      asked:
        shown && connection !== null ? oneConnection(this.#board, connection, showQueries) : null,
    });
  }
}
