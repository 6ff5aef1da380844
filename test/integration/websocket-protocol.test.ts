/** What RFC 6455 asks of a server, frame by frame, of ws over the socket that an upgrade gives it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Frame, frame, framesIn, Opcode, openWebSocket } from '../support/frame-client.ts';
import type { RawClient } from '../support/raw-client.ts';
import { eventually, fixture, type ServerProcess, startServer } from '../support/server-process.ts';

const { continuation, text, binary, close, ping, pong } = Opcode;
let server: ServerProcess;
const clients: RawClient[] = [];
beforeAll(async () => {
  server = await startServer(fixture('websocket.mjs'));
});
afterAll(async () => {
  for (const client of clients) client.close();
  expect(await server.stop()).toBe(0);
});

const open = async (first?: Uint8Array): Promise<RawClient> => {
  const client = await openWebSocket(server.port, first);
  clients.push(client);
  return client;
};
const frames = (client: RawClient, count: number): Promise<Frame[]> =>
  eventually(
    () => framesIn(client.received),
    (all) => all.length >= count,
  );
const said = (given: readonly Frame[]): [number, string][] =>
  given.map(({ opcode, payload }) => [opcode, payload.toString()]);
const utf8 = (opcode: number, content: string, more: Partial<Frame> = {}): Buffer =>
  frame({ opcode, payload: Buffer.from(content), ...more });
const code = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);

describe('a message', () => {
  it('may be in the packet of the handshake', async () => {
    const client = await open(utf8(text, 'first'));
    expect(said(await frames(client, 1))).toEqual([[text, 'first']]);
  });

  it('may come byte by byte', async () => {
    const client = await open();
    await client.dribble(utf8(text, 'hello').toString('latin1'));
    expect(said(await frames(client, 1))).toEqual([[text, 'hello']]);
  });

  it.each([125, 126, 65_535, 65_536, 1_000_000])('of %i bytes comes back whole', async (bytes) => {
    const payload = Buffer.alloc(bytes, 'abc');
    const client = await open();
    client.send(frame({ opcode: binary, payload }));
    const [echo] = await frames(client, 1);
    expect([echo?.opcode, echo?.payload.equals(payload)]).toEqual([binary, true]);
  });

  it('may be in fragments, with a ping between them that is answered first', async () => {
    const client = await open();
    client.send(utf8(text, 'one ', { final: false }));
    client.send(utf8(ping, 'alive'));
    client.send(utf8(continuation, 'two ', { final: false }));
    client.send(utf8(continuation, ''));
    expect(said(await frames(client, 2))).toEqual([
      [pong, 'alive'],
      [text, 'one two '],
    ]);
  });

  it('may be cut within a character of UTF-8', async () => {
    const [left, right] = [Buffer.from([0xe2, 0x82]), Buffer.from([0xac])];
    const client = await open();
    client.send(frame({ opcode: text, payload: left, final: false }));
    client.send(frame({ opcode: continuation, payload: right }));
    expect(said(await frames(client, 1))).toEqual([[text, '\u20ac']]);
  });
});

it('pings are answered one by one, in order, and the next message after them', async () => {
  const client = await open();
  for (let round = 1; round <= 20; round++) {
    const pings = Array.from({ length: 50 }, (_, number) => `${round}.${number}`);
    client.send(Buffer.concat([...pings.map((each) => utf8(ping, each)), utf8(text, 'last')]));
    const all = said(await frames(client, round * 51)).slice(-51);
    expect(all).toEqual([...pings.map((each) => [pong, each]), [text, 'last']]);
  }
});

it('a flood of pings ends its connection, as ws has it, and no other', async () => {
  const [flooding, other] = [await open(), await open()];
  flooding.send(
    Buffer.concat(Array.from({ length: 5_000 }, (_, number) => utf8(ping, `${number}`))),
  );
  const all = framesIn(await flooding.ended(10_000));
  // More than 60 that are not answered yet: maxPendingAutoPongs.
  expect(all.length).toBeLessThan(5_000);
  expect(said(all)).toEqual(all.map((_, number) => [pong, `${number}`]));
  other.send(utf8(text, 'still here'));
  expect(said(await frames(other, 1))).toEqual([[text, 'still here']]);
});

it('pongs that nobody asked for are taken for nothing', async () => {
  const client = await open();
  client.send(Buffer.concat([utf8(pong, 'x'), utf8(text, 'y')]));
  expect(said(await frames(client, 1))).toEqual([[text, 'y']]);
});

describe('a close frame', () => {
  /** What the server says last, before it ends the connection. */
  const lastOf = async (bytes: Uint8Array): Promise<Frame | undefined> => {
    const client = await open();
    client.send(bytes);
    return framesIn(await client.ended(10_000)).at(-1);
  };
  const closedWith = async (bytes: Uint8Array): Promise<number> => {
    const last = await lastOf(bytes);
    if (last?.opcode !== close) throw new Error('it did not end with a close frame');
    return last.payload.length === 0 ? 0 : last.payload.readUInt16BE(0);
  };

  it('without a code gets one without a code', async () => {
    expect(await closedWith(frame({ opcode: close, payload: Buffer.alloc(0) }))).toBe(0);
  });

  it.each([1000, 1001, 1003, 1007, 1011, 3000, 4999])('with %i gets the same', async (value) => {
    expect(await closedWith(frame({ opcode: close, payload: code(value) }))).toBe(value);
  });

  it.each([
    0, 999, 1004, 1005, 1006, 1015, 2999, 5000,
  ])('with %i is a fault of protocol, 1002', async (value) => {
    expect(await closedWith(frame({ opcode: close, payload: code(value) }))).toBe(1002);
  });

  const invalid = Buffer.from([0xc0, 0xaf]);
  it.each<[string, number, Frame]>([
    ['of one byte', 1002, { opcode: close, payload: Buffer.from([3]) }],
    [
      'with a reason that is no UTF-8',
      1007,
      { opcode: close, payload: Buffer.concat([code(1000), invalid]) },
    ],
    [
      'for a frame without a mask',
      1002,
      { opcode: text, payload: Buffer.from('x'), masked: false },
    ],
    ['for a reserved bit', 1002, { opcode: text, payload: Buffer.from('x'), reserved: 2 }],
    ['for a reserved opcode', 1002, { opcode: 3, payload: Buffer.from('x') }],
    [
      'for a control frame in fragments',
      1002,
      { opcode: ping, payload: Buffer.from('x'), final: false },
    ],
    ['for a control frame that is too long', 1002, { opcode: ping, payload: Buffer.alloc(126) }],
    ['for a continuation of nothing', 1002, { opcode: continuation, payload: Buffer.from('x') }],
    ['for text that is no UTF-8', 1007, { opcode: text, payload: invalid }],
  ])('%s says %i', async (_, expected, wrong) => {
    expect(await closedWith(frame(wrong))).toBe(expected);
  });

  it('comes after what was asked before it', async () => {
    const client = await open();
    client.send(
      Buffer.concat([
        utf8(text, 'a'),
        utf8(ping, 'b'),
        frame({ opcode: close, payload: code(1000) }),
      ]),
    );
    const all = framesIn(await client.ended(10_000));
    expect(all.map(({ opcode }) => opcode)).toEqual([text, pong, close]);
  });
});
