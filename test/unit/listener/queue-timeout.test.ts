// Which requests the listener refuses when they have waited in the queue for too long.
import { beforeEach, describe, expect, it } from 'vitest';
import { Closer } from '../../../src/listener/closer.ts';
import { Dispatcher } from '../../../src/listener/dispatcher.ts';
import { EAGAIN, type Native, Region } from '../../../src/listener/native.ts';
import type { ListenerOptions } from '../../../src/listener/options.ts';
import { SlotPool } from '../../../src/listener/slots.ts';
import { Sweeper, type SweepTargets } from '../../../src/listener/sweeper.ts';
import { nowTicks } from '../../../src/scoreboard/clock.ts';
import { CloseReason } from '../../../src/scoreboard/codes.ts';
import { CHILD, HEADER, SLOT } from '../../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../../../src/scoreboard/states.ts';
import { FLAG_END, FLAG_HANGUP, Outcome, stateOf } from '../../../src/scoreboard/transition.ts';

const SLOTS = 8;
const TIMEOUT_MS = 1_000;

let board: Scoreboard;
let slots: SlotPool;
let dispatcher: Dispatcher;
let sweeper: Sweeper;
/** What was sent, by descriptor; a connection's is its slot. */
let sent: Map<number, string>;
/** Answers of `pending`, by descriptor; else bytes wait. */
let pending: Map<number, number>;

function make(queueTimeoutMs: number): void {
  board = Scoreboard.create({ connectionSlots: SLOTS, childSlots: 2, bufferBytes: 4096 });
  slots = new SlotPool(SLOTS);
  sent = new Map();
  pending = new Map();
  let constants: Buffer = Buffer.alloc(0);
  const native = {
    attach: (region: Region, memory: Buffer) => {
      if (region === Region.constants) constants = memory;
    },
    pending: (fd: number) => pending.get(fd) ?? 1,
    send: (fd: number, _region: Region, offset: number, length: number) => {
      sent.set(fd, constants.toString('latin1', offset, offset + length));
      return length;
    },
    shutdownWrite: () => 0,
    discard: () => EAGAIN,
  } as unknown as Native;
  const closer = new Closer(board, native, slots);
  dispatcher = new Dispatcher(board, () => {});
  const targets: Partial<SweepTargets> = {
    requeueOrphan: (slot) => dispatcher.requeueOrphan(slot),
    forgetTickets: () => dispatcher.forgetStale(),
    passed: () => {},
  };
  const options = { queueTimeoutMs } as ListenerOptions;
  sweeper = new Sweeper(board, closer, slots, options, targets as SweepTargets);
}
beforeEach(() => make(TIMEOUT_MS));

/** A connection that has waited in the queue for so long. */
function queued(milliseconds: number): number {
  const slot = slots.take();
  for (const event of [ConnectionEvent.accept, ConnectionEvent.readable]) {
    expect(board.move(slot, board.word(slot), event)).toBe(Outcome.moved);
  }
  board.setSlot(slot, SLOT.fd, slot);
  board.setSlot(slot, SLOT.sinceTicks, nowTicks() - milliseconds);
  board.queue.push(slot);
  return slot;
}
const stateName = (slot: number) => {
  const state = stateOf(board.word(slot));
  return Object.entries(ConnectionState).find(([, value]) => value === state)?.[0];
};

describe('after queueTimeout', () => {
  it('a request that nobody has read is answered 503, counted, and its ticket is gone', () => {
    const slot = queued(TIMEOUT_MS + 500);
    sweeper.sweep();
    expect(sent.get(slot)).toBe(
      'HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
    );
    expect(stateName(slot)).toBe('lingerShort');
    expect(board.queue.length).toBe(0);
    const counted = board.childDouble(board.listenerCounters, CHILD.statuses, 4);
    expect(counted).toBe(1);
  });

  it('one that a worker has read is left, and so is what waits behind it', () => {
    const read = queued(TIMEOUT_MS + 500);
    board.setSlot(read, SLOT.buffer, 3);
    const unread = queued(TIMEOUT_MS + 500);
    sweeper.sweep();
    expect([stateName(read), sent.has(read)]).toEqual(['queued', false]);
    expect([stateName(unread), sent.has(unread)]).toEqual(['lingerShort', true]);
    // The first stays first; the worker passes over the second.
    expect([board.queue.pop(), board.queue.pop()]).toEqual([read, unread]);
  });

  it('a response that waits for a worker to go on is not cut', () => {
    const slot = queued(TIMEOUT_MS + 500);
    board.setSlot(slot, SLOT.restFd, 9);
    sweeper.sweep();
    expect([stateName(slot), sent.has(slot)]).toEqual(['queued', false]);
  });

  it('a client that has only left gets no answer', () => {
    const slot = queued(TIMEOUT_MS + 500);
    pending.set(slot, 0);
    sweeper.sweep();
    expect([stateName(slot), sent.has(slot)]).toEqual(['lingerShort', false]);
    expect(board.childDouble(board.listenerCounters, CHILD.statuses, 4)).toBe(0);
  });

  it('nor does one that has reset its connection, though its request is there', () => {
    const slot = queued(TIMEOUT_MS + 500);
    board.move(slot, board.word(slot), ConnectionEvent.notice, 0, FLAG_END | FLAG_HANGUP);
    sweeper.sweep();
    expect([stateName(slot), sent.has(slot)]).toEqual(['lingerShort', false]);
    expect(board.childDouble(board.listenerCounters, CHILD.statuses, 4)).toBe(0);
  });
});

it('before queueTimeout nothing is refused', () => {
  const slot = queued(TIMEOUT_MS - 500);
  sweeper.sweep();
  expect(stateName(slot)).toBe('queued');
  expect(board.queue.length).toBe(1);
});

it('a queueTimeout of 0 is never over', () => {
  make(0);
  const slot = queued(3_600_000);
  sweeper.sweep();
  expect(stateName(slot)).toBe('queued');
});

it('the end of a refused connection is counted with its reason', () => {
  const slot = queued(TIMEOUT_MS + 500);
  sweeper.sweep();
  board.setSlot(slot, SLOT.sinceTicks, nowTicks() - 10_000);
  sweeper.sweep();
  expect(stateName(slot)).toBe('closing');
  expect(board.headerDouble(HEADER.closed, CloseReason.queueTimeout)).toBe(1);
});
