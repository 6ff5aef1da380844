// The scoreboard under real threads, on as many tickets as a few seconds hold. The models prove each
// protocol at small sizes; this proves that compiled code on this machine keeps to them.
import { describe, expect, it } from 'vitest';
import { Bitmap } from '../../src/scoreboard/bitmap.ts';
import { ChildStatus } from '../../src/scoreboard/codes.ts';
import { CHILD, HEADER } from '../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../src/scoreboard/scoreboard.ts';
import { TicketRing } from '../../src/scoreboard/ticket-ring.ts';
import { runThreads, total } from './threads.ts';

/** What must not happen, by the counter that says how often it did. */
const FORBIDDEN = {
  ring: {
    twice: 'a ticket was taken twice',
    disorder: "a producer's tickets were taken in another order by one consumer",
    foreign: 'a ticket was taken that nobody pushed',
  },
  bitmap: {
    heldByTwo: 'a number was held by two threads',
    outside: 'a number was taken that was never in the set',
  },
  connections: {
    twoOwners: 'two threads owned a connection at once',
    closedTwice: 'a descriptor was closed twice, or of a connection that was not closing',
    lostTicket: 'a ticket led to a connection that was not queued',
    lostEvent: 'bytes were sent, and for a second nobody received them',
    lostWake: 'a thread slept to its deadline while there was work for it',
    wrongInbox: 'a connection came out of an inbox it did not belong to',
    crossed: 'a slot was accepted into while it was in use',
  },
} as const;

const SEEDS = [1, 20_261_121] as const;
const DEADLINE_MS = 25_000;
/** A thread that sleeps this long says so. */
const SLEEP_MS = 1_000;

const none = (forbidden: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.values(forbidden).map((outcome) => [outcome, 0]));
/** The forbidden outcomes with how often they happened. */
const found = (
  forbidden: Readonly<Record<string, string>>,
  sums: Readonly<Record<string, number>>,
) => Object.fromEntries(Object.entries(forbidden).map(([name, outcome]) => [outcome, sums[name]]));

describe('the ticket ring', () => {
  it.each([
    { seed: SEEDS[0], producers: 1, consumers: 2, capacity: 64, start: 0x7fff_f000 },
    { seed: SEEDS[1], producers: 2, consumers: 2, capacity: 64, start: -4096 },
  ])('gives each of a million tickets to one consumer, in order ($producers to $consumers, seed $seed)', async ({
    seed,
    producers,
    consumers,
    capacity,
    start,
  }) => {
    const each = 1_000_000 / producers;
    const ring = new SharedArrayBuffer(TicketRing.bytes(capacity));
    const words = new Int32Array(ring);
    new TicketRing(words, capacity).initialise();
    // As after many pushes: positions pass 2^31, or 2^32, while the test runs.
    words[0] = start;
    words[32] = start;
    for (let cell = 0; cell < capacity; cell++) words[64 + cell * 2] = start + cell;
    const taken = new SharedArrayBuffer(((producers * each) >> 3) + 8);
    const common = { producers, each, capacity, seed, ring, taken };
    const sums = total(
      await runThreads(
        'ring.mjs',
        [
          ...Array.from({ length: producers }, (_, number) => ({
            role: 'producer',
            number,
            ...common,
          })),
          ...Array.from({ length: consumers }, (_, number) => ({
            role: 'consumer',
            number,
            ...common,
          })),
        ],
        DEADLINE_MS,
      ),
    );
    expect(found(FORBIDDEN.ring, sums), `seed ${seed}`).toEqual(none(FORBIDDEN.ring));
    expect([sums.pushed, sums.popped], `seed ${seed}`).toEqual([
      producers * each,
      producers * each,
    ]);
    expect((words[0] as number) < 0, 'the positions wrapped').toBe(start > 0);
  });
});

describe('the bitmap', () => {
  it.each(SEEDS)('gives each number to one thread (seed %i)', async (seed) => {
    const [threads, size, rounds] = [3, 70, 300_000];
    const bitmap = new SharedArrayBuffer(Bitmap.bytes(size));
    const set = new Bitmap(new Int32Array(bitmap));
    set.fill(size);
    const holders = new SharedArrayBuffer(size * 4);
    const roles = Array.from({ length: threads }, (_, number) => ({
      number,
      size,
      rounds,
      seed,
      bitmap,
      holders,
    }));
    const sums = total(await runThreads('bitmap.mjs', roles, DEADLINE_MS));
    expect(found(FORBIDDEN.bitmap, sums), `seed ${seed}`).toEqual(none(FORBIDDEN.bitmap));
    expect(sums.taken, `seed ${seed}`).toBeGreaterThan(rounds);
    expect(set.count, `seed ${seed}: all are back`).toBe(size);
  });
});

describe('connections', () => {
  it.each([
    { seed: SEEDS[0], slots: 2, children: 2 },
    { seed: SEEDS[1], slots: 6, children: 3 },
  ])('every byte sent is received and every connection closed once ($slots slots, $children workers, seed $seed)', async ({
    seed,
    slots,
    children,
  }) => {
    const events = 100_000;
    const board = Scoreboard.create({
      connectionSlots: slots,
      childSlots: children,
      bufferBytes: 64,
    });
    board.setHeader(HEADER.handbackFd.offset, 0);
    for (let child = 0; child < children; child++) {
      board.setChild(child, CHILD.life, child + 1);
      board.setChild(child, CHILD.status, ChildStatus.ready);
      board.setChild(child, CHILD.wakeFd, 3 + child);
    }
    const world = new SharedArrayBuffer((4 + children + slots * 4) * 4);
    const common = {
      shared: board.shared,
      world,
      slots,
      children,
      events,
      seed,
      sleepMs: SLEEP_MS,
    };
    const sums = total(
      await runThreads(
        'connections.mjs',
        [
          ...Array.from({ length: children }, (_, number) => ({
            role: 'worker',
            number,
            ...common,
          })),
          { role: 'listener', number: children, ...common },
          { role: 'network', number: children + 1, ...common },
        ],
        DEADLINE_MS,
      ),
    );
    expect(found(FORBIDDEN.connections, sums), `seed ${seed}`).toEqual(none(FORBIDDEN.connections));
    expect(sums.received, `seed ${seed}: bytes received`).toBe(sums.sent);
    expect([sums.ended, sums.closed], `seed ${seed}: connections`).toEqual([
      sums.finished,
      sums.accepted,
    ]);
    expect(sums.claimed, `seed ${seed}: tickets`).toBe(sums.dispatched);
    // Each way was gone, so the numbers above mean something.
    for (const way of ['noticed', 'resumed', 'suspended'] as const) {
      expect(sums[way], `seed ${seed}: ${way}`).toBeGreaterThan(0);
    }
    expect(board.queue.length + board.handback.length, `seed ${seed}: left over`).toBe(0);
  });
});
