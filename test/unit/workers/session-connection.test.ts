/** A session at the points where calls, waits and the reuse of its objects meet. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Phase } from '../../../src/scoreboard/codes.ts';
import { HEADER, SLOT } from '../../../src/scoreboard/layout.ts';
import { Call, notify } from '../../../src/scoreboard/notices.ts';
import { ConnectionEvent } from '../../../src/scoreboard/states.ts';
import { FLAG_READY, incarnationOf, successor } from '../../../src/scoreboard/transition.ts';
import { protocolsOf, withMemory } from '../../../src/workers/session/load.ts';
import { SessionHost } from '../../../src/workers/session/session-host.ts';
import type { Session, SessionProtocol } from '../../../src/workers/session/session-protocol.ts';
import { Bench } from './connection-bench.ts';

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const LARGE = Buffer.alloc(40_000, 'x');

let logged: string[];
beforeEach(() => {
  logged = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    logged.push(String(text));
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

let tables = 0;

/** A worker for one protocol, with the test as its listener and its loop. */
function workerFor(protocol: SessionProtocol, limitSpilledKb = 0) {
  const bench = new Bench(() => {}, { limitSpilledKb });
  const { board, context } = bench;
  const name = `p${tables++}`;
  const [loaded] = withMemory(protocolsOf({ [name]: protocol }, [name], 'test'), board);
  const host = new SessionHost(context, bench, loaded as NonNullable<typeof loaded>);
  const wordOf = (slot: number) => board.word(slot);
  const claim = (slot: number) => {
    const word = wordOf(slot);
    board.move(slot, word, ConnectionEvent.claim, 0);
    host.take().open(slot, successor(word, ConnectionEvent.claim, 0, 0));
  };
  const accept = () => {
    const slot = bench.accept();
    board.setSlot(slot, SLOT.protocol, 1);
    board.notices.open(slot, incarnationOf(wordOf(slot)), Call.greeting);
    board.move(slot, wordOf(slot), ConnectionEvent.readable);
    claim(slot);
    return slot;
  };
  const say = (slot: number, text: string) => {
    bench.socket(slot).say(text);
    board.move(slot, wordOf(slot), ConnectionEvent.readable);
    claim(slot);
  };
  const call = (slot: number, reason: Call) =>
    notify(board, slot, incarnationOf(wordOf(slot)), reason, performance.now());
  return { bench, claim, accept, say, call, output: (slot: number) => bench.socket(slot).output };
}

/** Says what it is called for; a line is echoed. */
const speaking = (more: Partial<SessionProtocol> = {}): SessionProtocol => ({
  greeting: (session) => void session.write('hi;'),
  receive(session, bytes) {
    const end = bytes.indexOf(10);
    if (end >= 0) session.write(`${bytes.toString('latin1', 0, end)};`);
    return end + 1;
  },
  woken: (session) => void session.write('woken;'),
  timeout: (session) => void session.write('idle;'),
  stopping: (session) => void session.write('stop;'),
  ...more,
});

describe('a session', () => {
  it('is let go when there is nothing to call it for, and costs no buffer then', () => {
    const { bench, accept, say, output } = workerFor(speaking());
    const slot = accept();
    expect(output(slot)).toBe('hi;');
    expect(bench.state(slot)).toBe('waitRequest');
    say(slot, 'one\n');
    expect(bench.state(slot)).toBe('keepalive');
    expect(bench.board.slot(slot, SLOT.buffer)).toBe(0);
    say(slot, 'tw');
    expect(bench.state(slot)).toBe('readRequest');
    expect(bench.board.slot(slot, SLOT.buffer)).not.toBe(0);
    say(slot, 'o\nthree\n');
    expect(output(slot)).toBe('hi;one;two;three;');
    expect(bench.pinned.size).toBe(0);
  });

  it('waits where nobody sheds it if its protocol says so', () => {
    const { bench, accept, say } = workerFor(speaking({ shed: false }));
    const slot = accept();
    say(slot, 'one\n');
    expect(bench.state(slot)).toBe('readRequest');
  });

  it('is called for what has come before last words, and not for time that has not passed', () => {
    const { bench, accept, call, claim, output } = workerFor(speaking());
    const slot = accept();
    call(slot, Call.timeout);
    bench.socket(slot).say('just in time\n');
    claim(slot);
    expect(output(slot)).toBe('hi;just in time;');
    expect(bench.state(slot)).toBe('keepalive');
    call(slot, Call.timeout);
    claim(slot);
    expect(output(slot)).toBe('hi;just in time;idle;');
    expect(bench.state(slot)).toBe('lingerNormal');
  });

  it('hears that the server stops behind its commands', () => {
    const { bench, accept, say, output } = workerFor(speaking());
    const slot = accept();
    bench.board.setHeader(HEADER.phase.offset, Phase.draining);
    say(slot, 'one\ntw');
    expect(output(slot)).toBe('hi;one;stop;');
    expect(bench.state(slot)).toBe('lingerNormal');
  });

  it('is not woken before it was greeted, and once for several wakes', () => {
    const { accept, call, claim, output, bench } = workerFor(speaking());
    const slot = accept();
    bench.board.notices.add(slot, 0, Call.greeting);
    call(slot, Call.woken);
    call(slot, Call.woken);
    claim(slot);
    expect(output(slot)).toBe('hi;hi;woken;');
  });

  it('that wakes itself leaves others their turn', () => {
    let calls = 0;
    const { bench, accept, call, claim } = workerFor(
      speaking({
        woken(session) {
          calls++;
          session.wake(session.id);
        },
      }),
    );
    const slot = accept();
    call(slot, Call.woken);
    claim(slot);
    expect(calls).toBeLessThan(50);
    expect(bench.state(slot)).toBe('queued');
    const before = calls;
    claim(slot);
    expect(calls).toBeGreaterThan(before);
  });

  it('that sends without end leaves others their turn', () => {
    const { bench, accept, say, claim, output } = workerFor(speaking());
    const slot = accept();
    say(slot, 'x\n'.repeat(100));
    expect(bench.state(slot)).toBe('queued');
    for (let turn = 0; turn < 10 && bench.state(slot) === 'queued'; turn++) claim(slot);
    expect(output(slot)).toBe(`hi;${'x;'.repeat(100)}`);
  });

  it.each([
    -1,
    1.5,
    3,
    Number.NaN,
    '1',
    undefined,
    null,
  ])('ends where receive says that it has consumed %s of 2 bytes', (count) => {
    const { bench, accept, say } = workerFor(
      speaking({ receive: () => count as unknown as number }),
    );
    const slot = accept();
    say(slot, 'ab');
    expect(bench.state(slot)).toBe('lingerNormal');
    expect(logged.join('')).toContain(`0 .. 2, not ${String(count)}`);
  });
});

describe('a client that does not read', () => {
  it.each([
    ['by the listener', 1024],
    ['in the worker, where there is no room', 0],
  ])('is sent the rest in its order, %s; nobody else gets it', (_, spillKb) => {
    const { bench, accept, say, output, claim } = workerFor(
      speaking({
        receive(session, bytes) {
          session.write(LARGE);
          session.write('tail;');
          return bytes.length;
        },
      }),
      spillKb,
    );
    const slot = accept();
    bench.socket(slot).room = 100;
    say(slot, 'x');
    expect(bench.state(slot)).toBe(spillKb > 0 ? 'writeCompletion' : 'suspended');
    const other = accept();
    expect(output(other)).toBe('hi;');
    bench.socket(slot).room = Number.POSITIVE_INFINITY;
    if (spillKb > 0) {
      bench.completer.advance(slot);
      expect(bench.state(slot)).toBe('queued');
      claim(slot);
    } else bench.wake(slot);
    expect(output(slot)).toBe(`hi;${LARGE}tail;`);
    expect(bench.state(slot)).toBe('keepalive');
    expect(bench.requests).toBe(0);
  });

  it('loses no wake that came with its greeting', () => {
    const { bench, accept, call, claim, output } = workerFor(
      speaking({ greeting: (session) => void session.write(LARGE) }),
      1024,
    );
    const first = accept();
    bench.board.notices.add(first, 0, Call.greeting);
    bench.socket(first).room = 10;
    call(first, Call.woken);
    claim(first);
    expect(bench.state(first)).toBe('writeCompletion');
    bench.socket(first).room = Number.POSITIVE_INFINITY;
    bench.completer.advance(first);
    claim(first);
    expect(output(first).endsWith('xwoken;')).toBe(true);
  });
});

describe('a call that takes its time', () => {
  const slow = () => {
    let go: (() => void) | null = null;
    const sessions: Session[] = [];
    const protocol = speaking({
      async receive(session, bytes) {
        sessions.push(session);
        session.write('begun;');
        await new Promise<void>((resolve) => {
          go = resolve;
        });
        session.write('done;');
        return bytes.length;
      },
    });
    return { protocol, sessions, go: () => go?.() };
  };

  it('keeps its session in the worker, and what comes meanwhile waits', async () => {
    const { protocol, go } = slow();
    const { bench, accept, say, output } = workerFor(protocol);
    const slot = accept();
    say(slot, 'one');
    expect(output(slot)).toBe('hi;begun;');
    expect(bench.state(slot)).toBe('processing');
    expect(bench.pinned.size).toBe(1);
    bench.socket(slot).say('two');
    bench.notice(slot, FLAG_READY);
    go();
    await settled();
    expect(output(slot)).toBe('hi;begun;done;begun;');
    go();
    await settled();
    expect(output(slot)).toBe('hi;begun;done;begun;done;');
    expect(bench.state(slot)).toBe('keepalive');
    expect(bench.pinned.size).toBe(0);
  });

  it('may not be used beyond its end', async () => {
    const { protocol, go, sessions } = slow();
    const { accept, say } = workerFor(protocol);
    say(accept(), 'one');
    go();
    await settled();
    const [session] = sessions as [Session];
    expect(() => session.write('late')).toThrow(
      expect.objectContaining({ code: 'ERR_MPM_SESSION_OVER' }),
    );
    expect(session.ended).toBe(true);
    await expect(session.drained()).rejects.toThrow('the session is over');
  });

  it('hears that its client has gone, and nobody has to listen', async () => {
    let heard: unknown = null;
    const { bench, accept, say } = workerFor(
      speaking({
        async receive(session, bytes) {
          session.write(LARGE);
          void session.drained();
          await session.drained().catch((error) => {
            heard = error.code;
          });
          return bytes.length;
        },
      }),
    );
    const slot = accept();
    bench.socket(slot).room = 100;
    say(slot, 'one');
    expect(bench.state(slot)).toBe('suspended');
    bench.socket(slot).broken = true;
    bench.wake(slot);
    await settled();
    expect(heard).toBe('ERR_MPM_SESSION_OVER');
    expect(bench.state(slot)).toBe('closing');
    expect(logged).toEqual([]);
  });

  it('that fails ends its session, and is logged', async () => {
    const { bench, accept, say } = workerFor(
      speaking({ receive: () => Promise.reject(new Error('failed late')) }),
    );
    const slot = accept();
    say(slot, 'one');
    await settled();
    expect(bench.state(slot)).toBe('lingerNormal');
    expect(logged.join('')).toContain('receive: Error: failed late');
  });
});
