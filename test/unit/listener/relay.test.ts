/** Short messages of a tunnel are copied; what their target does not take waits in a pipe, in order. */
import { describe, expect, it } from 'vitest';
import { EAGAIN, EMFILE, type Native } from '../../../src/listener/native.ts';
import { Relay, Relayed } from '../../../src/listener/relay.ts';

const [SOURCE, TARGET, STREAM] = [3, 4, 0];
const BUDGET = 1 << 20;

/** One socket that gives its bytes, one that takes as many as it has room for, and pipes. */
class FakeKernel {
  readonly calls: string[] = [];
  /** What the source has received. */
  source = '';
  sourceEnded = false;
  room = Number.POSITIVE_INFINITY;
  taken = '';
  pipesLeft = Number.POSITIVE_INFINITY;
  readonly #pipes = new Map<number, { text: string }>();
  #memory: Uint8Array = new Uint8Array();
  #next = 10;

  get open(): number {
    return this.#pipes.size / 2;
  }

  #receive(length: number): string | number {
    const text = this.source.slice(0, length);
    this.source = this.source.slice(length);
    if (text !== '') return text;
    return this.sourceEnded ? 0 : EAGAIN;
  }

  #take(text: string): number {
    const count = Math.min(text.length, this.room);
    if (count === 0) return EAGAIN;
    this.room -= count;
    this.taken += text.slice(0, count);
    return count;
  }

  readonly native = {
    attach: (_: number, memory: Uint8Array) => {
      this.#memory = memory;
      return 0;
    },
    recv: (_fd: number, _region: number, offset: number, length: number) => {
      this.calls.push('recv');
      const text = this.#receive(length);
      if (typeof text === 'number') return text;
      this.#memory.set(Buffer.from(text), offset);
      return text.length;
    },
    send: (_fd: number, _region: number, offset: number, length: number) => {
      this.calls.push('send');
      return this.#take(Buffer.from(this.#memory).toString('latin1', offset, offset + length));
    },
    spill: (bytes: Uint8Array, from: number, pipe: number) => {
      this.calls.push('spill');
      const held = this.#pipes.get(pipe) as { text: string };
      held.text += Buffer.from(bytes).toString('latin1', from);
      return pipe;
    },
    splice: (from: number, to: number, length: number) => {
      this.calls.push('splice');
      const [source, target] = [this.#pipes.get(from), this.#pipes.get(to)];
      if (target !== undefined) {
        const text = this.#receive(length);
        if (typeof text === 'number') return text;
        target.text += text;
        return text.length;
      }
      const held = source as { text: string };
      const count = this.#take(held.text.slice(0, length));
      if (count > 0) held.text = held.text.slice(count);
      return count;
    },
    pipe: (ends: Int32Array) => {
      if (this.pipesLeft-- <= 0) return EMFILE;
      const held = { text: '' };
      ends.set([this.#next++, this.#next++]);
      for (const end of ends) this.#pipes.set(end, held);
      return 0;
    },
    close: (fd: number) => (this.#pipes.delete(fd) ? 0 : -9),
  } as unknown as Native;
}

const made = () => {
  const kernel = new FakeKernel();
  const relay = new Relay(kernel.native);
  const pass = (toEnd = false) => relay.pass(STREAM, SOURCE, TARGET, toEnd, BUDGET);
  return { kernel, relay, pass };
};

describe('a message of a tunnel', () => {
  it('is received and sent, by two calls and without a pipe', () => {
    const { kernel, relay, pass } = made();
    kernel.source = 'hello';
    expect([pass(), relay.sent]).toEqual([Relayed.waits, 5]);
    expect(kernel.taken).toBe('hello');
    expect(kernel.calls).toEqual(['recv', 'send']);
    expect(kernel.open).toBe(0);
  });

  it('is followed by the end, where that has come with it', () => {
    const { kernel, relay, pass } = made();
    kernel.source = 'last';
    kernel.sourceEnded = true;
    expect([pass(true), relay.sent]).toEqual([Relayed.ended, 4]);
    expect(kernel.taken).toBe('last');
    expect(pass(true)).toBe(Relayed.ended);
  });

  it('that its target does not take waits, and goes first', () => {
    const { kernel, relay, pass } = made();
    kernel.source = 'abcdef';
    kernel.room = 2;
    expect([pass(), relay.sent]).toEqual([Relayed.waits, 2]);
    expect(relay.holds(STREAM)).toBe(true);
    kernel.source = 'ghi';
    expect([pass(), relay.sent]).toEqual([Relayed.waits, 0]);
    kernel.room = Number.POSITIVE_INFINITY;
    expect([pass(), relay.sent]).toEqual([Relayed.waits, 7]);
    expect(kernel.taken).toBe('abcdefghi');
    expect(relay.holds(STREAM)).toBe(false);
    // The pipe is there for the next one, and goes with the relay.
    kernel.pipesLeft = 0;
    kernel.source = 'jk';
    kernel.room = 1;
    relay.pass(1, SOURCE, TARGET, false, BUDGET);
    expect(relay.holds(1)).toBe(true);
    relay.close(1);
    relay.stop();
    expect(kernel.open).toBe(0);
  });

  it('of any length is whole, in turns', () => {
    const { kernel, relay } = made();
    const text = Array.from({ length: 30_000 }, (_, at) => `${at},`).join('');
    kernel.source = text;
    let turns = 0;
    while (relay.pass(STREAM, SOURCE, TARGET, false, 50_000) === Relayed.turn) turns++;
    expect(kernel.taken).toBe(text);
    expect(turns).toBeGreaterThan(1);
  });

  it('breaks its tunnel where no descriptor is left to keep it in', () => {
    const { kernel, pass } = made();
    kernel.pipesLeft = 0;
    kernel.source = 'ab';
    kernel.room = 1;
    expect(pass()).toBe(Relayed.broken);
  });
});
