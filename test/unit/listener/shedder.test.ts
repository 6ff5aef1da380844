// Which idle connections are let go for new clients.
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Closer } from '../../../src/listener/closer.ts';
import { EAGAIN, type Native } from '../../../src/listener/native.ts';
import { Shedder } from '../../../src/listener/shedder.ts';
import { SlotPool } from '../../../src/listener/slots.ts';
import { ticksOf } from '../../../src/scoreboard/clock.ts';
import { CloseReason } from '../../../src/scoreboard/codes.ts';
import { SLOT } from '../../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../../../src/scoreboard/states.ts';
import { Outcome, stateOf } from '../../../src/scoreboard/transition.ts';

const SLOTS = 300;
const { accept, readable, claim, responseSent, drained, reclaimed } = ConnectionEvent;

/** As `performance.now()`. */
let now: number;
let board: Scoreboard;
let slots: SlotPool;
let shedder: Shedder;
/** Answers of `pending`, by descriptor; a connection's is its slot. */
let pending: Map<number, number>;
let shed: number[];

beforeEach(() => {
  now = 60_000;
  board = Scoreboard.create({ connectionSlots: SLOTS, childSlots: 2, bufferBytes: 4096 });
  slots = new SlotPool(SLOTS);
  pending = new Map();
  shed = [];
  const native = { pending: (fd: number) => pending.get(fd) ?? EAGAIN } as unknown as Native;
  const closer = {
    linger: (slot: number, word: number, event: ConnectionEvent, reason: CloseReason) => {
      if (board.move(slot, word, event) !== Outcome.moved) return false;
      expect(reason).toBe(CloseReason.shed);
      shed.push(slot);
      return true;
    },
  } as unknown as Closer;
  shedder = new Shedder(board, native, closer, slots);
});
const makeRoom = (clients: number) => shedder.makeRoom(clients, now);
const move = (slot: number, ...events: ConnectionEvent[]) => {
  for (const event of events) {
    expect(board.move(slot, board.word(slot), event, 0)).toBe(Outcome.moved);
  }
};
/** A keep-alive connection that has been idle for so long. */
function idle(milliseconds: number): number {
  const slot = slots.take();
  move(slot, accept, readable, claim, responseSent);
  board.setSlot(slot, SLOT.fd, slot);
  board.setSlot(slot, SLOT.sinceTicks, ticksOf(now - milliseconds));
  return slot;
}

describe('for new clients', () => {
  it('as many connections go as there are clients, the longest idle first', () => {
    const [short, longest, long] = [idle(2_000), idle(9_000), idle(5_000)];
    makeRoom(2);
    expect(shed).toEqual([longest, long]);
    expect(stateOf(board.word(short))).toBe(ConnectionState.keepalive);
  });

  it('those on their way out count until they are gone', () => {
    const [first, second, third] = [idle(9_000), idle(5_000), idle(2_000)];
    makeRoom(1);
    makeRoom(1);
    expect(shed).toEqual([first]);
    move(first, drained, reclaimed);
    makeRoom(1);
    expect(shed).toEqual([first, second]);
    // The slot of the first has another connection by now, which is nobody's way out.
    move(first, accept);
    makeRoom(2);
    expect(shed).toEqual([first, second, third]);
  });

  it('at most 128 are on their way out at the same time', () => {
    for (let count = 0; count < 200; count++) idle(5_000);
    makeRoom(1_000);
    makeRoom(1_000);
    expect(new Set(shed).size).toBe(128);
  });

  it('none goes that was in use within the last second, or whose next request is there', () => {
    const ends = idle(9_000);
    const asks = idle(8_000);
    idle(900);
    const goes = idle(2_000);
    const queued = idle(7_000);
    pending.set(asks, 1);
    pending.set(ends, 0);
    move(queued, readable);
    makeRoom(5);
    expect(shed).toEqual([goes]);
  });

  it('a look in vain is followed by a rest', () => {
    const looks = vi.spyOn(board, 'word');
    idle(950);
    makeRoom(1);
    looks.mockClear();
    now += 99;
    makeRoom(1);
    expect(looks).not.toHaveBeenCalled();
    now += 1;
    makeRoom(1);
    expect(shed).toHaveLength(1);
  });
});
