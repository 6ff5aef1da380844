/**
 * The `?auto` text: Apache's machine-readable status, so that its exporters read this server unchanged.
 *
 * Role: a snapshot and the figures of the process in, text out. Keys, order and forms are mod_status's;
 * this project's own keys follow with the prefix `Mpm`, after all that a reader of Apache's expects.
 * Thread: any; in the server the admin thread. May not: read a clock, the machine or the scoreboard.
 *
 * What Apache's terms mean here: a worker is a child slot, and there is one process. The CPU times of
 * all threads are the process's own, so those of children are 0.
 */
import type { ChildRow, OpenStateName, Snapshot } from './snapshot.ts';
import { OPEN_STATES } from './snapshot.ts';

/** What the text says that is not in the scoreboard. */
export interface StatusFigures {
  readonly serverName: string;
  /** Of this package, three numbers with dots. */
  readonly version: string;
  /** As `process.versions.node`. */
  readonly nodeVersion: string;
  /** As `os.type()`. */
  readonly platform: string;
  readonly builtAt: Date;
  readonly now: Date;
  /** Since the server started, milliseconds. */
  readonly uptimeMs: number;
  /** Over 1, 5 and 15 minutes. */
  readonly loadAverages: readonly number[];
  /** Of all threads since the process started, seconds. */
  readonly cpuUserSeconds: number;
  readonly cpuSystemSeconds: number;
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

const twoDigits = (value: number) => String(value).padStart(2, '0');
const timeOfDay = (date: Date) =>
  [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map(twoDigits).join(':');

/** As in `Saturday, 21-Nov-2026 07:18:36 UTC`. */
export function apacheTime(date: Date): string {
  const day = `${twoDigits(date.getUTCDate())}-${MONTHS[date.getUTCMonth()]}-${date.getUTCFullYear()}`;
  return `${DAYS[date.getUTCDay()]}, ${day} ${timeOfDay(date)} UTC`;
}

/** As C's __DATE__ and __TIME__: `Nov  1 2026 07:18:36`. */
function buildTime(date: Date): string {
  const day = String(date.getUTCDate()).padStart(2);
  return `${MONTHS[date.getUTCMonth()]} ${day} ${date.getUTCFullYear()} ${timeOfDay(date)}`;
}

/** As in `1 day 2 hours 3 minutes 4 seconds`; parts that are 0 are left out. */
export function uptimeText(totalSeconds: number): string {
  const parts: [number, string][] = [
    [Math.floor(totalSeconds / 86_400), 'day'],
    [Math.floor(totalSeconds / 3600) % 24, 'hour'],
    [Math.floor(totalSeconds / 60) % 60, 'minute'],
    [totalSeconds % 60, 'second'],
  ];
  const shown = parts.filter(([count]) => count > 0);
  // Apache leaves the value empty in the first second, which not every reader takes.
  if (shown.length === 0) return '0 seconds';
  return shown.map(([count, unit]) => `${count} ${unit}${count === 1 ? '' : 's'}`).join(' ');
}

/** C's %g: six significant digits, no trailing zeros. */
const general = (value: number): string => String(Number(value.toPrecision(6)));

/** What the first line of a status and the Server fields say, like `Apache/2.4.62 (Unix)`. */
export const serverVersion = (
  figures: Pick<StatusFigures, 'version' | 'nodeVersion' | 'platform'>,
): string => `hybrid-mpm/${figures.version} (${figures.platform}) Node/${figures.nodeVersion}`;

/** Apache's letter: `_` idle, `S` starting, `W` in a handler, `R` busy otherwise, `G`, `.` empty. */
export function workerLetter({ state, handling }: ChildRow): string {
  switch (state) {
    case 'empty':
      return '.';
    case 'starting':
      return 'S';
    case 'idle':
      return '_';
    case 'busy':
      return handling >= 0 ? 'W' : 'R';
    case 'draining':
      return 'G';
  }
}

/** Apache's kinds of waiting; queued and processing connections are in ConnsTotal alone. */
const WAIT_IO = ['waitRequest', 'readRequest'] as const;
const WRITING = ['suspended', 'resuming', 'writeCompletion'] as const;
const CLOSING = ['lingerNormal', 'lingerShort', 'closing'] as const;

/** `keepalive` to `Keepalive`. */
const capital = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);

type Line = readonly [key: string, value: string | number];

/** The whole text. */
export function statusAuto(snapshot: Snapshot, figures: StatusFigures): string {
  const lines = [...apacheLines(snapshot, figures), ...ownLines(snapshot)];
  // The name is the machine's; a line break in it would forge keys.
  const name = figures.serverName.replace(/[^\x21-\x7e]/g, '_');
  return `${name}\n${lines.map(([key, value]) => `${key}: ${value}\n`).join('')}`;
}

function* apacheLines(snapshot: Snapshot, figures: StatusFigures): Generator<Line> {
  const uptime = Math.floor(figures.uptimeMs / 1000);
  yield ['ServerVersion', serverVersion(figures)];
  yield ['ServerMPM', 'event'];
  yield ['Server Built', buildTime(figures.builtAt)];
  yield ['CurrentTime', apacheTime(figures.now)];
  yield ['RestartTime', apacheTime(new Date(figures.now.getTime() - figures.uptimeMs))];
  // Apache's first configuration is number 1, its first set of children number 0.
  yield ['ParentServerConfigGeneration', snapshot.generation + 1];
  yield ['ParentServerMPMGeneration', snapshot.generation];
  yield ['ServerUptimeSeconds', uptime];
  yield ['ServerUptime', uptimeText(uptime)];
  const [load1 = 0, load5 = 0, load15 = 0] = figures.loadAverages;
  yield ['Load1', load1.toFixed(2)];
  yield ['Load5', load5.toFixed(2)];
  yield ['Load15', load15.toFixed(2)];
  yield* trafficLines(snapshot, figures, uptime);
  const { workers, connections } = snapshot;
  yield ['BusyWorkers', workers.busy];
  yield ['GracefulWorkers', workers.draining];
  yield ['IdleWorkers', workers.idle];
  yield ['Processes', 1];
  yield ['Stopping', snapshot.phase === 'draining' || snapshot.phase === 'stopped' ? 1 : 0];
  const sum = (states: readonly OpenStateName[]) =>
    states.reduce((total, state) => total + connections[state], 0);
  yield ['ConnsTotal', snapshot.connectionsTotal];
  yield ['ConnsAsyncWaitIO', sum(WAIT_IO)];
  yield ['ConnsAsyncWriting', sum(WRITING)];
  yield ['ConnsAsyncKeepAlive', connections.keepalive];
  yield ['ConnsAsyncClosing', sum(CLOSING)];
  yield ['Scoreboard', snapshot.children.map(workerLetter).join('')];
}

function* trafficLines(
  { totals }: Snapshot,
  { cpuUserSeconds, cpuSystemSeconds }: StatusFigures,
  uptime: number,
): Generator<Line> {
  const { requests, sentBytes, durationMs } = totals;
  yield ['Total Accesses', requests];
  yield ['Total kBytes', Math.floor(sentBytes / 1024)];
  yield ['Total Duration', Math.round(durationMs)];
  yield ['CPUUser', general(cpuUserSeconds)];
  yield ['CPUSystem', general(cpuSystemSeconds)];
  yield ['CPUChildrenUser', 0];
  yield ['CPUChildrenSystem', 0];
  const cpuSeconds = cpuUserSeconds + cpuSystemSeconds;
  if (cpuSeconds > 0 && uptime > 0) yield ['CPULoad', general((cpuSeconds / uptime) * 100)];
  yield ['Uptime', uptime];
  if (uptime > 0) {
    yield ['ReqPerSec', general(requests / uptime)];
    yield ['BytesPerSec', general(sentBytes / uptime)];
  }
  if (requests > 0) {
    yield ['BytesPerReq', general(sentBytes / requests)];
    yield ['DurationPerReq', general(durationMs / requests)];
  }
}

function* ownLines(snapshot: Snapshot): Generator<Line> {
  const { totals } = snapshot;
  yield ['MpmPhase', snapshot.phase];
  yield ['MpmAccepting', snapshot.accepting ? 1 : 0];
  yield ['MpmAcceptPauses', snapshot.acceptPauses];
  yield ['MpmAcceptErrors', snapshot.acceptErrors];
  yield ['MpmQueueLength', snapshot.queueLength];
  yield ['MpmQueueWaitMs', general(totals.claims > 0 ? totals.queueWaitMs / totals.claims : 0)];
  yield ['MpmConnectionsMax', snapshot.connectionsMax];
  yield ['MpmConnectionsAccepted', snapshot.accepted];
  for (const state of OPEN_STATES) {
    yield [`MpmConnections${capital(state)}`, snapshot.connections[state]];
  }
  for (const [reason, count] of Object.entries(snapshot.closed)) {
    yield [`MpmConnectionsClosed${capital(reason)}`, count];
  }
  yield ['MpmWorkersStarting', snapshot.workers.starting];
  yield ['MpmLengthyWorkersBusy', snapshot.lengthyWorkers.busy];
  yield ['MpmLengthyWorkersIdle', snapshot.lengthyWorkers.idle];
  yield ['MpmLengthyQueueLength', snapshot.lengthyQueueLength];
  yield ['MpmChildStarts', snapshot.childStarts];
  yield ['MpmChildStartFailures', snapshot.startFailures];
  for (const [reason, count] of Object.entries(snapshot.childExits)) {
    yield [`MpmChildExits${capital(reason)}`, count];
  }
  yield ['MpmReceivedBytes', totals.receivedBytes];
  yield ['MpmPipelinedRequests', totals.pipelined];
  yield ['MpmAbortedRequests', totals.aborted];
  yield ['MpmBuffersFree', snapshot.buffers.free];
  yield ['MpmBuffersSpare', snapshot.buffers.spare];
  yield ['MpmBuffersUsed', snapshot.buffers.used];
  yield ['MpmWriteCompletions', snapshot.completions];
  yield ['MpmSpilledBytes', snapshot.spilledBytes];
  yield ['MpmSpilledFolderBytes', snapshot.spilledFolderBytes];
  yield ['MpmDispatches', snapshot.dispatched + totals.dispatched];
  yield ['MpmWakes', snapshot.wakes + totals.wakes];
  yield ['MpmStaleEvents', snapshot.staleEvents + totals.staleEvents];
  yield ['MpmNoticedEvents', snapshot.noticed + totals.noticed];
  // 0: the listener, else the worker's slot + 1.
  yield ['MpmLeader', snapshot.leader + 1];
  yield ['MpmLeads', totals.leads];
  yield ['MpmLeadPasses', totals.passes];
  yield ['MpmDelegations', totals.delegations];
  yield ['MpmLeadTakeBacks', snapshot.takeBacks];
  yield ['MpmRewakes', snapshot.rewakes];
  yield ['MpmRequeuedOrphans', snapshot.requeuedOrphans];
  yield ['MpmProxyHeaderErrors', totals.proxyErrors];
  yield ['MpmLogLost', snapshot.logLost];
}
