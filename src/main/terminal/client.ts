/**
 * Asks a server for its status document.
 *
 * Thread: main of the command. Every wait has a deadline.
 */
import type { StatusDocument } from '../admin/schema.ts';
import { statusSchema } from '../admin/schema.ts';
import type { HostPort } from '../config/directives.ts';
import { formatHostPort } from '../config/kinds.ts';

const DEADLINE_MS = 5_000;
const STATUS_PATH = '/server-status';

/** The server does not answer, or not with a status; the message names the address. */
export class StatusError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'StatusError';
    this.code = code;
  }
}

/**
 * The address of a status page: `http://host:port/server-status`, or only `host:port`.
 * @throws StatusError ERR_MPM_STATUS_URL
 */
export function statusUrl(given: string): URL {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(given) ? given : `http://${given}`;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '') {
    throw new StatusError(
      'ERR_MPM_STATUS_URL',
      `${given} is no address of a status page, like http://127.0.0.1:8081/server-status`,
    );
  }
  if (url.pathname === '/') url.pathname = STATUS_PATH;
  url.search = '';
  url.hash = '';
  return url;
}

/**
 * The address that a configuration gives the admin server.
 * @throws StatusError ERR_MPM_STATUS_OFF where that cannot be told
 */
export function adminUrl(admin: HostPort | null): URL {
  if (admin === null) {
    throw new StatusError('ERR_MPM_STATUS_OFF', 'admin is off in this configuration; give a URL');
  }
  if (admin.port === 0) {
    throw new StatusError(
      'ERR_MPM_STATUS_OFF',
      'admin has port 0 in this configuration, so the kernel chose one; give the URL',
    );
  }
  const host = { '::': '::1', '0.0.0.0': '127.0.0.1' }[admin.host] ?? admin.host;
  return new URL(STATUS_PATH, `http://${formatHostPort({ host, port: admin.port })}`);
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the connection was cut off',
  ENOTFOUND: 'the host name is unknown',
  EHOSTUNREACH: 'the host cannot be reached',
  UND_ERR_SOCKET: 'the connection was cut off',
};

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return `no answer within ${DEADLINE_MS / 1000} s`;
  const { cause } = error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return REASONS[code] ?? (cause instanceof Error ? cause.message || code : error.message);
}

/**
 * @param query of connections, see the status page
 * @throws StatusError ERR_MPM_STATUS_UNREACHABLE or ERR_MPM_STATUS_ANSWER
 */
export async function fetchStatus(url: URL, query: string): Promise<StatusDocument> {
  const wrong = (what: string) => new StatusError('ERR_MPM_STATUS_ANSWER', `${url}: ${what}`);
  let answer: unknown;
  try {
    const response = await fetch(`${url}?json&${query}`, {
      signal: AbortSignal.timeout(DEADLINE_MS),
      redirect: 'error',
    });
    const text = await response.text();
    if (!response.ok) throw wrong(`answered ${response.status} ${text.trim().slice(0, 200)}`);
    answer = parsed(text);
  } catch (error) {
    if (error instanceof StatusError) throw error;
    throw new StatusError('ERR_MPM_STATUS_UNREACHABLE', `${url}: ${reasonOf(error)}`);
  }
  const checked = statusSchema.safeParse(answer);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  throw wrong(
    `is no status of hybrid-mpm that this version reads (${issue?.path.join('.') || 'document'}: ${issue?.message})`,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
