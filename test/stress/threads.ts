/**
 * Starts the threads of a stress test and collects what they say.
 *
 * Role: one place for deadlines: a thread that does not end in time is a finding, never a hang.
 * Thread: tests only.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

const DIST = new URL('../../dist/scoreboard/scoreboard.js', import.meta.url);

/** What a thread reports at its end: how often each thing happened. */
export type Counts = Readonly<Record<string, number>>;

/** Runs one thread for each role; resolves when all have ended. */
export async function runThreads(
  file: string,
  roles: readonly Readonly<Record<string, unknown>>[],
  deadlineMs: number,
): Promise<Counts[]> {
  if (!existsSync(fileURLToPath(DIST))) throw new Error('dist is missing: npm run build:ts');
  const threads = roles.map(
    (role) => new Worker(new URL(`./workers/${file}`, import.meta.url), { workerData: role }),
  );
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${deadlineMs} ms`)), deadlineMs);
  });
  try {
    const ends = threads.map(
      (thread) =>
        new Promise<Counts>((resolve, reject) => {
          thread.once('message', resolve);
          thread.once('error', reject);
        }),
    );
    return await Promise.race([Promise.all(ends), late]);
  } finally {
    clearTimeout(timer);
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}

/** Sums over the threads. */
export function total(counts: readonly Counts[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const count of counts) {
    for (const [name, value] of Object.entries(count)) sums[name] = (sums[name] ?? 0) + value;
  }
  return sums;
}
