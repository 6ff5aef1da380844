/** Bodies that come over time: no faster than the client takes them, and ended at once when it goes. */
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { FetchHandler } from '../../../src/workers/fetch/fetch-handler.ts';
import { Response } from '../../../src/workers/fetch/response.ts';
import { FakeExchange, type FakeRequest } from '../../support/fake-exchange.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));
const turns = async (count: number) => {
  for (let i = 0; i < count; i++) await turn();
};

function start(handler: () => unknown, request: FakeRequest = {}): FakeExchange {
  const exchange = new FakeExchange(request);
  new FetchHandler(handler).handle(exchange);
  return exchange;
}

/** An iterable that stays silent after its first chunk and notes what it is told. */
function silent(told: string[]): AsyncIterable<string> {
  let count = 0;
  return {
    [Symbol.asyncIterator]: () => ({
      next: () =>
        count++ === 0 ? Promise.resolve({ done: false, value: 'a' }) : new Promise(() => {}),
      return: () => {
        told.push('return');
        return Promise.resolve({ done: true, value: undefined });
      },
    }),
  };
}

describe('a Readable', () => {
  it('is read no faster than the peer takes it', async () => {
    let made = 0;
    const source = new Readable({
      highWaterMark: 10,
      read() {
        made++;
        this.push(made > 6 ? null : Buffer.alloc(10, 96 + made));
      },
    });
    const exchange = start(() => new Response(source), { window: 15 });
    await turns(20);
    const before = made;
    expect(before).toBeLessThan(5);
    expect(exchange.ended).toBe(false);
    exchange.window = 1000;
    exchange.drain();
    await exchange.finished();
    expect(exchange.body).toBe(['a', 'b', 'c', 'd', 'e', 'f'].map((c) => c.repeat(10)).join(''));
  });

  it.each([0, 1])('is destroyed at once while it is silent, after %i chunks', async (chunks) => {
    const source = new Readable({ read() {} });
    if (chunks > 0) source.push('x');
    const exchange = start(() => new Response(source));
    await turns(3);
    expect(exchange.headersSent).toBe(true);
    exchange.leave();
    expect(source.destroyed).toBe(true);
    await turns(3);
    expect(exchange.errors).toEqual([]);
  });

  it('is destroyed by way of response.body as well', async () => {
    const source = new Readable({ read() {} });
    const exchange = start(() => {
      const inner = new Response(source);
      return new Response(inner.body, inner);
    });
    await turns(3);
    exchange.leave();
    await turns(3);
    expect(source.destroyed).toBe(true);
  });

  it('is destroyed where HEAD needs no body, also if it cannot be opened', async () => {
    const source = createReadStream('/nonexistent/file');
    const closed = new Promise<void>((resolve) => source.on('close', () => resolve()));
    const exchange = start(() => new Response(source), { method: 'HEAD' });
    await exchange.finished();
    expect(source.destroyed).toBe(true);
    await closed;
  });

  it('that breaks fails the response', async () => {
    const exchange = start(() => new Response(createReadStream('/nonexistent/file')));
    await exchange.finished();
    expect(exchange.errors).toMatchObject([{ code: 'ENOENT' }]);
  });
});

describe('an async iterator', () => {
  it('hears of it at once although a chunk is awaited', async () => {
    const told: string[] = [];
    const exchange = start(() => new Response(silent(told)));
    await turns(3);
    expect(told).toEqual([]);
    exchange.leave();
    expect(told).toEqual(['return']);
    await turns(3);
    expect(told).toEqual(['return']);
  });

  it('hears of it while the peer takes nothing', async () => {
    let finished = false;
    async function* endless() {
      try {
        for (;;) yield Buffer.alloc(100);
      } finally {
        finished = true;
      }
    }
    const exchange = start(() => new Response(endless()), { window: 50 });
    await turns(3);
    expect(exchange.unsent).toBe(100);
    exchange.leave();
    await turns(2);
    expect(finished).toBe(true);
  });
});

describe('a response that comes too late', () => {
  it('has its producer ended, whatever it is', async () => {
    const told: string[] = [];
    const readable = new Readable({ read() {} });
    const stream = new ReadableStream({
      cancel() {
        told.push('cancel');
      },
    });
    for (const body of [readable, stream, silent(told)]) {
      let respond: (value: unknown) => void = () => {};
      const exchange = start(
        () =>
          new Promise((resolve) => {
            respond = resolve;
          }),
      );
      exchange.leave();
      respond(new Response(body));
      await turns(2);
    }
    expect(readable.destroyed).toBe(true);
    expect(told).toEqual(['cancel', 'return']);
  });
});
