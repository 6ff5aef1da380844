import { describe, expect, it } from 'vitest';
import { CHILD, HEADER, LAYOUT_VERSION, SLOT } from '../../../src/scoreboard/layout.ts';
import { Scoreboard, type SharedScoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { ConnectionEvent, ConnectionState } from '../../../src/scoreboard/states.ts';
import { Outcome, stateOf } from '../../../src/scoreboard/transition.ts';

const SIZE = { connectionSlots: 5, childSlots: 3, bufferBytes: 256 } as const;

describe('a thread that attaches', () => {
  it('sees the memory of the one that made it', () => {
    const made = Scoreboard.create(SIZE);
    const attached = Scoreboard.attach(made.shared);
    made.queue.push(4);
    made.setSlot(2, SLOT.requests, 9);
    made.setChild(1, CHILD.wakeFd, 17);
    made.move(3, 0, ConnectionEvent.accept);
    made.count(HEADER.accepted, 2);
    expect(attached.queue.pop()).toBe(4);
    expect(attached.slot(2, SLOT.requests)).toBe(9);
    expect(attached.child(1, CHILD.wakeFd)).toBe(17);
    expect(stateOf(attached.word(3))).toBe(ConnectionState.waitRequest);
    expect(attached.headerDouble(HEADER.accepted)).toBe(2);
  });

  const shared = (): SharedScoreboard => Scoreboard.create(SIZE).shared;
  const wordsOf = ({ board }: SharedScoreboard) => new Int32Array(board);
  it.each<[string, () => SharedScoreboard]>([
    [
      'memory that is all zero',
      () => {
        const foreign = shared();
        wordsOf(foreign).fill(0);
        return foreign;
      },
    ],
    [
      'memory of another program',
      () => {
        const foreign = shared();
        wordsOf(foreign)[HEADER.magic.offset >> 2] = 0x7f45_4c46;
        return foreign;
      },
    ],
    [
      'another version of the layout',
      () => {
        const foreign = shared();
        wordsOf(foreign)[HEADER.layout.offset >> 2] = LAYOUT_VERSION + 1;
        return foreign;
      },
    ],
    ['another number of connections', () => ({ ...shared(), connectionSlots: 4 })],
    ['another number of children', () => ({ ...shared(), childSlots: 2 })],
  ])('refuses %s', (_, foreign) => {
    expect(() => Scoreboard.attach(foreign())).toThrow('not a scoreboard of this version');
  });

  it('refuses memory that is too small for what it is said to hold', () => {
    expect(() => Scoreboard.attach({ ...shared(), connectionSlots: 50_000 })).toThrow(Error);
    expect(() => Scoreboard.attach({ ...shared(), board: new SharedArrayBuffer(64) })).toThrow(
      Error,
    );
  });
});

describe('a new scoreboard', () => {
  it('has every slot free, every buffer free, nobody idle, nothing queued', () => {
    const board = Scoreboard.create(SIZE);
    for (let slot = 0; slot < SIZE.connectionSlots; slot++) {
      expect(stateOf(board.word(slot))).toBe(ConnectionState.free);
    }
    expect(board.freeBuffers.count).toBe(board.sections.bufferCount);
    expect(board.buffers.length).toBe(board.sections.bufferCount * SIZE.bufferBytes);
    expect([board.idle.count, board.queue.length, board.handback.length]).toEqual([0, 0, 0]);
  });

  it('keeps slots, children and header apart', () => {
    const board = Scoreboard.create(SIZE);
    const mark = (act: () => void): number[] => {
      const before = board.words.slice();
      act();
      return [...board.words.keys()].filter((index) => board.words[index] !== before[index]);
    };
    const slots = Array.from({ length: SIZE.connectionSlots }, (_, slot) =>
      mark(() => board.setSlot(slot, SLOT.queuedUs, 1)),
    );
    const children = Array.from({ length: SIZE.childSlots }, (_, child) =>
      mark(() => board.setChild(child, CHILD.pinned, 1)),
    );
    const header = mark(() => board.setHeader(HEADER.phase.offset, 1));
    const touched = [...slots, ...children, header].flat();
    expect(touched).toHaveLength(SIZE.connectionSlots + SIZE.childSlots + 1);
    expect(new Set(touched).size).toBe(touched.length);
  });

  it('moves a connection as the table says, and no other', () => {
    const board = Scoreboard.create(SIZE);
    expect(board.move(1, board.word(1), ConnectionEvent.accept)).toBe(Outcome.moved);
    expect(board.move(1, 0, ConnectionEvent.accept)).toBe(Outcome.lost);
    expect([0, 1, 2].map((slot) => stateOf(board.word(slot)))).toEqual([
      ConnectionState.free,
      ConnectionState.waitRequest,
      ConnectionState.free,
    ]);
  });
});
