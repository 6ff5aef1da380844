/**
 * The one way in which an error of an application's handler is told to the operator.
 *
 * Thread: a worker.
 */
export function logHandlerError(error: unknown, method: string, target: string): void {
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`hybrid-mpm: error in the handler of ${method} ${target}: ${detail}\n`);
}
