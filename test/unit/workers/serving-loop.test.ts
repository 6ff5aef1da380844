/** A worker that stops with work left is called again, whatever libuv had called it for. */
import { expect, it } from 'vitest';
import { type Native, WatchAnswer } from '../../../src/listener/native.ts';
import { ChildCommand, ChildStatus } from '../../../src/scoreboard/codes.ts';
import { pushInbox } from '../../../src/scoreboard/inbox.ts';
import { CHILD } from '../../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { ConnectionEvent } from '../../../src/scoreboard/states.ts';
import type { Connection } from '../../../src/workers/connection.ts';
import type { WorkerContext } from '../../../src/workers/context.ts';
import { ServingLoop } from '../../../src/workers/serving-loop.ts';

const WAKE_FD = 7;
/** More tickets than one round of calls takes. */
const MANY = 200;

function worker() {
  const board = Scoreboard.create({ connectionSlots: 256, childSlots: 1, bufferBytes: 1024 });
  board.setChild(0, CHILD.status, ChildStatus.ready);
  board.setChild(0, CHILD.wakeFd, WAKE_FD);
  const eventfd = { signalled: false };
  let onRequests: (count: number) => WatchAnswer = () => WatchAnswer.done;
  const native = {
    attach: () => 0,
    watch: (_fd: number, _readsBatch: number, callback: typeof onRequests) => {
      onRequests = callback;
      return 0;
    },
    pause: () => 0,
    resume: () => 0,
    unwatch: () => 0,
    setSlice: () => 0,
    nice: () => 20,
    epollWait: () => 0,
    eventfdSignal: (fd: number) => {
      eventfd.signalled ||= fd === WAKE_FD;
      return 0;
    },
    eventfdDrain: (fd: number) => {
      if (fd === WAKE_FD) eventfd.signalled = false;
      return 0;
    },
  } as unknown as Native;
  const context = {
    board,
    native,
    child: 0,
    childIndex: board.childIndex(0),
    now: 0,
    isLengthy: false,
    sessions: [],
    options: { directPolling: true, looksBeforeSleep: 0, longHandlerNice: 0 },
    heads: { tick: () => {} },
    buffers: { release: () => {} },
    log: null,
    add: () => {},
    storeHeap: () => {},
    getWord: (field: { offset: number }) => board.words[board.childIndex(0) + (field.offset >> 2)],
    setWord: (field: { offset: number }, value: number) => {
      board.words[board.childIndex(0) + (field.offset >> 2)] = value;
    },
    wakeSelf: () => native.eventfdSignal(WAKE_FD),
  } as unknown as WorkerContext;
  const loop = new ServingLoop(context, { wantsRetire: () => {}, ended: () => {} });
  /** One callback of libuv's, with the further calls it asks for. */
  const call = (callback: () => WatchAnswer): void => {
    let calls = 0;
    while (callback() === WatchAnswer.again) expect(++calls).toBeLessThan(100);
  };
  /** Of connections that somebody else has served meanwhile: a ticket is all that is left of them. */
  const queueTickets = (count: number): void => {
    for (let slot = 0; slot < count; slot++) board.queue.push(slot);
  };
  const signalled = () => call(() => loop.onSignal());
  const ready = () => call(() => onRequests(0));
  return { board, loop, eventfd, queueTickets, signalled, ready };
}

it('a call for an eventfd that the call before has emptied does not leave tickets behind', () => {
  const { board, eventfd, queueTickets, signalled, ready } = worker();
  queueTickets(100);
  eventfd.signalled = true;
  // Comes to its bound: the eventfd stays signalled, and it will be called again.
  signalled();
  expect(board.queue.length).toBeGreaterThan(0);
  // In that round libuv has found both of its descriptors ready. The first call is through with everything
  // and empties the eventfd ...
  ready();
  expect(board.queue.length).toBe(0);
  expect(eventfd.signalled).toBe(false);
  // ... and the second is made all the same, when there is more again.
  queueTickets(MANY);
  signalled();
  expect(board.queue.length).toBeGreaterThan(0);
  expect(eventfd.signalled || board.idle.has(0)).toBe(true);
});

it('a worker that retires ends with its last connection, though that is over within the same call', () => {
  const { board, loop, signalled } = worker();
  const SLOT = 3;
  const { accept, readable, claim, suspend, ready, close } = ConnectionEvent;
  const move = (event: ConnectionEvent) => board.move(SLOT, board.word(SLOT), event, 0);
  const connection = {
    slot: SLOT,
    resume: () => {
      move(close);
      loop.unpin(connection);
    },
  } as unknown as Connection;
  for (const event of [accept, readable, claim, suspend]) move(event);
  loop.pin(connection);
  board.setChild(0, CHILD.command, ChildCommand.retire);
  signalled();
  expect(board.child(0, CHILD.status)).toBe(ChildStatus.draining);
  // Its client has taken the rest of a response: it is through, and nobody will wake it again.
  move(ready);
  pushInbox(board, 0, SLOT);
  signalled();
  expect(board.child(0, CHILD.status)).toBe(ChildStatus.ended);
});
