/** The table of upstreams: one entry a name, a row a child, health by all of them. */
import { describe, expect, it } from 'vitest';
import {
  MAX_UPSTREAM_ENTRIES,
  TunnelUpstream,
  UpstreamTable,
  upstreamBytes,
} from '../../../src/scoreboard/upstreams.ts';

const CHILDREN = 3;
const tables = (count: number): UpstreamTable[] => {
  const memory = new SharedArrayBuffer(upstreamBytes(CHILDREN));
  return Array.from({ length: count }, () => new UpstreamTable(memory, CHILDREN));
};

describe('the table of upstreams', () => {
  it('has one entry for a name, whoever asks', () => {
    const [one, other] = tables(2) as [UpstreamTable, UpstreamTable];
    expect(one.any).toBe(false);
    expect(one.indexOf('a:1')).toBe(0);
    expect(other.indexOf('b:1')).toBe(1);
    expect(other.indexOf('a:1')).toBe(0);
    expect(one.statuses().map(({ name }) => name)).toEqual(['a:1', 'b:1']);
  });

  it('is full at its maximum, and what comes then is not counted', () => {
    const [table] = tables(1) as [UpstreamTable];
    for (let number = 0; number < MAX_UPSTREAM_ENTRIES; number++) {
      expect(table.indexOf(`a:${number}`)).toBe(number);
    }
    const none = table.indexOf('b:1');
    expect(none).toBe(-1);
    table.addActive(none, 0, 1);
    table.countRequest(none, 0);
    expect([table.active(none), table.isUp(none)]).toEqual([0, true]);
    expect(table.statuses().every(({ active, requests }) => active + requests === 0)).toBe(true);
  });

  it('adds up over children; what one leaves behind goes with its life, its totals stay', () => {
    const [one, other] = tables(2) as [UpstreamTable, UpstreamTable];
    const index = one.indexOf('a:1');
    one.addActive(index, 0, 2);
    one.addIdle(index, 0, 1);
    one.countRequest(index, 0);
    other.addActive(index, 2, 1);
    other.countRequest(index, 2);
    other.countFailure(index, 2);
    other.countRetry(index, 2);
    expect(other.active(index)).toBe(3);
    one.reclaim(0);
    expect(one.statuses()).toEqual([
      {
        ...{ name: 'a:1', state: 'up', active: 1, idle: 0 },
        ...{ requests: 2, failures: 1, retries: 1, waiting: 0, waited: 0, refused: 0 },
      },
    ]);
  });

  it.each([true, false])('has a tunnel counted beyond its child, its place too: %s', (hasPlace) => {
    const [worker, main] = tables(2) as [UpstreamTable, UpstreamTable];
    const index = worker.indexOf('a:1');
    const other = 1;
    if (hasPlace) expect(worker.takePlace(index, 2, 1)).toBe(true);
    worker.addActive(index, 2, 1);
    const value = TunnelUpstream.of(index, hasPlace);
    main.takeTunnel(value, 2);
    main.reclaim(2);
    expect(worker.active(index)).toBe(1);
    expect(worker.takePlace(index, other, 1)).toBe(!hasPlace);
    if (hasPlace) worker.setWaiting(index, other, 1);
    expect(main.endTunnel(value)).toBe(hasPlace ? other : -1);
    expect(worker.active(index)).toBe(0);
    expect(worker.takePlace(index, other, 1)).toBe(hasPlace);
  });

  it('does without a tunnel whose upstream has no entry', () => {
    const [table] = tables(1) as [UpstreamTable];
    const value = TunnelUpstream.of(-1, false);
    table.takeTunnel(value, 0);
    expect([value, table.endTunnel(value)]).toEqual([0, -1]);
    expect(table.statuses()).toEqual([]);
  });

  it('leaves one out after failures in a row, until it succeeds', () => {
    const [one, other] = tables(2) as [UpstreamTable, UpstreamTable];
    const index = one.indexOf('a:1');
    expect(one.failed(index, 2, 60_000)).toBe(false);
    other.succeeded(index);
    expect(one.failed(index, 2, 60_000)).toBe(false);
    expect(other.failed(index, 2, 60_000)).toBe(true);
    expect([one.isUp(index), one.failed(index, 2, 60_000)]).toEqual([false, false]);
    one.succeeded(index);
    expect(other.isUp(index)).toBe(true);
    expect(one.failed(index, 0, 60_000)).toBe(false);
  });

  it('has one of them ask how it is, and all go by the answer', () => {
    const [one, other] = tables(2) as [UpstreamTable, UpstreamTable];
    const index = one.indexOf('a:1');
    expect([one.takeCheck(index, 60_000), other.takeCheck(index, 60_000)]).toEqual([true, false]);
    expect([one.setWell(index, false), other.setWell(index, false)]).toEqual([true, false]);
    expect(other.isUp(index)).toBe(false);
    expect([other.setWell(index, true), one.isUp(index)]).toEqual([true, true]);
  });
});
