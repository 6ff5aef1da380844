// What the command line is understood as, what --help shows, and that the reference is current.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseArguments, UsageError } from '../../../src/main/cli/arguments.ts';
import { configurationText } from '../../../src/main/cli/check-config.ts';
import { HELP_COLUMNS, helpText, wrap } from '../../../src/main/cli/help.ts';
import { errorLine } from '../../../src/main/cli/serve.ts';
import { flagOf, nearest, shown, variableOf } from '../../../src/main/config/errors.ts';
import { referenceText } from '../../../src/main/config/reference.ts';
import { loadConfiguration } from '../../../src/main/config/sources.ts';
import { GROUPS, NAMES, REFUSED } from '../../../src/main/config/table.ts';
import { LARGE, TWO_CORES } from './helpers.ts';

/** Entry and flags of a serve command, values by directive. */
function served(...argv: string[]) {
  const invocation = parseArguments(['serve', ...argv]);
  if (invocation.command !== 'serve') throw new Error('not serve');
  const { entry, configFile, flags } = invocation;
  const values = Object.fromEntries(flags.map(({ directive, value }) => [directive, value]));
  return { entry, configFile, values };
}
const complaint = (...argv: string[]): string => {
  try {
    parseArguments(argv);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  throw new Error('it was understood');
};

describe('arguments', () => {
  it('take values after a blank or an equals sign, flags before or after the entry', () => {
    expect(
      served('--timeout', '5', 'app.mjs', '--keep-alive-timeout=7', '--config', 'c.json'),
    ).toEqual({
      entry: 'app.mjs',
      configFile: 'c.json',
      values: { timeout: '5', keepAliveTimeout: '7' },
    });
    expect(served('--', '--app.mjs').entry).toBe('--app.mjs');
  });

  it('let a switch stand alone without swallowing the entry', () => {
    expect(served('--reuse-port', 'app.mjs')).toMatchObject({
      entry: 'app.mjs',
      values: { reusePort: 'on' },
    });
    expect(served('--keep-alive', 'off', 'app.mjs')).toMatchObject({
      entry: 'app.mjs',
      values: { keepAlive: 'off' },
    });
    expect(served('app.mjs', '--reuse-port').values).toEqual({ reusePort: 'on' });
  });

  it('add up for --listen; of any other flag the last one counts', () => {
    expect(served('a', '--listen', '1', '--listen=2', '--timeout=1', '--timeout=2').values).toEqual(
      {
        listen: ['1', '2'],
        timeout: '2',
      },
    );
  });

  it('keep a negative number as a value, to be refused by its range', () => {
    expect(served('a', '--timeout', '-5').values).toEqual({ timeout: '-5' });
  });

  it.each(NAMES)('know %s as a flag', (name) => {
    expect(served('a', `${flagOf(name)}=x`).values).toHaveProperty(name);
  });

  it.each(Object.keys(REFUSED))('pass %s on, so that it is refused with its reason', (name) => {
    expect(served('a', flagOf(name)).values).toHaveProperty(name);
  });

  it.each([
    [
      ['serve', 'a', '--keepalive-timeout', '5'],
      'unknown flag --keepalive-timeout, did you mean --keep-alive-timeout?',
    ],
    [['serve', 'a', '-x'], 'unknown flag -x'],
    [['serve', 'a', '--quixotic=1'], 'unknown flag --quixotic'],
    [['serve', 'a', '--timeout'], '--timeout needs a value'],
    [['serve', 'a', '--timeout', '--listen', '1'], '--timeout needs a value'],
    [['serve', 'a', '--config'], '--config needs a value'],
    [['serv', 'a'], 'unknown command serv, did you mean serve?'],
    [['bake'], 'unknown command bake, use serve, run, check-config or status'],
    [[], 'no command; use serve, run, check-config or status'],
    [['serve'], 'serve needs the module of the handler, or a folder of files to serve'],
    [['serve', 'a', 'b'], 'serve takes one entry, got b as well'],
    [['check-config', 'a'], 'check-config takes no argument, got a'],
  ])('%j: %s', (argv, message) => {
    expect(complaint(...argv)).toBe(message);
  });
});

describe('--help', () => {
  const text = helpText('1.2.3', TWO_CORES);

  it('shows every directive with its default, in groups', () => {
    for (const name of NAMES) expect(text).toContain(`\n  ${flagOf(name)} `);
    for (const title of Object.values(GROUPS)) expect(text).toContain(`\n${title}\n`);
    expect(text).toMatch(/--max-connections <n>.*\(19744\)/);
    expect(text).toContain('hybrid-mpm 1.2.3');
  });

  it('says what exit codes and signals mean', () => {
    for (const code of [/^ {2}0 /m, /^ {2}1 /m, /^ {2}2 /m, /^ {2}70 /m])
      expect(text).toMatch(code);
    expect(text).toContain('SIGTERM');
  });

  it.each([TWO_CORES, LARGE])('fits its columns: %j', (machine) => {
    const tooWide = helpText('1.2.3', machine)
      .split('\n')
      .filter((line) => line.length > HELP_COLUMNS);
    expect(tooWide).toEqual([]);
  });

  it('wraps words, and leaves one that is too long whole', () => {
    expect(wrap('aa bb cc', 5)).toEqual(['aa bb', 'cc']);
    expect(wrap('aaaaaaaa b', 5)).toEqual(['aaaaaaaa', 'b']);
  });
});

describe('check-config', () => {
  it('lists every directive, its value and its origin', async () => {
    const text = configurationText(
      await loadConfiguration({
        directory: '/nonexistent',
        environment: { HYBRID_MPM_TIMEOUT: '90' },
        machine: TWO_CORES,
      }),
    );
    for (const name of NAMES) expect(text).toMatch(new RegExp(`^${name} +\\S`, 'm'));
    expect(text).toMatch(/^timeout +90s +environment HYBRID_MPM_TIMEOUT$/m);
    expect(text).toMatch(/^keepAlive +on +default$/m);
    expect(text).toMatch(/^\(connection buffer\) +16k +derived/m);
  });
});

describe('names and values in messages', () => {
  it('are spelled as the source spells them', () => {
    expect(variableOf('keepAliveTimeout')).toBe('HYBRID_MPM_KEEP_ALIVE_TIMEOUT');
    expect(flagOf('maxConnectionsPerChild')).toBe('--max-connections-per-child');
  });

  it('suggest only what is near', () => {
    expect(nearest('timeut', NAMES)).toBe('timeout');
    expect(nearest('KEEPALIVE_TIMEOUT', NAMES)).toBe('keepAliveTimeout');
    expect(nearest('zzz', NAMES)).toBeNull();
    expect(nearest('x'.repeat(100_000), NAMES)).toBeNull();
  });

  it('stay on one bounded line', () => {
    expect(shown('a\nb')).toBe('"a\\nb"');
    expect(shown('x'.repeat(1000)).length).toBeLessThan(100);
    expect(shown(10n)).toBe('10');
    const fault = Object.assign(new Error('first\n  second'), { code: 'ERR_MPM_ENTRY_FAILED' });
    expect(errorLine(fault)).toBe('ERR_MPM_ENTRY_FAILED: first | second');
    const coded = Object.assign(new Error('EACCES: no'), { code: 'EACCES' });
    expect(errorLine(coded)).toBe('EACCES: no');
  });
});

describe('docs/directives.md', () => {
  it('is what the table renders (node dist/main/config/reference.js > docs/directives.md)', () => {
    const committed = readFileSync(new URL('../../../docs/directives.md', import.meta.url), 'utf8');
    expect(committed).toBe(referenceText());
    for (const name of NAMES) expect(committed).toContain(`### ${name}\n`);
  });
});

describe('--watch', () => {
  it('belongs to serve and run', () => {
    expect(parseArguments(['serve', 'app.mjs', '--watch'])).toMatchObject({ watch: true });
    expect(parseArguments(['run', '--watch', 'app.mjs'])).toMatchObject({ watch: true });
    expect(parseArguments(['serve', 'app.mjs'])).toMatchObject({ watch: false });
    expect(() => parseArguments(['status', '--watch'])).toThrow(
      '--watch belongs to serve and run, not to status',
    );
    expect(() => parseArguments(['serve', 'app.mjs', '--once'])).toThrow(
      '--once belongs to status, not to serve',
    );
  });
});
