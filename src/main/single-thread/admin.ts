/**
 * The admin page of the server of one thread: whether it lives and serves, and figures of the process.
 *
 * Thread: main; a stuck application is one that does not answer here either.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { VERSION } from '../version.ts';

export interface Figures {
  /** Milliseconds since the epoch. */
  readonly startedMs: number;
  ready: boolean;
  /** Since the start. */
  requests: number;
  /** Unfinished. */
  active: number;
}

/** /healthz, /readyz and /server-status, the last also as `?auto` with keys of the full page. */
export function adminListener(figures: Figures): RequestListener {
  return (request: IncomingMessage, response: ServerResponse) => {
    const path = (request.url ?? '/').split('?', 1)[0];
    const answer = (status: number, text: string) => {
      response.writeHead(status, { 'content-type': 'text/plain;charset=UTF-8' }).end(text);
    };
    if (path === '/healthz') answer(200, 'ok\n');
    else if (path === '/readyz')
      answer(figures.ready ? 200 : 503, figures.ready ? 'ready\n' : 'not ready\n');
    else if (path === '/server-status') answer(200, statusText(figures));
    else answer(404, 'not found; there are /healthz, /readyz and /server-status\n');
  };
}

function statusText({ startedMs, requests, active }: Figures): string {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  const lines: readonly (readonly [string, string | number])[] = [
    ['ServerVersion', `hybrid-mpm/${VERSION} (one thread over node:http, without epoll)`],
    ['ServerUptimeSeconds', Math.floor((Date.now() - startedMs) / 1000)],
    ['Total Accesses', requests],
    ['BusyWorkers', active],
    ['CPUUser', (user / 1e6).toFixed(2)],
    ['CPUSystem', (system / 1e6).toFixed(2)],
    ['MpmResidentBytes', rss],
    ['MpmHeapUsedBytes', heapUsed],
  ];
  return lines.map(([name, value]) => `${name}: ${value}\n`).join('');
}
