/**
 * Native calls given what they cannot use: each answers a negative errno. None throws, ends the process,
 * touches memory outside what was attached, or acts on another descriptor than the one that was named.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { EINVAL, type Native, Region } from '../../../src/listener/native.ts';
import { recordsBytes } from '../../../src/scoreboard/halves.ts';
import { SLOT } from '../../../src/scoreboard/layout.ts';

type Call = (...parameters: unknown[]) => number;
const { EBADF, EFAULT } = constants.errno;
const addon = createRequire(import.meta.url)('../../../build/Release/mpm.node') as Record<
  string,
  Call | number
>;
const native = addon as unknown as Native;
const call = (name: string, ...parameters: unknown[]): number =>
  (addon[name] as Call)(...parameters);

/** Kinds of parameters of each call: a descriptor, a number, an offset, or another value. */
const CALLS: Readonly<Record<string, readonly ('fd' | 'int' | 'offset' | 'other')[]>> = {
  attach: ['int', 'other'],
  epollCreate: [],
  epollAdd: ['fd', 'fd', 'int', 'int', 'int'],
  epollModify: ['fd', 'fd', 'int', 'int', 'int'],
  epollDelete: ['fd', 'fd'],
  epollWait: ['fd'],
  epollWaitInto: ['fd', 'int'],
  readable: ['fd'],
  eventfdCreate: [],
  eventfdSignal: ['fd'],
  eventfdDrain: ['fd'],
  watch: ['fd', 'int', 'other'],
  pause: ['int'],
  resume: ['int'],
  unwatch: ['int'],
  listenTcp: ['other', 'int', 'int', 'int'],
  adoptListening: ['fd'],
  notify: ['other', 'other'],
  connectTcp: ['other', 'int'],
  socketError: ['fd'],
  accept: ['fd', 'int', 'int'],
  recv: ['fd', 'int', 'offset', 'int'],
  send: ['fd', 'int', 'offset', 'int'],
  sendMore: ['fd', 'int', 'offset', 'int'],
  sendLast: ['fd', 'int', 'offset', 'int'],
  sendPair: ['fd', 'int', 'offset', 'int', 'other', 'offset'],
  sendfile: ['fd', 'fd', 'offset', 'int'],
  temporaryFile: ['other'],
  spill: ['other', 'offset', 'fd'],
  cached: ['fd', 'offset'],
  pipe: ['other'],
  splice: ['fd', 'fd', 'int'],
  duplicate: ['fd'],
  handOver: ['fd'],
  enterFile: ['fd', 'offset', 'int'],
  closeFile: ['fd', 'offset', 'offset', 'int'],
  discard: ['fd', 'int'],
  pending: ['fd'],
  nap: ['int'],
  setSlice: ['int'],
  setNice: ['int'],
  nice: [],
  niceAndBack: [],
  unsent: ['fd'],
  unaccepted: ['fd'],
  shutdownWrite: ['fd'],
  resetOnClose: ['fd'],
  close: ['fd'],
  localName: ['fd', 'int', 'offset'],
};
const taking = Object.entries(CALLS).filter(([, kinds]) => kinds.length > 0);

/** None of these is an int32. Cut to 32 bits, some would be descriptor 0. */
const NO_INTEGERS = [
  undefined,
  null,
  true,
  '0',
  {},
  [],
  Symbol('x'),
  1n,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  0.5,
  2 ** 32,
  -(2 ** 32),
  2 ** 31,
  Number.MAX_VALUE,
];
/** A number that is never an open descriptor here. */
const CLOSED = 1_000_000;
/** What a call that is right but for one parameter is given. */
const FITTING = { fd: CLOSED, int: 0, offset: 0, other: new Uint8Array(8) } as const;

const opened: number[] = [];
afterEach(() => {
  for (const fd of opened.splice(0)) native.close(fd);
});
const kept = (fd: number): number => {
  expect(fd).toBeGreaterThan(2);
  opened.push(fd);
  return fd;
};

it('knows every call that there is', () => {
  const functions = Object.keys(addon).filter((name) => typeof addon[name] === 'function');
  expect(functions.sort()).toEqual(Object.keys(CALLS).sort());
});

describe.each(taking)('%s', (name, kinds) => {
  it('without its parameters is EINVAL or EFAULT', () => {
    for (let count = 0; count < kinds.length; count++) {
      const some = kinds.slice(0, count).map((kind) => FITTING[kind]);
      expect([EINVAL, -EFAULT], `${count} parameters`).toContain(call(name, ...some));
    }
  });

  it('refuses what is no number in the place of one', () => {
    for (const [place, kind] of kinds.entries()) {
      if (kind === 'other') continue;
      for (const value of NO_INTEGERS) {
        // A safe integer above 32 bits is an offset like any other; it is out of range, see below.
        if (kind === 'offset' && Number.isSafeInteger(value)) continue;
        const parameters: unknown[] = kinds.map((kindHere) => FITTING[kindHere]);
        parameters[place] = value;
        expect([EINVAL, -EFAULT], `${String(value)} as parameter ${place}`).toContain(
          call(name, ...parameters),
        );
      }
    }
  });
});

it('acts on no other descriptor where the number is wrong', () => {
  const fd = openSync('/dev/null', 'r');
  for (const wrong of [fd + 0.5, fd + 2 ** 32, fd - 2 ** 32, `${fd}`, [fd]]) {
    expect(call('close', wrong)).toBe(EINVAL);
  }
  expect(fstatSync(fd).isCharacterDevice()).toBe(true);
  closeSync(fd);
});

describe('a descriptor that is not open', () => {
  const other: Readonly<Record<string, readonly unknown[]>> = {
    epollAdd: [CLOSED, CLOSED, 1, 0, 0],
    epollModify: [CLOSED, CLOSED, 1, 0, 0],
    sendfile: [CLOSED, CLOSED, 0, 1],
    splice: [CLOSED, CLOSED, 1],
    spill: [new Uint8Array(1), 0, CLOSED],
    discard: [CLOSED, 1],
  };
  const names = taking
    .filter(
      ([name, kinds]) => kinds.includes('fd') && !['handOver', 'enterFile', 'watch'].includes(name),
    )
    .map(([name]) => name);
  it.each(names)('is EBADF to %s', (name) => {
    native.attach(Region.board, new Uint8Array(recordsBytes(1)));
    native.attach(Region.batch, new Uint8Array(1024));
    const parameters = other[name] ?? (CALLS[name] ?? []).map((kind) => FITTING[kind]);
    // accept with room for one connection, at the board's beginning.
    const own = name === 'accept' ? [CLOSED, Region.board, 1] : parameters;
    expect(call(name, ...own)).toBe(-EBADF);
  });

  it.each([-1, CLOSED])('is an error to watch: %i', (fd) => {
    expect(native.watch(fd, 0, () => 0)).toBeLessThan(0);
  });

  it.each([-1, -100])('%i is EBADF to readable, which poll would take no notice of', (fd) => {
    expect(native.readable(fd)).toBe(-EBADF);
  });
});

describe('memory', () => {
  const BYTES = 64;
  const WITHIN = ['recv', 'send', 'sendMore', 'sendLast'] as const;
  it.each(WITHIN)('%s reaches no byte outside of its region', (name) => {
    native.attach(Region.buffers, new Uint8Array(BYTES));
    const outside: [offset: number, length: number][] = [
      [0, BYTES + 1],
      [1, BYTES],
      [BYTES, 1],
      [BYTES + 1, 0],
      [-1, 1],
      [0, -1],
      [-BYTES, BYTES],
      [2 ** 32, 1],
      [2 ** 40, 1],
      [Number.MAX_SAFE_INTEGER, 1],
      [Number.MAX_SAFE_INTEGER, 2 ** 31 - 1],
    ];
    for (const [offset, length] of outside) {
      expect(call(name, CLOSED, Region.buffers, offset, length), `${offset}, ${length}`).toBe(
        -EFAULT,
      );
    }
    // All of it, and nothing at its very end, are inside.
    expect(call(name, CLOSED, Region.buffers, 0, BYTES)).toBe(-EBADF);
    expect(call(name, CLOSED, Region.buffers, BYTES, 0)).toBe(-EBADF);
  });

  it.each([
    -1,
    7,
    8,
    2 ** 31 - 1,
    -(2 ** 31),
  ])('region %i that nobody attached is EFAULT', (region) => {
    expect(call('recv', CLOSED, region, 0, 0)).toBe(-EFAULT);
    expect(call('localName', CLOSED, region, 0)).toBe(-EFAULT);
    expect(call('accept', CLOSED, region, 1)).toBe(-EFAULT);
  });

  it('for the entry of a file and for its counter must be words of the board', () => {
    const boardBytes = recordsBytes(1);
    const board = new Int32Array(boardBytes >> 2);
    native.attach(Region.board, new Uint8Array(board.buffer));
    const fd = openSync('/dev/null', 'r');
    // The KiB stand so far behind the descriptor.
    const behind = SLOT.restSpilledKb.offset - SLOT.restFd.offset;
    const spilled = (8 + behind) >> 2;
    for (const entry of [-4, 2, boardBytes - behind, boardBytes, 2 ** 40]) {
      expect(call('enterFile', fd, entry, 3), `entry ${entry}`).toBe(-EFAULT);
      if (entry >= 0) expect(call('closeFile', fd, entry, 0, 3), `entry ${entry}`).toBe(-EFAULT);
    }
    for (const counter of [-4, 2, boardBytes, 2 ** 40]) {
      expect(call('closeFile', fd, 0, counter, 3), `counter ${counter}`).toBe(-EFAULT);
    }
    expect(board.every((word) => word === 0)).toBe(true);
    expect(fstatSync(fd).isCharacterDevice()).toBe(true);
    board[0] = 10;
    expect(native.enterFile(fd, 8, -3)).toBe(0);
    expect([board[0], board[2], board[spilled]]).toEqual([10, fd + 1, -3]);
    expect(native.closeFile(fd, 8, 0, 3)).toBe(0);
    expect([board[0], board[2], board[spilled]]).toEqual([7, 0, 0]);
    expect(() => fstatSync(fd)).toThrow('EBADF');
  });

  it('for a name must have room for all of it', () => {
    native.attach(Region.buffers, new Uint8Array(24));
    expect(call('localName', CLOSED, Region.buffers, 1)).toBe(-EFAULT);
    expect(call('localName', CLOSED, Region.buffers, 0)).toBe(-EBADF);
  });

  it('for accepted connections must hold their offsets, and those must be slots of the board', () => {
    native.attach(Region.board, new Uint8Array(512));
    const offsets = new Uint32Array([512 - 127, 2 ** 32 - 1]);
    native.attach(Region.accept, new Uint8Array(offsets.buffer));
    expect(call('accept', CLOSED, Region.accept, 3)).toBe(-EFAULT);
    expect(call('accept', CLOSED, Region.accept, 2 ** 31 - 1)).toBe(-EFAULT);
    expect(call('accept', CLOSED, Region.accept, -1)).toBe(-EFAULT);
    expect(call('accept', CLOSED, Region.accept, 1)).toBe(-EFAULT);
    offsets[0] = 2 ** 32 - 1;
    expect(call('accept', CLOSED, Region.accept, 1)).toBe(-EFAULT);
    offsets[0] = 512 - 128;
    expect(call('accept', CLOSED, Region.accept, 1)).toBe(-EBADF);
  });

  it('for tickets must be there, and lie as int32 do', () => {
    const set = kept(native.epollCreate());
    expect(call('attach', Region.batch, new Uint8Array(new ArrayBuffer(64), 1))).toBe(EINVAL);
    expect(call('attach', Region.batch, new Uint8Array(0))).toBe(0);
    expect(native.epollWait(set)).toBe(-EFAULT);
    expect(call('attach', Region.batch, new Uint8Array(12))).toBe(0);
    expect(native.epollWait(set)).toBe(0);
  });

  it('of less than all ready descriptors takes those that fit', () => {
    const set = kept(native.epollCreate());
    const batch = new Int32Array(8);
    expect(call('attach', Region.batch, new Uint8Array(batch.buffer, 0, 24))).toBe(0);
    batch.fill(-7);
    for (let slot = 0; slot < 3; slot++) {
      const fd = kept(native.eventfdCreate());
      native.eventfdSignal(fd);
      expect(native.epollAdd(set, fd, native.epollIn, slot, 5)).toBe(0);
    }
    expect(native.epollWait(set)).toBe(2);
    expect([...batch.subarray(6)]).toEqual([-7, -7]);
  });

  it.each([
    ['attach', [Region.board, new Uint16Array(8)]],
    ['attach', [Region.board, new DataView(new ArrayBuffer(8))]],
    ['attach', [Region.board, new ArrayBuffer(8)]],
    ['attach', [-1, new Uint8Array(8)]],
    ['attach', [8, new Uint8Array(8)]],
    ['spill', [new Uint8Array(4), 5, -1]],
    ['spill', [new Uint8Array(4), -1, -1]],
    ['spill', [new Int32Array(4), 0, -1]],
    ['spill', ['text', 0, -1]],
    ['sendPair', [CLOSED, 7, 0, 0, new Uint8Array(4), 0]],
    ['pipe', [new Int32Array(1)]],
    ['pipe', [new Uint8Array(16)]],
    ['pipe', [[0, 0]]],
    ['splice', [CLOSED, CLOSED, 0]],
    ['splice', [CLOSED, CLOSED, -1]],
    ['sendfile', [CLOSED, CLOSED, 0, -1]],
    ['discard', [CLOSED, 0]],
    ['discard', [CLOSED, -1]],
  ] as const)('of another kind or too small is refused by %s %j', (name, parameters) => {
    expect([EINVAL, -EFAULT]).toContain(call(name, ...parameters));
  });

  it('of a pair must be bytes, from within them', () => {
    native.attach(Region.out, new Uint8Array(8));
    const head = [CLOSED, Region.out, 0, 8] as const;
    for (const body of ['text', {}, new Int32Array(2), new ArrayBuffer(8), null]) {
      expect(call('sendPair', ...head, body, 0)).toBe(EINVAL);
    }
    expect(call('sendPair', ...head, new Uint8Array(4), 5)).toBe(EINVAL);
    expect(call('sendPair', ...head, new Uint8Array(4), -1)).toBe(EINVAL);
    expect(call('sendPair', CLOSED, Region.out, 1, 8, new Uint8Array(4), 0)).toBe(-EFAULT);
    expect(call('sendPair', ...head, new Uint8Array(4), 4)).toBe(-EBADF);
  });
});

describe('text', () => {
  const LONG = 'x'.repeat(100_000);
  const NO_ADDRESSES = [
    '',
    'localhost',
    '1.2.3',
    '1.2.3.4.5',
    '::1::',
    '127.0.0.1\0.1',
    LONG,
    5,
    null,
  ];
  it.each(NO_ADDRESSES)('%j is no address to listen on', (address) => {
    expect(call('listenTcp', address, 0, 1, 0)).toBe(EINVAL);
  });

  it.each([-1, 65_536, 2 ** 31 - 1])('%i is no port', (port) => {
    expect(call('listenTcp', '127.0.0.1', port, 1, 0)).toBe(EINVAL);
  });

  it('of a unix socket must fit its address', () => {
    expect(call('notify', 'x'.repeat(108), 'READY=1')).toBe(EINVAL);
    expect(call('notify', LONG, 'READY=1')).toBe(EINVAL);
    expect(call('notify', '', 'READY=1')).toBe(EINVAL);
    expect(call('notify', '/nowhere/at/all', 5)).toBe(EINVAL);
    expect(call('notify', '/nowhere/at/all', LONG)).toBe(-constants.errno.ENOENT);
  });

  it('of a folder must fit a path, and name one', () => {
    expect(call('temporaryFile', LONG)).toBe(-constants.errno.ENAMETOOLONG);
    expect(call('temporaryFile', '/nowhere/at/all')).toBe(-constants.errno.ENOENT);
    expect(call('temporaryFile', '/tmp\0')).toBe(EINVAL);
  });
});

describe('a watch', () => {
  it.each([undefined, null, {}, 'f', 5])('needs a function, not %j', (callback) => {
    const fd = kept(native.eventfdCreate());
    expect(call('watch', fd, 0, callback)).toBe(EINVAL);
  });

  it('has one number, a descriptor one watch, and there is an end of them', () => {
    const watches: number[] = [];
    for (;;) {
      const watch = native.watch(kept(native.eventfdCreate()), 0, () => 0);
      if (watch < 0) {
        expect(watch).toBe(-constants.errno.ENOSPC);
        break;
      }
      watches.push(watch);
    }
    expect(new Set(watches).size).toBe(16);
    for (const watch of watches) expect(native.unwatch(watch)).toBe(0);
    // Twice is once.
    for (const watch of watches) expect(native.unwatch(watch)).toBe(EINVAL);
    const fd = kept(native.eventfdCreate());
    const one = native.watch(fd, 0, () => 0);
    expect(one).toBeGreaterThanOrEqual(0);
    expect(native.watch(fd, 0, () => 0)).toBe(-constants.errno.EEXIST);
    expect(native.unwatch(one)).toBe(0);
  });

  it.each([-1, 15, 16, 2 ** 31 - 1])('number %i that there is not is EINVAL', (number) => {
    for (const name of ['pause', 'resume', 'unwatch']) expect(call(name, number)).toBe(EINVAL);
  });

  it('of a regular file is refused, as epoll does', () => {
    const fd = openSync(new URL(import.meta.url), 'r');
    expect(native.watch(fd, 0, () => 0)).toBe(-constants.errno.EPERM);
    closeSync(fd);
  });
});

describe('scheduling', () => {
  it('takes no negative slice, and nice values between 0 and 39', () => {
    expect(native.setSlice(-1)).toBe(EINVAL);
    expect(native.setNice(-1)).toBe(EINVAL);
    expect(native.setNice(40)).toBe(EINVAL);
    expect(native.setNice(native.nice())).toBe(0);
  });
});
