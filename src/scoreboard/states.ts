/**
 * The law: connection states, the events that move them, and who may.
 *
 * Role: one literal table. The transition function, the model tests, the status legend and the
 * diagram in ARCHITECTURE.md derive from it.
 * Thread: any; constants only.
 */

export const ConnectionState = {
  free: 0,
  waitRequest: 1,
  readRequest: 2,
  keepalive: 3,
  queued: 4,
  processing: 5,
  suspended: 6,
  resuming: 7,
  writeCompletion: 8,
  lingerNormal: 9,
  lingerShort: 10,
  closing: 11,
  upgraded: 12,
  lengthyQueued: 13,
  tunnel: 14,
} as const;
export type ConnectionStateName = keyof typeof ConnectionState;
export type ConnectionState = (typeof ConnectionState)[ConnectionStateName];

export const ConnectionEvent = {
  accept: 0,
  readable: 1,
  claim: 2,
  notice: 3,
  attend: 4,
  nothingRead: 5,
  needRead: 6,
  responseSent: 7,
  requeue: 8,
  suspend: 9,
  ready: 10,
  resume: 11,
  lastResponseSent: 12,
  close: 13,
  timeout: 14,
  shed: 15,
  peerGone: 16,
  drained: 17,
  childDied: 18,
  force: 19,
  reclaimed: 20,
  needWrite: 21,
  flushed: 22,
  goOn: 23,
  answer: 24,
  upgrade: 25,
  toLengthy: 26,
  greet: 27,
  notify: 28,
  heldBack: 29,
  handOver: 30,
} as const;
export type ConnectionEventName = keyof typeof ConnectionEvent;
export type ConnectionEvent = (typeof ConnectionEvent)[ConnectionEventName];

/** `poller`: whoever polls the request set, the listener or the leading worker; `any`: any thread. */
export type Party = 'listener' | 'worker' | 'poller' | 'any';

export interface TransitionRow {
  readonly from: readonly ConnectionStateName[];
  readonly event: ConnectionEventName;
  readonly to: ConnectionStateName;
  readonly by: Party;
  /** What becomes of the owner bits: taken by the caller, kept, or cleared. */
  readonly owner: 'take' | 'keep' | 'clear';
  readonly why: string;
}

const row = (
  from: readonly ConnectionStateName[],
  event: ConnectionEventName,
  to: ConnectionStateName,
  by: Party,
  owner: TransitionRow['owner'],
  why: string,
): TransitionRow => ({ from, event, to, by, owner, why });

/** States in which a connection waits for a request and is held by the listener alone. */
export const WAITING = ['waitRequest', 'readRequest', 'keepalive'] as const;
/** States in which a child owns the connection. */
export const OWNED = ['processing', 'suspended', 'resuming', 'upgraded'] as const;
/** States after the last response, drained by the listener. */
export const LINGERING = ['lingerNormal', 'lingerShort'] as const;

export const TRANSITIONS: readonly TransitionRow[] = [
  row(['free'], 'accept', 'waitRequest', 'listener', 'clear', 'a client connected'),
  row(WAITING, 'readable', 'queued', 'poller', 'clear', 'bytes or end of stream arrived'),
  row(['queued'], 'claim', 'processing', 'worker', 'take', 'a free worker took the ticket'),
  row(
    ['processing'],
    'notice',
    'processing',
    'poller',
    'keep',
    'an event came while a worker owns it: flags are set and its release fails once',
  ),
  row(
    ['processing'],
    'toLengthy',
    'lengthyQueued',
    'worker',
    'clear',
    'its handler is declared lengthy: for a worker of that pool',
  ),
  row(['lengthyQueued'], 'claim', 'processing', 'worker', 'take', 'a lengthy worker took it'),
  row(
    ['lengthyQueued'],
    'notice',
    'lengthyQueued',
    'poller',
    'clear',
    'the peer left or shut its side: the listener closes it',
  ),
  row(
    ['lengthyQueued'],
    'answer',
    'lingerShort',
    'listener',
    'clear',
    'it has waited for too long: the listener answers 503',
  ),
  row(['queued'], 'notice', 'queued', 'poller', 'clear', 'the peer shut its side meanwhile'),
  row(['resuming'], 'notice', 'resuming', 'poller', 'keep', 'the same'),
  row(
    ['lingerNormal'],
    'notice',
    'lingerNormal',
    'poller',
    'clear',
    'an event that a leading worker found is left for the listener',
  ),
  row(['lingerShort'], 'notice', 'lingerShort', 'poller', 'clear', 'the same'),
  row(
    ['writeCompletion'],
    'notice',
    'writeCompletion',
    'poller',
    'clear',
    'the next request, or a hang-up, came before the response had left',
  ),
  row(['lingerNormal'], 'attend', 'lingerNormal', 'listener', 'clear', 'the listener takes it'),
  row(['lingerShort'], 'attend', 'lingerShort', 'listener', 'clear', 'the same'),
  row(['processing'], 'attend', 'processing', 'worker', 'keep', 'the owner takes the flags'),
  row(['processing'], 'nothingRead', 'waitRequest', 'worker', 'clear', 'woken for no bytes'),
  row(['processing'], 'needRead', 'readRequest', 'worker', 'clear', 'the request is incomplete'),
  row(['processing'], 'responseSent', 'keepalive', 'worker', 'clear', 'hand-back, no wake-up'),
  row(
    ['processing'],
    'requeue',
    'queued',
    'worker',
    'clear',
    'pipelined requests take turns, or an idle worker is to run a long handler',
  ),
  row(
    ['processing'],
    'suspend',
    'suspended',
    'worker',
    'keep',
    'handler unfinished, waits for the socket; pinned to its child',
  ),
  row(['suspended'], 'ready', 'resuming', 'poller', 'keep', 'the socket is ready: inbox'),
  row(
    ['suspended'],
    'timeout',
    'resuming',
    'listener',
    'keep',
    'no progress: inbox, to be aborted',
  ),
  row(['suspended'], 'resume', 'processing', 'worker', 'keep', 'its own child goes on by itself'),
  row(['resuming'], 'claim', 'processing', 'worker', 'take', 'taken out of the inbox'),
  row(
    ['processing'],
    'lastResponseSent',
    'lingerNormal',
    'worker',
    'clear',
    'write side shut; wait for the client to finish',
  ),
  row(
    ['processing'],
    'needWrite',
    'writeCompletion',
    'worker',
    'clear',
    'what is left of the response is in a file; the listener sends it',
  ),
  row(['writeCompletion'], 'flushed', 'keepalive', 'listener', 'clear', 'all of it has left'),
  row(
    ['writeCompletion'],
    'goOn',
    'queued',
    'listener',
    'clear',
    'all of it has left and there is more to read; or a read of the file would block the listener',
  ),
  row(
    ['writeCompletion'],
    'lastResponseSent',
    'lingerNormal',
    'listener',
    'clear',
    'all of it has left, and it was the last',
  ),
  row(
    ['writeCompletion'],
    'timeout',
    'closing',
    'listener',
    'clear',
    'the client took nothing for too long',
  ),
  row(
    ['processing'],
    'upgrade',
    'upgraded',
    'worker',
    'keep',
    'another protocol from here on: a socket of the child has it, the poll sets have not',
  ),
  row(['upgraded'], 'close', 'closing', 'worker', 'clear', 'that socket was closed'),
  row(
    ['upgraded'],
    'handOver',
    'tunnel',
    'worker',
    'clear',
    'an upstream speaks that protocol: the listener carries the bytes both ways from here on',
  ),
  row(['tunnel'], 'drained', 'closing', 'listener', 'clear', 'both sides have ended'),
  row(['tunnel'], 'peerGone', 'closing', 'listener', 'clear', 'one side is gone'),
  row(['tunnel'], 'timeout', 'closing', 'listener', 'clear', 'nothing was said for too long'),
  row(['tunnel'], 'shed', 'closing', 'listener', 'clear', 'the server stops, or lacks room'),
  row(['processing'], 'close', 'closing', 'worker', 'clear', 'nothing more to say to this peer'),
  row(WAITING, 'timeout', 'lingerShort', 'listener', 'clear', 'too slow or idle too long'),
  row(
    ['queued'],
    'timeout',
    'lingerShort',
    'listener',
    'clear',
    'no worker took it within queueTimeout: the listener answers 503',
  ),
  row(WAITING, 'shed', 'lingerShort', 'listener', 'clear', 'room is needed, or the server stops'),
  row(
    [...WAITING, ...LINGERING, 'writeCompletion', 'lengthyQueued'],
    'peerGone',
    'closing',
    'listener',
    'clear',
    'the client left',
  ),
  row(LINGERING, 'drained', 'closing', 'listener', 'clear', 'end of stream or error'),
  row(LINGERING, 'timeout', 'closing', 'listener', 'clear', 'lingered long enough'),
  row(OWNED, 'childDied', 'closing', 'listener', 'clear', 'its child is gone'),
  row(
    OWNED,
    'answer',
    'lingerShort',
    'listener',
    'clear',
    'its child is gone, nothing was sent: the listener answers 502, or 504 past its deadline',
  ),
  row(
    [...WAITING, 'queued', 'lengthyQueued', 'writeCompletion', ...LINGERING, 'tunnel'],
    'force',
    'closing',
    'listener',
    'clear',
    'forced stop, all children are gone',
  ),
  row(
    ['free'],
    'greet',
    'queued',
    'listener',
    'clear',
    'a client connected to a protocol in which the server may speak first',
  ),
  row(
    WAITING,
    'notify',
    'queued',
    'any',
    'clear',
    'a session is to be called: woken by a worker, or for last words by the listener',
  ),
  row(
    ['processing'],
    'notify',
    'processing',
    'any',
    'keep',
    'the same while a worker owns it: a flag is set and its release fails once',
  ),
  row(
    ['readRequest'],
    'heldBack',
    'queued',
    'listener',
    'clear',
    'nothing of its small body comes: its handler is called without it, and may answer first',
  ),
  row(['closing'], 'reclaimed', 'free', 'listener', 'clear', 'descriptor closed; incarnation + 1'),
];

/** Letters of the scoreboard line, Apache's where it has one. */
export const STATE_LETTER: Readonly<Record<ConnectionStateName, string>> = {
  free: '.',
  waitRequest: 'a',
  readRequest: 'r',
  keepalive: 'K',
  queued: 'Q',
  processing: 'W',
  suspended: 's',
  resuming: 'u',
  writeCompletion: 'w',
  lingerNormal: 'C',
  lingerShort: 'c',
  closing: 'x',
  upgraded: 'U',
  lengthyQueued: 'L',
  tunnel: 'T',
};

export const STATE_NAMES = Object.keys(ConnectionState) as readonly ConnectionStateName[];
export const EVENT_NAMES = Object.keys(ConnectionEvent) as readonly ConnectionEventName[];
