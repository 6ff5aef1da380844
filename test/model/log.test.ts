// Lines on their way to the file: none is lost, none torn, and only a drainer's death repeats one.
import { describe, expect, it } from 'vitest';
import type { LogBytes } from '../../src/scoreboard/log-ring.ts';
import {
  choose,
  explore,
  Memory,
  type Model,
  type ModelThread,
  type State,
  sleepUntil,
  tellSize,
} from '../support/explorer.ts';
import { type Code, type Mutation, mutated, production } from '../support/production-code.ts';

/** A line is its writer's letter as often as its length says, and a full stop. */
interface Size {
  readonly writers: number;
  /** Lengths of each writer's lines, the full stop included. */
  readonly lines: readonly number[];
  readonly drainers: number;
  /** Times each drainer drains. */
  readonly passes?: number;
  /** The first drainer may die while it copies, before it writes, or after it wrote. */
  readonly mortal?: boolean;
  /** The file takes fewer bytes than it is given, once. */
  readonly partial?: boolean;
  readonly weak?: boolean;
}

/** Words of a model's own, behind the rings. */
const CAPACITY = 4;
const HEADER_WORDS = 192 >> 2;
const RING_WORDS = 128 >> 2;
const FILE_ROOM = 40;
const STOP = '.';
const LETTERS = ['a', 'b'] as const;

class Died extends Error {}

/** The bytes of a ring as a word each. */
const bytesOver = (view: Int32Array): LogBytes<number[]> => ({
  latin1Write: (text, at) => {
    const count = Math.min(text.length, CAPACITY - at);
    for (let index = 0; index < count; index++) view[at + index] = text.charCodeAt(index);
    return count;
  },
  copy: (target, at, start, end) => {
    for (let from = start; from < end; from++) target[at + from - start] = view[from] as number;
    return end - start;
  },
});

function logModel(code: Code, size: Size): Model {
  const { writers, lines, drainers, passes = 1, mortal = false, partial = false } = size;
  const ringWords = RING_WORDS + CAPACITY;
  const fileAt = HEADER_WORDS + writers * ringWords;
  const memory = new Memory(fileAt + FILE_ROOM + 3);
  const fileLength = fileAt + FILE_ROOM;
  const dead = fileLength + 1;
  const wasPartial = fileLength + 2;
  for (const [index, name] of [
    [0, 'owner'],
    [32, 'resume'],
    [fileLength, 'fileLength'],
    [dead, 'dead'],
  ] as const) {
    memory.name(index, name);
  }
  const rings = Array.from({ length: writers }, (_, number) => {
    const start = HEADER_WORDS + number * ringWords;
    memory.name(start, `tail${number}`);
    memory.name(start + 16, `head${number}`);
    const bytes = bytesOver(memory.view(start + RING_WORDS, CAPACITY));
    return new code.logRing.LogRing(memory.view(start, RING_WORDS), bytes, CAPACITY);
  });
  const log = new code.logRings.LogRings<number[]>({
    header: memory.view(0, HEADER_WORDS),
    rings,
  });
  const words = memory.view();

  /** An appending write: the kernel's part is one step. */
  const write = (bytes: readonly number[], count: number): void => {
    const at = Atomics.add(words, fileLength, count);
    for (let index = 0; index < count; index++) words[fileAt + at + index] = bytes[index] as number;
  };
  const drainOf = (self: number, mayDie: boolean) =>
    new code.logDrain.LogDrain<number[]>(
      log,
      self,
      { memory: [], capacity: CAPACITY * 2 },
      (bytes, length) => {
        const fate = mayDie ? choose(3) : 0;
        if (fate === 1) throw new Died();
        // The file is full, once, wherever it may be.
        const less = partial && length > 1 && Atomics.exchange(words, wasPartial, 1) === 0;
        const count = less ? 1 + choose(length - 1) : length;
        write(bytes, count);
        if (fate === 2) throw new Died();
        return count;
      },
    );
  const drainer = (number: number): ModelThread<number> => ({
    name: `drainer ${number}`,
    start: 0,
    turn: (pass) => {
      try {
        drainOf(number, mortal && number === 0).drain();
      } catch (error) {
        if (!(error instanceof Died)) throw error;
        Atomics.store(words, dead, 1);
        return null;
      }
      return pass + 1 === passes ? null : pass + 1;
    },
  });
  const writer = (number: number): ModelThread<number> => ({
    name: `writer ${number}`,
    start: 0,
    turn: (done) => {
      const line = LETTERS[number]?.repeat((lines[done] as number) - 1) + STOP;
      // Without room a writer takes lines to the file itself.
      if (!rings[number]?.append(line)) {
        drainOf(drainers + number, false).drain();
        return done;
      }
      return done + 1 === lines.length ? null : done + 1;
    },
  });
  /** Main, which hears of the death some time. */
  const reaper: ModelThread<number> = {
    name: 'main',
    start: 0,
    turn: () => {
      sleepUntil(words, dead);
      log.releaseFor(0);
      return null;
    },
  };
  /** What the stop would write: nothing but the threads' own state decides it. */
  const complete = ({ memory: now }: State): string => {
    let text = '';
    const length = now[fileLength] as number;
    for (let at = 0; at < length; at++) text += String.fromCharCode(now[fileAt + at] as number);
    const first = now[32] as number;
    for (let step = 0; step < writers; step++) {
      const start = HEADER_WORDS + ((first + step) % writers) * ringWords;
      for (let at = now[start + 16] as number; at < (now[start] as number); at++) {
        text += String.fromCharCode(now[start + RING_WORDS + (at & (CAPACITY - 1))] as number);
      }
    }
    return text;
  };
  return {
    memory,
    weak: size.weak ?? false,
    threads: [
      ...Array.from({ length: writers }, (_, number) => writer(number)),
      ...Array.from({ length: drainers }, (_, number) => drainer(number)),
      ...(mortal ? [reaper] : []),
    ],
    final: (state) => {
      const text = complete(state);
      const found = text.split(STOP);
      if (found.pop() !== '') return `half a line at the end of ${text}`;
      if (found.some((line) => !/^(a+|b+)$/.test(line))) return `torn: ${text}`;
      for (let number = 0; number < writers; number++) {
        const letter = LETTERS[number] as string;
        const mine = found.filter((line) => line.startsWith(letter));
        const expected = lines.map((length) => letter.repeat(length - 1));
        // Written again from the heads that a dead one left: once more, and then the rest in order.
        const again = state.memory[dead] === 1 ? Math.max(0, mine.length - expected.length) : 0;
        const repeated = mine.slice(0, again).every((line) => expected.includes(line));
        if (!repeated || mine.slice(again).join() !== expected.join()) {
          return `lost, torn or twice: ${text}`;
        }
      }
      return state.memory[0] === 0 ? undefined : 'the log is held for ever';
    },
  };
}

const SIZES: readonly [string, Size][] = [
  ['a writer and a drainer', { writers: 1, lines: [2, 3], drainers: 1, passes: 2 }],
  ['lines that wrap', { writers: 1, lines: [3, 3, 2], drainers: 1, passes: 3 }],
  ['two drainers', { writers: 1, lines: [2, 2], drainers: 2, passes: 2 }],
  ['two writers and two drainers', { writers: 2, lines: [2], drainers: 2 }],
  ['a drainer that may die', { writers: 1, lines: [2, 2], drainers: 2, passes: 2, mortal: true }],
  [
    'a file that takes a part',
    { writers: 1, lines: [2, 2], drainers: 2, passes: 2, partial: true },
  ],
  ['two writers, a part', { writers: 2, lines: [2], drainers: 2, passes: 1, partial: true }],
  ['delayed stores', { writers: 1, lines: [2, 2], drainers: 1, passes: 2, weak: true }],
];

describe('lines of the access log reach the file whole and in order', () => {
  it.each(SIZES)('%s', (name, size) => {
    const report = explore(logModel(production, size));
    expect(report.violation).toBeNull();
    expect(report.finals).toBeGreaterThan(0);
    tellSize(`log, ${name}`, report);
  });
});

const ring = (text: string, becomes: string): Mutation => ({
  file: 'scoreboard/log-ring',
  text,
  becomes,
});
const drain = (text: string, becomes: string): Mutation => ({
  file: 'scoreboard/log-drain',
  text,
  becomes,
});

describe('and it would be noticed', () => {
  const twoDrainers: Size = { writers: 1, lines: [2, 2], drainers: 2, passes: 2 };
  const mortal: Size = { ...twoDrainers, mortal: true };
  const partial: Size = { writers: 2, lines: [2], drainers: 2, partial: true };
  it.each<[string, Size, Mutation[]]>([
    [
      'if the tail were stored before the bytes',
      twoDrainers,
      [
        ring(
          'const written = this.#bytes.latin1Write',
          'Atomics.store(words, TAIL, (tail + length) | 0);\n    const written = this.#bytes.latin1Write',
        ),
      ],
    ],
    [
      'if a head moved before the write',
      mortal,
      [
        drain(
          'this.#parts.push(number, length);',
          'this.#parts.push(number, 0); ring.advance(length);',
        ),
      ],
    ],
    [
      'if two could hold the log',
      twoDrainers,
      [
        drain(
          'if (!this.#log.take(this.#self)) return Drained.busy;',
          'this.#log.take(this.#self);',
        ),
      ],
    ],
    [
      'if a line were overwritten before it was taken',
      { writers: 1, lines: [3, 3], drainers: 1 },
      [ring('+ length > capacity) return false;', '> capacity) return false;')],
    ],
    [
      'if the next write began elsewhere than where one stopped',
      partial,
      [drain('if (left < length) this.#log.resume = number;', '')],
    ],
  ])('%s', async (_, size, mutations) => {
    const { violation } = explore(logModel(await mutated(...mutations), size));
    expect(violation?.message).toMatch(/lost|torn|half a line|died|overwritten/);
  });
});
