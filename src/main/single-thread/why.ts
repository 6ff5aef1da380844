/**
 * Which server it is to be.
 *
 * Thread: main.
 */

/** Why there is no other than this one; null: there is epoll. */
export function whyNoEpoll(): string | null {
  if (process.env.HYBRID_MPM_NATIVE === 'off') return 'HYBRID_MPM_NATIVE is off';
  return process.platform === 'linux' ? null : `${process.platform} has no epoll`;
}
