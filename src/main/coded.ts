/**
 * Errors of the server as a program sees them.
 *
 * Thread: main; a pure function.
 */

/** @param code ERR_MPM_..., by which a program tells it from others */
export function coded(code: string, message: string): Error & { code: string } {
  return Object.assign(new Error(message), { code });
}
