/**
 * How a request ended before its response was complete, for the access log.
 *
 * Thread: any; constants only.
 */
export const Aborted = {
  /** It did not: the last byte has left. */
  no: 0,
  /** The client left. */
  byClient: 1,
  /** A timeout, or the handler. */
  byServer: 2,
} as const;
export type Aborted = (typeof Aborted)[keyof typeof Aborted];
