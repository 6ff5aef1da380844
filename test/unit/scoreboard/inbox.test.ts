// The inbox of a child: every connection that was pushed comes out once, whatever else is pushed.
import { describe, expect, it } from 'vitest';
import { pushInbox, takeInbox } from '../../../src/scoreboard/inbox.ts';
import { CHILD } from '../../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';

const CHILDREN = 3;
const boardOf = (connectionSlots: number): Scoreboard =>
  Scoreboard.create({ connectionSlots, childSlots: CHILDREN, bufferBytes: 64 });

function taken(board: Scoreboard, child: number): number[] {
  const slots: number[] = [];
  const found = takeInbox(board, child, slots);
  expect(found).toBe(slots.length > 0);
  return slots.reverse();
}

describe.each([
  1, 31, 32, 33, 1_024, 1_025, 20_000, 65_536,
])('with %i connection slots', (slots) => {
  it('gives out each slot that was put in, to its child alone', () => {
    const board = boardOf(slots);
    const edges = [0, 1, 31, 32, 63, 64, 511, 512, 1_023, 1_024, slots >> 1, slots - 2, slots - 1];
    const pushed = [...new Set(edges.filter((slot) => slot >= 0 && slot < slots))];
    for (const slot of pushed) pushInbox(board, 1, slot);
    expect(board.child(1, CHILD.inbox)).not.toBe(0);
    expect([taken(board, 0), taken(board, 2)]).toEqual([[], []]);
    expect(taken(board, 1)).toEqual(pushed.sort((one, other) => one - other));
    expect(board.child(1, CHILD.inbox)).toBe(0);
    expect(taken(board, 1)).toEqual([]);
  });

  it('holds all of them at once', () => {
    const board = boardOf(slots);
    for (let slot = 0; slot < slots; slot++) pushInbox(board, 0, slot);
    expect(taken(board, 0)).toEqual(Array.from({ length: slots }, (_, slot) => slot));
  });
});

it('gives a slot out once though it was put in twice', () => {
  const board = boardOf(100);
  for (const slot of [40, 7, 40]) pushInbox(board, 0, slot);
  expect(taken(board, 0)).toEqual([7, 40]);
  expect(taken(board, 0)).toEqual([]);
});

it('adds to what was taken before', () => {
  const board = boardOf(100);
  const slots: number[] = [];
  pushInbox(board, 0, 5);
  takeInbox(board, 0, slots);
  pushInbox(board, 0, 90);
  expect(takeInbox(board, 0, slots)).toBe(true);
  expect(slots).toEqual([5, 90]);
});
