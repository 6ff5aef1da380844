// The access log under real threads: as many lines as a few seconds hold, and a file that is rotated.
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LogRings } from '../../src/scoreboard/log-rings.ts';
import { LogWriter } from '../../src/workers/access-log/log-writer.ts';
import { runThreads, total } from './threads.ts';

const DEADLINE_MS = 25_000;
const ROTATION_MS = 20;

describe('the access log', () => {
  it.each([
    1, 20_261_121,
  ])('has every line once, whole and in its order, over rotations (seed %i)', async (seed) => {
    const folder = mkdtempSync(join(tmpdir(), 'mpm-log-stress-'));
    const [threads, lines] = [3, 100_000];
    const memory = new SharedArrayBuffer(LogRings.bytes(threads + 1));
    const log = LogRings.attach(memory, threads + 1);
    const file = join(folder, 'access.log');
    const last = new LogWriter(log, threads, file, () => {});
    let rotations = 0;
    const rotate = () => {
      try {
        renameSync(file, `${file}.${rotations}`);
      } catch {
        // Nobody has written since the last time.
        return;
      }
      rotations++;
      log.raiseGeneration();
    };
    const timer = setInterval(rotate, ROTATION_MS);
    try {
      const roles = Array.from({ length: threads }, (_, number) => ({
        memory,
        count: threads + 1,
        number,
        lines,
        file,
        seed,
      }));
      const sums = total(await runThreads('log.mjs', roles, DEADLINE_MS));
      clearInterval(timer);
      expect(last.finish(5_000), `seed ${seed}: written to the end`).toBe(true);
      last.close();
      const next = new Array<number>(threads).fill(0);
      const wrong: string[] = [];
      const files = readdirSync(folder).sort((one, other) => rotationOf(one) - rotationOf(other));
      // A thread that has not written since the signal still has an earlier file: so order holds
      // within a file, and all of them together are complete.
      const seen = Array.from({ length: threads }, () => new Uint8Array(lines));
      for (const name of files) {
        const text = readFileSync(join(folder, name), 'latin1');
        if (!text.endsWith('\n')) wrong.push(`${name} ends within a line`);
        next.fill(-1);
        for (const line of text.slice(0, -1).split('\n')) {
          const match = /^(\d) (\d+) x*\.$/.exec(line);
          const [thread, number] = [Number(match?.[1]), Number(match?.[2])];
          if (match === null) wrong.push(`torn: ${line.slice(0, 80)}`);
          else if (number <= (next[thread] as number))
            wrong.push(`out of order: ${line.slice(0, 20)}`);
          else {
            next[thread] = number;
            (seen[thread] as Uint8Array)[number]++;
          }
        }
      }
      expect(wrong.slice(0, 5), `seed ${seed}`).toEqual([]);
      expect(log.lost, `seed ${seed}: lost`).toBe(0);
      expect(
        seen.map((each) => each.every((times) => times === 1)),
        `seed ${seed}`,
      ).toEqual(new Array(threads).fill(true));
      // Each way was gone, so the above means something.
      expect(rotations, `seed ${seed}: rotations`).toBeGreaterThan(1);
      expect(sums.asked, `seed ${seed}: half full`).toBeGreaterThan(0);
      expect(sums.performed, `seed ${seed}: drained`).toBeGreaterThan(0);
    } finally {
      clearInterval(timer);
      rmSync(folder, { recursive: true });
    }
  });
});

/** The present file is the last. */
const rotationOf = (name: string): number => Number(/\.(\d+)$/.exec(name)?.[1] ?? 1e9);
