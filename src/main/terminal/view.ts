/**
 * What the reader of the status view has chosen, and what keys change.
 *
 * Thread: main of the command; pure functions.
 */
import { OPEN_STATES, type OpenStateName } from '../../scoreboard/snapshot.ts';
import type { ConnectionView, WorkerView } from '../admin/schema.ts';

export const WORKER_SORTS = {
  slot: ({ slot }) => slot,
  age: ({ ageMs }) => ageMs,
  connections: ({ connections }) => connections,
  requests: ({ requests }) => requests,
  heap: ({ heapUsedBytes }) => heapUsedBytes,
  loop: ({ eventLoopUtilization }) => eventLoopUtilization,
  handling: ({ handlingMs }) => handlingMs ?? -1,
} as const satisfies Record<string, (worker: WorkerView) => number>;
export type WorkerSort = keyof typeof WORKER_SORTS;

/** In the order in which the key goes through them; see `?sort=` of the status page. */
export const CONNECTION_SORTS = ['active', '-age', '-open', '-requests', '-sent', 'slot'] as const;
export type ConnectionSort = (typeof CONNECTION_SORTS)[number];

export interface View {
  readonly list: 'workers' | 'connections';
  readonly workerSort: WorkerSort;
  readonly workersDescending: boolean;
  readonly connectionSort: ConnectionSort;
  /** State of connections to list, null: all. */
  readonly state: OpenStateName | null;
  /** Part of a row; '': all rows. */
  readonly filter: string;
  /** The filter is being typed. */
  readonly typing: boolean;
  readonly paused: boolean;
}

export const FIRST_VIEW: View = {
  list: 'workers',
  workerSort: 'slot',
  workersDescending: false,
  connectionSort: 'active',
  state: null,
  filter: '',
  typing: false,
  paused: false,
};

const MAX_FILTER = 60;

function next<T>(values: readonly T[], value: T): T {
  return values[(values.indexOf(value) + 1) % values.length] as T;
}

/** The view after a key; null: the reader leaves. @param key as a terminal sends it */
export function pressed(view: View, key: string): View | null {
  if (key === '\u0003') return null;
  if (view.typing) return typed(view, key);
  switch (key) {
    case 'q':
    case '\u0004':
      return null;
    case '\t':
    case 'c':
      return { ...view, list: view.list === 'workers' ? 'connections' : 'workers' };
    case 's':
      return view.list === 'workers' ? nextWorkerSort(view) : nextConnectionSort(view);
    case 'r':
      return { ...view, workersDescending: !view.workersDescending };
    case 'f':
      return { ...view, list: 'connections', state: next([null, ...OPEN_STATES], view.state) };
    case '/':
      return { ...view, typing: true };
    case '\u001b':
      return { ...view, filter: '', state: null };
    case ' ':
    case 'p':
      return { ...view, paused: !view.paused };
    default:
      return view;
  }
}

function nextWorkerSort(view: View): View {
  const workerSort = next(Object.keys(WORKER_SORTS) as WorkerSort[], view.workerSort);
  return { ...view, workerSort, workersDescending: workerSort !== 'slot' };
}

const nextConnectionSort = (view: View): View => ({
  ...view,
  connectionSort: next(CONNECTION_SORTS, view.connectionSort),
});

function typed(view: View, key: string): View {
  if (key === '\r' || key === '\n') return { ...view, typing: false };
  if (key === '\u001b') return { ...view, typing: false, filter: '' };
  if (key === '\u007f' || key === '\b') return { ...view, filter: view.filter.slice(0, -1) };
  // Arrows and the like begin with an escape; what is pasted may be long.
  if (key < ' ' || key.startsWith('\u001b')) return view;
  return { ...view, filter: (view.filter + key).slice(0, MAX_FILTER) };
}

/** The workers to list, in order; equal ones by slot. */
export function sortedWorkers(workers: readonly WorkerView[], view: View): WorkerView[] {
  const value = WORKER_SORTS[view.workerSort];
  const sign = view.workersDescending ? -1 : 1;
  return [...workers].sort(
    (one, other) => sign * (value(one) - value(other)) || one.slot - other.slot,
  );
}

/** `state` and `sort` are the server's to apply; the text filter goes by what is shown. */
export function serverQuery({ state, connectionSort }: View, limit: number): string {
  const parameters = new URLSearchParams({ sort: connectionSort, limit: String(limit) });
  if (state !== null) parameters.set('state', state);
  return parameters.toString();
}

export type Row = WorkerView | ConnectionView;
