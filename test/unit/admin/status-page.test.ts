// The page, and what its event stream sends.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { connectionsCsv, csvCell } from '../../../src/main/admin/csv.ts';
import { CONTENT_SECURITY_POLICY, statusModel, statusPage } from '../../../src/main/admin/page.ts';
import { type PageModel, pageChange } from '../../../src/main/admin/page-diff.ts';
import { maskTarget, visible } from '../../../src/main/admin/visible.ts';
import { nowTicks } from '../../../src/scoreboard/clock.ts';
import { ChildStatus, CullReason, SpawnReason } from '../../../src/scoreboard/codes.ts';
import { CHILD, HEADER } from '../../../src/scoreboard/layout.ts';
import type { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { ConnectionEvent } from '../../../src/scoreboard/states.ts';
import { incarnationOf } from '../../../src/scoreboard/transition.ts';
import {
  connect,
  documentOf,
  emptyBoard,
  FIGURES,
  LIMITS,
  queryOf,
} from '../../support/status-view.ts';

const PLACE = {
  eventsPath: '/server-status/events',
  actionsPath: null,
  links: [['JSON', '?json']],
} as const;
const pageOf = (shown: Scoreboard, query = '', changes: Parameters<typeof documentOf>[2] = {}) =>
  statusPage(documentOf(shown, query, changes), queryOf(query), PLACE);

/** As if the connection had sent this request and it were being answered. */
function record(shown: Scoreboard, slot: number, target: string, host: string): void {
  const head = Buffer.from(`GET ${target}\r\n${host}\r\n\r\n`, 'latin1');
  const source = new DataView(head.buffer, head.byteOffset, head.length);
  shown.requests?.begin(slot, incarnationOf(shown.word(slot)), 0, source, {
    lineStart: 0,
    methodBytes: 3,
    targetBytes: target.length,
    hostStart: 4 + target.length + 2,
    hostBytes: host.length,
    minorVersion: 1,
  });
}

const board = emptyBoard();
for (const slot of [0, 1, 2]) connect(board, slot);
board.move(1, board.word(1), ConnectionEvent.readable);
board.setChild(0, CHILD.life, 1);
board.setChild(0, CHILD.status, ChildStatus.ready);
board.setChild(0, CHILD.lifeConnections, 30);

describe('the status page', () => {
  it('escapes whatever it shows', () => {
    const serverName = '"><img src=x onerror=alert(1)>&amp;\u0000\u001b[31m\u202e';
    const page = pageOf(board, 'client="><script>x', { figures: { ...FIGURES, serverName } });
    expect(page).not.toMatch(/<img|<script>x/);
    expect(page).toContain(
      '&quot;&gt;&lt;img src=x onerror=alert(1)&gt;&amp;amp;\\x00\\x1b[31m\\u202e',
    );
    expect(page).toContain('value="&quot;&gt;&lt;script&gt;x"');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(page).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
  });

  it('shows a request with a script as text, and its query only where it is asked for', () => {
    const target = '/<script>alert(1)</script>\u0007?token=<b>';
    record(board, 1, target, '"><b>');
    const page = pageOf(board);
    expect(page).toContain('GET /&lt;script&gt;alert(1)&lt;/script&gt;\\x07?***');
    expect(page).toContain('&quot;&gt;&lt;b&gt;');
    expect(page).not.toMatch(/<script>alert|token|<b>/);
    expect(pageOf(board, 'queries=show')).toContain('?token=&lt;b&gt;');
    expect(pageOf(board, 'connection=1')).toContain('\\x07?*** HTTP/1.1</dd>');
    expect(JSON.stringify(documentOf(board, 'connection=1'))).not.toContain('token');
    expect(connectionsCsv(documentOf(board))).not.toContain('token');
    record(board, 1, '/', 'h');
  });

  it('balances its tags and needs nothing from outside', () => {
    const page = pageOf(board, 'connection=1');
    const tags =
      'table tr td th dl dt dd ul li div section p b a form label select option body html';
    for (const tag of tags.split(' ')) {
      const opened = page.match(new RegExp(`<${tag}[ >]`, 'g'))?.length;
      expect(opened, tag).toBeGreaterThan(0);
      expect(page.match(new RegExp(`</${tag}>`, 'g'))?.length, tag).toBe(opened);
    }
    for (const [, address] of page.matchAll(/\b(?:src|href|action)="([^"]*)"/g)) {
      expect(address).toMatch(/^(\?|data:,$)/);
    }
    expect(page).not.toMatch(/\burl\(|@import|undefined|\[object/);
    const ids = [...page.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('lets only its own style and script run', () => {
    const page = pageOf(board);
    for (const tag of ['style', 'script']) {
      const found = new RegExp(`<${tag}>(.*?)</${tag}>`, 's').exec(page)?.[1] ?? '';
      const hash = createHash('sha256').update(found).digest('base64');
      expect(CONTENT_SECURITY_POLICY).toContain(`${tag}-src 'sha256-${hash}'`);
    }
    expect(CONTENT_SECURITY_POLICY).not.toContain('unsafe');
    expect(page).not.toMatch(/<[^>]*\s(style|on[a-z]+)=/);
  });

  it('shows every worker and connection with letters, and a key', () => {
    const page = pageOf(board);
    expect(page).toContain('aria-label="1 worker: 1 busy, 0 idle, 0 starting, 0 draining"');
    expect(page).toContain('aria-label="connections: 2 waitRequest, 1 queued"');
    expect(page).toMatch(/<b class="la">a<\/b><b class="lQ">Q<\/b><b class="la">a<\/b>/);
    expect(page).toContain('10.0.0.2:4002');
  });

  it('counts down to the end of a child', () => {
    board.setChild(0, CHILD.connectionLimit, 100);
    expect(pageOf(board)).toContain(
      '30 of 100 <progress max="100" value="30" aria-label="70 connections until worker 0 is replaced">',
    );
    board.setChild(0, CHILD.connectionLimit, 0);
    expect(pageOf(board)).not.toContain('<progress');
  });

  it('says why workers were started and let go', () => {
    const own = emptyBoard();
    expect(pageOf(own)).toContain('None was one too many.');
    own.count(HEADER.childStarts, 3);
    own.count(HEADER.spawns, 2, SpawnReason.queueWait);
    own.setHeader(HEADER.lastSpawnReason.offset, SpawnReason.queueWait);
    own.setHeader(HEADER.lastSpawnTicks.offset, nowTicks() - 65_000);
    own.setHeader(HEADER.lastCullReason.offset, CullReason.lowered);
    own.setHeader(HEADER.lastCullTicks.offset, nowTicks() - 1_000);
    own.count(HEADER.startFailures, 4);
    const page = pageOf(own);
    expect(page).toContain('3 started. The last one 1 m 05 s ago: queueWait.');
    expect(page).toContain('4 failed to start.');
    expect(page).toMatch(/The last one 1\.\d s ago: lowered\./);
    expect(page).toContain('<dt>queueWait</dt><dd>2</dd>');
    expect(page).not.toContain('<dt>none</dt>');
  });

  it('shows memory against its limit, and generations', () => {
    board.setChild(0, CHILD.heapUsedKb, 70 * 1024);
    board.setChild(0, CHILD.externalKb, 25 * 1024);
    expect(pageOf(board)).toContain('70.0 MiB <span class="dim">+ 25.0 MiB</span>');
    board.setChild(0, CHILD.memoryLimitKb, 100 * 1024);
    board.setChild(0, CHILD.generation, 6);
    expect(pageOf(board)).toContain('95.0 MiB <span class="bad">of 100.0 MiB</span>');
    expect(pageOf(board)).toContain('<span class="dim">(6)</span>');
    expect(documentOf(board, '').workerList[0]).toMatchObject({
      generation: 6,
      memoryLimitBytes: 100 * 2 ** 20,
      requestLimit: null,
    });
  });

  it('shows what is kept for slow readers, where there is something', () => {
    const own = emptyBoard();
    expect(pageOf(own)).not.toContain('slow readers');
    own.setHeader(HEADER.spilledKb.offset, 2048);
    own.setHeader(HEADER.spilledFileKb.offset, 512);
    expect(pageOf(own)).toContain(
      'kept for slow readers: 2.0 MiB in memory, 512.0 KiB in spillFolder',
    );
  });

  it('shows the connections that were asked for', () => {
    const rows = (query: string) =>
      documentOf(board, query).connectionList?.rows.map(({ slot }) => slot);
    expect(rows('')?.[0], 'queued ones first').toBe(1);
    expect(rows('sort=slot')).toEqual([0, 1, 2]);
    expect(rows('sort=-slot&limit=2')).toEqual([2, 1]);
    expect(rows('sort=-client')).toEqual([2, 1, 0]);
    expect(rows('state=Q')).toEqual([1]);
    expect(rows('client=10.0.0.2:')).toEqual([2]);
    expect(rows('worker=3')).toEqual([]);
    expect(rows('request=x')).toEqual([]);
    expect(rows('request=get')).toEqual([1]);
    expect(documentOf(board, 'limit=1').connectionList?.matching).toBe(3);
  });

  it('shows one connection in full, or that it is gone', () => {
    expect(pageOf(board, 'connection=2')).toMatch(/<dt>Client<\/dt><dd>10\.0\.0\.2:4002</);
    expect(pageOf(board, 'connection=9')).toContain('No connection is open in slot 9.');
  });

  it('shows no clients where extendedStatus is off', () => {
    const page = pageOf(board, '', { limits: { ...LIMITS, extendedStatus: false } });
    expect(page).not.toContain('10.0.0.');
    expect(page).toContain('extendedStatus is off');
  });

  it('stays below 100 kB with a board full of connections', () => {
    const full = emptyBoard(20_000);
    for (let slot = 0; slot < 20_000; slot++) {
      connect(full, slot);
      record(full, slot, `/${'<&">'.repeat(60)}`, 'h'.repeat(60));
      if (slot % 2 === 0) full.move(slot, full.word(slot), ConnectionEvent.readable);
    }
    const page = pageOf(full);
    expect(Buffer.byteLength(page)).toBeLessThan(100_000);
    expect(page).toContain('and 19,000 more');
  });

  it('has no script where it reloads by itself', () => {
    expect(pageOf(board, 'refresh=5')).not.toContain('<script');
  });
});

describe('the event stream', () => {
  const model = (query = '') => statusModel(documentOf(board, query), queryOf(query));

  it('sends all of it first and nothing while nothing changes', () => {
    const shown = model('sort=slot');
    const first = pageChange(null, shown);
    expect(Object.keys(first.parts ?? {})).toEqual(Object.keys(shown.parts));
    expect(first.tables?.connections?.order).toEqual(['c0', 'c1', 'c2']);
    expect(pageChange(shown, shown)).toEqual({});
  });

  it('sends single cells, new rows whole, and the order where that changes', () => {
    const cell = (html: string) => ({ html });
    const page = (rows: Record<string, string[]>): PageModel => ({
      parts: { same: cell('s') },
      tables: {
        t: Object.entries(rows).map(([key, cells]) => ({ key, cells: cells.map(cell) })),
      },
    });
    expect(
      pageChange(page({ a: ['1', 'x'], b: ['2', 'y'] }), page({ a: ['1', 'z'], b: ['2', 'y'] })),
    ).toEqual({
      tables: { t: { cells: { a: { 1: 'z' } } } },
    });
    expect(
      pageChange(page({ a: ['1', 'x'], b: ['2', 'y'] }), page({ c: ['3', 'n'], a: ['1', 'x'] })),
    ).toEqual({
      tables: { t: { order: ['c', 'a'], cells: { c: { 0: '3', 1: 'n' } } } },
    });
    expect(pageChange(page({ a: ['1'] }), page({}))).toEqual({ tables: { t: { order: [] } } });
  });
});

describe('text of strangers', () => {
  it('shows characters that do not show', () => {
    expect(visible('a\u0000\u001b[2J\u007f\u0085\u202e\ufeff\ud800z')).toBe(
      'a\\x00\\x1b[2J\\x7f\\x85\\u202e\\ufeff\\ud800z',
    );
    expect(visible('caf\u00e9 \u{1f600}')).toBe('caf\u00e9 \u{1f600}');
  });

  it('masks queries, names and passwords', () => {
    expect(maskTarget('/a?token=1?x')).toBe('/a?***');
    expect(maskTarget('/a')).toBe('/a');
    expect(maskTarget('http://user:pw@host/x?y')).toBe('http://***@host/x?***');
    expect(maskTarget('/a@b:c')).toBe('/a@b:c');
  });
});

describe('CSV', () => {
  it('is no place for formulas', () => {
    for (const begin of ['=', '+', '-', '@', '\t', '\r']) {
      expect(csvCell(`${begin}cmd`).replace(/^"/, '')).toMatch(/^'/);
    }
    expect(csvCell('a"b,c')).toBe('"a""b,c"');
    expect(csvCell('a\nb')).toBe('a\\x0ab');
    expect(csvCell(-1)).toBe('-1');
    expect(csvCell(null)).toBe('');
  });

  it('has a line for each connection', () => {
    const lines = connectionsCsv(documentOf(board, 'sort=slot&limit=2')).split('\r\n');
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/^slot,incarnation,state,client,/);
    expect(lines[1]).toMatch(/^0,0,waitRequest,10\.0\.0\.0:4000,/);
  });
});
