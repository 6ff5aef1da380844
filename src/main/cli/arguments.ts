/**
 * The command line: commands, options, directive flags.
 *
 * Role: turns `process.argv` into a command with its settings, or a usage error. Values are judged
 * later, together with those of other sources.
 * Thread: main, at start; pure functions.
 *
 * Own code rather than node:util's parseArgs: that one throws at the first unknown flag without a
 * suggestion, and cannot let a switch stand without its value.
 */
import { visible } from '../admin/visible.ts';
import type { Setting } from '../config/directives.ts';
import { flagOf, nearest } from '../config/errors.ts';
import { isSwitchWord } from '../config/kinds.ts';
import { DIRECTIVES, type DirectiveName, NAMES, REFUSED } from '../config/table.ts';

export const COMMANDS = ['serve', 'run', 'check-config', 'status'] as const;
const CHOICE = `${COMMANDS.slice(0, -1).join(', ')} or ${COMMANDS.at(-1)}`;
export type Command = (typeof COMMANDS)[number];

/**
 * What was asked for. `entry` is '' for check-config, and the URL, if any, for status; `parameters` are
 * those of a script that is run.
 */
export type Invocation =
  | { readonly command: 'help' }
  | { readonly command: 'version' }
  | {
      readonly command: Command;
      readonly entry: string;
      readonly parameters: readonly string[];
      readonly configFile: string | undefined;
      readonly flags: readonly Setting[];
      /** Of status: print once. */
      readonly once: boolean;
      /** Of status: print the document. */
      readonly json: boolean;
      /** Of serve and run: fresh workers whenever a source file changes. */
      readonly watch: boolean;
    };

/** The command line makes no sense; its message is one line. Exit code 2. */
export class UsageError extends Error {
  constructor(message: string) {
    // An argument in it may hold a line break.
    super(visible(message));
    this.name = 'UsageError';
  }
}

const OWN_FLAGS = ['--config', '--help', '--version', '--once', '--json', '--watch'];
/** Switches of the command line alone, with the commands they belong to. */
const SWITCHES: Readonly<Record<string, readonly Command[]>> = {
  '--once': ['status'],
  '--json': ['status'],
  '--watch': ['serve', 'run'],
};
const BY_FLAG = new Map<string, string>(
  [...NAMES, ...Object.keys(REFUSED)].map((name) => [flagOf(name), name]),
);

const unknownFlag = (flag: string): UsageError => {
  const known = [...OWN_FLAGS, ...NAMES.map(flagOf)];
  const near = nearest(flag, known);
  return new UsageError(`unknown flag ${flag}${near === null ? '' : `, did you mean ${near}?`}`);
};

const isSwitch = (name: string): boolean =>
  Object.hasOwn(DIRECTIVES, name) && DIRECTIVES[name as DirectiveName].kind.type === 'switch';

/**
 * @param argv arguments behind the program's name
 * @throws UsageError for an unknown command or flag, a missing value, a missing or surplus argument
 */
export function parseArguments(argv: readonly string[]): Invocation {
  const rest: string[] = [];
  const values = new Map<string, { flag: string; given: string[] }>();
  let configFile: string | undefined;
  const own = new Set<string>();
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] as string;
    if (argument === '--') {
      rest.push(...argv.slice(index + 1));
      break;
    }
    if (argument === '-h' || argument === '--help') return { command: 'help' };
    if (argument === '-v' || argument === '--version') return { command: 'version' };
    if (Object.hasOwn(SWITCHES, argument)) {
      own.add(argument);
      continue;
    }
    if (!argument.startsWith('-') || argument === '-') {
      rest.push(argument);
      continue;
    }
    const equals = argument.indexOf('=');
    const flag = equals === -1 ? argument : argument.slice(0, equals);
    const name = BY_FLAG.get(flag);
    if (name === undefined && flag !== '--config') throw unknownFlag(flag);
    let value = equals === -1 ? undefined : argument.slice(equals + 1);
    if (value === undefined) {
      const next = argv[index + 1];
      const usable = next !== undefined && !next.startsWith('--');
      // A bare switch means on; it takes the next argument only where that can be its value, so that
      // `serve --reuse-port app.mjs` is not misread.
      if (name !== undefined && isSwitch(name) && !(usable && isSwitchWord(next))) value = 'on';
      // A refused one is reported as that, with or without a value.
      else if (usable) value = argv[++index] as string;
      else if (name !== undefined && Object.hasOwn(REFUSED, name)) value = '';
      else throw new UsageError(`${flag} needs a value`);
    }
    if (name === undefined) {
      configFile = value;
      continue;
    }
    const entry = values.get(name) ?? { flag, given: [] };
    entry.given.push(value);
    values.set(name, entry);
  }
  const flags = [...values].map(
    ([directive, { flag, given }]): Setting => ({
      directive,
      // These add up; of any other flag the last one counts, as is customary.
      value: directive === 'listen' || directive === 'proxy' ? given : given.at(-1),
      origin: { kind: 'flag', name: flag },
    }),
  );
  const asked = commandOf(rest);
  for (const flag of own) {
    const commands = SWITCHES[flag] ?? [];
    if (commands.includes(asked.command)) continue;
    throw new UsageError(`${flag} belongs to ${commands.join(' and ')}, not to ${asked.command}`);
  }
  return {
    ...asked,
    configFile,
    flags,
    once: own.has('--once'),
    json: own.has('--json'),
    watch: own.has('--watch'),
  };
}

function commandOf(rest: readonly string[]): {
  command: Command;
  entry: string;
  parameters: readonly string[];
} {
  const [word, entry, ...surplus] = rest;
  if (word === undefined) throw new UsageError(`no command; use ${CHOICE}`);
  const command = COMMANDS.find((known) => known === word);
  if (command === undefined) {
    const near = nearest(word, COMMANDS);
    throw new UsageError(
      `unknown command ${word}, ${near === null ? `use ${CHOICE}` : `did you mean ${near}?`}`,
    );
  }
  if (command === 'check-config') {
    if (entry !== undefined) throw new UsageError(`check-config takes no argument, got ${entry}`);
    return { command, entry: '', parameters: [] };
  }
  if (command === 'run') {
    if (entry === undefined) throw new UsageError('run needs the script to run');
    return { command, entry, parameters: surplus };
  }
  if (command === 'status') {
    if (surplus.length > 0) throw new UsageError(`status takes one URL, got ${surplus[0]} as well`);
    return { command, entry: entry ?? '', parameters: [] };
  }
  if (entry === undefined) {
    throw new UsageError('serve needs the module of the handler, or a folder of files to serve');
  }
  if (surplus.length > 0) throw new UsageError(`serve takes one entry, got ${surplus[0]} as well`);
  return { command, entry, parameters: [] };
}
