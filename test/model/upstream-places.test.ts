// Places at an upstream: never more than there may be, and nobody waits beside a free one.
import { describe, expect, it } from 'vitest';
import * as places from '../../src/scoreboard/upstream-places.ts';
import {
  explore,
  forbid,
  Memory,
  type Model,
  type ModelThread,
  sleepUntil,
  tellSize,
} from '../support/explorer.ts';
import { type Mutation, withCopy } from '../support/production-code.ts';

type Code = typeof places;

interface Size {
  readonly children: number;
  /** Places that there are. */
  readonly most: number;
  /** Requests of each child, one after the other. */
  readonly rounds: number;
}

const TAKEN = 0;
const STRIDE = 3;
const heldOf = (child: number) => 1 + child * STRIDE;
const waitingOf = (child: number) => 2 + child * STRIDE;
const bellOf = (child: number) => 3 + child * STRIDE;

type Place = 'want' | 'wait' | 'sleep' | 'look' | 'hold' | 'idle';
interface Local {
  readonly at: Place;
  readonly done: number;
}

/** As `UpstreamGroup` and `Doorbell` go about it, with one request of each child at a time. */
function placesModel(code: Code, { children, most, rounds }: Size): Model {
  const inside = 1 + children * STRIDE;
  const memory = new Memory(inside + 1);
  const words = memory.view();
  memory.name(TAKEN, 'taken');
  memory.name(inside, 'inside');
  for (let child = 0; child < children; child++) {
    memory.name(heldOf(child), `held${child}`);
    memory.name(waitingOf(child), `waiting${child}`);
    memory.name(bellOf(child), `bell${child}`);
  }
  const at: places.PlaceWords = {
    words,
    taken: TAKEN,
    held: heldOf(0),
    waiting: waitingOf(0),
    stride: STRIDE,
    children,
  };
  const ring = (child: number) => {
    if (child >= 0) Atomics.store(words, bellOf(child), 1);
  };
  const passOn = (child: number) => {
    const next = code.nextWaiting(at, child);
    if (next !== child) ring(next);
  };
  const turn = (child: number, local: Local): Local | null => {
    const to = (place: Place): Local => ({ ...local, at: place });
    switch (local.at) {
      case 'want':
        return to(code.takePlace(at, child, most) ? 'hold' : 'wait');
      case 'wait':
        code.setWaiting(at, child, 1);
        return to('look');
      case 'look': {
        if (!code.takePlace(at, child, most)) return to('sleep');
        code.setWaiting(at, child, 0);
        // Where it was told of one that it has no use for.
        passOn(child);
        return to('hold');
      }
      case 'sleep':
        sleepUntil(words, bellOf(child));
        Atomics.store(words, bellOf(child), 0);
        return to('look');
      case 'hold': {
        if (Atomics.add(words, inside, 1) >= most) forbid('more under way than may be');
        Atomics.sub(words, inside, 1);
        ring(code.givePlace(at, child));
        const done = local.done + 1;
        return { at: done === rounds ? 'idle' : 'want', done };
      }
      case 'idle':
        sleepUntil(words, bellOf(child));
        Atomics.store(words, bellOf(child), 0);
        passOn(child);
        return local;
    }
  };
  const threads = Array.from(
    { length: children },
    (_, child): ModelThread<Local> => ({
      name: `child ${child}`,
      start: { at: 'want', done: 0 },
      turn: (local) => turn(child, local),
    }),
  );
  return {
    memory,
    threads,
    final: ({ memory: end, locals }) => {
      const waits = locals.findIndex((local) => (local as Local | null)?.at !== 'idle');
      if (waits >= 0) return `child ${waits} waits for ever`;
      return end[TAKEN] === 0 ? undefined : 'a place is lost';
    },
  };
}

const mutant = (mutation: Mutation, size: Size) =>
  withCopy(
    [mutation],
    (text) => text,
    async (load) => explore(placesModel((await load(mutation.file)) as Code, size)),
  );

const FILE = 'scoreboard/upstream-places';

describe('places at an upstream', () => {
  it.each<Size>([
    { children: 2, most: 1, rounds: 2 },
    { children: 3, most: 1, rounds: 1 },
    { children: 3, most: 2, rounds: 1 },
  ])('are taken by no more than may have one, and none stays free beside one who waits: %o', (size) => {
    const report = explore(placesModel(places, size));
    tellSize(`places ${JSON.stringify(size)}`, report);
    expect(report.violation?.message).toBeUndefined();
    expect(report.finals).toBeGreaterThan(0);
  });

  it('are lost, or too many, in code that is wrong', async () => {
    const size = { children: 2, most: 1, rounds: 1 };
    const unseen = await mutant(
      {
        file: FILE,
        text: `  Atomics.sub(words, taken, 1);
  return nextWaiting(at, child);`,
        becomes: `  const next = nextWaiting(at, child);
  Atomics.sub(words, taken, 1);
  return next;`,
      },
      size,
    );
    expect(unseen.violation?.message).toContain('waits for ever');
    const unchecked = await mutant(
      {
        file: FILE,
        text: 'if (Atomics.compareExchange(words, taken, now, now + 1) !== now) continue;',
        becomes: 'Atomics.store(words, taken, now + 1);',
      },
      size,
    );
    expect(unchecked.violation?.message).toMatch(/more under way than may be|a place is lost/);
  });
});
