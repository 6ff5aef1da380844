/**
 * What a server holds, before and after something was done to it: descriptors, connection slots, buffers,
 * workers.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { StatusDocument } from '../../src/main/admin/schema.ts';
import { RawClient } from './raw-client.ts';
import { eventually, type ServerProcess, statusOf } from './server-process.ts';

export interface Held {
  readonly descriptors: number;
  readonly connections: number;
  readonly buffers: number;
  readonly spilledBytes: number;
  readonly busy: number;
}

export async function documentOf({ adminPort }: ServerProcess): Promise<StatusDocument> {
  const response = await fetch(`http://127.0.0.1:${adminPort}/server-status?json`, {
    signal: AbortSignal.timeout(10_000),
  });
  return (await response.json()) as StatusDocument;
}

/** Connections in a state. */
export const inState = async (
  server: ServerProcess,
  state: keyof StatusDocument['connections']['byState'],
): Promise<number> => (await documentOf(server)).connections.byState[state];

export const residentBytes = ({ process: { pid } }: ServerProcess): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

/** Milliseconds of processor time that the process has used (proc_pid_stat(5), 10 ms a tick). */
export function processorMs({ process: { pid } }: ServerProcess): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

export async function heldBy(server: ServerProcess): Promise<Held> {
  const { connections, spilled } = await documentOf(server);
  const figures = await statusOf(server);
  return {
    connections: connections.open,
    spilledBytes: spilled.memoryBytes + spilled.folderBytes,
    buffers: Number(figures.get('MpmBuffersUsed')),
    busy: Number(figures.get('BusyWorkers')),
    descriptors: readdirSync(`/proc/${server.process.pid}/fd`).length,
  };
}

/** What it holds once it is up and nobody has asked for anything. */
export const atRest = (server: ServerProcess): Promise<Held> =>
  eventually(
    () => heldBy(server),
    ({ connections, busy }) => connections === 0 && busy === 0,
  );

/**
 * Waits until it holds no more than at `before`, and light requests are answered.
 * @param path of something light
 */
export async function expectAsBefore(
  server: ServerProcess,
  before: Held,
  deadlineMs = 15_000,
  path = '/light',
): Promise<void> {
  await eventually(
    async () => ({ before, now: await heldBy(server) }),
    ({ now }) =>
      now.connections === 0 &&
      now.buffers === 0 &&
      now.spilledBytes === 0 &&
      now.busy === 0 &&
      now.descriptors <= before.descriptors,
    deadlineMs,
  );
  for (let n = 0; n < 5; n++) await expectLight(server, path);
}

/** A request on a connection of its own is answered. */
export async function expectLight({ port }: ServerProcess, path = '/light'): Promise<void> {
  const client = await RawClient.open(port);
  client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
  const { status } = await client.response();
  client.close();
  if (status !== 200) throw new Error(`${path} was answered ${status}`);
}
