/**
 * What the admin server answers, as data, and how it is sent.
 *
 * Thread: the admin thread, or a worker at statusPath.
 */
import type { ServerResponse } from 'node:http';

export interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  /** The body goes on; called after the head was written. */
  readonly stream?: (response: ServerResponse) => void;
}

export const text = (status: number, body: string, headers = {}): Reply => ({
  status,
  type: 'text/plain; charset=utf-8',
  body: `${body}\n`,
  headers,
});

export const COMMON_HEADERS: Readonly<Record<string, string>> = {
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
  // Not `no-referrer`, which would have forms of the page itself come without an origin.
  'Referrer-Policy': 'same-origin',
};

export function send(response: ServerResponse, reply: Reply, withBody: boolean): void {
  const { status, type, body, headers, stream } = reply;
  const common = { 'Content-Type': type, ...COMMON_HEADERS, ...headers };
  if (stream !== undefined && withBody) {
    response.writeHead(status, common);
    stream(response);
    return;
  }
  response.writeHead(status, { ...common, 'Content-Length': Buffer.byteLength(body) });
  response.end(withBody ? body : undefined);
}
