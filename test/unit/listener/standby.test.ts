// The listener's part while a worker leads: how long it lets a leader be.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Poller } from '../../../src/listener/poller.ts';
import { Standby } from '../../../src/listener/standby.ts';
import { HEADER } from '../../../src/scoreboard/layout.ts';
import { leaderOf, takeLead } from '../../../src/scoreboard/leader.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';

const STUCK_TICKS = 5;

describe('Standby', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('gives each leader its ticks, also one that comes after a leader that was stuck', () => {
    const board = Scoreboard.create({ connectionSlots: 8, childSlots: 8, bufferBytes: 4096 });
    const poller = { requestsReady: () => true, pauseRequests() {}, resumeRequests() {} };
    const duties = { wakeOverdue() {}, admit() {}, takeBack() {} };
    const standby = new Standby(board, poller as unknown as Poller, () => {}, duties);
    for (let time = 0; time < 2; time++) {
      takeLead(board, 3);
      standby.watchLeader();
      vi.advanceTimersByTime(STUCK_TICKS - 1);
      expect(leaderOf(board)).toBe(3);
      vi.advanceTimersByTime(1);
      // Nobody is idle, so the listener has it.
      expect(leaderOf(board)).toBe(-1);
    }
    standby.stop();
  });

  it('looks less often while the leader sleeps between two requests', () => {
    const board = Scoreboard.create({ connectionSlots: 8, childSlots: 8, bufferBytes: 4096 });
    const looks = vi.fn(() => false);
    const poller = { requestsReady: looks, pauseRequests() {}, resumeRequests() {} };
    const duties = { wakeOverdue() {}, admit() {}, takeBack() {} };
    const standby = new Standby(board, poller as unknown as Poller, () => {}, duties);
    takeLead(board, 3);
    board.idle.add(3);
    standby.watchLeader();
    vi.advanceTimersByTime(41);
    expect(looks).toHaveBeenCalledTimes(11);
    board.idle.remove(3);
    vi.advanceTimersByTime(4);
    looks.mockClear();
    vi.advanceTimersByTime(4);
    expect(looks).toHaveBeenCalledTimes(4);
    standby.stop();
  });

  it('looks after a leader that has put more than one request into the queue, though it saw no event', () => {
    const board = Scoreboard.create({ connectionSlots: 8, childSlots: 8, bufferBytes: 4096 });
    const poller = { requestsReady: () => false, pauseRequests() {}, resumeRequests() {} };
    const overdue = vi.fn();
    const duties = { wakeOverdue: overdue, admit() {}, takeBack() {} };
    const standby = new Standby(board, poller as unknown as Poller, () => {}, duties);
    takeLead(board, 3);
    standby.check();
    vi.advanceTimersByTime(1);
    expect(overdue).not.toHaveBeenCalled();
    board.queue.push(1);
    standby.check();
    expect(board.header(HEADER.standbyLooks.offset)).toBe(1);
    vi.advanceTimersByTime(100);
    expect(overdue.mock.calls.length).toBeGreaterThan(50);
    // It rests when that is taken.
    board.queue.pop();
    vi.advanceTimersByTime(100);
    expect(board.header(HEADER.standbyLooks.offset)).toBe(0);
    standby.stop();
  });

  it('takes back what workers gave it without a signal, also behind the last look', () => {
    const board = Scoreboard.create({ connectionSlots: 8, childSlots: 8, bufferBytes: 4096 });
    const poller = { requestsReady: () => false, pauseRequests() {}, resumeRequests() {} };
    const seen: number[] = [];
    const duties = {
      wakeOverdue() {},
      admit() {},
      takeBack: () => seen.push(board.header(HEADER.standbyLooks.offset)),
    };
    const standby = new Standby(board, poller as unknown as Poller, () => {}, duties);
    takeLead(board, 3);
    standby.watchLeader();
    vi.advanceTimersByTime(2);
    expect(seen).toEqual([1, 1]);
    vi.advanceTimersByTime(100);
    expect(seen.at(-1)).toBe(0);
    expect(board.header(HEADER.standbyLooks.offset)).toBe(0);
    standby.stop();
  });
});
