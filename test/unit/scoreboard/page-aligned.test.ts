// Where the shared memory begins in the process: cache lines of the layout are those of the machine.
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { pageAligned } from '../../../src/scoreboard/page-aligned.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';

const PAGE = 4096;
const SIZE = { connectionSlots: 40, childSlots: 3, bufferBytes: 1024 };

/** Whether a page of this process's memory begins with these bytes. */
function beginsPage(bytes: Buffer): boolean {
  const memory = openSync('/proc/self/mem', 'r');
  try {
    const found = Buffer.alloc(bytes.length);
    for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
      const [, first, end] = /^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ 00:00 0\s*$/.exec(line) ?? [];
      if (first === undefined || end === undefined) continue;
      for (let at = Number(`0x${first}`); at < Number(`0x${end}`); at += PAGE) {
        try {
          readSync(memory, found, 0, found.length, at);
        } catch {
          // Taken away since the list was read.
          break;
        }
        if (found.equals(bytes)) return true;
      }
    }
    return false;
  } finally {
    closeSync(memory);
  }
}

describe('memory that several threads write', () => {
  it.each([64, 65_536, 8_000_192])('begins with a page: %i bytes', (length) => {
    const mark = randomBytes(32);
    const memory = pageAligned(length);
    new Uint8Array(memory).set(mark);
    expect(memory.byteLength).toBe(length);
    expect(beginsPage(mark)).toBe(true);
  });

  it('is that of a scoreboard, of its records, its log and its upstreams', () => {
    const { shared } = Scoreboard.create(SIZE, true, true);
    for (const part of ['board', 'extended', 'log', 'upstreams'] as const) {
      const mark = randomBytes(32);
      new Uint8Array(shared[part] as SharedArrayBuffer).set(mark);
      expect(beginsPage(mark), part).toBe(true);
    }
  });

  it('has views that do not follow its length, which would cost several times as much', () => {
    const { shared } = Scoreboard.create(SIZE);
    const bytes = shared.board.byteLength;
    const growing = new SharedArrayBuffer(bytes, { maxByteLength: bytes + PAGE });
    new Uint8Array(growing, 0, bytes).set(new Uint8Array(shared.board, 0, bytes));
    const board = Scoreboard.attach({ ...shared, board: growing });
    growing.grow(bytes + PAGE);
    expect([board.words, board.doubles, board.bytes].map((view) => view.byteLength)).toEqual([
      bytes,
      bytes - (bytes % 8),
      bytes,
    ]);
  });
});
