/**
 * What `?json` answers: its schema, and the type that page, CSV, event stream and terminal are made from.
 *
 * Role: the one description of the status document; docs/server-status.schema.json is written from it.
 * Thread: any. The admin thread imports types only.
 * A member may be added within a version of the schema; none is removed or changes its meaning.
 */
import { z } from 'zod';
import {
  CULL_REASONS as ALL_CULL_REASONS,
  SPAWN_REASONS as ALL_SPAWN_REASONS,
  CLOSE_REASONS,
  EXIT_REASONS,
  OPEN_STATES,
  type PhaseName,
  type WorkerState,
} from '../../scoreboard/snapshot.ts';

export const SCHEMA_VERSION = 1;

const count = () => z.int().min(0);
const amount = () => z.number().min(0);
const describe = <T extends z.ZodType>(type: T, meaning: string): T => type.describe(meaning);

/** `none` stands in the scoreboard where there was none. */
const isReason = <T extends string>(name: T): name is Exclude<T, 'none'> => name !== 'none';
const SPAWN_REASONS = ALL_SPAWN_REASONS.filter(isReason);
const CULL_REASONS = ALL_CULL_REASONS.filter(isReason);

const PHASES = ['starting', 'running', 'draining', 'stopped'] as const satisfies PhaseName[];
const SERVED = ['starting', 'idle', 'busy', 'draining'] as const satisfies WorkerState[];
export type ServedWorkerState = (typeof SERVED)[number];

const request = z
  .object({
    method: describe(z.string(), "'' where the request was refused before one could be told"),
    target: describe(z.string(), 'Its beginning as received; the query is `***` unless asked for'),
    targetCut: describe(z.boolean(), 'There is more of the target than that'),
    host: describe(z.string(), "The beginning of the Host field; '' where there is none"),
    protocol: z.enum(['HTTP/1.0', 'HTTP/1.1']),
    active: describe(z.boolean(), 'Its last byte has not left yet'),
    status: describe(z.int(), 'Of the response; 0 while active'),
    ageMs: describe(amount(), 'Since its handler was called'),
    durationMs: describe(amount(), 'Until its last byte left; 0 while active'),
  })
  .describe('Text of the client: escape it for wherever it goes');

const worker = z.object({
  slot: count(),
  life: describe(count(), 'Number of the child that holds the slot; unique over the run'),
  state: z.enum(SERVED),
  letter: describe(z.string().length(1), "Apache's letter of the scoreboard line"),
  wantsRetire: describe(z.boolean(), 'It reached a limit and serves until its successor is ready'),
  leads: describe(z.boolean(), 'It polls the request set'),
  ageMs: amount(),
  connections: describe(count(), 'Counted in this life, against maxConnectionsPerChild'),
  connectionLimit: describe(
    count().nullable(),
    'Connections after which it retires: maxConnectionsPerChild, spread; null: no limit',
  ),
  connectionsLeft: describe(count().nullable(), 'Until it retires; null: no limit'),
  generation: describe(count(), 'Of the server when it was started'),
  requests: describe(count(), 'Served in this life'),
  requestLimit: describe(
    count().nullable(),
    'Requests after which it retires: maxRequestsPerChild, spread; null: no limit',
  ),
  pinned: describe(count(), 'Connections with an unfinished handler or body'),
  meanServiceMs: amount(),
  heapUsedBytes: describe(amount(), 'V8 heap in use, as last sampled'),
  externalBytes: describe(amount(), 'What V8 objects hold outside of the heap, as last sampled'),
  memoryLimitBytes: describe(
    amount().nullable(),
    'Heap and external memory after which it retires; null: no limit',
  ),
  eventLoopUtilization: describe(
    amount(),
    'Share of the last second in which its event loop was not idle, 0 .. 1',
  ),
  handling: describe(count().nullable(), 'Connection slot whose handler runs on the thread now'),
  request: request.nullable().describe('Of that connection; null: none, or extendedStatus is off'),
  handlingMs: describe(amount().nullable(), 'Since that handler was called'),
});
export type WorkerView = z.infer<typeof worker>;

const trailStep = z.object({
  state: describe(z.string(), 'The state that was reached'),
  worker: describe(count().nullable(), 'Child slot that owned it then, or before; null: none'),
  agoMs: amount(),
});

const session = z.object({
  protocol: describe(z.string(), 'As listen names it'),
  state: describe(z.string(), "The application's state of it; empty: none was set"),
});

const connection = z.object({
  slot: count(),
  incarnation: describe(count(), 'How often the slot was reused, modulo 16,384'),
  state: z.enum(OPEN_STATES as [(typeof OPEN_STATES)[number], ...typeof OPEN_STATES]),
  letter: z.string().length(1),
  client: describe(z.string(), 'address:port; IPv6 in brackets'),
  worker: describe(count().nullable(), 'Child slot that owns it or served it last'),
  owned: describe(z.boolean(), 'That child owns it now'),
  ageMs: describe(amount(), 'In its state; of one that is processed: since it was queued'),
  openMs: describe(amount(), 'Since it was accepted'),
  requests: describe(count(), 'Answered on it'),
  receivedBytes: amount(),
  sentBytes: amount(),
  request: request.nullable().describe('The current or the last one; null: none, or not kept'),
  session: session.nullable().describe('Of a protocol of the application; null: HTTP/1.1'),
  trail: describe(z.array(trailStep), 'Its last transitions, the oldest first; empty in lists'),
});
export type ConnectionView = z.infer<typeof connection>;
export type RequestView = z.infer<typeof request>;

const byReason = <const Names extends readonly string[]>(names: Names) =>
  z.object(
    Object.fromEntries(names.map((name) => [name, count()])) as Record<
      Names[number],
      ReturnType<typeof count>
    >,
  );

const happened = (reasons: readonly string[]) =>
  z
    .object({ reason: z.enum(reasons as [string, ...string[]]), agoMs: amount() })
    .nullable()
    .describe('The last one; null: there was none');

const series = () => z.array(amount());

export const statusSchema = z
  .object({
    schema: z.literal(SCHEMA_VERSION),
    server: z.object({
      name: z.string(),
      software: describe(z.string(), 'Name/version (platform) Node/version'),
      pid: count(),
      phase: z.enum(PHASES),
      generation: count(),
      time: z.iso.datetime(),
      uptimeSeconds: amount(),
      loadAverages: z.array(z.number()).length(3),
      cpuUserSeconds: amount(),
      cpuSystemSeconds: amount(),
      extendedStatus: z.boolean(),
    }),
    rates: describe(
      z.array(
        z.object({
          seconds: count(),
          requestsPerSecond: amount(),
          receivedBytesPerSecond: amount(),
          sentBytesPerSecond: amount(),
          acceptedPerSecond: amount(),
        }),
      ),
      'Over the last 1, 10 and 60 s, or since the start where that is less',
    ),
    latency: describe(
      z.array(
        z.object({
          seconds: count(),
          requests: count(),
          p50Ms: amount().nullable(),
          p99Ms: amount().nullable(),
        }),
      ),
      'Of requests that ended within the last 10 and 60 s; interpolated within histogram buckets',
    ),
    totals: z.object({
      accepted: count(),
      requests: count(),
      aborted: describe(count(), 'Requests whose client left'),
      pipelined: count(),
      receivedBytes: amount(),
      sentBytes: amount(),
      durationMs: amount(),
      statuses: describe(z.array(count()).length(5), 'Responses 1xx .. 5xx'),
    }),
    connections: z.object({
      open: describe(count(), 'The exact sum of byState'),
      max: count(),
      accepting: z.boolean(),
      byState: byReason(OPEN_STATES),
      closed: byReason(CLOSE_REASONS),
    }),
    spilled: describe(
      z.object({
        memoryBytes: describe(amount(), 'In memory files'),
        folderBytes: describe(amount(), 'In files of spillFolder'),
      }),
      'Response bodies kept for clients that read slowly',
    ),
    queue: z.object({
      length: count(),
      limit: count(),
      meanWaitMs: describe(amount().nullable(), 'Over the last 10 s; null: nothing was queued'),
    }),
    lengthy: describe(
      z.object({
        queueLength: count(),
        starting: count(),
        idle: count(),
        busy: count(),
        draining: count(),
      }),
      'The pool for lengthy requests; its workers do not count in `workers`',
    ),
    upstreams: describe(
      z.array(
        z.object({
          name: z.string(),
          state: z.enum(['up', 'down']),
          active: describe(count(), 'Requests under way'),
          idle: describe(count(), 'Connections kept for the next request'),
          requests: count(),
          failures: count(),
          retries: count(),
          waiting: describe(count(), 'Requests that wait for one of the places of `maxRequests`'),
          waited: count(),
          refused: describe(count(), 'Requests that got none'),
        }),
      ),
      'Of the reverse proxy; none where no request was passed on yet',
    ),
    workers: z.object({
      starting: count(),
      idle: count(),
      busy: count(),
      draining: count(),
      startServers: count(),
      minSpareThreads: count(),
      maxSpareThreads: count(),
      maxRequestWorkers: count(),
    }),
    limits: z.object({
      maxConnectionsPerChild: describe(count(), '0: never'),
      keepAliveTimeoutMs: amount(),
    }),
    children: z.object({
      started: count(),
      exits: byReason(EXIT_REASONS),
      startFailures: describe(count(), 'Ended by a fault before they served'),
      spawns: describe(byReason(SPAWN_REASONS), 'Started, by reason'),
      culls: describe(byReason(CULL_REASONS), 'Retired as one too many, by reason'),
      lastSpawn: happened(SPAWN_REASONS),
      lastCull: happened(CULL_REASONS),
      restMs: describe(amount(), 'Until one that has reached a limit may be replaced; 0: now'),
      lastExit: describe(
        z
          .object({ reason: z.enum(EXIT_REASONS as [string, ...string[]]), agoMs: amount() })
          .nullable(),
        'Null: none ended since the admin thread began to look',
      ),
    }),
    workerList: describe(z.array(worker), 'Child slots that hold a child'),
    connectionGrid: z.object({
      letters: describe(z.string(), 'A letter for each slot in use, in slot order'),
      hidden: describe(count(), 'Slots in use beyond those'),
    }),
    connectionList: z
      .object({
        matching: describe(count(), 'Connections that the filter lets through'),
        limit: count(),
        sort: z.string(),
        rows: z.array(connection),
      })
      .nullable()
      .describe('Null: extendedStatus is off'),
    connection: connection
      .nullable()
      .describe('The one that ?connection= names, with its trail; null: none, or it is gone'),
    history: describe(
      z.object({
        requestsPerSecond: series(),
        sentBytesPerSecond: series(),
        p99Ms: series(),
        connections: series(),
        busyWorkers: series(),
        queueLength: series(),
      }),
      'A value for each of the last 120 s, the oldest first',
    ),
  })
  .describe('Status of a hybrid-mpm server at one moment, read from its shared memory');

export type StatusDocument = z.infer<typeof statusSchema>;

/** The same as JSON Schema, draft 2020-12, for docs/server-status.schema.json. */
export function jsonSchema(): object {
  const { $schema, ...rest } = z.toJSONSchema(statusSchema, { target: 'draft-2020-12' });
  return { $schema, title: 'hybrid-mpm server status', ...rest };
}
