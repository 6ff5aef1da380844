/**
 * `sendFileTo`: a file as the response of a `(req, res)` handler.
 *
 * Role: what handlers call. On a response of this server the file goes from the kernel to the client;
 * one that middleware transforms on the way, or that of another server, gets its bytes by `write`.
 * Thread: a worker. Blocks for the system calls, which is what a worker is for.
 */
import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { Asked } from '../files/file-answer.ts';
import { FileBody } from '../files/file-body.ts';
import type { FileTarget } from '../files/open-file.ts';
import { answerTo, type SendFileInit } from '../files/send-file.ts';
import { askedBy } from './head-text.ts';
import { bindFile } from './outgoing.ts';

/** As for `sendFile`; status and headers that the response has already come before these. */
export type SendFileToInit = Omit<SendFileInit, 'request'> & {
  /** False: conditions and ranges of `res.req` make no difference. */
  readonly conditional?: boolean | undefined;
};

/**
 * Answers with a file, or part of one, and ends the response: `finish` and `close` come as after
 * `response.end()`. Fields that were set before stand, also Content-Type, ETag and Last-Modified; so does
 * `statusCode` where `init.status` is not given. Nothing is done for a client that has left.
 * @param file path, `file:` URL, or FileHandle, which may be closed as soon as this has returned
 * @throws FileError as `sendFile`, before anything of the response was changed; a handler that lets it
 *   pass has answered with its status, and Express takes it for one of its own errors
 * @throws Error with code ERR_HTTP_HEADERS_SENT where the response was begun
 */
export function sendFileTo(
  response: ServerResponse,
  file: FileTarget,
  init: SendFileToInit = {},
): void {
  if (response.headersSent || response.writableEnded) {
    const error = new Error('Cannot send a file after the response was begun');
    throw Object.assign(error, { code: 'ERR_HTTP_HEADERS_SENT' });
  }
  if (response.destroyed) return;
  const own = new Headers(init.headers ?? []);
  const status = init.status ?? response.statusCode;
  const given = (name: string) => own.get(name) ?? textOf(response.getHeader(name));
  const asked: Asked = askedBy(response.req);
  const heeded = init.conditional === false ? null : asked;
  const answer = answerTo(file, { ...init, status }, given, heeded, true);
  const { body } = answer;
  try {
    for (const [name, value] of own) {
      if (name !== 'set-cookie') response.setHeader(name, value);
    }
    for (const cookie of own.getSetCookie()) response.appendHeader('set-cookie', cookie);
    for (const name of answer.without) {
      // To node:http a removed Transfer-Encoding is a wish even where there was none.
      if (response.hasHeader(name)) response.removeHeader(name);
    }
    for (let i = 0; i < answer.fields.length; i += 2) {
      response.setHeader(answer.fields[i], answer.fields[i + 1]);
    }
    if (body !== null) response.setHeader('content-length', body.length);
    response.statusCode = answer.status;
    if (init.statusText && answer.status === status) response.statusMessage = init.statusText;
    if (body instanceof FileBody) sendBody(response, body, asked.method);
    else response.end(body ?? undefined);
  } catch (error) {
    if (body instanceof FileBody) body.release();
    throw error;
  }
}

function sendBody(response: ServerResponse, body: FileBody, method: string): void {
  const length = String(body.length);
  const encoding = textOf(response.getHeader('content-encoding'));
  // What middleware does to a head it does now; a compressor wants the bytes by `write` then.
  response.writeHead(response.statusCode);
  const untouched =
    textOf(response.getHeader('content-length')) === length &&
    textOf(response.getHeader('content-encoding')) === encoding;
  if (untouched && !body.isMultipart && bindFile(response, body)) {
    response.end();
  } else if (method === 'HEAD') {
    body.release();
    response.end();
  } else {
    const source = Readable.from(body.chunks(), { objectMode: false });
    // The head is out, so a file that cannot be read to its end can only cut the response off.
    source.on('error', (error) => response.destroy(error));
    response.on('close', () => {
      source.destroy();
      body.release();
    });
    source.pipe(response);
  }
}

function textOf(value: number | string | readonly string[] | undefined): string | null {
  if (value === undefined) return null;
  return typeof value === 'object' ? value.join(', ') : String(value);
}
