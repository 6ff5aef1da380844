/** What an application exports as `protocols`: taken as it is, or refused by a message that names the mistake. */
import { describe, expect, it } from 'vitest';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { protocolsOf, withMemory } from '../../../src/workers/session/load.ts';
import {
  incarnationOfSession,
  sessionId,
  slotOfSession,
} from '../../../src/workers/session/session-id.ts';
import { wake } from '../../../src/workers/session/wake.ts';

const receive = () => 0;
const load = (protocol: unknown, names = ['smtp']) =>
  protocolsOf({ smtp: protocol }, names, 'app.mjs');

describe('a protocol', () => {
  it('needs nothing but receive', () => {
    expect(load({ receive })).toEqual([
      {
        name: 'smtp',
        calls: { receive },
        idleTimeoutMs: 300_000,
        inputLimit: Number.MAX_SAFE_INTEGER,
        dataBytes: 0,
        states: [],
        sheds: true,
        data: null,
      },
    ]);
  });

  it('says the rest as it wants it', () => {
    const given = {
      receive,
      idleTimeout: 0.5,
      inputLimit: 512,
      dataBytes: 256,
      states: ['a b'],
      shed: false,
    };
    expect(load(given)[0]).toMatchObject({
      idleTimeoutMs: 500,
      inputLimit: 512,
      dataBytes: 256,
      states: ['a b'],
      sheds: false,
    });
  });

  it.each<[string, unknown, RegExp]>([
    ['no object', 'x', /app\.mjs: protocols\.smtp has to be an object/],
    ['no receive', {}, /protocols\.smtp\.receive has to be a function/],
    [
      'a greeting that is text',
      { receive, greeting: '220' },
      /smtp\.greeting has to be a function/,
    ],
    [
      'a negative timeout',
      { receive, idleTimeout: -1 },
      /smtp: idleTimeout has to be seconds from 0 to 86400, not -1/,
    ],
    ['a timeout of two days', { receive, idleTimeout: 172_800 }, /not 172800/],
    [
      'too much data',
      { receive, dataBytes: 257 },
      /dataBytes has to be a whole number from 0 to 256, not 257/,
    ],
    ['half a byte of data', { receive, dataBytes: 0.5 }, /not 0\.5/],
    ['no room for input', { receive, inputLimit: 0 }, /inputLimit has to be a whole number from 1/],
    ['a state twice', { receive, states: ['a', 'a'] }, /at most 15 different names/],
    ['16 states', { receive, states: Array.from({ length: 16 }, (_, n) => `s${n}`) }, /at most 15/],
    ['a state that does not show', { receive, states: ['\n'] }, /printable ASCII/],
    ['a state that is too long', { receive, states: ['x'.repeat(25)] }, /1 to 24/],
    ['shed as a word', { receive, shed: 'no' }, /shed has to be true or false/],
  ])('with %s is refused', (_, protocol, message) => {
    expect(() => load(protocol)).toThrow(message);
    expect(() => load(protocol)).toThrow(expect.objectContaining({ code: 'ERR_MPM_PROTOCOL' }));
  });

  it('that is not there is refused by its name, and what is there is told', () => {
    expect(() => protocolsOf(undefined, ['imap'], 'app.mjs')).toThrow(
      'listen names the protocol imap, and app.mjs exports no protocols',
    );
    expect(() => load({ receive }, ['imap'])).toThrow('app.mjs has smtp');
    expect(() => load({ receive }, ['constructor'])).toThrow('names the protocol constructor');
  });
});

describe('in memory', () => {
  const board = Scoreboard.create({ connectionSlots: 3, childSlots: 1, bufferBytes: 1024 });

  it('each session has its data, and input no larger than a connection buffer', () => {
    const [protocol] = withMemory(load({ receive, dataBytes: 8 }), board);
    expect(protocol?.data?.byteLength).toBe(24);
    expect(protocol?.inputLimit).toBe(1024);
  });

  it('names are told, and cleared where a newer application has fewer', () => {
    withMemory(load({ receive, states: ['one', 'two'] }), board);
    expect([0, 1, 2, 3, 15, 16].map((state) => board.protocolNames.stateOf(1, state))).toEqual([
      '',
      'one',
      'two',
      '',
      '',
      '',
    ]);
    withMemory(load({ receive, states: ['three'] }), board);
    expect(board.protocolNames.nameOf(1)).toBe('smtp');
    expect([1, 2].map((state) => board.protocolNames.stateOf(1, state))).toEqual(['three', '']);
    expect(board.protocolNames.nameOf(0)).toBe('');
    expect(board.protocolNames.nameOf(2)).toBe('');
  });

  it('data cannot change its size while the server runs', () => {
    withMemory(load({ receive, dataBytes: 8 }), board);
    expect(() => withMemory(load({ receive, dataBytes: 16 }), board)).toThrow(
      'protocols.smtp: dataBytes cannot change while the server runs',
    );
  });
});

describe('the id of a session', () => {
  it.each([
    [0, 0],
    [0, 16_383],
    [1, 1],
    [131_071, 5],
    [199_999, 16_383],
  ])('is an int32 other than 0 and gives back slot %i and incarnation %i', (slot, incarnation) => {
    const id = sessionId(slot, incarnation);
    expect(id).not.toBe(0);
    expect(new Int32Array([id])[0]).toBe(id);
    expect(slotOfSession(id)).toBe(slot);
    expect(incarnationOfSession(id)).toBe(incarnation);
  });

  it('wakes nobody outside of a worker, and is a whole number', () => {
    expect(wake(sessionId(0, 0))).toBe(false);
    expect(slotOfSession(0)).toBe(-1);
    expect(() => wake('1' as unknown as number)).toThrow(TypeError);
    expect(() => wake(1.5)).toThrow('wake takes the id of a session');
  });
});
