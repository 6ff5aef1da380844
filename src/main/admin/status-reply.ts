/**
 * /server-status in all its forms: the page, `?auto`, `?json`, `?csv`, and the event stream.
 *
 * Role: the query decides the form, a status document fills it.
 * Thread: the admin thread, or a worker at statusPath.
 */
import { statusAuto } from '../../scoreboard/status-auto.ts';
import { connectionsCsv } from './csv.ts';
import type { EventStreams } from './event-streams.ts';
import { CONTENT_SECURITY_POLICY, type PagePlace, statusPage } from './page.ts';
import { linkTo, parseQuery, QueryError, type StatusQuery } from './query.ts';
import { type Reply, text } from './reply.ts';
import type { StatusSource } from './status-source.ts';

const withFlag = (flag: string, query: StatusQuery): string => {
  const link = linkTo({ ...query, refresh: null });
  return link === '?' ? `?${flag}` : `?${flag}&${link.slice(1)}`;
};

/** Other forms of the same answer. */
export const formLinks = (query: StatusQuery) =>
  [
    ['JSON', withFlag('json', query)],
    ['CSV of the connections', withFlag('csv', query)],
    ["Apache's text", '?auto'],
  ] as const;

/** @param streams null: there is no event stream here */
export function statusReply(
  source: StatusSource,
  streams: EventStreams | null,
  place: (query: StatusQuery) => PagePlace,
  parameters: URLSearchParams,
): Reply {
  let query: StatusQuery;
  try {
    query = parseQuery(parameters);
  } catch (error) {
    if (error instanceof QueryError) return text(400, error.message);
    throw error;
  }
  const headers: Record<string, string> =
    query.refresh === null ? {} : { Refresh: String(query.refresh) };
  const ok = (type: string, body: string, more = {}): Reply => ({
    status: 200,
    type,
    body,
    headers: { ...headers, ...more },
  });
  if (parameters.has('auto')) {
    return ok('text/plain; charset=ISO-8859-1', statusAuto(source.snapshot(), source.figures()));
  }
  if (parameters.has('json')) {
    return ok('application/json; charset=utf-8', JSON.stringify(source.document(query)));
  }
  if (parameters.has('csv')) {
    return ok('text/csv; charset=utf-8; header=present', connectionsCsv(source.document(query)), {
      'Content-Disposition': 'inline; filename="connections.csv"',
    });
  }
  if (parameters.has('events')) return eventReply(streams, query);
  return ok('text/html; charset=utf-8', statusPage(source.document(query), query, place(query)), {
    'Content-Security-Policy': CONTENT_SECURITY_POLICY,
  });
}

function eventReply(streams: EventStreams | null, query: StatusQuery): Reply {
  if (streams === null) return text(404, 'the event stream is at the admin address only');
  if (streams.full)
    return text(503, 'too many readers of the event stream', { 'Retry-After': '10' });
  return {
    status: 200,
    type: 'text/event-stream; charset=utf-8',
    body: '',
    stream: (response) => streams.add(query, response),
  };
}
