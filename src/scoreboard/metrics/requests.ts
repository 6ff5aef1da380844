/**
 * Metrics of requests and responses, kept by child slot so that they outlive children.
 *
 * Thread: the admin thread. May not: keep state.
 */
import { DURATION_BUCKETS_MS } from '../layout.ts';
import type { Exemplar, SeriesRow } from '../snapshot.ts';
import {
  bucketSamples,
  counter,
  type Family,
  gauge,
  histogram,
  kept,
  plain,
  type Sample,
} from './family.ts';

const DURATION = 'http_request_duration_seconds';
const DURATION_BOUNDS = DURATION_BUCKETS_MS.map((bound) => bound / 1000);

/**
 * @param series durations by method, route and status class at this moment; null where they are not
 *   recorded (extendedStatus off), and the durations are those of all requests, without labels
 */
export const requestFamilies = (series: () => readonly SeriesRow[] | null): readonly Family[] => [
  counter('mpm_requests_total', 'Requests whose last byte has left.', ({ totals }) =>
    plain(totals.requests),
  ),
  counter('mpm_responses_total', 'Responses by status class.', ({ totals }) =>
    totals.statuses.map((value, index) => ({ value, labels: { class: `${index + 1}xx` } })),
  ),
  counter(
    'mpm_pipelined_requests_total',
    'Requests that had arrived with the one before.',
    ({ totals }) => plain(totals.pipelined),
  ),
  counter(
    'mpm_keepalive_reuses_total',
    'Requests on a connection that had had a response before.',
    ({ totals }) => plain(totals.reuses),
  ),
  counter('mpm_aborted_requests_total', 'Requests whose client left.', ({ totals }) =>
    plain(totals.aborted),
  ),
  counter('mpm_received_bytes_total', 'Bytes received.', ({ totals }) =>
    plain(totals.receivedBytes),
  ),
  counter('mpm_sent_bytes_total', 'Bytes handed to the kernel.', ({ totals }) =>
    plain(totals.sentBytes),
  ),
  counter('mpm_log_lost_total', 'Access log lines that neither memory nor file took.', (now) =>
    plain(now.logLost),
  ),
  gauge(
    'http_requests_in_flight',
    'Connections with a request in a worker or on its way to the client.',
    ({ connections }) =>
      plain(
        connections.processing +
          connections.suspended +
          connections.resuming +
          connections.writeCompletion,
      ),
  ),
  kept(
    'http_response_size_bytes',
    'Responses by their bytes, heads included; without those that go on to the end of another socket.',
    'responseSize',
  ),
  histogram(
    DURATION,
    'From the call of the handler to the last byte sent, by route and class of the status.',
    ({ totals }) => {
      const rows = series();
      if (rows === null) return durationSamples(totals.durations, totals.durationMs, {});
      return rows.flatMap(({ durations, durationMs, method, route, statusClass, exemplar }) =>
        durationSamples(
          durations,
          durationMs,
          { method, route, status_code: statusClass },
          exemplar,
        ),
      );
    },
  ),
];

const durationSamples = (
  counts: readonly number[],
  durationMs: number,
  labels: Readonly<Record<string, string>>,
  exemplar: Exemplar | null = null,
): Sample[] =>
  bucketSamples(
    DURATION,
    { counts, bounds: DURATION_BOUNDS, sum: durationMs / 1000 },
    labels,
    exemplar === null
      ? null
      : {
          labelSet: { trace_id: exemplar.traceId },
          value: exemplar.durationMs / 1000,
          timestamp: exemplar.atSeconds,
        },
  );
