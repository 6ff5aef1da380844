/**
 * How many workers to wake for what waits in the ring.
 *
 * Role: policy only. A second thread costs more than it brings while the first would be through in a
 * moment, so the number follows from the backlog and the mean time a short handler holds a connection.
 * Long handlers do not count: who is about to run one wakes somebody else first. What proves longer
 * than it was expected to be is put right by the listener, which looks again after a millisecond.
 * Thread: the listener, or the worker that leads.
 */
import { ChildStatus } from '../scoreboard/codes.ts';
import { CHILD } from '../scoreboard/layout.ts';
import type { Scoreboard } from '../scoreboard/scoreboard.ts';
import { type Signal, TOLERATED_WAIT_US, wakeLowestIdle } from '../scoreboard/wake.ts';

/** Wakes as many as the backlog needs; returns how many. */
export function wakeForBacklog(board: Scoreboard, backlog: number, signal: Signal): number {
  if (backlog === 0) return 0;
  const { words } = board;
  let idle = 0;
  let ready = 0;
  let long = 0;
  let meanSum = 0;
  for (let child = 0; child < board.normal.end; child++) {
    const at = board.childIndex(child);
    const status = words[at + (CHILD.status.offset >> 2)];
    if (status !== ChildStatus.ready && status !== ChildStatus.wantsRetire) continue;
    ready++;
    meanSum += words[at + (CHILD.meanServiceUs.offset >> 2)] as number;
    if (board.idle.has(child)) idle++;
    else if (words[at + (CHILD.inLongHandler.offset >> 2)] === 1) long++;
  }
  // A worker that is awake looks at the ring once more before it sleeps.
  if (idle === 0) return 0;
  const awake = ready - idle - long;
  const needed = Math.ceil((backlog * (meanSum / ready)) / TOLERATED_WAIT_US);
  const wanted = Math.max(needed - awake, awake === 0 ? 1 : 0);
  return wakeMany(board, Math.min(idle, backlog, wanted), signal);
}

/** Wakes up to `count` idle workers, lowest slot first; returns how many. */
export function wakeMany(board: Scoreboard, count: number, signal: Signal): number {
  let woken = 0;
  while (woken < count && wakeLowestIdle(board, signal)) woken++;
  return woken;
}
