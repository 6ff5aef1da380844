/**
 * The text of --help, out of the table of directives.
 *
 * Thread: main; pure functions.
 */
import type { Directives, Machine } from '../config/directives.ts';
import { flagOf } from '../config/errors.ts';
import { CONFIG_FILE_NAMES } from '../config/file.ts';
import { DIRECTIVES, type DirectiveName, GROUPS, NAMES } from '../config/table.ts';

/** Widest line. */
export const HELP_COLUMNS = 100;
const FLAG_COLUMNS = 42;

/** Words laid into lines of at most `width` characters; a longer word has a line of its own. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line += line === '' ? word : ` ${word}`;
    }
  }
  return [...lines, line];
}

const row = (left: string, right: string): string => {
  const [first = '', ...more] = wrap(right, HELP_COLUMNS - FLAG_COLUMNS);
  // Two columns of air at least; a longer flag has a line of its own.
  const fits = left.length + 4 <= FLAG_COLUMNS;
  const head = fits ? [`  ${left}`.padEnd(FLAG_COLUMNS) + first] : [`  ${left}`];
  const tail = (fits ? more : [first, ...more]).map((line) => ' '.repeat(FLAG_COLUMNS) + line);
  return [...head, ...tail].join('\n');
};

/** A directive's default as a user would write it, on this machine. */
export function defaultOf(name: DirectiveName, machine: Machine): string {
  const { initial, kind } = DIRECTIVES[name];
  const value: Directives[keyof Directives] = initial(machine, {});
  return kind.format(value as never);
}

/** @param machine whose defaults are shown */
export function helpText(version: string, machine: Machine): string {
  const groups = Object.entries(GROUPS).flatMap(([group, title]) => [
    '',
    title,
    ...NAMES.filter((name) => DIRECTIVES[name].group === group).map((name) => {
      const { kind, summary } = DIRECTIVES[name];
      const flag = `${flagOf(name)} ${kind.placeholder}`;
      return row(flag, `${summary} (${defaultOf(name, machine)})`);
    }),
  ]);
  return [
    `hybrid-mpm ${version}: an HTTP server for Node that works as Apache's Event MPM`,
    '',
    'Usage',
    row(
      'hybrid-mpm serve <entry> [flags]',
      'serve the handler in a module, or the files in a folder',
    ),
    row(
      'hybrid-mpm run [flags] <script> [-- arguments]',
      'run a script unchanged; its http.Servers are served where they listen, or by --listen',
    ),
    row(
      'hybrid-mpm check-config [flags]',
      'print the effective configuration and where it is from',
    ),
    row(
      'hybrid-mpm status [url] [flags]',
      'show a running server: live in a terminal, else once; the URL is that of the admin server, which the configuration names as well',
    ),
    '',
    'Options',
    row('--config <file>', `read it instead of ${CONFIG_FILE_NAMES.join(', ')} in this folder`),
    row(
      '--watch',
      'serve, run: fresh workers whenever a source file in the folder of the entry changes',
    ),
    row('--once', 'status: print once and end'),
    row('--json', 'status: print the document (docs/server-status.schema.json) and end'),
    row('-h, --help', 'print this'),
    row('-v, --version', 'print the version'),
    ...groups,
    '',
    ...wrap(
      'Defaults for this machine stand in brackets. Every flag is a directive: --keep-alive-timeout 5 is keepAliveTimeout in a configuration file and HYBRID_MPM_KEEP_ALIVE_TIMEOUT in the environment. Flags win over the environment, and that over the file. Times are seconds or like 500ms, 5s, 2min; sizes bytes or like 16k, 1m, 1g; a switch without a value is on.',
      HELP_COLUMNS,
    ),
    '',
    'Signals',
    row('SIGTERM, SIGINT', 'finish what is under way, then end; a second one ends at once'),
    row('SIGHUP', 'reads the configuration again and opens the access log anew'),
    row('SIGUSR2', 'restarts the workers, one after the other, with fresh application code'),
    row('SIGTTIN, SIGTTOU', 'one worker more, one fewer'),
    '',
    'Exit codes',
    row('0', 'done, or drained after a signal'),
    row('1', 'the configuration is invalid, or the server could not start or go on'),
    row('2', 'the command line is wrong'),
    row('70', 'a defect of the server'),
    row('130, 143', 'ended at once by a second SIGINT or SIGTERM, requests were cut off'),
    '',
  ].join('\n');
}
