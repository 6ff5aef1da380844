/** `--watch`: files are changed as an editor does it, and what the server says and serves follows. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { eventually } from '../support/server-process.ts';

const CLI = fileURLToPath(new URL('../../dist/main/cli.js', import.meta.url));
const ANSWERS =
  'import { word } from "./lib/word.mjs";\nexport default () => new Response(word);\n';

let folder: string;
let child: ChildProcess | null = null;
let output = '';
let exited: Promise<number | null>;

const write = async (name: string, text: string): Promise<void> => {
  // As editors do it: the new text has another file, which takes the place of the old.
  await writeFile(join(folder, `${name}.new~`), text);
  await rename(join(folder, `${name}.new~`), join(folder, name));
};
const word = (text: string) => write('lib/word.mjs', `export const word = "${text}";\n`);
const said = (text: string | RegExp) =>
  eventually(
    () => output,
    (so) => (typeof text === 'string' ? so.includes(text) : text.test(so)),
  );
const start = (): void => {
  const flags = ['--listen=127.0.0.1:0', '--start-servers=2', '--max-request-workers=2'];
  child = spawn(process.execPath, [CLI, 'serve', 'app.mjs', '--watch', ...flags], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  exited = new Promise((resolve) => child?.on('exit', resolve));
};
const get = async (): Promise<string> => {
  const port = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(output)?.[1];
  const signal = AbortSignal.timeout(5_000);
  return (await fetch(`http://127.0.0.1:${port}/`, { signal })).text();
};

beforeEach(async () => {
  output = '';
  folder = await mkdtemp(join(tmpdir(), 'mpm-watch-'));
  await mkdir(join(folder, 'lib'));
  await mkdir(join(folder, 'node_modules', 'some'), { recursive: true });
  await mkdir(join(folder, '.git'));
  await word('one');
  await write('app.mjs', ANSWERS);
});
afterEach(async () => {
  child?.kill('SIGKILL');
  child = null;
  await rm(folder, { recursive: true });
});

it('serves new code after a change, and the old one while the new does not load', async () => {
  start();
  await said('listening on');
  expect(output).toContain(`watch: source files in ${folder} (2 folders)`);
  expect(await get()).toBe('one');

  await word('two');
  await said(/watch: lib\/word\.mjs changed, the workers are new \(\d+ ms\)/);
  expect(await get()).toBe('two');

  await write('app.mjs', 'export default (;\n');
  await said('watch: app.mjs changed, the old workers go on: ERR_MPM_ENTRY_FAILED');
  await said(/watch: .*app\.mjs:1\n/);
  expect(await get()).toBe('two');

  await word('three');
  await write('app.mjs', ANSWERS);
  await said(/watch: app\.mjs, lib\/word\.mjs changed, the workers are new/);
  expect(await get()).toBe('three');

  child?.kill('SIGINT');
  expect(await exited).toBe(0);
});

it('sees folders that come later, and neither packages nor files that are no source', async () => {
  start();
  await said('listening on');
  await writeFile(join(folder, 'node_modules', 'some', 'index.js'), '');
  await writeFile(join(folder, '.git', 'index.js'), '');
  await writeFile(join(folder, 'app.log'), 'a line\n');
  await mkdir(join(folder, 'routes', 'deep'), { recursive: true });
  await writeFile(join(folder, 'routes', 'deep', 'a.mjs'), '');
  await said(/watch: routes\/deep\/a\.mjs changed, the workers are new/);
  await writeFile(join(folder, 'routes', 'deep', 'b.mjs'), '');
  await said(/watch: routes\/deep\/b\.mjs changed, the workers are new/);
  expect(output.match(/changed/g)).toHaveLength(2);
  child?.kill('SIGINT');
  expect(await exited).toBe(0);
});

it('waits for a change where the application does not load at the start', async () => {
  await write('app.mjs', 'throw new Error("half written");\n');
  start();
  await said('watch: waiting for a change, since the application does not load: ERR_MPM_ENTRY');
  expect(output).toContain('half written');
  child?.kill('SIGHUP');
  await said('SIGHUP refused: ERR_MPM_NOT_RUNNING');
  await write('app.mjs', 'export const nothing = 1;\n');
  await said('ERR_MPM_ENTRY_SHAPE');
  await write('app.mjs', ANSWERS);
  await said('listening on');
  expect(await get()).toBe('one');
  await word('two');
  await said('the workers are new');
  expect(await get()).toBe('two');
  child?.kill('SIGINT');
  expect(await exited).toBe(0);
});

it('ends with a signal while it waits', async () => {
  await write('app.mjs', 'throw new Error("never");\n');
  start();
  await said('watch: waiting for a change');
  child?.kill('SIGINT');
  expect(await exited).toBe(0);
});
