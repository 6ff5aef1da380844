// A row of the status page is of one moment, although the fields that it copies are stored plainly: production
// `connectionAt` beside an owner that claims, writes and releases by production `Ownership`.
import { describe, expect, it } from 'vitest';
import type { Native } from '../../src/listener/native.ts';
import { HEADER, SLOT } from '../../src/scoreboard/layout.ts';
import { ConnectionEvent } from '../../src/scoreboard/states.ts';
import { Outcome } from '../../src/scoreboard/transition.ts';
import { explore, forbid, type Model, prepare, tellSize } from '../support/explorer.ts';
import { ModelBoard } from '../support/model-board.ts';
import { type Code, type Mutation, mutated } from '../support/production-code.ts';

/** Children 0 .. n - 1 serve a request of the same connection one after another; a reader looks at it meanwhile. */
function rowModel(code: Code, owners: number, weak: boolean): Model {
  const model = new ModelBoard(code, { slots: 1, children: owners });
  const { board } = model;
  Object.assign(board, { shared: { board: new ArrayBuffer(board.doubles.byteLength) } });
  prepare(() => {
    board.setHeader(HEADER.slotWatermark.offset, 1);
    board.move(0, board.word(0), ConnectionEvent.accept);
    for (const event of ['readable', 'claim', 'responseSent'] as const) {
      board.move(0, board.word(0), ConnectionEvent[event], owners);
    }
  });
  const owner = (child: number): Model['threads'][number] => ({
    name: `worker ${child}`,
    start: 0,
    turn: () => {
      const { readable, claim, responseSent } = ConnectionEvent;
      if (board.slot(0, SLOT.requests) !== child) return 0;
      if (board.move(0, board.word(0), readable) !== Outcome.moved) return 0;
      if (board.move(0, board.word(0), claim, child) !== Outcome.moved) forbid('not claimed');
      const hold = new code.ownership.Ownership(board, {} as Native, child);
      hold.take(0, board.word(0));
      hold.setField(SLOT.requests, child + 1);
      if (!hold.release(responseSent, 0)) forbid('not released');
      return null;
    },
  });
  return {
    memory: model.memory,
    weak,
    threads: [
      ...Array.from({ length: owners }, (_, child) => owner(child)),
      {
        name: 'reader',
        start: 0,
        turn: () => {
          const row = code.connectionRows.connectionAt(board, 0, 0);
          // While a worker owns it its figures may be in the middle of a request.
          if (row?.state !== 'keepalive') return null;
          if (row.requests !== row.lastChild + 1) {
            forbid(`${row.requests} requests, the last served by child ${row.lastChild}`);
          }
          return null;
        },
      },
    ],
    final: () => undefined,
  };
}

const rows = (text: string, becomes: string): Mutation => ({
  file: 'scoreboard/connection-rows',
  text,
  becomes,
});
const FEW_TRIES = rows('const TRIES = 16;', 'const TRIES = 2;');
const LAST_LOOK =
  'board.word(slot) === word && Atomics.load(words, sequenceAt) === sequence) return row;';

describe('a row of a connection that nobody owns mixes no two owners', () => {
  it.each([false, true])('delayed stores: %s', async (weak) => {
    const report = explore(rowModel(await mutated(FEW_TRIES), 1, weak));
    expect(report.violation).toBeNull();
    expect(report.states).toBeGreaterThan(50);
    tellSize(`row, ${weak ? 'delayed stores' : 'in order'}`, report);
  });

  it.each<[string, boolean, Mutation]>([
    [
      'the sequence is looked at before the word, while its store is delayed',
      true,
      rows(
        LAST_LOOK,
        'Atomics.load(words, sequenceAt) === sequence && board.word(slot) === word) return row;',
      ),
    ],
    [
      'the sequence is not looked at again',
      false,
      rows(LAST_LOOK, 'board.word(slot) === word) return row;'),
    ],
    [
      'the word is not looked at again',
      true,
      rows(LAST_LOOK, 'Atomics.load(words, sequenceAt) === sequence) return row;'),
    ],
  ])('and it would be caught where %s', async (_, weak, mutation) => {
    const { violation } = explore(rowModel(await mutated(FEW_TRIES, mutation), 1, weak));
    expect(violation?.message).toContain('the last served by child');
  });
});
