/** What is left of a response when the socket is full: who sends it, and what comes after it. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { AnswerPhase } from '../../../src/scoreboard/codes.ts';
import { CHILD, HEADER, SLOT } from '../../../src/scoreboard/layout.ts';
import { FLAG_END, FLAG_HANGUP, FLAG_READY } from '../../../src/scoreboard/transition.ts';
import type { Exchange } from '../../../src/workers/exchange.ts';
import { Bench, SPILL_FOLDER } from './connection-bench.ts';

const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
const LARGE = Buffer.alloc(20_000, 'x');
const FILE = 7;
const BYTES = Buffer.from('0123456789'.repeat(3_000));
const all = Number.POSITIVE_INFINITY;

function benchOf(routes: Record<string, (exchange: Exchange) => void>, limitSpilledKb = 1024) {
  const bench = new Bench((exchange) => routes[exchange.target]?.(exchange), { limitSpilledKb });
  bench.files.set(FILE, BYTES);
  return bench;
}
const routes = {
  '/bytes': (exchange: Exchange) => exchange.respond(200, '', [], LARGE),
  '/file': (exchange: Exchange) => exchange.respondFile(200, '', [], FILE, 10, 20_000),
  '/small': (exchange: Exchange) => exchange.respond(200, '', [], 'small\n'),
};
/** One connection whose socket takes `room` bytes. */
function served(text: string, room: number, limitSpilledKb = 1024) {
  const bench = benchOf(routes, limitSpilledKb);
  const slot = bench.accept();
  bench.socket(slot).room = room;
  bench.serve(slot, text);
  return { bench, slot, socket: bench.socket(slot) };
}
const listenerCounts = (bench: Bench, field: { readonly offset: number }): number =>
  bench.board.childDouble(bench.board.listenerCounters, field);
const spilledKb = (bench: Bench): number => bench.board.header(HEADER.spilledKb.offset);

afterEach(() => {
  vi.restoreAllMocks();
});

describe('a file that fits the socket', () => {
  it('is sent by the worker, and closed', () => {
    const { bench, slot, socket } = served(get('/file'), all);
    expect(socket.output).toContain('Content-Length: 20000');
    expect(socket.output.endsWith(BYTES.subarray(10, 20_010).toString())).toBe(true);
    expect(bench.state(slot)).toBe('keepalive');
    expect(bench.files.has(FILE)).toBe(false);
    expect(bench.requests).toBe(1);
  });

  it('is closed unsent where the request was HEAD', () => {
    const { bench, socket } = served(get('/file').replace('GET', 'HEAD'), all);
    expect(socket.output).toContain('Content-Length: 20000');
    expect(socket.output.endsWith('\r\n\r\n')).toBe(true);
    expect(bench.files.has(FILE)).toBe(false);
  });
});

describe.each(['/bytes', '/file'])('what the socket does not take of %s', (path) => {
  const expected = path === '/file' ? BYTES.subarray(10, 20_010) : LARGE;

  it('is the listener’s, and counted when it has left', () => {
    const { bench, slot, socket } = served(get(path), 1_000);
    expect(bench.state(slot)).toBe('writeCompletion');
    expect(bench.requests).toBe(0);
    expect(spilledKb(bench)).toBe(path === '/file' ? 0 : 19);
    socket.room = 5_000;
    bench.completer.advance(slot);
    expect(bench.state(slot)).toBe('writeCompletion');
    socket.room = all;
    bench.completer.advance(slot);
    expect(socket.output.endsWith(expected.toString())).toBe(true);
    expect(bench.state(slot)).toBe('keepalive');
    expect(listenerCounts(bench, CHILD.requests)).toBe(1);
    expect(bench.board.child(0, CHILD.lifeRequests)).toBe(1);
    expect(spilledKb(bench)).toBe(0);
    expect(bench.board.slot(slot, SLOT.restFd)).toBe(0);
    expect([...bench.files.keys()]).toEqual(path === '/file' ? [] : [FILE]);
    const sent = bench.board.slotDouble(slot, SLOT.sentBytes);
    expect(sent).toBe(socket.output.length);
  });

  it('is followed by the next request, which was there before', () => {
    const { bench, slot, socket } = served(get(path) + get('/small'), 1_000);
    expect(bench.state(slot)).toBe('writeCompletion');
    socket.room = all;
    bench.completer.advance(slot);
    expect(bench.queued).toEqual([slot]);
    expect(bench.state(slot)).toBe('queued');
  });

  it('is followed by the next request, which came meanwhile', () => {
    const { bench, slot, socket } = served(get(path), 1_000);
    bench.notice(slot, FLAG_READY | FLAG_END);
    socket.room = all;
    bench.completer.advance(slot);
    expect(bench.state(slot)).toBe('queued');
    expect(bench.board.slot(slot, SLOT.endOfStream)).toBe(1);
  });

  it('ends the connection where it was the last', () => {
    const { bench, slot, socket } = served(get(path, 'Connection: close\r\n'), 1_000);
    expect(bench.state(slot)).toBe('writeCompletion');
    socket.room = all;
    bench.completer.advance(slot);
    expect(bench.state(slot)).toBe('lingerNormal');
    expect(socket.shut).toBe(true);
    expect(socket.output.endsWith(expected.toString())).toBe(true);
  });

  it.each([
    [
      'has reset the connection',
      (bench: Bench, slot: number) => {
        bench.socket(slot).broken = true;
        bench.completer.advance(slot);
      },
    ],
    [
      'has hung up, as a worker found',
      (bench: Bench, slot: number) => {
        bench.notice(slot, FLAG_READY | FLAG_HANGUP);
        bench.completer.advance(slot);
      },
    ],
    [
      'takes nothing for too long',
      (bench: Bench, slot: number) => {
        bench.completer.expire(slot);
      },
    ],
  ])('is given up where the client %s', (_, happen) => {
    const { bench, slot } = served(get(path), 1_000);
    happen(bench, slot);
    expect(bench.state(slot)).toBe('closing');
    expect(listenerCounts(bench, CHILD.aborted)).toBe(1);
    expect(listenerCounts(bench, CHILD.requests)).toBe(0);
  });

  it('is not given up while the client reads, though the socket is not writable yet', () => {
    const bench = benchOf(routes);
    const slot = bench.accept();
    const socket = bench.socket(slot);
    socket.room = 1_000;
    socket.unread = 900;
    bench.serve(slot, get(path));
    bench.completer.sample(slot);
    socket.unread = 800;
    bench.completer.expire(slot);
    expect(bench.state(slot)).toBe('writeCompletion');
    bench.completer.sample(slot);
    bench.completer.expire(slot);
    expect(bench.state(slot)).toBe('closing');
  });

  it('is tried again by the worker where the socket took more before it let go', () => {
    const bench = benchOf(routes);
    const slot = bench.accept();
    const socket = bench.socket(slot);
    socket.room = 1_000;
    const { native } = bench.context;
    const add = native.epollAdd;
    native.epollAdd = (...call) => {
      // The event comes before the worker has let go.
      bench.notice(slot, FLAG_READY);
      socket.room = all;
      return add(...call);
    };
    bench.serve(slot, get(path));
    expect(bench.state(slot)).toBe('keepalive');
    expect(bench.requests).toBe(1);
    expect(spilledKb(bench)).toBe(0);
  });
});

describe('bytes', () => {
  const inFolder = (limitKb: number, folder = SPILL_FOLDER) =>
    new Bench((exchange) => routes['/bytes'](exchange), {
      limitSpilledKb: 18,
      spill: { folder, limitKb },
    });
  const folderKb = (bench: Bench): number => bench.board.header(HEADER.spilledFileKb.offset);

  it('go to the folder where there is no more room for them in memory', () => {
    const bench = inFolder(19);
    const slot = bench.accept();
    const socket = bench.socket(slot);
    socket.room = 1_000;
    bench.serve(slot, get('/bytes'));
    expect(bench.state(slot)).toBe('writeCompletion');
    expect([spilledKb(bench), folderKb(bench)]).toEqual([0, 19]);
    socket.room = all;
    bench.completer.advance(slot);
    expect(socket.output.endsWith(LARGE.toString())).toBe(true);
    expect(bench.state(slot)).toBe('keepalive');
    expect([spilledKb(bench), folderKb(bench)]).toEqual([0, 0]);
    expect(bench.files.size).toBe(0);
  });

  it.each([
    ['is full', 18, SPILL_FOLDER],
    ['takes no file', 19, '/nowhere'],
  ])('stay in the worker where the folder %s', (_, limitKb, folder) => {
    const bench = inFolder(limitKb, folder);
    const slot = bench.accept();
    bench.socket(slot).room = 1_000;
    bench.serve(slot, get('/bytes'));
    expect(bench.state(slot)).toBe('suspended');
    expect([spilledKb(bench), folderKb(bench)]).toEqual([0, 0]);
  });

  it('stay in the worker where there is no more room for them outside', () => {
    const { bench, slot, socket } = served(get('/bytes'), 1_000, 18);
    expect(bench.state(slot)).toBe('suspended');
    expect(spilledKb(bench)).toBe(0);
    socket.room = all;
    bench.wake(slot);
    expect(bench.state(slot)).toBe('keepalive');
    expect(bench.requests).toBe(1);
  });
});

describe('a file whose next bytes are not in memory', () => {
  it('is read by a worker, and not by the listener', () => {
    const { bench, slot, socket } = served(get('/file'), 1_000);
    const { native } = bench.context;
    native.cached = () => -11;
    socket.room = 2_000;
    const before = socket.output.length;
    bench.completer.advance(slot);
    expect(socket.output.length).toBe(before);
    expect(bench.state(slot)).toBe('queued');
    bench.claim(slot);
    expect(socket.output.length).toBe(before + 2_000);
    expect(bench.state(slot)).toBe('writeCompletion');
    native.cached = () => 1;
    socket.room = all;
    bench.completer.advance(slot);
    expect(socket.output.endsWith(BYTES.subarray(10, 20_010).toString())).toBe(true);
    expect(listenerCounts(bench, CHILD.requests)).toBe(1);
  });

  it('may be sent to its end by that worker, which then counts it', () => {
    const { bench, slot, socket } = served(get('/file', 'Connection: close\r\n'), 1_000);
    bench.context.native.cached = () => -11;
    bench.completer.advance(slot);
    socket.room = all;
    bench.claim(slot);
    expect(bench.state(slot)).toBe('lingerNormal');
    expect(bench.requests).toBe(1);
    expect(bench.files.has(FILE)).toBe(false);
  });
});

describe('a file that has shrunk', () => {
  it('ends the connection, since its length was promised', () => {
    const { bench, slot, socket } = served(get('/file'), 1_000);
    bench.files.set(FILE, BYTES.subarray(0, 1_500));
    socket.room = all;
    bench.completer.advance(slot);
    expect(bench.state(slot)).toBe('closing');
    expect(listenerCounts(bench, CHILD.aborted)).toBe(1);
  });
});

describe('a response that waits in its worker', () => {
  const aborted = (bench: Bench): number => bench.board.childDouble(0, CHILD.aborted);

  it('counts as aborted where its client takes nothing for too long', () => {
    const { bench, slot } = served(get('/bytes'), 1_000, 0);
    expect(bench.state(slot)).toBe('suspended');
    bench.ready(slot, true);
    bench.resume(slot);
    expect(bench.state(slot)).toBe('closing');
    expect([bench.requests, aborted(bench)]).toEqual([0, 1]);
  });

  it('counts as aborted where its client resets the connection', () => {
    const { bench, slot, socket } = served(get('/bytes'), 1_000, 0);
    socket.broken = true;
    bench.wake(slot);
    expect(bench.state(slot)).toBe('closing');
    expect([bench.requests, aborted(bench)]).toEqual([0, 1]);
  });

  it('counts as aborted where it ended while it lay in the inbox, for too long', () => {
    let late: Exchange | null = null;
    const bench = benchOf(
      {
        '/late': (exchange) => {
          late = exchange;
          exchange.start(200, '', [], LARGE.length);
          exchange.write(LARGE);
        },
      },
      0,
    );
    const slot = bench.accept();
    bench.socket(slot).room = 1_000;
    bench.serve(slot, get('/late'));
    bench.ready(slot, true);
    (late as unknown as Exchange).end();
    bench.resume(slot);
    expect(bench.state(slot)).toBe('closing');
    expect([bench.requests, aborted(bench)]).toEqual([0, 1]);
  });

  it('does not take along those before it, which have left', () => {
    vi.spyOn(performance, 'now').mockReturnValue(1_000);
    const { bench, slot, socket } = served(get('/small') + get('/bytes'), 1_000, 0);
    expect(socket.output).toContain('small');
    bench.ready(slot, true);
    bench.resume(slot);
    expect(bench.state(slot)).toBe('closing');
    expect([bench.requests, aborted(bench)]).toEqual([1, 1]);
    expect(bench.board.child(0, CHILD.lifeRequests)).toBe(1);
  });
});

describe('parts of files and bytes in turn', () => {
  const mixed = {
    '/mixed': (exchange: Exchange) => {
      exchange.start(206, '', [], 30);
      exchange.write(Buffer.from('head:'));
      exchange.writeFile(FILE, 0, 10);
      exchange.write(Buffer.from('tail:'));
      exchange.writeFile(FILE + 1, 20, 10);
      exchange.end();
    },
  };
  it.each([all, 120, 60])('leave in order where the socket takes %s at first', (room) => {
    const bench = benchOf(mixed);
    bench.files.set(FILE + 1, BYTES);
    const slot = bench.accept();
    const socket = bench.socket(slot);
    socket.room = room;
    bench.serve(slot, get('/mixed'));
    socket.room = all;
    if (bench.state(slot) === 'suspended') bench.wake(slot);
    if (bench.state(slot) === 'writeCompletion') bench.completer.advance(slot);
    expect(socket.output.endsWith('head:0123456789tail:0123456789')).toBe(true);
    expect(bench.state(slot)).toBe('keepalive');
    expect(bench.files.size).toBe(0);
  });

  it('are all closed where the client leaves', () => {
    const bench = benchOf(mixed);
    bench.files.set(FILE + 1, BYTES);
    const slot = bench.accept();
    bench.socket(slot).room = 60;
    bench.serve(slot, get('/mixed'));
    bench.socket(slot).broken = true;
    bench.wake(slot);
    expect(bench.state(slot)).toBe('closing');
    // The first one goes with the connection.
    expect([...bench.files.keys()]).toEqual([FILE]);
    expect(bench.board.slot(slot, SLOT.restFd)).toBe(FILE + 1);
  });

  it('may be chunked', () => {
    const bench = benchOf({
      '/chunked': (exchange: Exchange) => {
        exchange.start(200, '', [], -1);
        exchange.writeFile(FILE, 0, 10);
        exchange.end();
      },
    });
    const slot = bench.accept();
    bench.serve(slot, get('/chunked'));
    expect(bench.socket(slot).output.endsWith('\r\n\r\na\r\n0123456789\r\n0\r\n\r\n')).toBe(true);
  });
});

it('a request behind a response that waited is due again: should its worker die, it is answered', () => {
  // What takes longer than a moment is sent before the next handler is called.
  vi.spyOn(performance, 'now').mockReturnValue(1_000);
  const bench = benchOf({ ...routes, '/never': () => {} });
  const slot = bench.accept();
  bench.socket(slot).room = 20;
  bench.serve(slot, get('/small') + get('/never'));
  expect(bench.state(slot)).toBe('suspended');
  // What has left of the earlier response and what has not must not be mixed with another answer.
  expect(bench.board.slot(slot, SLOT.answerPhase)).toBe(AnswerPhase.begun);
  bench.socket(slot).room = all;
  bench.wake(slot);
  expect(bench.socket(slot).output.endsWith('small\n')).toBe(true);
  expect(bench.board.slot(slot, SLOT.answerPhase)).toBe(AnswerPhase.due);
});

it('a request that comes at any moment while the rest leaves is not forgotten', () => {
  const moments = (moment: number): boolean => {
    const { bench, slot, socket } = served(get('/bytes'), 1_000);
    socket.room = all;
    let looks = 0;
    const look = bench.board.word.bind(bench.board);
    vi.spyOn(bench.board, 'word').mockImplementation((at) => {
      const seen = look(at);
      if (looks++ === moment) bench.notice(slot, FLAG_READY);
      return seen;
    });
    bench.completer.advance(slot);
    vi.restoreAllMocks();
    if (looks <= moment) return false;
    expect(bench.state(slot)).toBe('queued');
    expect(bench.queued).toEqual([slot]);
    return true;
  };
  let moment = 0;
  // The last look is the one that the move goes by, and an event behind it makes the move fail.
  while (moments(moment)) moment++;
  expect(moment).toBeGreaterThan(1);
});

it('bytes that come while the rest is offered to the listener are read, whoever sends the rest', () => {
  vi.spyOn(performance, 'now').mockReturnValue(1_000);
  const bench = benchOf(routes);
  const slot = bench.accept();
  const socket = bench.socket(slot);
  const next = get('/small');
  socket.room = 20;
  let sends = 0;
  socket.onSend = () => {
    if (sends++ > 0) return;
    socket.say(next.slice(5));
    bench.notice(slot, FLAG_READY);
  };
  const spill = bench.context.native.spill;
  // By now the client has read what was there.
  bench.context.native.spill = (...bytes) => {
    socket.room = all;
    return spill(...bytes);
  };
  bench.serve(slot, get('/small') + next.slice(0, 5));
  expect(bench.state(slot)).toBe('keepalive');
  expect(socket.input.length).toBe(0);
  expect(bench.requests).toBe(2);
});
