// What a dead child held, and what it may have had in its hands for others.
import { beforeEach, describe, expect, it } from 'vitest';
import type { LengthyWatch } from '../../../src/listener/lengthy-watch.ts';
import type { Native } from '../../../src/listener/native.ts';
import type { Orphans } from '../../../src/listener/orphans.ts';
import type { Poller } from '../../../src/listener/poller.ts';
import { Reclaimer } from '../../../src/listener/reclaimer.ts';
import type { SlotPool } from '../../../src/listener/slots.ts';
import { ChildStatus } from '../../../src/scoreboard/codes.ts';
import { pushInbox, takeInbox } from '../../../src/scoreboard/inbox.ts';
import { CHILD } from '../../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { ConnectionEvent } from '../../../src/scoreboard/states.ts';
import { FLAG_HANGUP } from '../../../src/scoreboard/transition.ts';

const [DEAD, ALIVE] = [0, 1];
const ALIVE_FD = 7;
const SLOT = 3;

let board: Scoreboard;
let told: number[];
let signalled: number[];
let reclaimer: Reclaimer;

beforeEach(() => {
  board = Scoreboard.create({ connectionSlots: 8, childSlots: 2, bufferBytes: 64 });
  board.setChild(ALIVE, CHILD.wakeFd, ALIVE_FD);
  board.idle.add(ALIVE);
  told = [];
  signalled = [];
  reclaimer = new Reclaimer({
    board,
    native: {} as Native,
    poller: { tellAgain: (_fd: number, slot: number) => told.push(slot) } as unknown as Poller,
    slots: { watermark: 8 } as SlotPool,
    orphans: {} as Orphans,
    lengthy: { isAbandoned: () => false } as unknown as LengthyWatch,
    signal: (fd) => {
      signalled.push(fd);
    },
  });
  for (const event of ['accept', 'readable', 'claim', 'suspend', 'ready'] as const) {
    board.move(SLOT, board.word(SLOT), ConnectionEvent[event], ALIVE);
  }
});
const inbox = (): number[] => {
  const slots: number[] = [];
  takeInbox(board, ALIVE, slots);
  return slots;
};

describe('a connection that a leader has moved to resuming', () => {
  it('is resumed though the leader died before it pushed it', () => {
    reclaimer.reclaim(DEAD);
    expect(inbox()).toEqual([SLOT]);
    expect(signalled).toEqual([ALIVE_FD]);
    expect(told).toEqual([SLOT]);
  });

  it('is resumed once where the leader had pushed it', () => {
    pushInbox(board, ALIVE, SLOT);
    reclaimer.reclaim(DEAD);
    expect(inbox()).toEqual([SLOT]);
    expect(inbox()).toEqual([]);
  });

  it('is left alone where that child has come to its end in order', () => {
    board.setChild(DEAD, CHILD.status, ChildStatus.ended);
    reclaimer.reclaim(DEAD);
    expect([inbox(), signalled, told]).toEqual([[], [], []]);
  });
});

it('a hang-up that a leader has left a flag for is told to its owner though the leader died before it did', () => {
  board.move(SLOT, board.word(SLOT), ConnectionEvent.claim, ALIVE);
  reclaimer.reclaim(DEAD);
  expect([board.child(ALIVE, CHILD.attention), signalled]).toEqual([0, []]);
  board.move(SLOT, board.word(SLOT), ConnectionEvent.notice, 0, FLAG_HANGUP);
  reclaimer.reclaim(DEAD);
  expect([board.child(ALIVE, CHILD.attention), signalled]).toEqual([1, [ALIVE_FD]]);
});

it('spare buffers are free again', () => {
  const buffer = board.freeBuffers.takeLowest();
  board.setChild(DEAD, CHILD.spareBuffer0, buffer + 1);
  reclaimer.reclaim(DEAD);
  expect(board.freeBuffers.has(buffer)).toBe(true);
  expect(board.child(DEAD, CHILD.spareBuffer0)).toBe(0);
});
