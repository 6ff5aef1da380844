// The ?auto text as Apache's readers take it apart.
import { describe, expect, it } from 'vitest';
import { ChildStatus } from '../../../src/scoreboard/codes.ts';
import { CHILD, HEADER } from '../../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { takeSnapshot } from '../../../src/scoreboard/snapshot.ts';
import { ConnectionState } from '../../../src/scoreboard/states.ts';
import {
  apacheTime,
  type StatusFigures,
  statusAuto,
  uptimeText,
} from '../../../src/scoreboard/status-auto.ts';

const FIGURES: StatusFigures = {
  serverName: 'web-1.example',
  version: '0.1.0',
  nodeVersion: '20.20.2',
  platform: 'Linux',
  builtAt: new Date(Date.UTC(2026, 10, 1, 7, 8, 9)),
  now: new Date(Date.UTC(2026, 10, 21, 7, 18, 36)),
  uptimeMs: 100_500,
  loadAverages: [0.5, 1.25, 2],
  cpuUserSeconds: 30,
  cpuSystemSeconds: 20,
};

/** The order of mod_status. */
const APACHE_KEYS = [
  'ServerVersion',
  'ServerMPM',
  'Server Built',
  'CurrentTime',
  'RestartTime',
  'ParentServerConfigGeneration',
  'ParentServerMPMGeneration',
  'ServerUptimeSeconds',
  'ServerUptime',
  'Load1',
  'Load5',
  'Load15',
  'Total Accesses',
  'Total kBytes',
  'Total Duration',
  'CPUUser',
  'CPUSystem',
  'CPUChildrenUser',
  'CPUChildrenSystem',
  'CPULoad',
  'Uptime',
  'ReqPerSec',
  'BytesPerSec',
  'BytesPerReq',
  'DurationPerReq',
  'BusyWorkers',
  'GracefulWorkers',
  'IdleWorkers',
  'Processes',
  'Stopping',
  'ConnsTotal',
  'ConnsAsyncWaitIO',
  'ConnsAsyncWriting',
  'ConnsAsyncKeepAlive',
  'ConnsAsyncClosing',
  'Scoreboard',
];

const LETTERS = new Set('_SRWKDCLGI.');
const TEXTS =
  /^(ServerVersion|ServerMPM|Server Built|CurrentTime|RestartTime|ServerUptime|MpmPhase)$/;

/** Lusitaniae/apache_exporter: the key ends at the first colon; both sides are trimmed. */
function parse(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split('\n').slice(1, -1)) {
    expect(line).toMatch(/^[A-Z][A-Za-z0-9 ]*: \S/);
    const colon = line.indexOf(':');
    const key = line.slice(0, colon).trim();
    expect(found.has(key), key).toBe(false);
    found.set(key, line.slice(colon + 1).trim());
  }
  return found;
}

function board(): Scoreboard {
  const made = Scoreboard.create({ connectionSlots: 32, childSlots: 8, bufferBytes: 4096 });
  const statuses = [ChildStatus.ready, ChildStatus.ready, ChildStatus.ready];
  statuses.forEach((status, slot) => {
    made.setChild(slot, CHILD.status, status);
  });
  made.setChild(3, CHILD.status, ChildStatus.starting);
  made.setChild(4, CHILD.status, ChildStatus.draining);
  for (let slot = 0; slot < 5; slot++) made.setChild(slot, CHILD.life, slot + 1);
  made.idle.add(0);
  made.setChild(1, CHILD.currentSlot, 5);
  const states = Object.values(ConnectionState);
  states.forEach((state, slot) => {
    // One of each, free included.
    made.words[made.slotIndex(slot)] = state;
  });
  made.setHeader(HEADER.slotWatermark.offset, states.length);
  made.setHeader(HEADER.phase.offset, 1);
  const doubles = made.childIndex(1) >> 1;
  made.doubles[doubles + (CHILD.requests.offset >> 3)] = 2000;
  made.doubles[doubles + (CHILD.sentBytes.offset >> 3)] = 5_000_000;
  made.doubles[doubles + (CHILD.durationMs.offset >> 3)] = 1234.6;
  made.doubles[doubles + (CHILD.queueWaitMs.offset >> 3)] = 100;
  made.doubles[doubles + (CHILD.claims.offset >> 3)] = 400;
  return made;
}

describe('?auto', () => {
  const text = statusAuto(takeSnapshot(board()), FIGURES);
  const found = parse(text);
  const number = (key: string) => Number.parseFloat(found.get(key) as string);

  it('begins with the name, then has the keys of Apache in its order, then its own', () => {
    expect(text.split('\n')[0]).toBe('web-1.example');
    const keys = [...found.keys()];
    expect(keys.slice(0, APACHE_KEYS.length)).toEqual(APACHE_KEYS);
    for (const key of keys.slice(APACHE_KEYS.length)) expect(key).toMatch(/^Mpm[A-Z]/);
  });

  it('has a version that the exporter can split', () => {
    expect(found.get('ServerVersion')).toBe('hybrid-mpm/0.1.0 (Linux) Node/20.20.2');
    const parts = (found.get('ServerVersion')?.split('/')[1]?.split(' ')[0] ?? '').split('.');
    expect(parts).toHaveLength(3);
    const [major, minor, patch] = parts as [string, string, string];
    const value = Number(`${major}.${minor.padStart(2, '0')}${patch.padStart(3, '0')}`);
    expect(value).toBe(0.01);
  });

  it('has numbers wherever they are expected', () => {
    for (const [key, value] of found) {
      if (TEXTS.test(key) || key === 'Scoreboard') continue;
      expect(value, key).toMatch(/^\d+(\.\d+)?(e[-+]?\d+)?$/);
    }
  });

  it('has the figures', () => {
    expect(number('Total Accesses')).toBe(2000);
    expect(number('Total kBytes')).toBe(4882);
    expect(number('Total Duration')).toBe(1235);
    expect(number('CPULoad')).toBe(50);
    expect(number('ReqPerSec')).toBe(20);
    expect(number('BytesPerReq')).toBe(2500);
    expect(number('DurationPerReq')).toBe(0.6173);
    expect(number('MpmQueueWaitMs')).toBe(0.25);
    expect(found.get('ServerUptime')).toBe('1 minute 40 seconds');
    expect(found.get('CurrentTime')).toBe('Saturday, 21-Nov-2026 07:18:36 UTC');
    expect(found.get('RestartTime')).toBe('Saturday, 21-Nov-2026 07:16:55 UTC');
    expect(found.get('Server Built')).toBe('Nov  1 2026 07:08:09');
  });

  it('counts workers as its letters do', () => {
    const letters = found.get('Scoreboard') as string;
    expect(letters).toBe('_WRSG...');
    for (const letter of letters) expect(LETTERS.has(letter)).toBe(true);
    expect([number('BusyWorkers'), number('IdleWorkers'), number('GracefulWorkers')]).toEqual([
      2, 1, 1,
    ]);
  });

  it('counts each connection once', () => {
    const conns = (kind: string) => number(`Conns${kind}`);
    expect(conns('Total')).toBe(14);
    expect(conns('AsyncWaitIO')).toBe(2);
    expect(conns('AsyncWriting')).toBe(3);
    expect(conns('AsyncKeepAlive')).toBe(1);
    expect(conns('AsyncClosing')).toBe(3);
    const own = [...found].filter(([key]) =>
      /^MpmConnections(?!Max|Accepted|Closed[A-Z])/.test(key),
    );
    expect(own.reduce((sum, [, value]) => sum + Number(value), 0)).toBe(14);
  });

  it('leaves out what would divide by zero', () => {
    const empty = Scoreboard.create({ connectionSlots: 4, childSlots: 2, bufferBytes: 4096 });
    const fresh = parse(statusAuto(takeSnapshot(empty), { ...FIGURES, uptimeMs: 0 }));
    for (const key of ['CPULoad', 'ReqPerSec', 'BytesPerSec', 'BytesPerReq', 'DurationPerReq']) {
      expect(fresh.has(key), key).toBe(false);
    }
    expect(fresh.get('ServerUptime')).toBe('0 seconds');
  });

  it('takes no line break from a name', () => {
    const forged = statusAuto(takeSnapshot(board()), {
      ...FIGURES,
      serverName: 'x\nBusyWorkers: 99\r\n',
    });
    expect(forged.split('\n')[0]).toBe('x_BusyWorkers:_99__');
  });
});

describe('forms', () => {
  it('names days and months in English', () => {
    expect(apacheTime(new Date(0))).toBe('Thursday, 01-Jan-1970 00:00:00 UTC');
  });

  it('counts days', () => {
    expect(uptimeText(86_400 + 2 * 3600 + 3)).toBe('1 day 2 hours 3 seconds');
  });
});
