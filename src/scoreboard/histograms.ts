/**
 * Histograms in shared memory: buckets and sum, one writer each.
 *
 * Role: adds a value to one of `HISTOGRAM_BOUNDS`, and reads them. They only rise, also when children end.
 * Thread: the record's writer adds; any thread reads and sees each number whole, though a sum may lack
 * the value that its bucket has already.
 */
import { CHILD, type Field, HEADER, HISTOGRAM_BOUNDS, type HistogramName } from './layout.ts';
import type { Scoreboard } from './scoreboard.ts';

export interface HistogramCounts {
  /** Upper bounds, rising; in the base unit (seconds, bytes, or a number). */
  readonly bounds: readonly number[];
  /** Not cumulative; one more than bounds: the last is above all of them. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** A histogram of the header, or one of each child. */
interface Row {
  /** Of its first double in the record. */
  readonly offset: number;
  /** All of one type, so that one compiled loop fits all of them. */
  readonly bounds: Float64Array;
}

type ChildHistogram = 'queueWait' | 'responseSize';
type HeaderHistogram = Exclude<HistogramName, ChildHistogram>;

const row = (name: HistogramName, { offset }: Field): Row => ({
  offset,
  bounds: Float64Array.from(HISTOGRAM_BOUNDS[name]),
});

/** Seconds that a connection waited in the queue. */
export const QUEUE_WAIT = row('queueWait', CHILD.queueWait);
/** Bytes of a response, its head included. */
export const RESPONSE_SIZE = row('responseSize', CHILD.responseSize);

const OF_HEADER: Readonly<Record<HeaderHistogram, Row>> = {
  connectionRequests: row('connectionRequests', HEADER.connectionRequests),
  connectionDuration: row('connectionDuration', HEADER.connectionDuration),
  workerConnectionsAtExit: row('workerConnectionsAtExit', HEADER.workerConnectionsAtExit),
  workerHeapAtExit: row('workerHeapAtExit', HEADER.workerHeapAtExit),
  listenerTurn: row('listenerTurn', HEADER.listenerTurn),
};

/** Adds to a histogram whose first double is `doubles[at]`; its writer only. */
function observe(doubles: Float64Array, at: number, bounds: Float64Array, value: number): void {
  let bucket = 0;
  while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
  doubles[at + bucket] = (doubles[at + bucket] as number) + 1;
  const sum = at + bounds.length + 1;
  doubles[sum] = (doubles[sum] as number) + value;
}

/** Adds to a histogram of the header; main only. */
export function observeHeader(board: Scoreboard, name: HeaderHistogram, value: number): void {
  const { offset, bounds } = OF_HEADER[name];
  observe(board.doubles, offset >> 3, bounds, value);
}

/**
 * Adds to a histogram of a child's record; its writer only.
 * @param of `QUEUE_WAIT` or `RESPONSE_SIZE`
 */
export function observeChild(board: Scoreboard, child: number, of: Row, value: number): void {
  const at = (board.childIndex(child) >> 1) + (of.offset >> 3);
  observe(board.doubles, at, of.bounds, value);
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
