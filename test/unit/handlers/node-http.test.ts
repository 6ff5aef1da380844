import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { finished, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { NodeHandler } from '../../../src/workers/node-http/node-handler.ts';
import { FakeExchange, type FakeRequest } from '../../support/fake-exchange.ts';

type Listener = (request: IncomingMessage, response: ServerResponse) => unknown;

const turn = () => new Promise((resolve) => setImmediate(resolve));

function start(listener: Listener, request: FakeRequest = {}): FakeExchange {
  const exchange = new FakeExchange(request);
  new NodeHandler(listener).handle(exchange);
  return exchange;
}

async function run(listener: Listener, request: FakeRequest = {}): Promise<FakeExchange> {
  const exchange = start(listener, request);
  await exchange.finished();
  await turn();
  return exchange;
}

/** What node:http itself puts on the wire for the same request. */
async function wire(listener: Listener, request: string): Promise<string> {
  const server = http.createServer({ keepAliveTimeout: 0 }, listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const socket = connect(port, '127.0.0.1');
  socket.end(request);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  server.close();
  return Buffer.concat(chunks).toString('latin1');
}

const withoutDate = (text: string) => text.replace(/^Date: .*\r\n/im, '');

describe('the bytes are those of node:http', () => {
  const listeners: Record<string, Listener> = {
    'end with a string': (_req, res) => res.end('hello'),
    'end with nothing': (_req, res) => res.end(),
    'end with bytes': (_req, res) => res.end(Buffer.from([0, 255, 10])),
    'headers and status': (_req, res) => {
      res.statusCode = 201;
      res.statusMessage = 'Made';
      res.setHeader('X-A', ['1', '2']);
      res.setHeader('Content-Type', 'text/plain');
      res.end('\u00fc\u20ac');
    },
    writeHead: (_req, res) => {
      res.writeHead(404, { 'Content-Length': 3 });
      res.end('abc');
    },
    'a text whose UTF-8 is longer than it': (_req, res) => res.end('\u00fc'),
    'a text in latin1': (_req, res) => res.end('\u00fc', 'latin1'),
    'a text in base64': (_req, res) => res.end('aGVsbG8=', 'base64'),
    'texts in several encodings': (_req, res) => {
      res.writeHead(200, { 'Content-Length': 4 });
      res.write('\u00fc', 'latin1');
      res.write('a');
      res.end('\u00fc');
    },
    'a long text': (_req, res) => res.end('x'.repeat(40_000)),
    'chunked in several writes': (_req, res) => {
      res.write('one');
      res.write(Buffer.from('two'));
      res.end('three');
    },
    trailers: (req, res) => {
      // Node refuses to announce trailers where there is no body.
      if (req.method !== 'HEAD') res.setHeader('Trailer', 'X-T');
      res.write('a');
      res.addTrailers({ 'X-T': 'v' });
      res.end();
    },
    'no body': (_req, res) => {
      res.writeHead(204);
      res.end('ignored');
    },
    'not modified': (_req, res) => {
      res.writeHead(304, { ETag: '"x"' });
      res.end();
    },
    close: (_req, res) => {
      res.setHeader('Connection', 'close');
      res.end('x');
    },
    latin1: (_req, res) => {
      res.setHeader('X-L', '\u00e9');
      res.end('\u00e9', 'latin1');
    },
  };
  for (const [name, listener] of Object.entries(listeners)) {
    it.each(['GET', 'HEAD'])(`${name}, %s`, async (method) => {
      const expected = await wire(listener, `${method} / HTTP/1.1\r\nHost: a\r\n\r\n`);
      const exchange = await run(listener, { method });
      expect(exchange.errors).toEqual([]);
      // Node 20 frames the chunks of one tick one by one, newer ones together: compare what they say.
      expect(withoutDate(unchunk(exchange.body))).toBe(withoutDate(unchunk(expected)));
      expect(exchange.rawKeepAlive).toBe(!/^Connection: close/im.test(expected));
    });
  }
  it('on HTTP/1.0', async () => {
    const listener: Listener = (_req, res) => {
      res.write('a');
      res.end('b');
    };
    const expected = await wire(listener, 'GET / HTTP/1.0\r\n\r\n');
    const exchange = await run(listener, { minorVersion: 0 });
    expect(withoutDate(exchange.body)).toBe(withoutDate(expected));
    expect(exchange.rawKeepAlive).toBe(false);
  });
});

/** Joins the chunks of a chunked message. */
function unchunk(message: string): string {
  const bodyStart = message.indexOf('\r\n\r\n') + 4;
  const head = message.slice(0, bodyStart);
  if (!/^transfer-encoding: chunked/im.test(head) || bodyStart === message.length) return message;
  let at = bodyStart;
  let body = '';
  for (;;) {
    const lineEnd = message.indexOf('\r\n', at);
    const size = Number.parseInt(message.slice(at, lineEnd), 16);
    expect(Number.isNaN(size)).toBe(false);
    if (size === 0) return `${head}${body}|${message.slice(lineEnd + 2)}`;
    body += message.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}

describe('request', () => {
  it('has the fields of node:http', async () => {
    const exchange = await run(
      (req, res) => {
        expect(req).toBeInstanceOf(http.IncomingMessage);
        expect(req.method).toBe('PUT');
        expect(req.url).toBe('/a?b');
        expect(req.httpVersion).toBe('1.1');
        expect(req.rawHeaders).toEqual(['Host', 'h', 'X-A', '1', 'x-a', '2', 'Set-Cookie', 'c']);
        expect(req.headers).toEqual({ host: 'h', 'x-a': '1, 2', 'set-cookie': ['c'] });
        expect(req.headersDistinct['x-a']).toEqual(['1', '2']);
        expect(req.headers).toBe(req.headers);
        expect(req.socket.remoteAddress).toBe('192.0.2.7');
        expect(req.socket.remotePort).toBe(40000);
        expect(req.socket.localPort).toBe(8080);
        expect((req.socket as unknown as { encrypted: boolean }).encrypted).toBe(false);
        expect(req.connection).toBe(req.socket);
        expect(res.socket).toBe(req.socket);
        expect(res.req).toBe(req);
        res.end();
      },
      {
        method: 'PUT',
        target: '/a?b',
        headers: [
          ['Host', 'h'],
          ['X-A', '1'],
          ['x-a', '2'],
          ['Set-Cookie', 'c'],
        ],
      },
    );
    expect(exchange.errors).toEqual([]);
  });

  it('gives its headers after the table was overwritten', async () => {
    let request: IncomingMessage | undefined;
    const exchange = start((req) => {
      request = req;
    });
    exchange.overwriteTable();
    expect(request!.headers).toEqual({ host: 'example.test' });
  });

  it.each([
    ['whole', 'abcdef'],
    ['streamed', ['abc', 'def']],
    ['no', ''],
  ])('reads a %s body', async (_kind, body) => {
    const events: string[] = [];
    const exchange = await run(
      async (req, res) => {
        req.on('close', () => events.push('req close'));
        let text = '';
        for await (const chunk of req) text += String(chunk);
        res.end(text);
      },
      { method: 'POST', body },
    );
    expect(exchange.body.split('\r\n\r\n')[1]).toBe([body].flat().join(''));
    expect(events).toEqual(['req close']);
  });

  it('flows through a pipe in many pieces', async () => {
    const pieces = Array.from({ length: 40 }, () => 'a'.repeat(16_384));
    for (const window of [20_000, Number.POSITIVE_INFINITY]) {
      const exchange = start((req, res) => void req.pipe(res), {
        method: 'POST',
        body: pieces,
        window,
      });
      for (let i = 0; i < 500 && !exchange.ended; i++) {
        await turn();
        if (exchange.unsent > window) exchange.drain();
      }
      expect(exchange.ended).toBe(true);
      expect(unchunk(exchange.body).split('\r\n\r\n')[1]).toHaveLength(40 * 16_384 + 3);
    }
  });

  it('reads no faster than the application', async () => {
    const pieces = Array.from({ length: 50 }, () => Buffer.alloc(8192));
    let request: IncomingMessage | undefined;
    const exchange = start(
      (req) => {
        request = req;
      },
      { method: 'POST', body: pieces },
    );
    request!.once('readable', () => {});
    for (let i = 0; i < 20; i++) await turn();
    expect(exchange.reads).toBeLessThan(12);
  });

  it('is aborted when the peer leaves', async () => {
    const events: string[] = [];
    const exchange = start((req, res) => {
      req.on('aborted', () => events.push('req aborted'));
      req.on('error', (error: NodeJS.ErrnoException) => events.push(`req ${error.code}`));
      req.on('close', () => events.push('req close'));
      req.socket.on('close', () => events.push('socket close'));
      res.on('close', () => events.push('res close'));
      res.on('finish', () => events.push('finish'));
      res.write('x');
    });
    exchange.leave();
    exchange.reuse();
    await turn();
    await turn();
    expect(events.sort()).toEqual([
      'req ECONNRESET',
      'req aborted',
      'req close',
      'res close',
      'socket close',
    ]);
    expect(exchange.rawWrites).toBe(0);
  });

  it('ends and closes after the response even if nobody read it', async () => {
    for (const body of ['', 'abc', ['a', 'b']]) {
      const events: string[] = [];
      await run(
        (req, res) => {
          req.on('aborted', () => events.push('aborted'));
          req.on('close', () => events.push('close'));
          res.end();
        },
        { method: 'POST', body },
      );
      await turn();
      expect(events).toEqual(['close']);
    }
  });

  it('may be read after the answer where its body has arrived', async () => {
    let text = '';
    await run(
      async (req, res) => {
        res.end('accepted');
        for await (const chunk of req) text += String(chunk);
      },
      { method: 'POST', body: 'late' },
    );
    await turn();
    expect(text).toBe('late');
  });
});

describe('Express', () => {
  it.each([
    ['/:id', '/users', '/users/:id'],
    ['/', undefined, '/'],
    [['/a', '/b'], '/users', ''],
    [/x/, '/users', ''],
  ])('has matched %s below %s, so the route is %s', async (path, baseUrl, expected) => {
    const exchange = await run((req, res) => {
      Object.assign(req, { route: { path }, baseUrl });
      res.end();
      // As its routers do on their way back.
      Object.assign(req, { baseUrl: '' });
    });
    expect(exchange.route).toBe(expected);
  });
  it.each([
    ['/plain/:x', '/plain/:x'],
    [undefined, ''],
    [null, ''],
    [7, ''],
  ])('aside, a route of %s is %s', async (route, expected) => {
    const exchange = await run((req, res) => {
      if (route !== undefined) Object.assign(req, { route });
      res.end();
    });
    expect(exchange.route).toBe(expected);
  });
  // It gives both objects prototypes of its own, which go back to node:http's, and patches methods.
  const swapped: Listener = (req, res) => {
    Object.setPrototypeOf(req, Object.create(http.IncomingMessage.prototype));
    Object.setPrototypeOf(res, Object.create(http.ServerResponse.prototype));
  };
  it('may replace the prototypes', async () => {
    const exchange = await run(
      async (req, res) => {
        swapped(req, res);
        expect(req.headers.host).toBe('example.test');
        let text = '';
        for await (const chunk of req) text += String(chunk);
        const { end } = res;
        res.end = ((...parameters: Parameters<typeof end>) =>
          end.apply(res, parameters)) as typeof end;
        res.write('got ');
        res.end(text);
      },
      { method: 'POST', body: ['a', 'b'] },
    );
    expect(exchange.errors).toEqual([]);
    expect(unchunk(exchange.body)).toMatch(/\r\n\r\ngot ab\|\r\n$/);
  });
  it('fails, aborts and closes all the same', async () => {
    const error = new Error('x');
    const failed = await run((req, res) => {
      swapped(req, res);
      throw error;
    });
    expect(failed.errors).toEqual([error]);
    for (const cut of ['peer', 'res', 'req']) {
      const events: string[] = [];
      const exchange = start((req, res) => {
        swapped(req, res);
        req.on('close', () => events.push('req'));
        res.on('close', () => events.push('res'));
        if (cut === 'res') res.destroy();
        if (cut === 'req') req.destroy();
      });
      if (cut === 'peer') exchange.leave();
      else expect(exchange.aborted).toBe(true);
      await turn();
      await turn();
      expect(events.sort()).toEqual(['req', 'res']);
    }
  });
});

describe('response', () => {
  it('leaves in one write', async () => {
    const single = await run((_req, res) => void res.end('hello'));
    expect(single.rawWrites).toBe(1);
    const several = await run((_req, res) => {
      res.write('a');
      res.write('b');
      res.end('c');
    });
    expect(several.rawWrites).toBe(1);
  });

  it('emits finish, calls back, then closes', async () => {
    const events: string[] = [];
    await run((_req, res) => {
      res.on('finish', () => events.push(`finish ${res.writableFinished}`));
      res.on('close', () => events.push('close'));
      res.write('a', () => events.push('written'));
      res.end('b', () => events.push('end callback'));
      expect(res.writableEnded).toBe(true);
      expect(res.headersSent).toBe(true);
    });
    await turn();
    expect(events.indexOf('written')).toBe(0);
    expect(events.at(-1)).toBe('close');
    expect(events).toContain('finish true');
    expect(events).toContain('end callback');
  });

  it('answers false and emits drain', async () => {
    let drains = 0;
    let response: ServerResponse | undefined;
    const exchange = start(
      (_req, res) => {
        response = res;
        res.on('drain', () => drains++);
        expect(res.write(Buffer.alloc(100_000))).toBe(false);
        expect(res.writableNeedDrain).toBe(true);
      },
      { window: 50_000 },
    );
    expect(response!.write('more')).toBe(false);
    expect(response!.writableLength).toBeGreaterThan(0);
    await turn();
    expect(drains).toBe(0);
    exchange.drain();
    expect(drains).toBe(1);
    expect(response!.writableNeedDrain).toBe(false);
    expect(response!.write('x')).toBe(true);
    response!.end();
    await exchange.finished();
    expect(unchunk(exchange.body).length).toBeGreaterThan(100_000);
  });

  it('ends a blocked response once it has drained', async () => {
    const exchange = start(
      (_req, res) => {
        res.setHeader('Content-Length', 200_000);
        res.write(Buffer.alloc(100_000));
        res.end(Buffer.alloc(100_000));
      },
      { window: 50_000 },
    );
    await turn();
    expect(exchange.ended).toBe(false);
    exchange.drain();
    await exchange.finished();
    expect(exchange.rawKeepAlive).toBe(true);
    expect(exchange.body.length).toBeGreaterThan(200_000);
  });

  it('is the end of a pipeline', async () => {
    const source = Readable.from(Array.from({ length: 20 }, () => Buffer.alloc(10_000, 'a')));
    let done = false;
    const exchange = start(
      async (_req, res) => {
        await pipeline(source, res);
        done = true;
      },
      { window: 30_000 },
    );
    for (let i = 0; i < 100 && !exchange.ended; i++) {
      await turn();
      exchange.drain();
    }
    await turn();
    expect(exchange.ended).toBe(true);
    expect(done).toBe(true);
    const body = unchunk(exchange.body).split('\r\n\r\n')[1];
    expect(body.startsWith('a'.repeat(1000))).toBe(true);
    expect(body.lastIndexOf('a')).toBe(199_999);
  });

  it('fails a pipeline whose peer left', async () => {
    let error: NodeJS.ErrnoException | undefined;
    const source = new Readable({ read() {} });
    const exchange = start(async (_req, res) => {
      await pipeline(source, res).catch((why) => {
        error = why;
      });
    });
    source.push('x');
    await turn();
    exchange.leave();
    await turn();
    await turn();
    expect(error?.code).toBe('ERR_STREAM_PREMATURE_CLOSE');
    expect(source.destroyed).toBe(true);
  });

  it('is understood by stream.finished', async () => {
    const seen: unknown[] = [];
    await run((_req, res) => {
      finished(res, (error) => seen.push(error ?? 'ok'));
      res.end('x');
    });
    await turn();
    expect(seen).toEqual(['ok']);
  });

  it('flushes headers by themselves', async () => {
    let response: ServerResponse | undefined;
    const exchange = start((_req, res) => {
      response = res;
      res.flushHeaders();
    });
    await turn();
    expect(exchange.body).toMatch(/^HTTP\/1.1 200 OK\r\n(?:.*\r\n)+\r\n$/);
    response!.end('x');
    await exchange.finished();
    expect(exchange.body).toContain('1\r\nx\r\n0\r\n\r\n');
  });

  it('validates headers and refuses them once sent', async () => {
    const exchange = await run((_req, res) => {
      expect(() => res.setHeader('a b', 'c')).toThrow(TypeError);
      expect(() => res.setHeader('a', 'b\r\nc: d')).toThrow(TypeError);
      res.write('x');
      expect(() => res.setHeader('a', 'b')).toThrow(/Cannot set headers after/);
      res.end();
    });
    expect(exchange.errors).toEqual([]);
  });

  it('does not keep a connection whose body misses its declared length', async () => {
    for (const body of ['ab', 'abcd']) {
      const exchange = await run((_req, res) => {
        res.setHeader('Content-Length', 3);
        res.end(body);
      });
      expect(exchange.rawKeepAlive).toBe(false);
    }
  });

  it('closes the connection on destroy', async () => {
    const cuts: Listener[] = [
      (_req, res) => void res.destroy(),
      (req) => void req.destroy(),
      (req) => void req.socket.destroy(),
      (req) => void req.socket.end(),
      (req) => void req.socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    ];
    for (const cut of cuts) {
      const events: string[] = [];
      const exchange = await run((req, res) => {
        res.on('close', () => events.push('close'));
        res.on('finish', () => events.push('finish'));
        cut(req, res);
      });
      await turn();
      expect(exchange.aborted).toBe(true);
      expect(events).toEqual(['close']);
    }
  });

  it('tells who ends the socket when it has closed', async () => {
    const closed = new Promise<void>((resolve) => {
      void run((req) => void req.socket.end(resolve));
    });
    await closed;
  });

  it('reports what the handler throws', async () => {
    const error = new Error('x');
    const plain = await run(() => {
      throw error;
    });
    expect(plain.errors).toEqual([error]);
    expect((await run(async () => Promise.reject(error))).errors).toEqual([error]);
    const closed: boolean[] = [];
    await run(async (_req, res) => {
      res.on('close', () => closed.push(res.writableFinished));
      throw error;
    });
    await turn();
    expect(closed).toEqual([false]);
  });

  it('reports a body that cannot be read', async () => {
    const exchange = start((req) => void req.resume(), { method: 'POST', body: ['a'] });
    const error = new Error('too large');
    exchange.readBody = () => Promise.reject(error);
    await exchange.finished();
    expect(exchange.errors.length + exchange.reads).toBeGreaterThan(0);
  });

  it('leaves a reused exchange alone', async () => {
    let response: ServerResponse | undefined;
    const exchange = await run((_req, res) => {
      response = res;
      res.end('x');
    });
    exchange.reuse();
    response!.end('y');
    response!.destroy();
    expect(response!.write('z')).toBe(false);
    response!.on('error', () => {});
    await turn();
    expect(exchange.ended).toBe(false);
    expect(exchange.headersSent).toBe(false);
  });

  it('knows the peer when finish is emitted', async () => {
    let peer: string | undefined;
    const exchange = start((req, res) => {
      res.on('finish', () => {
        peer = req.socket.remoteAddress;
      });
      res.end();
    });
    exchange.reuse();
    await turn();
    expect(peer).toBe('192.0.2.7');
  });

  it('times out as a socket does', async () => {
    const exchange = await run((_req, res) => {
      res.setTimeout(5, () => res.end('late'));
    });
    expect(exchange.body).toContain('late');
    const silent = await run((req) => void req.socket.setTimeout(5));
    expect(silent.aborted).toBe(true);
  });
});

describe('informational responses', () => {
  const hints: Listener = (_req, res) => {
    res.writeProcessing();
    res.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
  };

  it('leave before the response and do not begin it', async () => {
    const exchange = await run((req, res) => {
      hints(req, res);
      expect(res.headersSent).toBe(false);
      res.setHeader('X-Late', '1');
      res.end('done');
    });
    expect(exchange.interim).toEqual([
      'HTTP/1.1 102 Processing\r\n\r\n',
      'HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n',
    ]);
    expect(exchange.body).toMatch(/^HTTP\/1\.1 200 OK\r\n.*\r\n\r\ndone$/s);
    expect(exchange.body).toContain('X-Late: 1');
  });

  it('leave room for the 500 of a handler that throws behind them', async () => {
    const exchange = await run((req, res) => {
      hints(req, res);
      throw new Error('after all');
    });
    expect(exchange.errors).toHaveLength(1);
    expect(exchange.sent?.status).toBe(500);
  });

  it('call back', async () => {
    let called = 0;
    await run((_req, res) => {
      res.writeEarlyHints({ link: '</a>; rel=preload' }, () => {
        called++;
        res.end();
      });
    });
    expect(called).toBe(1);
  });
});
