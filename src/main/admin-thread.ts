/**
 * The admin thread: status, metrics and health over HTTP on a port of their own.
 *
 * Role: attaches the scoreboard and answers from it alone, so it answers when main or every worker is
 * busy, stuck or gone. Says to main that it listens or why it cannot, and what an operator asks for.
 * What it answers is in admin/.
 * Thread: the admin thread; importing the file elsewhere starts nothing.
 * May not: write the scoreboard, wait for another thread, or use the process's thread pool, which the
 * application may have filled (so no asynchronous files and no look-ups after the start).
 */
import { createServer, type Server } from 'node:http';
import { BroadcastChannel, type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { ApplicationMetrics, type Published } from '../scoreboard/metrics/application.ts';
import { Scoreboard, type SharedScoreboard } from '../scoreboard/scoreboard.ts';
import { type ActionDone, ActionEndpoint, type ActionRequest } from './admin/action-endpoint.ts';
import type { AdminLimits } from './admin/document.ts';
import { type Reply, send, text } from './admin/reply.ts';
import { createRoutes } from './admin/routes.ts';
import type { SourceOptions } from './admin/status-source.ts';

/** The thread's workerData. */
export interface AdminTask extends SourceOptions {
  readonly shared: SharedScoreboard;
  readonly host: string;
  readonly port: number;
  /** BroadcastChannel on which children give the application's own metrics. */
  readonly metricsChannel: string;
  /** See `tokenDigest`; null: no actions. */
  readonly tokenDigest: string | null;
}

export type AdminMessage =
  | {
      readonly kind: 'listening';
      readonly address: { readonly host: string; readonly port: number; readonly family: 4 | 6 };
    }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
  | ActionRequest;
export type AdminOrder =
  | { readonly kind: 'stop' }
  | { readonly kind: 'limits'; readonly limits: AdminLimits }
  | ActionDone;

/** Clients at the same time. */
const MAX_CLIENTS = 100;

/** Listens and answers until told to stop. */
function run(port: MessagePort, task: AdminTask): void {
  const tell = (message: AdminMessage) => port.postMessage(message);
  const actions = new ActionEndpoint(task.tokenDigest, tell);
  const application = new ApplicationMetrics((line) =>
    process.stderr.write(`hybrid-mpm: ${line}\n`),
  );
  const channel = new BroadcastChannel(task.metricsChannel);
  channel.onmessage = (event) => application.receive((event as { data: Published }).data);
  const routes = createRoutes(Scoreboard.attach(task.shared), task, actions, application);
  const server: Server = createServer((request, response) => {
    routes
      .reply(request)
      .catch((error: unknown): Reply => text(500, error instanceof Error ? error.message : 'error'))
      .then((reply) => send(response, reply, request.method !== 'HEAD'));
  });
  server.maxConnections = MAX_CLIENTS;
  const onFailed = (error: NodeJS.ErrnoException) => {
    tell({ kind: 'failed', code: error.code ?? 'ERR_MPM_ADMIN', message: error.message });
    routes.stop();
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
  port.on('message', (order: AdminOrder) => {
    switch (order.kind) {
      case 'done':
        return actions.done(order);
      case 'limits':
        return routes.configure(order.limits);
      case 'stop':
        routes.stop();
        server.close();
        server.closeAllConnections();
        channel.close();
        port.close();
    }
  });
}

if (parentPort !== null && isTask(workerData)) run(parentPort, workerData);

function isTask(data: unknown): data is AdminTask {
  return typeof data === 'object' && data !== null && 'shared' in data && 'startedMs' in data;
}
