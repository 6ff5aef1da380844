/** examples/mail over real sockets and with real clients, while workers come and go. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { LineClient } from '../support/line-client.ts';
import { type MailServer, startMailServer } from '../support/mail-server.ts';
import { eventually, fixture } from '../support/server-process.ts';

const run = promisify(execFile);
/** Without what the native part's sanitizers are preloaded by: curl hangs in it, whatever it fetches. */
const { LD_PRELOAD: _, ...environment } = process.env;
const COMMAND = { timeout: 60_000, env: environment };

let server: MailServer | null = null;
let clients: LineClient[] = [];
afterEach(async () => {
  for (const client of clients) client.close();
  clients = [];
  const code = await server?.stop();
  server = null;
  expect([0, undefined]).toContain(code);
});

async function start(...parameters: Parameters<typeof startMailServer>): Promise<MailServer> {
  server = await startMailServer(...parameters);
  return server;
}

async function smtpClient(): Promise<LineClient> {
  const client = await LineClient.open((server as MailServer).smtp);
  clients.push(client);
  await client.hears(/^220 .*\r\n/);
  return client;
}

async function imapClient(user = 'alice', password = 'wonderland'): Promise<LineClient> {
  const client = await LineClient.open((server as MailServer).imap);
  clients.push(client);
  await client.hears(/^\* OK .*\r\n/);
  client.say(`l LOGIN ${user} ${password}\r\ns SELECT INBOX\r\n`);
  await client.hears(/s OK .*\r\n/);
  return client;
}

const lines = (...texts: string[]): string => texts.map((text) => `${text}\r\n`).join('');
const mail = (text = 'hello', to = 'alice'): string =>
  lines(
    'MAIL FROM:<a@b.test>',
    `RCPT TO:<${to}@example.org>`,
    'DATA',
    `Subject: x\r\n\r\n${text}`,
    '.',
  );

async function send(count = 1, to = 'alice'): Promise<void> {
  const client = await smtpClient();
  client.say(`EHLO c.test\r\n${mail('hello', to).repeat(count)}QUIT\r\n`);
  const said = await client.hears(/221 .*\r\n/);
  expect(said.match(/^250 2\.0\.0 OK: /gm)).toHaveLength(count);
  await client.end();
}

const statusOf = async (): Promise<string> =>
  (await fetch(`http://127.0.0.1:${server?.adminPort}/server-status?auto`)).text();

function has(command: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`]);
    return true;
  } catch {
    return false;
  }
}

describe('clients that people use', () => {
  it('Python’s smtplib and imaplib, with IDLE', async () => {
    const users = 'alice:wonder"land,bob:builder'.replace('"', '\\"');
    const { smtp, imap } = await start([], { MAIL_USERS: users });
    const script = fixture('mail_clients.py');
    const { stdout } = await run('python3', [script, String(smtp), String(imap)], COMMAND);
    expect(stdout).toBe('all as it should be\n');
  });

  it.skipIf(!has('curl'))('curl sends, lists, fetches and appends', async () => {
    const { smtp, imap } = await start();
    // What curl appends is \Seen.
    const folder = mkdtempSync(join(tmpdir(), 'curl-'));
    const file = join(folder, 'mail.eml');
    writeFileSync(file, 'Subject: by curl\r\n\r\n.dot\r\n');
    const curl = async (...parameters: string[]) =>
      (await run('curl', ['-sS', '-m', '20', ...parameters], COMMAND)).stdout;
    const box = `imap://alice:wonderland@127.0.0.1:${imap}/`;
    try {
      const to = ['--mail-from', 'a@b.test', '--mail-rcpt', 'alice@example.org'];
      await curl(`smtp://127.0.0.1:${smtp}/c.test`, ...to, '-T', file);
      await curl('-T', file, `${box}INBOX`);
      expect(await curl(box)).toContain('"INBOX"');
      expect(await curl(`${box}INBOX?UNSEEN`)).toBe('* SEARCH 1\r\n');
      expect(await curl(`${box}INBOX;UID=1`)).toMatch(
        /^Return-Path: [\s\S]*Subject: by curl\r\n\r\n\.dot\r\n$/,
      );
      expect(await curl(`${box}INBOX;UID=2`)).toBe('Subject: by curl\r\n\r\n.dot\r\n');
      const envelope = await curl(`${box}INBOX`, '-X', 'FETCH 1 (FLAGS ENVELOPE)');
      expect(envelope).toMatch(/^\* 1 FETCH \(FLAGS \(\\Seen\) ENVELOPE \(NIL "by curl" /);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.skipIf(!has('swaks'))('swaks, one command at a time and pipelined', async () => {
    const { smtp, root } = await start();
    const to = ['--server', `127.0.0.1:${smtp}`, '--from', 'a@b.test', '--to', 'alice@example.org'];
    await run('swaks', [...to, '--timeout', '20s'], COMMAND);
    await run('swaks', [...to, '--timeout', '20s', '--pipeline'], COMMAND);
    expect(readdirSync(join(root, 'mail/alice/INBOX/messages'))).toHaveLength(2);
  });
});

describe('input', () => {
  it('in one segment, and byte by byte, is the same', async () => {
    await start();
    const wire = lines('EHLO c.test') + mail() + lines('NOOP') + mail('..x') + lines('QUIT');
    const strip = (text: string) => text.replace(/OK: [0-9a-f]{24}/g, 'OK');
    const [whole, each] = [await smtpClient(), await smtpClient()];
    whole.say(wire);
    const said = strip(await whole.hears(/221 .*\r\n/));
    expect(said.match(/^250 2\.0\.0 OK/gm)).toHaveLength(3);
    await each.sayEach(wire);
    expect(strip(await each.hears(/221 .*\r\n/))).toBe(said);
    const [one, other] = [await imapClient('bob', 'builder'), await imapClient('bob', 'builder')];
    const commands = lines(
      'a LIST "" *',
      'b STATUS {5}',
      'INBOX (MESSAGES)',
      'c IDLE',
      'DONE',
      'd LOGOUT',
    );
    one.say(commands);
    const answer = await one.hears(/d OK .*\r\n/);
    expect(answer).toContain('* STATUS "INBOX" (MESSAGES 0)\r\nb OK');
    await other.sayEach(commands);
    expect(await other.hears(/d OK .*\r\n/)).toBe(answer);
  });

  it('of a mail whose lines end otherwise is refused', async () => {
    await start();
    const client = await smtpClient();
    client.say(lines('EHLO c.test', 'MAIL FROM:<a@b.test>', 'RCPT TO:<bob@example.org>', 'DATA'));
    await client.hears(/354 .*\r\n/);
    client.say(`x\n.\nMAIL FROM:<admin@example.org>\r\nRCPT TO:<bob@example.org>\r\n.\r\nNOOP\r\n`);
    expect(await client.hears(/250 2\.0\.0 OK\r\n/)).toMatch(
      /^550 5\.6\.0 [^\r]*\r\n250 2\.0\.0 OK\r\n$/,
    );
  });
});

describe('a session in IDLE', () => {
  it('outlives the workers that served it', async () => {
    // One worker at a time: after two exits it is one that never saw the session.
    await start(['--max-connections-per-child=1'], {}, 1);
    const client = await imapClient();
    client.say('i IDLE\r\n');
    await client.hears(/\+ idling\r\n/);
    const exits = async () =>
      Number(/MpmChildExitsMaxConnections: (\d+)/.exec(await statusOf())?.[1]);
    let count = 0;
    await eventually(
      async () => {
        await send();
        await client.hears(new RegExp(`^\\* ${++count} EXISTS\r\n`, 'm'));
        return exits();
      },
      (ended) => ended >= 2,
      60_000,
    );
    client.say(`DONE\r\nf FETCH ${count} BODY[TEXT]\r\n`);
    expect(await client.hears(/f OK .*\r\n/)).toContain('BODY[TEXT] {7}\r\nhello\r\n)\r\n');
  }, 90_000);

  it('is told of every mail, whoever took it in, and only of its own', async () => {
    await start();
    const alices = await Promise.all(Array.from({ length: 20 }, () => imapClient()));
    const bob = await imapClient('bob', 'builder');
    for (const client of [...alices, bob]) {
      client.say('i IDLE\r\n');
      await client.hears(/\+ idling\r\n/);
    }
    expect(await statusOf()).toMatch(/^BusyWorkers: 0$/m);
    await Promise.all(Array.from({ length: 10 }, () => send(5)));
    for (const client of alices) await client.hears(/^\* 50 EXISTS\r\n/m);
    await send(1, 'bob');
    await bob.hears(/^\* 1 EXISTS\r\n/m);
    for (const client of [...alices, bob]) {
      client.say('DONE\r\nn NOOP\r\n');
      // Nothing came since that it had not been told.
      expect(await client.hears(/n OK .*\r\n/)).toBe('i OK Idled\r\nn OK Done\r\n');
    }
  });
});

it('a client that does not read gets a large message whole once it does', async () => {
  await start();
  const client = await imapClient();
  const bytes = 8 * 1024 * 1024;
  client.say(`a APPEND INBOX {${bytes}+}\r\n`);
  client.say(`${'0123456789abcde\n'.repeat(bytes / 16)}\r\n`);
  await client.hears(/a OK .*\r\n/, 30_000);
  client.socket.pause();
  client.say('b FETCH 1 BODY[]\r\nc NOOP\r\n');
  // Another one is served meanwhile.
  await send(2, 'bob');
  client.socket.resume();
  const said = await client.hears(/c OK Done\r\n$/, 30_000);
  expect(said.length).toBeGreaterThan(bytes);
  expect(said.slice(0, 40)).toMatch(/^\* 1 FETCH \(FLAGS \(\\Seen\) BODY\[\] \{8388/);
  expect(said.slice(-60)).toMatch(/abcde\n\)\r\nb OK Fetched\r\nc OK Done\r\n$/);
});

it('a server that stops says so in each protocol’s own words', async () => {
  const { beginStop } = await start();
  const [smtp, imap] = [await smtpClient(), await imapClient()];
  imap.say('i IDLE\r\n');
  await imap.hears(/\+ idling\r\n/);
  smtp.say(lines('EHLO c.test', 'MAIL FROM:<a@b.test>'));
  await smtp.hears(/2\.1\.0 OK\r\n/);
  beginStop();
  await smtp.hears(/^421 4\.3\.2 .*\r\n/m);
  await imap.hears(/^\* BYE .*\r\n/m);
  await Promise.all([smtp.end(), imap.end()]);
  expect(readdirSync(join(server?.root ?? '', 'spool'))).toEqual([]);
});
