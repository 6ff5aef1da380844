// The log's ticket: one is in the queue while lines wait, it counts as no connection, and a lost one is replaced.
import { beforeEach, describe, expect, it } from 'vitest';
import { LogScheduler } from '../../../src/listener/log-scheduler.ts';
import type { LogRings } from '../../../src/scoreboard/log-rings.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { takeSnapshot } from '../../../src/scoreboard/snapshot.ts';

const SIZE = { connectionSlots: 8, childSlots: 2, bufferBytes: 4096 };
let board: Scoreboard;
let log: LogRings;
let scheduler: LogScheduler;
beforeEach(() => {
  board = Scoreboard.create(SIZE, true);
  log = board.log as LogRings;
  scheduler = new LogScheduler(board, (ticket) => board.queue.push(ticket));
});

describe('the ticket of the access log', () => {
  it('is no connection', () => {
    expect(board.logTicket).toBeGreaterThanOrEqual(SIZE.connectionSlots);
  });

  it('is put in while lines wait, once', () => {
    scheduler.pass();
    expect([board.queue.length, scheduler.waiting]).toEqual([0, false]);
    log.rings[1]?.append('a line\n');
    scheduler.pass();
    scheduler.pass();
    expect(board.queue.length).toBe(1);
    expect(scheduler.waiting).toBe(true);
    expect(board.queue.pop()).toBe(board.logTicket);
  });

  it('is not counted among the connections that wait', () => {
    log.rings[2]?.append('a line\n');
    scheduler.pass();
    expect([board.waiting, takeSnapshot(board).queueLength]).toEqual([0, 0]);
    board.queue.push(3);
    expect([board.waiting, takeSnapshot(board).queueLength]).toEqual([1, 1]);
  });

  it('is put in again two seconds after it was lost with a worker', () => {
    log.rings[0]?.append('a line\n');
    scheduler.pass();
    board.queue.pop();
    const passes = [1, 2, 3, 4].map(() => {
      scheduler.pass();
      return board.queue.length;
    });
    expect(passes).toEqual([0, 0, 0, 1]);
  });

  it('is put in by the next pass once it was taken and lines came again', () => {
    log.rings[0]?.append('a line\n');
    scheduler.pass();
    board.queue.pop();
    log.clearPending();
    scheduler.pass();
    expect(board.queue.length).toBe(1);
  });

  it('does not exist where the log is off', () => {
    const off = Scoreboard.create(SIZE);
    const pushed: number[] = [];
    const idle = new LogScheduler(off, (ticket) => pushed.push(ticket));
    idle.pass();
    expect([off.log, idle.waiting, pushed, off.waiting]).toEqual([null, false, [], 0]);
  });
});

describe('the memory of the access log', () => {
  it('is seen by every thread that attaches', () => {
    log.rings[2]?.append('from main\n');
    const other = Scoreboard.attach(board.shared);
    expect(other.log?.hasLines).toBe(true);
    expect(other.log?.rings.length).toBe(SIZE.childSlots + 1);
  });

  it('shows lines that were lost', () => {
    log.rings[0]?.lose();
    log.rings[2]?.lose();
    expect(takeSnapshot(board).logLost).toBe(2);
  });
});
