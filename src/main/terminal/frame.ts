/**
 * A screenful of the status: lines out of a status document.
 *
 * Thread: main of the command; pure functions.
 */
import { OPEN_STATES } from '../../scoreboard/snapshot.ts';
import { STATE_LETTER } from '../../scoreboard/states.ts';
import { uptimeText } from '../../scoreboard/status-auto.ts';
import { WORKER_KEY } from '../admin/page-model.ts';
import type { ConnectionView, RequestView, StatusDocument, WorkerView } from '../admin/schema.ts';
import {
  ageText,
  bytesText,
  countText,
  durationText,
  percentText,
  rateText,
} from '../admin/units.ts';
import { visible } from '../admin/visible.ts';
import { type Line, piece, type Style } from './ansi.ts';
import { sortedWorkers, type View } from './view.ts';

const LETTER_STYLE: Readonly<Record<string, Style>> = {
  W: 'green',
  R: 'blue',
  S: 'yellow',
  G: 'magenta',
  Q: 'yellow',
  s: 'cyan',
  u: 'cyan',
  w: 'blue',
  C: 'magenta',
  c: 'magenta',
  x: 'red',
  _: 'dim',
  K: 'dim',
};
const BARS = ' ▁▂▃▄▅▆▇█';
const NAME_COLUMNS = 13;
const GRID_LINES = 3;

const styleOf = (letter: string): Style => LETTER_STYLE[letter] ?? 'plain';

function sparkText(values: readonly number[], columns: number): string {
  const last = values.slice(-columns);
  const most = Math.max(0, ...last);
  return last
    .map((value) => (most === 0 ? BARS[1] : BARS[1 + Math.round((value / most) * 7)]))
    .join('');
}

const heading = (name: string) => piece(name.padEnd(NAME_COLUMNS), 'bold');

function fact(name: string, text: string, values: readonly number[], columns: number): Line {
  const room = Math.min(60, columns - NAME_COLUMNS - 54);
  return [
    heading(name),
    piece(text.padEnd(52)),
    piece(room >= 10 ? `  ${sparkText(values, room)}` : '', 'cyan'),
  ];
}

function head({ server }: StatusDocument, note: string): Line {
  return [
    piece(server.name, 'bold'),
    piece(`  ${server.software}  `),
    piece(server.phase, server.phase === 'running' ? 'green' : 'yellow'),
    piece(` for ${uptimeText(Math.floor(server.uptimeSeconds))}`),
    piece(`  load ${server.loadAverages.map((load) => load.toFixed(2)).join(' ')}`, 'dim'),
    piece(note === '' ? '' : `  ${note}`, 'yellow'),
  ];
}

function facts(document: StatusDocument, columns: number): Line[] {
  const { rates, latency, connections, workers, queue, history } = document;
  const rate = (index: number) => rateText(rates[index]?.requestsPerSecond ?? 0);
  const sent = (index: number) => bytesText(rates[index]?.sentBytesPerSecond ?? 0);
  const [short] = latency;
  return [
    fact(
      'Requests',
      `${rate(0)}/s, 10 s ${rate(1)}/s, 60 s ${rate(2)}/s`,
      history.requestsPerSecond,
      columns,
    ),
    fact(
      'Traffic',
      `${sent(0)}/s out, 10 s ${sent(1)}/s, 60 s ${sent(2)}/s`,
      history.sentBytesPerSecond,
      columns,
    ),
    fact(
      'Latency',
      `p50 ${durationText(short?.p50Ms ?? null)}, p99 ${durationText(short?.p99Ms ?? null)} over 10 s`,
      history.p99Ms,
      columns,
    ),
    fact(
      'Connections',
      `${countText(connections.open)} of ${countText(connections.max)}${connections.accepting ? '' : ', not accepting'}`,
      history.connections,
      columns,
    ),
    fact(
      'Workers',
      `${workers.busy} busy, ${workers.idle} idle, ${workers.starting} starting, ${workers.draining} draining; ${workers.startServers} .. ${workers.maxRequestWorkers}`,
      history.busyWorkers,
      columns,
    ),
    fact(
      'Queue',
      `${countText(queue.length)} of ${countText(queue.limit)}, waited ${durationText(queue.meanWaitMs)} on average`,
      history.queueLength,
      columns,
    ),
  ];
}

function grid(name: string, letters: string, columns: number): Line[] {
  const width = Math.max(10, columns - NAME_COLUMNS);
  const lines: Line[] = [];
  for (let at = 0; at < letters.length && lines.length < GRID_LINES; at += width) {
    const last = lines.length === GRID_LINES - 1 && letters.length > at + width;
    const part = letters.slice(at, at + width - (last ? 3 : 0));
    const runs = part.match(/(.)\1*/gs) ?? [];
    lines.push([
      heading(at === 0 ? name : ''),
      ...runs.map((run) => piece(run, styleOf(run.charAt(0)))),
      piece(last ? '...' : ''),
    ]);
  }
  return lines.length === 0 ? [[heading(name), piece('-', 'dim')]] : lines;
}

function legend({ connections, workerList }: StatusDocument): Line {
  const workers = WORKER_KEY.map(([letter, name]) => [letter, name] as const).filter(([letter]) =>
    workerList.some((worker) => worker.letter === letter),
  );
  const states = OPEN_STATES.filter((state) => connections.byState[state] > 0).map(
    (state) => [STATE_LETTER[state], `${state} ${connections.byState[state]}`] as const,
  );
  const entry = ([letter, name]: readonly [string, string]) => [
    piece(letter, styleOf(letter)),
    piece(` ${name}  `, 'dim'),
  ];
  return [
    heading(''),
    ...workers.flatMap(entry),
    piece(states.length > 0 ? '|  ' : '', 'dim'),
    ...states.flatMap(entry),
  ];
}

const requestText = (request: RequestView | null): string =>
  request === null
    ? '-'
    : visible(
        `${request.method} ${request.target}${request.targetCut ? '...' : ''} ${request.host} ${request.active ? `for ${ageText(request.ageMs)}` : request.status}`,
      );

type Cells = readonly string[];

const workerCells = (worker: WorkerView): Cells => [
  String(worker.slot),
  String(worker.life),
  `${worker.state}${worker.wantsRetire ? ', to retire' : ''}${worker.leads ? ', leads' : ''}`,
  ageText(worker.ageMs),
  worker.connectionLimit === null
    ? countText(worker.connections)
    : `${worker.connections}/${worker.connectionLimit}`,
  countText(worker.requests),
  bytesText(worker.heapUsedBytes),
  percentText(worker.eventLoopUtilization),
  worker.handlingMs === null ? '-' : ageText(worker.handlingMs),
  requestText(worker.request),
];
const WORKER_HEADS = [
  'SLOT',
  'CHILD',
  'STATE',
  'AGE',
  'CONNS',
  'REQS',
  'HEAP',
  'LOOP',
  'FOR',
  'REQUEST',
];

const connectionCells = (row: ConnectionView): Cells => [
  String(row.slot),
  row.state,
  row.client,
  ageText(row.ageMs),
  ageText(row.openMs),
  countText(row.requests),
  bytesText(row.receivedBytes),
  bytesText(row.sentBytes),
  row.worker === null ? '-' : String(row.worker),
  requestText(row.request),
];
const CONNECTION_HEADS = [
  'SLOT',
  'STATE',
  'CLIENT',
  'IN STATE',
  'OPEN',
  'REQS',
  'IN',
  'OUT',
  'WORKER',
  'REQUEST',
];

/** Columns as wide as their widest cell; the last one is text and takes what is left. */
function table(heads: Cells, rows: readonly Cells[], most: number): Line[] {
  const shown = rows.slice(0, Math.max(0, most));
  const widths = heads.map((title, column) =>
    Math.max(title.length, ...shown.map((cells) => (cells[column] ?? '').length)),
  );
  const texts = new Set([2, heads.length - 1, heads === CONNECTION_HEADS ? 1 : 2]);
  const line = (cells: Cells) =>
    cells
      .map((cell, column) => {
        const width = column === heads.length - 1 ? 0 : (widths[column] ?? 0);
        return texts.has(column) ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ');
  return [[piece(line(heads), 'reverse')], ...shown.map((cells) => [piece(line(cells))])];
}

function listOf(document: StatusDocument, view: View, most: number): Line[] {
  const matches = (cells: Cells) =>
    view.filter === '' || cells.join(' ').toLowerCase().includes(view.filter.toLowerCase());
  if (view.list === 'workers') {
    const rows = sortedWorkers(document.workerList, view).map(workerCells);
    return table(WORKER_HEADS, rows.filter(matches), most);
  }
  if (document.connectionList === null) return [[piece('extendedStatus is off', 'dim')]];
  const rows = document.connectionList.rows.map(connectionCells);
  return table(CONNECTION_HEADS, rows.filter(matches), most);
}

function about(view: View): Line {
  const filter =
    view.filter === '' && !view.typing ? '' : `, filter: ${view.filter}${view.typing ? '_' : ''}`;
  if (view.list === 'workers') {
    const order = `${view.workersDescending ? '-' : ''}${view.workerSort}`;
    return [piece('Workers', 'bold'), piece(` by ${order}${filter}`, 'dim')];
  }
  const state = view.state === null ? '' : `, ${view.state} only`;
  return [
    piece('Connections', 'bold'),
    piece(` by ${view.connectionSort}${state}${filter}`, 'dim'),
  ];
}

const KEYS =
  'q quit  tab workers/connections  s sort  r reverse  f state  / filter  esc clear  space pause';

export interface FrameSize {
  readonly columns: number;
  /** Lines at most; Infinity: as many as it takes. */
  readonly rows: number;
  /** Of keys; false where nobody can press one. */
  readonly keys: boolean;
}

/** @param note to show beside the name, e.g. that the server does not answer; '' for none */
export function frame(
  document: StatusDocument,
  view: View,
  { columns, rows, keys }: FrameSize,
  note = '',
): Line[] {
  const top: Line[] = [
    head(document, note),
    ...facts(document, columns),
    [],
    ...grid('Workers', document.workerList.map(({ letter }) => letter).join(''), columns),
    ...grid('Connections', document.connectionGrid.letters, columns),
    legend(document),
    [],
    about(view),
  ];
  const bottom: Line[] = keys ? [[piece(KEYS, 'dim')]] : [];
  const list = listOf(document, view, rows - top.length - bottom.length - 1);
  return [...top, ...list].slice(0, rows - bottom.length).concat(bottom);
}
