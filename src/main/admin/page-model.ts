/**
 * The parts and rows of the status page that change from second to second.
 *
 * Role: a status document in, pieces of HTML with names out; page.ts puts them into a page, and the
 * event stream sends the ones that changed.
 * Thread: any; pure functions.
 */
import { OPEN_STATES } from '../../scoreboard/snapshot.ts';
import { STATE_LETTER } from '../../scoreboard/states.ts';
import { uptimeText } from '../../scoreboard/status-auto.ts';
import { HISTORY_SECONDS } from './history.ts';
import { type Html, html, trusted } from './html.ts';
import type { PageModel, TableRow } from './page-diff.ts';
import { linkTo, type StatusQuery } from './query.ts';
import type { ConnectionView, RequestView, StatusDocument, WorkerView } from './schema.ts';
import { sparkline } from './sparkline.ts';
import { ageText, bytesText, countText, durationText, percentText, rateText } from './units.ts';
import { shortened, visible } from './visible.ts';

/** Characters of a request that a row shows; all of it is in the connection's detail. */
const REQUEST_COLUMNS = 72;
/** From this share of a limit on it is shown as something to look at. */
const NEARLY = 0.9;

const NOTHING = html``;
const letterClass = (letter: string): string => (letter === '.' ? 'ldot' : `l${letter}`);
const badge = (letter: string): Html =>
  html`<b class="b ${letterClass(letter)}" aria-hidden="true">${letter}</b>`;

/** Apache's letters of workers. */
export const WORKER_KEY = [
  ['_', 'idle'],
  ['S', 'starting'],
  ['W', 'in a handler'],
  ['R', 'busy otherwise'],
  ['G', 'draining'],
] as const;

const spark = (values: readonly number[], what: string, text: (value: number) => string): Html =>
  sparkline(
    values,
    HISTORY_SECONDS,
    `${what} over two minutes: now ${text(values.at(-1) ?? 0)}, highest ${text(Math.max(0, ...values))}`,
  );

const rate = (document: StatusDocument, seconds: number) =>
  document.rates.find((rates) => rates.seconds === seconds) ?? document.rates[0];

function requestsCard(document: StatusDocument): Html {
  const per = (seconds: number) => rateText(rate(document, seconds)?.requestsPerSecond ?? 0);
  const { requests, aborted } = document.totals;
  return html`<p class="big">${per(1)} <small>/s</small></p>
<p>${per(10)} /s over 10 s, ${per(60)} /s over 60 s</p>
<p class="dim">${countText(requests)} so far, ${countText(aborted)} aborted</p>
${spark(document.history.requestsPerSecond, 'requests per second', rateText)}`;
}

function trafficCard(document: StatusDocument): Html {
  const per = (seconds: number) => bytesText(rate(document, seconds)?.sentBytesPerSecond ?? 0);
  const { receivedBytes, sentBytes } = document.totals;
  const { memoryBytes, folderBytes } = document.spilled;
  const kept =
    memoryBytes + folderBytes === 0
      ? NOTHING
      : html`; kept for slow readers: ${bytesText(memoryBytes)} in memory, ${bytesText(folderBytes)} in spillFolder`;
  return html`<p class="big">${per(1)} <small>/s out</small></p>
<p>${per(10)}/s over 10 s, ${per(60)}/s over 60 s</p>
<p class="dim">${bytesText(sentBytes)} out, ${bytesText(receivedBytes)} in so far${kept}</p>
${spark(document.history.sentBytesPerSecond, 'bytes sent per second', bytesText)}`;
}

function latencyCard(document: StatusDocument): Html {
  const [short, long] = document.latency;
  return html`<p class="big">${durationText(short?.p99Ms ?? null)} <small>p99 over ${short?.seconds ?? 0} s</small></p>
<p>p50 ${durationText(short?.p50Ms ?? null)} over 10 s</p>
<p class="dim">over 60 s: p50 ${durationText(long?.p50Ms ?? null)}, p99 ${durationText(long?.p99Ms ?? null)}</p>
${spark(document.history.p99Ms, 'p99 of request durations', durationText)}`;
}

function connectionsCard({ connections, rates, history }: StatusDocument): Html {
  const { open, max, accepting } = connections;
  const accepted = rateText(rates[0]?.acceptedPerSecond ?? 0);
  return html`<p class="big">${countText(open)} <small>of ${countText(max)}</small></p>
<p><meter min="0" max="${max}" high="${Math.floor(max * NEARLY)}" optimum="0" value="${open}" aria-label="connections in use">${open} of ${max}</meter></p>
<p class="dim">${accepted} new /s, ${accepting ? html`accepting` : html`<span class="bad">not accepting</span>`}</p>
${spark(history.connections, 'open connections', countText)}`;
}

function workersCard({ workers, lengthy, history }: StatusDocument): Html {
  const { busy, idle, starting, draining, startServers, maxRequestWorkers } = workers;
  const full = busy >= maxRequestWorkers ? html` <span class="bad">all are busy</span>` : NOTHING;
  return html`<p class="big">${busy} <small>busy, ${idle} idle</small>${full}</p>
<p>${startServers} at least, ${maxRequestWorkers} at most</p>
<p class="dim">${workers.minSpareThreads} to ${workers.maxSpareThreads} spare; ${starting} starting, ${draining} draining</p>
${lengthyLine(lengthy)}${spark(history.busyWorkers, 'busy workers', countText)}`;
}

/** Nothing where there are none, as in most applications. */
function lengthyLine({ busy, idle, starting, queueLength }: StatusDocument['lengthy']): Html {
  if (busy + idle + starting + queueLength === 0) return NOTHING;
  return html`<p>lengthy: ${busy} busy, ${idle} idle, ${starting} starting; ${queueLength} waiting</p>`;
}

function queueCard({ queue, history }: StatusDocument): Html {
  const over = queue.length >= queue.limit ? html` <span class="bad">full</span>` : NOTHING;
  return html`<p class="big">${countText(queue.length)} <small>waiting</small>${over}</p>
<p>waited ${durationText(queue.meanWaitMs)} on average over 10 s</p>
<p class="dim">${countText(queue.limit)} at most</p>
${spark(history.queueLength, 'connections in the queue', countText)}`;
}

function summary({ server }: StatusDocument): Html {
  const phase =
    server.phase === 'running' ? html`running` : html`<span class="bad">${server.phase}</span>`;
  return html`${server.software}, ${phase} for ${uptimeText(Math.floor(server.uptimeSeconds))},
generation ${server.generation}, pid ${server.pid}; load ${server.loadAverages.map((load) => load.toFixed(2)).join(' ')};
CPU ${server.cpuUserSeconds.toFixed(1)} s user, ${server.cpuSystemSeconds.toFixed(1)} s system; ${server.time.slice(0, 19).replace('T', ' ')} UTC`;
}

/** Equal neighbours share an element; many thousand connections are mostly alike. */
function runs(letters: string): Html[] {
  return (letters.match(/(.)\1*/gs) ?? []).map(
    (run) => html`<b class="${letterClass(run.charAt(0))}">${run}</b>`,
  );
}

function workerGrid({ workerList, workers }: StatusDocument): Html {
  const label = `${workerList.length} ${workerList.length === 1 ? 'worker' : 'workers'}: ${workers.busy} busy, ${workers.idle} idle, ${workers.starting} starting, ${workers.draining} draining`;
  return html`<div class="grid" role="img" aria-label="${label}">${runs(
    workerList.map(({ letter }) => letter).join(''),
  )}</div>`;
}

const stateCounts = ({ connections }: StatusDocument) =>
  OPEN_STATES.map((state) => [state, connections.byState[state]] as const);

function connectionGrid(document: StatusDocument): Html {
  const { letters, hidden } = document.connectionGrid;
  if (letters === '') return html`<p class="dim">No connection is open.</p>`;
  const counts = stateCounts(document)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`)
    .join(', ');
  const more = hidden > 0 ? html`<p class="dim">and ${countText(hidden)} more</p>` : NOTHING;
  return html`<div class="grid" role="img" aria-label="${`connections: ${counts}`}">${runs(letters)}</div>${more}`;
}

function workerKey({ workerList }: StatusDocument): Html {
  const count = (letter: string) => workerList.filter((one) => one.letter === letter).length;
  return html`${WORKER_KEY.map(
    ([letter, name]) => html`<li>${badge(letter)} ${name} ${count(letter)}</li>`,
  )}`;
}

function connectionKey(document: StatusDocument, query: StatusQuery): Html {
  return html`${stateCounts(document).map(
    ([state, count]) =>
      html`<li>${badge(STATE_LETTER[state])} <a href="${linkTo(query, { states: [state] })}">${state}</a> ${countText(count)}</li>`,
  )}`;
}

/** Method, target, host, status and time, in that order. */
export function requestCell(request: RequestView | null): Html {
  if (request === null) return html`<span class="dim">-</span>`;
  const { method, target, targetCut, host, active, status, ageMs, durationMs } = request;
  const line = visible(`${method} ${target}`);
  const more = targetCut && line.length <= REQUEST_COLUMNS ? '...' : '';
  const end = active ? `for ${ageText(ageMs)}` : `${status} in ${durationText(durationMs)}`;
  return html`<code>${shortened(line, REQUEST_COLUMNS)}${more} <span class="dim">${visible(host)} ${end}</span></code>`;
}

/** V8 heap, and what is outside of it; both together against the limit where there is one. */
function memoryCell({ heapUsedBytes, externalBytes, memoryLimitBytes }: WorkerView): Html {
  if (memoryLimitBytes === null) {
    return html`${bytesText(heapUsedBytes)} <span class="dim">+ ${bytesText(externalBytes)}</span>`;
  }
  const used = heapUsedBytes + externalBytes;
  const near = used >= memoryLimitBytes * NEARLY ? 'bad' : 'dim';
  return html`${bytesText(used)} <span class="${near}">of ${bytesText(memoryLimitBytes)}</span>`;
}

/** What its handler does; how long it has been at it alone where requests are not recorded. */
function handlingCell({ request, handlingMs }: WorkerView): Html {
  if (request !== null || handlingMs === null) return requestCell(request);
  return html`<span class="dim">in a handler for ${ageText(handlingMs)}</span>`;
}

function workerRow(worker: WorkerView): TableRow {
  const limit = worker.connectionLimit ?? 0;
  const state = `${worker.state}${worker.wantsRetire ? ', to retire' : ''}${worker.leads ? ', leads' : ''}`;
  const used = html`${countText(worker.connections)}`;
  const countdown =
    worker.connectionsLeft === null
      ? used
      : html`${used} of ${countText(limit)} <progress max="${limit}" value="${Math.min(limit, worker.connections)}" aria-label="${worker.connectionsLeft} connections until worker ${worker.slot} is replaced"></progress>`;
  return {
    key: `w${worker.slot}`,
    cells: [
      html`${worker.slot}`,
      html`${worker.life} <span class="dim">(${worker.generation})</span>`,
      html`${badge(worker.letter)} ${state}`,
      html`${ageText(worker.ageMs)}`,
      countdown,
      html`${countText(worker.requests)}${worker.requestLimit === null ? '' : ` of ${countText(worker.requestLimit)}`}`,
      html`${worker.pinned}`,
      html`${durationText(worker.meanServiceMs)}`,
      memoryCell(worker),
      html`${percentText(worker.eventLoopUtilization)}`,
      handlingCell(worker),
    ],
  };
}

export const WORKER_COLUMNS = [
  'Slot',
  'Child (gen.)',
  'State',
  'Age',
  'Connections',
  'Requests',
  'Pinned',
  'Mean time',
  'Memory',
  'Event loop',
  'Current request',
] as const;

export const UPSTREAM_COLUMNS = [
  'Upstream',
  'State',
  'Active',
  'Idle',
  'Requests',
  'Failures',
  'Retries',
  'Waiting',
  'Refused',
] as const;

function upstreamRow(upstream: StatusDocument['upstreams'][number]): TableRow {
  const { name, state, active, idle, requests, failures, retries, waiting, refused } = upstream;
  const figures = [active, idle, requests, failures, retries, waiting, refused].map(countText);
  return {
    key: `u${name}`,
    cells: [html`${visible(name)}`, html`${state}`, ...figures.map((text) => html`${text}`)],
  };
}

function connectionRow(row: ConnectionView, query: StatusQuery): TableRow {
  return {
    key: `c${row.slot}`,
    cells: [
      html`<a href="${linkTo(query, { connection: row.slot })}" aria-label="connection ${row.slot}">${row.slot}</a>`,
      html`${badge(row.letter)} ${row.state}`,
      html`${row.client}`,
      html`${ageText(row.ageMs)}`,
      html`${ageText(row.openMs)}`,
      html`${countText(row.requests)}`,
      html`${bytesText(row.receivedBytes)}`,
      html`${bytesText(row.sentBytes)}`,
      html`${row.worker === null ? '-' : row.worker}`,
      row.session === null
        ? requestCell(row.request)
        : html`${`${row.session.protocol} ${row.session.state}`}`,
    ],
  };
}

const reasons = (counts: Readonly<Record<string, number>>): Html[] =>
  Object.entries(counts).map(
    ([reason, count]) =>
      html`<dt>${reason}</dt><dd${count === 0 ? trusted(' class="dim"') : ''}>${countText(count)}</dd>`,
  );

function exits({ children }: StatusDocument): Html {
  const { lastExit } = children;
  const last =
    lastExit === null
      ? html`<p class="dim">None has ended while this page's server looked.</p>`
      : html`<p>The last one ended ${ageText(lastExit.agoMs)} ago: ${lastExit.reason}.</p>`;
  return html`${last}<dl>${reasons(children.exits)}</dl>`;
}

function starts({ children }: StatusDocument): Html {
  const { started, startFailures, spawns, lastSpawn, restMs } = children;
  const failed =
    startFailures === 0
      ? NOTHING
      : html` <span class="bad">${countText(startFailures)} failed to start.</span>`;
  const last =
    lastSpawn === null
      ? NOTHING
      : html` The last one ${ageText(lastSpawn.agoMs)} ago: ${lastSpawn.reason}.`;
  const rest =
    restMs === 0
      ? NOTHING
      : html`<p class="dim">The next one at its limit is replaced in ${ageText(restMs)} at the earliest.</p>`;
  return html`<p>${countText(started)} started.${last}${failed}</p>${rest}<dl>${reasons(spawns)}</dl>`;
}

function culls({ children: { culls, lastCull } }: StatusDocument): Html {
  const last =
    lastCull === null
      ? html`<p class="dim">None was one too many.</p>`
      : html`<p>The last one ${ageText(lastCull.agoMs)} ago: ${lastCull.reason}.</p>`;
  return html`${last}<dl>${reasons(culls)}</dl>`;
}

function listed({ connectionList }: StatusDocument): Html {
  if (connectionList === null) return html`extendedStatus is off: single connections are not shown`;
  const { rows, matching } = connectionList;
  return html`${countText(rows.length)} of ${countText(matching)} connections, sorted by ${connectionList.sort}`;
}

/** What changes on a page. */
export function pageModel(
  document: StatusDocument,
  query: StatusQuery,
  detail: Html | null,
): PageModel {
  return {
    parts: {
      summary: summary(document),
      requests: requestsCard(document),
      traffic: trafficCard(document),
      latency: latencyCard(document),
      connections: connectionsCard(document),
      workers: workersCard(document),
      queue: queueCard(document),
      workerGrid: workerGrid(document),
      workerKey: workerKey(document),
      connectionGrid: connectionGrid(document),
      connectionKey: connectionKey(document, query),
      listed: listed(document),
      starts: starts(document),
      culls: culls(document),
      exits: exits(document),
      closed: html`<dl>${reasons(document.connections.closed)}</dl>`,
      ...(detail !== null && { detail }),
    },
    tables: {
      workers: document.workerList.map((worker) => workerRow(worker)),
      upstreams: document.upstreams.map((upstream) => upstreamRow(upstream)),
      connections: (document.connectionList?.rows ?? []).map((row) => connectionRow(row, query)),
    },
  };
}
