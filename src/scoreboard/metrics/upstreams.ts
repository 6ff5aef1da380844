/**
 * Metrics of the reverse proxy's upstreams: 64 of them at most, so the labels are bounded.
 *
 * Thread: the admin thread. May not: keep state.
 */
import type { UpstreamStatus } from '../upstreams.ts';
import { counter, type Family, gauge, type Sample } from './family.ts';

/** @param read what there is; nothing where no request was passed on yet */
export function upstreamFamilies(read: () => readonly UpstreamStatus[]): readonly Family[] {
  const each = (value: (status: UpstreamStatus) => number) => (): readonly Sample[] =>
    read().map((status) => ({ value: value(status), labels: { upstream: status.name } }));
  return [
    gauge(
      'mpm_upstream_up',
      '1: the upstream may be asked; 0: it is left out after failures or a health check.',
      each(({ state }) => (state === 'up' ? 1 : 0)),
    ),
    gauge(
      'mpm_upstream_requests_active',
      'Requests to the upstream that are under way, each on a connection of its own.',
      each(({ active }) => active),
    ),
    gauge(
      'mpm_upstream_connections_idle',
      'Connections to the upstream that are kept for the next request.',
      each(({ idle }) => idle),
    ),
    counter(
      'mpm_upstream_requests_total',
      'Requests passed on to the upstream, each try counted.',
      each(({ requests }) => requests),
    ),
    counter(
      'mpm_upstream_failures_total',
      'Tries that ended without a whole response of the upstream.',
      each(({ failures }) => failures),
    ),
    counter(
      'mpm_upstream_retries_total',
      'Tries that followed a failure of another upstream or of a kept connection.',
      each(({ retries }) => retries),
    ),
    gauge(
      'mpm_upstream_requests_waiting',
      'Requests that wait for one of the places of maxRequests.',
      each(({ waiting }) => waiting),
    ),
    counter(
      'mpm_upstream_waited_total',
      'Requests that had to wait for a place; at each upstream that might have taken them.',
      each(({ waited }) => waited),
    ),
    counter(
      'mpm_upstream_refused_total',
      'Requests answered 503 since they got no place: too many waited, or for too long; counted likewise.',
      each(({ refused }) => refused),
    ),
  ];
}
