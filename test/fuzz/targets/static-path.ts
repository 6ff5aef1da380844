/**
 * Paths of static files: what passes is below the root, by node:path as by the kernel, and no dotfile;
 * beside a plain reading of the target.
 */
import { closeSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import { Folder } from '../../../src/workers/static/folder.ts';
import { folderLocation, parseTarget } from '../../../src/workers/static/path.ts';
import { damage, draw, once, pick, type Random } from '../random.ts';
import { type FuzzTarget, must } from '../target.ts';

const PIECES = [
  ...[
    '/',
    '/',
    '/',
    '..',
    '.',
    '%2e',
    '%2E%2e',
    '%2f',
    '%5c',
    '\\',
    '%00',
    '%',
    '%zz',
    '%c0%ae',
    '//',
  ],
  ...[
    'a',
    'b.html',
    'folder',
    'secret',
    '.git',
    '.well-known',
    '%252e',
    'etc/passwd',
    '?',
    '?x=/..',
    ' ',
  ],
  ...[
    'out',
    'dots',
    'in',
    '%e2%80%ae',
    '%ff',
    '...',
    '..;',
    '~',
    ':',
    'a%20b',
    '%0a',
    'x'.repeat(256),
  ],
];

/** A folder with links that lead out of it, made when it is first needed. */
let made: Folder | null = null;
let work: string | null = null;
function folder(): Folder {
  if (made !== null) return made;
  work = mkdtempSync(join(tmpdir(), 'mpm-fuzz-'));
  const root = join(work, 'root');
  for (const name of ['root/folder', 'root/.git', 'root/.well-known/.x', 'secret']) {
    mkdirSync(join(work, name), { recursive: true });
  }
  for (const name of [
    'root/a',
    'root/b.html',
    'root/folder/a',
    'root/.git/a',
    'secret/a',
    'root/...',
  ]) {
    writeFileSync(join(work, name), name);
  }
  for (const [to, name] of Object.entries({ '../secret': 'out', '.git': 'dots', folder: 'in' })) {
    symlinkSync(to, join(root, name));
  }
  made = new Folder(root);
  return made;
}

/** What a target asks for, segment by segment; null where it is to be refused. */
function plainNames(target: string): string[] | null {
  const authority = /^https?:\/\/[^/?#]*/i.exec(target)?.[0] ?? '';
  const rest = target.slice(authority.length);
  if (!rest.startsWith('/') && authority === '') return null;
  const names: string[] = [];
  for (const segment of (rest.split('?')[0] ?? '').split('/')) {
    let name: string;
    try {
      name = decodeURIComponent(segment);
    } catch {
      return null;
    }
    if (/[/\\\0]/.test(name) || Buffer.byteLength(name) > 255) return null;
    if (name === '') continue;
    if (name.startsWith('.') && !(names.length === 0 && name === '.well-known')) return null;
    names.push(name);
  }
  return names;
}

export const staticPath: FuzzTarget<{ readonly target: string }> = {
  name: 'static-path',
  title: 'a path of a static file leads nowhere outside of its folder',
  outcomes: 5,
  kept: [],

  make(random: Random) {
    const start = once(random, 8)
      ? pick(random, ['', 'http://h', 'HTTPS://h:1', '*', '//', 'ftp://h/'])
      : '/';
    const target = start + draw(random, PIECES, once(random, 100) ? 900 : random(7));
    return { target: once(random, 4) ? damage(random, target) : target };
  },

  close(): void {
    if (work !== null) rmSync(work, { recursive: true, force: true });
    work = null;
    made = null;
  },

  check({ target }): string {
    const path = parseTarget(target);
    const plain = plainNames(target);
    if (typeof path === 'number') {
      must([400, 404, 414].includes(path), () => `status ${path}`);
      must(plain === null || path === 414, () => `${path} for ${JSON.stringify(plain)}`);
      return String(path);
    }
    const { names, isFolder } = path;
    must(
      JSON.stringify(names) === JSON.stringify(plain),
      () => `${names} where the plain has ${plain}`,
    );
    const resolved = posix.resolve('/root', names.join('/'));
    must(
      resolved === posix.join('/root', ...names) && `${resolved}/`.startsWith('/root/'),
      () => resolved,
    );
    const location = folderLocation({ ...path, query: '' });
    must(!location.startsWith('//') || names.length === 0, () => `location ${location}`);
    must(/^[\x21-\x7e]*$/.test(location), () => `location ${JSON.stringify(location)}`);
    const root = folder();
    let opened: ReturnType<Folder['open']>;
    try {
      opened = root.open(names);
    } catch (error) {
      // A file in the place of a folder, or too long a path: answered by an error of the file system.
      const { code } = error as NodeJS.ErrnoException;
      must(['ENOTDIR', 'ENAMETOOLONG', 'ELOOP'].includes(String(code)), () => String(error));
      return 'no path';
    }
    if (opened === null) return 'missing';
    closeSync(opened.fd);
    const below = posix.relative(root.path, opened.realPath);
    must(
      below !== '..' && !below.startsWith('../') && !posix.isAbsolute(below),
      () => opened.realPath,
    );
    const hidden = below
      .split('/')
      .some((n, at) => /^\../.test(n) && !(at === 0 && n === '.well-known'));
    must(!hidden, () => `uncovers ${opened.realPath}`);
    return isFolder || opened.stats.isDirectory() ? 'folder' : 'file';
  },
};
