/**
 * What is said of a child that died.
 *
 * Thread: main; pure functions.
 */
import type { LostRequest, Orphaned } from '../../listener/orphans.ts';
import { ExitReason } from '../../scoreboard/codes.ts';

export type DeathReason = 'error' | 'out-of-memory' | 'exited' | 'deadline' | 'expired';

/** A child that died with the requests in it, for the event `childDied`. */
export interface ChildDeath {
  /** Child slot. */
  readonly worker: number;
  readonly reason: DeathReason;
  readonly error: Error;
  /** The one whose handler was being called first. */
  readonly requests: readonly LostRequest[];
}

const CAUSES: Readonly<Partial<Record<ExitReason, DeathReason>>> = {
  [ExitReason.outOfMemory]: 'out-of-memory',
  [ExitReason.exited]: 'exited',
  [ExitReason.deadline]: 'deadline',
  [ExitReason.expired]: 'expired',
};
export const deathReason = (reason: ExitReason): DeathReason => CAUSES[reason] ?? 'error';

/** Requests that are named; of many, the number is enough. */
const MAX_NAMED = 3;

const described = ({ request, running, status }: LostRequest): string => {
  const outcome = status === 0 ? 'cut off' : `answered ${status}`;
  return `${request === '' ? 'a request' : request} (${running ? 'running, ' : ''}${outcome})`;
};

/** One line, and the stack of what the application threw. */
export function obituary(
  worker: number,
  reason: ExitReason,
  error: Error,
  { requests }: Orphaned,
): string {
  const named = requests.slice(0, MAX_NAMED).map(described).join(', ');
  const more = requests.length > MAX_NAMED ? ` and ${requests.length - MAX_NAMED} more` : '';
  const lost = requests.length === 0 ? 'no request was in it' : `in it: ${named}${more}`;
  const told = reason === ExitReason.error ? (error.stack ?? String(error)) : error.message;
  return `hybrid-mpm: worker ${worker} died; ${lost}: ${told}\n`;
}
