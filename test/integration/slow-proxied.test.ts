/**
 * Slow clients of a large body through the reverse proxy, by the program that measures a thousand of them:
 * the upstream is free as soon as the proxy has its responses, whatever the clients do.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const PROGRAM = fileURLToPath(new URL('../../bench/slow-readers.mjs', import.meta.url));
const CLIENTS = 100;
const MB = 1024 * 1024;
/** Bytes a second that a client reads: they take five seconds. */
const RATE = 200_000;
const DEADLINE_MS = 100_000;
const folder = mkdtempSync(join(tmpdir(), 'hybrid-mpm-slow-proxied-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Result {
  /** Bytes that a server's socket may hold; 0: as many as the kernel likes. */
  readonly sendBuffer: number;
  readonly rows: readonly Readonly<Record<string, number>>[];
}

function slowReaders(json: string): Promise<string> {
  const flags = ['--kind', 'proxied', '--clients', String(CLIENTS), '--rate', String(RATE)];
  const options = { timeout: DEADLINE_MS, maxBuffer: 1 << 20 };
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [PROGRAM, ...flags, '--unloaded', '0.5', '--json', json],
      options,
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(stdout + stderr, { cause: error }));
      },
    );
  });
}

describe('a hundred slow clients of 1 MB each through the proxy', () => {
  it('leave the upstream free and the workers idle, and get every byte', async () => {
    const json = join(folder, 'slow.json');
    const printed = await slowReaders(json);
    const { sendBuffer, rows }: Result = JSON.parse(readFileSync(json, 'utf8'));
    const [row = {}] = rows;
    // Compared with the file byte by byte.
    expect([row.right, row.wrong], printed).toEqual([CLIENTS, 0]);
    expect([row.asked, row.upstreamCutOff], printed).toEqual([CLIENTS, 0]);
    // The clients take seconds; a machine that others use as well gets some of them.
    expect(row.freeAfterMs, printed).toBeLessThan(2_500);
    expect(row.heldMostMs, printed).toBeLessThan(4_000);
    expect([row.failedFreeing, row.lightFailed], printed).toEqual([0, 0]);
    // One worker that waited for its clients would be a whole core, or one busy worker, all the time.
    expect(row.busyMean, printed).toBeLessThan(1);
    if (sendBuffer > 0) expect(row.spilledMax, printed).toBeGreaterThan((CLIENTS * MB) / 2);
    expect(row.spilledAfter, printed).toBe(0);
  }, 120_000);
});
