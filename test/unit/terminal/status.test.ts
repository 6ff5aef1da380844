// `hybrid-mpm status`: what it draws, what keys do, what it says where nobody answers.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { keysIn, status, type Terminal } from '../../../src/main/cli/status.ts';
import { drawn, piece, Screen } from '../../../src/main/terminal/ansi.ts';
import { adminUrl, fetchStatus, statusUrl } from '../../../src/main/terminal/client.ts';
import { frame } from '../../../src/main/terminal/frame.ts';
import {
  FIRST_VIEW,
  pressed,
  serverQuery,
  sortedWorkers,
  type View,
} from '../../../src/main/terminal/view.ts';
import { ChildStatus } from '../../../src/scoreboard/codes.ts';
import { CHILD } from '../../../src/scoreboard/layout.ts';
import { connect, documentOf, emptyBoard, FIGURES } from '../../support/status-view.ts';

const board = emptyBoard();
for (const slot of [0, 1, 2]) connect(board, slot);
for (const [child, heapKb] of [30_000, 10_000, 20_000].entries()) {
  board.setChild(child, CHILD.life, child + 1);
  board.setChild(child, CHILD.status, ChildStatus.ready);
  board.setChild(child, CHILD.heapUsedKb, heapKb);
}
const DOCUMENT = documentOf(board);
const SIZE = { columns: 100, rows: 40, keys: true };
const linesOf = (view: View, size = SIZE, document = DOCUMENT) =>
  frame(document, view, size).map((line) => drawn(line, size.columns, false));
const after = (...keys: string[]): View =>
  keys.reduce<View>((view, key) => pressed(view, key) ?? FIRST_VIEW, FIRST_VIEW);

describe('the frame', () => {
  it('shows rates, grids and workers', () => {
    const text = linesOf(FIRST_VIEW).join('\n');
    expect(text).toMatch(/^web-1 {2}hybrid-mpm\/0\.1\.0 /);
    expect(text).toMatch(/^Connections {2}3 of 64, not accepting/m);
    expect(text).toMatch(/^Workers {6}RRR$/m);
    expect(text).toMatch(/^Connections {2}aaa$/m);
    expect(text.match(/busy/g)?.length).toBeGreaterThanOrEqual(4);
  });

  it('shows connections after tab', () => {
    expect(linesOf(after('\t')).join('\n')).toContain('10.0.0.1:4001');
  });

  it.each([
    [20, 5],
    [40, 12],
    [200, 100],
  ])('fits %i columns and %i lines', (columns, rows) => {
    for (const view of [FIRST_VIEW, after('\t')]) {
      const lines = linesOf(view, { columns, rows, keys: true });
      expect(lines.length).toBeLessThanOrEqual(rows);
      for (const line of lines) expect([...line].length).toBeLessThanOrEqual(columns);
    }
  });

  it('sends a terminal nothing that it would act on', () => {
    const document = documentOf(board, '', {
      figures: { ...FIGURES, serverName: '\u001b]0;owned\u0007\u009b2J\u202e' },
    });
    const text = linesOf(FIRST_VIEW, SIZE, document).join('\n');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(text).toContain('\\x1b]0;owned\\x07\\x9b2J\\u202e');
  });

  it('has colours only where they are wanted', () => {
    expect(drawn([piece('ab', 'red')], 1, true)).toBe('\u001b[31ma\u001b[0m');
    expect(drawn([piece('ab', 'red')], 1, false)).toBe('a');
  });
});

describe('keys', () => {
  it('sort workers', () => {
    const order = (view: View) => sortedWorkers(DOCUMENT.workerList, view).map(({ slot }) => slot);
    expect(order(FIRST_VIEW)).toEqual([0, 1, 2]);
    const byHeap = after('s', 's', 's', 's');
    expect(byHeap.workerSort).toBe('heap');
    expect(order(byHeap)).toEqual([0, 2, 1]);
    expect(order(pressed(byHeap, 'r') ?? FIRST_VIEW)).toEqual([1, 2, 0]);
  });

  it('filter by state at the server, and by text here', () => {
    expect(serverQuery(after('f'), 9)).toBe('sort=active&limit=9&state=waitRequest');
    const typed = after('\t', '/', '1', '0', '.', 'q', '\u007f', '0', '.', '0', '.', '2', '\r');
    expect(typed).toMatchObject({ filter: '10.0.0.2', typing: false });
    const text = linesOf(typed).join('\n');
    expect(text).toContain('10.0.0.2:4002');
    expect(text).not.toContain('10.0.0.1:');
    expect(pressed(typed, '\u001b')).toMatchObject({ filter: '', state: null });
  });

  it('quit', () => {
    expect(pressed(FIRST_VIEW, 'q')).toBeNull();
    expect(pressed(after('/'), 'q')).toMatchObject({ filter: 'q' });
    expect(pressed(after('/'), '\u0003')).toBeNull();
    expect(pressed(FIRST_VIEW, '\u001b[A')).toEqual(FIRST_VIEW);
    expect(keysIn('sq')).toEqual(['s', 'q']);
    expect(keysIn('\u001b[A')).toEqual(['\u001b[A']);
  });
});

describe('addresses', () => {
  it('are completed', () => {
    expect(statusUrl('localhost:9000').href).toBe('http://localhost:9000/server-status');
    expect(statusUrl('http://[::1]:9000/a?b#c').href).toBe('http://[::1]:9000/a');
    expect(adminUrl({ host: '::', port: 9000 }).href).toBe('http://[::1]:9000/server-status');
    expect(adminUrl({ host: '127.0.0.1', port: 9000 }).port).toBe('9000');
  });

  it('that make no sense are refused', () => {
    for (const given of ['', 'ftp://x/', 'http://a:b@c/', 'a b']) {
      expect(() => statusUrl(given), given).toThrow(/is no address of a status page/);
    }
    expect(() => adminUrl(null)).toThrow(/admin is off/);
    expect(() => adminUrl({ host: '::', port: 0 })).toThrow(/port 0/);
  });
});

describe('the command', () => {
  let server: Server | null = null;
  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
    server = null;
  });
  const serve = async (answer: (url: string) => { status: number; body: string }) => {
    const made = createServer((request, response) => {
      const { status: code, body } = answer(request.url ?? '');
      response.writeHead(code).end(body);
    });
    server = made;
    await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve));
    return statusUrl(`127.0.0.1:${(made.address() as AddressInfo).port}`);
  };
  const terminal = (interactive: Terminal['interactive'] = null) => {
    const written: string[] = [];
    return {
      written,
      terminal: { write: (text: string) => void written.push(text), interactive, colours: false },
    };
  };

  it('prints once without a terminal', async () => {
    const url = await serve(() => ({ status: 200, body: JSON.stringify(DOCUMENT) }));
    const { written, terminal: plain } = terminal();
    await status({ url, once: false, json: false }, plain);
    expect(written.join('')).toContain('web-1');
    expect(written.join('')).not.toContain('\u001b');
    await status({ url, once: true, json: true }, plain);
    expect(JSON.parse(written.at(-1) ?? '')).toEqual(JSON.parse(JSON.stringify(DOCUMENT)));
  });

  it('asks again, takes keys, and puts the terminal back', async () => {
    const asked: string[] = [];
    const url = await serve((path) => {
      asked.push(path);
      return { status: 200, body: JSON.stringify(DOCUMENT) };
    });
    let press: (key: string) => void = () => {};
    let closed = false;
    const { written, terminal: live } = terminal({
      size: () => ({ columns: 80, rows: 24 }),
      onKey: (handler) => {
        press = handler;
      },
      onResize: () => {},
      onEnd: () => {},
      close: () => {
        closed = true;
      },
    });
    const done = status({ url, once: false, json: false }, live);
    await expect.poll(() => written[0]).toBe(Screen.enter);
    press('f');
    await expect.poll(() => asked.at(-1)).toContain('state=waitRequest');
    press('q');
    await done;
    expect(closed).toBe(true);
    expect(written.at(-1)).toBe(Screen.leave);
  });

  it('says who does not answer, and with what', async () => {
    const gone = await serve(() => ({ status: 200, body: '' }));
    server?.close();
    await expect(fetchStatus(gone, '')).rejects.toMatchObject({
      code: 'ERR_MPM_STATUS_UNREACHABLE',
      message: `${gone}: nobody listens there`,
    });
    const other = await serve(() => ({ status: 200, body: '<html>' }));
    await expect(fetchStatus(other, '')).rejects.toThrow(`${other}: is no status of hybrid-mpm`);
    const refused = await serve(() => ({ status: 404, body: 'not found\n' }));
    await expect(fetchStatus(refused, '')).rejects.toThrow(`${refused}: answered 404 not found`);
  });
});
