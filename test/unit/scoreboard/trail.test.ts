// The trail of a connection: entered by transition(), whoever moves.
import { describe, expect, it } from 'vitest';
import { nowTicks } from '../../../src/scoreboard/clock.ts';
import { connectionRows } from '../../../src/scoreboard/connection-rows.ts';
import { extendedSectionsFor, HEADER, TRAIL_ROOM } from '../../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState, TRANSITIONS } from '../../../src/scoreboard/states.ts';
import { isHeldAlone } from '../../../src/scoreboard/trail.ts';
import { FLAG_READY, Outcome, stateOf } from '../../../src/scoreboard/transition.ts';

const E = ConnectionEvent;

function open(): Scoreboard {
  const board = Scoreboard.create(
    { connectionSlots: 4, childSlots: 4, bufferBytes: 64 },
    false,
    true,
  );
  board.setHeader(HEADER.slotWatermark.offset, 1);
  board.move(0, board.word(0), E.accept);
  return board;
}
const move = (board: Scoreboard, event: ConnectionEvent, child = 0) =>
  expect(board.move(0, board.word(0), event, child)).toBe(Outcome.moved);
const trailOf = (board: Scoreboard) => connectionRows(board, 1)[0]?.trail ?? [];
const states = (board: Scoreboard) => trailOf(board).map(({ state }) => state);

describe('the trail', () => {
  it('has state, child and time of each change, oldest first', () => {
    const board = open();
    const start = performance.now();
    for (const [later, event] of [
      [1000, E.readable],
      [1500, E.claim],
      [1500, E.suspend],
      [4000, E.ready],
    ] as const) {
      board.tick(start + later);
      move(board, event, 2);
    }
    const now = nowTicks() + 5000;
    const trail = connectionRows(board, 1, now)[0]?.trail ?? [];
    expect(trail.map(({ state, child }) => [state, child])).toEqual([
      ['waitRequest', -1],
      ['queued', -1],
      ['processing', 2],
      ['suspended', 2],
      ['resuming', 2],
    ]);
    const ages = trail.map(({ agoMs }) => agoMs);
    // Ticks are whole milliseconds, and some pass between the calls here.
    for (const [index, age] of [4000, 3500, 3500, 1000].entries()) {
      expect(Math.abs((ages[index + 1] as number) - age)).toBeLessThan(500);
    }
  });

  it('keeps the last eight', () => {
    const board = open();
    for (let turn = 0; turn < 5; turn++) {
      move(board, E.readable);
      move(board, E.claim, turn % 4);
      move(board, E.responseSent);
    }
    expect(trailOf(board).map(({ state, child }) => `${state} ${child}`)).toEqual([
      'processing 2',
      'keepalive 2',
      'queued -1',
      'processing 3',
      'keepalive 3',
      'queued -1',
      'processing 0',
      'keepalive 0',
    ]);
  });

  it('goes on where its count wraps', () => {
    const board = open();
    const memory = board.shared.extended as SharedArrayBuffer;
    const at = extendedSectionsFor(board.shared).trails >> 2;
    const counts = new Int32Array(memory);
    counts[at] = TRAIL_ROOM * 2 ** 26 - 4;
    for (let turn = 0; turn < 4; turn++) {
      move(board, E.readable);
      move(board, E.claim, turn);
      move(board, E.responseSent);
      if (turn > 1) expect(states(board)).toHaveLength(8);
    }
    expect(counts[at]).toBeLessThan(100);
    expect(trailOf(board).map(({ child }) => child)).toEqual([1, 1, -1, 2, 2, -1, 3, 3]);
  });

  it('says nothing of flags, and of a move that failed', () => {
    const board = open();
    for (let turn = 0; turn < 3; turn++) {
      move(board, E.readable);
      move(board, E.claim, 1);
      move(board, E.responseSent);
    }
    move(board, E.readable);
    move(board, E.claim, 1);
    const before = trailOf(board).map(({ state, child }) => `${state} ${child}`);
    const seen = board.word(0);
    board.move(0, seen, E.notice, 0, FLAG_READY);
    // Its owner lets go, loses to the flag, and what it had entered is taken back, the oldest included.
    expect(board.move(0, seen, E.responseSent)).toBe(Outcome.lost);
    expect(trailOf(board).map(({ state, child }) => `${state} ${child}`)).toEqual(before);
    move(board, E.attend);
    move(board, E.lastResponseSent);
    expect(states(board).slice(-2)).toEqual(['processing', 'lingerNormal']);
  });

  it('does not show what an owner has entered and not yet done', () => {
    const board = open();
    move(board, E.readable);
    move(board, E.claim, 1);
    board.trail?.enter(0, ConnectionState.keepalive, 2);
    expect(states(board)).toEqual(['waitRequest', 'queued', 'processing']);
  });

  it('begins anew with the next connection of the slot', () => {
    const board = open();
    move(board, E.peerGone);
    move(board, E.reclaimed);
    move(board, E.accept);
    expect(states(board)).toEqual(['waitRequest']);
  });

  it('is not kept without extendedStatus', () => {
    const board = Scoreboard.create({ connectionSlots: 4, childSlots: 4, bufferBytes: 64 });
    board.setHeader(HEADER.slotWatermark.offset, 1);
    board.move(0, board.word(0), E.accept);
    expect([board.trail, trailOf(board)]).toEqual([null, []]);
  });
});

describe('who writes before the swap', () => {
  // The design rests on it: a state that is left by its holder alone has no poller among its movers.
  it('is alone in leaving the state: nobody polls it away', () => {
    for (const { from, event, to, by } of TRANSITIONS) {
      for (const name of from) {
        if (!isHeldAlone(ConnectionState[name]) || name === to) continue;
        expect(by, `${name}: ${event}`).not.toBe('poller');
      }
    }
  });

  // These come when nothing of the child runs any more.
  const OF_THE_DEAD = new Set(['childDied', 'answer']);

  it('has one party to each state, but for a dead child', () => {
    const parties = new Map<string, Set<string>>();
    for (const { from, event, to, by } of TRANSITIONS) {
      for (const name of from) {
        if (!isHeldAlone(ConnectionState[name]) || name === to || OF_THE_DEAD.has(event)) continue;
        parties.set(name, (parties.get(name) ?? new Set()).add(by));
      }
    }
    expect([...parties].filter(([, who]) => who.size > 1)).toEqual([]);
    expect(parties.size).toBe(8);
    expect(stateOf(0)).toBe(ConnectionState.free);
  });
});
