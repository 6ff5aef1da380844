// A file that a response comes from: who finds it where its worker is ended at any moment.
import { beforeEach, expect, it } from 'vitest';
import { HEADER, SLOT } from '../../../src/scoreboard/layout.ts';
import { type FileKeeper, FilePart, reserveSpill } from '../../../src/scoreboard/rest.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';

const FD = 7;
const SPILLED_KB = 20;
let board: Scoreboard;
let index: number;
let closed: number[];
let keeper: FileKeeper;
const spilledKb = (): number => board.header(HEADER.spilledKb.offset);

beforeEach(() => {
  board = Scoreboard.create({ connectionSlots: 2, childSlots: 1, bufferBytes: 64 });
  index = board.slotIndex(1);
  closed = [];
  const { words } = board;
  const behind = (SLOT.restSpilledKb.offset - SLOT.restFd.offset) >> 2;
  keeper = {
    enterFile: (fd, entry, kilobytes) => {
      words[entry >> 2] = fd + 1;
      words[(entry >> 2) + behind] = kilobytes;
      return 0;
    },
    closeFile: (fd, entry, counter, kilobytes) => {
      if (entry >= 0) words.fill(0, entry >> 2, (entry >> 2) + 1);
      if (entry >= 0) words.fill(0, (entry >> 2) + behind, (entry >> 2) + behind + 1);
      words[counter >> 2] = (words[counter >> 2] as number) - kilobytes;
      closed.push(fd);
      return 0;
    },
  };
  reserveSpill(board, SPILLED_KB, 1_000);
});

it('a file whose worker is ended before it is closed is in its slot, for the listener to close', () => {
  const ended = new Error('the thread is ended here');
  const part = new FilePart(FD, 0, 100, SPILLED_KB);
  part.enter(board, index, keeper);
  part.store(board, index);
  const atItsEnd: FileKeeper = {
    ...keeper,
    closeFile: () => {
      throw ended;
    },
  };
  expect(() => part.close(board, index, atItsEnd)).toThrow(ended);
  FilePart.from(board, index)?.close(board, index, keeper);
  expect(closed).toEqual([FD]);
  expect(spilledKb()).toBe(0);
  expect(FilePart.from(board, index)).toBeNull();
});

it('one that is closed is in its slot no more, and counts as spilled no more', () => {
  const part = new FilePart(FD, 0, 100, SPILLED_KB);
  part.enter(board, index, keeper);
  part.close(board, index, keeper);
  expect([closed, spilledKb()]).toEqual([[FD], 0]);
  expect(FilePart.from(board, index)).toBeNull();
  expect(board.words[index + (SLOT.restSpilledKb.offset >> 2)]).toBe(0);
});

it('one that found no room in the slot leaves the other there', () => {
  const first = new FilePart(FD, 0, 100);
  first.enter(board, index, keeper);
  const second = new FilePart(FD + 1, 0, 100, SPILLED_KB);
  second.enter(board, index, keeper);
  second.close(board, index, keeper);
  expect([closed, spilledKb()]).toEqual([[FD + 1], 0]);
  expect(FilePart.from(board, index)?.fd).toBe(FD);
});

it('one in a folder counts there', () => {
  reserveSpill(board, -5, 1_000);
  new FilePart(FD, 0, 100, -5).close(board, index, keeper);
  expect(board.header(HEADER.spilledFileKb.offset)).toBe(0);
  expect(spilledKb()).toBe(SPILLED_KB);
});
