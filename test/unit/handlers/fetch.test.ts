import { afterEach, describe, expect, it } from 'vitest';
import type { FetchContext } from '../../../src/workers/fetch/context.ts';
import { FetchHandler } from '../../../src/workers/fetch/fetch-handler.ts';
import { installGlobals } from '../../../src/workers/fetch/globals.ts';
import { Headers, Request, Response } from '../../../src/workers/fetch/index.ts';
import type { BodyInit } from '../../../src/workers/fetch/types.ts';
import { FakeExchange, type FakeRequest } from '../../support/fake-exchange.ts';

const NativeResponse = globalThis.Response;
const NativeRequest = globalThis.Request;
const NativeHeaders = globalThis.Headers;

async function run(
  handler: ConstructorParameters<typeof FetchHandler>[0],
  request: FakeRequest = {},
): Promise<FakeExchange> {
  const exchange = new FakeExchange(request);
  new FetchHandler(handler).handle(exchange);
  await exchange.finished();
  return exchange;
}

/** The light request of an exchange. */
function requestFor(exchange: FakeExchange): globalThis.Request {
  let seen: globalThis.Request | undefined;
  new FetchHandler((request) => {
    seen = request;
    return new Promise(() => {});
  }).handle(exchange);
  return seen as globalThis.Request;
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('instanceof', () => {
  it('is true both ways for responses and headers', () => {
    expect(new Response('x') instanceof NativeResponse).toBe(true);
    expect(new NativeResponse('x') instanceof Response).toBe(true);
    expect(new Headers() instanceof NativeHeaders).toBe(true);
    expect(new NativeHeaders() instanceof Headers).toBe(true);
    expect({} instanceof Response).toBe(false);
    expect(Object.prototype.toString.call(new Response())).toBe('[object Response]');
  });
  it('is true both ways for requests', () => {
    const request = requestFor(new FakeExchange());
    expect(request instanceof NativeRequest).toBe(true);
    expect(request instanceof Request).toBe(true);
    expect(new NativeRequest('http://a/') instanceof Request).toBe(true);
    expect(new Request('http://a/') instanceof NativeRequest).toBe(true);
    expect(request.constructor).toBe(Request);
  });
  it('keeps the ordinary rule for subclasses', () => {
    class Mine extends Response {}
    expect(new Mine('x') instanceof Mine).toBe(true);
    expect(new Response('x') instanceof Mine).toBe(false);
    class MyRequest extends Request {}
    expect(new MyRequest('http://a/') instanceof MyRequest).toBe(true);
    expect(new MyRequest('http://a/').url).toBe('http://a/');
  });
});

describe('Request', () => {
  it('gives method, url and headers', () => {
    const exchange = new FakeExchange({
      method: 'POST',
      target: '/a/b?c=d',
      headers: [
        ['Host', 'Example.test:80'],
        ['Accept', 'a'],
        ['X-Latin', 'caf\u00e9'],
        ['ACCEPT', 'b'],
        ['Set-Cookie', 'x=1'],
        ['Set-Cookie', 'y=2'],
      ],
    });
    const request = requestFor(exchange);
    for (const overwrite of [false, true]) {
      if (overwrite) exchange.overwriteTable();
      expect(request.method).toBe('POST');
      expect(request.url).toBe('http://example.test/a/b?c=d');
      expect(request.headers.get('accept')).toBe('a, b');
      expect(request.headers.get('x-Latin')).toBe('caf\u00e9');
      expect(request.headers.get('nope')).toBe(null);
      expect(request.headers.has('HOST')).toBe(true);
    }
    expect([...request.headers]).toEqual([
      ['accept', 'a, b'],
      ['host', 'Example.test:80'],
      ['set-cookie', 'x=1'],
      ['set-cookie', 'y=2'],
      ['x-latin', 'caf\u00e9'],
    ]);
    expect(request.headers.getSetCookie()).toEqual(['x=1', 'y=2']);
  });

  it.each([
    ['/a/../b', 'http://h.test/b'],
    ['/%2e%2E/b', 'http://h.test/b'],
    ['//other.test/x', 'http://h.test//other.test/x'],
    ['/\\other.test', 'http://h.test//other.test'],
    ['/a"b', 'http://h.test/a%22b'],
    ['/a?q="\'', 'http://h.test/a?q=%22%27'],
    ['*', 'http://h.test/'],
    ['http://Other.test/x', 'http://other.test/x'],
  ])('serialises target %s', (target, url) => {
    expect(requestFor(new FakeExchange({ target, headers: [['Host', 'h.test']] })).url).toBe(url);
  });

  it('uses the local end without a Host field', () => {
    expect(requestFor(new FakeExchange({ headers: [], minorVersion: 0 })).url).toBe(
      'http://127.0.0.1:8080/',
    );
  });

  it('answers 400 where Host and target make no URL', async () => {
    for (const host of ['a@b', 'a/b', 'a b', '1.2.3.999', '[::1']) {
      const exchange = await run((request) => new Response(request.url), {
        headers: [['Host', host]],
      });
      expect(exchange.sent?.status).toBe(400);
    }
  });

  it('reads a whole body once', async () => {
    const exchange = new FakeExchange({ method: 'POST', body: '\ufeff{"a":"\u00fc"}' });
    const request = requestFor(exchange);
    expect(request.bodyUsed).toBe(false);
    expect(await request.json()).toEqual({ a: '\u00fc' });
    expect(request.bodyUsed).toBe(true);
    await expect(request.text()).rejects.toThrow(TypeError);
    expect(() => request.clone()).toThrow(TypeError);
  });

  it('has no body where there is none', async () => {
    const request = requestFor(new FakeExchange());
    expect(request.body).toBe(null);
    expect(await request.text()).toBe('');
    expect(await request.text()).toBe('');
    expect((await request.arrayBuffer()).byteLength).toBe(0);
    expect(request.bodyUsed).toBe(false);
  });

  it('collects a streamed body', async () => {
    const pieces = ['ab', 'c'.repeat(10_000), 'd'];
    for (const contentLength of [-1, 10_003]) {
      const exchange = new FakeExchange({ method: 'POST', body: pieces, contentLength });
      expect(await requestFor(exchange).text()).toBe(pieces.join(''));
    }
  });

  it('streams a body no faster than it is read', async () => {
    const exchange = new FakeExchange({ method: 'POST', body: ['a', 'b', 'c'] });
    const request = requestFor(exchange);
    const reader = request.body!.getReader();
    await turn();
    expect(exchange.reads).toBe(0);
    expect(request.bodyUsed).toBe(false);
    expect(Buffer.from((await reader.read()).value!).toString()).toBe('a');
    await turn();
    expect(exchange.reads).toBe(1);
    expect(request.bodyUsed).toBe(true);
    await expect(request.text()).rejects.toThrow(TypeError);
    expect(Buffer.from((await reader.read()).value!).toString()).toBe('b');
    expect(Buffer.from((await reader.read()).value!).toString()).toBe('c');
    expect((await reader.read()).done).toBe(true);
  });

  it('reads by text() what body gave, while it is untouched', async () => {
    for (const body of ['abc', ['a', 'bc']]) {
      const request = requestFor(new FakeExchange({ method: 'POST', body }));
      expect(request.body).toBeInstanceOf(ReadableStream);
      expect(await request.text()).toBe('abc');
      expect(request.bodyUsed).toBe(true);
    }
  });

  it('clones and parses forms through the native class', async () => {
    const exchange = new FakeExchange({
      method: 'POST',
      headers: [
        ['Host', 'h'],
        ['Content-Type', 'application/x-www-form-urlencoded'],
      ],
      body: 'a=1&b=2',
    });
    const request = requestFor(exchange);
    const copy = request.clone();
    expect(await copy.text()).toBe('a=1&b=2');
    const form = await request.formData();
    expect(form.get('b')).toBe('2');
    expect(request.bodyUsed).toBe(true);
  });

  it('becomes native where a native Request is made from it', async () => {
    const exchange = new FakeExchange({ method: 'POST', body: ['x', 'y'] });
    const request = requestFor(exchange);
    const other = new Request(request, { headers: { a: 'b' } });
    expect(other.headers.get('a')).toBe('b');
    expect(other.method).toBe('POST');
    expect(await other.text()).toBe('xy');
  });

  it('aborts its signal when the peer leaves, before or after it was asked for', async () => {
    const first = new FakeExchange();
    const { signal } = requestFor(first);
    expect(signal.aborted).toBe(false);
    first.leave();
    expect(signal.aborted).toBe(true);
    expect(signal.reason.name).toBe('AbortError');
    const second = new FakeExchange();
    const request = requestFor(second);
    second.leave();
    second.reuse();
    expect(request.signal.aborted).toBe(true);
  });

  it('stays harmless after its exchange has gone', async () => {
    const exchange = new FakeExchange({ method: 'POST', target: '/x', body: 'abc' });
    const request = requestFor(exchange);
    exchange.respond(200, '', [], null);
    exchange.reuse();
    expect(request.url).toBe('http://example.test/x');
    expect(request.headers.get('host')).toBe('example.test');
    await expect(request.text()).rejects.toThrow('The request has ended');
    await expect(request.body!.getReader().read()).rejects.toThrow(TypeError);
  });
});

describe('Headers', () => {
  it('follows the standard', () => {
    const headers = new Headers({ B: ' 2 ', a: '1' });
    headers.append('b', '3');
    headers.append('Set-Cookie', 'x');
    headers.append('set-cookie', 'y');
    expect([...headers]).toEqual([
      ['a', '1'],
      ['b', '2, 3'],
      ['set-cookie', 'x'],
      ['set-cookie', 'y'],
    ]);
    headers.set('B', '4');
    expect(headers.get('b')).toBe('4');
    headers.delete('set-cookie');
    expect([...headers.keys()]).toEqual(['a', 'b']);
    expect([...headers.values()]).toEqual(['1', '4']);
    const seen: string[] = [];
    headers.forEach((value, name) => {
      seen.push(name + value);
    });
    expect(seen).toEqual(['a1', 'b4']);
    expect([...new NativeHeaders(headers)]).toEqual([...headers]);
    expect([...new Headers(new NativeHeaders(headers))]).toEqual([...headers]);
    expect(Object.fromEntries(new Headers([['X', 'y']]))).toEqual({ x: 'y' });
  });

  it('refuses what could split a response', () => {
    for (const value of ['a\r\nb', 'a\nb', 'a\0b', '\u0100']) {
      expect(() => new Headers({ a: value })).toThrow(TypeError);
      expect(() => new Headers().append('a', value)).toThrow(TypeError);
      expect(() => new Response('', { headers: { a: value } })).toThrow(TypeError);
    }
    for (const name of ['', 'a b', 'a:', 'a\r\n', '\u00e9']) {
      expect(() => new Headers({ [name]: '' })).toThrow(TypeError);
      expect(() => new Headers().get(name)).toThrow(TypeError);
    }
    expect(() => new Headers([['a']])).toThrow(TypeError);
    // @ts-expect-error not headers at all
    expect(() => new Headers('a')).toThrow(TypeError);
  });

  it('leaves a list it shares alone', () => {
    const a = new Response('x');
    a.headers.set('content-type', 'text/html');
    expect(new Response('y').headers.get('content-type')).toBe('text/plain;charset=UTF-8');
    const b = a.clone();
    b.headers.set('content-type', 'text/css');
    expect(a.headers.get('content-type')).toBe('text/html');
  });
});

describe('Response', () => {
  it('checks its arguments as the standard does', () => {
    for (const status of [0, 101, 199, 600, Number.NaN]) {
      expect(() => new Response('', { status })).toThrow(RangeError);
    }
    for (const status of [204, 205, 304]) {
      expect(() => new Response('', { status })).toThrow(TypeError);
      expect(new Response(null, { status }).status).toBe(status);
    }
    expect(() => new Response('', { statusText: 'a\r\nb' })).toThrow(TypeError);
    const locked = new ReadableStream();
    locked.getReader();
    expect(() => new Response(locked)).toThrow(TypeError);
    expect(() => Response.json(undefined)).toThrow(TypeError);
    expect(() => Response.redirect('http://a/', 200)).toThrow(RangeError);
    expect(() => Response.redirect('http://')).toThrow(TypeError);
  });

  it('has the statics of the standard', async () => {
    const json = Response.json({ a: 1 }, { status: 201 });
    expect(json.status).toBe(201);
    expect(json.headers.get('content-type')).toBe('application/json');
    expect(await json.json()).toEqual({ a: 1 });
    expect(Response.redirect('http://a/b c').headers.get('location')).toBe('http://a/b%20c');
    expect(Response.redirect('/login', 303).headers.get('location')).toBe('/login');
    expect(Response.redirect('/\u00fc').headers.get('location')).toBe('/%C3%BC');
    expect(() => Response.redirect('/a\r\nb')).not.toThrow();
    expect(Response.redirect('/a\r\nb').headers.get('location')).toBe('/ab');
    expect(Response.error().type).toBe('error');
  });

  it.each([
    ['string', () => 'abc', 'text/plain;charset=UTF-8'],
    ['bytes', () => new Uint8Array([97, 98, 99]), null],
    ['buffer', () => new Uint8Array([97, 98, 99]).buffer, null],
    ['view', () => new DataView(new Uint8Array([97, 98, 99]).buffer), null],
    ['blob', () => new Blob(['abc'], { type: 'text/css' }), 'text/css'],
    ['stream', () => new Blob(['abc']).stream(), null],
    [
      'iterable',
      async function* () {
        yield 'a';
        yield Buffer.from('bc');
      },
      null,
    ],
  ])('reads and sends a %s body', async (_kind, make, type) => {
    const body = () => make() as BodyInit;
    expect(await new Response(body()).text()).toBe('abc');
    expect(Buffer.from(await new Response(body()).arrayBuffer()).toString()).toBe('abc');
    expect(await new Response(body()).clone().text()).toBe('abc');
    expect(await new Response(new Response(body()).body).text()).toBe('abc');
    const used = new Response(body());
    expect(used.bodyUsed).toBe(false);
    await used.blob();
    expect(used.bodyUsed).toBe(true);
    await expect(used.text()).rejects.toThrow(TypeError);
    expect(() => used.clone()).toThrow(TypeError);
    expect(() => new Response(used.body)).toThrow(TypeError);
    const exchange = await run(() => new Response(body(), { headers: { a: 'b' } }));
    expect(exchange.errors).toEqual([]);
    expect(exchange.bodyText).toBe('abc');
    expect(exchange.header('content-type')).toBe(type);
    expect(exchange.header('a')).toBe('b');
  });

  it('sends forms', async () => {
    const search = await run(() => new Response(new URLSearchParams({ a: 'b c' })));
    expect(search.body).toBe('a=b+c');
    expect(search.header('content-type')).toBe('application/x-www-form-urlencoded;charset=UTF-8');
    const form = new FormData();
    form.set('a', 'b');
    const multipart = await run(() => new Response(form));
    expect(multipart.header('content-type')).toMatch(/^multipart\/form-data; boundary=/);
    expect(multipart.body).toContain('name="a"');
    expect((await new Response(form).formData()).get('a')).toBe('b');
  });

  it('serves plain strings with one shared list, in one piece', async () => {
    const a = await run(() => new Response('a'));
    const b = await run(async () => new Response('b'));
    expect(a.sent?.headers).toBe(b.sent?.headers);
    const html = () => new Response('x', { headers: { 'Content-Type': 'text/html' } });
    expect((await run(html)).sent?.headers).toBe((await run(html)).sent?.headers);
  });

  it('keeps fields of the connection to itself', async () => {
    const exchange = await run(
      () => new Response('a', { headers: { Connection: 'x', 'Transfer-Encoding': 'y', b: 'c' } }),
    );
    expect(exchange.sent?.headers).toEqual(['b', 'c', 'content-type', 'text/plain;charset=UTF-8']);
  });

  it('passes a body on through another Response without streaming it', async () => {
    const exchange = await run(() => {
      const inner = new Response('abc', { headers: { a: 'b' } });
      return new Response(inner.body, inner);
    });
    expect(exchange.sent?.whole).toBe(true);
    expect(exchange.body).toBe('abc');
    expect(exchange.header('content-type')).toBe('text/plain;charset=UTF-8');
  });
});

describe('FetchHandler', () => {
  it('accepts native responses, in one piece where the body is there', async () => {
    const exchange = await run(
      () =>
        new NativeResponse('abc', {
          status: 201,
          headers: [
            ['Set-Cookie', 'a'],
            ['Set-Cookie', 'b'],
          ],
        }),
    );
    expect(exchange.sent).toMatchObject({ status: 201, whole: true });
    expect(exchange.sent?.headers.filter((name) => name === 'set-cookie')).toHaveLength(2);
    expect(exchange.body).toBe('abc');
    expect((await run(() => new NativeResponse(null, { status: 204 }))).sent?.status).toBe(204);
  });

  it('fails where no response comes back', async () => {
    for (const value of [
      undefined,
      null,
      'x',
      {},
      Promise.resolve(1),
      Response.error(),
      NativeResponse.error(),
    ]) {
      const exchange = await run(() => value);
      expect(exchange.errors).toHaveLength(1);
      expect(exchange.errors[0]).toBeInstanceOf(TypeError);
    }
    const error = new Error('x');
    const thrown = await run(() => {
      throw error;
    });
    expect(thrown.errors).toEqual([error]);
    expect((await run(() => Promise.reject(error))).errors).toEqual([error]);
    const used = new Response('x');
    await used.text();
    const stream = new Response(new Blob(['x']).stream());
    await stream.text();
    expect((await run(() => stream)).errors).toHaveLength(1);
  });

  it('answers a plain value before it returns', () => {
    const exchange = new FakeExchange();
    new FetchHandler(() => new Response('x')).handle(exchange);
    expect(exchange.ended).toBe(true);
  });

  it('does nothing to an exchange that was reused meanwhile', async () => {
    const exchange = new FakeExchange();
    let cancelled = false;
    const stream = new ReadableStream({
      cancel() {
        cancelled = true;
      },
    });
    let finish: (value: unknown) => void = () => {};
    new FetchHandler(() => new Promise((resolve) => (finish = resolve))).handle(exchange);
    exchange.leave();
    exchange.reuse();
    finish(new Response(stream));
    await turn();
    expect(exchange.sent).toBe(null);
    expect(cancelled).toBe(true);
  });

  it('streams with backpressure', async () => {
    let pulled = 0;
    const stream = new ReadableStream(
      {
        async pull(controller) {
          await turn();
          pulled++;
          if (pulled > 5) controller.close();
          else controller.enqueue(Buffer.from(`${pulled}`.repeat(10)));
        },
      },
      { highWaterMark: 0 },
    );
    const exchange = new FakeExchange({ window: 15 });
    new FetchHandler(() => new Response(stream)).handle(exchange);
    for (let i = 0; i < 20; i++) await turn();
    expect(exchange.sent).toMatchObject({ whole: false, contentLength: -1 });
    expect(pulled).toBe(2);
    exchange.drain();
    for (let i = 0; i < 20; i++) await turn();
    expect(pulled).toBe(4);
    exchange.window = 1000;
    exchange.drain();
    await exchange.finished();
    expect(exchange.body).toHaveLength(50);
  });

  it('sends the head of a silent stream at once, and cancels it when the peer leaves', async () => {
    let reason: unknown;
    let request: globalThis.Request | undefined;
    const stream = new ReadableStream({
      cancel(why) {
        reason = why;
      },
    });
    const exchange = new FakeExchange();
    new FetchHandler((given) => {
      request = given;
      return new Response(stream);
    }).handle(exchange);
    await turn();
    expect(exchange.sent?.whole).toBe(false);
    const { signal } = request!;
    exchange.leave();
    await turn();
    expect((reason as Error).name).toBe('AbortError');
    expect(signal.aborted).toBe(true);
  });

  it('runs the finally of a generator whose peer left', async () => {
    let cleaned = false;
    async function* produce() {
      try {
        for (;;) {
          await turn();
          yield 'x'.repeat(100);
        }
      } finally {
        cleaned = true;
      }
    }
    const exchange = new FakeExchange({ window: 50 });
    new FetchHandler(() => new Response(produce())).handle(exchange);
    for (let i = 0; i < 5; i++) await turn();
    exchange.leave();
    for (let i = 0; i < 5; i++) await turn();
    expect(cleaned).toBe(true);
  });

  it('fails a stream that breaks, before and after the head', async () => {
    const error = new Error('broken');
    const early = await run(
      () => new Response(new ReadableStream({ pull: () => Promise.reject(error) })),
    );
    expect(early.errors).toEqual([error]);
    expect(early.headersSent).toBe(false);
    async function* late() {
      yield 'a';
      await turn();
      throw error;
    }
    const broken = await run(() => new Response(late()));
    expect(broken.errors).toEqual([error]);
    expect(broken.headersSent).toBe(true);
    const wrong = await run(
      () => new Response(new ReadableStream({ start: (c) => c.enqueue(1 as never) })),
    );
    expect(wrong.errors[0]).toBeInstanceOf(TypeError);
  });

  it('holds a stream to the length it declares', async () => {
    async function* body() {
      yield 'abc';
      await turn();
      yield 'def';
    }
    const make = (length: string) => () =>
      new Response(body(), { headers: { 'content-length': length } });
    const right = await run(make('6'));
    expect(right.sent?.contentLength).toBe(6);
    expect(right.errors).toEqual([]);
    for (const length of ['2', '5', '7']) {
      expect((await run(make(length))).errors[0]).toBeInstanceOf(RangeError);
    }
  });

  it('answers HEAD without reading the body', async () => {
    let cancelled = false;
    const stream = new ReadableStream(
      {
        cancel() {
          cancelled = true;
        },
      },
      { highWaterMark: 0 },
    );
    const exchange = await run(() => new Response(stream, { headers: { 'content-length': '7' } }), {
      method: 'HEAD',
    });
    expect(exchange.sent?.contentLength).toBe(7);
    expect(exchange.body).toBe('');
    await turn();
    expect(cancelled).toBe(true);
    const empty = await run(() => new Response(null, { headers: { 'content-length': '9' } }), {
      method: 'HEAD',
    });
    expect(empty.sent?.contentLength).toBe(9);
  });

  it('gives a context', async () => {
    let settle: () => void = () => {};
    let late: { remoteAddress: string } | undefined;
    const handler = new FetchHandler((_request, context) => {
      late = context;
      context.waitUntil(new Promise<void>((resolve) => (settle = resolve)));
      return new Response(`${context.remoteAddress} ${context.remotePort}`);
    });
    const exchange = new FakeExchange();
    handler.handle(exchange);
    expect(exchange.body).toBe('192.0.2.7 40000');
    exchange.reuse();
    expect(late?.remoteAddress).toBe('');
    expect(handler.background.pending).toBe(1);
    const idle = handler.background.idle();
    settle();
    await idle;
    expect(handler.background.pending).toBe(0);
  });

  it('takes the route from the context, while the request lasts', () => {
    let late: FetchContext | undefined;
    const handler = new FetchHandler((_request, context) => {
      late = context;
      expect(context.route).toBe('');
      context.route = '/users/:id';
      expect(() => {
        context.route = /x/ as unknown as string;
      }).toThrow('context.route has to be a string, not object');
      return new Response('');
    });
    const exchange = new FakeExchange();
    handler.handle(exchange);
    expect(exchange.route).toBe('/users/:id');
    exchange.reuse();
    exchange.route = '';
    (late as FetchContext).route = '/too-late';
    expect([exchange.route, late?.route]).toEqual(['', '']);
  });
});

describe('installGlobals', () => {
  let restore = () => {};
  afterEach(() => restore());
  it('puts the light classes in place and back', async () => {
    restore = installGlobals();
    expect(globalThis.Response).toBe(Response);
    expect(globalThis.Request).toBe(Request);
    expect(globalThis.Headers).toBe(Headers);
    expect(new NativeResponse('x') instanceof globalThis.Response).toBe(true);
    await expect(fetch('data:,abc').then((response) => response.text())).resolves.toBe('abc');
    restore();
    expect(globalThis.Response).toBe(NativeResponse);
  });
});
