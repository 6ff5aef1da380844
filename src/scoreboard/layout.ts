/**
 * Where every shared word lives and who writes it.
 *
 * Role: the one declaration of bytes. Offsets are constants; a test proves that fields do not overlap and
 * that no cache line has two writers. The C side states the few it uses again and src/listener/native.ts
 * compares them. A connection's slot and request record have two halves in different pages, so that an idle
 * connection pays for what it has written alone, see halves.ts.
 * Thread: any; constants only.
 *
 * Writers: `main` is the listener's thread, `child` the thread that holds the child slot, `owner` the
 * thread that owns the connection by its state word (the listener while it waits, a child while it is
 * processing), `cas` whoever wins a compare-and-swap. `queuedUs` and `sinceTicks` are also written by
 * whoever tries to move a waiting connection to the queue, see queue-time.ts. The words of `ROUTES` are
 * written by every worker without order: they are means, and a lost update is one sample less. `holder` is
 * the thread that holds the access log by its owner word. `mover` is whoever moves the state word, see
 * trail.ts.
 */
import { Bitmap } from './bitmap.ts';
import { recordsBytes, SECOND_HALF } from './halves.ts';
import { TicketRing } from './ticket-ring.ts';

export type Writer = 'main' | 'child' | 'owner' | 'cas' | 'holder' | 'mover';
type FieldType = 'i32' | 'f64' | 'bytes';
export interface Field {
  readonly offset: number;
  readonly writer: Writer;
  readonly meaning: string;
  readonly type: FieldType;
  /** How many of them. */
  readonly count: number;
}

export const CACHE_LINE = 64;

// One shape for all: what takes any field is compiled for that one alone.
const field = (
  offset: number,
  writer: Writer,
  meaning: string,
  type: FieldType,
  count: number,
): Field => ({ offset, writer, meaning, type, count });
const f = (offset: number, writer: Writer, meaning: string): Field =>
  field(offset, writer, meaning, 'i32', 1);
const f64 = (offset: number, writer: Writer, meaning: string, count = 1): Field =>
  field(offset, writer, meaning, 'f64', count);
const bytes = (offset: number, writer: Writer, meaning: string, count: number): Field =>
  field(offset, writer, meaning, 'bytes', count);

/**
 * Upper bounds of the histograms that are always kept. A histogram is a row of doubles: how many values
 * were not above each bound (and above the one before), how many were above all, and the sum of all.
 */
export const HISTOGRAM_BOUNDS = {
  /** Requests answered on a connection, when it is closed. */
  connectionRequests: [1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000],
  /** Seconds from its acceptance to its end. */
  connectionDuration: [0.001, 0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400],
  /** Connections a child had served when it ended. */
  workerConnectionsAtExit: [1, 10, 50, 100, 500, 1e3, 5e3, 1e4, 5e4, 1e5, 5e5, 1e6],
  /** Bytes of V8 heap it had in use by its last sample. */
  workerHeapAtExit: [8, 16, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048].map(
    (mb) => mb * 2 ** 20,
  ),
  /** Seconds that a turn of the listener took. */
  listenerTurn: [2e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.1, 0.5],
  /** Seconds that a connection waited in the queue. */
  queueWait: [2e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.1, 0.5],
  /** Bytes of a response, its head included. */
  responseSize: Array.from({ length: 12 }, (_, power) => 256 * 4 ** power),
} as const satisfies Record<string, readonly number[]>;
export type HistogramName = keyof typeof HISTOGRAM_BOUNDS;
/** Doubles of such a histogram. */
const HISTOGRAM = 14;

/** Bytes 0 .. 1599 of the board. */
export const HEADER = {
  magic: f(0, 'main', 'MAGIC'),
  layout: f(4, 'main', 'LAYOUT_VERSION'),
  connectionSlots: f(8, 'main', 'connection slots'),
  childSlots: f(12, 'main', 'child slots'),
  phase: f(16, 'main', 'Phase'),
  startedTicks: f(20, 'main', 'clock ticks (ms) at start'),
  generation: f(24, 'main', 'rises with a reload'),
  handbackFd: f(28, 'main', 'eventfd of the listener'),
  requestSet: f(56, 'main', 'poll set of connections that wait for a request, descriptor'),
  restUntilTicks: f(
    60,
    'main',
    'clock ticks until which no child is replaced at its limit, 0: none yet',
  ),
  listenerSet: f(32, 'main', 'poll set for writability, descriptor'),
  readyChildren: f(36, 'main', 'children that serve'),
  openConnections: f(40, 'main', 'connections that hold a slot'),
  slotWatermark: f(44, 'main', 'slots ever used: 0 .. watermark - 1'),
  accepting: f(48, 'main', '1 while the listening sockets are polled'),
  heartbeatTicks: f(52, 'main', 'clock ticks of the last turn of the listener'),
  leader: f(68, 'cas', 'who polls the request set, see leader.ts: 0 the listener, else child + 1'),
  spilledKb: f(72, 'cas', 'KiB of response bodies kept in memory files'),
  spilledFileKb: f(76, 'cas', 'KiB of response bodies kept in spillFolder'),
  handbackSignalled: f(64, 'cas', '1 while a wake-up of the listener is under way'),
  accepted: f64(128, 'main', 'connections accepted'),
  staleEvents: f64(200, 'main', 'poll events for a slot that had another connection by then'),
  dispatched: f64(208, 'main', 'connections put into the queue'),
  acceptPauses: f64(216, 'main', 'times accepting was paused'),
  acceptErrors: f64(224, 'main', 'errors of accept other than would-block'),
  noticed: f64(232, 'main', 'events for connections that a worker owned'),
  childStarts: f64(240, 'main', 'children started'),
  wakes: f64(312, 'main', 'workers woken by the listener'),
  takeBacks: f64(328, 'main', 'times the listener took the lead back from a busy worker'),
  closed: f64(384, 'main', 'connections closed, by CloseReason', 16),
  completions: f64(336, 'main', 'responses whose rest the listener sent'),
  startFailures: f64(344, 'main', 'children that ended by a fault before they were ready'),
  rewakes: f64(352, 'main', 'workers signalled that made no turn though something waited'),
  standbyLooks: f(360, 'main', '1: the listener looks every few milliseconds at what waits'),
  acceptErrnos: f64(512, 'main', 'errors of accept by errno, see ACCEPT_ERRNOS', 8),
  lastSpawnReason: f(640, 'main', 'SpawnReason of the child that was started last'),
  lastSpawnTicks: f(644, 'main', 'clock ticks when it was'),
  lastCullReason: f(648, 'main', 'CullReason of the last worker that was one too many'),
  lastCullTicks: f(652, 'main', 'clock ticks when it was told to retire'),
  spawns: f64(656, 'main', 'children started, by SpawnReason', 8),
  culls: f64(720, 'main', 'workers retired as one too many, by CullReason', 4),
  childExits: f64(752, 'main', 'children ended, by ExitReason', 16),
  requeuedOrphans: f64(320, 'main', 'queued connections that had lost their ticket'),
  connectionRequests: f64(1024, 'main', 'histogram, see HISTOGRAM_BOUNDS', HISTOGRAM),
  connectionDuration: f64(1136, 'main', 'the same', HISTOGRAM),
  workerConnectionsAtExit: f64(1248, 'main', 'the same', HISTOGRAM),
  workerHeapAtExit: f64(1360, 'main', 'the same', HISTOGRAM),
  listenerTurn: f64(1472, 'main', 'the same', HISTOGRAM),
} as const satisfies Record<string, Field>;
export const HEADER_BYTES = 1600;

export const MAGIC = 0x4d_50_4d_31;
export const LAYOUT_VERSION = 1;

/** One child slot: 768 bytes. */
export const CHILD = {
  life: f(0, 'main', 'number of the child that holds the slot, 0: empty; unique over the run'),
  command: f(4, 'main', 'ChildCommand'),
  wakeFd: f(8, 'main', 'eventfd that wakes this worker; made once for the slot'),
  startedTicks: f(12, 'main', 'clock ticks at start'),
  connectionLimit: f(16, 'main', 'connections after which this life ends, 0: none'),
  requestLimit: f(20, 'main', 'requests after which it does, 0: none'),
  memoryLimitKb: f(24, 'main', 'KiB of heap and external memory after which it does, 0: none'),
  generation: f(28, 'main', 'HEADER.generation at its start'),
  loopUtilization: f(
    32,
    'main',
    'share of the last second in which its event loop was not idle, 1/10,000; read by main',
  ),
  status: f(64, 'child', 'ChildStatus; cleared by main when the thread is gone'),
  retireReason: f(68, 'child', 'ExitReason it wants to retire for'),
  currentSlot: f(72, 'child', 'connection whose handler runs now, + 1'),
  progress: f(76, 'child', 'rises with every turn, wraps; stands still in a long handler'),
  meanServiceUs: f(80, 'child', 'moving mean of the time a short handler holds it, microseconds'),
  spareBuffer0: f(84, 'child', 'connection buffer kept at hand, + 1'),
  spareBuffer1: f(88, 'child', 'a second one'),
  lifeConnections: f(92, 'child', 'connections counted in this life'),
  lifeRequests: f(96, 'child', 'requests served in this life'),
  pinned: f(100, 'child', 'connections with an unfinished handler or body in this child'),
  heapUsedKb: f(104, 'child', 'V8 heap in use, KiB, sampled'),
  inLongHandler: f(108, 'child', '1: runs a handler that is known to be long'),
  externalKb: f(112, 'child', 'memory that V8 objects hold outside of its heap, KiB, sampled'),
  upgraded: f(116, 'child', 'connections that a socket of this child has'),
  handlingTicks: f(120, 'child', 'clock ticks when the handler that runs now was called'),
  spillingKb: f(
    124,
    'child',
    'KiB of limitSpilledBody of responses that upstreams still send; given back by main if it dies',
  ),
  inbox: f(128, 'cas', 'groups of its inbox in which a connection may be, as bits, see inbox.ts'),
  attention: f(
    132,
    'cas',
    '1: a connection that this child owns has a hang-up or is over its deadline',
  ),
  assigned: f(
    136,
    'cas',
    'ticket that a leading worker left for this child, + 1; -1: it takes none',
  ),
  requests: f64(192, 'child', 'requests ended'),
  connections: f64(200, 'child', 'connections served, each once per child'),
  receivedBytes: f64(208, 'child', 'bytes received'),
  sentBytes: f64(216, 'child', 'bytes handed to the kernel'),
  durationMs: f64(224, 'child', 'sum of request durations'),
  statuses: f64(232, 'child', 'responses by class: 1xx .. 5xx', 5),
  pipelined: f64(272, 'child', 'requests that were already in the buffer'),
  aborted: f64(280, 'child', 'requests whose client left'),
  durations: f64(288, 'child', 'request durations by bucket, see DURATION_BUCKETS_MS', 15),
  queueWaitMs: f64(408, 'child', 'sum of waits in the queue'),
  claims: f64(416, 'child', 'connections taken from the queue'),
  busyMs: f64(424, 'child', 'time spent in turns'),
  turns: f64(432, 'child', 'turns of the serving loop'),
  dispatched: f64(440, 'child', 'connections it put into the queue while it led'),
  noticed: f64(448, 'child', 'events it found for owned connections while it led'),
  staleEvents: f64(456, 'child', 'stale poll events it found while it led'),
  leads: f64(464, 'child', 'times it took or was given the lead'),
  passes: f64(472, 'child', 'times it passed the lead on before a long handler'),
  wakes: f64(480, 'child', 'workers it woke'),
  proxyErrors: f64(608, 'child', 'connections without the PROXY header that was due'),
  delegations: f64(488, 'child', 'requests it gave to an idle worker while it led'),
  queueWait: f64(496, 'child', 'histogram, see HISTOGRAM_BOUNDS', HISTOGRAM),
  reuses: f64(616, 'child', 'requests on a connection that had had a response before'),
  lostMoves: f64(624, 'child', 'moves of a state word that another thread forestalled'),
  bufferMisses: f64(632, 'child', 'connection buffers taken from the shared set'),
  commands: f64(752, 'child', 'calls of session protocols that consumed input'),
  spillingFileKb: f(760, 'child', 'the same of limitSpillFolder'),
  responseSize: f64(640, 'child', 'histogram, see HISTOGRAM_BOUNDS', HISTOGRAM),
} as const satisfies Record<string, Field>;
export const CHILD_BYTES = 768;

/** Upper bounds in milliseconds; the last bucket is everything above. prom-client's and three below. */
export const DURATION_BUCKETS_MS = [
  0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000,
] as const;

/**
 * One connection slot, in two halves. The first is what a connection writes that waits or does small
 * requests; nothing of the second is written on their way. The C side writes fd and peer when it accepts.
 */
export const SLOT = {
  word: f(0, 'cas', 'state word, see transition.ts'),
  fd: f(4, 'owner', 'descriptor; only the listener closes it'),
  sequence: f(8, 'owner', 'rises when an owner begins to write'),
  buffer: f(12, 'owner', 'connection buffer, + 1; 0: none'),
  dataStart: f(16, 'owner', 'first unread byte in the buffer'),
  dataEnd: f(20, 'owner', 'behind the last byte in the buffer'),
  sinceTicks: f(24, 'owner', 'clock ticks when the present wait began'),
  queuedUs: f(28, 'owner', 'clock microseconds (wrapping) when it was queued'),
  requestSinceTicks: f(32, 'owner', 'clock ticks of the first byte of the request'),
  requestBytes: f(36, 'owner', 'bytes of the request received so far, at most 2^31 - 1'),
  requests: f(40, 'owner', 'requests answered on this connection'),
  readPhase: f(44, 'owner', 'ReadPhase of the incomplete request'),
  answerPhase: f(48, 'owner', 'AnswerPhase of the present request'),
  lastChild: f(52, 'owner', 'child slot that served it last, + 1'),
  endOfStream: f(56, 'owner', '1: the peer shut its write side; seen with the event'),
  restFd: f(60, 'owner', 'what the rest comes from, or other side of a tunnel, + 1; 0: none'),
  peerFamily: f(64, 'owner', 'address family; written when it is accepted'),
  peerPort: f(68, 'owner', 'peer port'),
  peerAddress: bytes(72, 'owner', '4 or 16 bytes', 16),
  acceptedTicks: f(88, 'owner', 'clock ticks when it was accepted'),
  deadlineTicks: f(92, 'owner', 'clock ticks when the response must have begun, 0: whenever'),
  inListenerSet: f(96, 'owner', '1: registered for writability as well'),
  protocol: f(100, 'owner', 'of the address it was accepted at, 0: HTTP/1.1; written then'),
  proxyDone: f(104, 'owner', '1: a PROXY header is not, or no longer, due'),
  clientTold: f(108, 'owner', '1: a trusted proxy has told of the client; 0: the peer is it'),
  sentBytes: f64(112, 'owner', 'bytes handed to the kernel'),
  receivedBytes: f64(120, 'owner', 'bytes received'),
  headEnd: f(SECOND_HALF, 'owner', 'end of the parsed head of a request whose body is incomplete'),
  bodyEnd: f(SECOND_HALF + 4, 'owner', 'end of the decoded part of that body'),
  parsedEnd: f(SECOND_HALF + 8, 'owner', 'bytes of an incomplete head that were parsed in vain'),
  chunkPhase: f(SECOND_HALF + 12, 'owner', 'state of the chunked decoder'),
  chunkRemaining: f(SECOND_HALF + 16, 'owner', 'bytes left of the present chunk'),
  chunkTrailerBytes: f(SECOND_HALF + 20, 'owner', 'bytes of trailers seen by the decoder'),
  restSpilledKb: f(SECOND_HALF + 24, 'owner', 'KiB spilled: > 0 in memory, < 0 in a folder'),
  restFlags: f(SECOND_HALF + 28, 'owner', 'RestFlag'),
  restOffset: f64(SECOND_HALF + 32, 'owner', 'where the rest begins in that file'),
  restBytes: f64(SECOND_HALF + 40, 'owner', 'how long it is'),
  restProbed: f64(SECOND_HALF + 48, 'owner', 'up to where the file was found in memory'),
  restStartedMs: f64(SECOND_HALF + 56, 'owner', 'clock milliseconds when its request began'),
  restPayload: f64(SECOND_HALF + 64, 'owner', 'bytes of that body, as far as they are known'),
  restStatus: f(SECOND_HALF + 72, 'owner', 'status of that response'),
  restSeries: f(SECOND_HALF + 76, 'owner', 'series its request counts in, see route-series.ts'),
  unsentBytes: f(
    SECOND_HALF + 80,
    'owner',
    'bytes the peer had not taken at a sample of the present wait, -1: none',
  ),
  tunnelUpstream: f(SECOND_HALF + 84, 'owner', 'its `TunnelUpstream`, see upstreams.ts'),
  idleMs: f(SECOND_HALF + 88, 'owner', 'how long a session or a tunnel may be silent, 0: for ever'),
  heardTicks: f(
    SECOND_HALF + 92,
    'owner',
    'of a session: clock ticks when its client last sent, or took what had waited',
  ),
  sessionState: f(SECOND_HALF + 96, 'owner', 'of a session: number of its state, 0: none'),
  clientFamily: f(SECOND_HALF + 100, 'owner', 'address family of that client, see clientTold'),
  clientPort: f(SECOND_HALF + 104, 'owner', 'its port, 0: not told'),
  clientAddress: bytes(SECOND_HALF + 108, 'owner', '4 or 16 bytes', 16),
} as const satisfies Record<string, Field>;

/**
 * What a session is to be called for besides bytes, one int32 a slot, see notices.ts. By
 * compare-and-swap alone; in a part of their own, since whoever wakes a session does not own its slot.
 */
export const NOTICE_BYTES = 4;

/** SLOT.protocol of what is accepted where `listen` names no protocol. */
export const HTTP_PROTOCOL = 0;
/** Session protocols, besides HTTP/1.1, that addresses of `listen` may name. */
export const MAX_SESSION_PROTOCOLS = 15;
/** Names of states a session protocol may have; characters of one, as of the protocol's own name. */
export const MAX_SESSION_STATES = 15;
export const MAX_SESSION_STATE_LENGTH = 24;
/**
 * What the status page shows of a session protocol: its name and those of its states. Every worker
 * writes the same when it has loaded the application, whoever is last after a reload.
 */
export const PROTOCOL = {
  names: bytes(
    0,
    'cas',
    "the protocol's name, then those of its states: 32 bytes each, latin1, zero-filled",
    512,
  ),
} as const satisfies Record<string, Field>;
export const PROTOCOL_BYTES = 512;
export const PROTOCOL_NAME_BYTES = 32;

/** Routes whose times are told apart, one int32 each: mean time of the handler in microseconds. */
export const ROUTES = 1024;
/** The access log's memory begins with this; it is there only where accessLog is on. */
export const LOG_HEADER = {
  owner: f(0, 'cas', 'who takes lines out: 0 nobody, else the number of its ring + 1'),
  pending: f(4, 'cas', "1: the log's ticket is in the queue"),
  generation: f(64, 'main', 'rises when the file is to be opened anew'),
  resume: f(128, 'holder', 'ring that the next write begins with'),
  retryTicks: f(
    132,
    'holder',
    'clock ticks before which the file is left alone, 0: it takes lines',
  ),
} as const satisfies Record<string, Field>;
export const LOG_HEADER_BYTES = 192;

/** Bytes of lines a ring holds; a power of two. A longest line fits, see MAX_LINE_BYTES. */
export const LOG_RING_BYTES = 64 * 1024;
/**
 * One ring of lines: of the child that holds the slot of the same number; behind those, of the listener
 * (there `child` is main).
 */
export const LOG_RING = {
  tail: f(0, 'child', 'bytes published so far, wraps'),
  lost: f(4, 'child', 'lines lost because neither ring nor file took them'),
  head: f(64, 'holder', 'bytes written to the file so far, wraps'),
  bytes: bytes(128, 'child', 'lines, latin1', LOG_RING_BYTES),
} as const satisfies Record<string, Field>;
export const LOG_RING_STRIDE = 128 + LOG_RING_BYTES;

/**
 * What the owner of a connection records of its present or last request, in two halves: the second is
 * written only where a Host or a request line is longer than the first has room for.
 */
export const REQUEST = {
  sequence: f(0, 'owner', 'odd while the record is being written'),
  connection: f(4, 'owner', 'incarnation + 1 of the connection the record is of'),
  outcome: f64(8, 'owner', 'status and duration, see request-records.ts; 0: not over'),
  beganTicks: f(16, 'owner', 'clock ticks when its handler was called'),
  methodAndVersion: f(20, 'owner', 'length of the method * 2, + 1 for HTTP/1.1'),
  targetBytes: f(24, 'owner', 'length of the request-target as received'),
  hostBytes: f(28, 'owner', 'length of the Host field as received'),
  host: bytes(32, 'owner', 'its beginning', 24),
  text: bytes(56, 'owner', 'method, space, request-target: the beginning of it', 72),
  hostMore: bytes(SECOND_HALF, 'owner', 'what follows in the Host field', 24),
  textMore: bytes(SECOND_HALF + 24, 'owner', 'what follows in the request-target', 104),
} as const satisfies Record<string, Field>;

/** Transitions shown of each connection. */
export const TRAIL_LENGTH = 8;
/** Room for more, so that the one being written replaces none that is shown. */
export const TRAIL_ROOM = 15;
/** The last transitions of a connection: 128 bytes a slot. */
export const TRAIL = {
  count: f(0, 'mover', 'transitions of this connection so far, wraps'),
  entries: f64(8, 'mover', 'time, state reached and child, see trail.ts', TRAIL_ROOM),
} as const satisfies Record<string, Field>;
export const TRAIL_BYTES = 128;

/** Label sets whose durations are kept apart. */
export const MAX_SERIES = 256;
/** UTF-16 units kept of a route. */
export const MAX_ROUTE_UNITS = 116;
/** One label set: method, route and status class. Whoever wins `state` writes the rest, once. */
export const SERIES = {
  state: f(0, 'cas', 'SeriesState'),
  method: f(4, 'cas', 'number of the method, see route-series.ts'),
  statusClass: f(8, 'cas', '1 .. 5, 0: none'),
  routeUnits: f(12, 'cas', 'length of the route'),
  route: bytes(16, 'cas', 'UTF-16', 232),
} as const satisfies Record<string, Field>;
export const SERIES_BYTES = 256;

/** Behind the label sets, one for each status class (0 .. 5) of all that found no room. */
export const OTHER_SERIES = 6;
/** Durations of one series in one child, or the listener: by DURATION_BUCKETS_MS, then the sum (ms). */
export const SERIES_COUNTS = {
  durations: f64(0, 'child', 'requests by bucket', DURATION_BUCKETS_MS.length + 1),
  durationMs: f64(120, 'child', 'sum of durations'),
} as const satisfies Record<string, Field>;
export const SERIES_COUNTS_BYTES = 128;

/** The last request of one series in one child that came with a trace id: 64 bytes. */
export const EXEMPLAR = {
  sequence: f(0, 'child', 'odd while it is being written, 0: none yet'),
  durationUs: f(4, 'child', 'how long it took, microseconds'),
  seconds: f(8, 'child', 'when it was over, since the Unix epoch'),
  millis: f(12, 'child', 'and milliseconds'),
  traceId: field(16, 'child', 'W3C trace-id, big-endian words', 'i32', 4),
} as const satisfies Record<string, Field>;
export const EXEMPLAR_BYTES = 64;

/** Byte offsets of the parts of the memory that is there only with `extendedStatus`. */
export function extendedSectionsFor({ connectionSlots, childSlots }: Dimensions) {
  const requests = 0;
  const trails = requests + recordsBytes(connectionSlots);
  const series = trails + connectionSlots * TRAIL_BYTES;
  const counts = series + MAX_SERIES * SERIES_BYTES;
  const countsStride = (MAX_SERIES + OTHER_SERIES) * SERIES_COUNTS_BYTES;
  // One more, for the listener.
  const exemplars = counts + (childSlots + 1) * countsStride;
  const exemplarsStride = (MAX_SERIES + OTHER_SERIES) * EXEMPLAR_BYTES;
  const totalBytes = exemplars + (childSlots + 1) * exemplarsStride;
  return {
    requests,
    trails,
    series,
    counts,
    countsStride,
    exemplars,
    exemplarsStride,
    totalBytes,
  };
}

/** Connection buffers a worker keeps at hand (Varnish adjusts its http_conns to 2). */
export const SPARE_BUFFERS = 2;

/** Sizes that fix where everything is. */
export interface Dimensions {
  readonly connectionSlots: number;
  /** Of all pools. */
  readonly childSlots: number;
  /** Of these, the last are for lengthy workers; none: there is no such pool. */
  readonly lengthySlots?: number;
  readonly bufferBytes: number;
}

export interface Sections {
  readonly children: number;
  readonly connections: number;
  readonly ring: number;
  readonly ringCapacity: number;
  readonly lengthyRing: number;
  readonly handback: number;
  readonly idle: number;
  readonly lengthyIdle: number;
  readonly freeBuffers: number;
  readonly routes: number;
  readonly notices: number;
  readonly protocols: number;
  /** Of each child, a bit for each connection slot, see inbox.ts. */
  readonly inboxes: number;
  /** Connection buffers: one for each slot and the spares of the workers. */
  readonly bufferCount: number;
  readonly totalBytes: number;
}

const powerOfTwo = (least: number): number => 2 ** Math.ceil(Math.log2(least));

/** Byte offsets of the parts of the board for these sizes. */
export function sectionsFor({ connectionSlots, childSlots }: Dimensions): Sections {
  // Twice the slots: a consumer that sleeps on a cell must not make the ring look full.
  const ringCapacity = powerOfTwo(Math.max(1024, connectionSlots * 2));
  const children = HEADER_BYTES;
  // One more, for what the listener counts of requests that it ends.
  const connections = children + (childSlots + 1) * CHILD_BYTES;
  const ring = connections + recordsBytes(connectionSlots);
  const handback = ring + TicketRing.bytes(ringCapacity);
  const idle = handback + TicketRing.bytes(ringCapacity);
  const lengthyRing = idle + Bitmap.bytes(childSlots);
  const lengthyIdle = lengthyRing + TicketRing.bytes(ringCapacity);
  const freeBuffers = lengthyIdle + Bitmap.bytes(childSlots);
  const bufferCount = connectionSlots + SPARE_BUFFERS * childSlots;
  const routes = freeBuffers + Bitmap.bytes(bufferCount);
  const notices = routes + ROUTES * 4;
  const protocols = notices + Math.ceil((connectionSlots * NOTICE_BYTES) / CACHE_LINE) * CACHE_LINE;
  const inboxes = protocols + MAX_SESSION_PROTOCOLS * PROTOCOL_BYTES;
  const totalBytes = inboxes + childSlots * Bitmap.bytes(connectionSlots);
  return {
    children,
    connections,
    ring,
    ringCapacity,
    lengthyRing,
    lengthyIdle,
    handback,
    idle,
    freeBuffers,
    routes,
    notices,
    protocols,
    inboxes,
    bufferCount,
    totalBytes,
  };
}
