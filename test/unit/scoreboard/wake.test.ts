/** When a worker that has found nothing may sleep although tickets have come since. */
import { beforeEach, describe, expect, it } from 'vitest';
import { CHILD, HEADER } from '../../../src/scoreboard/layout.ts';
import { takeLead } from '../../../src/scoreboard/leader.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { goIdle, TOLERATED_WAIT_US } from '../../../src/scoreboard/wake.ts';

const LEADER = 0;
const OTHER = 1;
const MEAN_US = 10;

describe('a worker beside a leader that is awake', () => {
  let board: Scoreboard;

  beforeEach(() => {
    board = Scoreboard.create({ connectionSlots: 128, childSlots: 2, bufferBytes: 1024 });
    takeLead(board, LEADER);
    board.setHeader(HEADER.standbyLooks.offset, 1);
    board.setChild(LEADER, CHILD.meanServiceUs, MEAN_US);
    board.queue.push(1);
  });

  it('leaves it the little that waits', () => {
    expect(goIdle(board, OTHER)).toBe(true);
    expect(board.idle.has(OTHER)).toBe(true);
  });

  it.each<[string, () => void]>([
    ['is much', () => fill(TOLERATED_WAIT_US / MEAN_US)],
    ['comes before a long handler', () => board.setChild(LEADER, CHILD.inLongHandler, 1)],
    ['nobody else would see', () => board.setHeader(HEADER.standbyLooks.offset, 0)],
    ['was put in while the leader fell asleep', () => board.idle.add(LEADER)],
  ])('goes on where what waits %s', (_, meanwhile) => {
    meanwhile();
    expect(goIdle(board, OTHER)).toBe(false);
    expect(board.idle.has(OTHER)).toBe(false);
  });

  it('does not sleep if it leads itself', () => {
    expect(goIdle(board, LEADER)).toBe(false);
  });

  it('does not sleep on what only it can take', () => {
    board.setChild(OTHER, CHILD.inbox, 1);
    expect(goIdle(board, OTHER)).toBe(false);
  });

  const fill = (tickets: number): void => {
    for (let slot = 0; slot < tickets; slot++) board.queue.push(slot);
  };
});
