/** Limits and options of a pool's children. Types only. */
import type { WorkerOptions } from '../../workers/context.ts';
import type { AdoptedListens } from '../adopted-listens.ts';
import type { SharedBuffers } from '../shared-buffers.ts';
import type { SpawnLimits } from './policy.ts';

/** After how much a child is replaced; 0: never. */
export interface LifeLimits {
  readonly maxConnectionsPerChild: number;
  readonly maxRequestsPerChild: number;
  /** Heap and external memory. */
  readonly maxMemoryPerChildBytes: number;
}

/** Limits that may change while the server runs. */
export interface ChildLimits extends SpawnLimits, LifeLimits {
  /** Bound on retirement, 0: none. */
  readonly gracefulShutdownTimeoutMs: number;
}

export interface ChildrenOptions extends ChildLimits {
  /** Lengthy workers: started on demand, and retired when idle for a while. */
  readonly lengthy?: boolean;
  readonly entry: string;
  /** Arguments of an entry that is run as a script; null: its exports are served. */
  readonly script: readonly string[] | null;
  readonly listens: AdoptedListens;
  /** What all workers of the server have in common, the lengthy ones too. */
  readonly shared: SharedBuffers;
  readonly worker: WorkerOptions;
  /** BroadcastChannel for the application's own metrics; none: nobody listens. */
  readonly metricsChannel?: string | null;
  /** Of each child, 0: V8's own bound. */
  readonly maxHeapPerChildBytes: number;
}
