// A thread's way into the log over a real file: order, rotation, a full ring, a file that fails.
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LOG_RING_BYTES } from '../../../src/scoreboard/layout.ts';
import { Drained } from '../../../src/scoreboard/log-drain.ts';
import { LogRings } from '../../../src/scoreboard/log-rings.ts';
import { LogWriter } from '../../../src/workers/access-log/log-writer.ts';

let folder = '';
let file = '';
let log: LogRings;
let asked = 0;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mpm-log-'));
  file = join(folder, 'access.log');
  log = LogRings.attach(new SharedArrayBuffer(LogRings.bytes(3)), 3);
  asked = 0;
});
afterEach(() => rmSync(folder, { recursive: true }));

const writer = (number = 0, target = file) => new LogWriter(log, number, target, () => asked++);
const written = (path = file) => readFileSync(path, 'latin1');
const LINE = `${'x'.repeat(99)}\n`;

describe('the log', () => {
  it('takes lines of all threads to the file, each in its order', () => {
    const [one, other] = [writer(0), writer(2)];
    one.append('one 1\n');
    other.append('other 1\n');
    one.append('one 2\n');
    expect(other.perform()).toBe(Drained.done);
    expect(written()).toBe('one 1\none 2\nother 1\n');
    expect(log.hasLines).toBe(false);
  });

  it('carries lines over the end of the ring, many times round', () => {
    const one = writer();
    let expected = '';
    for (let number = 0; number < 5_000; number++) {
      const line = `${number} ${'y'.repeat(number % 97)}\n`;
      expected += line;
      one.append(line);
      if (number % 300 === 0) one.perform();
    }
    one.perform();
    expect(written()).toBe(expected);
    expect(log.lost).toBe(0);
  });

  it('asks for its ticket when a ring is half full, not before', () => {
    const one = writer();
    const half = Math.floor(LOG_RING_BYTES / 2 / LINE.length);
    for (let count = 0; count < half; count++) one.append(LINE);
    expect(asked).toBe(0);
    one.append(LINE);
    expect(asked).toBe(1);
  });

  it('is written by the thread whose ring is full', () => {
    const one = writer();
    const lines = Math.ceil(LOG_RING_BYTES / LINE.length) + 10;
    for (let count = 0; count < lines; count++) one.append(LINE);
    expect(one.finish(1_000)).toBe(true);
    expect(written()).toBe(LINE.repeat(lines));
    expect(log.lost).toBe(0);
  });

  it('goes into a newly opened file when its generation has risen', () => {
    const [one, other] = [writer(0), writer(1)];
    one.append('before\n');
    one.perform();
    renameSync(file, `${file}.1`);
    one.append('after the renaming\n');
    one.perform();
    log.raiseGeneration();
    other.append('after the signal\n');
    one.perform();
    expect(written(`${file}.1`)).toBe('before\nafter the renaming\n');
    expect(written()).toBe('after the signal\n');
  });

  it('keeps the old file where the new one cannot be opened', () => {
    const complaints = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const one = writer();
    one.append('before\n');
    one.perform();
    renameSync(folder, `${folder}.moved`);
    log.raiseGeneration();
    one.append('after\n');
    expect(one.perform()).toBe(Drained.done);
    renameSync(`${folder}.moved`, folder);
    expect(written()).toBe('before\nafter\n');
    expect(complaints.mock.calls.join()).toContain('ERR_MPM_ACCESS_LOG');
    complaints.mockRestore();
  });

  it('counts what a file that fails did not take, and keeps what the ring holds', () => {
    const complaints = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    // A folder cannot be written to.
    const one = writer(0, folder);
    const room = Math.floor(LOG_RING_BYTES / LINE.length);
    for (let count = 0; count < room + 5; count++) one.append(LINE);
    expect(log.lost).toBe(5);
    expect(complaints).toHaveBeenCalledTimes(1);
    complaints.mockRestore();
    // Mended, by another thread's eyes: what the ring held is all there.
    const other = writer(1);
    expect(other.perform(), 'left alone for a while').toBe(Drained.stuck);
    expect(other.finish(1_000)).toBe(true);
    expect(written()).toBe(LINE.repeat(room));
    other.append('and on it goes\n');
    expect(other.perform()).toBe(Drained.done);
  });

  it('is not written while another thread holds it', () => {
    const one = writer();
    one.append('held\n');
    expect(log.take(1)).toBe(true);
    expect(one.perform()).toBe(Drained.busy);
    log.releaseFor(0);
    expect(log.held, 'released for another than the holder').toBe(true);
    log.releaseFor(1);
    expect(one.perform()).toBe(Drained.done);
    expect(written()).toBe('held\n');
  });

  it('has no line that is longer than a ring', () => {
    expect(() => writer().append('x'.repeat(LOG_RING_BYTES + 1))).toThrow(RangeError);
  });
});
