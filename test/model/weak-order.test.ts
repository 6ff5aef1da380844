// The explorer's weak order is that of ECMAScript: small programs with known answers (litmus tests).
import { describe, expect, it } from 'vitest';
import { explore, forbid, Memory, type Model } from '../support/explorer.ts';

const DATA = 0;
const FLAG = 1;

type Body = (words: Int32Array) => void;

/** Each body is a thread, and runs once. */
function program(bodies: readonly Body[], kernels: readonly number[] = []): Model {
  const memory = new Memory(3);
  for (const word of kernels) memory.markKernels(word);
  const words = memory.view();
  const threads = bodies.map((body, number) => ({
    name: `thread ${number}`,
    start: 0,
    turn: () => {
      body(words);
      return null;
    },
  }));
  return { memory, threads, weak: true };
}

const load = (words: Int32Array, index: number) => Atomics.load(words, index);
const plain = (words: Int32Array, index: number) => words[index] as number;
const publish: Body = (words) => {
  words[DATA] = 1;
  Atomics.store(words, FLAG, 1);
};
const publishPlainly: Body = (words) => {
  words[DATA] = 1;
  words[FLAG] = 1;
};
type Read = (words: Int32Array, index: number) => number;
const receive =
  (flag: Read, data: Read): Body =>
  (words) => {
    if (flag(words, FLAG) === 1 && data(words, DATA) === 0) forbid('old data');
  };
/** A writer of a sequence lock, and a reader that takes what it finds under the old sequence. */
const write =
  (begin: Body): Body =>
  (words) => {
    begin(words);
    words[DATA] = 1;
    Atomics.store(words, FLAG, 2);
  };
const readLocked: Body = (words) => {
  if (load(words, DATA) === 1 && load(words, FLAG) === 0) forbid('torn');
};

describe('what the order of atomics forbids does not happen', () => {
  it.each<[string, Body[]]>([
    [
      'data published by an atomic store, received by an atomic load',
      [publish, receive(load, plain)],
    ],
    [
      'the same by way of a third thread',
      [
        publish,
        (words) => {
          if (load(words, FLAG) === 1) Atomics.store(words, 2, 1);
        },
        (words) => {
          if (load(words, 2) === 1 && plain(words, DATA) === 0) forbid('old data');
        },
      ],
    ],
    [
      'two threads that write and then look: one sees the other',
      [
        (words) => {
          Atomics.store(words, DATA, 1);
          if (load(words, FLAG) === 0) Atomics.or(words, 2, 1);
        },
        (words) => {
          Atomics.store(words, FLAG, 1);
          if (load(words, DATA) === 0 && (Atomics.or(words, 2, 2) & 1) !== 0) forbid('both missed');
        },
      ],
    ],
    [
      'a sequence raised by an exchange before the data',
      [write((words) => Atomics.exchange(words, FLAG, 1)), readLocked],
    ],
    [
      'a sequence stored and loaded before the data',
      [
        write((words) => {
          Atomics.store(words, FLAG, 1);
          load(words, FLAG);
        }),
        readLocked,
      ],
    ],
    [
      'a value that was received is not forgotten',
      [
        publish,
        (words) => {
          if (load(words, FLAG) === 0) return;
          if (plain(words, DATA) === 1 && plain(words, DATA) === 0) forbid('went back');
        },
      ],
    ],
  ])('%s', (_, bodies) => {
    const report = explore(program(bodies));
    expect(report.violation).toBeNull();
    expect(report.finals).toBeGreaterThan(1);
  });
});

describe('what plain accesses allow is found', () => {
  it.each<[string, Body[], number[]?]>([
    ['data and flag are stored plainly', [publishPlainly, receive(load, plain)]],
    ['the flag is read plainly', [publish, receive(plain, plain)]],
    ['both', [publishPlainly, receive(plain, plain)]],
    ['the flag is the kernel’s', [publish, receive(load, plain)], [FLAG]],
    [
      'two plain reads of a word see its values in the other order',
      [
        (words) => {
          words[DATA] = 1;
        },
        (words) => {
          if (plain(words, DATA) === 1 && plain(words, DATA) === 0) forbid('went back');
        },
      ],
    ],
    [
      'a plain store overtakes the atomic store before it (STLR, STR)',
      [write((words) => Atomics.store(words, FLAG, 1)), readLocked],
    ],
    [
      'a plain store of the flag by one thread undoes what another has stored since',
      [
        publishPlainly,
        (words) => {
          if (load(words, FLAG) === 1) Atomics.store(words, FLAG, 2);
          if (load(words, FLAG) === 1) forbid('undone');
        },
      ],
    ],
  ])('%s', (_, bodies, kernels) => {
    expect(explore(program(bodies, kernels)).violation).not.toBeNull();
  });
});
