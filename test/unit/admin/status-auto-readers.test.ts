// ?auto through the rules of the programs that read it, one field at a time.
import { describe, expect, it } from 'vitest';
import { ChildStatus, Phase } from '../../../src/scoreboard/codes.ts';
import { CHILD, HEADER } from '../../../src/scoreboard/layout.ts';
import { takeSnapshot } from '../../../src/scoreboard/snapshot.ts';
import { ConnectionState } from '../../../src/scoreboard/states.ts';
import { statusAuto } from '../../../src/scoreboard/status-auto.ts';
import { emptyBoard, FIGURES } from '../../support/status-view.ts';

const board = emptyBoard();
board.setChild(0, CHILD.life, 1);
board.setChild(0, CHILD.status, ChildStatus.ready);
board.setChild(1, CHILD.life, 2);
board.setChild(1, CHILD.status, ChildStatus.ready);
board.idle.add(1);
board.setChild(2, CHILD.life, 3);
board.setChild(2, CHILD.status, ChildStatus.draining);
for (const [slot, state] of Object.values(ConnectionState).entries()) {
  board.words[board.slotIndex(slot)] = state;
}
board.setHeader(HEADER.slotWatermark.offset, Object.values(ConnectionState).length);
board.setHeader(HEADER.phase.offset, Phase.running);
board.addToChild(0, CHILD.requests, 300);
board.addToChild(0, CHILD.sentBytes, 10_240_000);
board.addToChild(0, CHILD.durationMs, 4_500);
const text = statusAuto(takeSnapshot(board), {
  ...FIGURES,
  uptimeMs: 200_000,
  loadAverages: [0.25, 0.5, 0.75],
  cpuUserSeconds: 12.5,
  cpuSystemSeconds: 7.5,
});
const LINES = text.split('\n');
const SCORE: Readonly<Record<string, string>> = {
  _: 'idle',
  S: 'startup',
  R: 'read',
  W: 'reply',
  K: 'keepalive',
  D: 'dns',
  C: 'closing',
  L: 'logging',
  G: 'graceful_stop',
  I: 'idle_cleanup',
  '.': 'open_slot',
};

/** As Go's ParseFloat: the whole text has to be a number. */
function goFloat(value: string): number {
  if (!/^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i.test(value)) throw new Error(`no float: ${value}`);
  return Number(value);
}

describe('apache_exporter', () => {
  /** Cut at the first colon, both sides trimmed; any number that is none fails the whole scrape. */
  const pairs = LINES.map((line) => {
    const colon = line.indexOf(':');
    return colon === -1
      ? ([line, ''] as const)
      : ([line.slice(0, colon).trim(), line.slice(colon + 1).trim()] as const);
  });
  const values = new Map(pairs);
  const value = (key: string) => values.get(key) ?? '';

  it.each([
    ['ParentServerConfigGeneration', 1],
    ['ParentServerMPMGeneration', 0],
    ['Load1', 0.25],
    ['Load5', 0.5],
    ['Load15', 0.75],
    ['Total Accesses', 300],
    ['Total kBytes', 10_000],
    ['Total Duration', 4_500],
    ['CPUUser', 12.5],
    ['CPUSystem', 7.5],
    ['CPUChildrenUser', 0],
    ['CPUChildrenSystem', 0],
    ['CPULoad', 10],
    ['Uptime', 200],
    ['BusyWorkers', 1],
    ['IdleWorkers', 1],
    ['Processes', 1],
    ['Stopping', 0],
    ['ConnsTotal', 14],
    ['ConnsAsyncWriting', 3],
    ['ConnsAsyncKeepAlive', 1],
    ['ConnsAsyncClosing', 3],
  ])('reads %s', (key, wanted) => {
    expect(pairs.filter(([name]) => name === key)).toHaveLength(1);
    expect(goFloat(value(key))).toBe(wanted);
  });

  it('reads version and MPM', () => {
    const numbers = value('ServerVersion').split('/')[1]?.split(' ')[0]?.split('.') ?? [];
    expect(numbers).toHaveLength(3);
    const [major = '', minor = '', patch = ''] = numbers;
    expect(goFloat(`${major}.${minor.padStart(2, '0')}${patch.padStart(3, '0')}`)).toBe(0.01);
    expect(value('ServerMPM')).toBe('event');
  });

  it('reads the scoreboard, of which every letter is known', () => {
    const states = [...value('Scoreboard')].map((letter) => SCORE[letter]);
    expect(states).toEqual(['read', 'idle', 'graceful_stop', 'open_slot']);
  });

  it('takes no line for one of mod_proxy_balancer', () => {
    for (const [key] of pairs) expect(key).not.toMatch(/^ProxyBalancer/);
  });
});

describe('Telegraf', () => {
  /** Blanks are taken out of keys; what is a number becomes a field, all else is left out. */
  const fields = new Map(
    LINES.filter((line) => line.includes(':')).flatMap((line) => {
      const colon = line.indexOf(':');
      try {
        const key = line.slice(0, colon).replaceAll(' ', '');
        return [[key, goFloat(line.slice(colon + 1).trim())] as const];
      } catch {
        return [];
      }
    }),
  );

  it('has every field that its documentation lists', () => {
    expect(Object.fromEntries(fields)).toMatchObject({
      TotalAccesses: 300,
      TotalkBytes: 10_000,
      CPULoad: 10,
      Uptime: 200,
      ReqPerSec: 1.5,
      BytesPerSec: 51_200,
      BytesPerReq: expect.closeTo(34_133.3, 1),
      BusyWorkers: 1,
      IdleWorkers: 1,
      ConnsTotal: 14,
      ConnsAsyncWriting: 3,
      ConnsAsyncKeepAlive: 1,
      ConnsAsyncClosing: 3,
      CPUUser: 12.5,
      CPUSystem: 7.5,
      CPUChildrenUser: 0,
      CPUChildrenSystem: 0,
      Load1: 0.25,
      Load5: 0.5,
      Load15: 0.75,
      ParentServerConfigGeneration: 1,
      ParentServerMPMGeneration: 0,
      ServerUptimeSeconds: 200,
    });
  });
});

describe('Netdata', () => {
  /** Lines of exactly one colon; whole numbers where it wants them. */
  const pairs = new Map(
    LINES.map((line) => line.split(':'))
      .filter((parts) => parts.length === 2)
      .map(([key = '', value = '']) => [key.trim(), value.trim()] as const),
  );

  it.each([
    ['Total Accesses', 300],
    ['Total kBytes', 10_000],
    ['Uptime', 200],
    ['BusyWorkers', 1],
    ['IdleWorkers', 1],
    ['ConnsTotal', 14],
    ['ConnsAsyncWriting', 3],
    ['ConnsAsyncKeepAlive', 1],
    ['ConnsAsyncClosing', 3],
  ])('reads %s as a whole number', (key, wanted) => {
    expect(pairs.get(key)).toMatch(/^\d+$/);
    expect(Number(pairs.get(key))).toBe(wanted);
  });

  it.each([
    ['ReqPerSec', 1.5],
    ['BytesPerSec', 51_200],
    ['BytesPerReq', 34_133.3],
  ])('reads %s as a float', (key, wanted) => {
    expect(goFloat(pairs.get(key) ?? '')).toBeCloseTo(wanted, 1);
  });

  it('finds the scoreboard, which tells it from a page that is none', () => {
    expect(pairs.get('Scoreboard')).toBe('R_G.');
  });
});

describe('collectd', () => {
  /** Words between blanks; keys with their colon, so `Total Accesses: 300` is three words. */
  const words = LINES.map((line) => line.split(/[ \t]+/));
  const of = (...key: string[]) =>
    words.filter(
      (line) => line.length === key.length + 1 && key.every((word, index) => line[index] === word),
    );

  it.each([
    [['Total', 'Accesses:'], '300'],
    [['Total', 'kBytes:'], '10000'],
    [['Scoreboard:'], 'R_G.'],
    [['BusyWorkers:'], '1'],
    [['IdleWorkers:'], '1'],
  ])('reads %s', (key, wanted) => {
    expect(of(...key).map((line) => line.at(-1))).toEqual([wanted]);
  });
});
