/**
 * `wake`: calls a session that is idle, from anywhere in the application.
 *
 * Role: the application's side. It may have a copy of this package of its own, so what its worker was
 * given is found by a symbol that is the same in all of them, as with `shared`.
 * Thread: a worker.
 */
const KEY = Symbol.for('hybrid-mpm.wake.1');
interface Holder {
  [KEY]?: (id: number) => boolean;
}

/** Called by a worker's entry, before it serves. */
export function installWake(wakeSession: (id: number) => boolean): void {
  (globalThis as Holder)[KEY] = wakeSession;
}

/**
 * Has the session with this `session.id` called (`woken`) as soon as a worker is free, whichever worker
 * that is; one that is being called at present is called again behind that. Several wakes before the call
 * are one, and none is lost. Returns at once.
 * @returns false: that session has ended, so that the id can be forgotten. True: it is called, unless its
 *   client leaves before
 * @throws TypeError for what is no whole number
 */
export function wake(id: number): boolean {
  if (!Number.isInteger(id)) throw new TypeError('wake takes the id of a session');
  return (globalThis as Holder)[KEY]?.(id) ?? false;
}
