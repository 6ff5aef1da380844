// The ticket ring, two cells, with positions that wrap while it is used.
import { describe, expect, it } from 'vitest';
import {
  explore,
  forbid,
  Memory,
  type Model,
  type ModelThread,
  prepare,
  tellSize,
} from '../support/explorer.ts';
import { type Code, mutated, production } from '../support/production-code.ts';

const CAPACITY = 2;
const HEAD = 32;
const CELLS = 64;

interface Size {
  readonly producers: number;
  readonly consumers: number;
  readonly tickets: number;
  readonly weak?: boolean;
  /** The first consumer takes a ticket only if it is the one that it has looked at. */
  readonly looks?: boolean;
  /** Position of the first push. */
  readonly start?: number;
}

/** Each producer pushes its tickets in order; consumers take until all are taken. */
function ringModel(
  code: Code,
  { producers, consumers, tickets, weak = false, start = 0, looks = false }: Size,
): Model {
  const words = code.ring.TicketRing.bytes(CAPACITY) >> 2;
  const memory = new Memory(words + 1);
  const all = memory.view();
  const taken = words;
  memory.name(0, 'tail');
  memory.name(HEAD, 'head');
  memory.name(taken, 'taken');
  for (let cell = 0; cell < CAPACITY; cell++) {
    memory.name(CELLS + cell * 2, `sequence${cell}`);
    memory.name(CELLS + cell * 2 + 1, `ticket${cell}`);
    memory.words[CELLS + cell * 2 + 1] = -99;
  }
  const ring = new code.ring.TicketRing(memory.view(0, words), CAPACITY);
  prepare(() => ring.initialise());
  // As after `start` pushes and pops.
  memory.words[0] = start;
  memory.words[HEAD] = start;
  for (let cell = 0; cell < CAPACITY; cell++) {
    memory.words[CELLS + ((start + cell) & (CAPACITY - 1)) * 2] = start + cell;
  }
  const total = producers * tickets;
  const takeSeen = () => {
    const ticket = ring.peek();
    return ticket !== code.ring.EMPTY && ring.popIf(ticket) ? ticket : code.ring.EMPTY;
  };
  const threads: ModelThread<number[]>[] = [];
  for (let producer = 0; producer < producers; producer++) {
    threads.push({
      name: `producer ${producer}`,
      start: [0],
      turn: ([done]) => {
        const pushed = ring.push(producer * 10 + (done as number)) ? (done as number) + 1 : done;
        return pushed === tickets ? null : [pushed as number];
      },
    });
  }
  for (let consumer = 0; consumer < consumers; consumer++) {
    threads.push({
      name: `consumer ${consumer}`,
      // The last ticket seen of each producer.
      start: new Array(producers).fill(-1),
      turn: (seen) => {
        const ticket = looks && consumer === 0 ? takeSeen() : ring.pop();
        if (ticket === code.ring.EMPTY)
          return Atomics.load(all, taken) === (1 << total) - 1 ? null : seen;
        const producer = Math.floor(ticket / 10);
        const number = ticket % 10;
        if (!(producer >= 0 && producer < producers && number < tickets)) {
          forbid(`a ticket that nobody pushed: ${ticket}`);
        }
        const bit = 1 << (producer * tickets + number);
        if ((Atomics.or(all, taken, bit) & bit) !== 0) forbid('a ticket was taken twice');
        if ((seen[producer] as number) >= number)
          forbid("a producer's tickets changed their order");
        seen[producer] = number;
        return seen;
      },
    });
  }
  return {
    memory,
    threads,
    weak,
    final: ({ memory: now, blocked }) =>
      blocked.length === 0 && now[taken] === (1 << total) - 1 ? undefined : 'a ticket was lost',
  };
}

const SIZES: readonly [string, Size][] = [
  ['one producer, one consumer, four tickets', { producers: 1, consumers: 1, tickets: 4 }],
  ['two producers, one consumer, two tickets each', { producers: 2, consumers: 1, tickets: 2 }],
  ['one producer, two consumers, three tickets', { producers: 1, consumers: 2, tickets: 3 }],
  ['two producers, two consumers, two tickets each', { producers: 2, consumers: 2, tickets: 2 }],
  ['three producers, one consumer', { producers: 3, consumers: 1, tickets: 1 }],
  ['positions that pass 2^31', { producers: 2, consumers: 1, tickets: 2, start: 0x7fff_ffff }],
  ['positions that pass 2^32', { producers: 1, consumers: 2, tickets: 3, start: -2 }],
  ['a consumer that looks first', { producers: 1, consumers: 2, tickets: 3, looks: true }],
  ['delayed stores', { producers: 2, consumers: 1, tickets: 2, weak: true }],
  [
    'delayed stores, a consumer that looks first',
    { producers: 1, consumers: 2, tickets: 3, weak: true, looks: true },
  ],
  ['delayed stores, two consumers', { producers: 1, consumers: 2, tickets: 3, weak: true }],
];

describe('the ring gives every ticket to exactly one consumer, in order of each producer', () => {
  it.each(SIZES)('%s', (name, size) => {
    const report = explore(ringModel(production, size));
    expect(report.violation).toBeNull();
    tellSize(`ring, ${name}`, report);
  });
});

const pop = {
  file: 'scoreboard/ticket-ring',
  text: 'Atomics.compareExchange(words, HEAD, position, (position + 1) | 0)',
};
const push = {
  file: 'scoreboard/ticket-ring',
  text: 'Atomics.compareExchange(words, TAIL, position, (position + 1) | 0)',
};

describe('and would be caught where it did not', () => {
  it.each([
    [
      'a consumer takes the head without comparing',
      { ...pop, becomes: '(Atomics.store(words, HEAD, (position + 1) | 0), position)' },
      { producers: 1, consumers: 2, tickets: 2 },
      'taken twice',
    ],
    [
      'a producer takes the tail without comparing',
      { ...push, becomes: '(Atomics.store(words, TAIL, (position + 1) | 0), position)' },
      { producers: 2, consumers: 1, tickets: 1 },
      '',
    ],
    [
      'the cell is announced before its ticket is in it',
      {
        file: 'scoreboard/ticket-ring',
        text: `words[cell + 1] = ticket;
          Atomics.store(words, cell, (position + 1) | 0);`,
        becomes: `Atomics.store(words, cell, (position + 1) | 0);
          words[cell + 1] = ticket;`,
      },
      { producers: 1, consumers: 1, tickets: 1 },
      'nobody pushed',
    ],
    [
      'the cell is given back before its ticket is read',
      {
        file: 'scoreboard/ticket-ring',
        text: `const ticket = words[cell + 1] as number;
          Atomics.store(words, cell, (position + this.capacity) | 0);`,
        becomes: `Atomics.store(words, cell, (position + this.capacity) | 0);
          const ticket = words[cell + 1] as number;`,
      },
      { producers: 1, consumers: 1, tickets: 3 },
      '',
    ],
    [
      'the cell is announced by a plain store, on a machine that reorders stores',
      {
        file: 'scoreboard/ticket-ring',
        text: 'Atomics.store(words, cell, (position + 1) | 0)',
        becomes: 'words[cell] = (position + 1) | 0',
      },
      { producers: 1, consumers: 1, tickets: 1, weak: true },
      'nobody pushed',
    ],
    [
      'positions are compared by size, not by difference',
      {
        file: 'scoreboard/ticket-ring',
        text: 'const turn = (Atomics.load(words, cell) - ((position + 1) | 0)) | 0;',
        becomes: 'const turn = Atomics.load(words, cell) - (position + 1);',
      },
      { producers: 1, consumers: 1, tickets: 2, start: 0x7fff_ffff },
      '',
    ],
    [
      'what was looked at is taken without comparing the head',
      {
        file: 'scoreboard/ticket-ring',
        text: 'if (Atomics.compareExchange(words, HEAD, position, next) !== position) return false;',
        becomes: 'Atomics.store(words, HEAD, next);',
      },
      { producers: 1, consumers: 2, tickets: 2, looks: true },
      '',
    ],
    [
      'a full ring is not noticed',
      {
        file: 'scoreboard/ticket-ring',
        text: `} else if (turn < 0) {
        return false;`,
        becomes: `} else if (turn < 0) {
        return true;`,
      },
      { producers: 1, consumers: 1, tickets: 3 },
      '',
    ],
  ])('%s', async (_, mutation, size, message) => {
    const { violation } = explore(ringModel(await mutated(mutation), size));
    expect(violation?.message).toContain(message);
  });
});
