// When the listener waits for more clients before it lets in those that are there.
import { describe, expect, it } from 'vitest';
import { AcceptPace, NAP_US } from '../../../src/listener/accept-pace.ts';

const TURNS = 64;

/** So many turns, each with so many clients; returns when the last one was. */
function turns(pace: AcceptPace, clients: number, gapUs: number, from = 0): number {
  let now = from;
  for (let turn = 0; turn < TURNS; turn++) {
    now += gapUs / 1000;
    pace.accepted(clients, now);
  }
  return now;
}

describe('AcceptPace', () => {
  it('knows nothing at first', () => {
    expect(new AcceptPace().isFast).toBe(false);
  });

  it.each<[boolean, number, number]>([
    [true, 1, NAP_US * 0.7],
    [true, 4, NAP_US * 2.8],
    [false, 1, NAP_US * 0.8],
    [false, 4, NAP_US * 3.2],
  ])('is %s of %i clients every %i us', (isFast, clients, gapUs) => {
    const pace = new AcceptPace();
    turns(pace, clients, gapUs);
    expect(pace.isFast).toBe(isFast);
  });

  it('stays fast until fewer than one client comes in a nap', () => {
    const pace = new AcceptPace();
    let now = turns(pace, 1, NAP_US / 2);
    now = turns(pace, 1, NAP_US * 0.9, now);
    expect(pace.isFast).toBe(true);
    turns(pace, 1, NAP_US * 1.1, now);
    expect(pace.isFast).toBe(false);
  });

  it('is over with the first client after a pause', () => {
    const pace = new AcceptPace();
    const now = turns(pace, 1, NAP_US / 2);
    expect(pace.isFast).toBe(true);
    pace.accepted(1, now + 1_000);
    expect(pace.isFast).toBe(false);
  });
});
