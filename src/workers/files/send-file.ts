/**
 * `sendFile`: a response whose body is a file.
 *
 * Role: what web-style handlers call; the file is opened at once, and its bytes go from the kernel to
 * the client without passing through the process.
 * Thread: a worker. Blocks for the system calls, which is what a worker is for.
 */
import { normalValue } from '../fetch/fields.ts';
import { LightResponse, listOfResponse, responseOf } from '../fetch/response.ts';
import {
  type Asked,
  answerFor,
  type FieldReader,
  merged,
  readerOf,
  type Slice,
} from './file-answer.ts';
import { type FileTarget, type OpenFile, openFile } from './open-file.ts';

export interface SendFileInit {
  /** 200 where it is not given. Conditions and ranges of `request` are heeded for 200 alone. */
  readonly status?: number | undefined;
  readonly statusText?: string | undefined;
  /** Come before what the file would say: a Content-Type, ETag or Last-Modified of these stands. */
  readonly headers?: globalThis.ResponseInit['headers'] | undefined;
  /** First byte of the file that is sent; 0 where it is not given. */
  readonly offset?: number | undefined;
  /** Bytes that are sent; up to the end of the file where it is not given. */
  readonly length?: number | undefined;
  /** Instead of the one that goes with the file's extension. */
  readonly contentType?: string | undefined;
  /** Its conditions, ranges and method decide between 200, 206, 304, 412 and 416. */
  readonly request?: Pick<globalThis.Request, 'method' | 'headers'> | null | undefined;
  /**
   * Folder that the path is confined to, for paths that clients have a say in: nothing outside by way
   * of `..` or of a link, nothing whose name begins with a dot but a first `.well-known`. The path is
   * then taken from there, also where it begins with a slash. Resolved once a worker.
   */
  readonly root?: string | undefined;
}

/**
 * A response whose body is a file, or part of one. Content-Type by the extension, ETag and
 * Last-Modified by the file, Content-Length by the connection. It can be changed like any other response
 * and be sent once; one that is not sent closes its file by the garbage collector.
 * @param file path, `file:` URL, or FileHandle, which may be closed as soon as this has returned
 * @throws FileError where there is no such file (404), it may not be read (403) or descriptors have
 *   run out (503); a handler that lets it pass has answered with that status
 * @throws RangeError for a status outside 200..599, or for an offset and length beyond the file (code
 *   ERR_OUT_OF_RANGE)
 * @throws TypeError for a status that has no body, an invalid header or content type, or what is neither
 *   path nor URL nor handle
 */
export function sendFile(file: FileTarget, init: SendFileInit = {}): globalThis.Response {
  const { status = 200, statusText = '', headers, request } = init;
  if (status === 204 || status === 205 || status === 304) {
    throw new TypeError(`A response of status ${status} has no body`);
  }
  const given = listOfResponse(
    new LightResponse(null, { status, statusText, ...(headers && { headers }) }),
  );
  const answer = answerTo(file, init, readerOf(given), askedBy(request), true);
  const list = merged(given, answer);
  const text = answer.status === status ? statusText : '';
  return responseOf(answer.status, text, list, answer.body) as unknown as globalThis.Response;
}

function askedBy(request: SendFileInit['request']): Asked | null {
  if (request === undefined || request === null) return null;
  const { method, headers } = request;
  return { method, field: (name) => headers.get(name) };
}

/**
 * Opens a file and decides what it is answered with; see `answerFor`.
 * @throws as `sendFile`
 */
export function answerTo(
  file: FileTarget,
  init: SendFileInit,
  given: FieldReader,
  asked: Asked | null,
  severalRanges: boolean,
) {
  const { status = 200, root } = init;
  const contentType =
    init.contentType === undefined ? undefined : normalValue('content-type', init.contentType);
  const field: FieldReader =
    contentType === undefined
      ? given
      : (name) => (name === 'content-type' ? contentType : given(name));
  const opened = openFile(file, root);
  try {
    const slice = sliceOf(opened, init);
    return answerFor(opened, slice, field, status, asked, severalRanges, Date.now());
  } catch (error) {
    opened.release();
    throw error;
  }
}

/** @throws RangeError where the part is not in the file */
export function sliceOf(
  { stats: { size } }: OpenFile,
  { offset = 0, length }: Pick<SendFileInit, 'offset' | 'length'>,
): Slice {
  const bytes = length ?? size - offset;
  const fits =
    Number.isSafeInteger(offset) && Number.isSafeInteger(bytes) && offset >= 0 && bytes >= 0;
  if (fits && offset + bytes <= size) return { offset, length: bytes };
  const error = new RangeError(`${bytes} bytes from ${offset} are not in a file of ${size} bytes`);
  throw Object.assign(error, { code: 'ERR_OUT_OF_RANGE' });
}
