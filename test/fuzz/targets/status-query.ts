/**
 * The query of the status page over a board with hostile requests: an answer of 200 or 400 in every form,
 * HTML without a tag or attribute that is not the page's own, JSON and CSV that read back, and links that
 * mean the same query again.
 */
import { linkTo, parseQuery, SORT_KEYS } from '../../../src/main/admin/query.ts';
import type { Reply } from '../../../src/main/admin/reply.ts';
import { statusReply } from '../../../src/main/admin/status-reply.ts';
import { StatusSource } from '../../../src/main/admin/status-source.ts';
import type { Scoreboard } from '../../../src/scoreboard/scoreboard.ts';
import { OPEN_STATES } from '../../../src/scoreboard/snapshot.ts';
import { ConnectionEvent } from '../../../src/scoreboard/states.ts';
import { incarnationOf } from '../../../src/scoreboard/transition.ts';
import { connect, emptyBoard, LIMITS } from '../../support/status-view.ts';
import { damage, draw, once, pick, type Random } from '../random.ts';
import { type FuzzTarget, must } from '../target.ts';

interface QueryInput {
  /** Behind the question mark. */
  readonly query: string;
  /** Target and Host of a request that is shown. */
  readonly target: string;
  readonly host: string;
}

const HOSTILE = [
  ...[
    '<pwn>',
    '"',
    "'",
    '"><pwn x="',
    '</td>',
    '&lt;',
    '&',
    '-->',
    '<!--',
    ']]>',
    '=1+1',
    '@x',
    ',',
  ],
  ...[
    '\r\n',
    '\x1b[31m',
    '\x7f',
    '\xff',
    'javascript:',
    '{{',
    '${',
    '%3Cpwn%3E',
    'a',
    '/',
    '?x=1',
    ' onpwn=1 ',
  ],
];
const VALUES = [
  ...[
    '',
    '0',
    '1',
    '-1',
    '75',
    '20000',
    '20001',
    '1e3',
    '9'.repeat(30),
    'NaN',
    'null',
    '%',
    '%zz',
    'on',
  ],
  ...['+', '%00', '%0d%0aX:%20y', '10.0.0.1', '__proto__', 'x'.repeat(201), '%ff', '%F0%9F%98%80'],
];
const NAMES = [
  ...['state', 'client', 'worker', 'request', 'sort', 'limit', 'connection', 'queries', 'refresh'],
  ...['auto', 'json', 'csv', 'events', '__proto__', 'constructor', 'x', ''],
];

const board: Scoreboard = emptyBoard();
for (let slot = 0; slot < 6; slot++) {
  connect(board, slot);
  if (slot % 2 === 0) board.move(slot, board.word(slot), ConnectionEvent.readable);
}
const source = new StatusSource(board, { version: '0', limits: LIMITS, startedMs: 0 });
const PLACE = { eventsPath: '/server-status/events', actionsPath: null, links: [] };

/** As if a connection had sent this request, in latin1. */
function record(slot: number, target: string, host: string): void {
  const head = Buffer.from(`GET ${target}\r\n${host}\r\n\r\n    `, 'latin1');
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  board.requests?.begin(slot, incarnationOf(board.word(slot)), 0, view, {
    lineStart: 0,
    methodBytes: 3,
    targetBytes: target.length,
    hostStart: 4 + target.length + 2,
    hostBytes: host.length,
    minorVersion: 1,
  });
}

const TAG = /<(?:!doctype html|\/?([a-z][a-z0-9]*)((?:\s+[a-z-]+(?:="[^"<>]*")?)*)\s*\/?)>/gi;
let known: { tags: Set<string>; attributes: Set<string> } | null = null;

/** Names of tags and attributes; throws where a `<` or `>` is neither a tag's nor escaped. */
function namesIn(page: string): { tags: Set<string>; attributes: Set<string> } {
  const tags = new Set<string>();
  const attributes = new Set<string>();
  const text = page
    .replace(/<(style|script)>.*?<\/\1>/gs, '')
    .replace(TAG, (_, tag: string | undefined, rest: string | undefined) => {
      if (tag !== undefined) tags.add(tag);
      for (const [, name] of (rest ?? '').matchAll(/\s([a-z-]+)(?:="[^"]*")?/g))
        attributes.add(name);
      return '';
    });
  const stray = /.{0,60}[<>].{0,60}/.exec(text);
  must(stray === null, () => `stray markup: ${stray?.[0]}`);
  const bare = /&(?!(?:[a-z]+|#\d+);).{0,20}/.exec(text);
  must(bare === null, () => `stray ampersand: ${bare?.[0]}`);
  return { tags, attributes };
}

function checkPage(page: string): void {
  must(!/[^\n\x20-\x7e\xa0-\uffff]/.test(page), () => 'a control character in the page');
  const { tags, attributes } = namesIn(page);
  // The page's own are those that it has for harmless requests.
  known ??= (() => {
    const own = { tags: new Set<string>(), attributes: new Set<string>() };
    for (let slot = 0; slot < 6; slot++) record(slot, '/', 'h');
    for (const query of [
      '',
      'connection=1',
      'connection=40',
      'refresh=5',
      'state=keepalive&sort=-age',
    ]) {
      const reply = replyTo(new URLSearchParams(query));
      const { tags: t, attributes: a } = namesIn(reply.body);
      for (const name of t) own.tags.add(name);
      for (const name of a) own.attributes.add(name);
    }
    return own;
  })();
  for (const name of tags) must(known.tags.has(name), () => `a tag ${name}`);
  must(
    !tags.has('pwn') && ![...attributes].some((name) => /^on|pwn/.test(name)),
    () => 'markup of a stranger',
  );
}

/** Nothing here is binary. */
function replyTo(parameters: URLSearchParams): Reply & { readonly body: string } {
  const reply = statusReply(source, null, () => PLACE, parameters);
  return { ...reply, body: String(reply.body) };
}

/** RFC 4180: rows of as many cells as the first, each of them no formula. */
function checkCsv(text: string): void {
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
  let row: string[] = [];
  let width = 0;
  while (cell.lastIndex < text.length) {
    const match = cell.exec(text);
    must(match !== null, () => 'no CSV');
    row.push(match[1] ?? match[2]);
    if (match[3] === ',') continue;
    width ||= row.length;
    must(row.length === width, () => `a row of ${row.length} cells`);
    for (const value of row) must(!/^[=+@\t\r]|^-(?!\d)/.test(value), () => `a formula: ${value}`);
    row = [];
  }
}

export const statusQuery: FuzzTarget<QueryInput> = {
  name: 'status-query',
  title: 'the status page answers any query, and shows strangers’ text as text',
  outcomes: 6,
  kept: [],

  make(random: Random): QueryInput {
    const value = (name: string) => {
      if (once(random, 3)) return encodeURIComponent(draw(random, HOSTILE, 1 + random(4)));
      if (name === 'state' && once(random, 2)) return pick(random, OPEN_STATES);
      if (name === 'sort' && !once(random, 4))
        return `${once(random, 2) ? '-' : ''}${pick(random, SORT_KEYS)}`;
      return pick(random, VALUES);
    };
    const pairs = Array.from({ length: random(5) }, () => {
      const name = pick(random, NAMES);
      return `${name}${once(random, 8) ? '' : '='}${value(name)}`;
    });
    const query = pairs.join(once(random, 10) ? ';' : '&');
    return {
      query: once(random, 8) ? damage(random, query) : query,
      target: `/${draw(random, HOSTILE, random(8)).slice(0, 400)}`,
      host: draw(random, HOSTILE, random(3)),
    };
  },

  check({ query, target, host }: QueryInput): string {
    record(1, target, host);
    const parameters = new URLSearchParams(query);
    const reply = replyTo(parameters);
    must([200, 400, 404].includes(reply.status), () => `status ${reply.status}`);
    for (const value of Object.values(reply.headers ?? {})) {
      must(/^[\x20-\x7e]*$/.test(value), () => `a header of ${JSON.stringify(value)}`);
    }
    if (reply.status !== 200) {
      must(!reply.type.includes('html') && reply.body.length < 2_000, () => reply.body);
      return String(reply.status);
    }
    const asked = parseQuery(parameters);
    const again = parseQuery(new URLSearchParams(linkTo(asked).slice(1)));
    must(JSON.stringify(again) === JSON.stringify(asked), () => `the link ${linkTo(asked)}`);
    const type = reply.type.split(';')[0];
    if (type === 'text/html') checkPage(reply.body);
    if (type === 'text/csv') checkCsv(reply.body);
    if (type === 'application/json') JSON.parse(reply.body);
    if (type === 'text/plain') must(/^[\x20-\x7e\n]*$/.test(reply.body), () => 'not plain text');
    return type;
  },
};
