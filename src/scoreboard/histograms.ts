/**
 * Histograms in shared memory: buckets and sum, one writer each.
 *
 * Role: adds a value to one of `HISTOGRAM_BOUNDS`, and reads them. They only rise, also when children end.
 * Thread: the record's writer adds; any thread reads and sees each number whole, though a sum may lack
 * the value that its bucket has already.
 */
import { CHILD, HEADER, HISTOGRAM_BOUNDS, type HistogramName } from './layout.ts';
import type { Scoreboard } from './scoreboard.ts';

export interface HistogramCounts {
  /** Upper bounds, rising; in the base unit (seconds, bytes, or a number). */
  readonly bounds: readonly number[];
  /** Not cumulative; one more than bounds: the last is above all of them. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** Adds to a histogram whose first double is `doubles[at]`; its writer only. */
export function observe(
  doubles: Float64Array,
  at: number,
  bounds: readonly number[],
  value: number,
): void {
  let bucket = 0;
  while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
  doubles[at + bucket] = (doubles[at + bucket] as number) + 1;
  const sum = at + bounds.length + 1;
  doubles[sum] = (doubles[sum] as number) + value;
}

type ChildHistogram = 'queueWait' | 'responseSize';
type HeaderHistogram = Exclude<HistogramName, ChildHistogram>;

/** Adds to a histogram of the header; main only. */
export function observeHeader(board: Scoreboard, name: HeaderHistogram, value: number): void {
  observe(board.doubles, HEADER[name].offset >> 3, HISTOGRAM_BOUNDS[name], value);
}

/** Adds to a histogram of a child's record; its writer only. */
export function observeChild(
  board: Scoreboard,
  child: number,
  name: ChildHistogram,
  value: number,
): void {
  const at = (board.childIndex(child) >> 1) + (CHILD[name].offset >> 3);
  observe(board.doubles, at, HISTOGRAM_BOUNDS[name], value);
}

/** The sum of the histograms that begin at these doubles. */
function readAt(doubles: Float64Array, name: HistogramName, starts: readonly number[]) {
  const bounds = HISTOGRAM_BOUNDS[name];
  const total = (entry: number) =>
    starts.reduce((sum, at) => sum + (doubles[at + entry] as number), 0);
  const counts = Array.from({ length: bounds.length + 1 }, (_, bucket) => total(bucket));
  return { bounds, counts, sum: total(bounds.length + 1) };
}

/** All histograms, summed over the children that there have been. */
export function readHistograms(
  board: Scoreboard,
): Readonly<Record<HistogramName, HistogramCounts>> {
  const { doubles } = board;
  const ofChildren = (name: ChildHistogram) => {
    const at = (child: number) => (board.childIndex(child) >> 1) + (CHILD[name].offset >> 3);
    return readAt(
      doubles,
      name,
      Array.from({ length: board.childSlots }, (_, child) => at(child)),
    );
  };
  const ofHeader = (name: HeaderHistogram) => readAt(doubles, name, [HEADER[name].offset >> 3]);
  return {
    connectionRequests: ofHeader('connectionRequests'),
    connectionDuration: ofHeader('connectionDuration'),
    workerConnectionsAtExit: ofHeader('workerConnectionsAtExit'),
    workerHeapAtExit: ofHeader('workerHeapAtExit'),
    listenerTurn: ofHeader('listenerTurn'),
    queueWait: ofChildren('queueWait'),
    responseSize: ofChildren('responseSize'),
  };
}
