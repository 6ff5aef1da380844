/**
 * Records of connections in two halves: what every connection writes, and what few ever need.
 *
 * Role: says where the record of a connection begins, and where its second half is from there. Memory is
 * taken page by page when it is first written. Side by side, the half that is written would pay for the
 * other one; so the first halves of a group of connections stand together, and their second halves behind
 * those. A field's offset is still a constant: that of a second half begins with `SECOND_HALF`.
 * Thread: any; constants and arithmetic only.
 *
 * A page of a system may have 4 KiB or 64, and shared memory begins anywhere in one (malloc puts a header
 * before it). A group is so large that its pages with a part of both halves are few among the others: one of
 * 33 that are 4 KiB long.
 */

const HALF_BITS = 7;
const GROUP_BITS = 10;
/** Bytes of a half: two cache lines. */
export const HALF_BYTES = 1 << HALF_BITS;
/** Bytes from where a record begins to its second half: a group of first halves. */
export const SECOND_HALF = HALF_BYTES << GROUP_BITS;

/** Bytes from the first record to the one of this slot. */
export const recordAt = (slot: number): number =>
  (slot << HALF_BITS) + ((slot >> GROUP_BITS) << (HALF_BITS + GROUP_BITS));

/** Bytes that so many records span: whole groups. Those that are never written cost no memory. */
export const recordsBytes = (slots: number): number =>
  Math.ceil(slots / (1 << GROUP_BITS)) * 2 * SECOND_HALF;
