/**
 * One child as supervision sees it.
 *
 * Thread: main; a record and what is read off it.
 */
import { ExitReason, type SpawnReason } from '../../scoreboard/codes.ts';
import type { LoadFailure } from '../../workers/child.ts';
import type { ThreadLoad } from './threads.ts';

export interface Child {
  readonly slot: number;
  readonly life: number;
  readonly generation: number;
  readonly reason: SpawnReason;
  /** `awaiting-successor` serves on, and retires when that is ready. */
  state: 'starting' | 'ready' | 'awaiting-successor' | 'draining';
  /** Ends its thread. */
  readonly abort: AbortController;
  /** Of its thread; null before the thread has told of itself. */
  load: ThreadLoad | null;
  /** Resolves when its thread is gone; null before the thread has told of itself. */
  gone: Promise<void> | null;
  /** Bounds its retirement. */
  deadline: NodeJS.Timeout | null;
  /** The child it is to replace, until it has; kept for longer, each would keep all that came before it. */
  replaces: Child | null;
  /** Why it ends, where supervision decided that; null: as it says itself. */
  endsFor: ExitReason | null;
  /** Its thread is being ended. */
  killed: boolean;
}

export const serves = ({ state }: Child): boolean =>
  state === 'ready' || state === 'awaiting-successor';

/** A predecessor and its successor count as one. */
export const counts = ({ state }: Child): boolean =>
  state !== 'draining' && state !== 'awaiting-successor';

export const coded = ({ code, message }: LoadFailure): Error & { code: string } =>
  Object.assign(new Error(message), { code });

/** What a thread that ended by itself died of. */
export function reasonOf(error: Error & { code?: string }): ExitReason {
  if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') return ExitReason.outOfMemory;
  if (/^worker exited with code/.test(error.message)) return ExitReason.exited;
  return ExitReason.error;
}
