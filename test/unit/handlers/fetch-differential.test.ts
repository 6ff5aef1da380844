/**
 * The light classes beside the runtime's own: the same program, the same outcome.
 *
 * What is meant to differ is listed with both outcomes, so that a difference that goes away, or a new
 * one, fails as well.
 */
import { describe, expect, it } from 'vitest';
import * as light from '../../../src/workers/fetch/index.ts';

type Classes = Pick<typeof globalThis, 'Headers' | 'Request' | 'Response'>;
type Case = readonly [name: string, program: (classes: Classes) => unknown];

const native: Classes = {
  Headers: globalThis.Headers,
  Request: globalThis.Request,
  Response: globalThis.Response,
};
const own = light as unknown as Classes;

/** What it gives, or the name of what it throws or rejects with. */
async function outcome(program: () => unknown): Promise<unknown> {
  try {
    return await program();
  } catch (error) {
    return (error as Error).name;
  }
}
const outcomes = async (programs: readonly (() => unknown)[]): Promise<unknown[]> => {
  const all: unknown[] = [];
  for (const program of programs) all.push(await outcome(program));
  return all;
};

const stream = (...chunks: readonly unknown[]) =>
  new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
const bytes = (text: string) => new TextEncoder().encode(text);
const readers = ['text', 'json', 'arrayBuffer', 'blob', 'formData'] as const;
// biome-ignore lint/suspicious/noExplicitAny: these are the arguments that types forbid
const odd = (value: unknown) => value as any;

const HEADERS: readonly Case[] = [
  [
    'order, case and joining',
    ({ Headers }) => {
      const headers = new Headers([
        ['b', '2'],
        ['A', '1'],
        ['b', '3'],
        ['Set-Cookie', 'x'],
        ['set-cookie', 'y'],
      ]);
      return [
        [...headers],
        [...headers.keys()],
        [...headers.values()],
        headers.get('B'),
        headers.get('set-cookie'),
        headers.getSetCookie(),
        headers.constructor === Headers,
      ];
    },
  ],
  [
    'what is no init',
    ({ Headers }) =>
      outcomes(
        [
          null,
          1,
          'ab',
          [['a']],
          [['a', 'b', 'c']],
          ['ab'],
          [['a b', 'c']],
          [['', 'x']],
          { a: 'x\ny' },
          { a: 'x\0' },
          { a: '\u0100' },
          { a: Symbol() },
          { a: undefined },
          new Map([['a', 'b']]),
          undefined,
        ].map((init) => () => [...new Headers(odd(init))]),
      ),
  ],
  [
    'values are normalised and converted',
    ({ Headers }) => {
      const headers = new Headers({ a: ' x\t', b: '\xe9', c: '', d: odd(5), e: odd(null) });
      headers.append('a', ' y');
      headers.set('C', 'z');
      headers.delete('B');
      return [...headers];
    },
  ],
  [
    'set keeps one of several',
    ({ Headers }) => {
      const headers = new Headers([
        ['a', '1'],
        ['b', '2'],
        ['a', '3'],
      ]);
      headers.set('A', '9');
      return [...headers];
    },
  ],
  [
    'missing and invalid arguments',
    ({ Headers }) => {
      const headers = odd(new Headers());
      return outcomes([
        () => headers.set('a'),
        () => headers.append('a'),
        () => headers.forEach(),
        () => headers.forEach(1),
        () => headers.get(''),
        () => headers.has('a b'),
        () => headers.delete('é'),
        () => headers.set('a', 'b\r\nc: d'),
        () => odd(Headers)(),
      ]);
    },
  ],
  [
    'cookies are joined by a semicolon',
    ({ Headers }) =>
      new Headers([
        ['cookie', 'a'],
        ['cookie', 'b'],
      ]).get('cookie'),
  ],
  [
    'as an object',
    ({ Headers }) => [
      String(new Headers()),
      Headers.name,
      Headers.length,
      Object.keys(new Headers({ a: '1' })),
      JSON.stringify(new Headers({ a: '1' })),
      Headers.prototype.entries === Headers.prototype[Symbol.iterator],
    ],
  ],
];

const RESPONSES: readonly Case[] = [
  [
    'its parts',
    ({ Response }) => {
      const response = new Response('x', { status: 201, statusText: 'hi', headers: { a: 'b' } });
      const { status, statusText, ok, type, url, redirected, bodyUsed, headers } = response;
      return [status, statusText, ok, type, url, redirected, bodyUsed, [...headers]];
    },
  ],
  [
    'what init may say',
    ({ Response }) =>
      outcomes(
        [
          { status: 199 },
          { status: 600 },
          { status: 101 },
          { status: '404' },
          { status: Number.NaN },
          { status: 200.7 },
          { status: null },
          { statusText: 'a\n' },
          { statusText: 'é' },
          { statusText: '\u0100' },
          { headers: null },
          null,
          undefined,
          5,
          'x',
        ].map((init) => () => {
          const { status, statusText } = new Response('', odd(init));
          return [status, statusText];
        }),
      ),
  ],
  [
    'statuses without a body',
    ({ Response }) =>
      outcomes(
        [204, 205, 304].flatMap((status) => [
          () => new Response('x', { status }),
          () => new Response('', { status }),
          () => new Response(null, { status }).status,
          () => new Response(undefined, { status }).body,
        ]),
      ),
  ],
  [
    'bodies and their types',
    ({ Response }) =>
      outcomes(
        [
          'x',
          '',
          null,
          undefined,
          new Uint8Array([97]),
          new ArrayBuffer(2),
          new DataView(new ArrayBuffer(1)),
          new Blob(['x'], { type: 'a/b' }),
          new Blob(['x']),
          new URLSearchParams('a=b c'),
          5,
          true,
          {},
          [1, 2],
          new URL('http://a/'),
        ].map((body) => async () => {
          const response = new Response(odd(body));
          const isNull = response.body === null;
          const type = response.headers.get('content-type');
          return [isNull, type, await response.text(), response.bodyUsed];
        }),
      ),
  ],
  [
    'a body is read once',
    async ({ Response }) => {
      const response = new Response('a');
      const text = await response.text();
      return [
        text,
        response.bodyUsed,
        await outcomes(readers.map((reader) => () => response[reader]())),
        await outcome(() => response.clone()),
      ];
    },
  ],
  [
    'an empty one once, none as often as one likes',
    async ({ Response }) => {
      const empty = new Response('');
      const none = new Response();
      return outcomes([
        () => empty.text(),
        () => empty.text(),
        () => none.text(),
        () => none.text(),
        () => none.json(),
        () => none.bodyUsed,
      ]);
    },
  ],
  [
    'a stream that is locked, cancelled or read',
    async ({ Response }) => {
      const locked = new ReadableStream();
      locked.getReader();
      const reading = new Response('a');
      reading.body?.getReader();
      const cancelled = new Response('a');
      await cancelled.body?.cancel();
      return outcomes([
        () => new Response(locked),
        () => reading.text(),
        () => reading.clone(),
        () => reading.bodyUsed,
        () => cancelled.text(),
        () => cancelled.bodyUsed,
        () => new Response(stream(5)).text(),
      ]);
    },
  ],
  [
    'streams',
    async ({ Response }) => {
      const given = stream(bytes('a'), bytes('bc'));
      const response = new Response(given);
      const byob = new Response('xyz').body?.getReader(odd({ mode: 'byob' }));
      const piece = (await odd(byob).read(new Uint8Array(2))) as { value: Uint8Array };
      let iterated = '';
      for await (const chunk of odd(new Response('xyz').body)) iterated += Buffer.from(chunk);
      const [one, two] = new Response('xy').body?.tee() ?? [];
      return [
        response.body === given,
        response.headers.get('content-type'),
        await response.text(),
        [...piece.value],
        iterated,
        await new Response(odd(one)).text(),
        await new Response(odd(two)).text(),
      ];
    },
  ],
  [
    'clones',
    async ({ Response }) => {
      const first = new Response('a', { headers: { b: 'c' }, status: 404 });
      const second = first.clone();
      second.headers.set('b', 'd');
      const streamed = new Response(stream(bytes('abc')));
      const copy = streamed.clone();
      return [
        [await first.text(), await second.text(), second.status],
        [first.headers.get('b'), second.headers.get('b')],
        [await copy.text(), await streamed.text()],
      ];
    },
  ],
  [
    'a response around the body of another',
    async ({ Response }) => {
      const inner = new Response('x', { status: 404, statusText: 'q', headers: { z: '1' } });
      const outer = new Response(inner.body, inner);
      const { status, statusText } = outer;
      return [status, statusText, outer.headers.get('z'), await outer.text(), inner.bodyUsed];
    },
  ],
  [
    'json',
    async ({ Response }) => {
      const typed = Response.json({ a: 1 }, { status: 201, headers: { 'content-type': 'x/y' } });
      return [
        [typed.status, typed.headers.get('content-type'), await typed.text()],
        await Response.json(null).json(),
        await outcomes([
          () => Response.json(undefined),
          () => Response.json(() => {}),
          () => Response.json(1n),
          () => Response.json(1, { status: 204 }),
          () => new Response('{').json(),
        ]),
      ];
    },
  ],
  [
    'redirects and errors',
    ({ Response }) => {
      const shown = ({ status, headers, body, type, ok }: Response) => [
        status,
        [...headers],
        body,
        type,
        ok,
      ];
      return outcomes([
        () => shown(odd(Response).redirect('http://a/b')),
        () => shown(odd(Response).redirect('http://a/é', 301)),
        () => shown(odd(Response).redirect(new URL('http://q/'), 307)),
        () => odd(Response).redirect('http://a/', 200),
        () => odd(Response).redirect('http://'),
        () => shown(Response.error()),
      ]);
    },
  ],
  [
    'blobs',
    async ({ Response }) => {
      const types = ['Text/HTML; charset=utf-8', 'image/png', 'nonsense', ''];
      const blobs = types.map((type) =>
        new Response('xy', { headers: { 'content-type': type } }).blob(),
      );
      return (await Promise.all(blobs)).map(({ type, size }) => [type, size]);
    },
  ],
  [
    'forms',
    async ({ Response }) => {
      const form = new FormData();
      form.append('a', '1');
      form.append('f', new File(['hey'], 'n.txt', { type: 'text/plain' }));
      const multipart = new Response(form);
      const read = await multipart.formData();
      const file = read.get('f') as File;
      const typed = (type: string) => new Response('zzz', { headers: { 'content-type': type } });
      return [
        [...(await new Response(new URLSearchParams('a=1&b=2&a=3')).formData())],
        [read.get('a'), file.name, file.type, await file.text()],
        multipart.headers.get('content-type')?.split('=')[0],
        await outcomes([
          () => new Response('a=1').formData(),
          () => typed('multipart/form-data').formData(),
          () => typed('multipart/form-data; boundary=q').formData(),
        ]),
      ];
    },
  ],
  [
    'text: byte order marks and what is no UTF-8',
    ({ Response }) =>
      outcomes([
        () => new Response('\ufeffa').text(),
        () => new Response('\ufeff{"a":1}').json(),
        () => new Response(new Uint8Array([0xef, 0xbb, 0xbf, 97, 0xff])).text(),
        () => new Response('\ud800a\ud83d\ude00').text(),
        async () => (await new Response('é').arrayBuffer()).byteLength,
      ]),
  ],
  [
    'subclasses',
    async ({ Response }) => {
      class Mine extends Response {
        extra = 1;
        hi() {
          return `hi ${this.extra}`;
        }
      }
      const mine = new Mine('x', { status: 202 });
      return [
        [mine.status, mine.hi(), mine.constructor.name],
        [mine instanceof Mine, mine instanceof Response, mine instanceof native.Response],
        await mine.clone().text(),
        Mine.json({}) instanceof Mine,
        new Response() instanceof Mine,
      ];
    },
  ],
  [
    'headers are a copy',
    ({ Headers, Response }) => {
      const headers = new Headers({ a: '1' });
      const response = new Response('', { headers });
      headers.set('a', '2');
      response.headers.set('b', '3');
      return [response.headers.get('a'), headers.get('b')];
    },
  ],
];

const REQUESTS: readonly Case[] = [
  [
    'its parts',
    ({ Request }) => {
      const init = { method: 'post', body: 'x', headers: { a: '1' } };
      const { method, url, headers, bodyUsed, signal } = new Request('http://a/b?c#d', init);
      return [method, url, [...headers], bodyUsed, signal.aborted];
    },
  ],
  [
    'a request of a request',
    async ({ Request }) => {
      const first = new Request('http://a/', { method: 'POST', body: 'x' });
      const second = new Request(first, { headers: { q: '1' } });
      return [first.bodyUsed, await second.text(), second.headers.get('q'), second.method];
    },
  ],
];

describe.each([
  ['Headers', HEADERS],
  ['Response', RESPONSES],
  ['Request', REQUESTS],
])('%s, as the runtime has it', (_name, cases) => {
  it.each(cases)('%s', async (_case, program) => {
    const expected = await outcome(() => program(native));
    expect(await outcome(() => program(own))).toEqual(expected);
  });
});

/** With the runtime's outcome, and with ours. */
const DIFFERENT: readonly (readonly [...Case, unknown, unknown])[] = [
  [
    'deleting while iterating reaches every field',
    ({ Headers }) => {
      const headers = new Headers({ a: '1', b: '2', c: '3' });
      const seen: string[] = [];
      for (const [name] of headers) {
        seen.push(name);
        headers.delete(name);
      }
      return seen;
    },
    ['a', 'c'],
    ['a', 'b', 'c'],
  ],
  [
    'the headers of a redirect may be changed',
    ({ Response }) => {
      const { headers } = odd(Response).redirect('http://a/');
      headers.set('set-cookie', 'b');
      return headers.get('set-cookie');
    },
    'TypeError',
    'b',
  ],
  [
    'a redirect may be a path',
    ({ Response }) => odd(Response).redirect('/login').headers.get('location'),
    'TypeError',
    '/login',
  ],
  [
    'a stream may yield strings',
    ({ Response }) => new Response(stream('a')).text(),
    'TypeError',
    'a',
  ],
  [
    'bytes are kept, not copied',
    ({ Response }) => {
      const body = bytes('a');
      const response = new Response(body);
      body[0] = 98;
      return response.text();
    },
    'a',
    'b',
  ],
  [
    'shared memory may be sent',
    ({ Response }) => new Response(odd(new Uint8Array(new SharedArrayBuffer(1)))).text(),
    'TypeError',
    '\0',
  ],
];

describe('different on purpose', () => {
  it.each(DIFFERENT)('%s', async (_case, program, theirs, ours) => {
    expect(await outcome(() => program(native))).toEqual(theirs);
    expect(await outcome(() => program(own))).toEqual(ours);
  });
});
