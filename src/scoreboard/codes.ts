/**
 * What numbers in shared words mean: phases, states of children, reasons, flags.
 *
 * Thread: any; constants only.
 */

/**
 * Errors of accept that are told apart, with their numbers in Linux; index into HEADER.acceptErrnos.
 * The last takes all others.
 */
export const ACCEPT_ERRNOS = [
  ['EMFILE', 24],
  ['ENFILE', 23],
  ['ENOBUFS', 105],
  ['ENOMEM', 12],
  ['ECONNABORTED', 103],
  ['EPERM', 1],
  ['EPROTO', 71],
  ['other', 0],
] as const;

export const Phase = { starting: 0, running: 1, draining: 2, stopped: 3 } as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/** Index into HEADER.closed. */
export const CloseReason = {
  peer: 0,
  keepaliveTimeout: 1,
  requestTimeout: 2,
  lingered: 3,
  worker: 4,
  childDied: 5,
  shed: 6,
  forced: 7,
  writeTimeout: 8,
  deadline: 9,
  /** Answered 503, since no worker took it within queueTimeout. */
  queueTimeout: 10,
  /** A tunnel in which nothing was said for too long. */
  tunnelTimeout: 11,
} as const;
export type CloseReason = (typeof CloseReason)[keyof typeof CloseReason];

/** Index into HEADER.childExits. */
export const ExitReason = {
  maxConnections: 0,
  maxRequests: 1,
  idle: 2,
  drain: 3,
  error: 4,
  outOfMemory: 5,
  exited: 6,
  maxMemory: 7,
  /** Ended since a request in it was over its deadline and it did not turn. */
  deadline: 8,
  /** Retired for a child of a newer generation. */
  restart: 9,
  /** Ended since it did not retire within gracefulShutdownTimeout. */
  expired: 10,
  /** A lengthy worker, ended since the client of its request left and it did not turn. */
  clientLeft: 11,
} as const;
export type ExitReason = (typeof ExitReason)[keyof typeof ExitReason];

/** Why a child was started; index into HEADER.spawns. */
export const SpawnReason = {
  none: 0,
  /** With the server: startServers. */
  start: 1,
  /** In the place of one that died. */
  floor: 2,
  /** Connections in demand and minSpareThreads. */
  demand: 3,
  /** The same, before the tick, since requests had waited in the queue. */
  queueWait: 4,
  /** To succeed a child that has reached a limit of its life. */
  replacement: 5,
  /** To succeed a child of an older generation. */
  restart: 6,
  /** An operator asked for one more. */
  operator: 7,
} as const;
export type SpawnReason = (typeof SpawnReason)[keyof typeof SpawnReason];

/** Why a worker was one too many; index into HEADER.culls. */
export const CullReason = {
  none: 0,
  /** More idle ones than maxSpareThreads. */
  idle: 1,
  /** maxRequestWorkers was lowered. */
  lowered: 2,
  /** An operator asked for one fewer. */
  operator: 3,
} as const;
export type CullReason = (typeof CullReason)[keyof typeof CullReason];

/** `retireIdle`: there are more idle workers than maxSpareThreads. */
export const ChildCommand = { run: 0, retire: 1, retireIdle: 2 } as const;
export type ChildCommand = (typeof ChildCommand)[keyof typeof ChildCommand];

export const ChildStatus = {
  empty: 0,
  starting: 1,
  ready: 2,
  wantsRetire: 3,
  draining: 4,
  ended: 5,
} as const;
export type ChildStatus = (typeof ChildStatus)[keyof typeof ChildStatus];

/**
 * `close`: the connection ends with this response. `more`: there may be something to read. `socket`:
 * the descriptor is another socket. `toEnd`: its end is the end of the response. `webSocket`: of a tunnel,
 * what it carries.
 */
export const RestFlag = { close: 1, more: 2, socket: 4, toEnd: 8, webSocket: 16 } as const;

/**
 * How far the answer to the request of an owned connection is. `due`: its handler was called and no
 * byte of a response has left, so that another thread may answer honestly once the owner is dead.
 */
export const AnswerPhase = { none: 0, due: 1, begun: 2 } as const;
export type AnswerPhase = (typeof AnswerPhase)[keyof typeof AnswerPhase];

export const ReadPhase = { head: 0, body: 1, chunkedBody: 2, stream: 3 } as const;
export type ReadPhase = (typeof ReadPhase)[keyof typeof ReadPhase];
/**
 * A body that fits into the connection buffer waits there, and its handler is called when it is complete. Where
 * nothing of it has come for so long its client may want to see the response first: the handler is called.
 */
export const HELD_BACK_MS = 1_000;

export const SeriesState = { free: 0, claimed: 1, published: 2 } as const;
