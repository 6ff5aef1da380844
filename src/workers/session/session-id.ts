/**
 * Numbers of sessions: slot and incarnation in one int32, so that an application may keep it in memory
 * that workers share. Never 0.
 *
 * Thread: any.
 */

/** Incarnations are 14 bits wide, see transition.ts; slots below 2^18 - 1 leave the sum within 32. */
const INCARNATION_BITS = 14;

export const sessionId = (slot: number, incarnation: number): number =>
  ((slot + 1) << INCARNATION_BITS) | incarnation;

/** -1 for what is no session's number. */
export const slotOfSession = (id: number): number => (id >>> INCARNATION_BITS) - 1;

export const incarnationOfSession = (id: number): number => id & ((1 << INCARNATION_BITS) - 1);
