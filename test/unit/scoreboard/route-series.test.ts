// Durations by method, route and status class: a bounded table that all threads share.
import { describe, expect, it } from 'vitest';
import { SeriesState } from '../../../src/scoreboard/codes.ts';
import {
  CHILD,
  extendedSectionsFor,
  MAX_ROUTE_UNITS,
  MAX_SERIES,
  SERIES_BYTES,
} from '../../../src/scoreboard/layout.ts';
import { countRequest, NO_SERIES } from '../../../src/scoreboard/request-counters.ts';
import { RouteSeries, type SeriesRow } from '../../../src/scoreboard/route-series.ts';
import { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { readSeries, takeSnapshot } from '../../../src/scoreboard/snapshot.ts';

const SIZE = { connectionSlots: 4, childSlots: 3, bufferBytes: 64 };
const create = () => {
  const board = Scoreboard.create(SIZE, false, true);
  for (let child = 0; child < SIZE.childSlots; child++) board.addToChild(child, CHILD.turns, 1);
  return board;
};
const attach = (board: Scoreboard) => Scoreboard.attach(board.shared);

/** One request through one thread's objects. */
function request(board: Scoreboard, child: number, what: string, durationMs = 3): number {
  const [method, route, status] = what.split(' ') as [string, string, string];
  const series = board.series?.seriesOf(method, route, Number(status)) ?? NO_SERIES;
  countRequest(board, child, Number(status), durationMs, series);
  return series;
}
const total = (row: SeriesRow | undefined) =>
  row?.durations.reduce((all, count) => all + count, 0) ?? 0;
const named = (board: Scoreboard) =>
  (readSeries(board) ?? []).map((row) => [
    `${row.method} ${row.route} ${row.statusClass}`,
    total(row),
  ]);

describe('series', () => {
  it('are told apart by method, route and status class', () => {
    const board = create();
    for (const what of [
      'GET /users/:id 200',
      'GET /users/:id 204',
      'GET /users/:id 404',
      'POST /users/:id 200',
      'BREW /pot 418',
      'PROPFIND /pot 418',
      'GET  200',
      'GET /odd 0',
      'GET /odd 999',
    ]) {
      request(board, 0, what);
    }
    expect(named(board)).toEqual([
      ['GET /users/:id 2xx', 2],
      ['GET /users/:id 4xx', 1],
      ['POST /users/:id 2xx', 1],
      ['other /pot 4xx', 2],
      ['GET __unknown__ 2xx', 1],
      ['GET /odd unknown', 2],
    ]);
  });

  it('have a histogram that agrees with the one of all requests', () => {
    const board = create();
    for (const ms of [0.2, 0.5, 3, 3, 70_000]) request(board, 1, 'GET /a 200', ms);
    request(board, board.listenerCounters, 'GET /a 200', 30);
    const [row] = readSeries(board) ?? [];
    const { totals } = takeSnapshot(board);
    expect(row?.durations).toEqual(totals.durations);
    expect(row?.durations).toEqual([2, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
    expect(row?.durationMs).toBeCloseTo(totals.durationMs, 6);
  });

  it('are entered once, whichever thread comes first, and added up over threads', () => {
    const board = create();
    const other = attach(board);
    const first = request(board, 0, 'GET /a 200');
    request(other, 1, 'GET /b 200');
    expect(request(other, 1, 'GET /a 200')).toBe(first);
    expect(request(board, 0, 'GET /b 200')).toBe(request(other, 1, 'GET /b 200'));
    expect(named(attach(board))).toEqual([
      ['GET /a 2xx', 2],
      ['GET /b 2xx', 3],
    ]);
  });

  it('stay when the child that counted is gone', () => {
    const board = create();
    request(board, 2, 'GET /a 200');
    for (const field of [CHILD.life, CHILD.status]) board.setChild(2, field, 0);
    expect(named(board)).toEqual([['GET /a 2xx', 1]]);
  });

  it('are at most so many; the rest counts together by status class', () => {
    const board = create();
    for (let number = 0; number < MAX_SERIES + 10; number++) {
      request(board, 0, `GET /route/${number} ${number % 2 === 0 ? 200 : 500}`);
    }
    const late = attach(board);
    request(late, 1, 'GET /one-more 200');
    request(late, 1, 'GET /route/0 200');
    const rows = readSeries(board) ?? [];
    expect(rows).toHaveLength(MAX_SERIES + 2);
    expect(total(rows[0])).toBe(2);
    expect(
      rows.slice(-2).map((row) => [row.method, row.route, row.statusClass, total(row)]),
    ).toEqual([
      ['other', '__other__', '2xx', 6],
      ['other', '__other__', '5xx', 5],
    ]);
  });

  it('have routes of any characters, cut where they are long', () => {
    const board = create();
    const long = `/${'r'.repeat(400)}`;
    const other = attach(board);
    for (const each of [board, other]) {
      request(each, each === board ? 0 : 1, `GET ${long} 200`);
      request(each, 0, 'GET /\u00fcber/:\u{1f600} 200');
    }
    expect(named(board)).toEqual([
      [`GET ${long.slice(0, MAX_ROUTE_UNITS)} 2xx`, 2],
      ['GET /\u00fcber/:\u{1f600} 2xx', 2],
    ]);
  });

  it('do not wait for a thread that died while it entered one', () => {
    const board = create();
    const memory = board.shared.extended as SharedArrayBuffer;
    const words = new Int32Array(memory, extendedSectionsFor(SIZE).series);
    words[0] = SeriesState.claimed;
    expect(request(board, 0, 'GET /a 200')).toBe(1);
    expect(named(board)).toEqual([['GET /a 2xx', 1]]);
  });

  it('that two threads entered at the same time are shown as one', () => {
    const board = create();
    const memory = board.shared.extended as SharedArrayBuffer;
    const words = new Int32Array(memory, extendedSectionsFor(SIZE).series);
    // The other thread has won the first entry and not yet published it.
    words[0] = SeriesState.claimed;
    request(board, 0, 'GET /a 200');
    words.copyWithin(0, SERIES_BYTES >> 2, (2 * SERIES_BYTES) >> 2);
    const other = attach(board);
    expect(request(other, 1, 'GET /a 200')).toBe(0);
    expect(named(board)).toEqual([['GET /a 2xx', 2]]);
  });

  it('have the last request with a trace id of any thread', () => {
    const board = create();
    const [one, other] = ['0af7651916cd43dd8448eb211c80319c', 'ffffffff00000000fedcba9800000001'];
    const first = request(board, 0, 'GET /a 200');
    request(board, 0, 'GET /b 200');
    const { series } = board;
    series?.exemplify(0, first, 3.25, one, 1_000_250);
    expect(readSeries(board)?.map(({ exemplar }) => exemplar)).toEqual([
      { traceId: one, durationMs: 3.25, atSeconds: 1000.25 },
      null,
    ]);
    attach(board).series?.exemplify(1, first, 7e6, other, 1_000_750);
    // As long as is kept.
    const longest = { traceId: other, durationMs: (2 ** 31 - 1) / 1000, atSeconds: 1000.75 };
    expect(readSeries(board)?.[0]?.exemplar).toEqual(longest);
    series?.exemplify(0, first, 3, one, 1_000_500);
    expect(readSeries(board)?.[0]?.exemplar).toEqual(longest);
  });

  it('show no exemplar that is being written, or was when its child died', () => {
    const board = create();
    const first = request(board, 1, 'GET /a 200');
    board.series?.exemplify(1, first, 3, 'a'.repeat(32), 5_000);
    const { exemplars, exemplarsStride } = extendedSectionsFor(SIZE);
    const words = new Int32Array(board.shared.extended as SharedArrayBuffer, exemplars);
    const at = exemplarsStride >> 2;
    words[at] = (words[at] as number) + 1;
    expect(readSeries(board)?.[0]?.exemplar).toBeNull();
    board.series?.exemplify(1, first, 4, 'b'.repeat(32), 6_000);
    expect(readSeries(board)?.[0]?.exemplar?.traceId).toBe('b'.repeat(32));
  });

  it('are not kept without extendedStatus', () => {
    const board = Scoreboard.create(SIZE);
    expect(request(board, 0, 'GET /a 200')).toBe(NO_SERIES);
    expect(readSeries(board)).toBeNull();
    expect(takeSnapshot(board).totals.requests).toBe(1);
  });
});

it('a RouteSeries needs no other part of the board', () => {
  const memory = new SharedArrayBuffer(extendedSectionsFor(SIZE).totalBytes);
  const series = new RouteSeries(memory, SIZE);
  series.count(3, series.seriesOf('GET', '/', 200), 2, 2);
  expect(series.rows(() => true)).toMatchObject([{ method: 'GET', route: '/', durationMs: 2 }]);
});
