/** IMAP dialogues in memory, of several sessions and of several workers over the same folder. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  imap,
  type MailStore,
  MailStore as MailStoreClass,
  MemorySession,
  matches,
  parseAddresses,
  Watchers,
} from '../../support/mail-parts.ts';

let folder = '';
let words: Int32Array;
/** Sessions by their ids, as the server knows them. */
let sessions: Map<number, MemorySession>;
let woken: number[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'imap-'));
  words = new Int32Array(16 + 2 * 64);
  sessions = new Map();
  woken = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A worker: a store of its own over the same folder and the same memory. */
function worker(): MailStore {
  const wake = (id: number) => {
    woken.push(id);
    return sessions.get(id)?.ended === false;
  };
  return new MailStoreClass(folder, new Watchers(words, wake), { sync: false });
}

const protocolOf = (store: MailStore) =>
  imap({
    store,
    maxMessageBytes: 1000,
    login: (name, password) => (password === 'right' ? name : null),
  });

function connected(store = worker()): MemorySession {
  const session = new MemorySession(protocolOf(store), sessions.size + 1);
  sessions.set(session.id, session);
  expect(session.said()).toBe('* OK [CAPABILITY IMAP4rev1 IDLE LITERAL+ UNSELECT] ready\r\n');
  return session;
}

async function loggedIn(store = worker()): Promise<MemorySession> {
  const session = connected(store);
  expect(await session.hears('l login alice right\r\n')).toMatch(/^l OK /);
  return session;
}

async function inInbox(store = worker()): Promise<MemorySession> {
  const session = await loggedIn(store);
  expect(await session.hears('s select inbox\r\n')).toMatch(/s OK \[READ-WRITE\] Selected\r\n$/);
  return session;
}

const MAIL = [
  'From: "Bob B." <bob@x.test>',
  'To: alice@example.org, Carol <carol@x.test>',
  'Subject: hello',
  'Date: Sat, 21 Nov 2026 10:00:00 +0000',
  'Message-ID: <1@x.test>',
  '',
  'body',
  '',
].join('\r\n');

function deliver(store: MailStore, text = MAIL, user = 'alice'): void {
  const name = store.spool.begin('');
  store.spool.open(name, Buffer.from(text, 'latin1'));
  store.deliver(user, name);
  store.spool.remove(name);
}

describe('a session', () => {
  it('logs in, looks, and logs out', async () => {
    const session = connected();
    expect(await session.hears('1 select inbox\r\n2 LOGIN alice wrong\r\n')).toBe(
      '1 BAD LOGIN first\r\n2 NO [AUTHENTICATIONFAILED] Not with this password\r\n',
    );
    expect(await session.hears('3 LOGIN "alice" {5}\r\n')).toBe('+ go on\r\n');
    expect(await session.hears('right\r\n')).toMatch(/^3 OK /);
    expect(await session.hears('4 LIST "" *\r\n5 STATUS inbox (MESSAGES UNSEEN UIDNEXT)\r\n')).toBe(
      '* LIST (\\HasNoChildren) "/" "INBOX"\r\n4 OK Listed\r\n' +
        '* STATUS "INBOX" (MESSAGES 0 UNSEEN 0 UIDNEXT 1)\r\n5 OK Told\r\n',
    );
    expect(await session.hears('6 LOGOUT\r\n')).toBe('* BYE Come again\r\n6 OK Good bye\r\n');
    expect(session.ended).toBe(true);
  });

  it('selects, fetches, and is told that it has read', async () => {
    const store = worker();
    deliver(store);
    deliver(store, 'no header\r\n');
    const session = await loggedIn(store);
    expect(await session.hears('a SELECT INBOX\r\n')).toMatch(
      /^\* FLAGS \(\\Seen \\Answered \\Flagged \\Deleted \\Draft\)\r\n\* 2 EXISTS\r\n\* 0 RECENT\r\n\* OK \[UNSEEN 1\] .*\r\n\* OK \[PERMANENTFLAGS .*\r\n\* OK \[UIDVALIDITY \d+\] .*\r\n\* OK \[UIDNEXT 3\] .*\r\na OK \[READ-WRITE\] Selected\r\n$/,
    );
    expect(await session.hears('b FETCH 1 (UID FLAGS RFC822.SIZE ENVELOPE)\r\n')).toBe(
      `* 1 FETCH (UID 1 FLAGS () RFC822.SIZE ${MAIL.length} ENVELOPE ("Sat, 21 Nov 2026 10:00:00 +0000" "hello" ` +
        '(("Bob B." NIL "bob" "x.test")) (("Bob B." NIL "bob" "x.test")) (("Bob B." NIL "bob" "x.test")) ' +
        '((NIL NIL "alice" "example.org")("Carol" NIL "carol" "x.test")) NIL NIL NIL "<1@x.test>"))\r\nb OK Fetched\r\n',
    );
    const chosen = 'To: alice@example.org, Carol <carol@x.test>\r\nSubject: hello\r\n\r\n';
    expect(await session.hears('c fetch 1 body.peek[header.fields (SUBJECT to)]\r\n')).toBe(
      `* 1 FETCH (BODY[HEADER.FIELDS (SUBJECT to)] {${chosen.length}}\r\n${chosen})\r\nc OK Fetched\r\n`,
    );
    expect(await session.hears('d UID FETCH 1 (BODY[TEXT]<1.2>)\r\n')).toBe(
      '* 1 FETCH (FLAGS (\\Seen) UID 1 BODY[TEXT]<1> {2}\r\nod)\r\nd OK Fetched\r\n',
    );
    expect(await session.hears('e FETCH 1:2 BODY[]\r\n')).toBe(
      `* 1 FETCH (BODY[] {${MAIL.length}}\r\n${MAIL})\r\n* 2 FETCH (FLAGS (\\Seen) BODY[] {11}\r\nno header\r\n)\r\ne OK Fetched\r\n`,
    );
    expect(await session.hears('f FETCH 3 FLAGS\r\ng UID FETCH 3:9 FLAGS\r\n')).toBe(
      'f BAD No such message\r\ng OK Fetched\r\n',
    );
  });

  it('is the same byte by byte', async () => {
    const date = '"21-Nov-2026 10:00:00 +0100"';
    const wire =
      `a LOGIN {5}\r\nalice {5+}\r\nright\r\nb SELECT inbox\r\nc APPEND inbox (\\Seen) ${date} {6}\r\nx\r\ny\r\n\r\n` +
      'd SEARCH SEEN\r\ne FETCH 1:* (INTERNALDATE BODY[])\r\nf IDLE\r\nDONE\r\ng LOGOUT\r\n';
    const whole = await connected().hears(wire);
    expect(whole).toContain('* SEARCH 1\r\n');
    expect(whole).toContain('INTERNALDATE "21-Nov-2026 09:00:00 +0000" BODY[] {6}\r\nx\r\ny\r\n)');
    expect(whole.match(/^[a-g] OK /gm)).toHaveLength(7);
    rmSync(folder, { recursive: true });
    const alike = (text: string) => text.replace(/UIDVALIDITY \d+/, '');
    expect(alike(await connected().hearsEach(wire))).toBe(alike(whole));
  });

  it('goes on in another worker, in the middle of anything', async () => {
    // Every byte in a worker of its own choice.
    const stores = [worker(), worker(), worker()];
    const protocols = stores.map(protocolOf);
    const session = new MemorySession(protocols[0] as (typeof protocols)[0], 1);
    sessions.set(1, session);
    let turn = 0;
    session.served = () => protocols[turn++ % 3] as (typeof protocols)[0];
    const wire =
      'a LOGIN alice right\r\nb SELECT inbox\r\nc APPEND inbox {6}\r\nx\r\ny\r\n\r\nd FETCH 1 BODY[]\r\n' +
      'e STORE 1 +FLAGS (\\Deleted)\r\nf EXPUNGE\r\ng IDLE\r\nDONE\r\n';
    const said = await session.hearsEach(wire);
    expect(said.match(/^[a-g] OK /gm)).toHaveLength(7);
    expect(said).toContain('+ go on\r\n* 1 EXISTS\r\nc OK');
    expect(said).toContain('BODY[] {6}\r\nx\r\ny\r\n)');
    expect(said).toContain('* 1 EXPUNGE\r\nf OK');
    expect(readdirSync(join(folder, 'spool'))).toEqual([]);
  });

  it('waits for a client that does not read, and goes on where it was', async () => {
    const store = worker();
    for (let index = 0; index < 40; index++)
      deliver(store, `n: ${index}\r\n\r\n${'x'.repeat(9000)}`);
    const session = await inInbox(store);
    session.window = 1000;
    const said = await session.hears('a FETCH 1:* BODY.PEEK[]\r\n');
    const numbers = [...said.matchAll(/^\* (\d+) FETCH/gm)].map(([, number]) => Number(number));
    expect(numbers).toEqual(Array.from({ length: 40 }, (_, index) => index + 1));
    expect(said).toMatch(/\r\na OK Fetched\r\n$/);
  });
});

describe('IDLE', () => {
  it('is woken by a mail that another worker took in, and by nothing else', async () => {
    const [here, there] = [worker(), worker()];
    const session = await inInbox(here);
    expect(await session.hears('i IDLE\r\n')).toBe('+ idling\r\n');
    expect([session.state, session.idleTimeout]).toEqual(['idle', 1800]);
    deliver(there, MAIL, 'bob');
    expect(woken).toEqual([]);
    deliver(there);
    expect(woken).toEqual([1]);
    expect(await session.woken()).toBe('* 1 EXISTS\r\n');
    // Several wakes are one, and one for nothing says nothing.
    deliver(there);
    deliver(there);
    expect(await session.woken()).toBe('* 3 EXISTS\r\n');
    expect(await session.woken()).toBe('');
    expect(await session.hears('DONE\r\n')).toBe('i OK Idled\r\n');
    woken = [];
    deliver(there);
    expect(woken).toEqual([]);
    expect(await session.hears('n NOOP\r\n')).toBe('* 4 EXISTS\r\nn OK Done\r\n');
  });

  it('tells what came before it began, and what others did', async () => {
    const [here, there] = [worker(), worker()];
    for (let index = 0; index < 3; index++) deliver(here);
    const [session, other] = [await inInbox(here), await inInbox(there)];
    deliver(there);
    expect(await session.hears('i IDLE\r\n')).toBe('+ idling\r\n* 4 EXISTS\r\n');
    await other.hears('a STORE 1 +FLAGS (\\Flagged)\r\nb STORE 2,3 +FLAGS.SILENT (\\Deleted)\r\n');
    expect(await session.woken()).toBe(
      '* 1 FETCH (UID 1 FLAGS (\\Flagged))\r\n* 2 FETCH (UID 2 FLAGS (\\Deleted))\r\n* 3 FETCH (UID 3 FLAGS (\\Deleted))\r\n',
    );
    expect(await other.hears('c EXPUNGE\r\n')).toBe(
      '* 2 EXPUNGE\r\n* 2 EXPUNGE\r\nc OK Expunged\r\n',
    );
    deliver(there);
    expect(await session.woken()).toBe('* 2 EXPUNGE\r\n* 2 EXPUNGE\r\n* 3 EXISTS\r\n');
    expect(await session.hears('DONE\r\nf UID SEARCH ALL\r\n')).toBe(
      'i OK Idled\r\n* SEARCH 1 4 5\r\nf OK Searched\r\n',
    );
  });

  it('ends with anything but DONE, and with the server', async () => {
    const store = worker();
    const session = await inInbox(store);
    await session.hears('i IDLE\r\n');
    expect(await session.hears('n NOOP\r\n')).toMatch(/^\* BYE /);
    expect(session.ended).toBe(true);
    deliver(store);
    expect(woken).toEqual([]);
  });
});

describe('numbers of messages', () => {
  it('stay while FETCH, STORE and SEARCH use them, though another session expunges', async () => {
    const [here, there] = [worker(), worker()];
    for (let index = 0; index < 3; index++) deliver(here);
    const [session, other] = [await inInbox(here), await inInbox(there)];
    await other.hears('a STORE 1 +FLAGS (\\Deleted)\r\nb EXPUNGE\r\n');
    expect(await session.hears('c FETCH 1:3 UID\r\n')).toBe(
      '* 2 FETCH (UID 2)\r\n* 3 FETCH (UID 3)\r\nc OK Fetched\r\n',
    );
    expect(await session.hears('d STORE 2 +FLAGS (\\Seen)\r\ne SEARCH SEEN\r\n')).toBe(
      '* 2 FETCH (FLAGS (\\Seen))\r\nd OK Stored\r\n* SEARCH 2\r\ne OK Searched\r\n',
    );
    expect(await session.hears('f NOOP\r\ng SEARCH SEEN\r\n')).toBe(
      '* 1 EXPUNGE\r\nf OK Done\r\n* SEARCH 1\r\ng OK Searched\r\n',
    );
  });

  it('agree with what the client was told, whatever two sessions do (seed 9)', async () => {
    let seed = 9;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const stores = [worker(), worker()];
    deliver(stores[0] as MailStore);
    const parties = await Promise.all(
      stores.map(async (store) => ({ session: await inInbox(store), count: 1 })),
    );
    for (let step = 0; step < 600; step++) {
      const party = parties[random(2)] as (typeof parties)[0];
      const at = party.count > 0 ? 1 + random(party.count) : 0;
      const choices = [
        () => 'x NOOP\r\n',
        () => (at > 0 ? `x STORE ${at} +FLAGS (\\Deleted)\r\n` : 'x NOOP\r\n'),
        () => 'x EXPUNGE\r\n',
        () => (at > 0 ? `x FETCH ${at} FLAGS\r\n` : 'x CHECK\r\n'),
        () => `x APPEND inbox {3+}\r\nabc\r\n`,
        () => (at > 0 ? `x COPY ${at} inbox\r\n` : 'x NOOP\r\n'),
      ];
      const said = await party.session.hears((choices[random(choices.length)] as () => string)());
      for (const [, number, what] of said.matchAll(/^\* (\d+) (EXISTS|EXPUNGE|FETCH)/gm)) {
        if (what === 'EXISTS') {
          expect(Number(number), `step ${step}`).toBeGreaterThanOrEqual(party.count);
          party.count = Number(number);
        } else {
          expect(Number(number), `step ${step}: ${said}`).toBeLessThanOrEqual(party.count);
          if (what === 'EXPUNGE') party.count--;
        }
      }
      // A copy of a message that another session took out is refused, and nothing else is.
      expect(said, `step ${step}`).toMatch(/^x (?:OK|NO \[EXPUNGEISSUED\])/m);
    }
    const all = await Promise.all(
      parties.map(async ({ session }) => {
        await session.hears('n NOOP\r\n');
        return session.hears('u FETCH 1:* (UID FLAGS)\r\n');
      }),
    );
    expect(all[0]).toBe(all[1]);
  });
});

describe('APPEND', () => {
  it('takes a message, asked for or not, and wakes who idles there', async () => {
    const [here, there] = [worker(), worker()];
    const idling = await inInbox(there);
    await idling.hears('i IDLE\r\n');
    const session = await loggedIn(here);
    expect(await session.hears('a APPEND inbox (\\Seen \\Flagged) {5}\r\n')).toBe('+ go on\r\n');
    expect(session.state).toBe('append');
    expect(await session.hears('hel')).toBe('');
    expect(await session.hears('lo')).toBe('');
    expect(await session.hears('\r\n')).toBe('a OK Appended\r\n');
    expect(await session.hears('b APPEND INBOX {2+}\r\nhi\r\n')).toBe('b OK Appended\r\n');
    expect(await idling.woken()).toBe('* 2 EXISTS\r\n');
    expect(await session.hears('c EXAMINE inbox\r\nd FETCH 1:2 (FLAGS RFC822)\r\n')).toContain(
      '* 1 FETCH (FLAGS (\\Seen \\Flagged) RFC822 {5}\r\nhello)\r\n* 2 FETCH (FLAGS () RFC822 {2}\r\nhi)\r\nd OK',
    );
  });

  it('refuses before the message where it can, and reads on behind it where it cannot', async () => {
    const session = await loggedIn();
    expect(await session.hears('a APPEND none {5}\r\nb APPEND inbox {1001}\r\nc NOOP\r\n')).toMatch(
      /^a NO \[TRYCREATE\] .*\r\nb NO \[TOOBIG\] .*\r\nc OK Done\r\n$/,
    );
    const wire = `d APPEND inbox {2000+}\r\n${'x NOOP\r\n'.repeat(250)}\r\ne NOOP\r\n`;
    expect(await session.hears(wire)).toMatch(/^d NO \[TOOBIG\] .*\r\ne OK Done\r\n$/);
    expect(await session.hearsEach(wire)).toMatch(/^d NO \[TOOBIG\] .*\r\ne OK Done\r\n$/);
  });
});

describe('SEARCH', () => {
  it.each([
    ['ALL', '1 2 3'],
    ['UNSEEN', '2 3'],
    ['SEEN', '1'],
    ['NOT SEEN 1:2', '2'],
    ['OR SEEN 3', '1 3'],
    ['(UNSEEN UID 3:*)', '3'],
    ['FROM BOB', '1 3'],
    ['SUBJECT "rare word"', '2'],
    ['HEADER message-id 1@x', '1 3'],
    ['TEXT needle', '2'],
    ['BODY subject', ''],
    ['LARGER 100', '1 3'],
    ['SINCE 1-Jan-2020 BEFORE 1-Jan-2021', ''],
    ['SINCE 1-Jan-2020', '1 2 3'],
    ['CHARSET UTF-8 ALL', '1 2 3'],
    ['*', '3'],
    ['DELETED', ''],
  ])('%s', async (text, found) => {
    const store = worker();
    deliver(store);
    deliver(store, 'Subject: a\r\n rare word\r\n\r\na needle\r\n');
    deliver(store);
    const session = await inInbox(store);
    await session.hears('a STORE 1 +FLAGS.SILENT (\\Seen)\r\n');
    const said = await session.hears(`b SEARCH ${text}\r\n`);
    expect(said).toBe(`* SEARCH${found === '' ? '' : ` ${found}`}\r\nb OK Searched\r\n`);
  });
});

describe('what is wrong', () => {
  it.each([
    ['x\r\n', 'x BAD A space expected\r\n'],
    ['x WHAT\r\n', 'x BAD Command not known\r\n'],
    ['x UID NOOP\r\n', 'x BAD Command not known\r\n'],
    ['x FETCH 0 FLAGS\r\n', 'x BAD A number from 1 expected\r\n'],
    ['x FETCH 1 (FLAGS\r\n', 'x BAD ")" expected\r\n'],
    ['x FETCH 1 BODYSTRUCTURE\r\n', 'x BAD Not to be had here: BODYSTRUCTURE\r\n'],
    ['x FETCH 1 BODY[1]\r\n', 'x BAD Not to be had here: BODY[1]\r\n'],
    ['x STORE 1 FLAGS (\\What)\r\n', 'x BAD No such flag: \\What\r\n'],
    ['x SELECT ../bob\r\n', 'x NO [CANNOT] No mailbox can have that name\r\n'],
    ['x SELECT "none"\r\n', 'x NO [NONEXISTENT] No such mailbox\r\n'],
    [`x NOOP ${'y'.repeat(9000)}\r\n`, 'x BAD The command is too long\r\n'],
    ['x LOGIN {9000}\r\n', 'x BAD The command is too long\r\n'],
    [`x SEARCH SUBJECT {9000+}\r\n${'y'.repeat(9000)} z\r\n`, 'x BAD The command is too long\r\n'],
    [`${'t'.repeat(25)} NOOP\r\n`, `${'t'.repeat(25)} BAD A tag has at most 24 characters\r\n`],
  ])('%.60j', async (wire, reply) => {
    for (const how of ['hears', 'hearsEach'] as const) {
      const store = worker();
      deliver(store);
      const session = await inInbox(store);
      expect(await session[how](wire)).toBe(reply);
      expect(await session.hears('n CAPABILITY\r\n')).toContain('n OK Told\r\n');
    }
  });

  it('ends the session: bare line ends, and too many errors', async () => {
    const session = await inInbox();
    expect(await session.hears('a NOOP\nb NOOP\r\n')).toMatch(/^\* BYE [^\r]*\r\n$/);
    expect(session.ended).toBe(true);
    expect(await connected().hears('\n')).toMatch(/^\* BYE [^\r]*\r\n$/);
    const guessing = connected();
    expect(await guessing.hears('x LOGIN alice wrong\r\n'.repeat(30))).toMatch(/BYE Too many/);
    expect(guessing.ended).toBe(true);
  });
});

it('a pattern of LIST matches as it says', () => {
  expect(matches('*', 'INBOX')).toBe(true);
  expect(matches('in%x', 'INBOX')).toBe(true);
  expect(matches('A*b%c', 'Axxbyybzc')).toBe(true);
  expect(matches('A*b', 'Abc')).toBe(false);
  expect(matches('sent', 'Sent')).toBe(false);
  expect(matches(`${'*a'.repeat(40)}`, 'b'.repeat(64))).toBe(false);
});

it('addresses of a header field are told apart', () => {
  expect(parseAddresses('"A, \\"B\\"" <a@b>, c@d (note (in note)), team: x@y, Z <z@w>;, ')).toEqual(
    [
      ['A, "B"', 'a', 'b'],
      [null, 'c', 'd'],
      [null, 'team', null],
      [null, 'x', 'y'],
      ['Z', 'z', 'w'],
      [null, null, null],
    ],
  );
});
