/**
 * The admin thread: status, metrics and health over HTTP on a port of their own.
 *
 * Role: attaches the scoreboard and answers from it alone, so it answers when main or every worker is
 * busy, stuck or gone. Says to main only that it listens or why it cannot.
 * Thread: the admin thread; importing the file elsewhere starts nothing.
 * May not: write the scoreboard, wait for another thread, or use the process's thread pool, which the
 * application may have filled (so no asynchronous files and no look-ups after the start).
 */
import { statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { hostname, loadavg, type as osType } from 'node:os';
import { fileURLToPath } from 'node:url';
import { BroadcastChannel, type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { monotonicMs } from '../scoreboard/clock.ts';
import { HEADER, Phase } from '../scoreboard/layout.ts';
import { ApplicationMetrics, type Published } from '../scoreboard/metrics/application.ts';
import { createMetrics, type MetricsOptions } from '../scoreboard/metrics.ts';
import { Scoreboard, type SharedScoreboard } from '../scoreboard/scoreboard.ts';
import {
  type ChildRow,
  type ConnectionRow,
  connectionRows,
  OPEN_STATES,
  type Snapshot,
  takeSnapshot,
} from '../scoreboard/snapshot.ts';
import { STATE_LETTER } from '../scoreboard/states.ts';
import {
  apacheTime,
  type StatusFigures,
  serverVersion,
  statusAuto,
  uptimeText,
  workerLetter,
} from '../scoreboard/status-auto.ts';
import { formatAddress } from '../workers/peer-address.ts';
import { metricsReply } from './admin-metrics.ts';

/** Limits to show; a server's directives have them all. */
export interface AdminLimits extends Omit<MetricsOptions, 'version'> {
  /** False: the page shows no single connections. */
  readonly extendedStatus: boolean;
}

/** The thread's workerData. */
export interface AdminTask {
  readonly shared: SharedScoreboard;
  readonly host: string;
  readonly port: number;
  readonly version: string;
  readonly limits: AdminLimits;
  /** BroadcastChannel on which children give the application's own metrics. */
  readonly metricsChannel: string;
  /** `monotonicMs()` at the start of the server. */
  readonly startedMs: number;
}

export type AdminMessage =
  | {
      readonly kind: 'listening';
      readonly address: { readonly host: string; readonly port: number; readonly family: 4 | 6 };
    }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };
export interface AdminStop {
  readonly kind: 'stop';
}

/** Connections the page lists. */
const MAX_ROWS = 200;
/** Clients at the same time. */
const MAX_CLIENTS = 100;
const DEFAULT_REFRESH_SECONDS = 10;
const MAX_REFRESH_SECONDS = 3600;
/** AF_INET6 of Linux, the only system this package runs on. */
const AF_INET6 = 10;

// ---- the page -------------------------------------------------------------------------------------

/** Text that is HTML already; everything else is escaped when it is put into a template. */
interface Html {
  readonly html: string;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Also shows control characters, and those that turn the direction of writing, as a replacement. */
const escapeHtml = (text: string): string =>
  text
    .replace(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, '\ufffd')
    .replace(/[&<>"']/g, (character) => ENTITIES[character] as string);

function html(strings: TemplateStringsArray, ...values: (Html | Html[] | string | number)[]): Html {
  const texts = values.map((value) => {
    if (Array.isArray(value)) return value.map((part) => part.html).join('');
    return typeof value === 'object' ? value.html : escapeHtml(String(value));
  });
  return { html: String.raw({ raw: strings }, ...texts) };
}

const STYLE: Html = {
  html: `:root{color-scheme:light dark}body{font:14px/1.4 system-ui,sans-serif;margin:1.5em}
table{border-collapse:collapse;margin:.5em 0 1.5em}th,td{padding:.15em .7em;text-align:right;
border-bottom:1px solid #8884;font-variant-numeric:tabular-nums}th:first-child,td:first-child,.t{text-align:left}
dl{display:grid;grid-template-columns:max-content auto;gap:.1em 1em}dd{margin:0}
pre{white-space:pre-wrap;word-break:break-all}`,
};

const seconds = (ms: number): string => (ms / 1000).toFixed(1);
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
function bytesText(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${UNITS[power]}`;
}

function table(heads: readonly string[], rows: Html[]): Html {
  return html`<table><tr>${heads.map((head) => html`<th>${head}</th>`)}</tr>${rows}</table>`;
}

function workerRow(child: ChildRow): Html {
  const { counters } = child;
  const state = child.wantsRetire ? `${child.state}, to retire` : child.state;
  return html`<tr><td>${child.slot}</td><td>${child.life}</td><td>${workerLetter(child)}</td>
<td class="t">${state}</td><td>${seconds(child.ageMs)}</td><td>${child.lifeConnections}</td>
<td>${child.lifeRequests}</td><td>${counters.requests}</td><td>${child.pinned}</td>
<td>${child.meanServiceMs.toFixed(3)}</td><td>${bytesText(child.heapUsedBytes)}</td>
<td>${bytesText(counters.receivedBytes)}</td><td>${bytesText(counters.sentBytes)}</td></tr>`;
}

/** Writes a peer's address, without its port. */
export type FormatPeer = (peer: Uint8Array) => string;

function connectionRow(row: ConnectionRow, formatPeer: FormatPeer): Html {
  const address = formatPeer(row.peer);
  const peer = `${address.includes(':') ? `[${address}]` : address}:${row.peerPort}`;
  return html`<tr><td>${row.slot}</td><td>${STATE_LETTER[row.state]}</td><td class="t">${row.state}</td>
<td>${row.owner < 0 ? '-' : row.owner}</td><td class="t">${peer}</td><td>${seconds(row.ageMs)}</td>
<td>${seconds(row.connectedMs)}</td><td>${row.requests}</td><td>${bytesText(row.receivedBytes)}</td>
<td>${bytesText(row.sentBytes)}</td></tr>`;
}

/** What the page shows. */
export interface PageView {
  readonly snapshot: Snapshot;
  /** Null: single connections are not to be shown. */
  readonly rows: readonly ConnectionRow[] | null;
  readonly figures: StatusFigures;
  readonly limits: AdminLimits;
}

/** The whole page as a document without outside parts. */
export function statusPage(view: PageView, formatPeer: FormatPeer): string {
  const { snapshot, rows, figures, limits } = view;
  const { totals, workers } = snapshot;
  const uptime = Math.max(1, figures.uptimeMs / 1000);
  const per = (sum: number, count: number) => (count > 0 ? (sum / count).toFixed(3) : '-');
  const entry = ([name, value]: readonly [string, string]) =>
    html`<dt>${name}</dt><dd>${value}</dd>`;
  const states = OPEN_STATES.map((state) => `${state} ${snapshot.connections[state]}`).join(', ');
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Server status: ${figures.serverName}</title>
<style>${STYLE}</style></head><body><h1>Server status: ${figures.serverName}</h1>
<dl>${(
    [
      ['Server', `${serverVersion(figures)}, ${snapshot.phase}, generation ${snapshot.generation}`],
      ['Time', apacheTime(figures.now)],
      ['Uptime', uptimeText(Math.floor(figures.uptimeMs / 1000))],
      ['Load', figures.loadAverages.map((load) => load.toFixed(2)).join(' ')],
      [
        'CPU',
        `user ${figures.cpuUserSeconds.toFixed(2)} s, system ${figures.cpuSystemSeconds.toFixed(2)} s`,
      ],
      [
        'Requests',
        `${totals.requests}, ${(totals.requests / uptime).toFixed(1)}/s, ${per(totals.durationMs, totals.requests)} ms each`,
      ],
      ['Traffic', `in ${bytesText(totals.receivedBytes)}, out ${bytesText(totals.sentBytes)}`],
      ['Connections', `${snapshot.connectionsTotal} of ${snapshot.connectionsMax}: ${states}`],
      ['Accepting', `${snapshot.accepting ? 'yes' : 'no'}, ${snapshot.accepted} so far`],
      [
        'Queue',
        `${snapshot.queueLength} of ${limits.queueLimit}, mean wait ${per(totals.queueWaitMs, totals.claims)} ms`,
      ],
      [
        'Workers',
        `${workers.busy} busy, ${workers.idle} idle, ${workers.starting} starting, ${workers.draining} draining; ${limits.startServers} to ${limits.maxRequestWorkers}`,
      ],
      ['Children', `${snapshot.childStarts} started`],
    ] as const
  ).map(entry)}</dl>
<pre>${snapshot.children.map(workerLetter).join('')}</pre>
<p><b>_</b> idle, <b>S</b> starting, <b>W</b> in a handler, <b>R</b> busy otherwise,
<b>G</b> draining, <b>.</b> empty</p>
<h2>Workers</h2>${table(
    'Slot,Child,M,State,Age s,Conns,Reqs,Reqs of slot,Pinned,Mean ms,Heap,In,Out'.split(','),
    snapshot.children.filter(({ state }) => state !== 'empty').map(workerRow),
  )}
<h2>Connections</h2>${rows === null ? html`<p>extendedStatus is off</p>` : connectionTable(rows, formatPeer)}
</body></html>
`;
  return page.html;
}

function connectionTable(rows: readonly ConnectionRow[], formatPeer: FormatPeer): Html {
  return html`${table(
    'Slot,M,State,Worker,Client,Age s,Open s,Reqs,In,Out'.split(','),
    rows.map((row) => connectionRow(row, formatPeer)),
  )}${rows.length === MAX_ROWS ? html`<p>the first ${MAX_ROWS}</p>` : ''}`;
}

// ---- the server -----------------------------------------------------------------------------------

interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

const text = (status: number, body: string, headers = {}): Reply => ({
  status,
  type: 'text/plain; charset=utf-8',
  body: `${body}\n`,
  headers,
});

type Answer = (query: URLSearchParams, request: IncomingMessage) => Reply | Promise<Reply>;

/** What each path answers. */
function answers(
  board: Scoreboard,
  task: AdminTask,
  application: ApplicationMetrics,
): ReadonlyMap<string, Answer> {
  const { version, limits, startedMs } = task;
  const metrics = createMetrics(board, { ...limits, version }, application);
  const builtAt = statSync(fileURLToPath(import.meta.url)).mtime;
  const figures = (): StatusFigures => {
    const { user, system } = process.cpuUsage();
    return {
      serverName: hostname(),
      version,
      nodeVersion: process.versions.node,
      platform: osType(),
      builtAt,
      now: new Date(),
      uptimeMs: Math.max(0, monotonicMs() - startedMs),
      loadAverages: loadavg(),
      cpuUserSeconds: user / 1e6,
      cpuSystemSeconds: system / 1e6,
    };
  };
  const formatPeer: FormatPeer = (peer) => formatAddress(peer, 0, AF_INET6);
  return new Map<string, Answer>([
    [
      '/server-status',
      (query) => {
        const headers = refreshHeader(query);
        const snapshot = takeSnapshot(board);
        if (query.has('auto')) {
          const body = statusAuto(snapshot, figures());
          return { status: 200, type: 'text/plain; charset=ISO-8859-1', body, headers };
        }
        const rows = limits.extendedStatus ? connectionRows(board, MAX_ROWS) : null;
        const body = statusPage({ snapshot, rows, figures: figures(), limits }, formatPeer);
        const policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
        return {
          status: 200,
          type: 'text/html; charset=utf-8',
          body,
          headers: { ...headers, 'Content-Security-Policy': policy },
        };
      },
    ],
    ['/metrics', (query, { headers }) => metricsReply(metrics, query, headers, figures)],
    // The listener's heartbeat stands still while there is no work, so it says nothing about health.
    [
      '/healthz',
      () =>
        board.header(HEADER.phase.offset) === Phase.stopped
          ? text(503, 'stopped')
          : text(200, 'ok'),
    ],
    ['/readyz', () => readiness(takeSnapshot(board))],
  ]);
}

function readiness({ phase, workers }: Snapshot): Reply {
  if (phase !== 'running') return text(503, phase);
  return workers.idle + workers.busy > 0 ? text(200, 'ready') : text(503, 'no-workers');
}

/** `?refresh=N`: the browser asks again every N seconds; Apache's 10 where N is not a number. */
function refreshHeader(query: URLSearchParams): Record<string, string> {
  const wanted = query.get('refresh');
  if (wanted === null) return {};
  const given = /^\d{1,9}$/.test(wanted) ? Number(wanted) : 0;
  return { Refresh: String(Math.min(given || DEFAULT_REFRESH_SECONDS, MAX_REFRESH_SECONDS)) };
}

async function reply(paths: ReadonlyMap<string, Answer>, request: IncomingMessage): Promise<Reply> {
  const { method = '', url = '' } = request;
  const [path = '', query = ''] = url.split('?', 2);
  const answer = paths.get(path);
  if (answer === undefined) return text(404, 'not found');
  if (method !== 'GET' && method !== 'HEAD') {
    return text(405, 'method not allowed', { Allow: 'GET, HEAD' });
  }
  return answer(new URLSearchParams(query), request);
}

function send(response: ServerResponse, { status, type, body, headers }: Reply): void {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...headers,
  });
  response.end(body);
}

/** Listens and answers until told to stop. */
function run(port: MessagePort, task: AdminTask): void {
  const application = new ApplicationMetrics((line) =>
    process.stderr.write(`hybrid-mpm: ${line}\n`),
  );
  const channel = new BroadcastChannel(task.metricsChannel);
  channel.onmessage = (event) => application.receive((event as { data: Published }).data);
  const paths = answers(Scoreboard.attach(task.shared), task, application);
  const server: Server = createServer((request, response) => {
    reply(paths, request)
      .catch((error: unknown) => text(500, error instanceof Error ? error.message : 'error'))
      .then((answer) => send(response, answer));
  });
  server.maxConnections = MAX_CLIENTS;
  const tell = (message: AdminMessage) => port.postMessage(message);
  const onFailed = (error: NodeJS.ErrnoException) => {
    tell({ kind: 'failed', code: error.code ?? 'ERR_MPM_ADMIN', message: error.message });
    channel.close();
    port.close();
  };
  server.once('error', onFailed);
  server.listen(task.port, task.host, () => {
    // From now on an error ends the thread, and main starts another.
    server.off('error', onFailed);
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('not a TCP address');
    const family = address.family === 'IPv6' ? 6 : 4;
    tell({ kind: 'listening', address: { host: address.address, port: address.port, family } });
  });
  port.on('message', ({ kind }: AdminStop) => {
    if (kind !== 'stop') return;
    server.close();
    server.closeAllConnections();
    channel.close();
    port.close();
  });
}

if (parentPort !== null && isTask(workerData)) run(parentPort, workerData);

function isTask(data: unknown): data is AdminTask {
  return typeof data === 'object' && data !== null && 'shared' in data && 'startedMs' in data;
}
