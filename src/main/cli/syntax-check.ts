/**
 * Where the syntax error of a module is.
 *
 * Role: an import that is refused does not say it to the program; `node --check` does.
 * Thread: main, in development; a process of its own looks.
 */
import { execFile } from 'node:child_process';

const CHECKED = /\.[cm]?js$/;
const MAX_FILES = 10;
const DEADLINE_MS = 5_000;
/** File and line, the line itself, a mark below it. */
const MAX_LINES = 3;

/**
 * Lines that say where, for the first of these files that does not parse; none, if all do.
 * @param files absolute paths; others than JavaScript are passed over
 */
export async function syntaxErrorIn(files: readonly string[]): Promise<readonly string[]> {
  for (const file of files.filter((path) => CHECKED.test(path)).slice(0, MAX_FILES)) {
    const said = await check(file);
    if (/^SyntaxError/m.test(said)) return said.split('\n').slice(0, MAX_LINES);
  }
  return [];
}

function check(file: string): Promise<string> {
  return new Promise((resolve) => {
    const options = { timeout: DEADLINE_MS, windowsHide: true };
    execFile(process.execPath, ['--check', file], options, (_error, _stdout, stderr) => {
      resolve(stderr);
    });
  });
}
