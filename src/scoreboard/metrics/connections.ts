/**
 * Metrics of connections: open, accepted, closed, and what the listener does for them.
 *
 * Thread: the admin thread. May not: keep state.
 */
import { CLOSE_REASONS, type CloseReasonName, OPEN_STATES } from '../snapshot.ts';
import { counter, type Family, gauge, kept, labelled, plain } from './family.ts';

/** The server ended these while their client still wanted something. */
const DROPPED = [
  'shed',
  'queueTimeout',
  'forced',
  'childDied',
] as const satisfies readonly CloseReasonName[];

export const connectionFamilies: readonly Family[] = [
  gauge('mpm_connections', 'Open connections by state.', ({ connections }) =>
    labelled('state', OPEN_STATES, (state) => connections[state]),
  ),
  gauge('mpm_sessions', 'Open sessions by protocol and by their own state.', ({ sessions }) =>
    sessions.map(({ protocol, state, count }) => ({ value: count, labels: { protocol, state } })),
  ),
  counter(
    'mpm_session_commands_total',
    'Calls of session protocols that consumed input.',
    ({ totals }) => plain(totals.commands),
  ),
  gauge('mpm_connections_max', 'Connections that can be open at the same time.', (now) =>
    plain(now.connectionsMax),
  ),
  counter('mpm_connections_accepted_total', 'Connections accepted.', (now) => plain(now.accepted)),
  counter('mpm_connections_closed_total', 'Connections closed by reason.', ({ closed }) =>
    labelled('reason', CLOSE_REASONS, (reason) => closed[reason]),
  ),
  counter(
    'mpm_connections_dropped_total',
    'Connections among the closed ones that the server ended for lack of room, at its stop or because a worker died.',
    ({ closed }) => labelled('reason', DROPPED, (reason) => closed[reason]),
  ),
  kept(
    'mpm_connection_duration_seconds',
    'From accept to close, of connections that are closed.',
    'connectionDuration',
  ),
  kept(
    'mpm_connection_requests',
    'Requests answered on a connection, of connections that are closed.',
    'connectionRequests',
  ),
  gauge('mpm_accept_paused', '1 while the running server lets no new clients in.', (now) =>
    plain(now.phase === 'running' && !now.accepting ? 1 : 0),
  ),
  counter('mpm_accept_pauses_total', 'Times accepting was paused.', (now) =>
    plain(now.acceptPauses),
  ),
  counter('mpm_accept_errors_total', 'Errors of accept by errno.', ({ acceptErrnos }) =>
    Object.entries(acceptErrnos).map(([errno, value]) => ({ value, labels: { errno } })),
  ),
  counter('mpm_write_completions_total', 'Responses whose rest the listener sent.', (now) =>
    plain(now.completions),
  ),
  gauge(
    'mpm_spilled_bytes',
    'Response bodies kept for slow clients, in memory files and in files of spillFolder.',
    (now) => [
      { value: now.spilledBytes, labels: { place: 'memory' } },
      { value: now.spilledFolderBytes, labels: { place: 'folder' } },
    ],
  ),
  kept(
    'mpm_listener_loop_duration_seconds',
    'One turn of the listener, from its wake-up until it asks the kernel again.',
    'listenerTurn',
  ),
  counter('mpm_stale_events_total', 'Poll events for a connection that was gone.', (now) =>
    plain(now.staleEvents + now.totals.staleEvents),
  ),
  counter('mpm_noticed_events_total', 'Poll events for a connection a worker owned.', (now) =>
    plain(now.noticed + now.totals.noticed),
  ),
  gauge('mpm_buffers', 'Connection buffers by use.', ({ buffers }) =>
    labelled('state', ['free', 'spare', 'used'], (state) => buffers[state]),
  ),
  counter(
    'mpm_buffer_misses_total',
    'Connection buffers that a worker took from the shared set, having none at hand.',
    (now) => plain(now.totals.bufferMisses),
  ),
  counter(
    'mpm_scoreboard_cas_retries_total',
    'Moves of a connection to another state that another thread forestalled, by who tried.',
    ({ totals, lostByListener }) => [
      { value: lostByListener, labels: { by: 'listener' } },
      { value: totals.lostMoves - lostByListener, labels: { by: 'worker' } },
    ],
  ),
];
