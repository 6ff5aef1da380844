/** What a session is called for: set by anybody, taken by its owner, never another session's. */
import { describe, expect, it } from 'vitest';
import { SLOT } from '../../../src/scoreboard/layout.ts';
import { Call, Notified, notify } from '../../../src/scoreboard/notices.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import {
  ConnectionEvent,
  type ConnectionEventName,
  STATE_NAMES,
} from '../../../src/scoreboard/states.ts';
import { FLAG_END, FLAG_READY, flagsOf, stateOf } from '../../../src/scoreboard/transition.ts';

function session(...events: ConnectionEventName[]): Scoreboard {
  const board = Scoreboard.create({ connectionSlots: 1, childSlots: 1, bufferBytes: 1024 });
  board.notices.open(0, 0, 0);
  for (const event of events) board.move(0, board.word(0), ConnectionEvent[event], 0);
  return board;
}
const stateIn = (board: Scoreboard) => STATE_NAMES[stateOf(board.word(0))];

describe('notify', () => {
  it.each<[string, ConnectionEventName[], Notified, string]>([
    ['a session that waits', ['accept'], Notified.queued, 'queued'],
    [
      'one with half a line',
      ['accept', 'readable', 'claim', 'needRead'],
      Notified.queued,
      'queued',
    ],
    [
      'one between two commands',
      ['accept', 'readable', 'claim', 'responseSent'],
      Notified.queued,
      'queued',
    ],
    ['one that is queued', ['greet'], Notified.noted, 'queued'],
    ['one that a worker owns', ['greet', 'claim'], Notified.noted, 'processing'],
    ['one whose call takes its time', ['greet', 'claim', 'suspend'], Notified.noted, 'suspended'],
    ['one that is resumed', ['greet', 'claim', 'suspend', 'ready'], Notified.noted, 'resuming'],
    ['one whose client reads', ['greet', 'claim', 'needWrite'], Notified.noted, 'writeCompletion'],
    ['one that lingers', ['greet', 'claim', 'lastResponseSent'], Notified.stale, 'lingerNormal'],
    ['one that is closed', ['greet', 'claim', 'close'], Notified.stale, 'closing'],
    ['one that has a socket', ['greet', 'claim', 'upgrade'], Notified.stale, 'upgraded'],
  ])('of %s', (_, events, outcome, state) => {
    const board = session(...events);
    expect(notify(board, 0, 0, Call.woken, 1)).toBe(outcome);
    expect(stateIn(board)).toBe(state);
    expect(board.notices.take(0)).toBe(Call.woken);
    expect(board.notices.take(0)).toBe(0);
  });

  it('leaves the flags of an owned connection as they are, and one for its release', () => {
    const board = session('greet', 'claim');
    board.move(0, board.word(0), ConnectionEvent.notice, 0, FLAG_END);
    notify(board, 0, 0, Call.woken, 1);
    expect(flagsOf(board.word(0))).toBe(FLAG_END | FLAG_READY);
    const word = board.word(0);
    notify(board, 0, 0, Call.timeout, 1);
    expect(board.word(0)).toBe(word);
    expect(board.notices.take(0)).toBe(Call.woken | Call.timeout);
  });

  it('says when it was queued, as a poller does', () => {
    const board = session('accept');
    notify(board, 0, 0, Call.stopping, 1_000);
    expect(board.slot(0, SLOT.sinceTicks)).not.toBe(0);
    expect(board.slot(0, SLOT.queuedUs)).not.toBe(0);
  });

  it('is refused for another incarnation', () => {
    const board = session('accept');
    expect(notify(board, 0, 1, Call.woken, 1)).toBe(Notified.stale);
    expect(stateIn(board)).toBe('waitRequest');
    expect(board.notices.take(0)).toBe(0);
    board.notices.open(0, 16_383, Call.greeting);
    expect(board.notices.add(0, 0, Call.woken)).toBe(false);
    expect(board.notices.add(0, 16_383, Call.woken)).toBe(true);
    expect(board.notices.take(0)).toBe(Call.greeting | Call.woken);
  });
});
