/**
 * When a worker that has found nothing may sleep although tickets have come since, and when a connection may
 * wait for the listener without a signal.
 */
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { CHILD, HEADER } from '../../../src/scoreboard/layout.ts';
import { takeLead } from '../../../src/scoreboard/leader.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import {
  goIdle,
  handBackLater,
  MAX_UNSIGNALLED,
  TOLERATED_WAIT_US,
} from '../../../src/scoreboard/wake.ts';

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

describe('a connection that is given back without haste', () => {
  let board: Scoreboard;
  const signal = vi.fn();

  beforeEach(() => {
    signal.mockClear();
    board = Scoreboard.create({ connectionSlots: 128, childSlots: 2, bufferBytes: 1024 });
    board.setHeader(HEADER.standbyLooks.offset, 1);
    board.setHeader(HEADER.accepting.offset, 1);
  });

  it('waits for the next look of the listener', () => {
    handBackLater(board, 7, signal);
    expect(signal).not.toHaveBeenCalled();
    expect(board.handback.pop()).toBe(7);
  });

  it.each<[string, () => void]>([
    ['does not look', () => board.setHeader(HEADER.standbyLooks.offset, 0)],
    ['lets no clients in', () => board.setHeader(HEADER.accepting.offset, 0)],
  ])('is told at once to a listener that %s', (_, before) => {
    before();
    handBackLater(board, 7, signal);
    expect(signal).toHaveBeenCalledOnce();
  });

  it('is told once where many wait', () => {
    for (let slot = 1; slot < MAX_UNSIGNALLED; slot++) handBackLater(board, slot, signal);
    expect(signal).not.toHaveBeenCalled();
    for (let slot = 50; slot < 60; slot++) handBackLater(board, slot, signal);
    expect(signal).toHaveBeenCalledOnce();
  });
});
