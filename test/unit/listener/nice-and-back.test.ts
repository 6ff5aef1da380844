/** Whether a thread may lower its nice value again is asked of the kernel, not guessed. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ADDON = fileURLToPath(new URL('../../../build/Release/mpm.node', import.meta.url));
const NOBODY = ['--reuid=65534', '--regid=65534', '--clear-groups'];
/** What the addon says, and the nice value of its thread before and after. */
const ASK = `const native = require(process.argv[1]);
process.stdout.write(JSON.stringify([native.nice(), native.niceAndBack(), native.nice()]));`;

/** Root of a container may often not. */
const mayRaiseLimits = spawnSync('prlimit', ['--nice=40', 'true']).status === 0;

let folder = '';
let addon = '';
beforeAll(() => {
  // Anybody may read it there, wherever this tree is.
  folder = mkdtempSync(join(tmpdir(), 'nice-and-back-'));
  chmodSync(folder, 0o755);
  addon = join(folder, 'addon.node');
  copyFileSync(ADDON, addon);
});
afterAll(() => rmSync(folder, { recursive: true }));

const ask = (...command: string[]): unknown => {
  const [program = '', ...parameters] = [...command, process.execPath, '-e', ASK, addon];
  return JSON.parse(execFileSync(program, parameters, { cwd: '/', encoding: 'utf8' }));
};

/** Of this process, plus 20. */
const OWN = getPriority() + 20;

describe.skipIf(process.getuid?.() !== 0)('raising a nice value and lowering it again', () => {
  it('is possible for root', () => {
    expect(ask('nice', '-n', '3')).toEqual([OWN + 3, 1, OWN + 3]);
  });

  it('is not possible for others', () => {
    expect(ask('prlimit', '--nice=0', 'setpriv', ...NOBODY)).toEqual([OWN, 0, OWN]);
  });

  it.skipIf(!mayRaiseLimits)('is possible for others where RLIMIT_NICE says so', () => {
    expect(ask('prlimit', '--nice=40', 'setpriv', ...NOBODY)).toEqual([OWN, 1, OWN]);
    expect(ask('prlimit', '--nice=1', 'setpriv', ...NOBODY)).toEqual([OWN, 0, OWN]);
  });

  it('is nothing for one that is as nice as can be', () => {
    expect(ask('nice', '-n', '19')).toEqual([39, 0, 39]);
  });
});
