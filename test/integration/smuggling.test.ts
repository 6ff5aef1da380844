/**
 * Request smuggling: what the application sees of messages that were made to be read in two ways, behind
 * front servers and without one. See test/support/smuggling-corpus.ts. MPM_SMUGGLING_TABLE=<file> writes
 * the outcome of each message down.
 */
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { FRONTS, type FrontServer, startFront } from '../support/front-servers.ts';
import { startNaiveServer } from '../support/naive-server.ts';
import { fixture, type ServerProcess, startServer } from '../support/server-process.ts';
import { bytesOf, CORPUS, NUMBER_DIGITS, type Payload } from '../support/smuggling-corpus.ts';

const AT_ONCE = 40;
const CONNECTION_DEADLINE_MS = 15_000;

interface Seen {
  readonly method: string;
  readonly url: string;
  /** Name, value, name, value, as sent. */
  readonly fields: readonly string[];
  readonly body: string;
}
/** What became of one message. */
interface Outcome {
  readonly payload: Payload;
  readonly number: number;
  /** Status codes, in order, without 100. */
  readonly statuses: readonly number[];
  /** All that came back, latin1. */
  readonly received: string;
  /** False: it was still open at the deadline. */
  readonly ended: boolean;
  seen: Seen[];
}

let server: ServerProcess | null = null;
let front: FrontServer | null = null;
const table = new Map<string, string[]>();

async function startApplication(): Promise<number> {
  const flags = ['--request-read-timeout=header=2 body=2', '--keep-alive-timeout=3'];
  const one = ['--start-servers=1', '--max-request-workers=1'];
  server = await startServer(fixture('seen-requests.mjs'), [...one, ...flags]);
  return server.port;
}
afterEach(async () => {
  await front?.stop();
  front = null;
  await server?.stop('SIGKILL');
  server = null;
});
afterAll(() => {
  const path = process.env.MPM_SMUGGLING_TABLE;
  if (path === undefined) return;
  const ways = table.get('') ?? [];
  const rows = CORPUS.map((payload, number) => {
    const cells = table.get(String(number)) ?? [];
    return `| ${[payload.family, payload.name, payload.expected, ...cells].join(' | ')} |`;
  });
  const head = ['family', 'message', 'by RFC 9112', ...ways];
  writeFileSync(
    path,
    [`| ${head.join(' | ')} |`, `|${' --- |'.repeat(head.length)}`, ...rows, ''].join('\n'),
  );
});

/** Sends the message and the marker behind it on a connection of its own, until that is closed. */
function say(port: number, bytes: Buffer): Promise<{ received: string; ended: boolean }> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    let received = '';
    const over = (ended: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ received, ended });
    };
    const timer = setTimeout(() => over(false), CONNECTION_DEADLINE_MS);
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      received += text;
    });
    // A reset behind a refusal is an end as well.
    for (const event of ['end', 'close', 'error']) socket.once(event, () => over(true));
    socket.write(bytes);
  });
}

async function seenByTheApplication(port: number): Promise<Seen[]> {
  const response = await fetch(`http://127.0.0.1:${port}/seen`, {
    headers: { connection: 'close' },
    signal: AbortSignal.timeout(10_000),
  });
  return (await response.json()) as Seen[];
}

const fieldOf = ({ fields }: Seen, name: string): string[] =>
  fields.filter((_, at) => at % 2 === 1 && fields[at - 1]?.toLowerCase() === name);

/** Sends the whole corpus, a few messages at a time, and finds out what the application saw. */
async function sendCorpus(
  port: number,
  applicationPort: number,
): Promise<{ outcomes: Outcome[]; strangers: Seen[] }> {
  const outcomes: Outcome[] = [];
  let next = 0;
  const sender = async () => {
    for (let number = next++; number < CORPUS.length; number = next++) {
      const payload = CORPUS[number] as Payload;
      const { received, ended } = await say(port, bytesOf(payload, number));
      const statuses = [...received.matchAll(/HTTP\/1\.[01] (\d{3})/g)].map(([, code]) =>
        Number(code),
      );
      const final = statuses.filter((code) => code !== 100);
      outcomes[number] = { payload, number, statuses: final, received, ended, seen: [] };
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, sender));
  const strangers: Seen[] = [];
  for (const one of await seenByTheApplication(applicationPort)) {
    const number = /^(?:http:\/\/inner)?\/(?:outer|marker|smuggled)\/(\d+)/.exec(one.url)?.[1];
    if (number === undefined || number.length !== NUMBER_DIGITS) strangers.push(one);
    else outcomes[Number(number)]?.seen.push(one);
  }
  return { outcomes, strangers };
}

function note(way: string, outcomes: readonly Outcome[]): void {
  table.set('', [...(table.get('') ?? []), way]);
  for (const { number, statuses, seen } of outcomes) {
    const saw = seen.map(({ url }) => url.split('/').at(-2)).join(', ');
    const cell = `${statuses.join(', ') || 'closed'}${saw === '' ? '' : `; saw ${saw}`}`;
    table.set(String(number), [...(table.get(String(number)) ?? []), cell]);
  }
  const families = new Map<string, { messages: number; reached: number }>();
  for (const { payload, seen } of outcomes) {
    const row = families.get(payload.family) ?? { messages: 0, reached: 0 };
    row.messages++;
    if (seen.some(({ url }) => url.includes('outer'))) row.reached++;
    families.set(payload.family, row);
  }
  const lines = [...families].map(
    ([family, { messages, reached }]) =>
      `  ${family.padEnd(18)}${reached} of ${messages} reached the application`,
  );
  console.log([`${way}: ${outcomes.length} messages`, ...lines].join('\n'));
}

const named = ({ payload: { family, name }, number }: Outcome) => `${number} ${family}: ${name}`;

/** No answer belongs to somebody else. */
function expectOwnAnswers(outcomes: readonly Outcome[], behindFront: boolean): void {
  for (const outcome of outcomes) {
    const own = String(outcome.number).padStart(NUMBER_DIGITS, '0');
    for (const [, kind, number] of outcome.received.matchAll(
      /saw \S*\/(outer|marker|smuggled)\/(\d+)/g,
    )) {
      expect(number, `${named(outcome)} was answered`).toBe(own);
      // A front server may have taken it for a request of its own and sent it as one.
      if (!behindFront) expect(kind, named(outcome)).not.toBe('smuggled');
    }
  }
}

it('has messages enough, of each kind', () => {
  expect(CORPUS.length).toBeGreaterThanOrEqual(150);
  const keys = CORPUS.map(({ family, name, expected }) => `${family}: ${name}: ${expected}`);
  expect(keys).toEqual([...new Set(keys)]);
});

describe('directly', () => {
  it('each message is refused and its connection closed, or read as exactly one request', async () => {
    const port = await startApplication();
    const { outcomes, strangers } = await sendCorpus(port, port);
    note('directly', outcomes);
    expect(strangers).toEqual([]);
    expectOwnAnswers(outcomes, false);
    const wrong: string[] = [];
    for (const outcome of outcomes) {
      const { payload, statuses, seen, ended } = outcome;
      const kinds = seen.map(({ url }) => url.split('/').at(-2)).join();
      const isRefused = kinds === '' && statuses.length === 1 && (statuses[0] ?? 0) >= 400;
      const isOne = kinds === 'outer,marker' && statuses.join() === '200,200';
      const right = payload.expected === 'refused' ? isRefused : isOne;
      // What closes after its one response leaves no room for the marker.
      const closes = kinds === 'outer' && payload.expected === 'one' && statuses.join() === '200';
      if (ended && (right || closes)) continue;
      wrong.push(
        `${named(outcome)}: ${payload.expected}; ${statuses}; saw ${kinds}; ended ${ended}`,
      );
    }
    expect(wrong).toEqual([]);
  }, 60_000);
});

/** Requests that the front server has not sent, or not as they arrived; numbers that came twice. */
function unsent(outcomes: readonly Outcome[]): string[] {
  const found: string[] = [];
  const ids = new Set<string>();
  for (const outcome of outcomes) {
    for (const one of outcome.seen) {
      const [id = '', ...more] = fieldOf(one, 'x-front-id');
      const told = [fieldOf(one, 'x-front-method').join(), fieldOf(one, 'x-front-target').join()];
      const isSent = /^front-[0-9a-f-]{32,36}$/.test(id) && more.length === 0 && !ids.has(id);
      ids.add(id);
      if (isSent && told.join(' ') === `${one.method} ${one.url}`) continue;
      found.push(`${named(outcome)}: ${JSON.stringify(one)}`);
    }
  }
  return found;
}

const MISSING = '(skipped: not installed; Debian packages nginx-light and haproxy)';

describe.each(FRONTS)('behind $name', (kind) => {
  it.skipIf(kind.binary === null)(
    `the application sees no request that was not sent as one ${kind.binary === null ? MISSING : ''}`,
    async () => {
      const port = await startApplication();
      front = await startFront(kind, port);
      const { outcomes, strangers } = await sendCorpus(front.port, port);
      note(kind.name, outcomes);
      expect(strangers).toEqual([]);
      expectOwnAnswers(outcomes, true);
      expect(unsent(outcomes)).toEqual([]);
      expect(outcomes.filter(({ ended }) => !ended).map(named)).toEqual([]);
      // A front server that lets nothing through would prove nothing.
      expect(outcomes.filter(({ seen }) => seen.length > 0).length).toBeGreaterThan(40);
    },
    60_000,
  );
});

describe.each(FRONTS.filter(({ usual }) => usual))('behind $name', (kind) => {
  it.skipIf(kind.binary === null)(
    `a server that ignores bodies is found out ${kind.binary === null ? MISSING : ''}`,
    async () => {
      const naive = await startNaiveServer();
      try {
        front = await startFront(kind, naive.port);
        const { outcomes } = await sendCorpus(front.port, naive.port);
        expect(unsent(outcomes).join()).toContain('/smuggled/');
      } finally {
        naive.stop();
      }
    },
    60_000,
  );
});
