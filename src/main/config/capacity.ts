/**
 * What the machine and the shared memory have room for.
 *
 * Role: the arithmetic behind defaults and cross-field rules that concern capacity.
 * Thread: main; pure functions.
 */
import type { Machine } from './machine.ts';

export const MIN_CONNECTION_BUFFER_BYTES = 4096;
export const MAX_CONNECTION_BUFFER_BYTES = 1 << 20;

/** All connection buffers are one Buffer, and Node 20 makes none above 4 GiB. */
export const MAX_BUFFER_MEMORY_BYTES = 2 ** 32;

/** Descriptors left to poll sets, worker threads, the admin port and the application. */
export const RESERVED_DESCRIPTORS = 256;
const CUSTOMARY_CONNECTIONS = 20_000;

/** Size of a connection buffer for these two limits, bytes: a power of two within 4 KiB .. 1 MiB. */
export function connectionBufferBytesFor(lineBytes: number, fieldSizeBytes: number): number {
  const least = 2 ** Math.ceil(Math.log2(Math.max(1, lineBytes + fieldSizeBytes)));
  return Math.min(MAX_CONNECTION_BUFFER_BYTES, Math.max(MIN_CONNECTION_BUFFER_BYTES, least));
}

/** Connections, a descriptor each, that fit the soft limit. Keeps a quarter of a very low one back. */
export function connectionsWithin({ softDescriptors }: Machine): number {
  if (!Number.isFinite(softDescriptors)) return Number.POSITIVE_INFINITY;
  const reserved = Math.min(RESERVED_DESCRIPTORS, Math.floor(softDescriptors / 4));
  return Math.max(1, softDescriptors - reserved);
}

const MIN_OPEN_FILES = 4;
const MAX_OPEN_FILES = 64;

/**
 * Descriptors of static files that each worker may keep open: its share of what connections leave
 * over, and a few out of the reserve where they leave nothing.
 * @param children that may live at the same time
 */
export function openFilesFor(machine: Machine, maxConnections: number, children: number): number {
  const share = Math.floor((connectionsWithin(machine) - maxConnections) / children);
  return Math.max(MIN_OPEN_FILES, Math.min(MAX_OPEN_FILES, share));
}

/** Of the memory, for connection buffers where nobody said how many connections there may be. */
const BUFFER_SHARE = 0.5;

/** The default of maxConnections: 20,000, or what descriptors and buffer memory allow. */
export function defaultConnections(machine: Machine, bufferBytes: number): number {
  return Math.min(
    CUSTOMARY_CONNECTIONS,
    connectionsWithin(machine),
    Math.floor(MAX_BUFFER_MEMORY_BYTES / bufferBytes),
    Math.max(1, Math.floor((machine.memoryBytes * BUFFER_SHARE) / bufferBytes)),
  );
}
