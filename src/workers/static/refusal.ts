/**
 * How a file that cannot be sent is answered.
 *
 * Role: from an error of the file system to a status, and the short body that goes with a status.
 * Thread: any.
 * May not: show a path to a client.
 */
import type { Exchange } from '../exchange.ts';
import { StaleFile } from './representation.ts';

export const TEXT = Object.freeze(['Content-Type', 'text/plain;charset=utf-8']);
export const MESSAGES: Readonly<Record<number, string>> = {
  301: 'Moved Permanently\n',
  400: 'Bad Request\n',
  403: 'Forbidden\n',
  404: 'Not Found\n',
  405: 'Method Not Allowed\n',
  412: 'Precondition Failed\n',
  414: 'URI Too Long\n',
  416: 'Range Not Satisfiable\n',
  503: 'Service Unavailable\n',
};

export function refuse(exchange: Exchange, status: number): void {
  exchange.respond(status, '', TEXT, MESSAGES[status] ?? '');
}

/** The status for an error of the file system, 0 where it is the server's own trouble. */
export function statusOf(error: unknown): number {
  if (error instanceof StaleFile) return 503;
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'ENAMETOOLONG':
    case 'ELOOP':
    case 'ENXIO':
      return 404;
    case 'EACCES':
    case 'EPERM':
      return 403;
    case 'EMFILE':
    case 'ENFILE':
      return 503;
    default:
      return 0;
  }
}
