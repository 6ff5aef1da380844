/**
 * Metrics of requests and responses, kept by child slot so that they outlive children.
 *
 * Thread: the admin thread. May not: keep state.
 */
import { DURATION_BUCKETS_MS } from '../layout.ts';
import { bucketSamples, counter, type Family, gauge, histogram, plain } from './family.ts';

const DURATION = 'http_request_duration_seconds';
const DURATION_BOUNDS = DURATION_BUCKETS_MS.map((bound) => bound / 1000);

export const requestFamilies: readonly Family[] = [
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
  histogram(DURATION, 'From the call of the handler to the last byte sent.', ({ totals }) =>
    bucketSamples(DURATION, {
      counts: totals.durations,
      bounds: DURATION_BOUNDS,
      sum: totals.durationMs / 1000,
    }),
  ),
];
