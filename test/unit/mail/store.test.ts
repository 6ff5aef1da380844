/** The mailboxes' files and the table of those who watch them, under several threads. */
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMailbox, Mailbox, Spool, Watchers } from '../../support/mail-parts.ts';
import { fixture } from '../../support/server-process.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'store-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function newMailbox(): { box: string; mailbox: InstanceType<typeof Mailbox>; path: string } {
  const box = join(folder, 'alice', 'INBOX');
  expect(createMailbox(box, join(folder, 'unfinished'), false)).toBe(true);
  const path = join(folder, 'mail.eml');
  writeFileSync(path, 'mail');
  return { box, mailbox: new Mailbox(box, false), path };
}

describe('a mailbox', () => {
  it('gives each message a uid of its own, in one order for all threads', async () => {
    const { box, mailbox } = newMailbox();
    const [threads, count] = [3, 200];
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const workers = Array.from(
      { length: threads },
      (_, thread) =>
        new Worker(fixture('mail-adder.mjs'), { workerData: { folder, box, count, gate, thread } }),
    );
    const reports = workers.map(
      (worker) =>
        new Promise<[number, number][]>((resolve, reject) => {
          worker.once('message', resolve).once('error', reject);
        }),
    );
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    const all = await Promise.all(reports);
    expect(mailbox.refresh().uids).toEqual(
      Array.from({ length: threads * count }, (_, i) => i + 1),
    );
    expect(new Set(mailbox.uids.map((uid) => mailbox.message(uid)?.name)).size).toBe(600);
    // What a thread saw while the others wrote is what stands there at the end, up to where it was.
    for (const seen of all) {
      expect(seen.map(([uid]) => uid)).toEqual(mailbox.uids.slice(0, seen.length));
      expect(seen.every(([uid, date]) => mailbox.message(uid)?.date === date)).toBe(true);
    }
    mailbox.close();
  });

  it('is made once, and is found again with all that happened', () => {
    const { box, mailbox, path } = newMailbox();
    expect(createMailbox(box, join(folder, 'again'), false)).toBe(false);
    expect(readdirSync(folder).sort()).toEqual(['alice', 'mail.eml']);
    for (const date of [10, 20, 30]) mailbox.add(path, { size: 4, date });
    mailbox.refresh().changeFlags([1, 3], { set: 9, clear: 0 }, 7);
    mailbox.refresh().changeFlags([3], { set: 2, clear: 8 }, 7);
    const before = mailbox.refresh().position;
    mailbox.expunge([1]);
    mailbox.expunge([1]);
    const again = new Mailbox(box, false).refresh();
    expect(again.uids).toEqual([2, 3]);
    expect(again.message(3)).toMatchObject({ flags: 3, date: 30, size: 4 });
    expect(again.uidsAt(before)).toEqual([1, 2, 3]);
    expect(again.changes(before, 7, false)).toMatchObject({ added: 0, expunged: [1] });
    expect(again.changes(2, 7, false).flagged.size).toBe(0);
    expect([...again.changes(2, 8, false).flagged]).toEqual([1, 3]);
    expect(again.changes(2, 8, true).position).toBe(before);
    // A uid is never given again.
    again.expunge([2, 3]);
    again.add(path, { size: 4 });
    expect(again.refresh().uids).toEqual([4]);
    expect(readdirSync(join(box, 'messages'))).toHaveLength(1);
  });

  it('is not taken for one where it is none', () => {
    const { box } = newMailbox();
    writeFileSync(join(box, 'journal'), 'something else');
    expect(() => new Mailbox(box, false)).toThrow(/no journal of a mailbox/);
  });
});

describe('the table of watchers', () => {
  const table = (cells: number, alive: Set<number>) => {
    const woken: number[] = [];
    const wake = (id: number) => {
      woken.push(id);
      return alive.has(id);
    };
    return { watchers: new Watchers(new Int32Array(16 + 2 * cells), wake), woken };
  };

  it('wakes those of one mailbox, but not whoever changed it', () => {
    const { watchers, woken } = table(8, new Set([1, 2, -3]));
    for (const id of [1, 2, -3]) watchers.watch(id === 2 ? 'bob' : 'alice', id);
    expect(watchers.notify('alice')).toBe(2);
    expect(watchers.notify('alice', 1)).toBe(1);
    expect(woken.sort()).toEqual([-3, -3, 1]);
  });

  it('has room again once sessions have ended, with a word or without', () => {
    const alive = new Set([1, 2, 3, 4]);
    const { watchers, woken } = table(4, alive);
    const cells = [1, 2, 3, 4].map((id) => watchers.watch('alice', id));
    expect(new Set(cells).size).toBe(4);
    expect(watchers.watch('bob', 5)).toBe(-1);
    watchers.unwatch(cells[0] as number, 1);
    alive.add(5);
    expect(watchers.watch('bob', 5)).toBe(cells[0]);
    alive.delete(3);
    alive.add(6);
    expect(watchers.watch('bob', 6)).toBe(cells[2]);
    woken.length = 0;
    expect(watchers.notify('bob')).toBe(2);
    expect(woken.sort()).toEqual([5, 6]);
    // A cell that is another's by now is not given up by who had it before.
    watchers.unwatch(cells[0] as number, 1);
    expect(watchers.notify('bob')).toBe(2);
  });
});

it('the spool forgets what was left half-way, and nothing else', () => {
  const spool = new Spool(folder, false);
  const [left, kept] = [spool.begin('left'), spool.begin('kept')];
  spool.open(left, Buffer.from('half'));
  const old = Date.now() / 1000 - 2 * 3600;
  for (const name of readdirSync(folder)) {
    if (name.startsWith(left)) utimesSync(join(folder, name), old, old);
  }
  expect(new Spool(folder, false).pathOf(kept)).toContain(kept);
  expect(readdirSync(folder)).toEqual([`${kept}.notes`]);
  expect(() => spool.append(left, Buffer.from('more'))).toThrow(/ENOENT/);
});
