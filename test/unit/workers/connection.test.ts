/** The course of a connection at the points where events, handlers and reuse meet. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ReadPhase } from '../../../src/scoreboard/codes.ts';
import { CHILD, SLOT } from '../../../src/scoreboard/layout.ts';
import { ConnectionEvent } from '../../../src/scoreboard/states.ts';
import { FLAG_END, FLAG_HANGUP, FLAG_READY } from '../../../src/scoreboard/transition.ts';
import type { Exchange } from '../../../src/workers/exchange.ts';
import { Bench } from './connection-bench.ts';

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const LARGE = Buffer.alloc(20_000, 'x');
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Routes by target; the exchange of each is kept for what comes later. */
function benchOf(routes: Record<string, (exchange: Exchange) => void>, limitRequestBody = 0) {
  const bench = new Bench((exchange) => routes[exchange.target]?.(exchange), {
    limitRequestBody,
  });
  return bench;
}
const ok = (exchange: Exchange): void => exchange.respond(200, '', [], 'hello\n');
const statuses = (output: string): string[] =>
  [...output.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1] as string);

let logged: string[];
beforeEach(() => {
  logged = [];
  // No time passes, so nothing leaves early because its handler was slow.
  vi.spyOn(performance, 'now').mockReturnValue(1_000);
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    logged.push(String(text));
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe('what was put together for one connection', () => {
  it('is sent before its handler cuts it off, and never to the next connection', () => {
    const bench = benchOf({ '/': ok, '/cut': (exchange) => exchange.abort() });
    const [one, two] = [bench.accept(), bench.accept()];
    bench.serve(one, get('/') + get('/cut'));
    expect(bench.state(one)).toBe('closing');
    expect(statuses(bench.socket(one).output)).toEqual(['200']);
    expect(bench.requests).toBe(1);
    bench.serve(two, get('/'));
    expect(statuses(bench.socket(two).output)).toEqual(['200']);
  });

  it('is not the next connection’s either where the response fails behind its head', async () => {
    let late: Exchange | null = null;
    const bench = benchOf({
      '/': ok,
      '/fails': (exchange) => {
        late = exchange;
      },
    });
    const [one, two] = [bench.accept(), bench.accept()];
    bench.serve(one, get('/fails'));
    const exchange = late as unknown as Exchange;
    exchange.start(200, '', [], 10);
    exchange.fail(new Error('no body after all'));
    expect(bench.state(one)).toBe('closing');
    bench.serve(two, get('/'));
    await settled();
    expect(statuses(bench.socket(two).output)).toEqual(['200']);
    expect(bench.state(two)).toBe('keepalive');
  });

  it('leaves before a later request is waited for, though it was begun with start', () => {
    const bench = benchOf({
      '/head': (exchange) => {
        exchange.start(200, '', [], 0);
        exchange.end();
      },
      '/wait': () => {},
    });
    const slot = bench.accept();
    bench.serve(slot, get('/head') + get('/wait'));
    expect(statuses(bench.socket(slot).output)).toEqual(['200']);
  });
});

describe('what a handler took', () => {
  it('is none where it passed the request on, though its thread lost the processor meanwhile', () => {
    const took = (exchange: Exchange): void => {
      vi.mocked(performance.now).mockReturnValue(performance.now() + 5);
      ok(exchange);
    };
    const bench = benchOf({
      '/computes': took,
      '/passes': (exchange) => {
        exchange.passedOn = true;
        took(exchange);
      },
    });
    bench.serve(bench.accept(), get('/computes') + get('/passes') + get('/computes'));
    expect(bench.handlerMs).toEqual([5, 0, 5]);
  });
});

describe('half a request behind a response', () => {
  const routes = { '/large': (exchange: Exchange) => exchange.respond(200, '', [], LARGE) };

  it('does not make the worker let go of what the socket has not taken', () => {
    const bench = benchOf(routes);
    const slot = bench.accept();
    bench.socket(slot).room = 1_000;
    bench.serve(slot, `${get('/large')}GET /par`);
    expect(bench.state(slot)).toBe('suspended');
    bench.socket(slot).room = Number.POSITIVE_INFINITY;
    bench.wake(slot);
    expect(bench.socket(slot).output.endsWith('x'.repeat(20_000))).toBe(true);
    expect(bench.state(slot)).toBe('readRequest');
    expect(bench.requests).toBe(1);
  });

  it('nor close before, where the peer has shut its side', () => {
    const bench = benchOf(routes);
    const slot = bench.accept();
    bench.socket(slot).room = 1_000;
    bench.socket(slot).endOfInput = true;
    bench.serve(slot, `${get('/large')}GET /par`);
    expect(bench.state(slot)).toBe('suspended');
    bench.socket(slot).room = Number.POSITIVE_INFINITY;
    bench.wake(slot);
    expect(bench.socket(slot).output.endsWith('x'.repeat(20_000))).toBe(true);
    expect(bench.state(slot)).toBe('closing');
    expect(bench.requests).toBe(1);
  });

  it('nor forget to count a response that left at once', () => {
    const bench = benchOf(routes);
    const slot = bench.accept();
    bench.serve(slot, `${get('/large')}GET /par`);
    expect(bench.state(slot)).toBe('readRequest');
    expect(bench.requests).toBe(1);
  });
});

describe('a response that is ended within another connection’s handler', () => {
  it('does not run its next request on that one’s stack', () => {
    let first: Exchange | null = null;
    const order: string[] = [];
    const bench = benchOf({
      '/waits': (exchange) => {
        first = exchange;
      },
      '/next': (exchange) => {
        order.push('next');
        ok(exchange);
      },
      '/ends-it': (exchange) => {
        order.push('begins');
        ok(first as unknown as Exchange);
        order.push('ends');
        ok(exchange);
      },
    });
    const [one, two] = [bench.accept(), bench.accept()];
    bench.serve(one, get('/waits') + get('/next'));
    bench.serve(two, get('/ends-it'));
    bench.turn();
    expect(order).toEqual(['begins', 'ends', 'next']);
    expect(statuses(bench.socket(one).output)).toEqual(['200', '200']);
    expect(bench.state(one)).toBe('keepalive');
    expect(bench.requests).toBe(3);
  });
});

describe('a body that only the end of the connection delimits', () => {
  it('ends with a reset where it was cut off', () => {
    let late: Exchange | null = null;
    const bench = benchOf({
      '/stream': (exchange) => {
        late = exchange;
        exchange.start(200, '', [], -1);
        exchange.write(Buffer.from('part'));
      },
    });
    const slot = bench.accept();
    bench.serve(slot, 'GET /stream HTTP/1.0\r\n\r\n');
    (late as unknown as Exchange).abort();
    expect(bench.state(slot)).toBe('closing');
    expect(bench.socket(slot).reset).toBe(true);
  });
});

describe('a client that waits for 100 Continue', () => {
  it('is told although its socket was full at that moment', () => {
    const bench = benchOf({ '/post': ok });
    const slot = bench.accept();
    bench.socket(slot).room = 0;
    bench.serve(
      slot,
      'POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n',
    );
    expect(bench.state(slot)).toBe('suspended');
    bench.socket(slot).room = Number.POSITIVE_INFINITY;
    bench.wake(slot);
    expect(statuses(bench.socket(slot).output)).toEqual(['100']);
    expect(bench.state(slot)).toBe('readRequest');
    bench.serve(slot, 'hello');
    expect(statuses(bench.socket(slot).output)).toEqual(['100', '200']);
  });
});

describe('a streamed body', () => {
  const post = 'POST /post HTTP/1.1\r\nHost: a\r\n';

  it('that is malformed is refused once, though it is read within the handler’s call', async () => {
    const reads: Promise<unknown>[] = [];
    const bench = benchOf(
      {
        '/post': (exchange) => {
          reads.push(exchange.readBody(), exchange.readBody());
        },
      },
      20_000,
    );
    const slot = bench.accept();
    // The first read gets what is in the buffer, the second what comes behind it.
    const body = `186a0\r\n${'y'.repeat(30_000)}`;
    bench.serve(slot, `${post}Transfer-Encoding: chunked\r\n\r\n${body}`);
    expect(statuses(bench.socket(slot).output)).toEqual(['413']);
    expect(bench.state(slot)).toBe('lingerNormal');
    expect(bench.spare.length).toBe(1);
    expect(bench.requests).toBe(1);
    await expect(reads[1]).rejects.toMatchObject({ code: 'body-too-large' });
  });

  it('that comes too slowly is refused, and its read rejected', async () => {
    let read: Promise<unknown> | null = null;
    const bench = benchOf({
      '/post': (exchange) => {
        read = exchange.readBody();
      },
    });
    const slot = bench.accept();
    bench.serve(slot, `${post}Content-Length: 100000\r\n\r\n`);
    expect(bench.board.slot(slot, SLOT.readPhase)).toBe(ReadPhase.stream);
    bench.ready(slot, true);
    bench.resume(slot);
    expect(statuses(bench.socket(slot).output)).toEqual(['408']);
    await expect(read).rejects.toMatchObject({ code: 'request-timeout' });
    expect(bench.state(slot)).toBe('lingerNormal');
  });

  it('counts the time its client took, and not what the handler took between two reads', async () => {
    let exchange: Exchange | null = null;
    const bench = benchOf({
      '/post': (given) => {
        exchange = given;
      },
    });
    const now = vi.mocked(performance.now);
    const slot = bench.accept();
    bench.serve(slot, `${post}Content-Length: 100000\r\n\r\nabc`);
    const { readBody } = exchange as unknown as Exchange;
    const next = () => readBody.call(exchange as unknown as Exchange);
    await next();
    now.mockReturnValue(5_000);
    let read = next();
    const since = bench.board.slot(slot, SLOT.requestSinceTicks);
    now.mockReturnValue(5_300);
    bench.socket(slot).say('def');
    bench.wake(slot);
    await read;
    // The handler computes for ten seconds.
    now.mockReturnValue(15_300);
    read = next();
    expect(bench.board.slot(slot, SLOT.requestSinceTicks) - since).toBe(10_000);
    bench.socket(slot).endOfInput = true;
    bench.wake(slot);
    await expect(read).rejects.toMatchObject({ code: 'peer-gone' });
  });

  it('of a HEAD request is refused without a body', async () => {
    const bench = benchOf(
      {
        '/post': (exchange) => {
          exchange.readBody().catch(() => {});
          exchange.readBody().catch(() => {});
        },
      },
      20_000,
    );
    const slot = bench.accept();
    const body = `186a0\r\n${'y'.repeat(30_000)}`;
    bench.serve(slot, `${post.replace('POST', 'HEAD')}Transfer-Encoding: chunked\r\n\r\n${body}`);
    expect(statuses(bench.socket(slot).output)).toEqual(['413']);
    expect(bench.socket(slot).output.endsWith('\r\n\r\n')).toBe(true);
    expect(bench.socket(slot).output).not.toContain('body-too-large');
  });

  it('rejects the waiting read of a handler that answers first', async () => {
    let read: Promise<unknown> | null = null;
    const bench = benchOf({
      '/post': (exchange) => {
        read = exchange.readBody();
        ok(exchange);
      },
    });
    const slot = bench.accept();
    bench.serve(slot, `${post}Content-Length: 100000\r\n\r\n`);
    await expect(read).rejects.toMatchObject({ code: 'request-ended' });
    expect(bench.state(slot)).toBe('lingerNormal');
  });

  it('is read on while the peer takes nothing of the response', async () => {
    let read: Promise<Uint8Array | null> | null = null;
    const bench = benchOf({
      '/post': (exchange) => {
        exchange.start(200, '', [], -1);
        exchange.write(LARGE);
        read = exchange.readBody();
      },
    });
    const slot = bench.accept();
    bench.socket(slot).room = 1_000;
    bench.serve(slot, `${post}Content-Length: 100000\r\n\r\n`);
    expect(bench.state(slot)).toBe('suspended');
    bench.socket(slot).say('abc');
    bench.wake(slot);
    const piece = await (read as unknown as Promise<Uint8Array>);
    expect(Buffer.from(piece).toString()).toBe('abc');
    expect(bench.state(slot)).toBe('suspended');
    bench.socket(slot).room = Number.POSITIVE_INFINITY;
    bench.wake(slot);
    expect(bench.socket(slot).output).toContain('x'.repeat(20_000));
  });
});

describe('call backs', () => {
  const blockedOn = (act: (exchange: Exchange) => void) => {
    const bench = benchOf({
      '/': (exchange) => {
        exchange.start(200, '', [], -1);
        exchange.write(LARGE);
        act(exchange);
      },
    });
    const slot = bench.accept();
    bench.socket(slot).room = 1_000;
    bench.serve(slot, get('/'));
    return { bench, slot };
  };

  it('onDrain that throws fails its exchange, not the worker', () => {
    const { bench, slot } = blockedOn((exchange) => {
      exchange.onDrain = () => {
        throw new Error('from onDrain');
      };
    });
    bench.socket(slot).room = Number.POSITIVE_INFINITY;
    bench.wake(slot);
    expect(bench.state(slot)).toBe('closing');
    expect(logged.join('')).toContain('from onDrain');
  });

  it('onAbort that throws is logged', () => {
    const { bench, slot } = blockedOn((exchange) => {
      exchange.onAbort = (reason) => {
        throw new Error(`from onAbort: ${reason}`);
      };
    });
    bench.ready(slot, true);
    bench.resume(slot);
    expect(bench.state(slot)).toBe('closing');
    expect(logged.join('')).toContain('from onAbort: timeout');
  });

  it('onAbort does not come within the handler’s own write', () => {
    let late: Exchange | null = null;
    const bench = benchOf({
      '/': (exchange) => {
        late = exchange;
      },
    });
    const slot = bench.accept();
    bench.serve(slot, get('/'));
    const exchange = late as unknown as Exchange;
    const order: string[] = [];
    exchange.onAbort = () => order.push('aborted');
    exchange.start(200, '', [], -1);
    bench.socket(slot).room = 1_000;
    // The peer resets between the send and the suspension.
    bench.socket(slot).onSend = () => bench.notice(slot, FLAG_HANGUP);
    expect(exchange.write(LARGE)).toBe(false);
    order.push('written');
    bench.turn();
    expect(order).toEqual(['written', 'aborted']);
    expect(bench.state(slot)).toBe('closing');
  });
});

describe('a small body of which nothing comes', () => {
  const HEAD = 'POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n';
  const CHUNKED = 'POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
  /** The listener has found it, so many milliseconds after the head. */
  function after(milliseconds: number, text: string) {
    const pieces: string[] = [];
    const bench = benchOf({
      '/post': async (exchange) => {
        exchange.start(200, '', [], -1);
        for (
          let piece = await exchange.readBody();
          piece !== null;
          piece = await exchange.readBody()
        ) {
          pieces.push(Buffer.from(piece).toString());
        }
        exchange.end();
      },
    });
    const slot = bench.accept();
    bench.serve(slot, text);
    expect(bench.state(slot)).toBe('readRequest');
    vi.spyOn(performance, 'now').mockReturnValue(1_000 + milliseconds);
    bench.board.move(slot, bench.board.word(slot), ConnectionEvent.heldBack);
    bench.claim(slot);
    return { bench, slot, pieces };
  }

  it.each([
    ['of a length', HEAD, 'hello'],
    ['in chunks', CHUNKED, '5\r\nhello\r\n0\r\n\r\n'],
  ])('for a second is streamed, so that its handler may answer first (%s)', async (_, head, body) => {
    const { bench, slot, pieces } = after(1_000, head);
    expect(bench.state(slot)).toBe('suspended');
    await settled();
    bench.socket(slot).say(body);
    bench.wake(slot);
    await settled();
    expect(pieces).toEqual(['hello']);
    expect(statuses(bench.socket(slot).output)).toEqual(['200']);
    // Its head was sent when the body had not been read, and said so.
    expect(bench.state(slot)).toBe('lingerNormal');
  });

  it('for less is waited for', () => {
    const { bench, slot } = after(999, HEAD);
    expect(bench.state(slot)).toBe('readRequest');
  });

  it('is waited for where its head took long to come', () => {
    const bench = benchOf({ '/post': ok });
    const slot = bench.accept();
    bench.serve(slot, HEAD.slice(0, 20));
    vi.spyOn(performance, 'now').mockReturnValue(9_000);
    bench.serve(slot, HEAD.slice(20));
    expect(bench.state(slot)).toBe('readRequest');
    expect(bench.socket(slot).output).toBe('');
  });

  it('any more is waited for where some of it has come', () => {
    const { bench, slot } = after(5_000, `${HEAD}he`);
    expect(bench.state(slot)).toBe('readRequest');
    expect(bench.socket(slot).output).toBe('');
  });

  it('is not asked for twice', async () => {
    const { bench, slot } = after(
      1_000,
      HEAD.replace('\r\n\r\n', '\r\nExpect: 100-continue\r\n\r\n'),
    );
    await settled();
    expect(statuses(bench.socket(slot).output)).toEqual(['100', '200']);
  });
});

describe('a connection that ran out of time', () => {
  it('is closed gently all the same where the response ended while it lay in the inbox', () => {
    let late: Exchange | null = null;
    const bench = benchOf({
      '/post': (exchange) => {
        late = exchange;
        exchange.readBody().catch(() => {});
      },
    });
    const slot = bench.accept();
    bench.serve(slot, 'POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n');
    bench.ready(slot, true);
    ok(late as unknown as Exchange);
    expect(bench.state(slot)).toBe('resuming');
    bench.resume(slot);
    expect(statuses(bench.socket(slot).output)).toEqual(['200']);
    expect(bench.state(slot)).toBe('lingerNormal');
    expect(bench.requests).toBe(1);
  });
});

describe('an informational response', () => {
  const hint = Buffer.from('HTTP/1.1 103 Early Hints\r\n\r\n');

  it('is neither the status nor a part of the final response', () => {
    const seen: [boolean, number][] = [];
    const bench = benchOf({
      '/': (exchange) => {
        exchange.writeInterim(hint);
        seen.push([exchange.headersSent, bench.requests]);
        exchange.writeRaw(Buffer.from('HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok'));
        exchange.endRaw(true);
      },
    });
    const slot = bench.accept();
    bench.serve(slot, get('/'));
    expect(statuses(bench.socket(slot).output)).toEqual(['103', '201']);
    expect(seen).toEqual([[false, 0]]);
    expect(bench.requests).toBe(1);
    expect(bench.state(slot)).toBe('keepalive');
  });

  it('is not sent to a client of HTTP/1.0', () => {
    const bench = benchOf({
      '/': (exchange) => {
        exchange.writeInterim(hint);
        ok(exchange);
      },
    });
    const slot = bench.accept();
    bench.serve(slot, 'GET / HTTP/1.0\r\n\r\n');
    expect(statuses(bench.socket(slot).output)).toEqual(['200']);
  });

  it('that a full socket does not take waits before the response', () => {
    const bench = benchOf({
      '/': (exchange) => {
        exchange.writeInterim(hint);
        ok(exchange);
      },
    });
    const slot = bench.accept();
    bench.socket(slot).room = 5;
    bench.serve(slot, get('/'));
    bench.socket(slot).room = Number.POSITIVE_INFINITY;
    bench.wake(slot);
    expect(statuses(bench.socket(slot).output)).toEqual(['103', '200']);
    expect(bench.requests).toBe(1);
  });
});

describe('a client that shuts its side while its handler is unfinished', () => {
  function waiting(answer: boolean) {
    const calls: string[] = [];
    let exchange: Exchange | null = null;
    const bench = benchOf({
      '/': (given) => {
        exchange = given;
        given.onPeerEnd = () => {
          calls.push('end');
          return answer;
        };
        given.onAbort = (reason) => calls.push(reason);
      },
    });
    const slot = bench.accept();
    bench.serve(slot, get('/'));
    return { bench, slot, calls, exchange: exchange as unknown as Exchange };
  }
  const attend = ({ bench, slot }: ReturnType<typeof waiting>) =>
    bench.pinned.get(slot)?.checkHangup();

  it('is gone where the handler says so', () => {
    const all = waiting(true);
    all.bench.notice(all.slot, FLAG_END);
    attend(all);
    expect(all.calls).toEqual(['end', 'peer-gone']);
    expect(all.bench.state(all.slot)).toBe('closing');
  });

  it('still reads its response where it does not, and is asked about once', () => {
    const all = waiting(false);
    all.bench.notice(all.slot, FLAG_END);
    attend(all);
    attend(all);
    expect(all.calls).toEqual(['end']);
    ok(all.exchange);
    expect(statuses(all.bench.socket(all.slot).output)).toEqual(['200']);
  });

  it('is asked about, too, where the end came with the request', async () => {
    const calls: string[] = [];
    const bench = benchOf({
      '/': (exchange) => {
        exchange.onPeerEnd = () => true;
        exchange.onAbort = (reason) => calls.push(reason);
      },
    });
    const slot = bench.accept();
    bench.board.setSlot(slot, SLOT.endOfStream, 1);
    bench.socket(slot).endOfInput = true;
    bench.serve(slot, get('/'));
    await settled();
    expect(calls).toEqual(['peer-gone']);
    expect(bench.state(slot)).toBe('closing');
  });

  it('is not asked about before its body was read', async () => {
    const calls: string[] = [];
    const bench = benchOf({
      '/': (exchange) => {
        exchange.onPeerEnd = () => {
          calls.push('end');
          return true;
        };
      },
    });
    const slot = bench.accept();
    bench.serve(slot, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc');
    bench.notice(slot, FLAG_END);
    bench.pinned.get(slot)?.checkHangup();
    expect(calls).toEqual([]);
  });
});

describe('a client that resets its connection before its request is begun', () => {
  const aborted = (bench: Bench) => bench.board.childDouble(0, CHILD.aborted);
  function counting() {
    const begun: string[] = [];
    const bench = benchOf({
      '/': (exchange) => {
        begun.push('/');
        ok(exchange);
      },
    });
    return { bench, begun, slot: bench.accept() };
  }

  it('has none of its requests handled, and the first counts as aborted', () => {
    const { bench, begun, slot } = counting();
    bench.queue(slot, get('/') + get('/'));
    bench.notice(slot, FLAG_END | FLAG_HANGUP);
    bench.claim(slot);
    expect(begun).toEqual([]);
    expect(bench.state(slot)).toBe('closing');
    expect(aborted(bench)).toBe(1);
    expect(bench.requests).toBe(0);
  });

  it('is closed, and counted nowhere, where it has sent no whole request', () => {
    const { bench, begun, slot } = counting();
    bench.queue(slot, 'GET / HTT');
    bench.notice(slot, FLAG_END | FLAG_HANGUP);
    bench.socket(slot).endOfInput = true;
    bench.claim(slot);
    expect(begun).toEqual([]);
    expect(bench.state(slot)).toBe('closing');
    expect(aborted(bench)).toBe(0);
  });

  it('is answered where it has only shut its side', () => {
    const { bench, begun, slot } = counting();
    bench.queue(slot, get('/'));
    bench.notice(slot, FLAG_END);
    bench.socket(slot).endOfInput = true;
    bench.claim(slot);
    expect(begun).toEqual(['/']);
    expect(statuses(bench.socket(slot).output)).toEqual(['200']);
  });

  it('has its next request left where the one before it was being answered', () => {
    const begun: string[] = [];
    const bench: Bench = benchOf({
      '/first': (exchange) => {
        begun.push('/first');
        bench.notice(slot, FLAG_END | FLAG_HANGUP);
        ok(exchange);
      },
      '/': () => begun.push('/'),
    });
    const slot = bench.accept();
    bench.serve(slot, get('/first') + get('/'));
    expect(begun).toEqual(['/first']);
    expect(bench.state(slot)).toBe('closing');
    expect(aborted(bench)).toBe(1);
  });

  it('leaves nothing behind for the connection that the worker serves next', () => {
    const { bench, begun, slot } = counting();
    bench.queue(slot, get('/'));
    bench.notice(slot, FLAG_END | FLAG_HANGUP);
    bench.claim(slot);
    const next = bench.accept();
    bench.serve(next, get('/'));
    expect(begun).toEqual(['/']);
    expect(statuses(bench.socket(next).output)).toEqual(['200']);
    expect(bench.state(next)).toBe('keepalive');
  });
});

describe('a request that goes to an idle worker', () => {
  it('tells the other worker that the client has left meanwhile', () => {
    const handled: string[] = [];
    const bench = benchOf({
      '/': (exchange) => {
        handled.push(exchange.target);
        ok(exchange);
      },
    });
    const slot = bench.accept();
    bench.heir = 1;
    bench.queue(slot, get('/'));
    // The event comes when the request has been read, and before it is given away.
    bench.heirFor = () => {
      bench.notice(slot, FLAG_READY | FLAG_END | FLAG_HANGUP);
      return 1;
    };
    bench.claim(slot);
    expect(bench.delegated).toEqual([slot]);
    bench.heirFor = () => -1;
    bench.claim(slot);
    expect(handled).toEqual([]);
    expect(bench.state(slot)).toBe('closing');
    expect(bench.board.childDouble(0, CHILD.aborted)).toBe(1);
  });

  it('is forgotten here, though the one before it had to wait', () => {
    const large = (exchange: Exchange) => exchange.respond(200, '', [], LARGE);
    const bench = benchOf({ '/large': large, '/long': ok });
    const slot = bench.accept();
    bench.socket(slot).room = 1_000;
    bench.serve(slot, get('/large') + get('/long'));
    expect(bench.state(slot)).toBe('suspended');
    expect(bench.pinned.size).toBe(1);
    bench.heir = 1;
    bench.socket(slot).room = Number.POSITIVE_INFINITY;
    bench.wake(slot);
    expect(bench.delegated).toEqual([slot]);
    expect(bench.state(slot)).toBe('queued');
    expect(bench.pinned.size).toBe(0);
  });
});
