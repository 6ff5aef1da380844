/**
 * Metrics of the queue between whoever polls and the workers.
 *
 * Thread: the admin thread. May not: keep state.
 */
import { counter, type Family, gauge, plain, summary } from './family.ts';

export const queueFamilies = (queueLimit: number): readonly Family[] => [
  gauge('mpm_queue_length', 'Connections that wait for a worker.', (now) => plain(now.queueLength)),
  gauge('mpm_queue_max', 'Length at which accepting pauses (queueLimit).', () => plain(queueLimit)),
  summary('mpm_queue_wait_seconds', 'Time connections waited for a worker.', ({ totals }) => [
    { value: totals.queueWaitMs / 1000, labels: {}, metricName: 'mpm_queue_wait_seconds_sum' },
    { value: totals.claims, labels: {}, metricName: 'mpm_queue_wait_seconds_count' },
  ]),
  counter('mpm_handoffs_total', 'Connections handed over, into and out of the queue.', (now) => [
    { value: now.dispatched + now.totals.dispatched, labels: { direction: 'dispatch' } },
    { value: now.totals.claims, labels: { direction: 'claim' } },
  ]),
  counter('mpm_requeued_orphans_total', 'Queued connections that had lost their ticket.', (now) =>
    plain(now.requeuedOrphans),
  ),
];
