/** Why an entry cannot be served. Thread: a worker. */

export type EntryErrorCode =
  /** There is nothing at this path. */
  | 'ERR_MPM_ENTRY_NOT_FOUND'
  /** The module threw while it was loaded; `cause` has what it threw. */
  | 'ERR_MPM_ENTRY_FAILED'
  /** The module exports nothing that could handle a request. */
  | 'ERR_MPM_ENTRY_SHAPE'
  /** The module is TypeScript, and this Node runs none. */
  | 'ERR_MPM_ENTRY_TYPESCRIPT'
  /** An address of `listen` names a protocol that the entry does not have, or not as it has to be. */
  | 'ERR_MPM_PROTOCOL'
  /** The script has no http.Server listen. */
  | 'ERR_MPM_NO_LISTEN'
  /** The folder of `sendFileRoot` does not exist or cannot be entered. */
  | 'ERR_MPM_SENDFILE_ROOT';

/** One clear message, a code to tell cases apart. */
export class EntryError extends Error {
  readonly code: EntryErrorCode;

  constructor(code: EntryErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EntryError';
    this.code = code;
  }
}
