/**
 * Why a file cannot be sent.
 *
 * Role: the error of `sendFile` and `sendFileTo`, and the answer to a request whose handler let it pass.
 * Thread: a worker.
 * May not: show a path to a client.
 */
import type { Exchange } from '../exchange.ts';
import { refuse, statusOf } from '../static/refusal.ts';

/**
 * A file that cannot be sent. A handler that does not catch it has answered: with `status`, without
 * detail and without a line in the log.
 */
export class FileError extends Error {
  /**
   * The file system's code (`ENOENT`, `EACCES`, `EMFILE` ...); `EISDIR` for a folder;
   * `ERR_MPM_NOT_A_FILE` for what is neither file nor folder; `ERR_MPM_FILE_CHANGED` for a file that
   * shrank while it was read.
   */
  readonly code: string;
  /** As it was given. */
  readonly path: string;
  /** 403, 404 or 503; under both names that frameworks look for. */
  readonly status: number;
  readonly statusCode: number;

  constructor(code: string, status: number, path: string, cause?: unknown) {
    super(`${code}: cannot send ${JSON.stringify(path)}`, { cause });
    this.name = 'FileError';
    this.code = code;
    this.path = path;
    this.status = status;
    this.statusCode = status;
  }
}

/** A `FileError` where the client or the moment is to blame; any other error as it is. */
export function fileErrorOf(error: unknown, path: string): unknown {
  if (error instanceof FileError) return error;
  const status = statusOf(error);
  if (status === 0) return error;
  const { code = 'ERR_MPM_FILE_CHANGED' } = error as NodeJS.ErrnoException;
  return new FileError(code, status, path, error);
}

/** A handler failed: what it let pass of a file is an answer, anything else a fault. */
export function failExchange(exchange: Exchange, error: unknown): void {
  if (error instanceof FileError && !exchange.headersSent) refuse(exchange, error.status);
  else exchange.fail(error);
}
