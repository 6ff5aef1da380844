/**
 * What each path of the admin server answers.
 *
 * Thread: the admin thread. May not: wait for another thread.
 */
import type { IncomingMessage } from 'node:http';
import { Phase } from '../../scoreboard/codes.ts';
import { HEADER } from '../../scoreboard/layout.ts';
import { createMetrics, type FurtherFamilies } from '../../scoreboard/metrics.ts';
import type { Scoreboard } from '../../scoreboard/scoreboard.ts';
import { type Snapshot, takeSnapshot } from '../../scoreboard/snapshot.ts';
import type { ActionEndpoint } from './action-endpoint.ts';
import type { AdminLimits } from './document.ts';
import { EventStreams } from './event-streams.ts';
import { metricsReply } from './metrics-reply.ts';
import type { PagePlace } from './page.ts';
import type { StatusQuery } from './query.ts';
import { type Reply, text } from './reply.ts';
import { formLinks, statusReply } from './status-reply.ts';
import { SAMPLE_MS, type SourceOptions, StatusSource } from './status-source.ts';

const STATUS_PATH = '/server-status';
const EVENTS_PATH = `${STATUS_PATH}/events`;
const ACTIONS_PATH = `${STATUS_PATH}/actions`;

type Answer = (query: URLSearchParams, request: IncomingMessage) => Reply | Promise<Reply>;

export interface Routes {
  reply(request: IncomingMessage): Promise<Reply>;
  /** Limits to show from now on. */
  configure(limits: AdminLimits): void;
  /** Ends the sampling. */
  stop(): void;
}

export function createRoutes(
  board: Scoreboard,
  options: SourceOptions,
  actions: ActionEndpoint,
  application: FurtherFamilies,
): Routes {
  const { version } = options;
  const metricsOf = (limits: AdminLimits) =>
    createMetrics(board, { ...limits, version }, application);
  let metrics = metricsOf(options.limits);
  const source = new StatusSource(board, options);
  const streams = new EventStreams(source);
  const place = (query: StatusQuery): PagePlace => ({
    eventsPath: EVENTS_PATH,
    actionsPath: actions.enabled ? ACTIONS_PATH : null,
    links: [...formLinks(query), ['metrics', '/metrics']],
  });
  const timer = sampling(source, streams);
  const status: Answer = (query) => statusReply(source, streams, place, query);
  const paths = new Map<string, Answer>([
    [STATUS_PATH, status],
    [
      EVENTS_PATH,
      (query, request) => {
        query.set('events', '');
        return status(query, request);
      },
    ],
    [
      '/metrics',
      (query, { headers }) => metricsReply(metrics, query, headers, () => source.figures()),
    ],
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
  return {
    reply: (request) => {
      const isAction = request.url === ACTIONS_PATH;
      if (!isAction) return replyTo(paths, request);
      if (request.method === 'POST') return actions.reply(request);
      return Promise.resolve(text(405, 'method not allowed', { Allow: 'POST' }));
    },
    configure: (limits) => {
      source.configure(limits);
      metrics = metricsOf(limits);
    },
    stop: () => clearInterval(timer),
  };
}

function sampling(source: StatusSource, streams: EventStreams): NodeJS.Timeout {
  const turn = () => {
    try {
      source.sample();
      streams.tick();
    } catch {
      // Memory that makes no sense is told to whoever asks; a second without a sample harms nobody.
    }
  };
  turn();
  return setInterval(turn, SAMPLE_MS).unref();
}

function readiness({ phase, workers }: Snapshot): Reply {
  if (phase !== 'running') return text(503, phase);
  return workers.idle + workers.busy > 0 ? text(200, 'ready') : text(503, 'no-workers');
}

async function replyTo(
  paths: ReadonlyMap<string, Answer>,
  request: IncomingMessage,
): Promise<Reply> {
  const { method = '', url = '' } = request;
  const at = url.indexOf('?');
  const [path, query] = at === -1 ? [url, ''] : [url.slice(0, at), url.slice(at + 1)];
  const answer = paths.get(path);
  if (answer === undefined) return text(404, 'not found');
  if (method !== 'GET' && method !== 'HEAD') {
    return text(405, 'method not allowed', { Allow: 'GET, HEAD' });
  }
  return answer(new URLSearchParams(query), request);
}
