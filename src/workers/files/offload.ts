/**
 * X-Sendfile and X-Accel-Redirect: a handler names a file, and the server sends it.
 *
 * Role: from these fields of a response to the file that is sent in place of its body. Off unless
 * `sendFileRoot` is set.
 * Source: Apache's mod_xsendfile (XSendFile, XSendFilePath, XSendFileUnescape); nginx's
 * X-Accel-Redirect.
 * Thread: a worker.
 * May not: send anything outside the folder, nor let a client see what the field said.
 */
import { Folder } from '../static/folder.ts';
import { parsePath } from '../static/path.ts';
import {
  type Asked,
  answerFor,
  type FieldReader,
  type FileAnswer,
  refusal,
} from './file-answer.ts';
import type { FileError } from './file-error.ts';
import { type OpenFile, openBelow } from './open-file.ts';

/** A path, absolute or from the folder, percent-encoded; comes first where there are both. */
const SENDFILE = 'x-sendfile';
/** A path from the folder as in a request, percent-encoded. */
const ACCEL_REDIRECT = 'x-accel-redirect';
/** Of a field's value in the log. */
const MAX_LOGGED_LENGTH = 200;

/** Whether a field, by its name in lower case, is one of the two. */
export function isOffloadField(name: string): boolean {
  return name === SENDFILE || name === ACCEL_REDIRECT;
}

export class FileOffload {
  readonly #folder: Folder;
  /** As configured and as it really is; a handler may use either. */
  readonly #prefixes: readonly string[];
  readonly #log: (line: string) => void;

  /**
   * @param root absolute path of the folder
   * @throws the file system's error where there is no such folder
   */
  constructor(root: string, log: (line: string) => void) {
    this.#folder = new Folder(root);
    this.#prefixes = [root, this.#folder.path].map((path) => `${path.replace(/\/+$/, '')}/`);
    this.#log = log;
  }

  /**
   * The answer where a response names a file; null where it does not.
   * @param given the handler's fields
   * @param status the handler's; a response that has no content (204, 205, 304) names no file
   * @param asked the request
   * @param target of the request, for the log
   * @param severalRanges see `answerFor`
   */
  answer(
    given: FieldReader,
    status: number,
    asked: Asked,
    target: string,
    severalRanges: boolean,
  ): FileAnswer | null {
    const path = given(SENDFILE);
    const uri = path === null ? given(ACCEL_REDIRECT) : null;
    const value = path ?? uri;
    if (value === null || status === 204 || status === 205 || status === 304) return null;
    let file: OpenFile;
    try {
      file = this.#open(value, path !== null);
    } catch (error) {
      const { code, status: refused } = error as Partial<FileError>;
      const field = path === null ? 'X-Accel-Redirect' : 'X-Sendfile';
      const shown = JSON.stringify(value.slice(0, MAX_LOGGED_LENGTH));
      const request = `${asked.method} ${target}`;
      this.#log(`${field} ${shown} of ${request} is no file below sendFileRoot (${code})`);
      // What it may not read is not there either, as with a path outside.
      return refusal(refused === 503 ? 503 : 404);
    }
    const slice = { offset: 0, length: file.stats.size };
    return answerFor(file, slice, given, status, asked, severalRanges, Date.now());
  }

  #open(value: string, isPath: boolean): OpenFile {
    const below = isPath ? this.#below(value) : value.split('?', 1)[0];
    const path = below === null || below.endsWith('/') ? 404 : parsePath(below);
    return openBelow(this.#folder, typeof path === 'number' ? path : path.names, value);
  }

  /** An absolute path as one from the folder, null where it is elsewhere. */
  #below(value: string): string | null {
    if (!value.startsWith('/')) return value;
    for (const prefix of this.#prefixes) {
      // A name with a per cent sign or a blank may stand in the prefix either way.
      for (const written of [prefix, encodeURI(prefix)]) {
        if (value.startsWith(written)) return value.slice(written.length);
      }
    }
    return null;
  }
}
