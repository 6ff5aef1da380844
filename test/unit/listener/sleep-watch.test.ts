/** Which workers the sweep signals. */
import { beforeEach, describe, expect, it } from 'vitest';
import { SleepWatch } from '../../../src/listener/sleep-watch.ts';
import { ChildStatus } from '../../../src/scoreboard/codes.ts';
import { CHILD, HEADER } from '../../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';

const WAKE_FD = 7;

describe('a worker that makes no turn from one sweep to the next', () => {
  let board: Scoreboard;
  let signalled: number[];
  let watch: SleepWatch;

  beforeEach(() => {
    board = Scoreboard.create({ connectionSlots: 4, childSlots: 1, bufferBytes: 1024 });
    board.setChild(0, CHILD.status, ChildStatus.ready);
    board.setChild(0, CHILD.wakeFd, WAKE_FD);
    signalled = [];
    watch = new SleepWatch(board, (fd) => signalled.push(fd));
    board.queue.push(1);
  });

  const sweeps = (): number[] => {
    watch.look();
    watch.look();
    return signalled;
  };

  it.each([
    0, -1, -5,
  ])('is signalled where a ticket waits and nobody would wake it (%i)', (turns) => {
    board.setChild(0, CHILD.progress, turns);
    expect(sweeps()).toEqual([WAKE_FD]);
    expect(board.headerDouble(HEADER.rewakes)).toBe(1);
  });

  it('is left alone among the idle, whom others wake', () => {
    board.idle.add(0);
    expect(sweeps()).toEqual([]);
  });

  it('is left alone in a handler', () => {
    board.setChild(0, CHILD.currentSlot, 1);
    expect(sweeps()).toEqual([]);
  });

  it('is left alone where it has made a turn', () => {
    watch.look();
    board.setChild(0, CHILD.progress, 1);
    watch.look();
    expect(signalled).toEqual([]);
  });

  it('is left alone where nothing waits', () => {
    board.queue.pop();
    expect(sweeps()).toEqual([]);
  });

  it('is signalled for what only it can go on with, though it retires', () => {
    board.queue.pop();
    board.setChild(0, CHILD.status, ChildStatus.draining);
    board.setChild(0, CHILD.inbox, 1);
    expect(sweeps()).toEqual([WAKE_FD]);
  });
});
