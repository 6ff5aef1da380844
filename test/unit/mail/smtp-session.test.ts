/** SMTP dialogues in memory: every reply, whole, byte by byte, and what reaches the application. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type Mail,
  MemorySession,
  parsePath,
  Refusal,
  type SmtpOptions,
  Spool,
  smtp,
} from '../../support/mail-parts.ts';

let folder = '';
let spool: InstanceType<typeof Spool>;
/** What reached the application. */
let mails: { mail: Mail; text: string }[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'smtp-'));
  spool = new Spool(folder, false);
  mails = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const served = (options: Partial<SmtpOptions> = {}) =>
  smtp({
    spool,
    hostname: 'mx.test',
    recipient(address) {
      if (address.startsWith('nobody')) throw new Refusal(550, '5.1.1', 'Nobody is not here');
    },
    deliver(mail) {
      mails.push({ mail, text: readFileSync(spool.pathOf(mail.name), 'latin1') });
    },
    ...options,
  });

/** Greeted, and its greeting taken. */
function connected(options: Partial<SmtpOptions> = {}): MemorySession {
  const session = new MemorySession(served(options));
  expect(session.said()).toBe('220 mx.test ESMTP\r\n');
  return session;
}

/** The codes of replies, the last line's each. */
const codes = (said: string): number[] =>
  [...said.matchAll(/^(\d{3}) /gm)].map(([, code]) => Number(code));
const lines = (...commands: string[]): string => commands.map((line) => `${line}\r\n`).join('');

const ENVELOPE = ['EHLO me.test', 'MAIL FROM:<a@me.test>', 'RCPT TO:<b@mx.test>'];
const MAIL = [...ENVELOPE, 'DATA', 'Subject: x', '', '..dot', '.'];

describe('a mail', () => {
  const expected = [250, 250, 250, 354, 250, 221];

  it('comes in one segment with all commands', async () => {
    const session = connected();
    expect(codes(await session.hears(lines(...MAIL, 'QUIT')))).toEqual(expected);
    expect(session.ended).toBe(true);
    expect(mails).toHaveLength(1);
    const [{ mail, text }] = mails as [{ mail: Mail; text: string }];
    expect(mail).toMatchObject({
      from: 'a@me.test',
      recipients: ['b@mx.test'],
      size: 'Subject: x\r\n\r\n.dot\r\n'.length,
      hello: 'me.test',
      utf8: false,
    });
    expect(text).toMatch(
      /^Return-Path: <a@me\.test>\r\nReceived: from me\.test \(\[192\.0\.2\.7\]\)\r\n\tby mx\.test with ESMTP id [0-9a-f]{24}\r\n\tfor <b@mx\.test>;\r\n\t\w{3}, \d\d \w{3} \d{4} [\d:]{8} \+0000\r\nSubject: x\r\n\r\n\.dot\r\n$/,
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  it('comes byte by byte', async () => {
    const session = connected();
    expect(codes(await session.hearsEach(lines(...MAIL, 'QUIT')))).toEqual(expected);
    expect(mails).toHaveLength(1);
  });

  it('comes cut at every byte', async () => {
    const wire = lines(...MAIL, 'QUIT');
    for (let cut = 1; cut < wire.length; cut++) {
      const session = connected();
      const said =
        (await session.hears(wire.slice(0, cut))) + (await session.hears(wire.slice(cut)));
      expect(codes(said), `cut at ${cut}`).toEqual(expected);
    }
    expect(mails).toHaveLength(wire.length - 1);
  });

  it('is followed by others in the same session', async () => {
    const session = connected();
    await session.hears(lines(...MAIL));
    const next = ['MAIL FROM:<>', 'RCPT TO:<c@mx.test>', 'RCPT TO:<d@mx.test>'];
    expect(codes(await session.hears(lines(...next, 'DATA', 'two', '.')))).toEqual([
      250, 250, 250, 354, 250,
    ]);
    expect(mails.map(({ mail }) => [mail.from, mail.recipients])).toEqual([
      ['a@me.test', ['b@mx.test']],
      ['', ['c@mx.test', 'd@mx.test']],
    ]);
    // Who else gets it is nobody's business.
    expect(mails[1]?.text).not.toContain('for <');
  });

  it('goes to those of its recipients who are there', async () => {
    const session = connected();
    await session.hears(lines(...ENVELOPE.slice(0, 2)));
    const rcpt = ['RCPT TO:<nobody@mx.test>', 'RCPT TO:<b@mx.test>', 'RCPT TO:<postmaster>'];
    expect(codes(await session.hears(lines(...rcpt, 'DATA', 'x', '.')))).toEqual([
      550, 250, 250, 354, 250,
    ]);
    expect(mails[0]?.mail.recipients).toEqual(['b@mx.test', 'postmaster']);
  });

  it('is refused by the application, now or later, in its own words', async () => {
    const refusals: [unknown, string][] = [
      [new Refusal(554, '5.7.1', 'No, thank you'), '554 5.7.1 No, thank you\r\n'],
      [new Refusal(452, '4.2.2', 'Mailbox full'), '452 4.2.2 Mailbox full\r\n'],
    ];
    for (const [error, reply] of refusals) {
      const throwing = connected({
        deliver: () => {
          throw error;
        },
      });
      expect(await throwing.hears(lines(...MAIL))).toContain(reply);
      const rejecting = connected({ deliver: () => Promise.reject(error) });
      expect(await rejecting.hears(lines(...MAIL, 'NOOP'))).toMatch(
        new RegExp(`${reply}250 2\\.0\\.0 OK\r\n$`),
      );
    }
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is forgotten by RSET, EHLO, QUIT, a timeout and a stop', async () => {
    for (const command of ['RSET', 'EHLO again.test', 'QUIT']) {
      const session = connected();
      await session.hears(lines(...ENVELOPE));
      expect(readdirSync(folder)).toHaveLength(1);
      await session.hears(lines(command));
      expect(readdirSync(folder), command).toEqual([]);
    }
    const session = connected();
    await session.hears(lines(...ENVELOPE, 'DATA', 'half'));
    expect(readdirSync(folder)).toHaveLength(2);
    expect(await session.timeout()).toMatch(/^421 4\.4\.2 /);
    expect(session.ended).toBe(true);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('smuggling', () => {
  it('has a mail with bare line ends refused, and nothing of it taken for a command', async () => {
    for (const end of ['\n.\n', '\n.\r\n', '\r.\r', '\r\n.\n', '\r\n.\r', '\r.\r\n']) {
      const session = connected();
      await session.hears(lines(...ENVELOPE, 'DATA'));
      const smuggled = lines('MAIL FROM:<boss@me.test>', 'RCPT TO:<b@mx.test>', 'DATA', 'evil');
      const said = await session.hears(`x${end}${smuggled}\r\n.\r\nNOOP\r\n`);
      expect(said, JSON.stringify(end)).toMatch(/^550 5\.6\.0 [^\r]*\r\n250 2\.0\.0 OK\r\n$/);
    }
    expect(mails).toEqual([]);
  });

  it('does not read the mail behind a DATA that was refused', async () => {
    const session = connected();
    const said = await session.hears(lines('EHLO me.test', 'DATA', 'VRFY root', '.'));
    expect(codes(said)).toEqual([250, 503]);
    expect(session.ended).toBe(true);
  });

  it.each([
    'NOOP\nNOOP\r\n',
    'NOOP\n',
    '\nNOOP\n',
    'NOOP\r\r\n',
    'NO\rOP\r\n',
    `${'x'.repeat(2000)}\nNOOP\r\n`,
  ])('%j is nobody’s command', async (wire) => {
    for (const how of ['hears', 'hearsEach'] as const) {
      const session = connected();
      expect(codes(await session[how](wire))).toEqual([500]);
      expect(session.ended).toBe(true);
    }
  });
});

describe('limits', () => {
  it('of a line: it is thrown away to its end, and the session goes on', async () => {
    const wire = lines(`NOOP ${'x'.repeat(1100)}`, 'NOOP', `NOOP ${'x'.repeat(9000)}`, 'NOOP');
    expect(codes(await connected().hears(wire))).toEqual([500, 250, 500, 250]);
    expect(codes(await connected().hearsEach(wire))).toEqual([500, 250, 500, 250]);
  });

  it('of a mail: as announced, and as it comes', async () => {
    const session = connected({ maxMessageBytes: 100 });
    expect(await session.hears(lines('EHLO me.test'))).toContain('250-SIZE 100\r\n');
    const sizes = [101, 100].map((size) => `MAIL FROM:<a@me.test> SIZE=${size}`);
    expect(codes(await session.hears(lines(...sizes)))).toEqual([552, 250]);
    const line = 'x'.repeat(48);
    await session.hears(lines('RCPT TO:<b@mx.test>', 'DATA'));
    expect(await session.hears(lines(line, line, '.'))).toMatch(/^250 /);
    await session.hears(lines(...ENVELOPE, 'DATA'));
    expect(await session.hears(lines(line, line, 'y', '.', 'NOOP'))).toMatch(
      /^552 5\.3\.4 .*\r\n250 /,
    );
    // One without end is not waited for.
    await session.hears(lines(...ENVELOPE, 'DATA'));
    expect(codes(await session.hears(`${line}\r\n`.repeat(10)))).toEqual([552]);
    expect(session.ended).toBe(true);
    expect(mails).toHaveLength(1);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('of recipients, and of errors', async () => {
    const session = connected({ maxRecipients: 2 });
    await session.hears(lines(...ENVELOPE));
    const more = ['RCPT TO:<c@mx.test>', 'RCPT TO:<d@mx.test>'];
    expect(codes(await session.hears(lines(...more)))).toEqual([250, 452]);
    expect(codes(await session.hears(lines(...Array(30).fill('WHAT'))))).toEqual([
      ...Array(20).fill(500),
      421,
    ]);
    expect(session.ended).toBe(true);
  });
});

describe('commands', () => {
  it.each<[string, string[], number[]]>([
    ['MAIL before EHLO', ['MAIL FROM:<a@b.test>', 'RSET', 'MAIL FROM:<a@b.test>'], [503, 250, 503]],
    ['RCPT before MAIL', ['EHLO a.test', 'RCPT TO:<a@b.test>'], [250, 503]],
    ['DATA without a recipient', [...ENVELOPE.slice(0, 2), 'DATA'], [250, 250, 554]],
    ['a second MAIL', [...ENVELOPE, 'MAIL FROM:<c@d.test>'], [250, 250, 250, 503]],
    [
      'parameters without EHLO',
      ['HELO a.test', 'MAIL FROM:<> SIZE=1', 'MAIL FROM:<>'],
      [250, 555, 250],
    ],
    ['a parameter twice', ['EHLO a.test', 'MAIL FROM:<> SIZE=1 SIZE=1'], [250, 501]],
    ['a parameter that is not known', ['EHLO a.test', 'MAIL FROM:<> AUTH=<>'], [250, 555]],
    [
      '8BITMIME',
      ['EHLO a.test', 'MAIL FROM:<> BODY=8BITMIME', 'RSET', 'MAIL FROM:<> BODY=x'],
      [250, 250, 250, 501],
    ],
    [
      'UTF-8 announced',
      ['EHLO a.test', 'MAIL FROM:<ä@ö.test> SMTPUTF8', 'RCPT TO:<ü@mx.test>'],
      [250, 250, 250],
    ],
    [
      'UTF-8 not announced',
      ['EHLO a.test', 'MAIL FROM:<ä@b.test>', 'MAIL FROM:<>', 'RCPT TO:<ü@mx.test>'],
      [250, 550, 250, 550],
    ],
    [
      'lower case, and spaces',
      ['ehlo a.test', 'mail from: <a@b.test> size=10 ', 'noop '],
      [250, 250, 250],
    ],
    ['no argument', ['EHLO', 'EHLO a b', 'VRFY', 'MAIL', 'DATA x'], [501, 501, 501, 503, 501]],
    [
      'the others',
      ['HELP', 'VRFY root', 'EXPN all', 'NOOP x', 'RSET', 'TURN'],
      [214, 252, 502, 250, 250, 500],
    ],
    ['another protocol', ['GET / HTTP/1.1', 'Host: x', 'NOOP'], [500]],
  ])('%s', async (_name, commands, expected) => {
    expect(codes(await connected().hears(lines(...commands)))).toEqual(expected);
    expect(codes(await connected().hearsEach(lines(...commands)))).toEqual(expected);
  });

  it('EHLO tells what there is, and HELO nothing', async () => {
    const session = connected();
    expect(await session.hears(lines('EHLO [192.0.2.7]'))).toBe(
      '250-mx.test greets [192.0.2.7]\r\n250-PIPELINING\r\n250-SIZE 26214400\r\n250-8BITMIME\r\n' +
        '250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n',
    );
    expect(await session.hears(lines('HELO me'))).toBe('250 mx.test greets [192.0.2.7]\r\n');
  });
});

describe('a path', () => {
  const mailbox = (text: string) => parsePath('RCPT', text)?.address;
  it.each([
    ['<a@b.test>', 'a@b.test'],
    ["<!#$%&'*+-/=?^_`{|}~@b.test>", "!#$%&'*+-/=?^_`{|}~@b.test"],
    ['<"a b\\"c"@b.test>', '"a b\\"c"@b.test'],
    ['<a.b@[192.0.2.1]>', 'a.b@[192.0.2.1]'],
    ['<a@[IPv6:2001:db8::1]>', 'a@[IPv6:2001:db8::1]'],
    ['<@x.test,@y.test:a@b.test>', 'a@b.test'],
    ['<PostMaster>', 'PostMaster'],
  ])('%s', (text, address) => expect(mailbox(text)).toBe(address));

  it.each([
    ...['', 'a@b', '<a@b', 'a@b>', '<>', '<a>', '<@b>', '<a@>', '<a@b> x y=', '<a@b>x', '<a..b@c>'],
    ...[
      '<.a@c>',
      '<a.@c>',
      '<a@-c>',
      '<a@c->',
      '<a@c..d>',
      '<a b@c>',
      '<a@b@c>',
      '<"a@c>',
      '<a@c\0>',
    ],
    ...[
      `<${'x'.repeat(65)}@b>`,
      `<a@${'x.'.repeat(127)}xyz>`,
      '<a@b> X=1 x=2',
      '<a\t@b>',
      '<(c)a@b>',
    ],
  ])('%j is none', (text) => expect(mailbox(text)).toBeUndefined());

  it('of a sender may be null', () => {
    expect(parsePath('MAIL', '<> SIZE=3 BODY=7BIT')).toEqual({
      address: '',
      parameters: new Map([
        ['SIZE', '3'],
        ['BODY', '7BIT'],
      ]),
    });
  });
});
