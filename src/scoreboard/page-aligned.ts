/**
 * Shared memory that begins with a page.
 *
 * Role: gives the memory in which what different threads write stands in different cache lines. Such lines
 * are counted from the memory's beginning, so it has to be that of a line as well. Plain shared memory comes
 * from malloc, mostly 16 bytes behind the beginning of a page; a growable one V8 maps by itself, from a page
 * on (from Node 20 on). It never grows here.
 * Thread: main makes it, any thread attaches. Views of it are given their length: one that follows a memory
 * that may grow is slower.
 */
export const pageAligned = (bytes: number): SharedArrayBuffer =>
  new SharedArrayBuffer(bytes, { maxByteLength: bytes });
