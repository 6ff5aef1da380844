/**
 * POST /server-status/actions: who may act, what is asked, what became of it.
 *
 * Role: checks where the request comes from and its token, hands the action to main, and answers with
 * what main says. Main is the one that does things; this thread only asks.
 * Thread: the admin thread. Everything has a bound: the body, the wait for it, and the wait for main.
 *
 * A page of another site can make a browser send a form here, but not with the token, which no cookie
 * carries; such requests are refused by their Origin and Sec-Fetch-Site (Fetch, W3C Fetch Metadata)
 * before that.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { type Action, ActionError, type ActionResult, actionOf } from './action.ts';
import { type Reply, text } from './reply.ts';

const MAX_BODY_BYTES = 4_096;
const BODY_MS = 5_000;
/** Main may be kept by a start of children, never by a handler. */
const MAIN_MS = 10_000;

export interface ActionRequest {
  readonly kind: 'action';
  readonly id: number;
  readonly action: Action;
}
export interface ActionDone {
  readonly kind: 'done';
  readonly id: number;
  readonly result: ActionResult;
}

/** The form in which the secret is kept; equal lengths are what a constant-time comparison needs. */
export const tokenDigest = (token: string): string =>
  createHash('sha256').update(token).digest('hex');

export class ActionEndpoint {
  /** Null: there are no actions. */
  readonly #digest: Buffer | null;
  readonly #tell: (request: ActionRequest) => void;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #ids = 0;

  /** @param tokenHash see `tokenDigest` */
  constructor(tokenHash: string | null, tell: (request: ActionRequest) => void) {
    this.#digest = tokenHash === null ? null : Buffer.from(tokenHash, 'hex');
    this.#tell = tell;
  }

  get enabled(): boolean {
    return this.#digest !== null;
  }

  async reply(request: IncomingMessage): Promise<Reply> {
    if (this.#digest === null) return text(403, 'actions are off: adminToken is not set');
    if (isForeign(request)) return text(403, 'requests of other sites are refused');
    const body = await bodyOf(request);
    if (typeof body !== 'string') return body;
    const fields = fieldsOf(request.headers['content-type'] ?? '', body);
    if (fields === null) {
      return text(400, 'the body must be a form (x-www-form-urlencoded) or an object in JSON');
    }
    if (!this.#isAllowed(request, fields)) {
      return text(401, 'the token is missing or wrong', { 'WWW-Authenticate': 'Bearer' });
    }
    try {
      return await this.#ask(actionOf(fields));
    } catch (error) {
      if (error instanceof ActionError) return text(400, error.message);
      throw error;
    }
  }

  #isAllowed({ headers }: IncomingMessage, fields: ReadonlyMap<string, string>): boolean {
    const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
    const given = Buffer.from(tokenDigest(bearer ?? fields.get('token') ?? ''), 'hex');
    return this.#digest !== null && timingSafeEqual(given, this.#digest);
  }

  #ask(action: Action): Promise<Reply> {
    const id = ++this.#ids;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        resolve(text(504, 'the main thread did not answer; what was asked may still be done'));
      }, MAIN_MS);
      this.#waiting.set(id, (reply) => {
        clearTimeout(timer);
        resolve(reply);
      });
      this.#tell({ kind: 'action', id, action });
    });
  }

  /** What main says. */
  done({ id, result }: ActionDone): void {
    const answer = this.#waiting.get(id);
    this.#waiting.delete(id);
    answer?.(text(result.status, result.message));
  }
}

/** Sent by a page of another origin, as far as a browser says. */
function isForeign({ headers }: IncomingMessage): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  const { origin, host } = headers;
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== host;
}

function bodyOf(request: IncomingMessage): Promise<string | Reply> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    const end = (result: string | Reply) => {
      clearTimeout(timer);
      resolve(result);
    };
    const closing = { Connection: 'close' };
    const timer = setTimeout(() => end(text(408, 'the body did not arrive', closing)), BODY_MS);
    request.on('data', (piece: Buffer) => {
      bytes += piece.length;
      if (bytes > MAX_BODY_BYTES) end(text(413, `at most ${MAX_BODY_BYTES} bytes`, closing));
      else pieces.push(piece);
    });
    request.on('end', () => end(Buffer.concat(pieces).toString('utf8')));
    request.on('error', () => end(text(400, 'the body was cut off', closing)));
  });
}

function fieldsOf(type: string, body: string): ReadonlyMap<string, string> | null {
  if (/^application\/x-www-form-urlencoded\b/i.test(type))
    return new Map(new URLSearchParams(body));
  if (!/^application\/json\b/i.test(type)) return null;
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
    return new Map(Object.entries(value).map(([name, member]) => [name, String(member)]));
  } catch {
    return null;
  }
}
