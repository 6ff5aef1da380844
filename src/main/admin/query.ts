/**
 * What the URL asks of the status page: which connections, in which order, how many.
 *
 * Role: reads the query once for the page, JSON, CSV and the event stream, and writes links with it.
 * Thread: any; pure functions.
 */
import { OPEN_STATES, type OpenStateName } from '../../scoreboard/snapshot.ts';
import { STATE_LETTER } from '../../scoreboard/states.ts';

export const DEFAULT_LIMIT = 75;
export const MAX_LIMIT = 20_000;
const MAX_TEXT = 200;
const MAX_REFRESH_SECONDS = 3600;
/** Apache's. */
const DEFAULT_REFRESH_SECONDS = 10;

/** `active`: those that are served or queued first, the longest first, then the others, latest first. */
export const SORT_KEYS = [
  'active',
  'slot',
  'state',
  'client',
  'age',
  'open',
  'requests',
  'received',
  'sent',
  'worker',
] as const;
export type SortKey = (typeof SORT_KEYS)[number];

export interface StatusQuery {
  /** Empty: all. */
  readonly states: readonly OpenStateName[];
  /** Part of `address:port`; '': all. */
  readonly client: string;
  /** Child slot that owns it or served it last. */
  readonly worker: number | null;
  /** Part of method, host or target as they are shown, in any case; '': all. */
  readonly request: string;
  readonly sort: SortKey;
  readonly descending: boolean;
  readonly limit: number;
  /** Slot whose trail is wanted. */
  readonly connection: number | null;
  /** Query strings of requests are shown. */
  readonly showQueries: boolean;
  /** Seconds, null: the page is not to be asked for again by itself. */
  readonly refresh: number | null;
}

/** A value that makes no sense; its message names the parameter. Status 400. */
export class QueryError extends Error {
  constructor(name: string, value: string, form: string) {
    super(`${name}=${value.slice(0, MAX_TEXT)}: ${form}`);
    this.name = 'QueryError';
  }
}

const wholeOf = (parameters: URLSearchParams, name: string, least: number, most: number) => {
  const value = parameters.get(name);
  if (value === null || value === '') return null;
  const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new QueryError(name, value, `must be a whole number from ${least} to ${most}`);
};

const textOf = (parameters: URLSearchParams, name: string): string => {
  const value = parameters.get(name) ?? '';
  if (value.length <= MAX_TEXT) return value.trim();
  throw new QueryError(name, value, `must have at most ${MAX_TEXT} characters`);
};

function statesOf(parameters: URLSearchParams): OpenStateName[] {
  const words = parameters.getAll('state').flatMap((value) => value.split(','));
  return words
    .map((word) => word.trim())
    .filter((word) => word !== '')
    .map((word) => {
      const state = OPEN_STATES.find(
        (name) => name.toLowerCase() === word.toLowerCase() || STATE_LETTER[name] === word,
      );
      if (state !== undefined) return state;
      const known = OPEN_STATES.map((name) => `${name} (${STATE_LETTER[name]})`).join(', ');
      throw new QueryError('state', word, `must be one or more of ${known}`);
    });
}

function sortOf(parameters: URLSearchParams): { sort: SortKey; descending: boolean } {
  const value = parameters.get('sort') || 'active';
  const descending = value.startsWith('-');
  const name = descending ? value.slice(1) : value;
  const sort = SORT_KEYS.find((key) => key === name);
  if (sort !== undefined && value !== '-active') return { sort, descending };
  throw new QueryError('sort', value, `must be one of ${SORT_KEYS.join(', ')}, or -age and so on`);
}

function queriesOf(parameters: URLSearchParams): boolean {
  const value = parameters.get('queries') || 'mask';
  if (value === 'show' || value === 'mask') return value === 'show';
  throw new QueryError('queries', value, 'must be show or mask');
}

/** Apache takes anything and falls back to 10 seconds. */
function refreshOf(parameters: URLSearchParams): number | null {
  const value = parameters.get('refresh');
  if (value === null) return null;
  const seconds = /^\d{1,9}$/.test(value) ? Number(value) : 0;
  return Math.min(seconds || DEFAULT_REFRESH_SECONDS, MAX_REFRESH_SECONDS);
}

/**
 * Parameters that are not known are left alone, as everywhere in the web.
 * @throws QueryError
 */
export function parseQuery(parameters: URLSearchParams): StatusQuery {
  return {
    states: statesOf(parameters),
    client: textOf(parameters, 'client'),
    worker: wholeOf(parameters, 'worker', 0, 1022),
    request: textOf(parameters, 'request'),
    ...sortOf(parameters),
    limit: wholeOf(parameters, 'limit', 1, MAX_LIMIT) ?? DEFAULT_LIMIT,
    connection: wholeOf(parameters, 'connection', 0, 10_000_000),
    showQueries: queriesOf(parameters),
    refresh: refreshOf(parameters),
  };
}

export const sortText = ({ sort, descending }: Pick<StatusQuery, 'sort' | 'descending'>): string =>
  `${descending ? '-' : ''}${sort}`;

/** The query as a string that parses to it again; what is default is left out. */
export function queryText(query: StatusQuery): string {
  const parameters = new URLSearchParams();
  if (query.states.length > 0) parameters.set('state', query.states.join(','));
  if (query.client !== '') parameters.set('client', query.client);
  if (query.worker !== null) parameters.set('worker', String(query.worker));
  if (query.request !== '') parameters.set('request', query.request);
  if (sortText(query) !== 'active') parameters.set('sort', sortText(query));
  if (query.limit !== DEFAULT_LIMIT) parameters.set('limit', String(query.limit));
  if (query.connection !== null) parameters.set('connection', String(query.connection));
  if (query.showQueries) parameters.set('queries', 'show');
  if (query.refresh !== null) parameters.set('refresh', String(query.refresh));
  return parameters.toString();
}

/** A link to the same page with something else asked for. */
export function linkTo(query: StatusQuery, changes: Partial<StatusQuery> = {}): string {
  const text = queryText({ ...query, ...changes });
  return text === '' ? '?' : `?${text}`;
}
