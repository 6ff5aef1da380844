/**
 * What has to hold between directives, and between directives and the machine.
 *
 * Role: one literal list; each rule names the directives it is about and says what is wrong.
 * Thread: main; pure functions.
 */
import { isIPv4 } from 'node:net';
import {
  connectionsWithin,
  MAX_BUFFER_MEMORY_BYTES,
  MAX_CONNECTION_BUFFER_BYTES,
  RESERVED_DESCRIPTORS,
} from './capacity.ts';
import type { Directives, HostPort } from './directives.ts';
import { EVERY_ADDRESS, formatBytes, formatHostPort } from './kinds.ts';
import type { Machine } from './machine.ts';
import type { DirectiveName } from './table.ts';

export interface Rule {
  readonly subject: DirectiveName;
  readonly others: readonly DirectiveName[];
  /** What has to change, null where the rule holds. */
  readonly broken: (directives: Directives, machine: Machine) => string | null;
}

/** Whether the first takes the second's port as well: `::` every one, `0.0.0.0` any IPv4 one. */
const covers = (wide: HostPort, host: string): boolean =>
  wide.host === host || wide.host === EVERY_ADDRESS || (wide.host === '0.0.0.0' && isIPv4(host));

/** Two sockets that cannot both be bound. Port 0 is always another one. */
const clash = (left: HostPort, right: HostPort): boolean =>
  left.port === right.port &&
  left.port !== 0 &&
  (covers(left, right.host) || covers(right, left.host));

/** Two child slots each, and a state word has room for 1,022 owners. */
const MOST_WORKERS = 511;

/** A worker without an application uses about 6 MiB. */
const LEAST_HEAP_BYTES = 16 * 2 ** 20;

export const RULES: readonly Rule[] = [
  {
    subject: 'listen',
    others: [],
    broken: ({ listen }) => {
      const second = listen.findIndex((address, index) =>
        listen.slice(0, index).some((earlier) => clash(earlier, address)),
      );
      if (second === -1) return null;
      return `${formatHostPort(listen[second] as HostPort)} is taken by another address of the list ([::] is every address, IPv4 too)`;
    },
  },
  {
    subject: 'admin',
    others: ['listen'],
    broken: ({ admin, listen }) =>
      admin !== null && listen.some((address) => clash(address, admin))
        ? `admin (${formatHostPort(admin)}) and listen (${listen.map(formatHostPort).join(', ')}) need different ports`
        : null,
  },
  {
    subject: 'maxConnections',
    others: [],
    broken: ({ maxConnections }, machine) =>
      maxConnections > connectionsWithin(machine)
        ? `the limit of open descriptors (${machine.softDescriptors}) allows ${connectionsWithin(machine)} connections, as up to ${RESERVED_DESCRIPTORS} are kept for the server itself; raise it (ulimit -n, LimitNOFILE) or lower maxConnections`
        : null,
  },
  {
    subject: 'maxConnections',
    others: ['limitRequestLine', 'limitRequestFieldSize'],
    broken: ({ maxConnections, connectionBufferBytes }) =>
      maxConnections * connectionBufferBytes > MAX_BUFFER_MEMORY_BYTES
        ? `${maxConnections} connection buffers of ${formatBytes(connectionBufferBytes)} (from limitRequestLine + limitRequestFieldSize) exceed ${formatBytes(MAX_BUFFER_MEMORY_BYTES)} of address space; at most ${Math.floor(MAX_BUFFER_MEMORY_BYTES / connectionBufferBytes)} fit`
        : null,
  },
  {
    subject: 'queueLimit',
    others: ['maxConnections'],
    broken: ({ queueLimit, maxConnections }) =>
      queueLimit > maxConnections
        ? `queueLimit (${queueLimit}) must be at most maxConnections (${maxConnections})`
        : null,
  },
  {
    subject: 'startServers',
    others: ['maxRequestWorkers'],
    broken: ({ startServers, maxRequestWorkers }) =>
      startServers > maxRequestWorkers
        ? `startServers (${startServers}) must be at most maxRequestWorkers (${maxRequestWorkers})`
        : null,
  },
  {
    subject: 'minSpareThreads',
    others: ['maxSpareThreads'],
    broken: ({ minSpareThreads, maxSpareThreads }) =>
      minSpareThreads > maxSpareThreads
        ? `minSpareThreads (${minSpareThreads}) must be at most maxSpareThreads (${maxSpareThreads})`
        : null,
  },
  {
    subject: 'minSpareThreads',
    others: ['maxRequestWorkers'],
    broken: ({ minSpareThreads, maxRequestWorkers }) =>
      minSpareThreads > maxRequestWorkers
        ? `minSpareThreads (${minSpareThreads}) must be at most maxRequestWorkers (${maxRequestWorkers})`
        : null,
  },
  {
    subject: 'lengthyWorkers',
    others: ['maxRequestWorkers'],
    broken: ({ lengthyWorkers, maxRequestWorkers }) =>
      lengthyWorkers + maxRequestWorkers > MOST_WORKERS
        ? `lengthyWorkers (${lengthyWorkers}) and maxRequestWorkers (${maxRequestWorkers}) must be at most ${MOST_WORKERS} together`
        : null,
  },
  {
    subject: 'maxHeapPerChild',
    others: [],
    broken: ({ maxHeapPerChildBytes }) =>
      maxHeapPerChildBytes > 0 && maxHeapPerChildBytes < LEAST_HEAP_BYTES
        ? `${formatBytes(maxHeapPerChildBytes)} is too little for a child to start; at least ${formatBytes(LEAST_HEAP_BYTES)}, or 0 for V8's own bound`
        : null,
  },
  {
    subject: 'limitRequestLine',
    others: ['limitRequestFieldSize'],
    broken: ({ limitRequestLineBytes, limitRequestFieldSizeBytes }) =>
      limitRequestLineBytes + limitRequestFieldSizeBytes > MAX_CONNECTION_BUFFER_BYTES
        ? `limitRequestLine (${formatBytes(limitRequestLineBytes)}) and limitRequestFieldSize (${formatBytes(limitRequestFieldSizeBytes)}) must be at most ${formatBytes(MAX_CONNECTION_BUFFER_BYTES)} together, the largest connection buffer`
        : null,
  },
];
