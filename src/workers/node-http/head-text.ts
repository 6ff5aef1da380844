/**
 * The head of a response as node:http has written it, and what becomes of it when a file takes the
 * place of the body.
 *
 * Role: reads fields out of the text, since `writeHead` leaves some of them nowhere else, and writes it
 * anew. Date, Connection and Keep-Alive stay as node:http has them.
 * Thread: a worker.
 */
import { type IncomingMessage, STATUS_CODES } from 'node:http';
import { rawFieldsByScan } from '../fetch/fields.ts';
import { type Asked, merged, readerOf } from '../files/file-answer.ts';
import type { FileBody } from '../files/file-body.ts';
import { type FileOffload, isOffloadField } from '../files/offload.ts';

/** A cheap look before the head is taken apart. */
const MAY_NAME_FILE = /\r\nx-(?:sendfile|accel-redirect):/i;
const STATUS_LINE = /^(HTTP\/1\.[01]) (\d{3}) ([^\r\n]*)/;

/** A request as far as it asks for less than the whole of a file. */
export function askedBy(request: IncomingMessage): Asked {
  return {
    method: request.method ?? 'GET',
    field: (name) => {
      const value = request.headers[name];
      return typeof value === 'string' ? value : null;
    },
  };
}

/** The head and body in place of those of a response that names a file; null where it names none. */
export function namedFile(
  offload: FileOffload,
  head: string,
  request: IncomingMessage,
): { head: string; body: FileBody | string | null } | null {
  const line = MAY_NAME_FILE.test(head) ? STATUS_LINE.exec(head) : null;
  if (line === null) return null;
  const [, version, code, phrase] = line;
  const status = Number(code);
  const fields = rawFieldsByScan(head);
  const asked = askedBy(request);
  // Several ranges take more than the one call by which a response with a head of node:http's ends.
  const answer = offload.answer(readerOf(fields), status, asked, request.url ?? '', false);
  if (answer === null) return null;
  const { body } = answer;
  const reason = answer.status === status ? phrase : (STATUS_CODES[answer.status] ?? '');
  let text = `${version} ${answer.status} ${reason}\r\n`;
  const list = merged(fields, answer);
  for (let i = 0; i < list.length; i += 2) {
    if (!isOffloadField(list[i].toLowerCase())) text += `${list[i]}: ${list[i + 1]}\r\n`;
  }
  // RFC 9110, section 8.6: a 304 need not say it.
  if (body !== null) text += `Content-Length: ${body.length}\r\n`;
  return { head: `${text}\r\n`, body };
}
