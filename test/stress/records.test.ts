// Snapshots under real threads: everything changes while they are taken, and none shows what never was.
import { expect, it } from 'vitest';
import { ChildStatus } from '../../src/scoreboard/codes.ts';
import { CHILD, HEADER } from '../../src/scoreboard/layout.ts';
import { Scoreboard } from '../../src/scoreboard/scoreboard.ts';
import { readSeries, takeSnapshot } from '../../src/scoreboard/snapshot.ts';
import { runThreads, total } from './threads.ts';

/** What must not be seen, by the counter that says how often it was. */
const FORBIDDEN = {
  wrongSum: 'states that do not sum to the total',
  wrongText: 'an ?auto whose states or workers do not sum to its totals',
  tornRequest: 'a request whose method, target, host, status or duration is of another one',
  brokenTrail: 'a trail with a transition that the table does not have',
};
const SNAPSHOTS = 10_000;
const DEADLINE_MS = 60_000;

it.each([
  { seed: 7, slots: 2, children: 2 },
  { seed: 20_261_121, slots: 12, children: 2 },
])('10,000 snapshots are whole ($slots slots, $children workers, seed $seed)', async ({
  seed,
  slots,
  children,
}) => {
  const board = Scoreboard.create(
    { connectionSlots: slots, childSlots: children, bufferBytes: 64 },
    false,
    true,
  );
  board.setHeader(HEADER.handbackFd.offset, 0);
  for (let child = 0; child < children; child++) {
    board.setChild(child, CHILD.life, child + 1);
    board.setChild(child, CHILD.status, ChildStatus.ready);
    board.setChild(child, CHILD.wakeFd, 3 + child);
    board.addToChild(child, CHILD.turns, 1);
  }
  const common = {
    shared: board.shared,
    world: new SharedArrayBuffer((4 + children + slots * 4) * 4),
    slots,
    children,
    events: Number.POSITIVE_INFINITY,
    snapshots: SNAPSHOTS,
    seed,
    sleepMs: 1_000,
  };
  const roles = [
    ...Array.from({ length: children }, (_, number) => ({ role: 'worker', number, ...common })),
    { role: 'listener', number: children, ...common },
    { role: 'network', number: children + 1, ...common },
    { role: 'observer', number: children + 2, ...common },
  ];
  const sums = total(await runThreads('connections.mjs', roles, DEADLINE_MS));
  const seen = Object.entries(FORBIDDEN).map(([name, what]) => [what, sums[name]]);
  expect(seen, `seed ${seed}`).toEqual(Object.values(FORBIDDEN).map((what) => [what, 0]));
  expect(sums.snapshots, `seed ${seed}`).toBe(SNAPSHOTS);
  // It did change, and there was something to see.
  expect(sums.changes, `seed ${seed}`).toBeGreaterThan(SNAPSHOTS / 100);
  expect(sums.requestsSeen, `seed ${seed}`).toBeGreaterThan(SNAPSHOTS / 10);
  expect(sums.trailsSeen, `seed ${seed}`).toBeGreaterThan(SNAPSHOTS / 10);
  // What workers counted, each for itself, is all there.
  const counted = (readSeries(board) ?? []).flatMap(({ durations }) => durations);
  const { totals } = takeSnapshot(board);
  expect(
    counted.reduce((all, count) => all + count, 0),
    `seed ${seed}`,
  ).toBe(totals.requests);
  expect(totals.requests, `seed ${seed}`).toBeGreaterThan(1_000);
});
