/**
 * Metrics of the queue between whoever polls and the workers.
 *
 * Thread: the admin thread. May not: keep state.
 */
import { counter, type Family, gauge, kept, plain } from './family.ts';

export const queueFamilies = (queueLimit: number): readonly Family[] => [
  gauge('mpm_queue_length', 'Connections that wait for a worker.', (now) => plain(now.queueLength)),
  gauge('mpm_lengthy_queue_length', 'Connections that wait for a lengthy worker.', (now) =>
    plain(now.lengthyQueueLength),
  ),
  gauge('mpm_queue_max', 'Length at which accepting pauses (queueLimit).', () => plain(queueLimit)),
  kept(
    'mpm_queue_wait_seconds',
    'From the event that made a connection readable to the worker that took it.',
    'queueWait',
  ),
  counter('mpm_handoffs_total', 'Connections handed over, into and out of the queue.', (now) => [
    { value: now.dispatched + now.totals.dispatched, labels: { direction: 'dispatch' } },
    { value: now.totals.claims, labels: { direction: 'claim' } },
  ]),
  counter('mpm_requeued_orphans_total', 'Queued connections that had lost their ticket.', (now) =>
    plain(now.requeuedOrphans),
  ),
];
