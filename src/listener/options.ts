/** What the listener needs to know of the configuration; times in milliseconds. */
export interface ReadTimeout {
  /** Allowed at first, 0: no limit. */
  readonly timeoutMs: number;
  /** What bytes may extend it to, 0: no bound. */
  readonly maxTimeoutMs: number;
  /** Every this many bytes received allow one second more, 0: none do. */
  readonly minRateBytesPerSecond: number;
}

export interface ListenerOptions {
  readonly keepAliveTimeoutMs: number;
  /** Longest time without progress in a write or a streamed read (Apache's Timeout). */
  readonly timeoutMs: number;
  readonly requestHeader: ReadTimeout;
  readonly requestBody: ReadTimeout;
  readonly listenBacklog: number;
  readonly reusePort: boolean;
  /** Connections waiting for a worker above which accepting pauses. */
  readonly queueLimit: number;
  /** Wait in the queue after which a request that nobody has read is answered 503, 0: never. */
  readonly queueTimeoutMs: number;
  /** Longest wait for a lengthy worker, milliseconds, 0: no bound. */
  readonly lengthyQueueTimeoutMs?: number;
  /** Addresses may have session protocols. */
  readonly sessions?: boolean;
  /** Time to stop, milliseconds, 0: no bound. */
  readonly gracefulShutdownTimeoutMs?: number;
  /** A lengthy request whose client shuts its side of the connection is cancelled. */
  readonly lengthyCancel?: boolean;
}

/** Apache's MAX_SECS_TO_LINGER and SECONDS_TO_LINGER. */
export const LINGER_NORMAL_MS = 30_000;
export const LINGER_SHORT_MS = 2_000;
