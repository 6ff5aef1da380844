// The transition table, row by row: what it allows happens, everything else is an error.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import {
  ConnectionEvent,
  type ConnectionEventName,
  ConnectionState,
  type ConnectionStateName,
  EVENT_NAMES,
  STATE_LETTER,
  STATE_NAMES,
  TRANSITIONS,
} from '../../src/scoreboard/states.ts';
import {
  FLAG_HANGUP,
  FLAG_READY,
  FLAGS_MASK,
  flagsOf,
  IllegalTransition,
  INCARNATION_SHIFT,
  incarnationOf,
  MAX_OWNERS,
  Outcome,
  OWNER_SHIFT,
  ownerOf,
  partyFor,
  STATE_MASK,
  stateOf,
  transition,
} from '../../src/scoreboard/transition.ts';

const LAST_INCARNATION = 0x3fff;

const wordOf = (state: ConnectionStateName, incarnation = 5, owner = -1, flags = 0): number =>
  ConnectionState[state] |
  flags |
  ((owner + 1) << OWNER_SHIFT) |
  (incarnation << INCARNATION_SHIFT);

const ROWS = TRANSITIONS.flatMap((row) => row.from.map((from) => ({ ...row, from })));
const rowOf = (from: ConnectionStateName, event: ConnectionEventName) =>
  ROWS.find((row) => row.from === from && row.event === event);
const PAIRS = STATE_NAMES.flatMap((from) => EVENT_NAMES.map((event) => ({ from, event })));

describe('each row of the table', () => {
  it.each(ROWS)('$from, $event: $to', ({ from, event, to, owner }) => {
    const words = new Int32Array(new SharedArrayBuffer(8));
    const before = wordOf(from, 5, 7);
    words[1] = before;
    expect(transition(words, 1, before, ConnectionEvent[event], 3)).toBe(Outcome.moved);
    const after = words[1];
    expect(stateOf(after)).toBe(ConnectionState[to]);
    expect(ownerOf(after)).toBe(owner === 'take' ? 3 : owner === 'keep' ? 7 : -1);
    expect(incarnationOf(after)).toBe(event === 'reclaimed' ? 6 : 5);
    expect(flagsOf(after)).toBe(0);
    expect(words[0]).toBe(0);
  });

  it.each(ROWS)('$from, $event: lost where a flag came first', ({ from, event }) => {
    const words = new Int32Array(new SharedArrayBuffer(4));
    const seen = wordOf(from, 5, 7);
    words[0] = seen | FLAG_READY;
    expect(transition(words, 0, seen, ConnectionEvent[event], 3)).toBe(Outcome.lost);
    expect(words[0]).toBe(seen | FLAG_READY);
  });

  it.each(ROWS)('$from, $event: stale where the slot has another connection', ({ from, event }) => {
    const words = new Int32Array(new SharedArrayBuffer(4));
    const present = wordOf(from, 6, 7);
    words[0] = present;
    expect(transition(words, 0, wordOf(from, 5, 7), ConnectionEvent[event], 3)).toBe(Outcome.stale);
    expect(words[0]).toBe(present);
  });
});

describe('what has no row', () => {
  it.each(
    PAIRS.filter(({ from, event }) => rowOf(from, event) === undefined),
  )('$event in $from is an error and changes nothing', ({ from, event }) => {
    const words = new Int32Array(new SharedArrayBuffer(4));
    words[0] = wordOf(from);
    const attempt = () => transition(words, 0, wordOf(from), ConnectionEvent[event], 1);
    expect(attempt).toThrow(IllegalTransition);
    expect(attempt).toThrow(`no transition for ${event} in state ${from}`);
    expect(words[0]).toBe(wordOf(from));
    expect(partyFor(ConnectionState[from], ConnectionEvent[event])).toBeUndefined();
  });
});

describe('flags', () => {
  it('are added by notice and taken by attend', () => {
    const words = new Int32Array(new SharedArrayBuffer(4));
    words[0] = wordOf('processing', 5, 7);
    const notice = (flags: number) =>
      transition(words, 0, words[0] as number, ConnectionEvent.notice, 0, flags);
    notice(FLAG_READY);
    notice(FLAG_HANGUP);
    expect(flagsOf(words[0] as number)).toBe(FLAG_READY | FLAG_HANGUP);
    expect(ownerOf(words[0] as number)).toBe(7);
    transition(words, 0, words[0] as number, ConnectionEvent.attend);
    expect(words[0]).toBe(wordOf('processing', 5, 7));
  });

  it('are not carried into a state that nobody owns', () => {
    for (const { from, event, to } of ROWS) {
      if (event === 'notice') continue;
      const words = new Int32Array(new SharedArrayBuffer(4));
      words[0] = wordOf(from, 5, 7, FLAGS_MASK);
      transition(words, 0, words[0] as number, ConnectionEvent[event], 3);
      expect([from, event, to, flagsOf(words[0] as number)]).toEqual([from, event, to, 0]);
    }
  });
});

describe('the word', () => {
  it('has room for every state, every owner and every incarnation, in bits of their own', () => {
    for (const state of STATE_NAMES) {
      for (const owner of [-1, 0, 1, MAX_OWNERS - 1]) {
        for (const incarnation of [0, 1, 0x1fff, 0x2000, LAST_INCARNATION]) {
          const word = wordOf(state, incarnation, owner, FLAGS_MASK);
          expect(stateOf(word)).toBe(ConnectionState[state]);
          expect(ownerOf(word)).toBe(owner);
          expect(incarnationOf(word)).toBe(incarnation);
          expect(flagsOf(word)).toBe(FLAGS_MASK);
        }
      }
    }
    expect(Object.values(ConnectionState).every((state) => state <= STATE_MASK)).toBe(true);
  });

  it('counts incarnations around: after the last comes 0', () => {
    const words = new Int32Array(new SharedArrayBuffer(4));
    const seen = new Set<number>();
    for (let reuse = 0; reuse <= LAST_INCARNATION; reuse++) {
      seen.add(incarnationOf(words[0] as number));
      const { accept, peerGone, reclaimed } = ConnectionEvent;
      for (const event of [accept, peerGone, reclaimed]) {
        expect(transition(words, 0, words[0] as number, event)).toBe(Outcome.moved);
      }
    }
    expect(seen.size).toBe(LAST_INCARNATION + 1);
    expect(words[0]).toBe(0);
  });
});

describe('the table as a whole', () => {
  it('leads from free to every state and from every state back to free', () => {
    const reach = (start: ConnectionStateName, forward: boolean) => {
      const found = new Set([start]);
      for (const state of found) {
        for (const { from, to } of ROWS) {
          if (forward && from === state) found.add(to);
          if (!forward && to === state) found.add(from);
        }
      }
      return found;
    };
    expect(reach('free', true)).toEqual(new Set(STATE_NAMES));
    expect(reach('free', false)).toEqual(new Set(STATE_NAMES));
  });

  it('has a row for every event and a letter of its own for every state', () => {
    expect(new Set(ROWS.map(({ event }) => event))).toEqual(new Set(EVENT_NAMES));
    expect(new Set(Object.values(STATE_LETTER)).size).toBe(STATE_NAMES.length);
  });

  it('has each state owned or not, whichever way it is entered', () => {
    // An owner is what a dead child's connections are found by.
    const owned = new Set<ConnectionStateName>(['processing', 'suspended', 'resuming', 'upgraded']);
    for (const { to, owner } of ROWS) expect([to, owner !== 'clear']).toEqual([to, owned.has(to)]);
  });
});

describe('who sends which event', () => {
  // Events are named in the source where they are sent, so the source says who sends them.
  const source = fileURLToPath(new URL('../../src/', import.meta.url));
  const files = (folder: string) =>
    readdirSync(`${source}${folder}`, { recursive: true })
      .map(String)
      .filter((name) => name.endsWith('.ts'))
      .map((name) => ({
        name: `${folder}/${name}`,
        text: readFileSync(`${source}${folder}/${name}`, 'utf8'),
      }));
  const sent = (text: string) =>
    [...text.matchAll(/ConnectionEvent\.(\w+)/g)].map(([, event]) => event as ConnectionEventName);
  const parties = (event: ConnectionEventName) =>
    new Set(ROWS.filter((row) => row.event === event).map(({ by }) => by));

  it.each(files('workers').filter(({ text }) => sent(text).length > 0))('$name: a worker', ({
    text,
  }) => {
    const foreign = sent(text).filter(
      (event) => !parties(event).has('worker') && !parties(event).has('poller'),
    );
    expect(foreign).toEqual([]);
  });

  it.each(files('listener').filter(({ text }) => sent(text).length > 0))('$name: the listener', ({
    text,
  }) => {
    const foreign = sent(text).filter(
      (event) => !parties(event).has('listener') && !parties(event).has('poller'),
    );
    expect(foreign).toEqual([]);
  });

  it('nothing but the transition function writes a state word', () => {
    const writers = ['listener', 'main', 'scoreboard', 'workers']
      .flatMap(files)
      .filter(
        ({ text }) =>
          /SLOT\.word/.test(text) && /(Atomics\.(?!load)|words\[[^\]]*\] = )/.test(text),
      )
      .flatMap(({ name, text }) => {
        const lines = text.split('\n').filter((line) => line.includes('SLOT.word'));
        return lines
          .filter((line) => /setSlot|Atomics\.(?!load)|\] =(?!=)/.test(line))
          .map((line) => `${name}: ${line.trim()}`);
      });
    expect(writers).toEqual([]);
  });
});
