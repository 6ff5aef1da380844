// Where values come from, which source wins, and what an error says about the source.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseArguments } from '../../../src/main/cli/arguments.ts';
import { stripsTypes } from '../../../src/main/config/file.ts';
import { softDescriptorsIn, thisMachine } from '../../../src/main/config/machine.ts';
import { loadConfiguration } from '../../../src/main/config/sources.ts';
import { configErrorOf, TWO_CORES } from './helpers.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mpm-config-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const write = (name: string, text: string): string => {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
};

function load(environment: Record<string, string> = {}, ...argv: string[]) {
  const invocation = parseArguments(['check-config', ...argv]);
  if (invocation.command !== 'check-config') throw new Error('not check-config');
  const { configFile, flags } = invocation;
  return loadConfiguration({ directory, configFile, environment, flags, machine: TWO_CORES });
}
const refusal = async (environment: Record<string, string> = {}, ...argv: string[]) =>
  (await configErrorOf(() => load(environment, ...argv))).message;

describe('precedence', () => {
  it('defaults < file < environment < flags, and each value knows its origin', async () => {
    const path = write(
      'mpm.config.json',
      '{"timeout": 10, "keepAliveTimeout": 10, "limitRequestFields": 10}',
    );
    const { directives, origins, file } = await load(
      { HYBRID_MPM_KEEP_ALIVE_TIMEOUT: '20', HYBRID_MPM_LIMIT_REQUEST_FIELDS: '20' },
      '--limit-request-fields=30',
    );
    expect(file).toBe(path);
    expect(directives).toMatchObject({
      listenBacklog: 511,
      timeoutMs: 10_000,
      keepAliveTimeoutMs: 20_000,
      limitRequestFields: 30,
    });
    expect(origins.get('listenBacklog')?.kind).toBe('default');
    expect(origins.get('timeout')).toEqual({ kind: 'file', name: path });
    expect(origins.get('keepAliveTimeout')).toEqual({
      kind: 'environment',
      name: 'HYBRID_MPM_KEEP_ALIVE_TIMEOUT',
    });
    expect(origins.get('limitRequestFields')).toEqual({
      kind: 'flag',
      name: '--limit-request-fields',
    });
  });

  it('a wrong value is reported even where a stronger source replaces it', async () => {
    write('mpm.config.json', '{"timeout": "soon"}');
    expect(await refusal({}, '--timeout', '5')).toContain('timeout = "soon"');
  });

  it('all sources are reported at once, each in its own spelling', async () => {
    const path = write('mpm.config.json', '{"keepAliveTimeut": 5}');
    const error = await configErrorOf(() =>
      load({ HYBRID_MPM_TIMEOUT: 'x', HYBRID_MPM_KEEPALIVE: 'off', PORT: 'http' }, '--admin', 'x'),
    );
    expect(error.message.split('\n')).toEqual([
      'listen = "http" (environment PORT): must be a port from 0 to 65535',
      `keepAliveTimeut (file ${path}): unknown directive, did you mean keepAliveTimeout?`,
      expect.stringContaining('timeout = "x" (environment HYBRID_MPM_TIMEOUT): must be a time'),
      'environment HYBRID_MPM_KEEPALIVE: unknown directive, did you mean HYBRID_MPM_KEEP_ALIVE?',
      expect.stringContaining('admin = "x" (flag --admin): must be host:port'),
    ]);
  });
});

describe('PORT and HOST', () => {
  const listen = async (environment: Record<string, string>, ...argv: string[]) =>
    (await load(environment, ...argv)).directives.listen;

  it.each([
    [{ PORT: '3000' }, '::', 3000],
    [{ HOST: '127.0.0.1' }, '127.0.0.1', 8080],
    [{ HOST: '::1', PORT: '3000' }, '::1', 3000],
    [{ HOST: '[::1]', PORT: '' }, '::1', 8080],
    [{ PORT: '', HOST: '' }, '::', 8080],
  ])('%j: %s, port %i', async (environment, host, port) => {
    expect(await listen(environment)).toEqual([{ host, port }]);
  });

  it('replace their part of the one address in the file', async () => {
    write('mpm.config.json', '{"listen": "127.0.0.1:7000"}');
    expect(await listen({ PORT: '3000' })).toEqual([{ host: '127.0.0.1', port: 3000 }]);
    expect(await listen({ HOST: '127.0.0.2' })).toEqual([{ host: '127.0.0.2', port: 7000 }]);
  });

  it('yield to HYBRID_MPM_LISTEN and to --listen, which may be repeated', async () => {
    const environment = { PORT: '3000', HYBRID_MPM_LISTEN: '127.0.0.1:4000,[::1]:4000' };
    expect(await listen(environment)).toEqual([
      { host: '127.0.0.1', port: 4000 },
      { host: '::1', port: 4000 },
    ]);
    expect(await listen(environment, '--listen', '5000', '--listen=127.0.0.1:5001')).toEqual([
      { host: '::', port: 5000 },
      { host: '127.0.0.1', port: 5001 },
    ]);
  });

  it('that make no sense are named', async () => {
    expect(await refusal({ PORT: '70000' })).toContain('(environment PORT): must be a port');
    expect(await refusal({ HOST: 'a b' })).toContain('(environment HOST): must be an address');
  });
});

describe('the configuration file', () => {
  it.each([
    ['mpm.config.json', '\uFEFF{"timeout": "7s"}'],
    ['mpm.config.mjs', 'export default { timeout: 7, keepAlive: undefined };'],
    ['mpm.config.js', 'module.exports = { timeout: 7 };'],
  ])('%s is found in the working directory', async (name, text) => {
    const path = write(name, text);
    const { directives, file } = await load();
    expect(directives.timeoutMs).toBe(7000);
    expect(file).toBe(path);
  });

  it('given by --config is read instead, relative to the working directory', async () => {
    write('mpm.config.json', '{"timeout": 7}');
    write('other.json', '{"timeout": 8}');
    expect((await load({}, '--config', 'other.json')).directives.timeoutMs).toBe(8000);
  });

  it('is read anew when it has changed', async () => {
    write('mpm.config.mjs', 'export default { timeout: 7 };');
    expect((await load()).directives.timeoutMs).toBe(7000);
    // Another modification time even on a coarse clock.
    await new Promise((resolve) => setTimeout(resolve, 30));
    write('mpm.config.mjs', 'export default { timeout: 8 };');
    expect((await load()).directives.timeoutMs).toBe(8000);
  });

  it.each([
    ['mpm.config.json', '{', 'cannot be read: '],
    ['mpm.config.json', '[]', 'must hold one object'],
    ['mpm.config.mjs', 'throw new Error("out of\\ncoffee")', 'cannot be read: out of coffee'],
    ['mpm.config.mjs', 'export const timeout = 5;', 'must export one object as its default'],
  ])('%s that holds %j is one clear line', async (name, text, reason) => {
    const path = write(name, text);
    const error = await configErrorOf(() => load());
    expect(error.code).toBe('ERR_MPM_CONFIG_FILE');
    expect(error.message).toContain(`file ${path}: ${reason}`);
    expect(error.message.split('\n')).toHaveLength(1);
  });

  it('that is missing, of a strange kind, or one of several is refused', async () => {
    expect(await refusal({}, '--config', 'none.json')).toContain('none.json: no such file');
    write('config.yaml', 'timeout: 5');
    expect(await refusal({}, '--config', 'config.yaml')).toContain('must end in .json');
    write('mpm.config.json', '{}');
    write('mpm.config.mjs', 'export default {};');
    expect(await refusal()).toContain('(mpm.config.json, mpm.config.mjs); keep one');
  });

  it('in TypeScript works where Node strips types and is one clear line elsewhere', async () => {
    write('mpm.config.ts', 'export default { timeout: 7 as number };');
    // vitest transforms imports itself, so only the refusal shows what a plain Node would do.
    if (stripsTypes()) expect((await load()).directives.timeoutMs).toBe(7000);
    else expect(await refusal()).toMatch(/mpm\.config\.ts: this Node \(v[\d.]+\) cannot load Type/);
    expect(stripsTypes({ typescript: 'strip' })).toBe(true);
    expect(stripsTypes({ typescript: false })).toBe(false);
    expect(stripsTypes({})).toBe(false);
  });
});

describe('the machine', () => {
  it.each([
    ['Max open files            1024                 524288               files', 1024],
    [
      'Max open files            unlimited            unlimited            files',
      Number.POSITIVE_INFINITY,
    ],
    ['', 1024],
  ])('its soft limit of descriptors is read: %j', (line, expected) => {
    expect(softDescriptorsIn(`Limit  Soft\n${line}\nMax locked memory 1 1 bytes\n`)).toBe(expected);
  });

  it('this one has a core and descriptors', () => {
    const { cores, softDescriptors } = thisMachine();
    expect(cores).toBeGreaterThanOrEqual(1);
    expect(softDescriptors).toBeGreaterThan(10);
  });
});
