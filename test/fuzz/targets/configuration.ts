/**
 * Configuration from a file, variables and flags: either a valid one, which reads back from what it prints,
 * or an error that names what is wrong, one line for each; never another exception.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArguments, UsageError } from '../../../src/main/cli/arguments.ts';
import {
  ConfigError,
  resolve,
  type Setting,
  written,
} from '../../../src/main/config/directives.ts';
import { flagOf, variableOf } from '../../../src/main/config/errors.ts';
import type { Machine } from '../../../src/main/config/machine.ts';
import { type Configuration, loadConfiguration } from '../../../src/main/config/sources.ts';
import { NAMES, REFUSED } from '../../../src/main/config/table.ts';
import { damage, draw, once, pick, type Random } from '../random.ts';
import { type FuzzTarget, must } from '../target.ts';

interface ConfigurationInput {
  /** Text of a JSON file; null: there is none. */
  readonly file: string | null;
  readonly environment: Readonly<Record<string, string>>;
  readonly argv: readonly string[];
  /** Which of MACHINES. */
  readonly machine: number;
}

const MACHINES: readonly Machine[] = [
  { cores: 2, memoryBytes: 2 ** 33, softDescriptors: 20_000, temporaryFolder: '/var/tmp' },
  {
    cores: 64,
    memoryBytes: 2 ** 38,
    softDescriptors: Number.POSITIVE_INFINITY,
    temporaryFolder: null,
  },
  { cores: 1, memoryBytes: 2 ** 26, softDescriptors: 1024, temporaryFolder: '/var/tmp' },
];

const TEXTS = [
  ...[
    '0',
    '1',
    '2',
    '8',
    '16',
    '100',
    '511',
    '65535',
    '65536',
    '2147483648',
    '-1',
    '1.5',
    '1e3',
    '0x10',
    '',
  ],
  ...[
    '5s',
    '500ms',
    '2min',
    '1h',
    '25h',
    '0.0001ms',
    '5 s',
    '16k',
    '1m',
    '1g',
    '4097g',
    '1kb',
    'k',
    ' 8 ',
  ],
  ...[
    'on',
    'off',
    'true',
    'no',
    'On',
    'maybe',
    '*',
    '::',
    '[::1]:80',
    '::1',
    '127.0.0.1:0',
    'a:b:c',
    'h:99999',
  ],
  ...[
    '8080, 8081',
    ',',
    '80,80',
    '256.1.1.1:80',
    '-x.example:80',
    'loopback',
    '10.0.0.0/8',
    '10.0.0.0/33',
  ],
  ...[
    'header=20-40,MinRate=500 body=20,MinRate=500',
    'header=20-10',
    'body=off',
    'header',
    'foot=1',
    '=',
  ],
  ...[
    '/var/tmp',
    'relative',
    '/\0',
    '@/run/token',
    '0123456789abcdef',
    'common',
    'combined',
    'stdout',
    'Full',
  ],
  ...[
    '/server-status',
    '/a?b',
    '/é',
    '<script>',
    'a\nb',
    '\x1b[31m',
    'x'.repeat(2_000),
    '9'.repeat(400),
    '__proto__',
  ],
];
/** JSON texts: what a file may hold that a variable cannot. */
const JSON_VALUES = [
  ...[
    '0',
    '1',
    '-0',
    '1.5',
    '1e400',
    '-1e400',
    '9007199254740993',
    'true',
    'false',
    'null',
    '[]',
    '{}',
    '[[]]',
  ],
  ...[
    '[8080, 8081]',
    '["8080", null]',
    '{"header": 20}',
    '{"header": {"timeout": 5, "maxTimeout": 9, "minRate": 1}}',
  ],
  ...[
    '{"body": {"timeout": -1}}',
    '{"header": {"timeout": {}}}',
    '{"__proto__": 1}',
    '["10.0.0.0/8", "private"]',
  ],
];
const FILES = [
  '',
  '[]',
  'null',
  '"x"',
  '{',
  '\ufeff{}',
  '{"listen": 1} x',
  '{"listen": 1, "listen": 2}',
];

const nameFrom = (random: Random): string => {
  if (!once(random, 12)) return pick(random, NAMES);
  const odd = [
    '__proto__',
    'constructor',
    'toString',
    'x',
    '',
    'Listen',
    'max-connections',
    '\n',
    'é',
  ];
  return once(random, 2) ? pick(random, Object.keys(REFUSED)) : pick(random, odd);
};

let folder: string | null = null;
/** A file of its own for each process, made when it is first needed. */
function fileWith(text: string): string {
  if (folder === null) {
    const made = mkdtempSync(join(tmpdir(), 'mpm-fuzz-'));
    folder = made;
  }
  const path = join(folder, 'mpm.config.json');
  writeFileSync(path, text);
  return path;
}

/** Of characters that show, and nothing that would end it or change a terminal. */
const isLine = (text: string): boolean => !/\p{Cc}/u.test(text);

/** What is said of an error: each line names a directive, a variable, a flag or the file. */
function checkProblems(error: ConfigError): void {
  must(error.problems.length > 0, () => 'an error without a problem');
  must(error.lines.length === error.problems.length, () => 'lines and problems');
  const known = new Set([...NAMES, ...Object.keys(REFUSED)]);
  for (const [index, { directive, origin, allowed }] of error.problems.entries()) {
    const line = error.lines[index] ?? '';
    must(/^ERR_MPM_[A-Z_]+: ./.test(line) && isLine(line), () => JSON.stringify(line));
    must(line.length < 6_000 && allowed !== '', () => `${line.length} characters`);
    const named = directive === '' ? origin.name : directive;
    const mentions = known.has(named)
      ? [named, variableOf(named), flagOf(named), origin.name]
      : [named];
    const shown = mentions.some((name) => line.includes(name)) || /[^\x20-\x7e]/.test(named);
    must(shown, () => `${JSON.stringify(line)} does not name ${JSON.stringify(named)}`);
  }
}

/** A configuration that was accepted is the same again from what it says of itself. */
function checkValues({ directives }: Configuration, machine: Machine): void {
  for (const [key, value] of Object.entries(directives)) {
    const bad = typeof value === 'number' && (!Number.isFinite(value) || value < 0);
    must(!bad && value !== undefined, () => `${key} is ${value}`);
  }
  const settings: Setting[] = NAMES.filter(
    (name) => written(directives, name) !== '(not shown)',
  ).map((name) => ({
    directive: name,
    value: written(directives, name),
    origin: { kind: 'code', name: 'again' },
  }));
  const again = resolve(settings, machine).directives;
  for (const name of Object.keys(again) as (keyof typeof again)[]) {
    if (name === 'adminToken') continue;
    const [one, other] = [JSON.stringify(again[name]), JSON.stringify(directives[name])];
    must(one === other, () => `${name}: ${other} reads back as ${one}`);
  }
}

export const configuration: FuzzTarget<ConfigurationInput> = {
  name: 'configuration',
  title: 'a configuration is valid or refused by an error that names the directive',
  outcomes: 4,
  kept: [
    { file: '{"\\n": 1}', environment: {}, argv: ['serve', 'app.mjs'], machine: 0 },
    { file: null, environment: {}, argv: ['serve', 'app.mjs', '--admin=h\x1b[31m:x'], machine: 0 },
    { file: null, environment: {}, argv: ['serve', 'app.mjs', '--\nx'], machine: 0 },
  ],

  make(random: Random): ConfigurationInput {
    const text = () => {
      const value = pick(random, TEXTS);
      return once(random, 8) ? damage(random, value) : value;
    };
    const environment: Record<string, string> = {};
    for (let n = random(3); n > 0; n--) environment[variableOf(nameFrom(random)) || 'X'] = text();
    if (once(random, 6)) environment.PORT = text();
    if (once(random, 6)) environment.HOST = text();
    const argv = once(random, 10) ? [] : ['serve', 'app.mjs'];
    for (let n = random(3); n > 0; n--) {
      const flag = flagOf(nameFrom(random));
      argv.push(...(once(random, 3) ? [flag, text()] : [`${flag}=${text()}`]));
    }
    if (once(random, 12))
      argv.push(draw(random, ['--', '-h', '--watch', '--json', 'x', '-', '='], 2));
    let file: string | null = null;
    if (once(random, 2)) {
      const members = Array.from({ length: random(4) }, () => {
        const value = once(random, 2) ? pick(random, JSON_VALUES) : JSON.stringify(text());
        return `${JSON.stringify(nameFrom(random))}: ${value}`;
      });
      file = once(random, 10) ? pick(random, FILES) : `{${members.join(', ')}}`;
      if (once(random, 12)) file = damage(random, file);
    }
    return { file, environment, argv, machine: random(MACHINES.length) };
  },

  close(): void {
    if (folder !== null) rmSync(folder, { recursive: true, force: true });
    folder = null;
  },

  async check({ file, environment, argv, machine }: ConfigurationInput): Promise<string> {
    let flags: readonly Setting[] = [];
    try {
      const invocation = parseArguments(argv);
      if (!('flags' in invocation)) return invocation.command;
      flags = invocation.flags;
    } catch (error) {
      must(error instanceof UsageError, () => String(error));
      must(isLine(error.message), () => JSON.stringify(error.message));
      return 'usage';
    }
    let found: Configuration;
    try {
      found = await loadConfiguration({
        directory: tmpdir(),
        configFile: file === null ? fileWith('{}') : fileWith(file),
        environment,
        flags,
        machine: MACHINES[machine],
      });
    } catch (error) {
      must(error instanceof ConfigError, () => `another error: ${error}`);
      checkProblems(error);
      return error.code;
    }
    checkValues(found, MACHINES[machine]);
    return 'valid';
  },
};
